"""The inputs on which a function is tried: small batches whose sizes and sums all differ.

B, C and the sums of the targets are all different, so that no mistake hides behind an equality. All numbers are
multiples of 1/64, which float32 represents exactly: a function that casts its input is tried at the same points.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import softgrad as sg
from softgrad._loss_spec import LossSpec, Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = NDArray[np.float64]
Argument = Literal["z", "v", "target"]
Target = Literal["probabilities", "index"]

# Probabilities down to e^-40 = 4e-18 show every eps of 1e-16 and above; y/p^2 still is a float32.
_TAIL = 40.0
# exp of the difference of two such rows, e^-80, still is a normal float32: only a larger offset must overflow.
_OFFSET = 40.0
_LARGE = 1000.0


@dataclass(frozen=True, eq=False)
class Batch:
    """One input, with the quantities that exact and mistaken formulas compute from it."""

    logits: Array
    target: Array  # y as rows of class weights, one-hot where the function takes class indices
    labels: NDArray[np.int64] | None
    upstream: Array
    spec: LossSpec
    is_weighted: bool = True  # if not, Σ_j y_j counts as 1, as in formulas for one-hot targets
    _results: dict[object, Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def target_type(self) -> Target:
        return "probabilities" if self.labels is None else "index"

    def argument(self, name: Argument) -> NDArray[Any]:
        """Return the array that the function takes under this name."""
        if name == "target":
            return self.target if self.labels is None else self.labels
        return self.logits if name == "z" else self.upstream

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
    def row_weight(self) -> float:
        """The weight of one row in the reduced loss."""
        return 1 / self.rows if self.spec.reduction is Reduction.mean else 1.0

    @cached_property
    def unweighted(self) -> Batch:
        """The same batch for formulas that take Σ_j y_j as 1."""
        return replace(self, is_weighted=False)

    # The search for two mistakes at once needs the same results many times.
    def result(self, formula: Callable[[Batch], Array]) -> Array:
        """Evaluate a formula, once for each batch."""
        if formula not in self._results:
            self._results[formula] = formula(self)
        return self._results[formula]

    def results(self, formula: Callable[[Batch, float], Array], constants: tuple[float, ...]) -> Array:
        """Evaluate a formula with each of the constants, once for each batch."""
        key = (formula, constants)
        if key not in self._results:
            self._results[key] = np.stack([formula(self, constant) for constant in constants])
        return self._results[key]


@cache
def moderate_batches(target: Target, spec: LossSpec) -> tuple[Batch, ...]:
    """Moderate logits: an error here is an error of the formula."""
    rng = np.random.default_rng(20)
    tail = _uniform(rng, 2, 4, 2.0)
    tail[0] -= [0.0, 12.0, 21.0, 28.0]
    tail[1] -= [_TAIL, 0.0, 3.0, 33.0]
    offset = _uniform(rng, 4, 3, 1.5) + np.array([[0.0], [_OFFSET], [-_OFFSET], [7.0]])
    logits = (_uniform(rng, 3, 4, 1.5), _uniform(rng, 2, 5, 2.5), _uniform(rng, 5, 2, 2.0), offset, tail)
    return tuple(_batch(rng, z, target, spec) for z in (*logits, _uniform(rng, 1, 6, 2.0)))


@cache
def large_batches(target: Target, spec: LossSpec) -> tuple[Batch, ...]:
    """Logits of ±1e3: rows far apart, all rows far up, all far down, and classes far apart within a row."""
    rng = np.random.default_rng(21)
    apart = _uniform(rng, 3, 4, 1.5) + np.array([[_LARGE], [-_LARGE], [0.0]])
    up = _uniform(rng, 2, 3, 1.5) + _LARGE
    down = _uniform(rng, 4, 3, 1.5) - _LARGE
    wide = _uniform(rng, 2, 5, 1.5) + _LARGE * np.array([[1.0, 0.0, -1.0, 0.0, -1.0], [-1.0, -1.0, 0.0, 1.0, 1.0]])
    below = _uniform(rng, 3, 4, 1.5) - _LARGE * np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1.0]])
    return tuple(_batch(rng, z, target, spec) for z in (apart, up, down, wide, below))


def batch_near(constant: float, target: Target, spec: LossSpec) -> Batch:
    """Probabilities and sums of exponentials of about the size of a small constant, which shows there."""
    rng = np.random.default_rng(22)
    z = _uniform(rng, 2, 5, 1.5)
    z[0, [0, 3]] += _on_grid(np.log(constant))
    z[1] += _on_grid(np.log(constant))
    return _batch(rng, z, target, spec)


def _batch(rng: np.random.Generator, logits: Array, target: Target, spec: LossSpec) -> Batch:
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
    return Batch(logits, y, labels if target == "index" else None, upstream, spec)


def _uniform(rng: np.random.Generator, rows: int, classes: int, reach: float) -> Array:
    logits: Array = _on_grid(rng.uniform(-reach, reach, size=(rows, classes)))
    return logits


def _on_grid(values: Any) -> Any:
    return np.round(64 * values) / 64
