"""Times on the device, and on the host."""

from __future__ import annotations

import importlib
import statistics
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.gpu.session import Session

ROUNDS = 3
_WARM_UP_MS = 2
_CALLS = 50  # fewer than a device's queue holds: the host does not wait for the device


def milliseconds(call: Callable[[], object], rep: float) -> float:
    """The median time of a call on the device, whose cache is emptied before each, in `rep` milliseconds of calls."""
    median: float = importlib.import_module("triton.testing").do_bench(
        call, warmup=_WARM_UP_MS, rep=rep, return_mode="median"
    )
    return median


def interleaved(
    session: Session, part: str, title: str, calls: dict[str, Callable[[], object]], ours: set[str], rep: float = 10
) -> dict[str, float]:
    """The medians of all variants, which take turns; one that fails is left out.

    One round is enough if the time of the part is over.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(ROUNDS):
        if i and session.seconds_left() <= 0:
            break
        names = list(times)
        first = i % max(1, len(names))
        for name in names[first:] + names[:first]:
            ms = session.attempt(part, f"{name}, {title}", milliseconds, calls[name], rep, ours=name in ours)
            if ms is None:
                del times[name]
                release()
            else:
                times[name].append(ms)
    return {name: statistics.median(values) for name, values in times.items()}


def host_microseconds(call: Callable[[], object]) -> float:
    """The time of a call on the host, which does not wait for the device."""
    synchronise()
    begin = time.perf_counter()
    for _ in range(_CALLS):
        call()
    seconds = time.perf_counter() - begin
    synchronise()
    return 1e6 * seconds / _CALLS


def synchronise() -> None:
    """Wait for the device, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def release() -> None:
    """Return unused memory to the device, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
