"""Timing of several ways to do the same work, round by round in one process."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Two OpenMP runtimes in one process (torch brings its own) disturb one another: after a parallel region the
# workers of each spin for some milliseconds, on the CPUs that the other's next region needs. After a pause of
# this length they have gone to sleep, and every variant starts on idle CPUs.
PAUSE = 0.025

# Calls shorter than this are timed in batches that last as long: the clock and the first call after the pause
# would weigh too much.
BATCH = 0.010

# Of calls that last as long (seconds) one is timed alone: what waking the workers costs is lost in it.
LONG = 0.5


@dataclass(frozen=True)
class Verdict:
    """What the comparison of a variant's result with the reference showed."""

    error_ulp: float | None
    """The largest error; None where the result is no approximation (a copy)."""
    refused: str | None = None
    """Why the variant is not timed."""


@dataclass(frozen=True)
class Variant:
    """One way to do a case's work."""

    name: str
    """The library; "softgrad" is what the others are compared with."""
    what: str
    """The function called."""
    call: Callable[[], object]
    """Does the work once, and has done it on return."""
    check: Callable[[], Verdict]
    """Does the work once and judges the result."""


@dataclass(frozen=True)
class Goal:
    """How much faster than a peer softgrad is meant to be."""

    peer: str
    ratio: float
    """The least acceptable time of the peer divided by that of softgrad."""
    text: str


@dataclass(frozen=True)
class Case:
    """A piece of work, the ways to do it, and the goals."""

    title: str
    dtype: str
    shape: tuple[int, ...]
    variants: Sequence[Variant]
    goals: Sequence[Goal]
    one_round_in: int = 1
    """Work that takes long gets a fraction of the rounds asked for."""

    def measure(self, rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Check every variant, then time those whose result is right; `progress` is told what comes next."""
        progress("checking")
        verdicts = {variant.name: variant.check() for variant in self.variants}
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
                    "median_s": statistics.median(seconds[variant.name]) if variant.name in seconds else None,
                    "min_s": min(seconds[variant.name]) if variant.name in seconds else None,
                    "max_s": max(seconds[variant.name]) if variant.name in seconds else None,
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


def interleaved(
    calls: dict[str, Callable[[], object]], rounds: int, progress: Callable[[str], object]
) -> dict[str, list[float]]:
    """Seconds per call, for every variant one figure a round; each round starts with another variant."""
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
                    calls[name]()  # wakes the variant's own workers, as its previous call would in a training loop
                seconds[name].append(_batch(calls[name], sizes[name]) / sizes[name])
    finally:
        if collecting:
            gc.enable()
    return seconds


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
