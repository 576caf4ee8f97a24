"""Calls per second of several Python threads that call at once."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import softgrad as sg
from benchmarks import tables
from benchmarks.timing import in_turns
from benchmarks.verdict import bit_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.suites import Record
    from benchmarks.suites.load.work import Work

BLOCK = 0.5  # seconds
CALLERS = 1, 2, 16


@dataclass(frozen=True)
class PythonThreadsCase:
    """The same work in every Python thread, each with arrays of its own; softgrad may use `threads` threads."""

    copies: Sequence[Work]
    threads: int

    @property
    def title(self) -> str:
        """The name and the shape of the work."""
        return f"at once: {self.copies[0].title}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Count calls in turns, and compare the last results of every thread with those of one thread."""
        expected = self.copies[0].results(1)
        sg.set_num_threads(self.threads)
        problems = {}

        def block(callers: int) -> list[float]:
            rate, results = calls_per_second(self.copies[:callers], BLOCK)
            for verdict in (bit_equal(each, expected) for each in results):
                if verdict.refused:
                    problems[callers] = f"with {_python_threads(callers)} a result is {verdict.refused}"
            return [rate]

        rates = dict(zip(CALLERS, in_turns([partial(block, n) for n in CALLERS], rounds, progress), strict=True))
        *_, fewer, most = CALLERS
        value = ratio(rates[most], rates[fewer])
        goal = {"name": f"{most} Python threads beside {fewer}", "value": value, "text": "≥ 1×", "reached": value >= 1}
        return {
            "title": self.title,
            "shape": list(self.copies[0].shape),
            "rounds": rounds,
            "callers": [
                {
                    "name": _python_threads(n),
                    "python_threads": n,
                    "calls_per_second": statistics.median(rates[n]),
                    "ratios": {other: ratio(rates[n], rates[other]) for other in CALLERS if other < n},
                }
                for n in CALLERS
            ],
            "goals": [goal],
            "problems": list(problems.values()),
        }


def ratio(rates: Sequence[float], others: Sequence[float]) -> float:
    """The median over the rounds."""
    return statistics.median(rate / other for rate, other in zip(rates, others, strict=True))


def calls_per_second(works: Sequence[Work], seconds: float) -> tuple[float, list[Any]]:
    """Call all of them at once again and again for a time; also returns the last results of each."""
    barrier = Barrier(len(works))

    def run(work: Work) -> tuple[float, float, int, Any]:
        barrier.wait()
        begin = time.perf_counter()
        calls = 0
        while not calls or time.perf_counter() < begin + seconds:
            results = work.call()
            calls += 1
        return begin, time.perf_counter(), calls, results

    with ThreadPoolExecutor(len(works)) as executor:
        begins, ends, calls, results = zip(*executor.map(run, works), strict=True)
    return sum(calls) / (max(ends) - min(begins)), list(results)


def _python_threads(n: int) -> str:
    return tables.counted(n, "Python thread")
