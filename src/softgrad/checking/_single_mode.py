"""Functions of one vector that are called on a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from softgrad.checking._batches import moderate_batches
from softgrad.checking._comparison import SINGLE, Comparison
from softgrad.checking._properties import ROWS_APART
from softgrad.checking._report import KNOWN, UNKNOWN, Report

if TYPE_CHECKING:
    from softgrad.checking._user_function import UserFunction

_OPTION = "check it with batched=False (--single)"
# Mistakes that a function of one vector makes when it is called on a batch.
_OF_ONE_VECTOR = ("over the whole batch", "the wrong axis", "batch flattened")


def with_single_mode(report: Report, function: UserFunction) -> Report:
    """Add the advice to check a function of one vector as such, where its results suggest that it is one."""
    setting = function.setting
    # A result that is right to five digits lacks precision, not an axis.
    has_failed = any(stage.state == "failed" for stage in report.stages)
    is_candidate = report.verdict != KNOWN or any(part in str(report.cause) for part in _OF_ONE_VECTOR)
    if not has_failed or not setting.batched or setting.has_head or not is_candidate:
        return report
    comparisons = _compared(function.of_one_vector())
    if comparisons and all(comparison.is_exact for comparison in comparisons):
        return replace(report, advice=f"for one vector the function is right: {_OPTION}\n{report.advice}")
    mixes_rows = report.verdict == UNKNOWN and ROWS_APART.name in report.violated_properties
    if comparisons and (mixes_rows or report.stages[0].state == "failed"):
        return replace(report, advice=f"if the function takes one vector, {_OPTION}\n{report.advice}")
    return report


def _compared(function: UserFunction) -> list[Comparison]:
    """The results for single vectors beside the exact ones; none if the function fails on vectors or in their shape."""
    comparisons = []
    for batch in moderate_batches(function.setting):
        try:
            (result,) = function.call(batch).results
        except Exception:  # the user's function may raise anything
            return []
        comparison = Comparison(function.reference, batch, result, SINGLE.moderate)
        if result.shape != comparison.expected.shape:
            return []
        comparisons.append(comparison)
    return comparisons
