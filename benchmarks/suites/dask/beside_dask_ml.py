"""Fits of two classes beside dask-ml's, at an equal objective."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import softgrad.dask
from benchmarks import tables
from benchmarks.suites.dask.beside_memory import quiet_fit
from benchmarks.suites.regression import fits
from benchmarks.suites.regression.data_sets import DataSet
from benchmarks.timing import summarised

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record
    from benchmarks.suites.dask.clusters import Start
    from benchmarks.suites.dask.rows import Rows

LEAST = 10.0
_LONG = 5.0  # seconds; a fit of dask-ml that takes longer is timed once


@dataclass(frozen=True)
class DaskMLCase:
    """Time until a fit is as good as the one at which dask-ml's L-BFGS stops, both on the same workers.

    Without an intercept, which dask-ml would penalise. The penalty is that of `suites.regression.fits`: dask-ml fits
    the difference w of the rows of W = ±w/2, whose squared norm is twice that of W.
    """

    rows: Rows
    library: Any
    workers: int
    start: Start

    @property
    def title(self) -> str:
        """The shape of the work."""
        columns = "correlated" if self.rows.correlated else "independent"
        return f"two classes, {tables.shape(self.rows.shape[:2])}, {columns} columns"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Fit with dask-ml, find the iteration at which softgrad is as good, and time both in turns."""
        x, y = self.rows.in_memory()
        data = DataSet(self.title, x, y)
        with self.start(self.workers) as client:
            X, Y = self.rows.on_cluster(client)

            def fit_peer(**options: int) -> Any:
                model = self.library.LogisticRegression(solver="lbfgs", C=2 * fits.C, fit_intercept=False, **options)
                return quiet_fit(model, X, Y)

            progress("short fits, for which workers import modules")
            fit_peer(max_iter=1)
            quiet_fit(softgrad.dask.SoftmaxRegression(solver="lbfgs", max_iter=1, client=client), X, Y)
            progress("dask-ml, round 1")
            theirs, model = _timed(fit_peer)
            bound = fits.objective(data, SimpleNamespace(coef_=model.coef_[None], intercept_=[0.0]))
            progress("softgrad to the same objective")
            stop = fits.first_within(data, bound, fit_intercept=False, solver="lbfgs")
            if stop is None:
                return {"title": self.title, "problems": ["softgrad does not reach the objective of dask-ml"]}
            ours = softgrad.dask.SoftmaxRegression(
                fits.C, fit_intercept=False, solver="lbfgs", tol=stop.tol, max_iter=stop.max_iter, client=client
            )
            seconds: dict[str, list[float]] = {"softgrad": [], "dask-ml": [theirs]}
            for i in range(rounds):
                progress(f"round {i + 1} of {rounds}")
                seconds["softgrad"].append(_timed(partial(quiet_fit, ours, X, Y))[0])
                if i and theirs < _LONG:
                    seconds["dask-ml"].append(_timed(fit_peer)[0])
        reached = fits.objective(data, ours)
        figures = {name: summarised(each) for name, each in seconds.items()}
        ratio = figures["dask-ml"]["median_s"] / figures["softgrad"]["median_s"]  # type: ignore[operator]
        return {
            "title": self.title,
            "shape": list(self.rows.shape),
            "dtype": "float32",
            "workers": self.workers,
            "peer": figures["dask-ml"] | {"objective": bound},
            "softgrad": figures["softgrad"]
            | {"objective": reached, "iterations": ours.n_iter_, "passes": ours.n_passes_},
            "ratio": ratio,
            "goals": [{"name": self.title, "value": ratio, "text": f"≥ {LEAST:g}×", "reached": ratio >= LEAST}],
            "problems": [] if reached <= bound else ["softgrad does not reach the objective of dask-ml"],
        }


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result
