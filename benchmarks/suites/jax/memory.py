"""The memory that a loss and its gradients take, each measured in a process of its own, after compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

import softgrad.jax
from benchmarks import inputs, tables
from benchmarks.memory import LossMemoryCase
from benchmarks.suites.jax import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._typing import Array


def of_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradient and next to nothing else."""
    size = 4 * shape[0] * shape[1]
    return _case("loss + gradient", "cross_entropy", (64, 1000), shape, size, 1.1 * size, "≤ 1.1×")


def of_linear_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradients of x (N × D) and W (C × D), and a chunk of logits."""
    rows, features, classes = shape
    size = 4 * (rows + classes) * features
    return _case("linear head", "linear_cross_entropy", (64, 16, 1000), shape, size, 250 * 2**20, "≤ 250 MiB")


def _case(
    work: str, function: str, warm_up: tuple[int, ...], shape: tuple[int, ...], size: int, limit: float, text: str
) -> LossMemoryCase:
    ways = [(name, (function, name, warm_up), (function, name, shape)) for name in cross_entropy.losses()]
    return LossMemoryCase(f"memory, {work}, {tables.shape(shape)}", shape, prepare_loss, ways, size, limit, text)


def prepare_loss(function: str, library: str, shape: tuple[int, ...]) -> Callable[[], float]:
    """A loss with its gradients, compiled, whose memory is measured."""
    differentiated, labels, loss_of = (head_arguments if function == "linear_cross_entropy" else logits_arguments)(
        library, shape
    )
    arguments = [jnp.asarray(array) for array in differentiated]
    arguments.append(jnp.asarray(labels))
    derivative = jax.value_and_grad(loss_of, tuple(range(len(differentiated))))
    compiled = jax.jit(derivative).lower(*arguments).compile()

    def run() -> float:
        loss, _ = jax.block_until_ready(compiled(*arguments))
        return float(loss)

    return run


def logits_arguments(library: str, shape: tuple[int, ...]) -> tuple[list[Array], Array, Callable[..., Any]]:
    """Logits, labels and a loss of both."""
    z, labels = inputs.labelled_logits(shape)
    _, loss_of = cross_entropy.losses()[library]
    return [z], labels, loss_of


def head_arguments(library: str, shape: tuple[int, ...]) -> tuple[list[Array], Array, Callable[..., Any]]:
    """Features and coefficients, labels, and a loss of all three."""
    x, W, labels = inputs.linear_head(shape)
    if library == "softgrad":
        return [x, W], labels, softgrad.jax.linear_cross_entropy
    _, loss_of = cross_entropy.losses()[library]
    return [x, W], labels, lambda x, W, labels: loss_of(x @ W.T, labels)
