"""The partitions of X, y and sample_weight, as given: dask arrays or data frames."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask import is_dask_collection
from sklearn.exceptions import DataConversionWarning

from softgrad.linear_model._problem._masks_and_dates import refuse_masks_and_dates

if TYPE_CHECKING:
    from collections.abc import Sequence


def partitions_of(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]]:
    """Return X, y and the weights of every partition as delayed values; None for weights that are not given."""
    X = checked_rows(X)
    if y is None:
        raise ValueError("y is None; expected the labels of the rows, a dask array or a column of a data frame")
    y = _aligned(_column(y, "y"), X, "y")
    weight = None if sample_weight is None else _aligned(_column(sample_weight, "sample_weight"), X, "sample_weight")
    parts = [_delayed(X), _delayed(y)]
    parts.append([None] * len(parts[0]) if weight is None else _delayed(weight))
    return list(zip(*parts, strict=True))


def checked_rows(X: Any) -> Any:
    """Return X with all of its columns in every block; raise TypeError or ValueError if it cannot be rows."""
    _check_collection(X, "X")
    if not is_frame(X):
        if X.ndim != 2:
            raise ValueError(f"X has shape {X.shape}; expected (N, D): Reshape your data, one row for each example")
        return X if X.numblocks[1] == 1 else X.rechunk({1: -1})
    if X.ndim != 2:
        raise ValueError("X is one column of a data frame; expected a data frame; write X.to_frame()")
    meta = X._meta
    refuse_masks_and_dates(meta, "X")
    text = [str(name) for name, dtype in meta.dtypes.items() if not _is_number(dtype)]
    if text:
        kinds = ", ".join(f"{name!r} ({meta[name].dtype})" for name in text[:5]) + (", ..." if text[5:] else "")
        raise TypeError(
            f"X has columns that are not numbers: {kinds}; write X = X.categorize(columns={text[:5]}) and "
            "X = dask.dataframe.get_dummies(X) to encode them, or drop them"
        )
    return X


def is_frame(collection: Any) -> bool:
    """Return whether a dask collection is a data frame or a column of one."""
    return hasattr(collection, "_meta") and hasattr(collection, "npartitions") and hasattr(collection, "divisions")


def _is_number(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biuf"


def _check_collection(value: Any, name: str) -> None:
    if is_dask_collection(value) and (is_frame(value) or isinstance(value, da.Array)):
        return
    raise TypeError(
        f"{name} is a {type(value).__module__}.{type(value).__qualname__}; expected a dask array or data frame; write "
        f"dask.array.from_array({name}, chunks=...), or fit softgrad.linear_model.SoftmaxRegression"
    )


def _column(value: Any, name: str) -> Any:
    """Return y or weights; a dask array of one column loses its second axis."""
    _check_collection(value, name)
    if value.ndim == 2 and value.shape[1] == 1:
        if name == "y":
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected: y has one column; write y[:, 0]",
                DataConversionWarning,
                stacklevel=4,
            )
        return value.iloc[:, 0] if is_frame(value) else value[:, 0]
    return value if value.ndim < 2 or is_frame(value) or value.numblocks[1] == 1 else value.rechunk({1: -1})


def _aligned(value: Any, X: Any, name: str) -> Any:
    """Return y or weights with the partitions of X."""
    lengths, expected = _lengths(value), _lengths(X)
    if lengths is not None and expected is not None:
        if sum(lengths) != sum(expected):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {sum(expected)} rows, {name} "
                f"{sum(lengths)}"
            )
        return value if lengths == expected else value.rechunk({0: expected})
    count, wanted = (c.npartitions if is_frame(c) else c.numblocks[0] for c in (value, X))
    if count != wanted:
        raise ValueError(
            f"{name} has {count} partitions and X {wanted}, and their lengths are not known; take both from one data "
            "frame, or write compute_chunk_sizes() for arrays"
        )
    return value


def _lengths(value: Any) -> tuple[int, ...] | None:
    """Return the rows of every partition, or None if they are not known."""
    if is_frame(value) or any(np.isnan(rows) for rows in value.chunks[0]):
        return None
    return tuple(value.chunks[0])


def _delayed(value: Any) -> Sequence[Any]:
    if is_frame(value):
        # `optimize` also joins the partitions of Parquet files of which few columns are read: another number for y
        # than for X. `simplify` only leaves out the other columns.
        parts: Sequence[Any] = value.simplify().to_delayed(optimize_graph=False)
        return parts
    return list(value.to_delayed().ravel())
