"""The formulas of the page, written by the renderer of the derivations."""

from __future__ import annotations

from typing import Any

import sympy as sp

from softgrad.derivation import derive
from softgrad.derivation._cross_entropy import cross_entropy, cross_entropy_hessian
from softgrad.derivation._expressions import (
    cross_entropy_definition,
    derivative,
    j,
    k,
    loss,
    minus,
    power,
    product,
    quotient,
    sigma,
    softmax_definition,
    sum_over,
    total,
    y,
    z,
)
from softgrad.derivation._html import block, inline
from softgrad.derivation._notation import Fence, Row, Script, Sign, Word, equation, notation
from softgrad.explorer._derivation_steps import derivation_steps
from softgrad.explorer._slots import with_slots


def formulas() -> dict[str, str]:
    """Return MathML, or HTML with MathML, by the name that the modules of the page use."""
    return {
        "softmax": _equation(sigma(j), softmax_definition(j)),
        **_jacobian_formulas(),
        **derivation_steps(),
        **_cross_entropy_formulas(),
        **_descent_formulas(),
    }


def _equation(left: Any, *right: Any) -> str:
    sides = (part for side in right for part in (Sign("="), notation(side)))
    return block(Row((notation(left), *sides)))


def _jacobian_formulas() -> dict[str, str]:
    derivation = derive("softmax")
    _, same, other, *_ = derivation.sections
    entry, matrix = derivation.results
    return {
        "jacobian-entry": _equation(entry.left, entry.right),
        "jacobian-matrix": _equation(matrix.left, matrix.right),
        "jacobian-value": inline(equation(with_slots(notation(entry.left)), Word("{value}"))),
        "jacobian-same": inline(notation(same.steps[-1].after)),
        "jacobian-other": inline(notation(other.steps[-1].after)),
    }


def _cross_entropy_formulas() -> dict[str, str]:
    """Return what is derived, and the same with a z-loss ζ lse²."""
    gradient, residual, _ = cross_entropy().results
    entry, matrix = cross_entropy_hessian().results
    zeta, lse = sp.symbols("ζ lse")
    slope = product(sp.Integer(2), zeta, lse)
    return {
        "loss": _equation(loss, cross_entropy_definition()),
        "loss-z": _equation(loss, total(cross_entropy_definition(), product(zeta, power(lse, 2)))),
        "gradient": _equation(gradient.left, gradient.right),
        "gradient-z": _equation(gradient.left, total(*gradient.right.args, product(slope, sigma(k)))),
        "residual": _equation(residual.left, residual.right),
        "hessian-entry": _equation(entry.left, entry.right),
        "hessian": _equation(matrix.left, matrix.right),
        "hessian-z": block(
            equation(Word("H"), Row((Word("a"), Word("J"), Sign("+"), Word("b"), Word("σ"), _transpose("σ")))),
        ),
        "a": _equation(sp.Symbol("a"), total(sum_over(j, y[j]), slope)),
        "b": _equation(sp.Symbol("b"), product(sp.Integer(2), zeta)),
    }


def _descent_formulas() -> dict[str, str]:
    """Return one step of each method."""
    term = product(quotient(minus(y[k]), sigma(k)), derivative(sigma(k), z[k]))
    only = minus(product(y[k], total(sp.S.One, minus(sigma(k)))))
    damped = Fence(Row((Word("H"), Sign("+"), Word("λ"), Word("I"))))
    return {
        "step-gradient": _step(Word("η"), Word("g")),
        "step-newton": _step(Script(damped, above=Row((Sign("−", prefix=True), Word("1")))), Word("g")),
        "diagonal": _equation(sp.IndexedBase("g")[k], term, only),
    }


def _step(*factors: Any) -> str:
    return block(Row((Word("z"), Sign("←"), Word("z"), Sign("−"), *factors)))


def _transpose(name: str) -> Script:
    return Script(Word(name), above=Word("T"))
