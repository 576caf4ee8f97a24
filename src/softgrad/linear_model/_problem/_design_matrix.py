"""X as the kernels take it, and the location and scale of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import validate_data

from softgrad import _core, _validation
from softgrad.linear_model._problem._leaves import leaf_rows
from softgrad.linear_model._problem._masks_and_dates import refuse_masks_and_dates
from softgrad.linear_model._problem._sparse_rows import canonical_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softgrad._core import DType
    from softgrad._typing import Array

# The scale of a constant column: it makes the column's weight negligible and avoids a division by 0.
CONSTANT = 1e100
# A column whose spread is smaller than this, relative to its mean, varies by rounding only.
_ROUNDING = 16 * np.finfo(np.float64).eps
_CHUNK_ELEMENTS = 1 << 20


def validate_rows(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as the kernels take it: finite float32 or float64, dense or CSR.

    With `reset` the estimator stores the number and names of the columns; without, X must have the same.
    """
    x = convert_rows(estimator, X, reset=reset)
    if isinstance(x, np.ndarray):
        _dense_moments(x, np.ones(x.shape[0]))
    return x


def convert_rows(estimator: Any, X: Any, *, reset: bool) -> Any:
    """As `validate_rows`, but leave the values of dense rows to the check that `location_and_scale` makes."""
    refuse_masks_and_dates(X, "X")
    x = validate_data(
        estimator,
        canonical_rows(X),
        reset=reset,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
    )
    if not isinstance(x, np.ndarray):
        _check_stored_values(x)
    elif not x.flags.aligned:
        x = x.copy()
    return x


def location_and_scale(x: Any, weight: Array, *, centred: bool) -> tuple[Array, Array]:
    """Return the weighted mean of every column and its standard deviation, about 0 if not `centred`.

    The scale of a constant column is `CONSTANT`. Dense values are checked in the same read.
    """
    with np.errstate(over="ignore"):
        total = float(weight.sum())
    if not np.isfinite(total):
        raise ValueError(
            f"the weights of the rows, sample_weight times class_weight, reach {weight.max():.1e} and add up to more "
            "than the largest float64; multiply all weights by one factor: it changes the model only through C"
        )
    # A power of two changes no digit, and keeps weight times square inside the range of float64.
    weight = np.ldexp(weight, -int(np.frexp(weight.max())[1]))
    mean, variance = (_dense_moments if isinstance(x, np.ndarray) else _sparse_moments)(x, weight)
    scale = np.sqrt(variance if centred else variance + mean**2)
    varies = scale > np.maximum(_ROUNDING * np.abs(mean) if centred else 0, 1 / _limit(x))
    return mean, np.where(varies, scale, CONSTANT)


def buffers(x: Any) -> tuple[DType, Any, Any, Any, Any]:
    """Return the kernels' arguments for X: the dtype, then the dense array or the three arrays of CSR."""
    dtype = _validation.kernel_dtype(x.dtype)
    if isinstance(x, np.ndarray):
        return dtype, x, None, None, None
    return dtype, None, x.data, x.indices, x.indptr


def _dense_moments(x: Array, weight: Array) -> tuple[Array, Array]:
    # Sums about the row of largest weight, which is near enough to the mean that little cancels.
    origin = x[np.argmax(weight)].astype(np.float64)
    sums = np.empty((2, x.shape[1]))
    largest = _core.column_sums(_validation.kernel_dtype(x.dtype), x, leaf_rows(x, 1), weight, origin, sums)
    with np.errstate(over="ignore", invalid="ignore"):
        shift, square = sums / weight.sum()
        mean, variance = origin + shift, np.maximum(square - shift**2, 0)
    _check_values(x, mean, largest)
    return mean, variance


def _check_stored_values(x: Any) -> None:
    if x.data.size:
        with np.errstate(invalid="ignore", over="ignore"):
            total = x.data.sum(dtype=np.float64)
            _check_values(x, total, float(max(x.data.max(), -x.data.min())))


def _check_values(x: Any, sums: Array, largest: float) -> None:
    """Raise ValueError if X holds NaN, infinity or too large values; NaN and infinity make `sums` non-finite."""
    if not np.isfinite(sums).all():
        _reject_non_finite(x)
    if largest > _limit(x):
        raise ValueError(
            f"X reaches {largest:.1e}; expected at most {_limit(x):.0e}, so that products stay finite; scale its "
            "columns, for example with sklearn.preprocessing.StandardScaler"
        )


def _reject_non_finite(x: Any) -> None:
    rows = max(1, _CHUNK_ELEMENTS // x.shape[1])
    for start in range(0, x.shape[0], rows):
        part = x[start : start + rows]
        bad = np.argwhere(~np.isfinite(part if isinstance(x, np.ndarray) else part.toarray()))
        if len(bad):
            row, column = start + bad[0, 0], bad[0, 1]
            value = x[row, column]
            raise ValueError(
                f"X[{row}, {column}] is {'NaN' if np.isnan(value) else value}; expected finite numbers; drop such "
                "rows, or fill them in, for example with sklearn.impute.SimpleImputer"
            )


def _limit(x: Any) -> float:
    """Return the largest |x| allowed, so that sums of squares and weighted products stay within the dtype's range."""
    return 1e30 if x.dtype == np.float32 else 1e100


def _sparse_moments(x: Any, weight: Array) -> tuple[Array, Array]:
    total, columns = weight.sum(), x.shape[1]
    linear, square, stored = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for part, entry_weight in _weighted_entries(x, weight):
        linear += np.bincount(part.indices, entry_weight * part.data, columns)
    mean = linear / total
    error, entries = np.zeros(columns), np.zeros(columns, np.int64)
    for part, entry_weight in _weighted_entries(x, weight):
        offset = part.data - mean[part.indices]
        square += np.bincount(part.indices, entry_weight * offset**2, columns)
        error += np.bincount(part.indices, entry_weight * offset, columns)
        stored += np.bincount(part.indices, entry_weight, columns)
        entries += np.bincount(part.indices, minlength=columns)
    # Entries that are not stored are 0; the sum of all offsets is the rounding error of the mean.
    zeros = np.where(entries < x.shape[0], np.maximum(total - stored, 0), 0)
    error = (error - zeros * mean) / total
    return mean + error, np.maximum((square + zeros * mean**2) / total - error**2, 0)


def _weighted_entries(x: Any, weight: Array) -> Iterator[tuple[Any, Array]]:
    """Yield blocks of rows, and the weight of each of their entries."""
    rows = max(1, _CHUNK_ELEMENTS // max(1, x.nnz // x.shape[0]))
    for start in range(0, x.shape[0], rows):
        part = x[start : start + rows].astype(np.float64)
        yield part, np.repeat(weight[start : start + rows], np.diff(part.indptr))
