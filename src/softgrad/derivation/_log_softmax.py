"""The derivations of the log-softmax Jacobian and of the gradient of log-sum-exp."""

from __future__ import annotations

import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._derivation import Derivation, Meaning, Move, Result, follow, last_line
from softgrad.derivation._example import Example
from softgrad.derivation._passages import DELTA, DERIVATIVE_OF_THE_SUM, LOGITS, SIGMA, WRITE_OUT_SOFTMAX
from softgrad.derivation._symbols import derivative, i, index_matrix, index_vector, j, k, log, sigma, sum_over, z

_FROM_LOGARITHM = (
    *DERIVATIVE_OF_THE_SUM,
    Move(algebra.one_fraction, "The factor moves into the numerator."),
    Move(algebra.recognise_softmax, "This fraction is the softmax of class `k`."),
)


def log_softmax() -> Derivation:
    """∂ log σ_j/∂z_k, entry by entry and as a matrix."""
    entry = derivative(log(sigma(j)), z[k])
    single = follow(
        "For any j and k",
        entry,
        Move(WRITE_OUT_SOFTMAX, "`j` and `k` are chosen freely."),
        Move(
            algebra.log_of_quotient, "The logarithm turns the fraction into a difference: no quotient rule is needed."
        ),
        Move(algebra.log_of_exponential, "The logarithm undoes the exponential."),
        Move(calculus.sum_rule, "A difference is differentiated term by term."),
        Move(
            calculus.component,
            "The logits are independent variables, so the first term is 1 for the component's own logit, and 0 for "
            "every other.",
            "Only this first term is zero for `j ≠ k`. The second one does not contain `j` at all: it stays in all "
            "entries, on and off the diagonal.",
        ),
        Move(calculus.logarithm, "The outer function is the logarithm, the inner one the sum."),
        *_FROM_LOGARITHM,
    )
    entries = single.steps[-1].after
    whole = follow(
        "As a matrix",
        index_matrix(entries),
        Move(
            assembly.assemble,
            "`δ_jk` are the entries of the identity matrix. `σ_k` is the same in every row: a column of ones times "
            "the row `σᵀ`.",
            "This matrix is not symmetric. Applied backwards, to a gradient with respect to `log σ`, it is the "
            "transpose that is needed.",
        ),
        follows=(last_line(single),),
    )
    logits = np.array([2.0, 1.0, 0.0, -1.0])
    return Derivation(
        "log-softmax",
        "The Jacobian of log-softmax",
        "The derivative of every log-probability with respect to every logit, and the matrix I − 1σᵀ.",
        (LOGITS, SIGMA, DELTA, Meaning(sp.Symbol("1"), "in the matrix form: the column of `n` ones")),
        (single, whole),
        (Result(entry, entries), Result(sp.Symbol("L"), whole.steps[-1].after)),
        Example(
            "Four classes. All rows are alike but for the 1 on the diagonal; every row adds up to zero.",
            (("z", logits), ("log σ", sg.log_softmax(logits)), ("σ", sg.softmax(logits))),
            "L = I − 1σᵀ",
            sg.log_softmax_jacobian(logits).to_dense(),
        ),
    )


def logsumexp() -> Derivation:
    """∂ lse/∂z_k, which is softmax."""
    entry = derivative(log(sum_over(i, sp.exp(z[i]))), z[k])
    single = follow(
        "For any k",
        entry,
        Move(
            calculus.logarithm,
            "The outer function is the logarithm, the inner one the sum.",
            "The logarithm of a sum is not the sum of the logarithms: `log Σ_i exp z_i` is not `Σ_i z_i`.",
        ),
        *_FROM_LOGARITHM,
    )
    component = single.steps[-1].after
    whole = follow(
        "As a vector",
        index_vector(component),
        Move(assembly.assemble, "Component `k` of the gradient is component `k` of `σ`."),
        follows=(last_line(single),),
    )
    logits = np.array([2.0, 1.0, 0.0, -1.0])
    return Derivation(
        "logsumexp",
        "The gradient of log-sum-exp",
        "The derivative of log Σ exp(z) with respect to every logit: it is the softmax.",
        (
            LOGITS,
            SIGMA,
            Meaning(sp.Symbol("lse"), "`= log Σ_i exp z_i`, the logarithm of the sum of exponentials"),
            DELTA,
        ),
        (single, whole),
        (Result(entry, component), Result(sp.Symbol("∇lse"), whole.steps[-1].after)),
        Example(
            f"Four classes, lse(z) = {sg.logsumexp(logits):.6f}. The gradient adds up to one: raising all logits by "
            "the same amount raises lse by just that.",
            (("z", logits), ("gradient", sg.softmax(logits))),
            "∇lse = σ",
            sg.softmax(logits)[np.newaxis],
        ),
    )
