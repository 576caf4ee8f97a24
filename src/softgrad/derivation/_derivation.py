"""What a derivation is: parts, each a chain of steps, and the results that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from softgrad.derivation import _html, _latex, _text
from softgrad.derivation._verification import Verification, verify

if TYPE_CHECKING:
    import sympy as sp

    from softgrad.derivation._example import Example
    from softgrad.derivation._rule import Rule


@dataclass(frozen=True)
class Step:
    """One line of a derivation, and the rule that leads to it.

    Attributes
    ----------
    rule : str
        The rule's name.
    formula : str
        The rule as an identity, for people; mathematics stands between backticks.
    reason : str
        Why it applies here, in one sentence.
    before, after : sympy expression
        Equal, under the condition. Both are unevaluated, so that they keep the shape in which they are shown.
    condition : sympy relation or None
        When the step holds: ``Eq(j, k)``, ``Ne(j, k)`` or ``Eq(Sum(y[j]), 1)``; None for always.
    warning : str or None
        Where beginners go wrong at this step.
    """

    rule: str
    formula: str
    reason: str
    before: sp.Basic
    after: sp.Basic
    condition: sp.Basic | None = None
    warning: str | None = None


class Part(NamedTuple):
    """A chain of steps under a heading; `start` is its first line, and holds the lines numbered in `follows`."""

    title: str
    start: sp.Basic
    steps: tuple[Step, ...]
    follows: tuple[int, ...] = ()


class Result(NamedTuple):
    """What was to be derived: `left` = `right`, a line of the derivation."""

    left: sp.Basic
    right: sp.Basic
    condition: sp.Basic | None = None


class Meaning(NamedTuple):
    """A symbol, and what it stands for."""

    symbol: sp.Basic
    text: str


class Move(NamedTuple):
    """A rule to apply next, and what to say about it."""

    rule: Rule
    reason: str
    warning: str | None = None
    within: type | None = None
    condition: sp.Basic | None = None


@dataclass(frozen=True, eq=False)
class Derivation:
    """A derivation, step by step; `derive` makes them.

    Attributes
    ----------
    name, title, summary : str
        The name that `derive` takes, a heading, and one sentence on what is derived.
    meanings : tuple of Meaning
        The symbols.
    parts : tuple of Part
        Headed chains of steps.
    results : tuple of Result
        The formulas that are derived.
    example : Example
        The formulas in numbers, from the shipped functions.
    """

    name: str
    title: str
    summary: str
    meanings: tuple[Meaning, ...]
    parts: tuple[Part, ...]
    results: tuple[Result, ...]
    example: Example

    def __repr__(self) -> str:
        return f"<Derivation {self.name}: {len(self.steps)} steps>"

    def __str__(self) -> str:
        return self.render()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order; the line that ``steps[i]`` ends in is shown as line (i + 1)."""
        return tuple(step for part in self.parts for step in part.steps)

    def verify(self) -> Verification:
        """Check every step by other means than the rules that made it, and the results against the kernels.

        Returns
        -------
        Verification
            ``passed``, ``failed_step``, and what was found step by step; ``str()`` of it is a report.

        Notes
        -----
        Symbolically at n = 2, 3, 4 and 5, for all index values that the step's condition allows: SymPy
        differentiates by plain symbols, and both sides are equal as rational functions of the e^{z_i}. Numerically
        at n = 7: derivatives by central differences in 250 digits, both sides equal to 50 digits of the larger, at
        two random points whose targets do not sum to one (unless the condition asks for that). A linear head has two
        features there. The results: against the shipped function in float64. One second, or four for the largest.
        """
        return verify(self)

    def render(self, form: str = "text", *, verification: Verification | None = None) -> str:
        """Render the derivation.

        Parameters
        ----------
        form : {"text", "latex", "html"}
            Plain Unicode of at most 80 columns; a LaTeX document; or one self-contained HTML page with native
            MathML.
        verification : Verification, optional
            What `verify` found, to be shown with the derivation.

        Returns
        -------
        str
            Ends with a newline.

        Raises
        ------
        ValueError
            If `form` is another word, or `verification` is that of another derivation.
        """
        renderers = {"text": _text.render, "latex": _latex.render, "html": _html.page}
        if form not in renderers:
            raise ValueError(f"form={form!r}; expected 'text', 'latex' or 'html'")
        if verification is not None and verification.name != self.name:
            raise ValueError(f"verification is that of {verification.name!r}; expected that of {self.name!r}")
        return renderers[form](self, verification)

    def _repr_latex_(self) -> str:
        return _latex.notebook(self)

    def _repr_html_(self) -> str:
        return _html.fragment(self)


def last_line(*parts: Part) -> int:
    """The number of the last line, where a derivation begins with these parts."""
    return sum(len(part.steps) for part in parts)


def follow(
    title: str,
    start: sp.Basic,
    *moves: Move,
    condition: sp.Basic | None = None,
    follows: tuple[int, ...] = (),
) -> Part:
    """Apply rules one after another; `condition` holds throughout."""
    line, steps = start, []
    for move in moves:
        case = move.condition if condition is None else condition
        after = move.rule(line, condition=case, within=move.within)
        steps.append(Step(move.rule.name, move.rule.formula, move.reason, line, after, case, move.warning))
        line = after
    return Part(title, start, tuple(steps), follows)
