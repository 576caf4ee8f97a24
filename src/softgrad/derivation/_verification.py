"""Verification of a derivation: every step independently of the rules, the results against the shipped functions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product as every
from typing import TYPE_CHECKING, Any, NamedTuple

import mpmath
import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation._expressions import D, W, free_indices, n
from softgrad.derivation._values import (
    DIGITS,
    FEATURES,
    Indices,
    Values,
    entry,
    evaluate,
    holds,
    random_values,
    size,
    symbolic_values,
)
from softgrad.derivation._zero_test import is_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from softgrad.derivation._content import Content, Result, Step

    Array = NDArray[np.float64]

_SIZES = range(2, 6)
_LARGE = 7
_AGREEMENT = mpmath.mpf(10) ** -50
_SAMPLES = 2
_SEED = 20160607
# Relative, of the float64 results of the shipped functions.
_TOLERANCE = 1e-13

PROVED = f"proved for n = {_SIZES[0]}…{_SIZES[-1]}"
CHECKED = f"checked numerically (n = {_LARGE}, 50 digits)"


@dataclass(frozen=True)
class StepCheck:
    """The check of one step.

    Attributes
    ----------
    rule : str
        The step's rule.
    proved : bool
        Whether both sides are proved equal symbolically, at n = 2, 3, 4 and 5.
    failure : str or None
        The error; None for a step that passed, which agrees to 50 digits at n = 7, whether proved or not.
    """

    rule: str
    proved: bool
    failure: str | None = None

    def __str__(self) -> str:
        return f"FAILS: {self.failure}" if self.failure else PROVED if self.proved else CHECKED


class KernelCheck(NamedTuple):
    """The name of the shipped function and its largest relative error."""

    function: str
    error: float

    @property
    def passed(self) -> bool:
        """Whether the error is no larger than rounding explains."""
        return self.error <= _TOLERANCE

    def __str__(self) -> str:
        if self.passed:
            return f"the results agree with softgrad.{self.function} to {self.error:.1g}"
        return f"FAILS: the results differ from softgrad.{self.function} by {self.error:.1g}"


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
        The comparison of the results with softgrad's function: ``function``, ``error`` (relative) and ``passed``.
    """

    name: str
    steps: tuple[StepCheck, ...]
    kernel: KernelCheck

    @property
    def passed(self) -> bool:
        """Whether no step failed, and the results agree with softgrad's function."""
        return self.failed_step is None and self.kernel.passed

    @property
    def failed_step(self) -> int | None:
        """Position in `steps` of the first failure; None if there is none."""
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


def verify(content: Content) -> Verification:
    """Check all steps, and compare the results with the shipped function."""
    head = any(step.before.has(W) for step in content.steps)
    generator = random.Random(_SEED)
    with mpmath.workdps(DIGITS):
        # By whether the targets sum to one.
        symbolic = {one: [symbolic_values(n, head=head, sum_is_one=one) for n in _SIZES] for one in (False, True)}
        numeric = {
            one: [random_values(_LARGE, generator, head=head, sum_is_one=one) for _ in range(_SAMPLES)]
            for one in (False, True)
        }
        breaks = _breaks(content)
        checks = tuple(
            StepCheck(step.rule, False, broken) if broken else _check(step, symbolic, numeric)
            for step, broken in zip(content.steps, breaks, strict=True)
        )
        kernel = _check_results(content, numeric[False][0])
    return Verification(content.name, checks, kernel)


def _breaks(content: Content) -> Iterator[str | None]:
    """Yield for every step the error in the line that it begins with, or None."""
    lines: list[Any] = []
    for section in content.sections:
        before = section.start
        missing = [number for number in section.follows if not _contains(before, lines, number)]
        broken = f"its first line does not contain line ({missing[0]})" if missing else None
        for step in section.steps:
            yield broken or (None if step.before == before else "it does not begin with the line before")
            before, broken = step.after, None
            lines.append(step.after)


def _contains(start: Any, lines: list[Any], number: int) -> bool:
    return number <= len(lines) and lines[number - 1] in sp.preorder_traversal(start)


def _check(step: Step, symbolic: dict[bool, list[Values]], numeric: dict[bool, list[Values]]) -> StepCheck:
    sum_is_one = isinstance(step.condition, sp.Eq) and isinstance(step.condition.args[0], sp.Sum)
    proved = True
    for values in symbolic[sum_is_one]:
        for indices in _assignments(step, values):
            before, after = _sides(step, values, indices)
            zero = is_zero(values.with_logits_for_biases(before - after))
            if zero is False:
                return StepCheck(step.rule, False, f"the sides differ at {_place(values, indices)}")
            proved = proved and zero is True
    for values in numeric[sum_is_one]:
        pairs = [(indices, *_sides(step, values, indices)) for indices in _assignments(step, values)]
        scale = max(max(abs(before), abs(after)) for _, before, after in pairs)
        for indices, before, after in pairs:
            if not abs(before - after) <= _AGREEMENT * scale:
                sides = f"{mpmath.nstr(before, 6)} against {mpmath.nstr(after, 6)}"
                return StepCheck(step.rule, False, f"the sides differ at {_place(values, indices)}: {sides}")
    return StepCheck(step.rule, proved)


def _assignments(step: Step, values: Values) -> Iterator[Indices]:
    """Yield all values of the step's free indices that its condition allows."""
    free = sorted(free_indices(step.before) | free_indices(step.after), key=str)
    for combination in every(*(range(1, size(index, values) + 1) for index in free)):
        indices = dict(zip(free, combination, strict=True))
        if holds(step.condition, indices):
            yield indices


def _sides(step: Step, values: Values, indices: Indices) -> tuple[Any, Any]:
    rows = tuple(step.before.args[0]) if isinstance(step.before, sp.Lambda) else ()

    def value(side: Any) -> Any:
        if isinstance(side, sp.Lambda):
            return evaluate(side.args[1], values, indices)
        if isinstance(side, sp.MatrixExpr):
            return entry(side, values, *((*(indices[row] for row in rows), 1)[:2]))
        return evaluate(side, values, indices)

    return value(step.before), value(step.after)


def _place(values: Values, indices: Indices) -> str:
    return ", ".join([f"n = {values.n}", *(f"{index} = {value}" for index, value in indices.items())])


class _Arrays(NamedTuple):
    z: Array
    y: Array
    x: Array
    W: Array
    b: Array


def _check_results(content: Content, values: Values) -> KernelCheck:
    """Compare the results for these values with those of the shipped function."""
    function, shipped = _SHIPPED[content.name]
    errors = []
    for position, result in enumerate(content.results):
        at = values if result.condition is None else _one_hot(values)
        array = np.asarray(shipped(_arrays(at))[position])
        errors.append(_largest_error(array, _exact(result, at)))
    return KernelCheck(function, max(errors))


def _one_hot(values: Values) -> Values:
    zero, one = mpmath.mpf(0), mpmath.mpf(1)
    return values.with_components({("y", (c,)): one if c == 2 else zero for c in range(1, values.n + 1)})


def _arrays(values: Values) -> _Arrays:
    def array(name: str) -> Array:
        keys = sorted(key for key in values.components if key[0] == name)
        shape = tuple(max(key[1][axis] for key in keys) for axis in range(len(keys[0][1]))) if keys else (0,)
        return np.array([float(values.components[key]) for key in keys]).reshape(shape)

    return _Arrays(*map(array, _Arrays._fields))


def _exact(result: Result, values: Values) -> list[Any]:
    """Evaluate all entries of a result, row by row."""
    right = result.right
    if isinstance(right, sp.MatrixExpr):
        rows, columns = (range(1, {n: values.n, D: FEATURES, sp.S.One: 1}[length] + 1) for length in right.shape)
        return [entry(right, values, row, column) for row, column in every(rows, columns)]
    indices = sorted(free_indices(right), key=str)
    combinations = every(*(range(1, size(index, values) + 1) for index in indices))
    return [evaluate(right, values, dict(zip(indices, combination, strict=True))) for combination in combinations]


def _largest_error(array: Array, exact: list[Any]) -> float:
    if array.size != len(exact):
        return np.inf
    return max(
        0.0 if computed == true else float(abs((mpmath.mpf(computed) - true) / (true or mpmath.mpf(5e-324))))
        for computed, true in zip(array.ravel().tolist(), exact, strict=True)
    )


def _head(at: _Arrays) -> list[Any]:
    gradient = sg.linear_cross_entropy_value_and_grad(
        at.x[np.newaxis], at.W, at.y[np.newaxis], bias=at.b, reduction="sum"
    )[1]
    return [gradient.W, gradient.x, gradient.bias]


# The name of the function, and one array for each result.
_SHIPPED: dict[str, tuple[str, Callable[[_Arrays], list[Any]]]] = {
    "softmax": ("softmax_jacobian", lambda at: [sg.softmax_jacobian(at.z).to_dense()] * 2),
    "log-softmax": ("log_softmax_jacobian", lambda at: [sg.log_softmax_jacobian(at.z).to_dense()] * 2),
    "logsumexp": ("softmax", lambda at: [sg.softmax(at.z)] * 2),
    "cross-entropy": ("cross_entropy_grad", lambda at: [sg.cross_entropy_grad(at.z, at.y, reduction="sum")] * 3),
    "cross-entropy-hessian": (
        "cross_entropy_hessian",
        lambda at: [sg.cross_entropy_hessian(at.z, at.y, reduction="sum").to_dense()] * 2,
    ),
    "linear-head": ("linear_cross_entropy_value_and_grad", _head),
}
