"""Train one network twice on handwritten digits: with Optax's loss, written in jax.numpy, and with softgrad's.

Both start from the same coefficients and see the same batches. Then both losses judge the same logits, and float64
tells which is right about the rows that the network is sure of.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any

import digits
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import softgrad.jax

LAYERS = 64, 128, 64, 10  # pixels, hidden units, classes
BATCH_ROWS, LEARNING_RATE = 64, 3e-3
FIGURES = "  {:>8} {:>8}"  # of the two networks
Rows = tuple[Array, Array]  # pixels and labels
State = tuple[Any, Any, Any, Array]  # coefficients, Adam's means of gradients and of their squares, steps
Loss = Callable[[Array, Array], Array]


def optax_loss(logits: Array, labels: Array) -> Array:
    """optax.softmax_cross_entropy_with_integer_labels: one loss per row."""
    return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]


LOSSES = {"optax": optax_loss, "softgrad": softgrad.jax.softmax_cross_entropy_with_integer_labels}


def start(seed: int) -> State:
    rng = np.random.default_rng(seed)
    layers = [
        (jnp.asarray(rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)), jnp.float32), jnp.zeros(outputs))
        for inputs, outputs in pairwise(LAYERS)
    ]
    zeros = jax.tree.map(jnp.zeros_like, layers)
    return layers, zeros, zeros, jnp.zeros(())


def logits_of(layers: Any, x: Array) -> Array:
    for W, b in layers[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def mean_loss(loss: Loss, layers: Any, rows: Rows) -> Array:
    return loss(logits_of(layers, rows[0]), rows[1]).mean()


def step(loss: Loss, state: State, rows: Rows) -> State:
    """One step of Adam."""
    layers, means, squares, steps = state
    gradients = jax.grad(mean_loss, 1)(loss, layers, rows)
    means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
    squares = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, squares, gradients)
    steps += 1
    rate, scale = LEARNING_RATE / (1 - 0.9**steps), 1 - 0.999**steps
    layers = jax.tree.map(lambda w, m, s: w - rate * m / (jnp.sqrt(s / scale) + 1e-8), layers, means, squares)
    return layers, means, squares, steps


@partial(jax.jit, static_argnums=0)
def epoch_of_steps(loss: Loss, state: State, training: Rows, batches: Array) -> State:
    """One step for each batch of row numbers."""
    x, labels = training
    state, _ = jax.lax.scan(lambda state, rows: (step(loss, state, (x[rows], labels[rows])), None), state, batches)
    return state


@partial(jax.jit, static_argnums=0)
def figures(loss: Loss, layers: Any, training: Rows, held_out: Rows) -> tuple[Array, Array, Array]:
    right = logits_of(layers, held_out[0]).argmax(1) == held_out[1]
    return mean_loss(loss, layers, training), mean_loss(loss, layers, held_out), right.mean()


def train(training: Rows, held_out: Rows, epochs: int, seed: int) -> dict[str, State]:
    states = {name: start(seed) for name in LOSSES}
    seconds: dict[str, list[float]] = {name: [] for name in LOSSES}
    shuffle = np.random.default_rng(seed)
    print(f"{'training loss':>24}{'held-out loss':>19}{'held-out accuracy':>19}")
    print("epoch" + FIGURES.format(*LOSSES) * 3)
    for epoch in range(1, epochs + 1):
        whole_batches = shuffle.permutation(digits.TRAINING_ROWS)[: digits.TRAINING_ROWS // BATCH_ROWS * BATCH_ROWS]
        batches = whole_batches.reshape(-1, BATCH_ROWS)
        for name, loss in LOSSES.items():
            begin = perf_counter()
            states[name] = jax.block_until_ready(epoch_of_steps(loss, states[name], training, batches))
            seconds[name].append(perf_counter() - begin)
        if epoch % max(epochs // 10, 1) == 0:
            columns = zip(*(figures(LOSSES[name], states[name][0], training, held_out) for name in LOSSES), strict=True)
            forms = "{:.4f}", "{:.4f}", "{:.2%}"
            groups = ([form.format(float(v)) for v in column] for form, column in zip(forms, columns, strict=True))
            print(f"{epoch:5}" + "".join(FIGURES.format(*group) for group in groups))
    print("\nMilliseconds per epoch: " + ", ".join(f"{name} {np.median(seconds[name]) * 1e3:.1f}" for name in LOSSES))
    return states


def loss_and_slope(loss: Loss, logits: Array, labels: Array) -> tuple[np.ndarray, np.ndarray]:
    """The loss of every row, and its derivative with respect to the logit of the row's label."""
    per_row = jax.vmap(jax.value_and_grad(lambda z, y: loss(z[None], y[None])[0]))
    losses, gradients = jax.jit(per_row)(logits, labels)
    return np.asarray(losses), np.asarray(gradients)[np.arange(len(labels)), labels]


def main() -> None:
    options = digits.options(__doc__)
    training, held_out = (tuple(map(jnp.asarray, rows)) for rows in digits.read(options.seed))
    states = train(training, held_out, options.epochs, options.seed)
    logits, labels = logits_of(states["optax"][0], held_out[0]), held_out[1]
    results = {name: loss_and_slope(loss, logits, labels) for name, loss in LOSSES.items()}
    digits.print_comparison(np.asarray(logits), np.asarray(labels), results)


if __name__ == "__main__":
    main()
