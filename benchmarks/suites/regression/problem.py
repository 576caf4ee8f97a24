"""A data set's objective, independent of both solvers, and fits of both to it."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks import reference as _bench_reference
from softgrad.linear_model import SoftmaxRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.suites.regression.csv_folder import DataSet

    Array = NDArray[Any]

C = 1.0
MOST_ITERATIONS = 10000
_BLOCK_ENTRIES = 2**23  # of X in float64: bounds the memory


class Timed(NamedTuple):
    """A fit and how long it took."""

    model: Any
    seconds: float


class Problem:
    """What is minimised: Σ_n CE(W x_n + b, y_n) + ‖W‖²/(2C), divided by N."""

    def __init__(self, data: DataSet) -> None:
        self.x, self.y = data.x, data.y
        self.classes, self._target = np.unique(data.y, return_inverse=True)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, classes."""
        return (*self.x.shape, len(self.classes))

    def objective(self, model: Any) -> float:
        """Of a model's coefficients, in float64."""
        W, b = _of_all_classes(model.coef_, model.intercept_)
        rows, features = self.x.shape
        step = max(1, _BLOCK_ENTRIES // features)
        loss = 0.0
        for start in range(0, rows, step):
            part = slice(start, start + step)
            logits = self.x[part] @ W.T + b  # in float64, as W is
            loss += float(_bench_reference.loss(logits, self._target[part], np.float64).sum())
        return (loss + float((W**2).sum()) / (2 * C)) / rows

    def softgrad(self, **options: Any) -> Timed:
        """Fit softgrad's model."""
        return _timed(SoftmaxRegression(C, **options), self.x, self.y)

    def peer(self, library: Any, max_iter: int = MOST_ITERATIONS) -> Timed:
        """Fit scikit-learn's model, or one with its interface, at its default tolerance.

        Of two classes it fits the difference w of the rows alone: W = ±w/2 has half of w's squared norm.
        """
        strength = 2 * C if len(self.classes) == 2 else C
        return _timed(library.LogisticRegression(C=strength, max_iter=max_iter), self.x, self.y)


def _of_all_classes(coef: Any, intercept: Any) -> tuple[Array, Array]:
    W, b = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
    return (np.vstack([-W, W]) / 2, np.append(-b, b) / 2) if len(W) == 1 else (W, b)


def _timed(model: Any, x: Any, y: Array) -> Timed:
    with warnings.catch_warnings():
        # Fits that stop early are what is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        model.fit(x, y)
        return Timed(model, time.perf_counter() - begin)
