"""Checks of a derivation by other means than the rules that made it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product as every
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from softgrad.derivation import _kernels
from softgrad.derivation._point import (
    DIGITS,
    Indices,
    Point,
    entry,
    evaluate,
    holds,
    random_point,
    size,
    symbolic_point,
)
from softgrad.derivation._symbols import W, free_indices
from softgrad.derivation._zero import is_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.derivation._derivation import Derivation, Step

_SIZES = range(2, 6)
_LARGE = 7
_AGREEMENT = mpmath.mpf(10) ** -50
_RANDOM_POINTS = 2
_SEED = 20160607

PROVED = f"proved for n = {_SIZES[0]}…{_SIZES[-1]}"
CHECKED = f"checked numerically (n = {_LARGE}, 50 digits)"


@dataclass(frozen=True)
class StepCheck:
    """What was found out about one step.

    Attributes
    ----------
    rule : str
        The step's rule.
    proved : bool
        Both sides are equal by an exact symbolic decision at n = 2, 3, 4 and 5.
    failure : str or None
        What is wrong; None for a step that passed. A step that passed agrees to 50 digits at n = 7, proved or not.
    """

    rule: str
    proved: bool
    failure: str | None = None

    def __str__(self) -> str:
        return f"FAILS: {self.failure}" if self.failure else PROVED if self.proved else CHECKED


@dataclass(frozen=True)
class Verification:
    """The report of `Derivation.verify`; printed, it has one line for each step.

    Attributes
    ----------
    name : str
        The derivation's name.
    steps : tuple of StepCheck
        In the order of ``Derivation.steps``.
    kernel : KernelCheck
        The comparison of the results with the shipped function: ``function``, ``error`` (relative) and ``passed``.
    """

    name: str
    steps: tuple[StepCheck, ...]
    kernel: _kernels.KernelCheck

    @property
    def passed(self) -> bool:
        """Whether no step failed, and the results agree with the shipped function."""
        return self.failed_step is None and self.kernel.passed

    @property
    def failed_step(self) -> int | None:
        """Position in `steps` of the first that failed; None where none did."""
        return next((position for position, step in enumerate(self.steps) if step.failure), None)

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        failed = sum(step.failure is not None for step in self.steps)
        if failed:
            return f"{failed} of {len(self.steps)} steps FAIL, the first is step {(self.failed_step or 0) + 1}"
        proved = sum(step.proved for step in self.steps)
        if proved in {0, len(self.steps)}:
            steps = f"all {len(self.steps)} steps {PROVED if proved else CHECKED}"
        else:
            steps = f"{proved} steps {PROVED}, {len(self.steps) - proved} {CHECKED}"
        return f"{steps}; {self.kernel}"

    def __str__(self) -> str:
        width = max(len(step.rule) for step in self.steps)
        lines = [f"({number})".rjust(5) + f" {step.rule:{width}}  {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([f"{self.name}: {self.summary}", *lines, f"      {self.kernel}"])


def verify(derivation: Derivation) -> Verification:
    """Check all steps, and the results against the shipped function."""
    head = any(step.before.has(W) for step in derivation.steps)
    generator = random.Random(_SEED)
    with mpmath.workdps(DIGITS):
        symbolic = _points(lambda one: [symbolic_point(n, head=head, sum_is_one=one) for n in _SIZES])
        numeric = _points(
            lambda one: [random_point(_LARGE, generator, head=head, sum_is_one=one) for _ in range(_RANDOM_POINTS)]
        )
        breaks = _breaks(derivation)
        checks = tuple(
            StepCheck(step.rule, False, broken) if broken else _check(step, symbolic, numeric)
            for step, broken in zip(derivation.steps, breaks, strict=True)
        )
        kernel = _kernels.check(derivation, numeric[False][0])
    return Verification(derivation.name, checks, kernel)


def _points(make: Callable[[bool], list[Point]]) -> dict[bool, list[Point]]:
    """Points with any targets, and with targets that sum to one."""
    return {one: make(one) for one in (False, True)}


def _breaks(derivation: Derivation) -> Iterator[str | None]:
    """For every step what is wrong with the line that it begins with."""
    lines: list[Any] = []
    for part in derivation.parts:
        before = part.start
        broken = next(
            (
                f"its first line does not hold line ({number})"
                for number in part.follows
                if not _holds(before, lines, number)
            ),
            None,
        )
        for step in part.steps:
            yield broken or (None if step.before == before else "it does not begin with the line before")
            before, broken = step.after, None
            lines.append(step.after)


def _holds(start: Any, lines: list[Any], number: int) -> bool:
    return number <= len(lines) and lines[number - 1] in sp.preorder_traversal(start)


def _check(step: Step, symbolic: dict[bool, list[Point]], numeric: dict[bool, list[Point]]) -> StepCheck:
    sum_is_one = isinstance(step.condition, sp.Eq) and isinstance(step.condition.args[0], sp.Sum)
    proved = True
    for point in symbolic[sum_is_one]:
        for indices in _assignments(step, point):
            before, after = _sides(step, point, indices)
            zero = is_zero(point.with_logits_for_biases(before - after))
            if zero is False:
                return StepCheck(step.rule, False, f"the sides differ at {_place(point, indices)}")
            proved = proved and zero is True
    for point in numeric[sum_is_one]:
        pairs = [(indices, *_sides(step, point, indices)) for indices in _assignments(step, point)]
        scale = max(max(abs(before), abs(after)) for _, before, after in pairs)
        for indices, before, after in pairs:
            if not abs(before - after) <= _AGREEMENT * scale:
                values = f"{mpmath.nstr(before, 6)} against {mpmath.nstr(after, 6)}"
                return StepCheck(step.rule, False, f"the sides differ at {_place(point, indices)}: {values}")
    return StepCheck(step.rule, proved)


def _assignments(step: Step, point: Point) -> Iterator[Indices]:
    """All values of the step's free indices that its condition allows."""
    free = sorted(free_indices(step.before) | free_indices(step.after), key=str)
    for values in every(*(range(1, size(index, point) + 1) for index in free)):
        indices = dict(zip(free, values, strict=True))
        if holds(step.condition, indices):
            yield indices


def _sides(step: Step, point: Point, indices: Indices) -> tuple[Any, Any]:
    rows = tuple(step.before.args[0]) if isinstance(step.before, sp.Lambda) else ()

    def value(side: Any) -> Any:
        if isinstance(side, sp.Lambda):
            return evaluate(side.args[1], point, indices)
        if isinstance(side, sp.MatrixExpr):
            return entry(side, point, *((*(indices[row] for row in rows), 1)[:2]))
        return evaluate(side, point, indices)

    return value(step.before), value(step.after)


def _place(point: Point, indices: Indices) -> str:
    return ", ".join([f"n = {point.n}", *(f"{index} = {value}" for index, value in indices.items())])
