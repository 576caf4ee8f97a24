"""The suite "dask": fits on a cluster of this machine's processes beside fits in memory and those of dask-ml.

Also the cost of a pass over rows on workers, from which the cost on a large cluster follows, and fits of rows that are
larger than the memory of all workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import softgrad as sg
from benchmarks import tables
from benchmarks.suites import Suite
from benchmarks.suites.dask.beside_dask_ml import DaskMLCase
from benchmarks.suites.dask.beside_memory import BesideMemoryCase
from benchmarks.suites.dask.clusters import scheduler_and_workers, workers_of_one_thread
from benchmarks.suites.dask.out_of_core import TIMES_MEMORY, OutOfCoreCase
from benchmarks.suites.dask.pass_cost import PassCostCase
from benchmarks.suites.dask.rows import Rows
from benchmarks.suites.dask.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers import Peers
    from benchmarks.suites import Case, Record, Report

_MEMORY_LIMIT = 1_000_000_000  # of a worker; one with pandas and pyarrow takes 300 MB by itself
_COLUMNS_OUT_OF_CORE = 100
_ROWS_OUT_OF_CORE = TIMES_MEMORY * _MEMORY_LIMIT // (4 * _COLUMNS_OUT_OF_CORE)


def cases(peers: Peers) -> Iterator[Case]:
    """The cases; most use as many workers as softgrad uses threads."""
    workers = sg.get_num_threads()
    for shape, iterations, has_goal in ((1_600_000, 200, 10), 10, True), ((100_000, 50, 10), 40, False):
        yield BesideMemoryCase(Rows(*shape, 4 * workers), workers, iterations, workers_of_one_thread, has_goal)
    if "dask-ml" in peers:
        for correlated in (False, True):
            rows = Rows(100_000, 50, 2, 4 * workers, correlated)
            yield DaskMLCase(rows, peers["dask-ml"], workers, workers_of_one_thread)
    yield PassCostCase(Rows(100_000, 784, 10, 8), Rows(8000, 8, 2, 8), (1, 2, 3, 4), scheduler_and_workers)
    large = Rows(_ROWS_OUT_OF_CORE, _COLUMNS_OUT_OF_CORE, 10, 120)
    for kind in (".npy", "Parquet"):
        yield OutOfCoreCase(kind, large, 1, _MEMORY_LIMIT, 3, workers_of_one_thread)


def notes(report: Report) -> list[str]:
    """The conditions of the measurement."""
    threads = tables.counted(report["threads"], "thread")
    return [
        f"Workers of one thread, float32, C=1; {threads} in memory, and as many workers.",
        "in memory, cluster: the first iterations of a fit; X is in memory, and on the workers.",
        "one pass: the median time between two iterations.",
        "as good: until the objective, in float64, is that at which dask-ml stops.",
        *tables.load_warning(report),
    ]


def summary(records: list[Record]) -> dict[str, Any]:
    """Every goal of the records, and whether it is reached; None where nothing was measured."""
    return {"goals": [goal for record in records for goal in record.get("goals", ())]}


SUITE = Suite(("dask-ml", "distributed"), rounds=3, cases=cases, notes=notes, table=table, summary=summary)
