"""Rules, which are named identities that rewrite an expression or refuse to, and the steps that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad.derivation._content import Section, Step
from softgrad.derivation._expressions import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    import sympy as sp


class RuleError(ValueError):
    """A rule does not apply to an expression."""


@dataclass(frozen=True)
class Rule:
    """An identity, read from left to right.

    Attributes
    ----------
    name : str
        Its name in textbooks.
    formula : str
        The identity itself, for people.
    rewrite : callable
        Takes one node and the side condition (None for none), and returns the replacement of the node, or None where
        the identity does not fit.
    """

    name: str
    formula: str
    rewrite: Callable[[Any, Any], Any]

    def __call__(self, line: sp.Basic, *, condition: sp.Basic | None = None, within: type | None = None) -> sp.Basic:
        """Apply the rule at every outermost place where it fits; `within` restricts it to operands of that type."""
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


class Move(NamedTuple):
    """A rule to apply next, with the explanation of the step that it makes."""

    rule: Rule
    reason: str
    warning: str | None = None
    within: type | None = None
    condition: sp.Basic | None = None


def follow(
    title: str,
    start: sp.Basic,
    *moves: Move,
    condition: sp.Basic | None = None,
    follows: tuple[int, ...] = (),
) -> Section:
    """Apply rules one after another; `condition` holds throughout."""
    line, steps = start, []
    for move in moves:
        case = move.condition if condition is None else condition
        after = move.rule(line, condition=case, within=move.within)
        steps.append(Step(move.rule.name, move.rule.formula, move.reason, line, after, case, move.warning))
        line = after
    return Section(title, start, tuple(steps), follows)


def last_line(*sections: Section) -> int:
    """Return the number of the last line of a derivation that begins with these sections."""
    return sum(len(section.steps) for section in sections)
