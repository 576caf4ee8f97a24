"""X as the kernels take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import validate_data

from softgrad import _core, _validation
from softgrad.linear_model._problem._masks_and_dates import refuse_masks_and_dates
from softgrad.linear_model._problem._sparse_rows import canonical_rows
from softgrad.linear_model._problem._tree_sum import LEAF_ROWS

if TYPE_CHECKING:
    from softgrad._core import DType
    from softgrad._typing import Array

_CHUNK_ELEMENTS = 1 << 20


def validate_rows(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as the kernels take it: finite float32 or float64, dense or CSR.

    With `reset` the estimator stores the number and names of the columns; without, X must have the same.
    """
    x = convert_rows(estimator, X, reset=reset)
    if isinstance(x, np.ndarray):
        sums = np.empty((2, x.shape[1]))
        dtype, weight = _validation.kernel_dtype(x.dtype), np.ones(x.shape[0])
        largest = _core.column_sums(dtype, x, LEAF_ROWS, weight, x[0].astype(np.float64), sums)
        check_values(x, sums[0], largest)
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


def buffers(x: Any) -> tuple[DType, Any, Any, Any, Any]:
    """Return the kernels' arguments for X: the dtype, then the dense array or the three arrays of CSR."""
    dtype = _validation.kernel_dtype(x.dtype)
    if isinstance(x, np.ndarray):
        return dtype, x, None, None, None
    return dtype, None, x.data, x.indices, x.indptr


def _check_stored_values(x: Any) -> None:
    if x.data.size:
        with np.errstate(invalid="ignore", over="ignore"):
            total = x.data.sum(dtype=np.float64)
            check_values(x, total, float(max(x.data.max(), -x.data.min())))


def check_values(x: Any, sums: Array, largest: float) -> None:
    """Raise ValueError if X holds NaN, infinity or too large values; NaN and infinity make `sums` non-finite."""
    if not np.isfinite(sums).all():
        _reject_non_finite(x)
    limit = largest_value(x.dtype)
    if largest > limit:
        raise ValueError(
            f"X reaches {largest:.1e}; expected at most {limit:.0e}, so that products stay finite; scale its "
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


def largest_value(dtype: np.dtype[Any]) -> float:
    """Return the largest |x| allowed, so that sums of squares and weighted products stay within the dtype's range."""
    return 1e30 if dtype == np.float32 else 1e100
