r"""Softmax, its logarithm, the loss and its gradient in a wider type: what the benchmarks hold results against.

Rows of logits (N, C) and class indices (N,), in formulas that do not cancel. With m the maximum of a
row, d = z - m and s' the sum of e^d over all entries but one maximal one,

    loss = log(1 + s') + (m - z_y),    gradient at y = -sum of p_j over j != y

Without them a reference is no better than what it judges: in a row whose right answer has
probability 1 - 1e-13, p_y - 1 has no digit left that float64 could hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    Array = NDArray[Any]


def softmax(logits: Array, dtype: DTypeLike) -> Array:
    """p_j = e^{d_j} / (1 + s'), computed in `dtype`."""
    row = _parts(logits, dtype)
    result: Array = row.exp / (1 + row.others)
    return result


def log_softmax(logits: Array, dtype: DTypeLike) -> Array:
    """Log p_j = d_j - log(1 + s'), computed in `dtype`."""
    row = _parts(logits, dtype)
    result: Array = row.difference - np.log1p(row.others)
    return result


def loss(logits: Array, target: Array, dtype: DTypeLike) -> Array:
    """log(1 + s') + (m - z_y) of every row, computed in `dtype`."""
    row = _parts(logits, dtype)
    below = np.take_along_axis(row.difference, target[:, None], 1)[:, 0]
    result: Array = np.log1p(row.others[:, 0]) - below
    return result


def gradient(logits: Array, target: Array, dtype: DTypeLike) -> Array:
    """P - one_hot(y), computed in `dtype`; the target's own entry as -sum of the other probabilities."""
    row = _parts(logits, dtype)
    result: Array = row.exp / (1 + row.others)
    at_target = target[:, None]
    is_maximum = np.take_along_axis(row.difference, at_target, 1) == 0
    # Below the maximum p_y is at most 1/2, so 1 - p_y loses nothing.
    probability = np.take_along_axis(result, at_target, 1)
    others = np.where(is_maximum, row.others / (1 + row.others), 1 - probability)
    np.put_along_axis(result, at_target, -others, 1)
    return result


def ulp_error(result: Array, exact: Array, dtype: DTypeLike) -> float:
    """The largest error of `result`, in units in the last place that the exact value has in `dtype`; inf for NaN.

    `dtype` is what the result should have: a library that quietly computes in a narrower one is not
    measured by the larger units of that.
    """
    if result.size == 0:
        return 0.0
    ulp = np.spacing(abs(exact).astype(dtype)).astype(exact.dtype)
    error = float(np.max(abs(result.astype(exact.dtype) - exact) / ulp))
    return error if error == error else float("inf")


class _Parts(NamedTuple):
    difference: Array
    """d = z - m."""
    exp: Array
    """e^d."""
    others: Array
    """s', a column."""


def _parts(logits: Array, dtype: DTypeLike) -> _Parts:
    z = logits.astype(dtype)
    largest = np.argmax(z, axis=1)[:, None]
    m = np.take_along_axis(z, largest, 1)
    d = z - m
    # TwoSum: what the difference lost to rounding. At d = -700 half an ULP of d is 0.1 ULP of e^d.
    b = d - z
    lost = (z - (d - b)) - (m + b)
    exp = np.exp(d)
    exp += exp * lost
    rest = exp.copy()
    np.put_along_axis(rest, largest, 0, 1)
    return _Parts(d, exp, rest.sum(axis=1, keepdims=True))
