"""The suite "torch": softgrad.torch beside torch's own functions, through autograd, on the CPU.

Both get the same tensors and the same number of threads, and both allocate what they return: a gradient is
written to memory that the system has just given, as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group

from benchmarks import tables
from benchmarks.suites import Suite
from benchmarks.suites.torch import cross_entropy, linear_cross_entropy, memory
from benchmarks.timing import at_most, faster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Record, Report


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


def summary(records: list[Record]) -> dict[str, Any]:
    """Every goal of the records, and whether it is reached; None where the system does not tell."""
    goals = []
    for record in records:
        measured = {way["name"]: way.get("ratio", way.get("peak_bytes")) for way in record.get("variants", ())}
        for goal in record["goals"]:
            value = measured.get(goal["peer"])
            name = f"{record['title']}: {goal['peer']}"
            goals.append({"name": name, "value": value, "text": goal["text"], "reached": goal["reached"]})
    return {"goals": goals}


def table(report: Report) -> RenderableType:
    """Times, memory, and the goals that are missed."""
    speed = [record for record in report["cases"] if "rounds" in record]
    peaks = [record for record in report["cases"] if "gradient_bytes" in record]
    return Group(
        tables.speed_table(speed), "", tables.memory_table(peaks), "", *tables.goal_lines(report["summary"]["goals"])
    )


SUITE = Suite(peers=("torch",), rounds=12, cases=cases, notes=notes, table=table, summary=summary)
