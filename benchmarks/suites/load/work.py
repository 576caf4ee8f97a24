"""The calls that are measured, each with its arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import softgrad as sg
from benchmarks import tables
from benchmarks.timing import block_of_calls
from benchmarks.verdict import Verdict, bit_equal
from softgrad.linear_model import SoftmaxRegression

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array

    Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """A call of softgrad on float32 arrays."""

    name: str
    shape: Shape
    call: Callable[[], tuple[Any, ...]]
    """Returns all results."""

    @property
    def title(self) -> str:
        """The name and the shape."""
        return f"{self.name}, {tables.shape(self.shape)}"

    def results(self, threads: int) -> tuple[Any, ...]:
        """Copies of the results of a call on that many threads."""
        sg.set_num_threads(threads)
        return tuple(np.array(result) for result in self.call())

    def verdict(self, threads: int) -> Verdict:
        """Whether the results have the bits of those of one thread."""
        return bit_equal(self.results(threads), self.results(1))

    def block(self, threads: int, seconds: float, pause: float = 0.0) -> list[float]:
        """Times of single calls on that many threads; see `timing.block_of_calls`."""
        sg.set_num_threads(threads)
        return block_of_calls(self.call, seconds, pause)


def loss_and_gradient(shape: Shape) -> Work:
    """The mean loss and its gradient, into an existing array."""
    rng = np.random.default_rng(0)
    logits, out = _logits(rng, shape), np.empty(shape, np.float32)
    target = rng.integers(shape[1], size=shape[0])
    return Work("loss + gradient", shape, lambda: sg.cross_entropy_value_and_grad(logits, target, out=out))


def softmax(shape: Shape) -> Work:
    """Softmax, into an existing array."""
    logits, out = _logits(np.random.default_rng(0), shape), np.empty(shape, np.float32)
    return Work("softmax", shape, lambda: (sg.softmax(logits, out=out),))


def hessian_product(shape: Shape) -> Work:
    """The Hessian times a direction, into an existing array."""
    rng = np.random.default_rng(0)
    logits, v, out = _logits(rng, shape), rng.standard_normal(shape, np.float32), np.empty(shape, np.float32)
    target = rng.integers(shape[1], size=shape[0])
    return Work("Hessian · v", shape, lambda: (sg.cross_entropy_hvp(logits, target, v, out=out),))


def fit(shape: Shape, iterations: int) -> Work:
    """The first iterations of a fit of rows × features × classes, drawn from the model."""
    rows, features, classes = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features), np.float32)
    logits = x @ rng.standard_normal((features, classes), np.float32)
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = SoftmaxRegression(max_iter=iterations)

    def call() -> tuple[Array, Array]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        return model.coef_, model.intercept_

    return Work(f"fit, {tables.counted(iterations, 'iteration')}", shape, call)


def _logits(rng: np.random.Generator, shape: Shape) -> Array:
    return 3 * rng.standard_normal(shape, np.float32)
