"""Search for the known mistakes that give exactly the returned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.checking._batches import batch_near
from softgrad.checking._cause import MULTIPLES
from softgrad.checking._comparison import Comparison, relative_error
from softgrad.checking._known_causes import known_causes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._cause import Cause, Factor, Formula, Parameter, ParametricFormula
    from softgrad.checking._reference import Reference
    from softgrad.checking._user_function import Output

# Starting points of the search for a constant: common eps, down to the smallest float64, and limits of clipped logits.
_STEPS = {
    "eps": (0.5, *(10.0**-k for k in range(2, 20, 2)), *(10.0**-k for k in range(20, 320, 50)), 1e-323),
    "limit": (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 88.0, 100.0, 300.0, 500.0, 700.0),
}


class Diagnosis(NamedTuple):
    """A mistake, or two at once, that explains every result."""

    name: str
    explanation: str
    advice: str


@dataclass(frozen=True)
class _Hypothesis:
    """A mistake, or two at once: that of the formulas, and a factor or the missing weight of the target."""

    causes: tuple[Cause, ...]
    formulas: tuple[Formula, ...]
    parametric: tuple[ParametricFormula, ...] = ()
    parameter: Parameter | None = None
    is_weighted: bool = True

    @property
    def name(self) -> str:
        return "; and ".join(cause.name for cause in self.causes)

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        return tuple(cause.factor for cause in self.causes if cause.factor is not None)

    def factor(self, batch: Batch) -> float:
        return math.prod(factor(batch) for factor in self.factors)

    def batch(self, batch: Batch) -> Batch:
        return batch if self.is_weighted else batch.unweighted

    def without_constant(self, formula: Formula) -> Formula:
        return lambda batch: self.factor(batch) * self.batch(batch).result(formula)

    def with_constant(self, constant: float, formula: ParametricFormula) -> Formula:
        return lambda batch: self.factor(batch) * formula(self.batch(batch), constant)

    def with_each_constant(self, constants: tuple[float, ...], formula: ParametricFormula, batch: Batch) -> Array:
        """Stack the predictions with each of the constants."""
        return self.factor(batch) * self.batch(batch).results(formula, constants)

    def diagnosis(self, constant: str = "") -> Diagnosis:
        texts = [cause.explanation.replace("{parameter}", constant) for cause in self.causes]
        intro = ["Two mistakes at once."] if len(texts) > 1 else []
        advice = dict.fromkeys(line for cause in self.causes for line in cause.advice.splitlines())
        return Diagnosis(self.name, " ".join([*intro, *texts]), "\n".join(advice))


def diagnose(output: Output, comparisons: Sequence[Comparison]) -> list[Diagnosis]:
    """Find all mistakes that explain the results; two at a time only if no single one does."""
    # The worst result first: it refutes most of them.
    worst_first = sorted(comparisons, key=lambda c: -c.error)
    causes = known_causes(output.reference, output.function.setting)
    for hypotheses in (_single_mistakes, _pairs_of_mistakes):
        found: dict[str, Diagnosis] = {}
        for hypothesis in hypotheses(output.reference, causes):
            if diagnosis := _test(hypothesis, worst_first, output):
                found[hypothesis.name] = diagnosis
        if found:
            return list(found.values())
    return []


def _single_mistakes(reference: Reference, causes: Sequence[Cause]) -> Iterator[_Hypothesis]:
    for cause in causes:
        formulas = cause.formulas if cause.factor is None else (reference.exact,)
        yield _Hypothesis((cause,), formulas, cause.parametric, cause.parameter)


def _pairs_of_mistakes(reference: Reference, causes: tuple[Cause, ...]) -> Iterator[_Hypothesis]:
    factors = [cause for cause in causes if cause.factor is not None and cause not in MULTIPLES]
    name = reference.unweighted and reference.unweighted.name
    unweighted = next((cause for cause in causes if cause.name == name), None)
    # Limits and thresholds are rarely combined with another mistake, and cost time; the first factor is the sign.
    bases = [cause for cause in causes if cause.factor is None and cause.parameter in {None, "eps"}]
    for base in _single_mistakes(reference, [*bases, *factors[:1]]):
        (cause,) = base.causes
        others = [factor for factor in factors if factor.name != cause.name]
        yield from (_with(base, factor, is_weighted=True) for factor in others)
        if unweighted is not None and cause is not unweighted:
            yield _with(base, unweighted, is_weighted=False)


def _with(base: _Hypothesis, other: Cause, *, is_weighted: bool) -> _Hypothesis:
    return _Hypothesis((*base.causes, other), base.formulas, base.parametric, base.parameter, is_weighted)


def _test(hypothesis: _Hypothesis, comparisons: list[Comparison], output: Output) -> Diagnosis | None:
    """Return the diagnosis if the hypothesis explains every result."""
    for formula in hypothesis.formulas:
        if _fits(hypothesis.without_constant(formula), comparisons):
            return hypothesis.diagnosis()
    if hypothesis.parametric and _are_zero(comparisons):
        return None  # zeros are no evidence of a constant
    for parametric in hypothesis.parametric:
        constant = _constant(hypothesis, parametric, comparisons, output)
        if constant is not None:
            return hypothesis.diagnosis(constant)
    return None


def _are_zero(comparisons: list[Comparison]) -> bool:
    return all(
        comparison.returned is not None and np.abs(comparison.returned).max(initial=0) <= comparison.tolerance
        for comparison in comparisons
    )


def _fits(prediction: Formula, comparisons: Sequence[Comparison]) -> bool:
    return all(_fits_one(prediction(comparison.batch), comparison) for comparison in comparisons)


def _is_refuted(predicted: Array, comparison: Comparison) -> bool:
    """Whether one entry already differs, which saves most comparisons; NaN refutes nothing."""
    array, at = comparison.returned, comparison.largest_entry
    if array is None or not array.size or array.shape != predicted.shape:
        return False
    entry = predicted.flat[at]
    return bool(abs(entry - array.flat[at]) > comparison.tolerance * max(abs(entry), comparison.magnitude))


def _fits_one(predicted: Array, comparison: Comparison) -> bool:
    if _is_refuted(predicted, comparison):
        return False
    finite = np.isfinite(predicted)
    array = comparison.returned
    if array is None:
        return not finite.all()
    if array.shape != predicted.shape:
        return False
    if not finite.all():
        # Autograd spreads NaN over a whole row, and whether 1/0 or 0/0 comes first depends on the implementation:
        # only the rows with such entries count.
        rows = len(predicted) if predicted.ndim else 1
        whole = finite.reshape(rows, -1).all(axis=1)
        if not np.array_equal(whole, np.isfinite(array).reshape(rows, -1).all(axis=1)):
            return False
        array, predicted = array.reshape(rows, -1)[whole], predicted.reshape(rows, -1)[whole]
    return relative_error(array, predicted, comparison.magnitude) <= comparison.tolerance


def _constant(
    hypothesis: _Hypothesis, formula: ParametricFormula, comparisons: list[Comparison], output: Output
) -> str | None:
    """The constant with which a formula fits all results, as text; None if there is none."""
    value = _solve(hypothesis, formula, _steps(hypothesis.parameter, comparisons), comparisons)
    # With a constant of 0 it would be another mistake, or none.
    if value is None or _fits(hypothesis.with_constant(0.0, formula), comparisons):
        return None
    if hypothesis.parameter == "threshold":
        return f"about {value:.0e}"
    if _fits(hypothesis.with_constant(1.5 * value, formula), comparisons):
        return "some constant"
    if hypothesis.parameter == "eps":
        near = _compare_near(value, comparisons[0], output)
        if near is None:
            return None
        value = _solve(hypothesis, formula, (0.5 * value, value, 2 * value), [near, *comparisons])
    return None if value is None else f"{value:.3g}"


def _steps(parameter: Parameter | None, comparisons: list[Comparison]) -> tuple[float, ...]:
    if parameter in _STEPS:
        return _STEPS[parameter]
    # Only the order of a threshold among the probabilities counts: one step between any two of them.
    probabilities = np.unique(np.concatenate([c.batch.probs.ravel() for c in comparisons]))
    positive = probabilities[probabilities > 0]
    return tuple(np.sqrt(positive[1:] * positive[:-1]).tolist())


def _solve(
    hypothesis: _Hypothesis, formula: ParametricFormula, steps: tuple[float, ...], comparisons: list[Comparison]
) -> float | None:
    """The constant that fits every result: one of the steps, or between two of them by bisection."""
    first = next((c for c in comparisons if c.is_finite), None)
    if first is None or first.returned is None:
        return None
    predicted = hypothesis.with_each_constant(steps, formula, first.batch)
    if predicted.shape[1:] != first.returned.shape:
        return None
    off = (predicted - first.returned).reshape(len(steps), -1)
    errors = np.abs(off) / np.maximum(np.abs(predicted), first.magnitude).reshape(off.shape)
    # NaN fits no tolerance.
    for step in np.flatnonzero((errors <= first.tolerance).all(axis=1)):
        if _fits(hypothesis.with_constant(steps[step], formula), comparisons):
            return steps[step]
    # Bisection on the entry that the constant changes most: the last step is the formula without it.
    entry = int(np.fmax(np.abs(off[-1]), 0).argmax())
    returned = first.returned.flat[entry]

    def miss(constant: float) -> float:
        return float(hypothesis.with_constant(constant, formula)(first.batch).flat[entry] - returned)

    signs = np.sign(off[:, entry])
    between = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    roots = (_bisect(miss, steps[k], steps[k + 1]) for k in between)
    return next((c for c in roots if _fits(hypothesis.with_constant(c, formula), comparisons)), None)


def _bisect(function: Callable[[float], float], one: float, other: float) -> float:
    """A root between two points of different sign, on a logarithmic scale."""
    at_one = function(one)
    for _ in range(44):  # at most 50 decades, which leaves 7e-12 of the constant
        middle = math.exp((math.log(one) + math.log(other)) / 2)
        if (function(middle) > 0) == (at_one > 0):
            one = middle
        else:
            other = middle
    return one


def _compare_near(value: float, comparison: Comparison, output: Output) -> Comparison | None:
    """Compare at probabilities of about the size of the constant, where its effect is largest."""
    batch = batch_near(value, comparison.batch.setting)
    try:
        returned = output.at(batch)
    except Exception:  # the user's function may raise anything; then nothing fits
        return None
    return Comparison(comparison.reference, batch, returned, comparison.tolerance)
