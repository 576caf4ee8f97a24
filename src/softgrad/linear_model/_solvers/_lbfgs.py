"""L-BFGS with a preconditioner that is renewed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.linear_model._solvers._preconditioner import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Point

    Array = NDArray[Any]

_MEMORY = 10  # pairs of steps and gradient differences
_FIRST_RENEWAL = 4


class LBFGS:
    """Liu & Nocedal, Mathematical Programming 45, 1989; Nocedal & Wright, *Numerical Optimization*, Algorithm 7.4.

    Its initial inverse Hessian is a preconditioner, which may change between iterations while the pairs of steps and
    gradient differences stay valid. At first it is Böhning's bound. It is renewed at the present point once the
    iterations since have cost as much as that will, at least four and as many again as before, each time from
    twice as many rows.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._plan = Plan.of(objective)
        self._preconditioner = self._plan.at_start(objective)
        self._steps: list[Array] = []
        self._changes: list[Array] = []
        self._iteration = 0
        self._last_renewal = 0
        self._fresh = True

    def direction(self, point: Point) -> Array:
        self._renew_if_due(point)
        q = point.gradient.copy()
        factors = []
        for s, y in zip(reversed(self._steps), reversed(self._changes), strict=True):
            alpha = np.vdot(s, q) / np.vdot(s, y)
            factors.append(alpha)
            q -= alpha * y
        if not self._steps:
            return self._plan.bounded_step(self._objective, self._preconditioner, q)
        r, of_change = self._preconditioner.solve(np.stack([q, self._changes[-1]]))
        r *= np.vdot(self._steps[-1], self._changes[-1]) / np.vdot(self._changes[-1], of_change)
        for s, y, alpha in zip(self._steps, self._changes, reversed(factors), strict=True):
            r += s * (alpha - np.vdot(y, r) / np.vdot(s, y))
        return -r

    def _renew_if_due(self, point: Point) -> None:
        cost = self._plan.cost(self._objective)
        if self._iteration < max(_FIRST_RENEWAL, 2 * self._last_renewal, self._last_renewal + cost):
            return
        del self._preconditioner  # its factors make room for the new ones
        self._preconditioner = self._plan.at(self._objective, point.theta)
        self._last_renewal = self._iteration
        self._plan = self._plan.larger(self._objective)

    def advanced(self, before: Point, after: Point) -> None:
        self._iteration += 1
        self._fresh = False
        step, change = after.theta - before.theta, after.gradient - before.gradient
        if np.vdot(step, change) > 0:
            self._steps = [*self._steps, step][-_MEMORY:]
            self._changes = [*self._changes, change][-_MEMORY:]

    def forget(self) -> bool:
        if self._fresh:
            return False
        self._steps, self._changes = [], []
        self._preconditioner = self._plan.at_start(self._objective)
        self._fresh = True
        return True
