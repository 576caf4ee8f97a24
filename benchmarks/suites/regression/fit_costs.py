"""The costs of a fit beside those of reading its data: one pass over X, and the memory."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import memory, reference
from benchmarks.timing import interleaved
from softgrad._targets import Targets
from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._rows import LocalRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record
    from benchmarks.suites.regression.data_sets import DataSet
    from softgrad._typing import Array

# Each lasts milliseconds: as many are timed per round of fits.
_ROUNDS = 5
_TOLERANCE = 1e-4  # of the largest entry of the gradient, which sums float32 products


@dataclass(frozen=True)
class PassCase:
    """One pass of the loss and its gradient over X, which every iteration of a fit needs, beside one read of X."""

    data: DataSet

    @property
    def title(self) -> str:
        """The name of the work."""
        return f"one pass, {self.data.name}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Time passes and reads in turns; the read is NumPy's maximum, which is as fast as memory."""
        x, target = self.data.x, self.data.target
        classes = len(self.data.classes)
        rows = LocalRows(x, Targets(classes, target, row_weight=np.ones(len(x))))
        W, b = 0.1 * np.random.default_rng(0).standard_normal((classes, x.shape[1])), np.zeros(classes)

        def run() -> Array:
            return _kernels.gradient(rows, W, b)

        seconds = interleaved({"pass": run, "read": x.max}, _ROUNDS * rounds, progress)
        error = _error(run(), x, W, target)
        return {
            "title": self.title,
            "shape": list(self.data.shape),
            "dtype": x.dtype.name,
            "pass_s": statistics.median(seconds["pass"]),
            "read_s": statistics.median(seconds["read"]),
            "reads": statistics.median(p / r for p, r in zip(seconds["pass"], seconds["read"], strict=True)),
            "problems": [] if error <= _TOLERANCE else [f"a pass of softgrad is {error:.1e} off"],
        }


def _error(sums: Array, x: Array, W: Array, target: Array) -> float:
    """The largest difference from float64, relative to the loss or the gradient's largest entry."""
    loss, gradient = 0.0, np.zeros_like(W)
    for block in reference.row_blocks(*x.shape):
        rows = x[block].astype(np.float64)
        logits = rows @ W.T
        loss += float(reference.loss(logits, target[block], np.float64).sum())
        gradient += reference.gradient(logits, target[block], np.float64).T @ rows
    of_gradient = np.abs(sums[: W.size].reshape(W.shape) - gradient).max() / np.abs(gradient).max()
    return float(np.max([of_gradient, abs(sums[-1] - loss) / loss]))  # NaN stays


@dataclass(frozen=True)
class FitMemoryCase:
    """The peak of the resident memory of a process that does nothing but fit."""

    data: DataSet

    @property
    def title(self) -> str:
        """The name of the work."""
        return f"memory, {self.data.name}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Fit once in a new process; without figures where the system does not tell the peak."""
        progress("fit in a process of its own")
        size = self.data.x.nbytes
        peak = None
        if memory.can_measure():
            warm_up = np.arange(3.0)[:, None], np.arange(3)
            peak = memory.peak_of(prepare_fit, warm_up, (self.data.x, self.data.y)).bytes
        return {
            "title": self.title,
            "x_bytes": size,
            "peak_bytes": peak,
            "peak_in_x": None if peak is None else peak / size,
        }


def prepare_fit(x: Array, y: Array) -> Callable[[], None]:
    """A fit whose memory is measured."""

    def run() -> None:
        SoftmaxRegression().fit(x, y)

    return run
