"""Reports: what has passed, what has failed, and what explains it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad._loss_spec import Reduction
from softgrad.checking._case import LARGE, SINGLE, asking
from softgrad.checking._laws import broken_laws
from softgrad.checking._patterns import patterns
from softgrad.checking._probes import large_probes, small_probes
from softgrad.checking._report import INCONCLUSIVE, KNOWN, PASS, UNKNOWN, Report, Stage

if TYPE_CHECKING:
    from softgrad.checking._answers import BrokenContractError
    from softgrad.checking._case import Case, Failure, Part
    from softgrad.checking._diagnosis import Diagnosis, Observation


def failed(
    case: Case,
    part: Part,
    observations: list[Observation],
    worst: Failure,
    diagnoses: list[Diagnosis],
    names: list[str],
    stage: str,
) -> Report:
    """A stage whose numbers are wrong."""
    report = report_up_to(
        case,
        UNKNOWN,
        names,
        stage,
        explanation=_unknown(part, observations, worst, stage),
        worst=worst.entry,
        broken_laws=() if stage == LARGE else _laws(case, part, observations),
        notes=() if diagnoses else patterns(part.kind.right, observations),
    )
    return with_diagnoses(report, diagnoses, case) if diagnoses else report


def _unknown(part: Part, observations: list[Observation], worst: Failure, stage: str) -> str:
    what = "loss" if part.is_loss else "answer"
    where = "With logits of ±1000" if stage == LARGE else "With moderate logits"
    raised = next((o.raised for o in observations if o.raised), "")
    if raised:
        return f"{where} the function raises {raised}. With moderate ones it is right."
    if not np.isfinite(worst.entry.got):
        return f"{where} the {what} is not finite; the right one is."
    text = f"{where} the {what} is off by up to {worst.error:.2g} of the size of its terms."
    return f"{text} With moderate ones it is right." if stage == LARGE else text


def _laws(case: Case, part: Part, observations: list[Observation]) -> tuple[str, ...]:
    # The row sums of a batch of one row, or of two classes, are too easily right.
    first = observations[0]
    if first.array is None or not np.isfinite(first.array).all():
        return ()
    allowance = 10 * first.tolerance * max(first.size, float(np.abs(first.array).max(initial=0)))
    try:
        return broken_laws(part.kind.laws, first.array, first.probe, asking(case, part), allowance)
    except Exception:  # raised by the user's function at an input that no stage has tried
        return ()


def with_diagnoses(report: Report, diagnoses: list[Diagnosis], case: Case) -> Report:
    """The report with the mistake that explains the answers, or with the several that do."""
    if len(diagnoses) == 1:
        name, explanation, advice = diagnoses[0]
        if case.target == "index" and re.search(r"\by\b", advice):
            advice += "\nwith the target one-hot: y = np.eye(z.shape[1])[target]"
        if case.spec.reduction is Reduction.mean and "len(z)" not in advice:
            advice += "\nand divide the whole by len(z), for the mean"
        return replace(report, verdict=KNOWN, cause=name, explanation=explanation, advice=advice)
    listing = ", or ".join(f'"{diagnosis.name}"' for diagnosis in diagnoses)
    return replace(
        report,
        verdict=INCONCLUSIVE,
        explanation=f"The answer is wrong, and more than one mistake gives exactly these numbers: {listing}.",
        advice="\n".join(dict.fromkeys(diagnosis.advice for diagnosis in diagnoses)),
    )


def broken_contract(case: Case, problem: BrokenContractError, names: list[str], stage: str) -> Report:
    """A stage that ended without numbers to compare."""
    verdict = INCONCLUSIVE if problem.cause is None else KNOWN
    return report_up_to(
        case, verdict, names, stage, cause=problem.cause, explanation=problem.explanation, advice=problem.advice
    )


def imprecise(case: Case, rough: Failure, names: list[str]) -> Report:
    """All stages passed to five digits, but not to rounding."""
    report = report_up_to(case, INCONCLUSIVE, names, LARGE, worst=rough.entry)
    return replace(
        report,
        stages=tuple(Stage(name, "passed") for name in names),
        explanation=(
            f"The answer is float64, and right to about {rough.error:.0e} of the size of its terms: as much as "
            "finite differences give, or a small constant in the wrong place, but not the formula in float64."
        ),
        advice="compute in float64 throughout, from the closed form",
    )


def passed(case: Case, names: list[str], largest_error: float, is_single: bool) -> Report:
    """All stages passed."""
    batches = len(small_probes(case.target, case.spec)) + len(large_probes(case.target, case.spec))
    notes = [f"{batches} batches, logits up to ±1000; largest error {largest_error:.1e} of the size of the terms"]
    if is_single:
        notes.append(
            f"it computes in float32, so errors below {SINGLE.small:g} ({SINGLE.large:g} at ±1000) count as rounding"
        )
    return Report(
        case.kind.name, case.subject, PASS, tuple(Stage(name, "passed") for name in names), notes=tuple(notes)
    )


def report_up_to(case: Case, verdict: str, names: list[str], stage: str, **contents: Any) -> Report:
    """A report of the stages before one, and of that one, which failed."""
    at = names.index(stage)
    states = ["passed"] * at + ["failed"] + ["not reached"] * (len(names) - at - 1)
    stages = tuple(Stage(name, state) for name, state in zip(names, states, strict=True))
    return Report(case.kind.name, case.subject, verdict, stages, **contents)
