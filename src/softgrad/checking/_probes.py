"""The inputs on which a function is tried: small batches with as many differences between their parts as possible.

B, C and the sums of the targets are all different, so that a mistake cannot hide behind an equality. All numbers are
multiples of 1/64, which float32 holds exactly: a function that casts its input is tried at the same points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad as sg
from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec

    Array = NDArray[np.float64]

# Probabilities down to e^-40 = 4e-18 show every eps of 1e-16 and above; y/p^2 still is a float32.
_TAIL = 40.0
# exp of the difference of two such rows, e^-80, still is a normal float32: only a larger offset must overflow.
_OFFSET = 40.0
_LARGE = 1000.0


@dataclass(frozen=True)
class Probe:
    """One input, and all that right and wrong formulas need of it."""

    logits: Array
    target: Array  # y as rows of class weights, one-hot where the function takes class indices
    labels: NDArray[np.int64] | None
    upstream: Array
    spec: LossSpec
    is_weighted: bool = True  # else Σ_j y_j counts as 1, as in formulas for one-hot targets

    @cached_property
    def probs(self) -> Array:
        p: Array = sg.softmax(self.logits)
        return p

    @cached_property
    def mass(self) -> Array:
        """Σ_j y_j of every row, as a column."""
        mass: Array = self.target.sum(axis=1, keepdims=True) if self.is_weighted else np.ones((self.rows, 1))
        return mass

    @property
    def rows(self) -> int:
        return len(self.logits)

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    @property
    def share(self) -> float:
        """What one row counts in the reduced loss."""
        return 1 / self.rows if self.spec.reduction is Reduction.mean else 1.0


@cache
def small_probes(target: str, spec: LossSpec) -> tuple[Probe, ...]:
    """Moderate logits: what is wrong here is wrong as a formula."""
    rng = np.random.default_rng(20)
    tail = _uniform(rng, 2, 4, 2.0)
    tail[0] -= [0.0, 12.0, 21.0, 28.0]
    tail[1] -= [_TAIL, 0.0, 3.0, 33.0]
    offset = _uniform(rng, 4, 3, 1.5) + np.array([[0.0], [_OFFSET], [-_OFFSET], [7.0]])
    batches = (_uniform(rng, 3, 4, 1.5), _uniform(rng, 2, 5, 2.5), _uniform(rng, 5, 2, 2.0), offset, tail)
    return tuple(_probe(rng, z, target, spec) for z in (*batches, _uniform(rng, 1, 6, 2.0)))


@cache
def large_probes(target: str, spec: LossSpec) -> tuple[Probe, ...]:
    """Logits of ±1e3: rows far apart, all rows far up, all far down, and classes far apart within a row."""
    rng = np.random.default_rng(21)
    apart = _uniform(rng, 3, 4, 1.5) + np.array([[_LARGE], [-_LARGE], [0.0]])
    up = _uniform(rng, 2, 3, 1.5) + _LARGE
    down = _uniform(rng, 4, 3, 1.5) - _LARGE
    wide = _uniform(rng, 2, 5, 1.5) + _LARGE * np.array([[1.0, 0.0, -1.0, 0.0, -1.0], [-1.0, -1.0, 0.0, 1.0, 1.0]])
    below = _uniform(rng, 3, 4, 1.5) - _LARGE * np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1.0]])
    return tuple(_probe(rng, z, target, spec) for z in (apart, up, down, wide, below))


def probe_near(parameter: float, target: str, spec: LossSpec) -> Probe:
    """Probabilities and sums of exponentials about as large as a small constant: where it shows."""
    rng = np.random.default_rng(22)
    z = _uniform(rng, 2, 5, 1.5)
    z[0, [0, 3]] += _on_grid(np.log(parameter))
    z[1] += _on_grid(np.log(parameter))
    return _probe(rng, z, target, spec)


def _probe(rng: np.random.Generator, logits: Array, target: str, spec: LossSpec) -> Probe:
    rows, classes = logits.shape
    # Every class in turn: also those of tiny probability.
    labels = (rng.integers(classes) + 2 * np.arange(rows)) % classes
    if target == "index":
        y = np.eye(classes)[labels]
    else:
        # At least 1/64, and sums from 0.4 to 2.4 that are not 1, B or C.
        y = _on_grid(
            rng.uniform(0.05, 0.95, size=(rows, classes)) * rng.uniform(0.6, 2.4, size=(rows, 1)) * 2 / classes
        )
    upstream = _uniform(rng, rows, classes, 2.0)
    for array in (logits, y, labels, upstream):
        array.flags.writeable = False
    return Probe(logits, y, labels if target == "index" else None, upstream, spec)


def _uniform(rng: np.random.Generator, rows: int, classes: int, reach: float) -> Array:
    logits: Array = _on_grid(rng.uniform(-reach, reach, size=(rows, classes)))
    return logits


def _on_grid(values: Any) -> Any:
    return np.round(64 * values) / 64
