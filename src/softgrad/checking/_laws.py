"""Structural laws: what is true of every right answer, whatever the formula."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]
    Ask = Callable[[Probe], Array]


class Law(NamedTuple):
    """A law, and by how much an answer misses it."""

    name: str
    miss: Callable[[Array, Probe, Ask], float]


# Exact in float32, and another shift for every row.
_SHIFT = 3.5


def _shift(answer: Array, probe: Probe, ask: Ask) -> float:
    shifts = _SHIFT * np.arange(1, probe.rows + 1)[:, None]
    return _largest(ask(replace(probe, logits=probe.logits + shifts)) - answer)


def _other_rows(answer: Array, probe: Probe, ask: Ask) -> float:
    """How much the first row's answer changes with the logits of the others."""
    logits = probe.logits.copy()
    logits[1:] = logits[1:, ::-1] + 0.5
    return _largest(ask(replace(probe, logits=logits))[0] - answer[0])


def _smallest_eigenvalue(answer: Array, probe: Probe, ask: Ask) -> float:
    return max(0.0, -float(np.linalg.eigvalsh((answer + np.swapaxes(answer, 1, 2)) / 2).min()))


def _linear_in_v(answer: Array, probe: Probe, ask: Ask) -> float:
    return _largest(ask(replace(probe, upstream=2 * probe.upstream)) - 2 * answer)


def _largest(values: Any) -> float:
    return float(np.abs(values).max(initial=0))


SHIFT = Law("adding a constant to all logits of a row changes nothing", _shift)
OTHER_ROWS = Law("a row's answer depends on that row only", _other_rows)
NON_NEGATIVE = Law("nothing is negative", lambda answer, probe, ask: max(0.0, -float(np.min(answer))))
SUMS_TO_ONE = Law("probabilities sum to one", lambda answer, probe, ask: _largest(answer.sum(axis=1) - 1))
ROWS_SUM_TO_ZERO = Law("every row of the matrix sums to zero", lambda answer, probe, ask: _largest(answer.sum(axis=2)))
WEIGHTED_COLUMNS = Law(
    "every column, weighted by p, sums to zero",
    lambda answer, probe, ask: _largest((probe.probs[:, :, None] * answer).sum(axis=1)),
)
SYMMETRIC = Law("the matrix is symmetric", lambda answer, probe, ask: _largest(answer - np.swapaxes(answer, 1, 2)))
POSITIVE_SEMIDEFINITE = Law("the matrix is positive semi-definite: no eigenvalue is negative", _smallest_eigenvalue)
GRADIENT_SUMS_TO_ZERO = Law(
    "the gradient of every row sums to zero", lambda answer, probe, ask: _largest(answer.sum(axis=1))
)
LINEAR = Law("twice the upstream gradient gives twice the product", _linear_in_v)

SOFTMAX = (SUMS_TO_ONE, NON_NEGATIVE, SHIFT, OTHER_ROWS)
SOFTMAX_JACOBIAN = (ROWS_SUM_TO_ZERO, SYMMETRIC, POSITIVE_SEMIDEFINITE, SHIFT, OTHER_ROWS)
LOG_SOFTMAX_JACOBIAN = (ROWS_SUM_TO_ZERO, WEIGHTED_COLUMNS, SHIFT, OTHER_ROWS)
SOFTMAX_VJP = (GRADIENT_SUMS_TO_ZERO, LINEAR, SHIFT, OTHER_ROWS)
CROSS_ENTROPY = (NON_NEGATIVE, SHIFT)
CROSS_ENTROPY_GRAD = (GRADIENT_SUMS_TO_ZERO, SHIFT, OTHER_ROWS)
CROSS_ENTROPY_HESSIAN = (ROWS_SUM_TO_ZERO, SYMMETRIC, POSITIVE_SEMIDEFINITE, SHIFT, OTHER_ROWS)


def broken_laws(laws: tuple[Law, ...], answer: Array, probe: Probe, ask: Ask, allowance: float) -> tuple[str, ...]:
    """The names of the laws that an answer breaks by more than `allowance`."""
    return tuple(law.name for law in laws if law.miss(answer, probe, ask) > allowance)
