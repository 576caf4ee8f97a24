"""The mean cross-entropy of labels with its gradient, and Hessian-vector products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import softgrad.jax
from benchmarks import inputs, reference, tables
from benchmarks.suites.jax.softmax import compiled
from benchmarks.timing import Goal, TimedCase, Variant
from benchmarks.verdict import Exact, Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from softgrad._typing import Array

    Loss = Callable[[Any, Any], Any]


def losses() -> dict[str, tuple[str, Loss]]:
    """The ways to compute the loss, with the names of their functions."""
    return {
        "softgrad": ("cross_entropy", softgrad.jax.cross_entropy),
        "JAX": ("nn.log_softmax", _of_log_softmax),
        "Optax's": ("formula", _of_logsumexp),
    }


def _of_log_softmax(z: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1).mean()


def _of_logsumexp(z: Any, labels: Any) -> Any:
    """optax.softmax_cross_entropy_with_integer_labels(z, labels).mean(), as Optax 0.2.8 writes it."""
    return (jax.nn.logsumexp(z, axis=-1) - jnp.take_along_axis(z, labels[:, None], 1)[:, 0]).mean()


def gradient(shape: tuple[int, ...], goals: Sequence[Goal] = ()) -> TimedCase:
    """value_and_grad of the mean loss."""
    z, labels = inputs.labelled_logits(shape)
    rows = reference.sampled_rows(*shape)
    exact = reference.gradient(z[rows], labels[rows], np.float64) / shape[0]
    judge = Judge([Exact(reference.mean_loss(z, labels)), Exact(exact, rows)])
    return _case("loss + gradient", shape, judge, jax.value_and_grad, (z, labels), goals)


def hessian_product(shape: tuple[int, ...], goals: Sequence[Goal] = ()) -> TimedCase:
    """H v of the mean loss: the derivative of its gradient along v."""
    z, labels = inputs.labelled_logits(shape)
    v = np.random.default_rng(1).standard_normal(shape, np.float32)
    rows = reference.sampled_rows(*shape)
    exact, _ = reference.hessian_product(z[rows], v[rows])
    judge = Judge([Exact(exact / shape[0], rows)], allowed_ulp=None)

    def product_of(loss_of: Loss) -> Callable[..., Any]:
        return lambda z, labels, v: jax.jvp(lambda z: jax.grad(loss_of)(z, labels), (z,), (v,))[1]

    return _case("Hessian · v", shape, judge, product_of, (z, labels, v), goals)


def _case(
    work: str,
    shape: tuple[int, ...],
    judge: Judge,
    derivative: Callable[[Loss], Callable[..., Any]],
    arguments: tuple[Array, ...],
    goals: Sequence[Goal],
) -> TimedCase:
    variants = [
        Variant(name, what, compiled(derivative(loss_of), *arguments)) for name, (what, loss_of) in losses().items()
    ]
    return TimedCase(f"{work}, {tables.shape(shape)}", "float32", shape, judge, variants, goals)
