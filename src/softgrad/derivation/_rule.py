"""What a rule is: a named identity that rewrites the places of an expression where it applies, or refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softgrad.derivation._symbols import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    import sympy as sp


class RuleError(ValueError):
    """A rule met an expression that it does not apply to."""


@dataclass(frozen=True)
class Rule:
    """An identity, read from left to right.

    Attributes
    ----------
    name : str
        What textbooks call it.
    formula : str
        The identity itself, for people.
    rewrite : callable
        From one node and the side condition (None where there is none) to what replaces the node, or None where the
        identity does not fit.
    """

    name: str
    formula: str
    rewrite: Callable[[Any, Any], Any]

    def __call__(self, line: sp.Basic, *, condition: sp.Basic | None = None, within: type | None = None) -> sp.Basic:
        """Apply the rule at every outermost place where it fits; `within` keeps it to operands of that type."""
        after = self._walk(line, condition, within)
        if after is None:
            raise RuleError(f"the {self.name} does not apply to {line}; expected {self.formula}")
        return after

    def _walk(self, node: sp.Basic, condition: sp.Basic | None, within: type | None) -> sp.Basic | None:
        if within is None:
            after = self.rewrite(node, condition)
            if after is not None:
                return after
        elif isinstance(node, within):
            within = None
        results = [self._walk(operand, condition, within) for operand in node.args]
        if all(result is None for result in results):
            return None
        return rebuild(node, [old if new is None else new for old, new in zip(node.args, results, strict=True)])


def rule(name: str, formula: str) -> Callable[[Callable[[Any, Any], Any]], Rule]:
    """Make a rule of the function that rewrites one node."""
    return lambda rewrite: Rule(name, formula, rewrite)
