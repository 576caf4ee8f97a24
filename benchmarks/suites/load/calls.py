"""One piece of work with one thread and with several, on quiet CPUs and with one core busy."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import tables
from benchmarks.busy_core import busy_core
from benchmarks.timing import in_turns, quantiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.suites import Record
    from benchmarks.suites.load.work import Work

# Seconds. After a call that lost time to other work, calls take one thread for up to 0.3 s (longest_rest_ns in
# native/layout/tuning.h): with shorter blocks that time could pass while one thread has its turn.
BLOCK = 1.0

LOADS: dict[str, Callable[[], AbstractContextManager[object]]] = {"quiet": nullcontext, "busy": busy_core}
MOST = {"median": 1.1, "p95": 1.5}  # goals with one core busy: so many times that of one thread


@dataclass(frozen=True)
class LoadCase:
    """One piece of work, on one thread, on one thread again and on several."""

    work: Work
    threads: int

    @property
    def title(self) -> str:
        """The name and the shape of the work."""
        return self.work.title

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Compare the results, then time single calls under each load; `progress` receives the current stage."""
        names = {"1 thread": 1, "1 thread again": 1, tables.counted(self.threads, "thread"): self.threads}
        variants: list[dict[str, Any]] = [
            {"name": name, "threads": n, "refused": self.work.verdict(n).refused} for name, n in names.items()
        ]
        timed = [variant for variant in variants if variant["refused"] is None]
        blocks = [partial(self.work.block, variant["threads"], BLOCK) for variant in timed]
        for load, context in LOADS.items():

            def show(stage: str, load: str = load) -> None:
                progress(f"{load}, {stage}")

            with context():
                seconds = in_turns(blocks, rounds, show)
            for variant, figures in zip(timed, compared(seconds), strict=True):
                variant[load] = figures
        return {
            "title": self.title,
            "dtype": "float32",
            "shape": list(self.work.shape),
            "rounds": rounds,
            "variants": variants,
            "goals": goals(variants[-1]),
        }


def compared(seconds: Sequence[Sequence[float]]) -> list[dict[str, float]]:
    """The figures of all variants, and their ratios to those of the first."""
    figures = [quantiles(times) for times in seconds]
    return [each | {f"{name}_ratio": each[f"{name}_s"] / figures[0][f"{name}_s"] for name in MOST} for each in figures]


def goals(variant: dict[str, Any]) -> list[dict[str, Any]]:
    """The goals for several threads with one core busy; `reached` is None where nothing was timed."""
    ratios = {name: variant["busy"][f"{name}_ratio"] if "busy" in variant else None for name in MOST}
    return [
        {"name": f"busy {name}", "value": ratio, "text": f"≤ {MOST[name]:g}×", "reached": ratio and ratio <= MOST[name]}
        for name, ratio in ratios.items()
    ]
