"""Newton's method with Hessian-vector products: truncated, preconditioned conjugate gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.linear_model._solvers._preconditioner import Plan, Preconditioner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Point

    Array = NDArray[Any]

_LARGEST_RESIDUAL = 0.5
_PRODUCTS = 200  # Hessian-vector products in a step, at most


class NewtonCG:
    """Nocedal & Wright, *Numerical Optimization*, Algorithm 7.1, with a preconditioner.

    The residual that ends the conjugate gradients is tied to progress: with the decrement gᵀM⁻¹g falling from its
    first value, it tightens as that value's fourth root, so the first steps cost few products and the last converge
    faster than linearly. Where a step leads nowhere, one by Böhning's bound takes its place.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._plan = Plan.of(objective)
        self._first_decrement = 0.0
        self._bounded = False
        self._passes_at_renewal = -np.inf
        self._preconditioner: Preconditioner | None = None

    def direction(self, point: Point) -> Array:
        if self._bounded:
            bound = self._plan.at_start(self._objective)
            return self._plan.bounded_step(self._objective, bound, point.gradient)
        preconditioner = self._renewed(point)
        residual = -point.gradient
        solved = preconditioner.solve(residual)
        decrement = remaining = float(np.vdot(residual, solved))
        self._first_decrement = self._first_decrement or decrement
        enough = _LARGEST_RESIDUAL * min(1.0, decrement / self._first_decrement) ** 0.25
        step, conjugate = np.zeros_like(solved), solved
        for _ in range(_PRODUCTS):
            product = self._objective.hessian_product(conjugate)
            curvature = float(np.vdot(conjugate, product))
            if not curvature > 0:  # rounding, where the Hessian is all but singular
                break
            length = remaining / curvature
            step = step + length * conjugate
            residual = residual - length * product
            solved = preconditioner.solve(residual)
            before, remaining = remaining, float(np.vdot(residual, solved))
            if remaining <= enough**2 * decrement:
                break
            conjugate = solved + (remaining / before) * conjugate
        return step if step.any() else preconditioner.solve(-point.gradient)

    def _renewed(self, point: Point) -> Preconditioner:
        """The approximation at the point, or the last one while a new one would cost more than was spent since."""
        worn = self._objective.passes - self._passes_at_renewal >= self._plan.cost(self._objective)
        if self._preconditioner is None or worn:
            self._preconditioner = None  # its factors make room for the new ones
            self._preconditioner = self._plan.at(self._objective, point.theta)
            self._passes_at_renewal = self._objective.passes
        return self._preconditioner

    def advanced(self, before: Point, after: Point) -> None:
        self._bounded = False

    def forget(self) -> bool:
        bounded, self._bounded = self._bounded, True
        return not bounded
