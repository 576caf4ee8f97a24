"""L-BFGS with a preconditioner that is renewed between iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad.linear_model._solvers._preconditioner import Plan

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Iterate

_MEMORY = 10  # pairs of steps and gradient differences
_FIRST_RENEWAL = 4


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
        self._steps: list[Array] = []
        self._changes: list[Array] = []
        self._iteration = 0
        self._last_renewal = 0
        self._is_initial = True

    def direction(self, iterate: Iterate) -> Array:
        self._renew_if_due(iterate)
        q = iterate.gradient.copy()
        factors = []
        for s, y in zip(reversed(self._steps), reversed(self._changes), strict=True):
            alpha = np.vdot(s, q) / np.vdot(s, y)
            factors.append(alpha)
            q -= alpha * y
        if not self._steps:
            return self._plan.bounded_step(self._objective, self._preconditioner, q)
        r, solved_change = self._preconditioner.solve(np.stack([q, self._changes[-1]]))
        r *= np.vdot(self._steps[-1], self._changes[-1]) / np.vdot(self._changes[-1], solved_change)
        for s, y, alpha in zip(self._steps, self._changes, reversed(factors), strict=True):
            r += s * (alpha - np.vdot(y, r) / np.vdot(s, y))
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
        if np.vdot(step, change) > 0:
            self._steps = [*self._steps, step][-_MEMORY:]
            self._changes = [*self._changes, change][-_MEMORY:]

    def reset(self) -> bool:
        if self._is_initial:
            return False
        self._steps, self._changes = [], []
        self._preconditioner = self._plan.bound(self._objective)
        self._is_initial = True
        return True
