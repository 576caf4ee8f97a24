"""softmax, and the time of a call itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import softgrad.jax
from benchmarks import inputs, reference, tables
from benchmarks.timing import Goal, TimedCase, Variant
from benchmarks.verdict import Exact, Judge, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from softgrad._typing import Array

SMALL = 4, 3  # a call's cost beside the arithmetic
LEAST_CALL = "x + 1"


def speed(shape: tuple[int, ...], goals: Sequence[Goal] = ()) -> TimedCase:
    """Probabilities of rows."""
    z = inputs.logits(shape)
    variants = [_ours(z), Variant("JAX", "nn.softmax", compiled(jax.nn.softmax, z))]
    return TimedCase(f"softmax, {tables.shape(shape)}", "float32", shape, _judge(z), variants, goals)


def overhead(goals: Sequence[Goal] = ()) -> TimedCase:
    """A call with next to no arithmetic, beside one with the least that JAX can compile."""
    z = inputs.logits(SMALL)

    def judge(result: Any) -> Verdict:
        return Verdict(None, None if np.array_equal(result, z + 1) else f"not {LEAST_CALL}")

    variants = [_ours(z), Variant(LEAST_CALL, "jit", compiled(lambda x: x + 1, z), judge)]
    return TimedCase(f"a call, softmax of {tables.shape(SMALL)}", "float32", SMALL, _judge(z), variants, goals)


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A compiled function of arguments that are on the device, to call and wait for."""
    jitted, placed = jax.jit(function), [jax.numpy.asarray(argument) for argument in arguments]
    return lambda: jax.block_until_ready(jitted(*placed))


def _ours(z: Array) -> Variant:
    return Variant("softgrad", "softmax", compiled(softgrad.jax.softmax, z))


def _judge(z: Array) -> Judge:
    rows = reference.sampled_rows(*z.shape)
    return Judge([Exact(reference.softmax(z[rows], np.float64), rows)])
