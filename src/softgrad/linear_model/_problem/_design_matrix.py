"""The rows and columns of X: its form, and the location and scale of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import validate_data

from softgrad import _core, _validation
from softgrad.linear_model._problem._masks_and_dates import refuse_masks_and_dates
from softgrad.linear_model._problem._sparse_rows import canonical_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from softgrad._core import DType

    Array = NDArray[Any]

# The scale of a column that does not vary: its weight is then as good as 0, and nothing divides by 0.
CONSTANT = 1e100
# A column that varies by less, relative to its mean, varies by rounding.
_ROUNDING = 16 * np.finfo(np.float64).eps
_CHUNK_ELEMENTS = 1 << 20


def validated(estimator: Any, X: Any, *, reset: bool) -> Any:
    """X as the passes take it: finite float32 or float64, dense or CSR; `reset` remembers its columns."""
    refuse_masks_and_dates(X, "X")
    x = validate_data(
        estimator,
        canonical_rows(X),
        reset=reset,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
    )
    if isinstance(x, np.ndarray) and not x.flags.aligned:
        x = x.copy()
    mean, largest = _mean_and_largest(x)
    if not np.isfinite(mean).all():
        _reject_non_finite(x)
    if largest > _largest(x):
        raise ValueError(
            f"X reaches {largest:.1e}; expected at most {_largest(x):.0e}, so that products stay finite; scale its "
            "columns, for example with sklearn.preprocessing.StandardScaler"
        )
    return x


def _mean_and_largest(x: Any) -> tuple[Array, float]:
    """A mean that is not finite wherever X is not, and the largest |x|."""
    if isinstance(x, np.ndarray):
        mean, _, largest = _moments(x, np.ones(x.shape[0]))
        return mean, largest
    if not x.data.size:
        return np.zeros(1), 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(x.data.sum(dtype=np.float64)), float(max(x.data.max(), -x.data.min()))


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


def _largest(x: Any) -> float:
    """Far enough inside the range of the dtype for sums of squares, or of products with weights, over any rows."""
    return 1e30 if x.dtype == np.float32 else 1e100


def buffers(x: Any) -> tuple[DType, Any, Any, Any, Any]:
    """X as the compiled module takes it: its dtype, and dense memory or the three arrays of CSR."""
    dtype = _validation.kernel_dtype(x.dtype)
    if isinstance(x, np.ndarray):
        return dtype, x, None, None, None
    return dtype, None, x.data, x.indices, x.indptr


def location_and_scale(x: Any, weight: Array, *, centred: bool) -> tuple[Array, Array]:
    """The weighted mean of every column, and its spread about the mean or, if not centred, about 0.

    The scale of a column without spread is `CONSTANT`.
    """
    mean, variance, _ = _moments(x, weight) if isinstance(x, np.ndarray) else _sparse_moments(x, weight)
    scale = np.sqrt(variance if centred else variance + mean**2)
    spreads = scale > np.maximum(_ROUNDING * np.abs(mean) if centred else 0, 1 / _largest(x))
    return mean, np.where(spreads, scale, CONSTANT)


def _moments(x: Array, weight: Array) -> tuple[Array, Array, float]:
    mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
    largest = _core.column_moments(_validation.kernel_dtype(x.dtype), x, weight, mean, variance)
    return mean, variance, largest


def _sparse_moments(x: Any, weight: Array) -> tuple[Array, Array, float]:
    total, columns = weight.sum(), x.shape[1]
    linear, square, stored = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    for part, of_rows in _weighted_entries(x, weight):
        linear += np.bincount(part.indices, of_rows * part.data, columns)
    mean = linear / total
    error, entries = np.zeros(columns), np.zeros(columns, np.int64)
    for part, of_rows in _weighted_entries(x, weight):
        offset = part.data - mean[part.indices]
        square += np.bincount(part.indices, of_rows * offset**2, columns)
        error += np.bincount(part.indices, of_rows * offset, columns)
        stored += np.bincount(part.indices, of_rows, columns)
        entries += np.bincount(part.indices, minlength=columns)
    # What is not stored is 0; the sum of all offsets is what rounding took from the mean.
    zeros = np.where(entries < x.shape[0], np.maximum(total - stored, 0), 0)
    error = (error - zeros * mean) / total
    return mean + error, np.maximum((square + zeros * mean**2) / total - error**2, 0), np.nan


def _weighted_entries(x: Any, weight: Array) -> Iterator[tuple[Any, Array]]:
    """Parts of the rows, and the weight of every entry."""
    rows = max(1, _CHUNK_ELEMENTS // max(1, x.nnz // x.shape[0]))
    for start in range(0, x.shape[0], rows):
        part = x[start : start + rows].astype(np.float64)
        yield part, np.repeat(weight[start : start + rows], np.diff(part.indptr))
