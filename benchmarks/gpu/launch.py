"""The time of a call on the host, for tensors whose arithmetic takes none."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

import softgrad.torch
from benchmarks import tables
from benchmarks.gpu import timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table
    from torch import Tensor

    from benchmarks.gpu.session import Session
    from benchmarks.suites import Record

    Call = Callable[[], Any]

SHAPE = 64, 10
_ROUNDS = 20
_LIBRARIES = {"softgrad": softgrad.torch, "torch": functional}


def measure(session: Session) -> None:
    """Time all calls in turns."""
    calls = {(work, name): call for name in _LIBRARIES for work, call in calls_of(name, session.device).items()}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(_ROUNDS):
        for key, call in calls.items():
            times[key].append(timing.host_microseconds(call))
    for (work, name), values in times.items():
        us = statistics.median(values)
        session.add({"part": "launch", "work": work, "variant": name, "us": us}, quiet=True)


def calls_of(name: str, device: str) -> dict[str, Call]:
    """The calls of one library."""
    library: Any = _LIBRARIES[name]
    z, y = torch.randn(SHAPE, device=device), torch.randint(SHAPE[1], SHAPE[:1], device=device)
    leaf = z.clone().requires_grad_()

    def with_backward() -> tuple[Tensor, ...]:
        gradients: tuple[Tensor, ...] = torch.autograd.grad(library.cross_entropy(leaf, y), leaf)
        return gradients

    return {
        "softmax": lambda: library.softmax(z, 1),
        "loss": lambda: library.cross_entropy(z, y),
        "loss + backward": with_backward,
    }


def table(records: list[Record]) -> Table:
    """The times by work and library."""
    us = {(r["work"], r["variant"]): r["us"] for r in records if r["part"] == "launch" and "us" in r}
    result = tables.new_table(f"a call of {tables.shape(SHAPE)} on the host", *(f"{name}, µs" for name in _LIBRARIES))
    for work in dict.fromkeys(work for work, _ in us):
        result.add_row(work, *(f"{us[work, name]:.1f}" if (work, name) in us else "" for name in _LIBRARIES))
    return result
