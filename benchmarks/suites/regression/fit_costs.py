"""One pass of the loss and its gradient over X, beside one read of X."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks import reference as _bench_reference
from benchmarks.timing import interleaved
from softgrad._loss_spec import DEFAULT
from softgrad._targets import Targets
from softgrad.linear_model._problem import _kernels as _passes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.suites.regression.csv_folder import DataSet

    Array = NDArray[Any]

# Each lasts milliseconds: for one round of fits, this many of these.
_ROUNDS = 5
_TOLERANCE = 1e-4  # of the largest entry of the gradient, which sums float32 products
_BLOCK = 10000  # rows of the float64 reference: bounds its memory


class PassCase(NamedTuple):
    """What every iteration of a fit does at least once, and the least that it could take."""

    data: DataSet

    @property
    def title(self) -> str:
        """What is timed."""
        return f"one pass, {self.data.name}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Time passes and reads in turns; the read is NumPy's maximum, which is as fast as memory."""
        x = self.data.x
        classes, labels = np.unique(self.data.y, return_inverse=True)
        targets = Targets(len(classes), labels.astype(np.int64), row_weight=np.ones(len(x)))
        W = 0.1 * np.random.default_rng(0).standard_normal((len(classes), x.shape[1]))
        b = np.zeros(len(classes))
        calls = {"pass": lambda: _passes.gradient(x, W, b, targets, DEFAULT), "read": x.max}
        seconds = interleaved(calls, _ROUNDS * rounds, progress)
        error = _error(_passes.gradient(x, W, b, targets, DEFAULT), x, W, labels)
        return {
            "title": self.title,
            "shape": [*x.shape, len(classes)],
            "dtype": x.dtype.name,
            "pass_s": statistics.median(seconds["pass"]),
            "read_s": statistics.median(seconds["read"]),
            "reads": statistics.median(p / r for p, r in zip(seconds["pass"], seconds["read"], strict=True)),
            "problems": [] if error <= _TOLERANCE else [f"a pass of softgrad is {error:.1e} off"],
        }


def _error(result: tuple[float, Array, Array], x: Array, W: Array, labels: Array) -> float:
    """The largest difference from float64, relative to the loss or the gradient's largest entry."""
    loss, gradient = 0.0, np.zeros_like(W)
    for start in range(0, len(x), _BLOCK):
        rows, target = x[start : start + _BLOCK].astype(np.float64), labels[start : start + _BLOCK]
        logits = rows @ W.T
        loss += float(_bench_reference.loss(logits, target, np.float64).sum())
        gradient += _bench_reference.gradient(logits, target, np.float64).T @ rows
    of_gradient = np.abs(result[1] - gradient).max() / np.abs(gradient).max()
    return float(np.max([of_gradient, abs(result[0] - loss) / loss]))  # NaN stays
