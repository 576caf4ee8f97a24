"""Times of fits: until they are as good as a peer's, until they are near the optimum, and whole."""

from __future__ import annotations

import bisect
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import softgrad as sg
from benchmarks import reference
from benchmarks.timing import summarised
from softgrad.linear_model import SoftmaxRegression

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers import Peers
    from benchmarks.suites import Record
    from benchmarks.suites.regression.data_sets import DataSet
    from softgrad._typing import Array

C = 1.0
GAP = 1e-8  # to the optimum, relative; scikit-learn's lbfgs does not reach it
MOST_ITERATIONS = 10000
# A fit of softgrad goes to each of these in turn, until it has passed the objective that is looked for.
_TOLERANCES = 1e-6, 1e-8, 1e-10
_LONG = 5.0  # seconds; a peer's fit that takes longer is timed once
_TRIAL_ITERATIONS = 20


class TimedFit(NamedTuple):
    """A fitted model and how long its fit took."""

    model: Any
    seconds: float


class Stop(NamedTuple):
    """The options of SoftmaxRegression at which a fit has just passed an objective."""

    tol: float
    max_iter: int


@dataclass(frozen=True)
class FitCase:
    """One data set, and the peers to fit it with."""

    data: DataSet
    peers: Peers

    @property
    def title(self) -> str:
        """The data set's name."""
        return self.data.name

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Fit with every peer and with softgrad, in turns; `progress` receives the current stage."""
        data = self.data
        progress("softgrad to the optimum")
        optimum = _optimum(data)
        peers = [against(data, name, library, rounds, progress) for name, library in self.peers.items()]
        whole = [fit_softgrad(data) for _ in range(rounds)]
        reached = objective(data, whole[0].model)
        # Where a fit in float32 or a peer happens to end lower, by rounding, that is the optimum.
        optimum = min(optimum, reached, *(peer["objective"] for peer in peers))
        for peer in peers:
            peer["gap"] = peer["objective"] / optimum - 1
        progress(f"softgrad to a gap of {GAP:g}")
        near = first_within(data, optimum * (1 + GAP))
        return {
            "title": self.title,
            "shape": list(data.shape),
            "dtype": data.x.dtype.name,
            "sparse": not isinstance(data.x, np.ndarray),
            "optimum": optimum,
            "peers": peers,
            "to_gap": None if near is None else {"gap": GAP} | _figures([fit_until(data, near) for _ in range(rounds)]),
            "whole_fit": _figures(whole)
            | {"gap": reached / optimum - 1, "solver": whole[0].model.solver_, "converged": whole[0].model.converged_},
            "problems": [
                f"softgrad does not reach the objective of {peer['name']}" for peer in peers if peer["softgrad"] is None
            ],
        }


def objective(data: DataSet, model: Any) -> float:
    """(Σ_n CE(W x_n + b, y_n) + ‖W‖²/(2C)) / N of a model's coefficients, in float64, independent of both solvers."""
    W, b = _coefficients_of_all_classes(model)
    rows, features = data.x.shape
    loss = 0.0
    for block in reference.row_blocks(rows, features + len(b)):
        logits = data.x[block] @ W.T + b  # in float64, as W is
        loss += float(reference.loss(logits, data.target[block], np.float64).sum())
    return (loss + float((W**2).sum()) / (2 * C)) / rows


def fit_softgrad(data: DataSet, **options: Any) -> TimedFit:
    """Fit softgrad's model."""
    return _timed(SoftmaxRegression(C, **options), data)


def fit_until(data: DataSet, stop: Stop, **options: Any) -> TimedFit:
    """Fit softgrad's model until it passes an objective."""
    return fit_softgrad(data, tol=stop.tol, max_iter=stop.max_iter, **options)


def fit_peer(data: DataSet, library: Any, threads: int, max_iter: int = MOST_ITERATIONS) -> TimedFit:
    """Fit scikit-learn's model, or one with its interface, at its default tolerance.

    Of two classes it fits the difference w of the rows alone: W = ±w/2 has half of w's squared norm.
    """
    strength = 2 * C if len(data.classes) == 2 else C
    with threadpool_limits(threads):
        return _timed(library.LogisticRegression(C=strength, max_iter=max_iter), data)


def first_within(data: DataSet, bound: float, **options: Any) -> Stop | None:
    """The fewest iterations whose coefficients reach an objective; None if rounding keeps them above it."""
    for tol in _TOLERANCES:
        model = fit_softgrad(data, tol=tol, **options).model
        if objective(data, model) > bound:
            continue

        def reaches(max_iter: int, tol: float = tol) -> bool:
            return objective(data, fit_until(data, Stop(tol, max_iter), **options).model) <= bound

        return Stop(tol, 1 + bisect.bisect_left(range(1, model.n_iter_), True, key=reaches))
    return None


def against(data: DataSet, name: str, library: Any, rounds: int, progress: Callable[[str], object]) -> Record:
    """Time a peer's fits, and softgrad's until they are as good."""
    trials = {n: fit_peer(data, library, n, _TRIAL_ITERATIONS).seconds for n in sorted({1, sg.get_num_threads()})}
    threads = min(trials, key=lambda n: trials[n])
    progress(f"{name}, round 1 of {rounds}")
    theirs = [fit_peer(data, library, threads)]
    model = theirs[0].model
    bound = objective(data, model)
    progress("softgrad to the same objective")
    stop = first_within(data, bound)
    ours = []
    for i in range(rounds):
        if i and theirs[0].seconds < _LONG:
            progress(f"{name}, round {i + 1} of {rounds}")
            theirs.append(fit_peer(data, library, threads))
        if stop is not None:
            ours.append(fit_until(data, stop))
    iterations = int(np.max(model.n_iter_))
    record: Record = {
        "name": name,
        "threads": threads,
        "trial_s": trials,
        **_seconds(theirs),
        "iterations": iterations,
        "converged": iterations < MOST_ITERATIONS,
        "objective": bound,
        "softgrad": _figures(ours) if ours else None,
    }
    record["ratio"] = record["median_s"] / record["softgrad"]["median_s"] if ours else None
    return record


def _optimum(data: DataSet) -> float:
    """The least objective, of a tight fit in float64."""
    wide = replace(data, x=data.x.astype(np.float64, copy=False))
    return objective(wide, fit_softgrad(wide, tol=_TOLERANCES[-1]).model)


def _coefficients_of_all_classes(model: Any) -> tuple[Array, Array]:
    W, b = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    return (np.vstack([-W, W]) / 2, np.append(-b, b) / 2) if len(W) == 1 else (W, b)


def _timed(model: Any, data: DataSet) -> TimedFit:
    with warnings.catch_warnings():
        # Fits that stop early are measured on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        model.fit(data.x, data.y)
        return TimedFit(model, time.perf_counter() - begin)


def _figures(fits: list[TimedFit]) -> Record:
    model = fits[0].model
    return _seconds(fits) | {"iterations": model.n_iter_, "passes": model.n_passes_}


def _seconds(fits: list[TimedFit]) -> Record:
    return summarised([fit.seconds for fit in fits])
