"""Learning from batches: each past batch is replaced by its quadratic expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from softgrad import softmax
from softgrad.linear_model import _fit_options
from softgrad.linear_model._fit_results import FitResults
from softgrad.linear_model._problem._design_matrix import convert_rows, validate_rows
from softgrad.linear_model._problem._location_and_scale import CONSTANT, location_and_scale
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._targets import check_sample_weight, encode_target, partial_fit_classes, targets_for
from softgrad.linear_model._solvers._history import History
from softgrad.linear_model._solvers._minimise import Solution
from softgrad.linear_model._thread_limits import limited_threads

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from softgrad._typing import Array
    from softgrad.linear_model._fit_options import FitOptions
    from softgrad.linear_model._solvers._descent import Cause

# Up to this many coefficients the Hessian of past batches is kept as a matrix, at most 8 MB; beyond, its diagonal.
_DENSE = 1000
# Smallest curvature before the first batch: keeps coefficients finite that the first batches do not determine.
_SMALLEST_CURVATURE = 1e-4
_CHUNK_ELEMENTS = 1 << 20


class PartialFit(FitResults):
    """Base of the estimator: `partial_fit`."""

    _past_batches: PastBatches | None = None

    def partial_fit(
        self, X: Any, y: Any, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        r"""Update the coefficients from a batch of rows.

        .. math:: \theta_t = \arg\min_\theta \sum_{n \in \text{batch}} s_n \operatorname{CE}(W x_n + b,\; y_n)
                  + \tfrac12 (\theta - \theta_{t-1})^\top A_{t-1} (\theta - \theta_{t-1}), \quad
                  A_t = A_{t-1} + \nabla^2 \text{loss of the batch at } \theta_t

        Each earlier batch is replaced by its quadratic expansion, and A_0 is the penalty. For quadratic losses this
        would be the same as `fit` to all rows. After `fit`, the rows of the fit count as the first batch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; a batch need not contain every class.
        classes : array_like of shape (K,), optional
            The labels of all batches; required at the first call, unless y holds class probabilities.

        Returns
        -------
        SoftmaxRegression
            The fitted estimator. ``loss_``, ``objective_``, ``history_`` and the other results refer to this batch;
            ``gradient_norm_`` is measured in variables scaled to the accumulated curvature.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; also if `classes` is missing at the first call or changes later, y contains another label,
            class_weight is "balanced", or the model was loaded from a file, which does not store past batches.

        Notes
        -----
        A is the exact Hessian, in float64, up to K (D + 1) = 1000 coefficients, and its diagonal beyond. The
        diagonal of A_0 is at least 1e-4, also for b and for C=inf, so that coefficients stay finite for a class that a
        batch lacks. The minimum is found by L-BFGS, whatever `solver` is.

        The expansion is accurate if the batches have similar distributions: shuffle the rows first. After a batch of
        a single class the model predicts that class with confidence, where the loss has little curvature, and later
        batches override what it learned from earlier ones.

        References
        ----------
        Opper, "A Bayesian approach to on-line learning", in *On-Line Learning in Neural Networks*, 1998.

        Examples
        --------
        >>> from softgrad.linear_model import SoftmaxRegression
        >>> model = SoftmaxRegression()
        >>> for X, y in [([[0.0], [3.0]], [0, 1]), ([[1.0], [4.0]], [0, 1])]:
        ...     model = model.partial_fit(X, y, classes=[0, 1])
        >>> model.predict([[0.5], [3.5]])
        array([0, 1])
        """
        options = _fit_options.checked(self, self.C)
        history = History(verbose=options.verbose > 0)
        past = self._past()
        x = convert_rows(self, X, reset=True) if past is None else validate_rows(self, X, reset=False)
        weight = check_sample_weight(sample_weight, x.shape[0])
        encoded = encode_target(y, x.shape[0], type(self).__name__)
        known = partial_fit_classes(classes, encoded, None if past is None else self.classes_)
        rows = LocalRows(x, targets_for(encoded, weight, known, self.class_weight), options.spec)
        with limited_threads(options.n_threads):
            past = _before_first_batch(rows, options) if past is None else past
            past, objective, solution = _fit_batch(past, rows, options, history)
        self._set_results(objective, solution, known)
        self._past_batches = past
        if not self.converged_:
            self._warn_not_converged(solution.cause)
        return self

    def _past(self) -> PastBatches | None:
        """Return the past batches, of which a fit is one; None for a new model."""
        if self._past_batches is None and hasattr(self, "coef_"):
            return _after_fit(*self._objective_at_optimum())
        return self._past_batches


class PastBatches(NamedTuple):
    """The quadratic expansion of the objective of past batches about its minimum."""

    theta: Array
    curvature: Array  # (P, P), or its diagonal in the shape of theta if P > 1000
    total: float  # the summed weight of all rows
    mean: Array  # of the first batch, as are the scales: the origin and units of theta
    scale: Array


def _before_first_batch(rows: LocalRows, options: FitOptions) -> PastBatches:
    """Return the penalty alone."""
    mean, scale = location_and_scale(rows, centred=options.fit_intercept)
    scale = _without_constants(scale)
    columns = rows.shape[1]
    theta = np.zeros((rows.classes, columns + options.fit_intercept))
    curvature = np.full(theta.shape, _SMALLEST_CURVATURE)
    curvature[:, :columns] = np.maximum(1 / (options.C * scale**2), _SMALLEST_CURVATURE)
    return PastBatches(theta, np.diag(curvature.ravel()) if theta.size <= _DENSE else curvature, 0.0, mean, scale)


def _after_fit(objective: Objective, theta: Array) -> PastBatches:
    """Return the rows of a fit as the first batch."""
    curvature = _curvature(objective, theta)
    diagonal = curvature if curvature.shape == theta.shape else np.einsum("ii->i", curvature)
    diagonal += _SMALLEST_CURVATURE
    return PastBatches(theta, curvature, objective.total, objective.mean, _without_constants(objective.scale))


def _without_constants(scale: Array) -> Array:
    """Replace the scale of constant columns by 1: they may vary in a later batch."""
    return np.where(scale == CONSTANT, 1.0, scale)


def _fit_batch(
    past: PastBatches, rows: LocalRows, options: FitOptions, history: History
) -> tuple[PastBatches, Objective, Solution]:
    """Minimise over a batch and the past; return the past with the batch, the batch's objective and the solution."""
    batch = Objective(rows, C=np.inf, fit_intercept=options.fit_intercept, mean=past.mean, scale=past.scale)
    solution = _BatchWithPast(batch, past).minimise(options, history)
    theta = solution.theta
    past = past._replace(
        theta=theta, curvature=past.curvature + _curvature(batch, theta), total=past.total + batch.total
    )
    return past, batch, solution


class _BatchWithPast:
    """The objective of a batch plus the quadratic expansion of the past, divided by their total weight.

    It is minimised over u in θ = θ_past + L⁻ᵀu, where L Lᵀ is the curvature of both together at θ_past, or its
    diagonal: the curvature in u is about 1, however different the scales of θ.
    """

    def __init__(self, batch: Objective, past: PastBatches) -> None:
        self._batch = batch
        self._past = past
        self._total = past.total + batch.total
        curvature = (past.curvature + _curvature(batch, past.theta)) / self._total
        self._root = np.sqrt(curvature) if curvature.shape == batch.shape else np.linalg.cholesky(curvature)

    def minimise(self, options: FitOptions, history: History) -> Solution:
        last: tuple[float, Array] = np.inf, np.zeros(0)

        def evaluate(u: Array) -> tuple[float, Array]:
            nonlocal last
            last = self._value_and_grad(u.reshape(self._batch.shape))
            return last

        def report(_: Array) -> None:
            value, gradient = last
            history.add(value, float(np.abs(gradient).max()), self._batch.passes)

        # With curvature near 1 no preconditioner is needed. ftol=0 leaves gtol as the only criterion; SciPy's line
        # search takes at most 20 evaluations.
        result = minimize(
            evaluate,
            np.zeros(self._past.theta.size),
            jac=True,
            method="L-BFGS-B",
            callback=report,
            options={"gtol": options.tol, "ftol": 0.0, "maxiter": options.max_iter, "maxfun": 40 * options.max_iter},
        )
        value, gradient = evaluate(result.x)
        norm = float(np.abs(gradient).max())
        cause: Cause = "max_iter" if result.nit >= options.max_iter else "precision"
        if norm <= options.tol:
            cause = "converged"
        theta = self._past.theta + self._solve(result.x.reshape(self._batch.shape), transposed=True)
        return Solution(theta, value, self._batch.loss, norm, cause == "converged", cause, "lbfgs", history.iterations)

    def _value_and_grad(self, u: Array) -> tuple[float, Array]:
        step = self._solve(u, transposed=True)
        value, gradient = self._batch.value_and_grad(self._past.theta + step)
        curvature = self._past.curvature
        change = curvature * step if curvature.shape == step.shape else (curvature @ step.ravel()).reshape(step.shape)
        value = (self._batch.total * value + 0.5 * float(np.vdot(step, change))) / self._total
        gradient = (self._batch.total * gradient + change) / self._total
        return value, self._solve(gradient, transposed=False).ravel()

    def _solve(self, v: Array, *, transposed: bool) -> Array:
        if self._root.shape == v.shape:
            return v / self._root
        return solve_triangular(self._root, v.ravel(), lower=True, trans="T" if transposed else "N").reshape(v.shape)


def _curvature(objective: Objective, theta: Array) -> Array:
    """Return the Hessian of the summed objective, or its diagonal for many coefficients."""
    if theta.size <= _DENSE:
        return objective.total * objective.hessian(theta)
    diagonal = _diagonal(objective, theta)
    diagonal[:, : len(objective.scale)] += objective.total * objective.penalty
    return diagonal


def _diagonal(batch: Objective, theta: Array) -> Array:
    """Return the diagonal of the Hessian of the summed loss."""
    classes, columns = batch.rows.classes, batch.rows.shape[1]
    sums = batch.rows.sum(_weighted_moments, *batch.coefficients(theta))
    spread, first, second = np.split(sums.reshape(-1, classes).T, [1, 1 + columns], axis=1)
    squares = np.maximum(second - 2 * batch.mean * first + batch.mean**2 * spread, 0) / batch.scale**2
    return np.column_stack([squares, spread]) if batch.fit_intercept else squares


def _weighted_moments(rows: LocalRows, W: Array, b: Array) -> Array:
    """Return Σ v_nk, Σ v_nk x_n and Σ v_nk x_n² for every class k, v = m p (1 − p), as one vector."""
    classes, columns = W.shape
    sums = np.zeros((1 + 2 * columns, classes))
    step = max(1, _CHUNK_ELEMENTS // (classes + columns))
    for start in range(0, rows.shape[0], step):
        part = slice(start, start + step)
        x = rows.x[part]
        p = softmax(np.asarray(x @ W.T) + b)
        variance = rows.mass[part, None] * p * (1 - p)
        squared = x.multiply(x) if rows.is_sparse else np.square(x, dtype=np.float64)
        sums[0] += variance.sum(axis=0)
        sums[1 : 1 + columns] += x.T @ variance
        sums[1 + columns :] += squared.T @ variance
    return sums.ravel()
