"""The suite "torch": softgrad.torch beside torch's own functions, through autograd, on the CPU.

Both get the same tensors and the same number of threads, and both allocate what they return: a gradient is
written to memory that the system has just given, as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.timing import Case, Goal
from softgrad.cli import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from benchmarks.suites.torch.memory import MemoryCase

PEERS = ("torch",)
ROUNDS = 12


def cases(peers: Peers, *, shrink: int = 1) -> Iterator[Case | MemoryCase]:
    """The cases, each with its tensors, one at a time; `shrink` divides every shape (tests use it)."""
    if "torch" not in peers:
        raise CommandError("--suite torch: torch is not installed; write pip install 'softgrad[bench]'")
    from benchmarks.suites.torch import cross_entropy as _cross_entropy  # noqa: PLC0415
    from benchmarks.suites.torch import linear_cross_entropy as _linear_head  # noqa: PLC0415
    from benchmarks.suites.torch import memory as _memory  # noqa: PLC0415
    from benchmarks.suites.torch import small_calls as _small_calls  # noqa: PLC0415

    def shape(*sizes: int) -> tuple[int, ...]:
        return tuple(max(2, size // shrink) for size in sizes)

    yield _cross_entropy.gradient(shape(512, 50257), [_faster(3)])
    yield _cross_entropy.gradient(shape(1024, 1000), [])
    yield _cross_entropy.gradient(shape(65536, 10), [_faster(4)])
    yield _cross_entropy.gradient(shape(64, 10), [_faster(1)])
    yield _cross_entropy.gradient(shape(512, 50257), [], dtype="bfloat16")
    yield _cross_entropy.hessian_product(shape(512, 50257))
    of_gemms = Goal("three GEMMs", ratio=1 / 1.25, text="≤ 1.25×")
    yield _linear_head.gradient(shape(1024, 512, 50257), [_faster(1.4), _faster(4, _linear_head.CHUNKED), of_gemms])
    yield from _small_calls.cases([_faster(0.5)])
    yield _memory.cross_entropy(shape(512, 50257))
    yield _memory.linear_cross_entropy(shape(2048, 256, 100000))


def _faster(ratio: float, peer: str = "torch") -> Goal:
    return Goal(peer, ratio=ratio, text=f"≥ {ratio:g}×")


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Every goal of the records, and whether it is reached; None where the system does not tell."""
    goals = []
    for record in records:
        measured = {way["name"]: way.get("ratio", way.get("peak_bytes")) for way in record["variants"]}
        for goal in record["goals"]:
            value = measured.get(goal["peer"])
            name = f"{record['title']}: {goal['peer']}"
            goals.append({"name": name, "value": value, "text": goal["text"], "reached": goal["reached"]})
    return {"goals": goals}
