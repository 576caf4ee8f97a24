"""All known mistakes in a function: those described one by one, in options, and generated from its formula."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking._batches import large_batches, moderate_batches
from softgrad.checking._cause import CODE, Cause
from softgrad.checking._comparison import relative_error
from softgrad.checking._option_causes import option_causes
from softgrad.checking._terms import generated_causes

if TYPE_CHECKING:
    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._cause import Factor, Formula
    from softgrad.checking._reference import Reference
    from softgrad.checking._setting import Setting


@cache
@np.errstate(all="ignore")
def known_causes(reference: Reference, setting: Setting) -> tuple[Cause, ...]:
    """The mistakes that differ from the exact result in a setting, and generated ones also from all others."""
    options = tuple(option_causes(reference, setting)) if reference.is_loss else ()
    generated = (generated_causes(formula) for formula in reference.formulas)
    different = _Different((*moderate_batches(setting), *large_batches(setting)), reference.exact)
    causes = []
    for cause in chain(options, reference.causes, [_zero(reference)], *generated):
        if not cause.applies_to(setting):
            continue
        # Mistakes described one by one differ from each other, unless an option makes them equal; the generated ones
        # may not.
        is_plain = not options and cause in reference.causes
        is_new = different.add_unless_exact if is_plain else different.add
        if cause.factor is not None:
            if is_new(_scaled(cause.factor, reference)):
                causes.append(cause)
            continue
        formulas = tuple([formula for formula in cause.formulas if is_new(formula)])
        if formulas or cause.parametric:
            causes.append(cause if formulas == cause.formulas else replace(cause, formulas=formulas))
    return tuple(causes)


def _zero(reference: Reference) -> Cause:
    return Cause(
        "zero in every entry",
        "Every entry is zero: the result is never filled, or its terms cancel.",
        CODE,
        (lambda batch: np.zeros_like(batch.result(reference.exact)),),
    )


def _scaled(factor: Factor, reference: Reference) -> Formula:
    return lambda batch: factor(batch) * batch.result(reference.exact)


class _Different:
    """The exact formula, and others whose results differ from it on some batch."""

    def __init__(self, batches: tuple[Batch, ...], exact: Formula) -> None:
        self.batches = batches
        self.formulas = [exact]

    def add(self, formula: Formula) -> bool:
        """Add a formula whose results are new."""
        has_results = self.batches[0].result(formula).size > 0
        is_new = has_results and not any(self._are_same(formula, other) for other in self.formulas)
        if is_new:
            self.formulas.append(formula)
        return is_new

    def add_unless_exact(self, formula: Formula) -> bool:
        """Add a formula that has results which are not the exact ones."""
        has_results = self.batches[0].result(formula).size > 0
        is_wrong = has_results and not self._are_same(formula, self.formulas[0])
        if is_wrong:
            self.formulas.append(formula)
        return is_wrong

    def _are_same(self, one: Formula, other: Formula) -> bool:
        return all(_are_equal(batch.result(one), batch.result(other)) for batch in self.batches)


def _are_equal(one: Array, other: Array) -> bool:
    """Whether two results are equal but for rounding, and finite in the same entries."""
    if one.shape != other.shape or abs(one.flat[0] - other.flat[0]) > 1e-8 * (1 + abs(one.flat[0])):
        return False
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return False
    return relative_error(one[finite], other[finite], 1.0) <= 5e-9
