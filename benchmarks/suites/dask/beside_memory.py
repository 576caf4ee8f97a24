"""Fits on a cluster beside the same fits in memory."""

from __future__ import annotations

import statistics
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import softgrad.dask
from benchmarks import tables
from benchmarks.timing import interleaved, summarised
from softgrad import linear_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record
    from benchmarks.suites.dask.clusters import Start
    from benchmarks.suites.dask.rows import Rows

MOST = 1.3  # times the fit in memory


@dataclass(frozen=True)
class BesideMemoryCase:
    """The first iterations of a fit on workers of one thread, and in memory on as many threads."""

    rows: Rows
    workers: int
    iterations: int
    start: Start
    has_goal: bool

    @property
    def title(self) -> str:
        """The shape of the work."""
        return f"fit, {tables.shape(self.rows.shape)}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Time whole fits in turns, of rows that are in memory and on the workers."""
        progress("preparing")
        in_memory = linear_model.SoftmaxRegression(max_iter=self.iterations, solver="lbfgs")
        x, y = self.rows.in_memory()
        with self.start(self.workers) as client:
            on_cluster = softgrad.dask.SoftmaxRegression(max_iter=self.iterations, solver="lbfgs", client=client)
            X, Y = self.rows.on_cluster(client)
            fits = {"in memory": lambda: quiet_fit(in_memory, x, y), "cluster": lambda: quiet_fit(on_cluster, X, Y)}
            seconds = interleaved(fits, rounds, progress)
        ratio = statistics.median(c / m for c, m in zip(seconds["cluster"], seconds["in memory"], strict=True))
        goal = {"name": self.title, "value": ratio, "text": f"≤ {MOST:g}×", "reached": ratio <= MOST}
        return {
            "title": self.title,
            "shape": list(self.rows.shape),
            "dtype": "float32",
            "workers": self.workers,
            "in_memory": summarised(seconds["in memory"]) | {"pass_s": pass_seconds(in_memory)},
            "cluster": summarised(seconds["cluster"]) | {"pass_s": pass_seconds(on_cluster)},
            "ratio": ratio,
            "goals": [goal] if self.has_goal else [],
            "problems": [] if same_coefficients(in_memory, on_cluster) else [DIFFERENT],
        }


DIFFERENT = "the coefficients of the cluster are not bit-equal to those of the fit in memory"


def same_coefficients(one: Any, other: Any) -> bool:
    """Return whether the coefficients of two models have the same bits."""
    return np.array_equal(one.coef_, other.coef_) and np.array_equal(one.intercept_, other.intercept_)


def quiet_fit(model: Any, x: Any, y: Any) -> Any:
    """Fit a model that stops early on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def pass_seconds(model: Any) -> float:
    """Return the seconds between iterations, each of which is about one pass; the first includes the preparation."""
    return statistics.median(np.diff([iteration.seconds for iteration in model.history_]).tolist())
