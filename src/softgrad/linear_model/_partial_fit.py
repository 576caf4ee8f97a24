"""Learning from batches that are seen once: past batches count as the quadratic that they look like from here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from softgrad import softmax
from softgrad.linear_model._problem._design_matrix import CONSTANT, location_and_scale
from softgrad.linear_model._problem._objective import Objective
from softgrad.linear_model._solvers._minimise import Iteration, Solution

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad._targets import Targets
    from softgrad.linear_model._fit_options import Options

    Array = NDArray[Any]

# Up to this many coefficients a stream keeps the whole matrix of curvatures, at most 8 MB; beyond, its diagonal.
_DENSE = 1000
# Curvature at the start of a stream where there is no penalty: what the first batches leave open stays bounded.
_LEAST_CURVATURE = 1e-4
_CHUNK_ELEMENTS = 1 << 20


class Stream(NamedTuple):
    """All that is kept of past batches: where their objective is least, and its curvature there."""

    theta: Array
    curvature: Array  # (P, P) or, for many coefficients, of theta's shape: its diagonal
    total: float  # the summed weight of all rows so far
    mean: Array  # of the first batch: the origin and the units of theta
    scale: Array


def begin(x: Any, targets: Targets, options: Options) -> Stream:
    """Before the first batch there is the penalty alone."""
    mean, scale = location_and_scale(x, targets.row_weight, centred=options.fit_intercept)
    scale = _open(scale)
    theta = np.zeros((targets.classes, x.shape[1] + options.fit_intercept))
    curvature = np.full(theta.shape, _LEAST_CURVATURE)
    curvature[:, : x.shape[1]] = np.maximum(1 / (options.C * scale**2), _LEAST_CURVATURE)
    return Stream(theta, np.diag(curvature.ravel()) if theta.size <= _DENSE else curvature, 0.0, mean, scale)


def after(objective: Objective, theta: Array) -> Stream:
    """After a fit, whose rows count as the first batch."""
    curvature = _curvature(objective, theta)
    diagonal = curvature if curvature.shape == theta.shape else np.einsum("ii->i", curvature)
    diagonal += _LEAST_CURVATURE
    return Stream(theta, curvature, objective.total, objective.mean, _open(objective.scale))


def _open(scale: Array) -> Array:
    """A column that does not vary may do so in a later batch."""
    return np.where(scale == CONSTANT, 1.0, scale)


def step(
    stream: Stream,
    x: Any,
    targets: Targets,
    options: Options,
    on_iteration: Callable[[Iteration], object] | None,
    began: float,
) -> tuple[Stream, Objective, Solution]:
    """Learn a batch; the gradient of the solution is that of `_WithPast`."""
    batch = Objective(
        x, targets, options.spec, C=np.inf, fit_intercept=options.fit_intercept, mean=stream.mean, scale=stream.scale
    )
    solution = _WithPast(batch, stream).minimise(options, on_iteration, began)
    theta = solution.theta
    following = stream._replace(
        theta=theta, curvature=stream.curvature + _curvature(batch, theta), total=stream.total + batch.total
    )
    return following, batch, solution


class _WithPast:
    """A batch's objective and the quadratic of the past, per unit of all weight so far.

    Its variables u are steps from where the past left off, of unit curvature there: θ = θ_past + L⁻ᵀu, for L Lᵀ the
    curvature of both together, or its diagonal. What the past has settled is as easy to find as what it has not.
    """

    def __init__(self, batch: Objective, stream: Stream) -> None:
        self._batch = batch
        self._past = stream
        self._total = stream.total + batch.total
        both = (stream.curvature + _curvature(batch, stream.theta)) / self._total
        self._root = np.sqrt(both) if both.shape == batch.shape else np.linalg.cholesky(both)

    def minimise(self, options: Options, on_iteration: Callable[[Iteration], object] | None, began: float) -> Solution:
        history: list[Iteration] = []
        last: tuple[float, Array] = np.inf, np.zeros(0)

        def evaluate(u: Array) -> tuple[float, Array]:
            nonlocal last
            last = self._value_and_grad(u.reshape(self._batch.shape))
            return last

        def report(_: Array) -> None:
            value, gradient = last
            now = time.perf_counter() - began
            history.append(Iteration(value, float(np.abs(gradient).max()), self._batch.passes, now))
            if on_iteration is not None:
                on_iteration(history[-1])

        # Near unit curvature nothing is left to precondition; only the gradient decides, a line search takes 20
        # evaluations at most.
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
        cause = "converged" if norm <= options.tol else "max_iter" if result.nit >= options.max_iter else "precision"
        theta = self._past.theta + self._solve(result.x.reshape(self._batch.shape), transposed=True)
        return Solution(theta, value, self._batch.loss, norm, cause == "converged", cause, "lbfgs", history)

    def _value_and_grad(self, u: Array) -> tuple[float, Array]:
        moved = self._solve(u, transposed=True)
        value, gradient = self._batch.value_and_grad(self._past.theta + moved)
        curvature = self._past.curvature
        pull = curvature * moved if curvature.shape == moved.shape else (curvature @ moved.ravel()).reshape(moved.shape)
        value = (self._batch.total * value + 0.5 * float(np.vdot(moved, pull))) / self._total
        gradient = (self._batch.total * gradient + pull) / self._total
        return value, self._solve(gradient, transposed=False).ravel()

    def _solve(self, v: Array, *, transposed: bool) -> Array:
        if self._root.shape == v.shape:
            return v / self._root
        return solve_triangular(self._root, v.ravel(), lower=True, trans="T" if transposed else "N").reshape(v.shape)


def _curvature(objective: Objective, theta: Array) -> Array:
    """The Hessian of the summed objective, or the diagonal where a stream keeps no more."""
    if theta.size <= _DENSE:
        return objective.total * objective.hessian(theta)
    diagonal = _diagonal(objective, theta)
    diagonal[:, : len(objective.scale)] += objective.total * objective.penalty
    return diagonal


def _diagonal(batch: Objective, theta: Array) -> Array:
    """The diagonal of the Hessian of the summed loss."""
    W, b = batch.coefficients(theta)
    mass = batch.mass
    spread, first, second = np.zeros(len(b)), np.zeros(W.shape), np.zeros(W.shape)
    rows = max(1, _CHUNK_ELEMENTS // (len(W) + W.shape[1]))
    for start in range(0, batch.x.shape[0], rows):
        x = batch.x[start : start + rows]
        p = softmax(np.asarray(x @ W.T) + b)
        variance = mass[start : start + rows, None] * p * (1 - p)
        spread += variance.sum(axis=0)
        first += (x.T @ variance).T
        second += ((x.multiply(x) if hasattr(x, "multiply") else np.square(x, dtype=np.float64)).T @ variance).T
    mean = batch.mean
    squares = np.maximum(second - 2 * mean * first + mean**2 * spread[:, None], 0) / batch.scale**2
    return np.column_stack([squares, spread]) if batch.fit_intercept else squares
