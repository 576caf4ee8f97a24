"""The inputs on which a function is tried: small batches whose sizes and sums all differ.

B, C and the sums of the targets are all different, so that no mistake hides behind an equality. All numbers are
multiples of 1/64, which float32 represents exactly: a function that casts its input is tried at the same points.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

import softgrad as sg
from softgrad._loss_spec import Reduction
from softgrad._targets import Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from softgrad.checking._setting import Setting

Array: TypeAlias = NDArray[np.float64]
Argument = Literal["z", "v", "target", "x", "W", "bias"]

# Probabilities down to e^-40 = 4e-18 show every eps of 1e-16 and above; y/p^2 still is a float32.
_TAIL = 40.0
# exp of the difference of two such rows, e^-80, still is a normal float32: only a larger offset must overflow.
_OFFSET = 40.0
_LARGE = 1000.0
# Probabilities that are given in place of logits: multiples of this that sum to one, exact in float32.
_GRAIN = 2.0**-20


class Head(NamedTuple):
    """The linear layer whose outputs are the logits."""

    x: Array
    W: Array
    bias: Array

    def logits(self) -> Array:
        logits: Array = self.x @ self.W.T + self.bias
        return logits


@dataclass(frozen=True, eq=False)
class Batch:
    """One input, with the quantities that exact and mistaken formulas compute from it."""

    logits: Array
    given: NDArray[Any]  # the target that the function is called with
    upstream: Array
    setting: Setting
    head: Head | None = None
    is_weighted: bool = True  # if not, Σ_j y_j counts as 1, as in formulas for one-hot targets
    _results: dict[object, Array] = field(default_factory=dict, init=False, repr=False)

    def argument(self, name: Argument) -> NDArray[Any]:
        """Return the array that the function takes under this name."""
        if name == "target":
            return self.given
        if name == "v":
            return self.upstream
        if name == "z":
            return self.logits if self.setting.from_logits else self.probs
        array: NDArray[Any] = getattr(self.linear, name)
        return array

    @property
    def linear(self) -> Head:
        if self.head is None:
            raise TypeError("the batch has logits without a linear layer")
        return self.head

    def scaled(self, factor: float) -> Batch:
        """The batch with all logits, or all features, times a factor."""
        if self.head is None:
            return replace(self, logits=factor * self.logits)
        head = self.head._replace(x=factor * self.head.x)
        return replace(self, head=head, logits=head.logits())

    @property
    def is_index(self) -> bool:
        return self.setting.target == "index"

    @cached_property
    def targets(self) -> Targets:
        labels, probabilities = (self.given, None) if self.is_index else (None, self.given)
        weight = self.setting.class_weight
        class_weight = None if weight is None else np.array(weight)
        return Targets(self.classes, labels, probabilities, class_weight=class_weight)

    @cached_property
    def kept(self) -> Array:
        """1 for every row that counts and 0 for every ignored one, as a column."""
        kept = self.targets.kept(self.setting.spec)
        return np.ones((self.rows, 1)) if kept is None else kept.astype(np.float64)[:, None]

    @cached_property
    def target(self) -> Array:
        """The class weights y of every row, with label smoothing, zero in ignored rows."""
        y: Array = self.kept * self.targets.dense(self.setting.spec, self.logits)
        return y

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The classes of the largest targets."""
        labels: NDArray[np.int64] = self.target.argmax(axis=1)
        return labels

    @cached_property
    def mass(self) -> Array:
        """Σ_j y_j of every row, as a column."""
        return self.target.sum(axis=1, keepdims=True) if self.is_weighted else self.kept

    @cached_property
    def distribution(self) -> Array:
        """The factor y of Σ_j y_j: divided by the sum where that counts as 1."""
        if self.is_weighted:
            return self.target
        rows: Array = self.target / np.maximum(self.target.sum(axis=1, keepdims=True), 1e-300)
        return rows

    @cached_property
    def probs(self) -> Array:
        p: Array = sg.softmax(self.logits)
        return p

    @cached_property
    def log_probs(self) -> Array:
        log_p: Array = sg.log_softmax(self.logits)
        return log_p

    @cached_property
    def lse(self) -> Array:
        """The log-sum-exp of every row, as a column."""
        lse: Array = np.asarray(sg.logsumexp(self.logits, axis=1))[:, None]
        return lse

    @property
    def rows(self) -> int:
        return len(self.logits)

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])

    @cached_property
    def denominator(self) -> float:
        """The divisor of the mean: the summed weights of the labels, or the number of rows."""
        return float(self.targets.denominator(replace(self.setting.spec, reduction=Reduction.mean))[0])

    @property
    def row_weight(self) -> float:
        """The weight of one row in the reduced loss."""
        return 1 / self.denominator if self.setting.spec.reduction is Reduction.mean else 1.0

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
def moderate_batches(setting: Setting) -> tuple[Batch, ...]:
    """Moderate logits: an error here is an error of the formula."""
    rng = np.random.default_rng(20)
    if setting.has_head:
        return tuple(_head_batch(rng, *sizes, setting) for sizes in ((3, 4, 2), (2, 5, 3), (4, 3, 5), (5, 2, 3)))
    tail = _uniform(rng, *_sizes(2, 4, setting), 2.0)
    tail -= _pattern([[0.0, 12.0, 21.0, 28.0], [_TAIL, 0.0, 3.0, 33.0]], tail)
    offset = _uniform(rng, *_sizes(4, 3, setting), 1.5)
    offset += np.resize([0.0, _OFFSET, -_OFFSET, 7.0], (len(offset), 1))
    small = [_uniform(rng, *_sizes(b, c, setting), reach) for b, c, reach in ((3, 4, 1.5), (2, 5, 2.5), (5, 2, 2.0))]
    logits = (*small, offset, tail)
    return _batches(rng, (*logits, _uniform(rng, *_sizes(1, 6, setting), 2.0)), setting)


@cache
def large_batches(setting: Setting) -> tuple[Batch, ...]:
    """Logits of ±1e3: rows far apart, all rows far up, all far down, and classes far apart within a row."""
    rng = np.random.default_rng(21)
    if not setting.from_logits:
        return ()
    if setting.has_head:
        moderate = (_head_batch(rng, *sizes, setting) for sizes in ((3, 4, 2), (2, 3, 5)))
        return tuple(batch.scaled(512.0) for batch in moderate)
    apart = _uniform(rng, *_sizes(3, 4, setting), 1.5)
    apart += _LARGE * np.resize([1.0, -1.0, 0.0], (len(apart), 1))
    up = _uniform(rng, *_sizes(2, 3, setting), 1.5) + _LARGE
    down = _uniform(rng, *_sizes(4, 3, setting), 1.5) - _LARGE
    wide = _uniform(rng, *_sizes(2, 5, setting), 1.5)
    wide += _LARGE * _pattern([[1, 0, -1, 0, -1], [-1, -1, 0, 1, 1]], wide)
    below = _uniform(rng, *_sizes(3, 4, setting), 1.5)
    below -= _LARGE * _pattern([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]], below)
    return _batches(rng, (apart, up, down, wide, below), setting)


def batch_near(constant: float, setting: Setting) -> Batch:
    """Probabilities and sums of exponentials of about the size of a small constant, which shows there."""
    rng = np.random.default_rng(22)
    z = _uniform(rng, *_sizes(2, 5, setting), 1.5)
    z += _on_grid(np.log(constant)) * _pattern([[1, 0, 0, 1, 0], [1, 1, 1, 1, 1]], z)
    return _batch(rng, z, setting)


@cache
def example_batches(setting: Setting) -> tuple[Batch, ...]:
    """Inputs to show: one row, then two, with moderate and with large logits; three classes if C is not given."""
    rng = np.random.default_rng(23)
    if setting.has_head:
        return tuple(_head_batch(rng, rows, 3, 2, setting) for rows in (1, 2))
    classes = 3 if setting.class_weight is None else len(setting.class_weight)
    one, two = np.arange(classes) + np.zeros((1, 1)), np.stack([np.arange(classes), np.arange(classes) ** 2 / 2 - 1])
    large = (_LARGE * one, _LARGE * two) if setting.from_logits else ()
    return tuple(_batch(rng, z, setting) for z in (one, two, *large))


def _batches(rng: np.random.Generator, logits: Iterable[Array], setting: Setting) -> tuple[Batch, ...]:
    if not setting.from_logits:
        logits = [np.log(_exact_probabilities(sg.softmax(z))) for z in logits]
    return tuple(_batch(rng, z, setting) for z in logits)


def _batch(rng: np.random.Generator, logits: Array, setting: Setting, head: Head | None = None) -> Batch:
    rows, classes = logits.shape
    given = _target(rng, rows, classes, setting)
    upstream = _uniform(rng, rows, classes, 2.0)
    for array in (logits, given, upstream):
        array.flags.writeable = False
    return Batch(logits, given, upstream, setting, head)


def _head_batch(rng: np.random.Generator, rows: int, classes: int, features: int, setting: Setting) -> Batch:
    rows, classes = _sizes(rows, classes, setting)
    features += features in {rows, classes}
    head = Head(
        _uniform(rng, rows, features, 1.5),
        _uniform(rng, classes, features, 1.0),
        _uniform(rng, 1, classes, 1.0)[0],
    )
    return _batch(rng, head.logits(), setting, head)


def _target(rng: np.random.Generator, rows: int, classes: int, setting: Setting) -> NDArray[Any]:
    # Every class in turn: also those of tiny probability.
    labels = (rng.integers(classes) + 2 * np.arange(rows)) % classes
    if setting.target == "index":
        ignored = setting.spec.ignore_index
        if ignored is not None:
            labels = np.where(labels == ignored, (labels + 1) % classes, labels)
            labels[1::3] = ignored
        return labels
    if setting.target == "one-hot":
        return np.eye(classes)[labels]
    y: Array = _on_grid(
        # At least 1/64, and sums from 0.4 to 2.4 that are not 1, B or C.
        rng.uniform(0.05, 0.95, size=(rows, classes)) * rng.uniform(0.6, 2.4, size=(rows, 1)) * 2 / classes
    )
    return _exact_probabilities(y / y.sum(axis=1, keepdims=True)) if setting.target == "probabilities" else y


def _exact_probabilities(probs: Array) -> Array:
    """About the same probabilities, in multiples of a grain that sum to one."""
    grains = np.maximum(np.round(probs / _GRAIN), 1)
    rows, largest = np.arange(len(grains)), grains.argmax(axis=1)
    grains[rows, largest] += 1 / _GRAIN - grains.sum(axis=1)
    exact: Array = grains * _GRAIN
    return exact


def _sizes(rows: int, classes: int, setting: Setting) -> tuple[int, int]:
    """The sizes of a batch: C is that of the class weights, if they are given, and never B."""
    if setting.class_weight is not None:
        classes = len(setting.class_weight)
    return rows + (rows == classes), classes


def _pattern(rows: Sequence[Sequence[float]], like: Array) -> Array:
    """Values for rows and classes, repeated where there are more of either."""
    values = np.asarray(rows, dtype=np.float64)
    count, classes = like.shape
    pattern: Array = values[np.arange(count) % len(values)][:, np.arange(classes) % values.shape[1]]
    return pattern


def _uniform(rng: np.random.Generator, rows: int, classes: int, reach: float) -> Array:
    logits: Array = _on_grid(rng.uniform(-reach, reach, size=(rows, classes)))
    return logits


def _on_grid(values: Any) -> Any:
    return np.round(64 * values) / 64
