"""The derivation of the softmax Jacobian."""

from __future__ import annotations

import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._derivation import Derivation, Move, Result, follow, last_line
from softgrad.derivation._example import Example
from softgrad.derivation._passages import DELTA, DERIVATIVE_OF_THE_SUM, LOGITS, SIGMA, WRITE_OUT_SOFTMAX
from softgrad.derivation._symbols import (
    cases,
    derivative,
    index_matrix,
    j,
    k,
    sigma,
    z,
)

_PITFALL = (
    "This is where beginners stop too early. `j` and `k` need not be equal: differentiating `σ_j` only with respect "
    "to its own logit `z_j` gives the diagonal of the Jacobian and misses the `n^2 − n` other entries, "
    "which are not zero, because every logit is in the denominator."
)


def softmax() -> Derivation:
    """∂σ_j/∂z_k, entry by entry and as a matrix."""
    entry = derivative(sigma(j), z[k])
    general = follow(
        "For any j and k",
        entry,
        Move(
            WRITE_OUT_SOFTMAX, "The index of the component, `j`, and the index of the variable, `k`, are chosen freely."
        ),
        Move(calculus.quotient_rule, "`σ_j` is a fraction, and both its numerator and its denominator may change."),
        *DERIVATIVE_OF_THE_SUM,
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
    logits = np.array([2.0, 1.0, 0.0, -1.0])
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
            (("z", logits), ("σ", sg.softmax(logits))),
            "J = Diag(σ) − σσᵀ",
            sg.softmax_jacobian(logits).to_dense(),
        ),
    )
