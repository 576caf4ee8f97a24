"""Properties of every exact result, whatever formula computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from softgrad.checking._batches import Array, Batch

ResultAt: TypeAlias = Callable[[Batch], Array]


class Property(NamedTuple):
    """A property, and by how much a result violates it."""

    name: str
    violation: Callable[[Array, Batch, ResultAt], float]


# Exact in float32, and another shift for every row.
_SHIFT = 3.5


def _shift(result: Array, batch: Batch, result_at: ResultAt) -> float:
    shifts = _SHIFT * np.arange(1, batch.rows + 1)[:, None]
    return _largest(result_at(replace(batch, logits=batch.logits + shifts)) - result)


def _other_rows(result: Array, batch: Batch, result_at: ResultAt) -> float:
    """The change of the first row of the result with the logits of the others."""
    logits = batch.logits.copy()
    logits[1:] = logits[1:, ::-1] + 0.5
    return _largest(result_at(replace(batch, logits=logits))[0] - result[0])


def _smallest_eigenvalue(result: Array, batch: Batch, result_at: ResultAt) -> float:
    return max(0.0, -float(np.linalg.eigvalsh((result + np.swapaxes(result, 1, 2)) / 2).min()))


def _linear_in_v(result: Array, batch: Batch, result_at: ResultAt) -> float:
    return _largest(result_at(replace(batch, upstream=2 * batch.upstream)) - 2 * result)


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0))


_INVARIANT = Property("adding a constant to all logits of a row changes nothing", _shift)
ROWS_APART = Property("the result for a row depends on that row only", _other_rows)
_NON_NEGATIVE = Property("no entry is negative", lambda result, batch, at: max(0.0, -float(np.min(result))))
_SUMS_TO_ONE = Property("probabilities sum to one", lambda result, batch, at: _largest(result.sum(axis=1) - 1))
_EXPONENTIALS_SUM_TO_ONE = Property(
    "the exponentials of a row sum to one", lambda result, batch, at: _largest(np.exp(result).sum(axis=1) - 1)
)
_NON_POSITIVE = Property("no entry is positive", lambda result, batch, at: max(0.0, float(np.max(result))))
_ROWS_SUM_TO_ZERO = Property(
    "every row of the matrix sums to zero", lambda result, batch, at: _largest(result.sum(axis=2))
)
_WEIGHTED_COLUMNS = Property(
    "every column, weighted by p, sums to zero",
    lambda result, batch, at: _largest((batch.probs[:, :, None] * result).sum(axis=1)),
)
_SYMMETRIC = Property("the matrix is symmetric", lambda result, batch, at: _largest(result - np.swapaxes(result, 1, 2)))
_POSITIVE_SEMIDEFINITE = Property(
    "the matrix is positive semi-definite: no eigenvalue is negative", _smallest_eigenvalue
)
_GRADIENT_SUMS_TO_ZERO = Property(
    "the gradient of every row sums to zero", lambda result, batch, at: _largest(result.sum(axis=1))
)
_LINEAR = Property("twice the upstream gradient gives twice the product", _linear_in_v)

SOFTMAX = (_SUMS_TO_ONE, _NON_NEGATIVE, _INVARIANT, ROWS_APART)
LOG_SOFTMAX = (_EXPONENTIALS_SUM_TO_ONE, _NON_POSITIVE, _INVARIANT, ROWS_APART)
SOFTMAX_JACOBIAN = (_ROWS_SUM_TO_ZERO, _SYMMETRIC, _POSITIVE_SEMIDEFINITE, _INVARIANT, ROWS_APART)
LOG_SOFTMAX_JACOBIAN = (_ROWS_SUM_TO_ZERO, _WEIGHTED_COLUMNS, _INVARIANT, ROWS_APART)
SOFTMAX_VJP = (_GRADIENT_SUMS_TO_ZERO, _LINEAR, _INVARIANT, ROWS_APART)
CROSS_ENTROPY = (_NON_NEGATIVE, _INVARIANT)
CROSS_ENTROPY_GRAD = (_GRADIENT_SUMS_TO_ZERO, _INVARIANT, ROWS_APART)
CROSS_ENTROPY_HESSIAN = SOFTMAX_JACOBIAN
CROSS_ENTROPY_HVP = (
    _GRADIENT_SUMS_TO_ZERO,
    Property("twice the vector gives twice the product", _linear_in_v),
    _INVARIANT,
    ROWS_APART,
)
