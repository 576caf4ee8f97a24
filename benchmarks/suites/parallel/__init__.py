"""The suite "parallel": classes that are shared out over two ranks, beside torch's `loss_parallel` of DTensors.

The ranks are processes of this machine with gloo between them, each with its share of the threads. A call is timed from
the moment at which all ranks are told to make it until it has returned on all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from benchmarks import tables
from benchmarks.speed_and_memory import summary
from benchmarks.suites import Suite
from benchmarks.suites.parallel import cross_entropy, linear_cross_entropy, wire
from benchmarks.suites.parallel.memory import MemoryCase
from benchmarks.suites.parallel.world import World
from benchmarks.timing import at_most, faster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Report

RANKS = 2


def cases(_peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its tensors, one at a time; `shrink` divides every shape (tests use it)."""
    rows, more_rows, features, classes = (max(2, size // shrink) for size in (256, 1024, 512, 50256))
    with World(RANKS) as world:
        yield cross_entropy.gradient(world, (rows, classes), [faster(3), faster(3, cross_entropy.COMPILED)])
        yield linear_cross_entropy.gradient(
            world, (more_rows, features, classes), [at_most(1.15, linear_cross_entropy.BARE)]
        )
    yield MemoryCase((rows, classes), RANKS)
    for ranks in 2, 8, 64:
        yield wire.WireCase(rows, features, -(-classes // ranks), ranks)


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    return [
        f"float32; {RANKS} ranks on this machine, gloo, {tables.counted(max(1, report['threads'] // RANKS), 'thread')} "
        "for each; gradients in new memory.",
        f"{tables.counted(report['rounds'], 'round')} in which the variants take turns (linear head: half of them);",
        "results checked against float64.",
        *tables.load_warning(report),
    ]


def table(report: Report) -> RenderableType:
    """Times, memory, bytes, and the goals that are missed."""
    records = report["cases"]
    return Group(
        tables.speed_table([record for record in records if "rounds" in record]),
        "",
        tables.memory_table([record for record in records if "gradient_bytes" in record]),
        "",
        wire.table([record for record in records if "wire" in record]),
        "",
        *tables.goal_lines(report["summary"]["goals"]),
    )


SUITE = Suite(peers=("torch",), rounds=12, cases=cases, notes=notes, table=table, summary=summary)
