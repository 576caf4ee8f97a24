"""The derivations of the Jacobians of softmax and log-softmax, and of the gradient of log-sum-exp."""

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
    cases,
    derivative,
    i,
    index_matrix,
    index_vector,
    j,
    k,
    log,
    sigma,
    softmax_definition,
    sum_over,
    z,
)
from softgrad.derivation._rules import Move, follow, last_line

LOGITS = Meaning(z[k], "the logits, real numbers for the classes `k = 1, …, n`")
SIGMA = Meaning(
    sigma(j),
    "`= exp z_j / Σ_i exp z_i`, the softmax; often written `σ(z_j)`, although it depends on every logit",
)
DELTA = Meaning(sp.KroneckerDelta(j, k), "Kronecker's delta: 1 where `j = k`, and 0 where `j ≠ k`")
_WRITE_OUT_SOFTMAX = calculus.definition(sigma(j), softmax_definition(j), "`σ_j = exp z_j / Σ_i exp z_i`")

# Leads from ∂/∂z_k Σ_i exp z_i to exp z_k.
_DERIVATIVE_OF_THE_SUM = (
    Move(calculus.sum_rule, "The derivative of a sum is the sum of the derivatives."),
    Move(calculus.exponential, "The exponential is its own derivative, times the derivative of the exponent."),
    Move(
        calculus.component,
        "In the sum `i` runs over all classes, and the logits are independent variables: only the one with `i = k` "
        "changes with `z_k`.",
        within=sp.Sum,
    ),
    Move(algebra.collapse, "All terms of the sum are zero but the one with `i = k`."),
)

# The example of all three derivations.
_EXAMPLE_LOGITS = np.array([2.0, 1.0, 0.0, -1.0])

_FROM_LOGARITHM = (
    *_DERIVATIVE_OF_THE_SUM,
    Move(algebra.one_fraction, "The factor moves into the numerator."),
    Move(algebra.recognise_softmax, "This fraction is the softmax of class `k`."),
)

_PITFALL = (
    "This is where beginners stop too early. `j` and `k` need not be equal: differentiating `σ_j` only with respect "
    "to its own logit `z_j` gives the diagonal of the Jacobian and misses the `n^2 − n` other entries, "
    "which are not zero, because every logit is in the denominator."
)


def softmax() -> Derivation:
    """Derive ∂σ_j/∂z_k, entry by entry and as a matrix."""
    entry = derivative(sigma(j), z[k])
    general = follow(
        "For any j and k",
        entry,
        Move(
            _WRITE_OUT_SOFTMAX,
            "The index of the component, `j`, and the index of the variable, `k`, are chosen freely.",
        ),
        Move(calculus.quotient_rule, "`σ_j` is a fraction, and both its numerator and its denominator may change."),
        *_DERIVATIVE_OF_THE_SUM,
    )
    line = general.steps[-1].after
    same = follow(
        "Case j = k",
        line,
        Move(algebra.set_equal(j, k), "First case: the component's own logit.", condition=sp.Eq(j, k)),
        Move(calculus.component, "The derivative of a variable with respect to itself is 1."),
        Move(algebra.zeros_and_ones, "A factor 1 may be left out."),
        Move(algebra.factor_out, "Both terms of the numerator contain `exp z_k`."),
        Move(algebra.split_square, "The square in the denominator is shared out between the two factors."),
        Move(algebra.divide_terms, "A difference is divided term by term."),
        Move(algebra.cancel, "The sum divided by itself is 1."),
        Move(algebra.recognise_softmax, "Both fractions are the softmax of class `k`."),
        follows=(last_line(general),),
    )
    other = follow(
        "Case j ≠ k",
        line,
        Move(
            calculus.component,
            "Second case, another logit: `z_j` and `z_k` are different variables, so `z_j` stays as it is when "
            "`z_k` changes.",
            _PITFALL,
        ),
        Move(algebra.zeros_and_ones, "A product with 0 is 0, and adds nothing."),
        Move(algebra.split_square, "The square in the denominator is shared out between the two factors."),
        Move(algebra.recognise_softmax, "The fractions are the softmax of class `j` and of class `k`."),
        condition=sp.Ne(j, k),
        follows=(last_line(general),),
    )
    joined = follow(
        "Both cases in one line",
        cases(same.steps[-1].after, other.steps[-1].after),
        Move(
            assembly.take_out(sigma(j)),
            "Where `j = k`, `σ_k` may as well be written `σ_j`; and `−σ_j σ_k` is `σ_j (0 − σ_k)`.",
        ),
        Move(assembly.kronecker, "The cases now differ only in a 1 and a 0, and that is what `δ_jk` tells apart."),
        follows=(last_line(general, same), last_line(general, same, other)),
    )
    entries = joined.steps[-1].after
    whole = follow(
        "As a matrix",
        index_matrix(entries),
        Move(algebra.multiply_out, "The matrix has this entry in row `j` and column `k`."),
        Move(
            assembly.assemble,
            "`σ_j δ_jk` is zero off the diagonal: the diagonal matrix of `σ`. `σ_j σ_k` is entry `j, k` of the "
            "product of a column and a row.",
        ),
        follows=(last_line(general, same, other, joined),),
    )
    return Derivation(
        "softmax",
        "The Jacobian of softmax",
        "The derivative of every probability with respect to every logit, and the matrix Diag(σ) − σσᵀ.",
        (LOGITS, SIGMA, DELTA),
        (general, same, other, joined, whole),
        (Result(entry, entries), Result(sp.Symbol("J"), whole.steps[-1].after)),
        Example(
            "Four classes. Every row and every column adds up to zero: raising one logit takes from the others what "
            "it gives to its own class.",
            (("z", _EXAMPLE_LOGITS), ("σ", sg.softmax(_EXAMPLE_LOGITS))),
            "J = Diag(σ) − σσᵀ",
            sg.softmax_jacobian(_EXAMPLE_LOGITS).to_dense(),
        ),
    )


def log_softmax() -> Derivation:
    """Derive ∂ log σ_j/∂z_k, entry by entry and as a matrix."""
    entry = derivative(log(sigma(j)), z[k])
    single = follow(
        "For any j and k",
        entry,
        Move(_WRITE_OUT_SOFTMAX, "`j` and `k` are chosen freely."),
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
    return Derivation(
        "log-softmax",
        "The Jacobian of log-softmax",
        "The derivative of every log-probability with respect to every logit, and the matrix I − 1σᵀ.",
        (LOGITS, SIGMA, DELTA, Meaning(sp.Symbol("1"), "in the matrix form: the column of `n` ones")),
        (single, whole),
        (Result(entry, entries), Result(sp.Symbol("L"), whole.steps[-1].after)),
        Example(
            "Four classes. All rows are alike but for the 1 on the diagonal; every row adds up to zero.",
            (("z", _EXAMPLE_LOGITS), ("log σ", sg.log_softmax(_EXAMPLE_LOGITS)), ("σ", sg.softmax(_EXAMPLE_LOGITS))),
            "L = I − 1σᵀ",
            sg.log_softmax_jacobian(_EXAMPLE_LOGITS).to_dense(),
        ),
    )


def logsumexp() -> Derivation:
    """Derive ∂ lse/∂z_k, which is the softmax."""
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
            f"Four classes, lse(z) = {sg.logsumexp(_EXAMPLE_LOGITS):.6f}. The gradient adds up to one: raising all "
            "logits by the same amount raises lse by just that.",
            (("z", _EXAMPLE_LOGITS), ("gradient", sg.softmax(_EXAMPLE_LOGITS))),
            "∇lse = σ",
            sg.softmax(_EXAMPLE_LOGITS)[np.newaxis],
        ),
    )
