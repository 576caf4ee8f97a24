"""The results of a fit as attributes of the estimator, and the training rows that it refers to."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from softgrad.linear_model import _fit_options
from softgrad.linear_model._prediction import LinearSoftmax
from softgrad.linear_model._problem._design_matrix import convert_rows
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._targets import check_sample_weight, encode_target, fit_targets

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._fit_options import FitOptions
    from softgrad.linear_model._solvers._descent import Cause
    from softgrad.linear_model._solvers._minimise import Solution


class FitResults(LinearSoftmax):
    """Base of the estimator: its fitted attributes, and the objective of its last fit."""

    C: float
    class_weight: Any
    fit_intercept: bool
    max_iter: int
    tol: float
    _training: tuple[Any, Any, Any] | None = None  # X, y and sample_weight of the last fit

    def _set_results(self, objective: Objective, solution: Solution, classes: Array) -> None:
        self.coef_, self.intercept_ = objective.coefficients(solution.theta)
        self.classes_ = classes
        self.n_iter_ = len(solution.history)
        self.n_passes_ = objective.passes
        self.loss_ = solution.loss
        self.objective_ = solution.objective
        self.gradient_norm_ = solution.gradient_norm
        self.converged_ = solution.converged
        self.solver_ = solution.solver
        self.history_ = solution.history
        self.temperature_ = 1.0
        self._training = None

    def _fit_objective(self, x: Any, y: Any, sample_weight: Any, options: FitOptions) -> tuple[Array, Objective]:
        """Return the classes of converted rows and their objective; raise ValueError if y does not suit them."""
        weight = check_sample_weight(sample_weight, x.shape[0])
        encoded = encode_target(y, x.shape[0], type(self).__name__)
        classes, targets = fit_targets(encoded, weight, self.class_weight, options.spec)
        rows = LocalRows(x, targets, options.spec)
        return classes, Objective.of(rows, C=options.C, fit_intercept=options.fit_intercept)

    def _objective_at_optimum(self) -> tuple[Objective, Array]:
        """Return the objective of the last fit, rebuilt from its rows, and its minimiser."""
        check_is_fitted(self)
        if self._training is None:
            raise ValueError(
                "the rows of the fit are not available: only the model on which fit was called refers to them, not a "
                "copy or a loaded model, and partial_fit keeps none; call fit"
            )
        X, y, sample_weight = self._training
        x = convert_rows(self, X, reset=False)
        _, objective = self._fit_objective(x, y, sample_weight, _fit_options.checked(self, self.C))
        theta = objective.variables(self.coef_, self.intercept_)
        value, _ = objective.value_and_grad(theta)
        if not np.isclose(value, self.objective_, rtol=1e-6, atol=1e-12):
            raise ValueError(
                f"at the coefficients the objective is {value:g}, but was {self.objective_:g} in fit: X, y, "
                "sample_weight or a parameter has changed since; call fit again"
            )
        return objective, theta

    def _warn_not_converged(self, cause: Cause) -> None:
        if cause == "max_iter":
            stopped, advice = f"max_iter={self.max_iter} reached", "raise max_iter"
        else:
            stopped, advice = "rounding prevents a further decrease of the objective", "raise tol"
            if self._training is not None and getattr(self._training[0], "dtype", None) == np.float32:
                advice += ", or fit X.astype(numpy.float64) if columns lie far from 0"
        _warn(f"{stopped} with gradient norm {self.gradient_norm_:.1e}, above tol={self.tol:.1e}; {advice}, or lower C")

    def _warn_separable(self) -> None:
        _warn(
            "the rows are separable: larger coefficients always fit them better, so that without a penalty there "
            f"is no finite optimum; stopped at gradient norm {self.gradient_norm_:.1e}; write a finite C, such as "
            "C=100, or drop a column that determines the label"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle or a copy, without the training rows."""
        return {name: value for name, value in super().__getstate__().items() if name != "_training"}


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
