"""The formulas of the page, written by the renderer of the derivations."""

from __future__ import annotations

from softgrad.derivation._expressions import j, sigma, softmax_definition
from softgrad.derivation._html import block
from softgrad.derivation._notation import equation, notation


def formulas() -> dict[str, str]:
    """Return MathML by the name that the modules of the page use."""
    return {"softmax": block(equation(notation(sigma(j)), notation(softmax_definition(j))))}
