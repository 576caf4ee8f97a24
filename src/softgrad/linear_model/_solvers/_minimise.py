"""Minimising the objective: which solver runs, where it starts, and what all of them report."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad.linear_model._solvers._descent import Method, Point, descend
from softgrad.linear_model._solvers._lbfgs import LBFGS
from softgrad.linear_model._solvers._newton import Newton
from softgrad.linear_model._solvers._newton_cg import NewtonCG

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.linear_model._problem._objective import Objective

    Array = NDArray[Any]

SOLVERS = ("lbfgs", "newton-cg", "newton")
# Products in a Hessian up to which "auto" takes Newton's method: it then costs less than the iterations it saves.
_CHEAP_HESSIAN = 1 << 22


class Iteration(NamedTuple):
    """Where a fit stands after an iteration."""

    objective: float  # nats per unit of weight, with the penalty
    gradient_norm: float  # as in SoftmaxRegression.gradient_norm_
    passes: float  # over X so far; a part of the rows counts as that part
    seconds: float  # since the fit began; NaN in a model from a file


class Solution(NamedTuple):
    """What a solver ends with."""

    theta: Array
    objective: float
    loss: float  # the mean cross-entropy alone
    gradient_norm: float
    converged: bool
    cause: str  # why it stopped: "converged", "max_iter", "precision"
    solver: str
    history: list[Iteration]


def minimise(
    objective: Objective,
    start: Array,
    *,
    solver: str = "auto",
    tol: float,
    max_iter: int,
    on_iteration: Callable[[Iteration], object] | None = None,
    began: float | None = None,
) -> Solution:
    """Minimise from a starting point; `began` is the perf_counter at which the fit began."""
    began = time.perf_counter() if began is None else began
    history: list[Iteration] = []

    def report(point: Point) -> None:
        history.append(
            Iteration(point.value, objective.norm(point.gradient), objective.passes, time.perf_counter() - began)
        )
        if on_iteration is not None:
            on_iteration(history[-1])

    if solver == "auto":
        solver = "newton" if objective.x.shape[0] * start.size**2 <= _CHEAP_HESSIAN else "lbfgs"
    # A shift of all classes changes no probability, and without it the penalty is smaller.
    start = start - start.mean(axis=0)
    evaluate = partial(objective.value_and_grad, keep_probs=solver == "newton-cg")
    point, cause = descend(
        evaluate, _method(solver, objective), start,
        norm=objective.norm, tol=tol, max_iter=max_iter, precision=objective.precision, report=report,
    )  # fmt: skip
    loss = point.value - objective.penalty_at(point.theta)
    norm = objective.norm(point.gradient)
    return Solution(point.theta, point.value, loss, norm, cause == "converged", cause, solver, history)


def _method(solver: str, objective: Objective) -> Method:
    if solver == "newton":
        return Newton(objective)
    return NewtonCG(objective) if solver == "newton-cg" else LBFGS(objective)
