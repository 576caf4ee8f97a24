"""Comparison of the results of the user's function with the exact ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.checking._report import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._reference import Reference

    Mask = NDArray[np.bool_]


class Tolerance(NamedTuple):
    """Largest error that counts as rounding, relative to the magnitude of the terms."""

    moderate: float
    large: float


# float64 rounds to 1e-16; 1e-9 leaves room for any order of summation and for central differences, and shows an
# eps of 1e-8. float32 rounds to 6e-8, and its log-probabilities to 6e-8 times the largest logit: 40 in the moderate
# batches, 1000 in the large ones, here with a factor of eight.
DOUBLE = Tolerance(1e-9, 1e-9)
SINGLE = Tolerance(2e-5, 5e-4)


def relative_error(array: Array, expected: Array, magnitude: float) -> float:
    """Largest error, relative to the magnitude of the terms or to the entry itself; infinite for NaN."""
    off = np.abs(array - expected) / np.maximum(np.abs(expected), magnitude)
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0))


@dataclass(frozen=True, eq=False)
class Comparison:
    """A returned array beside the exact result; no array where the function raised an exception."""

    reference: Reference
    batch: Batch
    returned: Array | None
    tolerance: float
    raised: str = ""

    @cached_property
    def expected(self) -> Array:
        return self.batch.result(self.reference.exact)

    @cached_property
    def magnitude(self) -> float:
        return self.reference.magnitude(self.batch)

    @cached_property
    def error(self) -> float:
        """The relative error; infinite where nothing, or an array of another shape, was returned."""
        if self.returned is None or self.returned.shape != self.expected.shape:
            return np.inf
        return relative_error(self.returned, self.expected, self.magnitude)

    @cached_property
    def largest_entry(self) -> int:
        """The flat index of the largest finite entry returned."""
        array = self.returned
        return 0 if array is None or not array.size else int(np.where(np.isfinite(array), np.abs(array), -1).argmax())

    @property
    def is_exact(self) -> bool:
        return self.error <= self.tolerance

    @property
    def is_finite(self) -> bool:
        return self.returned is not None and bool(np.isfinite(self.returned).all())

    def worst_entry(self) -> Entry:
        expected = self.expected
        got = np.full(expected.shape, np.nan) if self.returned is None else self.returned
        off = np.abs(got - expected) / np.maximum(np.abs(expected), self.magnitude)
        flat = int(np.where(np.isnan(off), np.inf, off).argmax())
        index = tuple(int(i) for i in np.unravel_index(flat, expected.shape))
        return Entry(
            index,
            float(expected[index]),
            float(got[index]),
            self.reference.inputs(self.batch),
            self.reference.names(self.batch.setting),
        )


def error_pattern(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Describe the errors of results that no known mistake explains, if all are finite."""
    arrays = [c.returned for c in comparisons if c.returned is not None and c.is_finite]
    if len(arrays) < len(comparisons):
        return ()
    expected = [c.expected for c in comparisons]
    limits = [c.tolerance * c.magnitude for c in comparisons]
    factor = _common_factor(arrays, expected)
    if factor is not None and _all_close(arrays, [factor * exact for exact in expected], limits):
        return (f"every result is {factor:.6g} times the expected one",)
    offset = float((arrays[0] - expected[0]).flat[0])
    if _all_close(arrays, [exact + offset for exact in expected], limits):
        return (f"every entry is off by the same {offset:.6g}",)
    wrong = [np.abs(array - exact) > limit for array, exact, limit in zip(arrays, expected, limits, strict=True)]
    return (*_where_in_matrices(wrong), *_where_in_rows(wrong))


def _all_close(arrays: list[Array], expected: list[Array], limits: list[float]) -> bool:
    return all(
        bool((np.abs(array - exact) <= limit * (1 + np.abs(exact))).all())
        for array, exact, limit in zip(arrays, expected, limits, strict=True)
    )


def _common_factor(arrays: list[Array], expected: list[Array]) -> float | None:
    exact = np.concatenate([array.ravel() for array in expected])
    got = np.concatenate([array.ravel() for array in arrays])
    largest = int(np.abs(exact).argmax())
    return float(got[largest] / exact[largest]) if exact[largest] else None


def _where_in_matrices(wrong: list[Mask]) -> tuple[str, ...]:
    if wrong[0].ndim != 3:
        return ()
    on_diagonal = any(bool(np.einsum("bii->bi", mask).any()) for mask in wrong)
    off_diagonal = any(bool((mask & ~np.eye(mask.shape[1], dtype=bool)).any()) for mask in wrong)
    if on_diagonal and not off_diagonal:
        return ("only entries on the diagonal are wrong",)
    if off_diagonal and not on_diagonal:
        return ("the diagonal is right; entries off it are wrong",)
    return ()


def _where_in_rows(wrong: list[Mask]) -> tuple[str, ...]:
    if wrong[0].ndim == 0:
        return ()
    several = [np.asarray(mask.reshape(len(mask), -1).any(axis=1)) for mask in wrong if len(mask) > 1]
    if not any(rows[0] for rows in several):
        return ("the first row of every batch is right",)
    if not any(rows[1:].any() for rows in several):
        return ("only the first row of every batch is wrong",)
    right_batches = sum(not rows.any() for rows in several)
    return (f"{right_batches} of {len(several)} batches are right",) if right_batches else ()
