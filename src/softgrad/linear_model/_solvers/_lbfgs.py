"""L-BFGS with a preconditioner that is renewed between iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.linear_model._solvers._preconditioner import Plan

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Iterate

_MEMORY = 10  # pairs of steps and gradient differences
_FIRST_RENEWAL = 4


class _Pair(NamedTuple):
    step: Array
    change: Array  # of the gradient
    product: float  # of both


class LBFGS:
    """Liu & Nocedal, Mathematical Programming 45, 1989; Nocedal & Wright, *Numerical Optimization*, Algorithm 7.4.

    The initial inverse Hessian is a preconditioner, which may change between iterations without invalidating the
    pairs of steps and gradient differences. It starts as Böhning's bound, and is recomputed at the current iterate
    after at least four iterations, after at least as many again each time, and not before the iterations since the
    last time have cost as much. Each time it is computed from twice as many rows.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._plan = Plan.of(objective)
        self._preconditioner = self._plan.bound(objective)
        self._pairs: list[_Pair] = []
        self._iteration = 0
        self._last_renewal = 0
        self._is_initial = True

    def direction(self, iterate: Iterate) -> Array:
        self._renew_if_due(iterate)
        q = iterate.gradient.copy()
        factors = []
        for pair in reversed(self._pairs):
            factors.append(np.vdot(pair.step, q) / pair.product)
            q -= factors[-1] * pair.change
        if not self._pairs:
            return self._plan.bounded_step(self._objective, self._preconditioner, q)
        last = self._pairs[-1]
        r, solved_change = self._preconditioner.solve(np.stack([q, last.change]))
        r *= last.product / np.vdot(last.change, solved_change)
        for pair, factor in zip(self._pairs, reversed(factors), strict=True):
            r += pair.step * (factor - np.vdot(pair.change, r) / pair.product)
        return -r

    def _renew_if_due(self, iterate: Iterate) -> None:
        cost = self._plan.cost(self._objective)
        if self._iteration < max(_FIRST_RENEWAL, 2 * self._last_renewal, self._last_renewal + cost):
            return
        del self._preconditioner  # frees its factors before the new ones are allocated
        self._preconditioner = self._plan.at(self._objective, iterate.theta)
        self._last_renewal = self._iteration
        self._plan = self._plan.larger(self._objective)

    def update(self, before: Iterate, after: Iterate) -> None:
        self._iteration += 1
        self._is_initial = False
        step, change = after.theta - before.theta, after.gradient - before.gradient
        product = float(np.vdot(step, change))
        if product > 0:
            self._pairs = [*self._pairs, _Pair(step, change, product)][-_MEMORY:]

    def reset(self) -> bool:
        if self._is_initial:
            return False
        self._pairs = []
        self._preconditioner = self._plan.bound(self._objective)
        self._is_initial = True
        return True
