"""The content of a derivation: sections, each a chain of steps, and the results that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """One line of a derivation, and the rule that leads to it.

    Attributes
    ----------
    rule : str
        The rule's name.
    formula : str
        The rule as a readable identity, with mathematics between backticks.
    reason : str
        Why the rule applies here, in one sentence.
    before, after : sympy expression
        Expressions that are equal under the condition. Both are unevaluated, to keep the form in which they are shown.
    condition : sympy relation or None
        Condition under which the step holds: ``Eq(j, k)``, ``Ne(j, k)`` or ``Eq(Sum(y[j]), 1)``; None for always.
    warning : str or None
        Common mistake at this step.
    """

    rule: str
    formula: str
    reason: str
    before: sp.Basic
    after: sp.Basic
    condition: sp.Basic | None = None
    warning: str | None = None


class Section(NamedTuple):
    """A chain of steps under a heading; its first line, `start`, contains the earlier lines numbered in `follows`."""

    title: str
    start: sp.Basic
    steps: tuple[Step, ...]
    follows: tuple[int, ...] = ()

    @property
    def origin(self) -> str:
        """The end of the heading: ", from line (12)"; empty for a section that follows from no other."""
        numbers = " and ".join(f"({number})" for number in self.follows)
        return f", from line{'s' if len(self.follows) > 1 else ''} {numbers}" if numbers else ""


class Result(NamedTuple):
    """A derived formula, `left` = `right`."""

    left: sp.Basic
    right: sp.Basic
    condition: sp.Basic | None = None


class Meaning(NamedTuple):
    """A symbol and its definition."""

    symbol: sp.Basic
    text: str


class Example(NamedTuple):
    """A worked example: columns of numbers, one per class, and a small matrix to be shown as a heat map."""

    caption: str
    columns: tuple[tuple[str, NDArray[Any]], ...]
    matrix_title: str
    matrix: NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Content:
    """Everything that a derivation shows; `Derivation` describes the attributes."""

    name: str
    title: str
    summary: str
    meanings: tuple[Meaning, ...]
    sections: tuple[Section, ...]
    results: tuple[Result, ...]
    example: Example

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order; the line that ``steps[i]`` ends in is shown as line (i + 1)."""
        return tuple(step for section in self.sections for step in section.steps)
