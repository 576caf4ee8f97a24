"""The formulas of the page, written by the renderer of the derivations."""

from __future__ import annotations

from softgrad.derivation import derive
from softgrad.derivation._expressions import j, sigma, softmax_definition
from softgrad.derivation._html import block, inline
from softgrad.derivation._notation import Word, equation, notation
from softgrad.explorer._derivation_steps import derivation_steps
from softgrad.explorer._slots import with_slots


def formulas() -> dict[str, str]:
    """Return MathML, or HTML with MathML, by the name that the modules of the page use."""
    derivation = derive("softmax")
    _, same, other, *_ = derivation.sections
    entry, matrix = derivation.results
    return {
        "softmax": block(equation(notation(sigma(j)), notation(softmax_definition(j)))),
        "jacobian-entry": block(equation(notation(entry.left), notation(entry.right))),
        "jacobian-matrix": block(equation(notation(matrix.left), notation(matrix.right))),
        "jacobian-value": inline(equation(with_slots(notation(entry.left)), Word("{value}"))),
        "jacobian-same": inline(notation(same.steps[-1].after)),
        "jacobian-other": inline(notation(other.steps[-1].after)),
        **derivation_steps(),
    }
