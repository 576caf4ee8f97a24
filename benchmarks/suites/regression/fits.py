"""Time to the objective that a peer ends with, to a small gap, and of a whole fit."""

from __future__ import annotations

import bisect
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import softgrad as sg
from benchmarks.suites.regression.problem import MOST_ITERATIONS, Problem, Timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers import Peers
    from benchmarks.suites.regression.csv_folder import DataSet

GAP = 1e-8  # to the optimum, relative; scikit-learn's lbfgs does not reach it
# A fit of softgrad goes to each of these in turn, until it has passed the objective that is looked for.
_TOLERANCES = 1e-6, 1e-8, 1e-10
_LONG = 5.0  # seconds; a peer's fit that takes longer is timed once
_TRIAL_ITERATIONS = 20


class Stop(NamedTuple):
    """The options of SoftmaxRegression at which a fit has just passed an objective."""

    tol: float
    max_iter: int


class FitCase(NamedTuple):
    """One data set, and the peers to fit it with."""

    data: DataSet
    peers: Peers

    @property
    def title(self) -> str:
        """The data set's name."""
        return self.data.name

    def measure(self, rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Fit with every peer and with softgrad, in turns; `progress` is told what comes next."""
        problem = Problem(self.data)
        progress("softgrad to the optimum")
        optimum = _optimum(self.data)
        peers = [_against(problem, name, library, rounds, progress) for name, library in self.peers.items()]
        whole = [problem.softgrad() for _ in range(rounds)]
        reached = problem.objective(whole[0].model)
        # Where a fit in float32 or a peer happens to end lower, by rounding, that is the optimum.
        optimum = min(optimum, reached, *(peer["objective"] for peer in peers))
        for peer in peers:
            peer["gap"] = peer["objective"] / optimum - 1
        progress(f"softgrad to a gap of {GAP:g}")
        near = _first_within(problem, optimum * (1 + GAP))
        return {
            "title": self.title,
            "shape": list(problem.shape),
            "dtype": problem.x.dtype.name,
            "sparse": not isinstance(problem.x, np.ndarray),
            "optimum": optimum,
            "peers": peers,
            "to_gap": None if near is None else {"gap": GAP} | _figures([_run(problem, near) for _ in range(rounds)]),
            "whole_fit": _figures(whole)
            | {"gap": reached / optimum - 1, "solver": whole[0].model.solver_, "converged": whole[0].model.converged_},
            "problems": [
                f"softgrad does not reach the objective of {peer['name']}" for peer in peers if peer["softgrad"] is None
            ],
        }


def _optimum(data: DataSet) -> float:
    """The least objective: of a fit in float64, whose gradient says that nothing is left."""
    problem = Problem(data._replace(x=data.x.astype(np.float64, copy=False)))
    return problem.objective(problem.softgrad(tol=_TOLERANCES[-1]).model)


def _against(
    problem: Problem, name: str, library: Any, rounds: int, progress: Callable[[str], object]
) -> dict[str, Any]:
    trials = {n: _peer(problem, library, n, _TRIAL_ITERATIONS).seconds for n in sorted({1, sg.get_num_threads()})}
    threads = min(trials, key=lambda n: trials[n])
    progress(f"{name}, round 1 of {rounds}")
    theirs = [_peer(problem, library, threads)]
    model = theirs[0].model
    objective = problem.objective(model)
    progress("softgrad to the same objective")
    stop = _first_within(problem, objective)
    ours = []
    for i in range(rounds):
        if i and theirs[0].seconds < _LONG:
            progress(f"{name}, round {i + 1} of {rounds}")
            theirs.append(_peer(problem, library, threads))
        if stop is not None:
            ours.append(_run(problem, stop))
    iterations = int(np.max(model.n_iter_))
    return {
        "name": name,
        "threads": threads,
        "trial_s": trials,
        **_seconds(theirs),
        "iterations": iterations,
        "converged": iterations < MOST_ITERATIONS,
        "objective": objective,
        "softgrad": _figures(ours) if ours else None,
        "ratio": _median(theirs) / _median(ours) if ours else None,
    }


def _peer(problem: Problem, library: Any, threads: int, max_iter: int = MOST_ITERATIONS) -> Timed:
    with threadpool_limits(threads):
        return problem.peer(library, max_iter)


def _run(problem: Problem, stop: Stop) -> Timed:
    return problem.softgrad(tol=stop.tol, max_iter=stop.max_iter)


def _first_within(problem: Problem, objective: float) -> Stop | None:
    """The fewest iterations whose coefficients reach the objective; None if rounding keeps them above it."""
    for tol in _TOLERANCES:
        model = problem.softgrad(tol=tol).model
        if problem.objective(model) > objective:
            continue

        def reaches(max_iter: int, tol: float = tol) -> bool:
            return problem.objective(_run(problem, Stop(tol, max_iter)).model) <= objective

        return Stop(tol, 1 + bisect.bisect_left(range(1, model.n_iter_), True, key=reaches))
    return None


def _figures(fits: list[Timed]) -> dict[str, Any]:
    model = fits[0].model
    return _seconds(fits) | {"iterations": model.n_iter_, "passes": model.n_passes_}


def _median(fits: list[Timed]) -> float:
    return statistics.median(fit.seconds for fit in fits)


def _seconds(fits: list[Timed]) -> dict[str, float]:
    seconds = [fit.seconds for fit in fits]
    return {"median_s": _median(fits), "min_s": min(seconds), "max_s": max(seconds)}
