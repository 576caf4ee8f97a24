r"""Exact results: softmax, its logarithm, the loss and its derivatives, computed in a wider type.

Rows of logits (N, C) and class indices (N,), in formulas that do not cancel. With m the maximum of a
row, d = z - m and s' the sum of e^d over all entries but one maximal one,

    loss = log(1 + s') + (m - z_y),    gradient at y = -sum of p_j over j != y

Other formulas would be no better than the results that they judge: in a row whose right answer has
probability 1 - 1e-13, p_y - 1 has no digit left that float64 could hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike

    from softgrad._typing import Array

SAMPLED_ENTRIES = 2**19  # in the rows of a result that are compared; the loss covers all rows
BLOCK_ENTRIES = 2**22  # of logits in float64 at a time: bounds the memory


def softmax(logits: Array, dtype: DTypeLike) -> Array:
    """p_j = e^{d_j} / (1 + s'), computed in `dtype`."""
    row = _statistics(logits, dtype)
    result: Array = row.exp / (1 + row.others)
    return result


def log_softmax(logits: Array, dtype: DTypeLike) -> Array:
    """Log p_j = d_j - log(1 + s'), computed in `dtype`."""
    row = _statistics(logits, dtype)
    result: Array = row.difference - np.log1p(row.others)
    return result


def loss(logits: Array, target: Array, dtype: DTypeLike) -> Array:
    """log(1 + s') + (m - z_y) of every row, computed in `dtype`."""
    row = _statistics(logits, dtype)
    below = np.take_along_axis(row.difference, target[:, None], 1)[:, 0]
    result: Array = np.log1p(row.others[:, 0]) - below
    return result


def gradient(logits: Array, target: Array, dtype: DTypeLike) -> Array:
    """P - one_hot(y), computed in `dtype`; the target's own entry as -sum of the other probabilities."""
    row = _statistics(logits, dtype)
    result: Array = row.exp / (1 + row.others)
    at_target = target[:, None]
    is_maximum = np.take_along_axis(row.difference, at_target, 1) == 0
    # Below the maximum p_y is at most 1/2, so 1 - p_y loses nothing.
    probability = np.take_along_axis(result, at_target, 1)
    others = np.where(is_maximum, row.others / (1 + row.others), 1 - probability)
    np.put_along_axis(result, at_target, -others, 1)
    return result


def mean_loss(logits: Array, target: Array) -> Array:
    """The mean loss in float64, a zero-dimensional array."""
    blocks = row_blocks(*logits.shape)
    total = sum(float(loss(logits[rows], target[rows], np.float64).sum()) for rows in blocks)
    return np.array(total / len(logits))


def hessian_product(logits: Array, v: Array) -> tuple[Array, Array]:
    """H v of every row's loss, and the magnitude of its terms, both in float64.

    p_j (u_j - p·u) and p_j (|u_j| + p·|u|), u = v - v_*, with v_* the entry of v at the largest logit.
    """
    p = softmax(logits, np.float64)
    v = v.astype(np.float64)
    u = v - np.take_along_axis(v, logits.argmax(axis=1)[:, None], 1)
    product: Array = p * (u - (p * u).sum(axis=1, keepdims=True))
    magnitude: Array = p * (abs(u) + (p * abs(u)).sum(axis=1, keepdims=True))
    return product, magnitude


def sampled_rows(count: int, entries: int) -> Array:
    """Rows from the first to the last of `count`, so many that their `entries` each make up one comparison."""
    return np.linspace(0, count - 1, min(count, max(2, SAMPLED_ENTRIES // entries))).astype(np.intp)


def row_blocks(count: int, entries: int) -> Iterator[slice]:
    """All of `count` rows with `entries` each, in blocks of bounded memory."""
    step = max(1, BLOCK_ENTRIES // entries)
    return (slice(start, start + step) for start in range(0, count, step))


def ulp(values: Array, dtype: str) -> Array:
    """The unit in the last place of every value in a dtype; bfloat16 has the exponents of float32."""
    if dtype == "bfloat16":
        return 2.0**16 * ulp(values, "float32")
    spacing: Array = np.spacing(abs(values).astype(dtype)).astype(values.dtype)
    return spacing


def ulp_error(result: Array, exact: Array, dtype: str, magnitude: Array | None = None) -> float:
    """The largest error of `result`, in units in the last place that the exact value has in `dtype`; inf for NaN.

    Parameters
    ----------
    result, exact : array
        Of one shape.
    dtype : str
        The one that the result should have: a library that quietly computes in a narrower one is not measured by
        the larger units of that.
    magnitude : array, optional
        Count in the units of these values instead of those of `exact`.
    """
    if result.size == 0:
        return 0.0
    unit = ulp(exact if magnitude is None else magnitude, dtype)
    error = float(np.max(abs(result.astype(exact.dtype) - exact) / unit))
    return error if error == error else float("inf")


class _Statistics(NamedTuple):
    difference: Array
    """d = z - m."""
    exp: Array
    """e^d."""
    others: Array
    """s', a column."""


def _statistics(logits: Array, dtype: DTypeLike) -> _Statistics:
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
    return _Statistics(d, exp, rest.sum(axis=1, keepdims=True))
