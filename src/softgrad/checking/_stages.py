"""The stages of a check, one after the other, up to the first that fails, and the report on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from softgrad.checking._batches import large_batches, moderate_batches
from softgrad.checking._cause import CODE, IF_ONE_HOT
from softgrad.checking._code import right_code
from softgrad.checking._comparison import DOUBLE, SINGLE, Comparison, error_pattern, relative_error
from softgrad.checking._diagnosis import diagnose
from softgrad.checking._report import INCONCLUSIVE, KNOWN, PASS, UNKNOWN, Report, Stage
from softgrad.checking._single_mode import with_single_mode
from softgrad.checking._smallest_example import smallest_example
from softgrad.checking._user_function import InvalidResultError, Output, Returned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._comparison import Tolerance
    from softgrad.checking._diagnosis import Diagnosis
    from softgrad.checking._reference import StageName
    from softgrad.checking._report import Verdict
    from softgrad.checking._user_function import UserFunction

SHAPE: Final = "shape and dtype"
LARGE: Final = "large logits"
# Changes no float32 number, and every float64 one but 0.
_NUDGE = 1 + 2.0**-30
_IF_ONE_HOT = 'if every target sums to one, check with target="one-hot" or "probabilities" (--target one-hot)'
_LETTERS = {"dx": "(B, D)", "dW": "(C, D)", "dbias": "(C,)"}
_LETTERS_BY_AXES = {True: ("()", "(B,)", "(B, C)", "(B, C, C)"), False: ("()", "(C,)", "(C, C)")}


@np.errstate(all="ignore")  # large logits are meant to overflow; the results show it
def run_stages(function: UserFunction) -> Report:
    """Check a function in stages: shape and dtype, value, derivative, large logits."""
    return with_single_mode(_run(function), function)


def _run(function: UserFunction) -> Report:
    names: list[StageName] = [SHAPE, function.reference.stage]
    if large_batches(function.setting):
        names.append(LARGE)
    try:
        calls = [(batch, function.call_or_explain(batch)) for batch in moderate_batches(function.setting)]
        batch, first = calls[0]
        _require_same(first, function.call_or_explain(batch))
        tolerance = _tolerance(function, batch, first)
        moderate = [
            (output, [Comparison(output.reference, b, output.of(r), tolerance.moderate) for b, r in calls])
            for output in _outputs(function, first)
        ]
    except InvalidResultError as error:
        return _report_on_invalid_result(function, error, names, SHAPE)
    names[1:2] = [output.reference.stage for output, _ in moderate]
    for output, comparisons in moderate:
        if report := _report_on_shape(output, comparisons, names):
            return report
    return _check_numbers(function, moderate, tolerance, names)


def _check_numbers(
    function: UserFunction,
    moderate: list[tuple[Output, list[Comparison]]],
    tolerance: Tolerance,
    names: list[StageName],
) -> Report:
    imprecise: Comparison | None = None
    largest_error = 0.0
    stages: list[tuple[StageName, Output, list[Comparison]]] = [(o.reference.stage, o, c) for o, c in moderate]
    if LARGE in names:
        stages += [(LARGE, o, c) for o, c in moderate]
    for stage, output, comparisons in stages:
        if stage == LARGE:
            try:
                comparisons.extend(_compare_large(output, tolerance))
            except InvalidResultError as error:
                return _report_on_invalid_result(function, error, names, LARGE)
        worst = max(comparisons, key=lambda c: c.error)
        largest_error = max(largest_error, worst.error)
        if all(comparison.is_exact for comparison in comparisons):
            continue
        diagnoses = diagnose(output, comparisons)
        if diagnoses or worst.error > SINGLE.moderate:
            return _report_on_numbers(output, comparisons, worst, diagnoses, names, stage)
        # Right to five digits: the next stages tell whether it is more than a lack of precision.
        imprecise = worst
    if imprecise is not None:
        return _report_on_precision(function, imprecise, names)
    return _report_on_success(function, names, largest_error, is_single=tolerance is SINGLE)


def _require_same(first: Returned, again: Returned) -> None:
    if not all(map(_are_same, first.results, again.results)):
        raise InvalidResultError(
            None,
            "The function returns two different results for the same input: it is random, or it keeps state between "
            "calls.",
            "fix the seed, turn dropout off, and start from fresh arrays in every call",
        )


def _are_same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and (
        np.array_equal(one, other, equal_nan=True) or relative_error(other, one, 1.0) <= SINGLE.moderate
    )


def _tolerance(function: UserFunction, batch: Batch, first: Returned) -> Tolerance:
    """Float32's if the function computes in float32, whatever dtype it returns: a tiny change of the input is lost."""
    if first.is_single:
        return SINGLE
    try:
        nudged = function.call(batch.scaled(_NUDGE))
    except Exception:  # judged by its results for the batches themselves
        return DOUBLE
    return SINGLE if all(map(np.array_equal, nudged.results, first.results)) else DOUBLE


def _outputs(function: UserFunction, first: Returned) -> list[Output]:
    parts = function.reference.parts or (function.reference,)
    results = [Output(function, part, position) for position, part in enumerate(parts)]
    if first.loss is None or function.reference.loss is None:
        return results
    return [Output(function, function.reference.loss, None), *results]


def _compare_large(output: Output, tolerance: Tolerance) -> list[Comparison]:
    comparisons = []
    for batch in large_batches(output.function.setting):
        array: Array | None = None
        raised = ""
        try:
            array = output.at(batch)
        except InvalidResultError:
            raise
        except Exception as error:  # math.exp raises where NumPy's overflows
            raised = f"{type(error).__name__}: {error}"
        comparison = Comparison(output.reference, batch, array, tolerance.large, raised)
        if array is not None and array.shape != comparison.expected.shape:
            raise InvalidResultError(
                None,
                f"With logits of ±1000 the result has shape {array.shape}; expected {comparison.expected.shape}, as "
                "before.",
                "return the same shape for all inputs",
            )
        comparisons.append(comparison)
    return comparisons


def _report_on_invalid_result(
    function: UserFunction, error: InvalidResultError, names: list[StageName], stage: StageName
) -> Report:
    return _report(
        function,
        INCONCLUSIVE if error.cause is None else KNOWN,
        _states(names, stage),
        cause=error.cause,
        explanation=error.explanation,
        advice=error.advice,
    )


def _report_on_shape(output: Output, comparisons: list[Comparison], names: list[StageName]) -> Report | None:
    """Report results of a wrong shape, with the mistake that gives these numbers in this shape."""
    wrong = next((c for c in comparisons if c.returned is not None and c.returned.shape != c.expected.shape), None)
    if wrong is None or wrong.returned is None:
        return None
    states, expected = _states(names, SHAPE), wrong.expected
    is_batch = output.function.setting.batched
    received, exact = (array.shape if is_batch else array.shape[1:] for array in (wrong.returned, expected))
    given = output.reference.inputs(wrong.batch)[0].shape
    letters = _LETTERS.get(output.noun) or _LETTERS_BY_AXES[is_batch][len(exact)]
    text = (
        f"The {output.noun} for {output.function.names[0]} of shape {given if is_batch else given[1:]} has shape "
        f"{received}; expected {exact}, that is {letters if exact else 'one number'}."
    )
    if diagnoses := diagnose(output, comparisons):
        return _with_diagnoses(_report(output.function, KNOWN, states, notes=(text,)), diagnoses, output)
    advice = f"return an array of shape {letters}" if exact else "return one number, not an array"
    return _report(output.function, UNKNOWN, states, explanation=text, advice=advice)


def _report_on_numbers(
    output: Output,
    comparisons: list[Comparison],
    worst: Comparison,
    diagnoses: list[Diagnosis],
    names: list[StageName],
    stage: StageName,
) -> Report:
    """Report wrong numbers, with the mistakes that explain them or the pattern of their errors."""
    report = _report(
        output.function,
        UNKNOWN,
        _states(names, stage),
        explanation=_unknown(output, comparisons, worst, stage),
        worst=worst.worst_entry(),
        example=smallest_example(output, comparisons[0].tolerance),
        violated_properties=() if stage == LARGE else _violated_properties(output, comparisons[0]),
        notes=() if diagnoses else error_pattern(comparisons),
    )
    return _with_diagnoses(report, diagnoses, output) if diagnoses else report


def _unknown(output: Output, comparisons: list[Comparison], worst: Comparison, stage: StageName) -> str:
    where = "With logits of ±1000" if stage == LARGE else "With moderate logits"
    raised = next((c.raised for c in comparisons if c.raised), "")
    if raised:
        return f"{where} the function raises {raised}. With moderate logits it is right."
    if not np.isfinite(worst.worst_entry().received):
        return f"{where} the {output.noun} is not finite; the exact one is."
    text = f"{where} the largest error of the {output.noun} is {worst.error:.2g} times the magnitude of its terms."
    return f"{text} With moderate logits it is right." if stage == LARGE else text


def _violated_properties(output: Output, first: Comparison) -> tuple[str, ...]:
    # The first batch has several rows and more than two classes: with fewer, some properties always hold.
    if first.returned is None or not first.is_finite:
        return ()
    allowance = 10 * first.tolerance * max(first.magnitude, float(np.abs(first.returned).max(initial=0)))
    try:
        return tuple(
            name
            for name, violation in output.reference.properties
            if violation(first.returned, first.batch, output.at) > allowance
        )
    except Exception:  # raised by the user's function at an input that no stage has tried
        return ()


def _with_diagnoses(report: Report, diagnoses: Sequence[Diagnosis], output: Output) -> Report:
    """Add the mistake that explains the results, or the list of those that do."""
    if len(diagnoses) == 1:
        name, explanation, advice = diagnoses[0]
        if output.function.reference.parts:
            name = f"{output.noun}: {name}"
        return replace(report, verdict=KNOWN, cause=name, explanation=explanation, advice=_advice(advice, output))
    lines = dict.fromkeys(line for diagnosis in diagnoses for line in diagnosis.advice.splitlines())
    listing = ", or ".join(f'"{diagnosis.name}"' for diagnosis in diagnoses)
    return replace(
        report,
        verdict=INCONCLUSIVE,
        explanation=f"The result is wrong, and more than one mistake gives exactly these numbers: {listing}.",
        advice=_advice("\n".join(lines), output),
    )


def _advice(text: str, output: Output) -> str:
    """The advice in the setting of the check."""
    setting = output.function.setting
    is_free = setting.target == "weighted" and setting.class_weight is None
    code = right_code(output.reference.kind, output.reference.names(setting), setting)
    return text.replace(CODE, code).replace(IF_ONE_HOT, _IF_ONE_HOT if is_free else "").rstrip()


def _report_on_precision(function: UserFunction, imprecise: Comparison, names: list[StageName]) -> Report:
    """Report that all stages passed to five digits, but not to rounding."""
    return _report(
        function,
        INCONCLUSIVE,
        _states(names),
        explanation=(
            f"The result is float64, and its error is about {imprecise.error:.0e} times the magnitude of its terms: as "
            "for finite differences, or a small constant in the wrong place, but too large for the closed form in "
            "float64."
        ),
        advice="compute in float64 throughout, from the closed form",
        worst=imprecise.worst_entry(),
    )


def _report_on_success(
    function: UserFunction, names: list[StageName], largest_error: float, *, is_single: bool
) -> Report:
    batches = sum(len(make(function.setting)) for make in (moderate_batches, large_batches))
    logits = "logits up to ±1000" if LARGE in names else "moderate probabilities"
    notes = [f"{batches} batches, {logits}; largest error {largest_error:.1e} times the magnitude of the terms"]
    if is_single:
        notes.append(
            "the function computes in float32, so errors below "
            f"{SINGLE.moderate:g} ({SINGLE.large:g} at ±1000) count as rounding"
        )
    return _report(function, PASS, _states(names), notes=tuple(notes))


def _report(function: UserFunction, verdict: Verdict, stages: tuple[Stage, ...], **contents: Any) -> Report:
    return Report(function.reference.kind, function.name, verdict, stages, **contents)


def _states(names: list[StageName], failed: StageName | None = None) -> tuple[Stage, ...]:
    at = len(names) if failed is None else names.index(failed)
    return tuple(
        Stage(name, "passed" if i < at else "failed" if i == at else "not reached") for i, name in enumerate(names)
    )
