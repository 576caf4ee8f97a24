"""Predictions of a fitted model for rows on a cluster: lazily, a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dask import delayed
from sklearn.utils.validation import validate_data

from softgrad.dask._partitions import checked_rows, is_frame
from softgrad.linear_model._problem._targets import check_largest_weight, convert_sample_weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da
    from dask.delayed import Delayed

    from softgrad._typing import Array
    from softgrad.linear_model import SoftmaxRegression


def predictions(model: SoftmaxRegression, method: str, X: Any) -> da.Array:
    """Return model.<method>(X) as a dask array with the blocks of X."""
    X = checked_rows(X)
    _check_columns(model, X)
    empty = _empty(model, method)
    if is_frame(X):
        return X.map_partitions(_predict, model, method, empty, meta=empty)
    axes = {"drop_axis": 1} if empty.ndim == 1 else {"chunks": (X.chunks[0], empty.shape[1:])}
    return X.map_blocks(_predict, model, method, empty, dtype=empty.dtype, meta=empty, **axes)


def accuracy(model: SoftmaxRegression, partitions: Sequence[tuple[Any, Any, Any]]) -> Delayed:
    """Return the weighted accuracy as a delayed number, given X, y and the weights of every partition."""
    count = delayed(_count_correct, pure=True)
    return delayed(_ratio)([count(model, i, *parts) for i, parts in enumerate(partitions)])


def _check_columns(model: SoftmaxRegression, X: Any) -> None:
    """Raise ValueError unless X has the columns of the fit."""
    meta = X._meta if is_frame(X) else np.empty((0, X.shape[1]))
    validate_data(model, meta, reset=False, skip_check_array=True)


def _empty(model: SoftmaxRegression, method: str) -> Array:
    """Return the result of the method for no rows."""
    classes = len(model.classes_)
    if method == "predict":
        return np.empty(0, model.classes_.dtype)
    return np.empty(0 if method == "decision_function" and classes == 2 else (0, classes))


def _predict(X: Any, model: SoftmaxRegression, method: str, empty: Array) -> Array:
    result: Array = getattr(model, method)(X) if X.shape[0] else empty
    return result


def _count_correct(model: SoftmaxRegression, partition: int, X: Any, y: Any, sample_weight: Any) -> tuple[float, float]:
    """Return the weight of the rows of a partition that are predicted correctly, and of all."""
    rows = X.shape[0]
    if not rows:
        return 0.0, 0.0
    try:
        weight = np.ones(rows) if sample_weight is None else convert_sample_weight(sample_weight, rows)
        return model._correct_weight(model._logits(X).argmax(axis=1), y, weight)
    except (ValueError, TypeError) as error:
        raise type(error)(f"partition {partition}: {error}") from None


def _ratio(parts: Sequence[tuple[float, float]]) -> float:
    correct, total = np.sum(parts, axis=0).tolist()
    check_largest_weight(total)
    return correct / total
