"""From which size several threads pay."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.timing import in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.suites import Record
    from benchmarks.suites.load.work import Work

BLOCK = 0.02  # seconds, back to back
PAUSE, BLOCK_WITH_PAUSES = 0.010, 0.12  # seconds


@dataclass(frozen=True)
class SizesCase:
    """The same work on different numbers of rows."""

    title: str
    works: Mapping[int, Work]
    """By the number of elements, before it is rounded up to whole rows."""
    threads: int

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Time every size whose results are right, back to back and after pauses, in which workers go to sleep."""
        problems = []
        sizes: list[dict[str, Any]] = []
        for elements, work in self.works.items():
            refused = work.verdict(self.threads).refused
            if refused is not None:
                problems.append(f"{work.title} is not timed, its result is {refused}")
                continue
            ratios = {
                name: self._ratio(work, seconds, pause, rounds, progress)
                for name, seconds, pause in (("back_to_back", BLOCK, 0.0), ("after_a_pause", BLOCK_WITH_PAUSES, PAUSE))
            }
            sizes.append({"elements": elements, "shape": list(work.shape), **ratios})
        return {"title": self.title, "rounds": rounds, "pause_s": PAUSE, "sizes": sizes, "problems": problems}

    def _ratio(self, work: Work, seconds: float, pause: float, rounds: int, progress: Callable[[str], object]) -> float:
        blocks = [partial(work.block, threads, seconds, pause) for threads in (1, self.threads)]
        one, several = in_turns(blocks, rounds, progress)
        return statistics.median(several) / statistics.median(one)
