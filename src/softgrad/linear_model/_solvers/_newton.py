"""Newton's method with the Hessian as a matrix, for few coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from softgrad.linear_model._solvers._preconditioner import Plan

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Iterate

_RIDGE = 1e-12


class Newton:
    """Steps that solve with the exact Hessian.

    Rows predicted confidently wrong leave it nearly without curvature. Where the line search fails, the next
    step uses Böhning's bound instead.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._use_bound = False

    def direction(self, iterate: Iterate) -> Array:
        if self._use_bound:
            plan = Plan.of(self._objective)
            return plan.bounded_step(self._objective, plan.bound(self._objective), iterate.gradient)
        classes, columns = iterate.theta.shape
        hessian = self._objective.hessian(iterate.theta)
        scale = float(hessian.diagonal().mean()) or 1.0
        # A common shift of all classes changes no probability. The gradient along it is 0, and with this curvature
        # so is the step.
        shift = np.full((classes, classes), scale / classes)
        hessian += np.kron(shift, np.eye(columns))
        ridge = _RIDGE * scale
        while True:
            try:
                factor = cho_factor(hessian + ridge * np.eye(len(hessian)))
            except LinAlgError:
                ridge *= 100
                continue
            return -cho_solve(factor, iterate.gradient.ravel()).reshape(iterate.theta.shape)

    def update(self, before: Iterate, after: Iterate) -> None:
        self._use_bound = False

    def reset(self) -> bool:
        used_bound, self._use_bound = self._use_bound, True
        return not used_bound
