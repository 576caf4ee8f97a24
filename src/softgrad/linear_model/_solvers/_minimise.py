"""Minimise an objective: choose the solver and the starting point, and report the iterations."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from softgrad.linear_model._solvers._descent import descend
from softgrad.linear_model._solvers._history import History
from softgrad.linear_model._solvers._lbfgs import LBFGS
from softgrad.linear_model._solvers._newton import Newton
from softgrad.linear_model._solvers._newton_cg import NewtonCG

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._problem._rows import Rows
    from softgrad.linear_model._solvers._descent import Cause, Iterate, Solver
    from softgrad.linear_model._solvers._history import Iteration

SolverName = Literal["lbfgs", "newton-cg", "newton"]
SOLVERS: dict[SolverName, Callable[[Objective], Solver]] = {"lbfgs": LBFGS, "newton-cg": NewtonCG, "newton": Newton}
# "auto" takes Newton's method up to this many products in a Hessian: it then costs less than the iterations it saves.
_CHEAP_HESSIAN = 1 << 22


class Solution(NamedTuple):
    """The result of a solver."""

    theta: Array
    objective: float
    loss: float  # the mean cross-entropy without the penalty
    gradient_norm: float
    converged: bool
    cause: Cause
    solver: SolverName
    history: list[Iteration]


def chosen_solver(solver: Literal[SolverName, "auto"], rows: Rows, shape: tuple[int, int]) -> SolverName:
    """Return the solver of a problem with coefficients of the given shape."""
    if solver != "auto":
        return solver
    return "newton" if rows.shape[0] * math.prod(shape) ** 2 <= _CHEAP_HESSIAN else "lbfgs"


def minimise(
    objective: Objective,
    start: Array,
    *,
    solver: Literal[SolverName, "auto"] = "auto",
    tol: float,
    max_iter: int,
    history: History | None = None,
) -> Solution:
    """Minimise from a starting point, recording the iterations in `history`."""
    history = History() if history is None else history

    def report(iterate: Iterate, norm: float) -> None:
        history.add(iterate.value, norm, objective.passes, iterate.theta)

    solver = chosen_solver(solver, objective.rows, objective.shape)
    # A common shift of all classes changes no probability, and without it the penalty is smaller.
    start = start - start.mean(axis=0)
    evaluate = partial(objective.value_and_grad, keep_probs=solver == "newton-cg")
    iterate, cause = descend(
        evaluate, SOLVERS[solver](objective), start,
        norm=objective.norm, tol=tol, max_iter=max_iter, precision=objective.precision, report=report,
    )  # fmt: skip
    loss = iterate.value - objective.penalty_at(iterate.theta)
    norm = objective.norm(iterate.gradient)
    return Solution(iterate.theta, iterate.value, loss, norm, cause == "converged", cause, solver, history.iterations)
