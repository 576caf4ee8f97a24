"""The formulas of the page, written by the renderer of the derivations."""

from __future__ import annotations

from typing import Any

from softgrad.derivation import derive
from softgrad.derivation._cross_entropy import cross_entropy, cross_entropy_hessian
from softgrad.derivation._expressions import (
    cross_entropy_definition,
    derivative,
    g,
    j,
    k,
    minus,
    product,
    quotient,
    sigma,
    softmax_definition,
    sum_over,
    y,
    z,
)
from softgrad.derivation._html import block, inline
from softgrad.derivation._notation import Fence, Row, Script, Sign, Word, equation, notation
from softgrad.explorer._derivation_steps import derivation_steps
from softgrad.explorer._slots import with_slots

_LOSS, _LSE, _ZETA = Word("ℓ"), Word("lse"), Word("ζ")


def formulas() -> dict[str, str]:
    """Return MathML, or HTML with MathML, by the name that the modules of the page use."""
    return {
        "softmax": _equation(notation(sigma(j)), notation(softmax_definition(j))),
        **_jacobian_formulas(),
        **derivation_steps(),
        **_cross_entropy_formulas(),
        **_descent_formulas(),
    }


def _equation(left: Any, *right: Any) -> str:
    return block(equation(left, right[0]), *(part for side in right[1:] for part in (Sign("="), side)))


def _result(result: Any) -> str:
    return _equation(notation(result.left), notation(result.right))


def _jacobian_formulas() -> dict[str, str]:
    derivation = derive("softmax")
    _, same, other, *_ = derivation.sections
    entry, matrix = derivation.results
    return {
        "jacobian-entry": _result(entry),
        "jacobian-matrix": _result(matrix),
        "jacobian-value": inline(equation(with_slots(notation(entry.left)), Word("{value}"))),
        "jacobian-same": inline(notation(same.steps[-1].after)),
        "jacobian-other": inline(notation(other.steps[-1].after)),
    }


def _cross_entropy_formulas() -> dict[str, str]:
    """Return what is derived, and the same with a z-loss ζ lse²."""
    gradient, residual, _ = cross_entropy().results
    entry, matrix = cross_entropy_hessian().results
    loss, mass = notation(cross_entropy_definition()), notation(sum_over(j, y[j]))
    slope = Sign("+"), Word("2"), _ZETA, _LSE
    outer = Word("σ"), Script(Word("σ"), above=Word("T"))
    return {
        "loss": _equation(_LOSS, loss),
        "loss-z": _equation(_LOSS, Row((loss, Sign("+"), _ZETA, Script(_LSE, above=Word("2"))))),
        "gradient": _result(gradient),
        "gradient-z": _equation(notation(gradient.left), Row((notation(gradient.right), *slope, notation(sigma(k))))),
        "residual": _result(residual),
        "hessian-entry": _result(entry),
        "hessian": _result(matrix),
        "hessian-z": _equation(Word("H"), Row((Word("a"), Word("J"), Sign("+"), Word("b"), *outer))),
        "a": _equation(Word("a"), Row((mass, *slope))),
        "b": _equation(Word("b"), Row((Word("2"), _ZETA))),
    }


def _descent_formulas() -> dict[str, str]:
    """Return one step of each method."""
    term = product(quotient(minus(y[k]), sigma(k)), derivative(sigma(k), z[k]))
    complement = Fence(Row((Word("1"), Sign("−"), notation(sigma(k)))))
    damped = Fence(Row((Word("H"), Sign("+"), Word("λ"), Word("I"))))
    return {
        "step-gradient": _step(Word("η"), Word("g")),
        "step-newton": _step(Script(damped, above=Row((Sign("−", prefix=True), Word("1")))), Word("g")),
        "diagonal": _equation(
            notation(g[k]), notation(term), Row((Sign("−", prefix=True), notation(y[k]), complement))
        ),
    }


def _step(*factors: Any) -> str:
    return block(Row((Word("z"), Sign("←"), Word("z"), Sign("−"), *factors)))
