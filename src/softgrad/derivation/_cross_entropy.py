"""The derivations of the gradient and the Hessian of softmax cross-entropy."""

from __future__ import annotations

import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._content import Example, Meaning, Result
from softgrad.derivation._derivation import Derivation
from softgrad.derivation._expressions import (
    cross_entropy_definition,
    derivative,
    index_matrix,
    index_vector,
    j,
    k,
    loss,
    sum_over,
    y,
    z,
)
from softgrad.derivation._rules import Move, follow, last_line
from softgrad.derivation._softmax import DELTA, LOGITS, SIGMA

TARGETS = Meaning(y[k], "the targets: non-negative weights of the classes, not changed by the logits")
LOSS = Meaning(loss, "`= −Σ_j y_j log σ_j`, the cross-entropy, in nats")

# The example of both derivations: five classes, of which the fourth is the right one.
_EXAMPLE_LOGITS = np.array([1.0, 0.0, -1.0, 2.0, 0.5])
_EXAMPLE_TARGET = np.array([0.0, 0.0, 0.0, 1.0, 0.0])


def cross_entropy() -> Derivation:
    """Derive ∂ℓ/∂z_k for any y, and for one-hot y."""
    entry = derivative(loss, z[k])
    general = follow(
        "For any targets",
        entry,
        Move(
            calculus.definition(loss, cross_entropy_definition(), "`ℓ = −Σ_j y_j log σ_j`"),
            "The loss adds up over all classes; `k` is the one logit that changes.",
        ),
        Move(calculus.constant_factor, "The factor −1 does not depend on `z_k`."),
        Move(
            calculus.sum_rule,
            "The derivative of a sum is the sum of the derivatives.",
            "The sum over `j` must stay. `z_k` changes every `σ_j`, not only `σ_k`: differentiating the term `j = k` "
            "alone gives `−y_k (1 − σ_k)`, which is wrong.",
        ),
        Move(calculus.constant_factor, "The targets do not depend on the logits."),
        Move(calculus.logarithm, "Chain rule: the outer function is the logarithm, the inner one `σ_j`."),
        Move(
            calculus.softmax_jacobian, "The inner derivative is the Jacobian of softmax, for `j = k` and `j ≠ k` alike."
        ),
        Move(algebra.cancel, "`σ_j` is positive, so it cancels."),
        Move(algebra.multiply_out, "The bracket is multiplied by `y_j`."),
        Move(algebra.split_sum, "The sum of a difference is the difference of the sums."),
        Move(algebra.collapse, "In the first sum all terms are zero but the one with `j = k`."),
        Move(algebra.pull_out, "In the second sum `σ_k` is the same for all `j`."),
        Move(algebra.remove_brackets, "The minus sign turns both signs."),
    )
    for_any = general.steps[-1].after
    one_hot = follow(
        "For one-hot targets",
        for_any,
        Move(
            algebra.targets_sum_to_one,
            "One-hot targets are a single 1 among zeros, so they add up to one; all that is used is this sum, so "
            "smoothed labels and other probabilities will do as well.",
        ),
        Move(algebra.zeros_and_ones, "A factor 1 may be left out."),
        Move(algebra.change_order, "What the model predicts, less what is true."),
        condition=sp.Eq(sum_over(j, y[j]), 1),
        follows=(last_line(general),),
    )
    residual = one_hot.steps[-1].after
    vector = follow(
        "As a vector, for any targets",
        index_vector(for_any),
        Move(assembly.assemble, "Component `k` of the gradient is made of component `k` of `y` and of `σ`."),
        follows=(last_line(general),),
    )
    condition = one_hot.steps[-1].condition
    probabilities = sg.softmax(_EXAMPLE_LOGITS)
    value, gradient = sg.cross_entropy_value_and_grad(_EXAMPLE_LOGITS, _EXAMPLE_TARGET)
    return Derivation(
        "cross-entropy",
        "The gradient of softmax cross-entropy",
        "The derivative of −Σ y log σ with respect to every logit: σ Σy − y, and σ − y for one-hot y.",
        (LOGITS, TARGETS, SIGMA, LOSS, DELTA),
        (general, one_hot, vector),
        (Result(entry, for_any), Result(entry, residual, condition), Result(sp.Symbol("∇ℓ"), vector.steps[-1].after)),
        Example(
            f"Five classes, y = (0, 0, 0, 1, 0); the loss is {value:.6f}. A step against the gradient raises the right "
            "class and lowers all others, each by its share; the gradient adds up to zero.",
            (("z", _EXAMPLE_LOGITS), ("y", _EXAMPLE_TARGET), ("σ", probabilities), ("σ − y", gradient)),
            "∇ℓ = σ − y",
            gradient[np.newaxis],
        ),
    )


def cross_entropy_hessian() -> Derivation:
    """Derive ∂²ℓ/∂z_j∂z_k, entry by entry and as a matrix."""
    entry = derivative(loss, z[j], z[k])
    single = follow(
        "For any j and k",
        entry,
        Move(
            calculus.known_gradient,
            "The first derivative, with respect to `z_j`, is known.",
            "The second variable, `z_k`, is another one in general: differentiating twice with respect to the same "
            "logit gives the diagonal only.",
        ),
        Move(calculus.sum_rule, "The derivative is taken term by term."),
        Move(calculus.constant, "The targets do not depend on the logits."),
        Move(algebra.zeros_and_ones, "A zero adds nothing."),
        Move(calculus.constant_factor, "The sum of the targets does not depend on the logits either."),
        Move(calculus.softmax_jacobian, "What is left is the Jacobian of softmax, for `j = k` and `j ≠ k` alike."),
    )
    entries = single.steps[-1].after
    whole = follow(
        "As a matrix",
        index_matrix(entries),
        Move(algebra.multiply_out, "The bracket is multiplied by `σ_j`."),
        Move(
            assembly.assemble,
            "The bracket is the matrix of softmax's Jacobian. Of the targets only their sum is left: which class is "
            "the right one does not matter to the curvature.",
        ),
        follows=(last_line(single),),
    )
    return Derivation(
        "cross-entropy-hessian",
        "The Hessian of softmax cross-entropy",
        "All second derivatives of −Σ y log σ with respect to the logits: Σy (Diag(σ) − σσᵀ).",
        (LOGITS, TARGETS, SIGMA, LOSS, DELTA),
        (single, whole),
        (Result(entry, entries), Result(sp.Symbol("H"), whole.steps[-1].after)),
        Example(
            "Five classes, y = (0, 0, 0, 1, 0). Symmetric, no negative eigenvalue, and every row adds up to zero.",
            (("z", _EXAMPLE_LOGITS), ("y", _EXAMPLE_TARGET), ("σ", sg.softmax(_EXAMPLE_LOGITS))),
            "H = Σy (Diag(σ) − σσᵀ)",
            sg.cross_entropy_hessian(_EXAMPLE_LOGITS, _EXAMPLE_TARGET, reduction="sum").to_dense(),
        ),
    )
