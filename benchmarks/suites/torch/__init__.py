"""The suite "torch": softgrad.torch beside torch's own functions, through autograd, on the CPU.

Both get the same tensors and the same number of threads, and both allocate what they return: a gradient is
written to memory that the system has just given, as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import tables
from benchmarks.speed_and_memory import summary, table
from benchmarks.suites import Suite
from benchmarks.suites.torch import cross_entropy, linear_cross_entropy, memory
from benchmarks.timing import at_most, faster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Report


def cases(_peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its tensors, one at a time; `shrink` divides every shape (tests use it)."""

    def shape(*sizes: int) -> tuple[int, ...]:
        return tuple(max(2, size // shrink) for size in sizes)

    yield cross_entropy.gradient(shape(512, 50257), [faster(3)])
    yield cross_entropy.gradient(shape(1024, 1000))
    yield cross_entropy.gradient(shape(65536, 10), [faster(4)])
    yield cross_entropy.gradient(shape(64, 10), [faster(1)])
    yield cross_entropy.gradient(shape(512, 50257), dtype="bfloat16")
    yield cross_entropy.hessian_product(shape(512, 50257))
    head = shape(1024, 512, 50257)
    yield linear_cross_entropy.gradient(head, [faster(1.4), at_most(1.15, "three GEMMs")])
    beside_chunks = [faster(4, linear_cross_entropy.CHUNKED), at_most(1.25, "three GEMMs")]
    yield linear_cross_entropy.gradient_beside_chunks(head, beside_chunks)
    yield from cross_entropy.small_calls([faster(0.5)])
    yield memory.of_cross_entropy(shape(512, 50257))
    yield memory.of_linear_cross_entropy(shape(2048, 256, 100000))


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    threads = tables.counted(report["threads"], "thread")
    return [
        f"float32 unless stated; {threads} for softgrad and torch; gradients in new memory.",
        f"{tables.counted(report['rounds'], 'round')} in which the variants take turns (linear_cross_entropy: half of "
        "them);",
        "results checked against float64.",
        *tables.load_warning(report),
    ]


SUITE = Suite(peers=("torch",), rounds=12, cases=cases, notes=notes, table=table, summary=summary)
