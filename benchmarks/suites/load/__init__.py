"""The suite "load": several threads beside one, on quiet CPUs and while another process keeps one of them busy.

A shared call is meant never to take longer than one thread would under the same load. The suite also counts the calls
of several Python threads that call at once, and shows from which size several threads pay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import softgrad as sg
from benchmarks import tables
from benchmarks.suites import InputError, Suite
from benchmarks.suites.load import work
from benchmarks.suites.load.calls import LoadCase
from benchmarks.suites.load.python_threads import CALLERS, PythonThreadsCase
from benchmarks.suites.load.sizes import SizesCase
from benchmarks.suites.load.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Record, Report

_CLASSES = 10, 1000
_ELEMENTS = [2**k for k in range(13, 19)]


def cases(_peers: Peers, *, shrink: int = 1) -> Iterator[Case]:
    """The cases, each with its arrays, one at a time; `shrink` divides the rows (tests use it)."""
    threads = sg.get_num_threads()
    if threads < 2:
        raise InputError("--suite load compares several threads with 1; 1 is set, write --threads 2 or more")

    def shape(rows: int, *others: int) -> tuple[int, ...]:
        return max(2, rows // shrink), *others

    yield LoadCase(work.loss_and_gradient(shape(1024, 1000)), threads)
    yield LoadCase(work.loss_and_gradient(shape(65536, 10)), threads)
    yield LoadCase(work.loss_and_gradient(shape(512, 50257)), threads)
    yield LoadCase(work.softmax(shape(1024, 1000)), threads)
    yield LoadCase(work.hessian_product(shape(1024, 1000)), threads)
    yield LoadCase(work.fit(shape(20000, 16, 26), iterations=5), threads)
    yield LoadCase(work.fit(shape(60000, 784, 10), iterations=2), threads)
    yield PythonThreadsCase([work.loss_and_gradient(shape(1024, 1000)) for _ in range(max(CALLERS))], threads)
    for name, make in ("softmax", work.softmax), ("loss + gradient", work.loss_and_gradient):
        for classes in _CLASSES:
            works = {n: make(shape(rows, classes)) for n, rows in rows_of_sizes(classes).items()}
            yield SizesCase(f"{name}, {classes} classes", works, threads)


def rows_of_sizes(classes: int) -> dict[int, int]:
    """The number of rows for each number of elements, rounded up: a limit in elements applies to the same columns."""
    return {elements: math.ceil(elements / classes) for elements in _ELEMENTS}


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    return [
        "float32, out= where the function has it. Every result has the bits of that of 1 thread.",
        f"{tables.counted(report['rounds'], 'round')} in which blocks of calls on 1 thread and on {report['threads']} "
        "take turns.",
        "quiet, busy: without and with another process that spins on one CPU.",
        "ratio, p95 ratio: median and 95th percentile over those of 1 thread; 1 thread again shows the noise.",
        "Calls on fewer than serial_below elements (native/layout/tuning.h) always take 1 thread.",
        *tables.load_warning(report),
    ]


def summary(records: list[Record]) -> dict[str, Any]:
    """Every goal of the records, and whether it is reached; None where nothing was timed."""
    return {
        "goals": [
            goal | {"name": f"{record['title']}: {goal['name']}"}
            for record in records
            for goal in record.get("goals", ())
        ]
    }


SUITE = Suite(peers=(), rounds=4, cases=cases, notes=notes, table=table, summary=summary)
