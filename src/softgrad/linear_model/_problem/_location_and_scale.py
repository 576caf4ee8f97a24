"""The location and scale of the columns of X, weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.linear_model._problem._design_matrix import largest_value
from softgrad.linear_model._problem._kernels import column_sums
from softgrad.linear_model._problem._tree_sum import sum_over_leaves

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._rows import LocalRows, Rows

# The scale of a constant column: it makes the column's weight negligible and avoids a division by 0.
CONSTANT = 1e100
# A column whose spread is smaller than this, relative to its mean, varies by rounding only.
_ROUNDING = 16 * np.finfo(np.float64).eps


def location_and_scale(rows: Rows, *, centred: bool) -> tuple[Array, Array]:
    """Return the weighted mean of every column and its standard deviation, about 0 if not `centred`.

    The scale of a constant column is `CONSTANT`. Dense values are checked in the same read.
    """
    heaviest, x = rows.heaviest()
    total = rows.totals.weight
    if not np.isfinite(total):
        raise ValueError(
            f"the weights of the rows, sample_weight times class_weight, reach {heaviest:.1e} and add up to more "
            "than the largest float64; multiply all weights by one factor: it changes the model only through C"
        )
    # A power of two changes no digit, and keeps weight times square inside the range of float64.
    exponent = int(np.frexp(heaviest)[1])
    total = float(np.ldexp(total, -exponent))
    mean, variance = (_sparse_moments if rows.is_sparse else _dense_moments)(rows, exponent, total, x)
    scale = np.sqrt(variance if centred else variance + mean**2)
    varies = scale > np.maximum(_ROUNDING * np.abs(mean) if centred else 0, 1 / largest_value(rows.dtype))
    return mean, np.where(varies, scale, CONSTANT)


def _dense_moments(rows: Rows, exponent: int, total: float, origin: Array) -> tuple[Array, Array]:
    """Sum offsets from the row of largest weight, which is near enough to the mean that little cancels."""
    linear, square = rows.sum(column_sums, exponent, origin).reshape(2, -1)
    shift = linear / total
    return origin + shift, np.maximum(square / total - shift**2, 0)


def _sparse_moments(rows: Rows, exponent: int, total: float, _: Array) -> tuple[Array, Array]:
    mean = rows.sum(_entry_sums, exponent) / total
    square, error, stored, entries = rows.sum(_offset_sums, exponent, mean).reshape(4, -1)
    # Entries that are not stored are 0; the sum of all offsets is the rounding error of the mean.
    zeros = np.where(entries < rows.shape[0], np.maximum(total - stored, 0), 0)
    error = (error - zeros * mean) / total
    return mean + error, np.maximum((square + zeros * mean**2) / total - error**2, 0)


def _entry_sums(rows: LocalRows, exponent: int) -> Array:
    """Return the weighted sum of the stored entries of every column."""

    def sums(leaf: slice) -> Array:
        x, weight = _entries(rows, leaf, exponent)
        return np.bincount(x.indices, weight * x.data, x.shape[1])

    return sum_over_leaves(sums, rows.shape[0], rows.leaf_rows)


def _offset_sums(rows: LocalRows, exponent: int, mean: Array) -> Array:
    """Return, of the stored entries of every column: Σ w (x − mean)², Σ w (x − mean), Σ w, and their number."""

    def sums(leaf: slice) -> Array:
        x, weight = _entries(rows, leaf, exponent)
        offset = x.data - mean[x.indices]
        terms = weight * offset**2, weight * offset, weight, None
        return np.concatenate([np.bincount(x.indices, term, x.shape[1]) for term in terms])

    return sum_over_leaves(sums, rows.shape[0], rows.leaf_rows)


def _entries(rows: LocalRows, leaf: slice, exponent: int) -> tuple[Any, Array]:
    """Return some rows in float64, and the weight of each of their entries."""
    x = rows.x[leaf].astype(np.float64)
    return x, np.repeat(np.ldexp(rows.targets.row_weight[leaf], -exponent), np.diff(x.indptr))
