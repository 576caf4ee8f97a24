"""The stages of a check, one after the other, up to the first that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking import _kinds
from softgrad.checking._answers import Answer, BrokenContractError, ask, describe_exception
from softgrad.checking._case import CONTRACT, DOUBLE, LARGE, SINGLE, Part, asking, worst_of
from softgrad.checking._diagnosis import Observation, diagnose, error_of, misfit
from softgrad.checking._probes import large_probes, small_probes
from softgrad.checking._report import KNOWN, UNKNOWN
from softgrad.checking._verdicts import broken_contract, failed, imprecise, passed, report_up_to, with_diagnoses

if TYPE_CHECKING:
    from softgrad.checking._case import Case, Failure, Tolerance
    from softgrad.checking._probes import Probe
    from softgrad.checking._report import Report

# Changes no float32 number, and every float64 one but 0.
_NUDGE = 1 + 2.0**-30


@np.errstate(all="ignore")  # overflow is what large logits are for; the answers show it
def examine(case: Case) -> Report:
    """Check a function in stages: contract, value, derivative, large logits."""
    probes = small_probes(case.target, case.spec)
    names = [CONTRACT, case.kind.stage, LARGE]
    try:
        answers = _small_answers(case, probes)
        parts = _parts(case, answers)
        names[1:2] = [part.kind.stage for part in parts]
        for part in parts:
            report = _check_shapes(case, part, probes, answers, names)
            if report is not None:
                return report
    except BrokenContractError as problem:
        return broken_contract(case, problem, names, CONTRACT)
    is_single = answers[0].is_single or _ignores_nudge(case, probes[0], answers[0])
    tolerance = SINGLE if is_single else DOUBLE
    largest_error = 0.0
    rough: Failure | None = None
    for stage, part in [*((part.kind.stage, part) for part in parts), *((LARGE, part) for part in parts)]:
        observations = _observations(part, probes, answers, tolerance)
        if stage == LARGE:
            try:
                observations += _large_observations(case, part, tolerance)
            except BrokenContractError as problem:
                return broken_contract(case, problem, names, LARGE)
        worst = worst_of(part.kind, observations)
        largest_error = max(largest_error, worst.error)
        if all(error_of(part.kind, o) <= o.tolerance for o in observations):
            continue
        diagnoses = diagnose(part.kind, observations, asking(case, part))
        if not diagnoses and worst.error <= SINGLE.small:
            # Right to five digits: the next stages tell whether it is more than a lack of precision.
            rough = worst
            continue
        return failed(case, part, observations, worst, diagnoses, names, stage)
    if rough is not None:
        return imprecise(case, rough, names)
    return passed(case, names, largest_error, is_single)


def _small_answers(case: Case, probes: tuple[Probe, ...]) -> list[Answer]:
    def answer(probe: Probe) -> Answer:
        try:
            return ask(case.fn, case.kind, probe)
        except BrokenContractError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise describe_exception(error, case.kind, probe) from None

    answers = [answer(probe) for probe in probes]
    again, first = answer(probes[0]).array, answers[0].array
    same = again.shape == first.shape and (
        np.array_equal(again, first, equal_nan=True) or misfit(again, first, 1.0) <= SINGLE.small
    )
    if not same:
        raise BrokenContractError(
            None,
            "The function gives two different answers to the same input: it is random, or it keeps something from the "
            "call before.",
            "fix the seed, switch dropout off, and start from fresh arrays in every call",
        )
    return answers


def _parts(case: Case, answers: list[Answer]) -> list[Part]:
    gradient = Part(case.kind, is_loss=False)
    return [gradient] if answers[0].loss is None else [Part(_kinds.CROSS_ENTROPY, is_loss=True), gradient]


def _check_shapes(
    case: Case, part: Part, probes: tuple[Probe, ...], answers: list[Answer], names: list[str]
) -> Report | None:
    """A report if the answers have a wrong shape, with the mistake that gives these numbers in this shape."""
    for probe, answer in zip(probes, answers, strict=True):
        right, got = part.kind.right(probe), part.of(answer)
        if got.shape == right.shape:
            continue
        tolerance = SINGLE if answer.is_single else DOUBLE
        diagnoses = diagnose(part.kind, _observations(part, probes, answers, tolerance), asking(case, part))
        letters = ("()", "(B,)", "(B, C)", "(B, C, C)")[right.ndim]
        text = (
            f"The {'loss' if part.is_loss else 'answer'} for z of shape {probe.logits.shape} has shape {got.shape}; "
            f"expected {right.shape}, that is {letters if right.ndim else 'one number'}."
        )
        if not diagnoses:
            advice = f"return an array of shape {letters}" if right.ndim else "return one number, not an array"
            return report_up_to(case, UNKNOWN, names, CONTRACT, explanation=text, advice=advice)
        return with_diagnoses(report_up_to(case, KNOWN, names, CONTRACT, notes=(text,)), diagnoses, case)
    return None


def _ignores_nudge(case: Case, probe: Probe, answer: Answer) -> bool:
    """Whether the function computes in float32, whatever dtype it returns: then a tiny change of the input is lost."""
    try:
        nudged = ask(case.fn, case.kind, replace(probe, logits=probe.logits * _NUDGE))
    except Exception:  # judged by its answers to the probes themselves
        return False
    return np.array_equal(nudged.array, answer.array)


def _observations(
    part: Part, probes: tuple[Probe, ...], answers: list[Answer], tolerance: Tolerance
) -> list[Observation]:
    return [
        Observation(probe, part.of(answer), part.kind.size(probe), tolerance.small)
        for probe, answer in zip(probes, answers, strict=True)
    ]


def _large_observations(case: Case, part: Part, tolerance: Tolerance) -> list[Observation]:
    observations = []
    for probe in large_probes(case.target, case.spec):
        array, raised = None, ""
        try:
            array = part.of(ask(case.fn, case.kind, probe))
        except BrokenContractError:
            raise
        except Exception as error:  # math.exp raises where NumPy's overflows
            raised = f"{type(error).__name__}: {error}"
        right = part.kind.right(probe)
        if array is not None and array.shape != right.shape:
            raise BrokenContractError(
                None,
                f"With logits of ±1000 the answer has shape {array.shape}; expected {right.shape}, as before.",
                "return the same shape for all inputs",
            )
        observations.append(Observation(probe, array, part.kind.size(probe), tolerance.large, raised))
    return observations
