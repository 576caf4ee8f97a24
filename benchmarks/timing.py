"""Times of several ways to do the same work, taken in turns in one process."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.verdict import Judge, Verdict

# Seconds. The threads of libraries in one process disturb one another: after a call those of OpenMP (torch's, for
# example) spin for some milliseconds, on the CPUs that the next variant needs. After a pause of this length they have
# gone to sleep, and every variant starts on idle CPUs.
PAUSE = 0.025

# Seconds. Shorter calls are timed in batches that last as long: the clock and the first call after the pause would
# weigh too much.
BATCH = 0.010

# Seconds. Longer calls are timed once, without a call before: the time to wake the workers is negligible.
LONG = 0.5


@dataclass(frozen=True)
class Variant:
    """One way to do a case's work."""

    name: str
    """The library; "softgrad" is what the others are compared with."""
    what: str
    """The function called."""
    call: Callable[[], object]
    """Does the work once, and returns its results when they are complete."""
    judge: Callable[[Any], Verdict] | None = None
    """Judges the results, where the case's judge does not fit."""


@dataclass(frozen=True)
class Goal:
    """How much faster than a peer softgrad is meant to be."""

    peer: str
    ratio: float
    """The least acceptable time of the peer divided by that of softgrad."""
    text: str


def faster(ratio: float, peer: str = "torch") -> Goal:
    """Softgrad takes at most 1/ratio of the peer's time."""
    return Goal(peer, ratio, f"≥ {ratio:g}×")


def at_most(times: float, peer: str) -> Goal:
    """Softgrad takes at most so many times as long as a variant that bounds what is possible."""
    return Goal(peer, 1 / times, f"≤ {times:g}×")


@dataclass(frozen=True)
class TimedCase:
    """A piece of work, the ways to do it, and the goals."""

    title: str
    dtype: str
    shape: tuple[int, ...]
    judge: Judge
    variants: Sequence[Variant]
    goals: Sequence[Goal] = ()
    one_round_in: int = 1
    """Long work gets a fraction of the rounds asked for."""

    def measure(self, rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Check every variant, then time those whose result is right; `progress` receives the current stage."""
        progress("checking")
        verdicts = {variant.name: self._verdict(variant) for variant in self.variants}
        accepted = {v.name: v.call for v in self.variants if verdicts[v.name].refused is None}
        rounds = math.ceil(rounds / self.one_round_in)
        seconds = interleaved(accepted, rounds, progress)
        ratios = {
            name: statistics.median(p / s for p, s in zip(times, seconds["softgrad"], strict=True))
            for name, times in seconds.items()
            if name != "softgrad" and "softgrad" in seconds
        }
        return {
            "title": self.title,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "rounds": rounds,
            "variants": [
                {
                    "name": variant.name,
                    "what": variant.what,
                    **summarised(seconds.get(variant.name, [])),
                    "ratio": ratios.get(variant.name),
                    "error_ulp": verdicts[variant.name].error_ulp,
                    "refused": verdicts[variant.name].refused,
                }
                for variant in self.variants
            ],
            "goals": [
                {
                    "peer": goal.peer,
                    "text": goal.text,
                    "ratio": goal.ratio,
                    "reached": ratios[goal.peer] >= goal.ratio if goal.peer in ratios else None,
                }
                for goal in self.goals
            ],
        }

    def _verdict(self, variant: Variant) -> Verdict:
        results = variant.call()
        if variant.judge is not None:
            return variant.judge(results)
        return self.judge(results, ours=variant.name == "softgrad")


def summarised(seconds: Sequence[float]) -> dict[str, float | None]:
    """Median, minimum and maximum of times; None where nothing was timed."""
    if not seconds:
        return {"median_s": None, "min_s": None, "max_s": None}
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}


def interleaved(
    calls: dict[str, Callable[[], object]], rounds: int, progress: Callable[[str], object]
) -> dict[str, list[float]]:
    """Seconds per call of every variant, one figure per round; each round starts with another variant."""
    sizes = {name: _batch_size(call) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(rounds):
            progress(f"round {i + 1} of {rounds}")
            first = i % len(names) if names else 0
            for name in names[first:] + names[:first]:
                time.sleep(PAUSE)
                if not seconds[name] or seconds[name][-1] < LONG:
                    calls[name]()  # wakes the variant's own workers, as the call before would in a training loop
                seconds[name].append(_batch(calls[name], sizes[name]) / sizes[name])
    finally:
        if collecting:
            gc.enable()
    return seconds


def in_turns(
    blocks: Sequence[Callable[[], list[float]]], rounds: int, progress: Callable[[str], object]
) -> list[list[float]]:
    """Figures of several blocks of work that take turns, all rounds together; each round starts with another block."""
    figures: list[list[float]] = [[] for _ in blocks]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(rounds):
            progress(f"round {i + 1} of {rounds}")
            for k in range(i, i + len(blocks)):
                figures[k % len(blocks)] += blocks[k % len(blocks)]()
    finally:
        if collecting:
            gc.enable()
    return figures


def block_of_calls(call: Callable[[], object], seconds: float, pause: float = 0.0) -> list[float]:
    """Seconds of every single call, of as many as fit into a time; each after a pause, in which workers go to sleep."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        if pause:
            time.sleep(pause)
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def quantiles(seconds: Sequence[float]) -> dict[str, float | int]:
    """The number of times, their median and their 95th percentile."""
    return {"calls": len(seconds), "median_s": statistics.median(seconds), "p95_s": float(np.percentile(seconds, 95))}


def _batch(call: Callable[[], object], size: int) -> float:
    begin = time.perf_counter()
    for _ in itertools.repeat(None, size):
        call()
    return time.perf_counter() - begin


def _batch_size(call: Callable[[], object]) -> int:
    """How many calls last as long as `BATCH`, to a power of two."""
    if _batch(call, 1) >= LONG:
        return 1
    size = 1
    while min(_batch(call, size), _batch(call, size)) < BATCH:  # one alone may have been interrupted
        size *= 2
    return size
