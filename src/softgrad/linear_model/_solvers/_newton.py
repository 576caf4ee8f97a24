"""Newton's method with the Hessian as a matrix: for few coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from softgrad.linear_model._solvers._preconditioner import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._solvers._descent import Point

    Array = NDArray[Any]

_RIDGE = 1e-12


class Newton:
    """Steps that solve with the exact Hessian.

    Where they lead nowhere, among rows that are wrong with confidence and have next to no curvature, one
    step by Böhning's bound takes their place.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._bounded = False

    def direction(self, point: Point) -> Array:
        if self._bounded:
            return -Plan.of(self._objective).at_start(self._objective).solve(point.gradient)
        classes, columns = point.theta.shape
        hessian = self._objective.hessian(point.theta)
        scale = float(hessian.diagonal().mean()) or 1.0
        # A shift of all classes changes no probability: directions along it get a curvature, and no step results.
        shift = np.full((classes, classes), scale / classes)
        hessian += np.kron(shift, np.eye(columns))
        ridge = _RIDGE * scale
        while True:
            try:
                factor = cho_factor(hessian + ridge * np.eye(len(hessian)))
            except LinAlgError:
                ridge *= 100
                continue
            return -cho_solve(factor, point.gradient.ravel()).reshape(point.theta.shape)

    def advanced(self, before: Point, after: Point) -> None:
        self._bounded = False

    def forget(self) -> bool:
        bounded, self._bounded = self._bounded, True
        return not bounded
