"""The suite "jax": softgrad.jax beside the functions of jax.nn, on the CPU.

All functions are compiled by jax.jit, and a call ends when its results are complete. Every result is a new array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax

from benchmarks import tables
from benchmarks.speed_and_memory import summary, table
from benchmarks.suites import Suite
from benchmarks.suites.jax import cross_entropy, memory, softmax
from benchmarks.timing import at_most, faster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Report


def cases(_peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its arrays, one at a time; `shrink` divides every shape (tests use it)."""
    jax.config.update("jax_platforms", "cpu")

    def shape(*sizes: int) -> tuple[int, ...]:
        return tuple(max(2, size // shrink) for size in sizes)

    yield softmax.overhead([at_most(1.2, softmax.LEAST_CALL)])
    yield softmax.speed(shape(64, 10), [faster(2, "JAX")])
    yield softmax.speed(shape(512, 50257))
    of_loss = [faster(2, name) for name in ("JAX", "Optax's")]
    yield cross_entropy.gradient(shape(64, 10))
    yield cross_entropy.gradient(shape(512, 50257), of_loss)
    yield cross_entropy.hessian_product(shape(512, 50257), of_loss)
    yield memory.of_cross_entropy(shape(512, 50257))
    yield memory.of_linear_cross_entropy(shape(2048, 256, 100000))


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    threads = tables.counted(report["threads"], "thread")
    return [
        f"float32; {threads} for softgrad and XLA; everything under jax.jit, results in new memory.",
        f"{tables.counted(report['rounds'], 'round')} in which the variants take turns; results checked against "
        "float64.",
        *tables.load_warning(report),
    ]


SUITE = Suite(peers=("JAX",), rounds=12, cases=cases, notes=notes, table=table, summary=summary)
