"""Truncated Newton method: preconditioned conjugate gradients with Hessian-vector products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad.linear_model._solvers._preconditioner import Plan, Preconditioner

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Iterate

_LARGEST_RESIDUAL = 0.5
_PRODUCTS = 200  # Hessian-vector products in a step, at most


class NewtonCG:
    """Nocedal & Wright, *Numerical Optimization*, Algorithm 7.1, with a preconditioner.

    The tolerance of the conjugate gradients decreases as the fourth root of the decrement gᵀM⁻¹g, relative to its
    first value: the first steps take few products, and the last ones converge superlinearly. Where the line search
    fails, the next step uses Böhning's bound instead.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._plan = Plan.of(objective)
        self._first_decrement = 0.0
        self._use_bound = False
        self._passes_at_renewal = -np.inf
        self._preconditioner: Preconditioner | None = None

    def direction(self, iterate: Iterate) -> Array:
        if self._use_bound:
            bound = self._plan.bound(self._objective)
            return self._plan.bounded_step(self._objective, bound, iterate.gradient)
        preconditioner = self._preconditioner_for(iterate)
        residual = -iterate.gradient
        solved = preconditioner.solve(residual)
        decrement = remaining = float(np.vdot(residual, solved))
        self._first_decrement = self._first_decrement or decrement
        tolerance = _LARGEST_RESIDUAL * min(1.0, decrement / self._first_decrement) ** 0.25
        step, conjugate = np.zeros_like(solved), solved
        for _ in range(_PRODUCTS):
            product = self._objective.hessian_product(conjugate)
            curvature = float(np.vdot(conjugate, product))
            if not curvature > 0:  # by rounding, where the Hessian is nearly singular
                break
            length = remaining / curvature
            step = step + length * conjugate
            residual = residual - length * product
            solved = preconditioner.solve(residual)
            before, remaining = remaining, float(np.vdot(residual, solved))
            if remaining <= tolerance**2 * decrement:
                break
            conjugate = solved + (remaining / before) * conjugate
        return step if step.any() else preconditioner.solve(-iterate.gradient)

    def _preconditioner_for(self, iterate: Iterate) -> Preconditioner:
        """Renew the preconditioner if that costs no more than the passes since the last time."""
        is_due = self._objective.passes - self._passes_at_renewal >= self._plan.cost(self._objective)
        if self._preconditioner is None or is_due:
            self._preconditioner = None  # frees its factors before the new ones are allocated
            self._preconditioner = self._plan.at(self._objective, iterate.theta)
            self._passes_at_renewal = self._objective.passes
        return self._preconditioner

    def update(self, before: Iterate, after: Iterate) -> None:
        self._use_bound = False

    def reset(self) -> bool:
        used_bound, self._use_bound = self._use_bound, True
        return not used_bound
