"""The cost of a pass on clusters of several sizes, and a model of larger ones that follows from it."""

from __future__ import annotations

import pickle
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from benchmarks import tables
from benchmarks.suites.dask.clusters import bytes_sent_by_workers, processor_time
from benchmarks.timing import interleaved
from softgrad._loss_spec import DEFAULT
from softgrad._targets import Targets
from softgrad.dask._cluster import Cluster
from softgrad.dask._fit_rows import fit_rows
from softgrad.dask._partitions import partitions_of
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._tree_sum import rows_in_leaf, subtrees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from distributed import Client

    from benchmarks.suites import Record
    from benchmarks.suites.dask.clusters import Start
    from benchmarks.suites.dask.rows import Rows
    from softgrad._typing import Array

_PASSES = 10  # for each round


class Machines(NamedTuple):
    """A problem on machines like this one."""

    rows: int
    features: int
    classes: int
    machines: int


LARGE = Machines(10**9, 784, 10, 100)


class MeasuredCluster(Cluster):
    """A cluster that counts the bytes of the nodes that it receives."""

    node_bytes = 0

    def run_on_each(self, objects: Mapping[str, Any], method: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
        """As `Cluster.run_on_each`."""
        results = super().run_on_each(objects, method, args)
        self.node_bytes += sum(node.nbytes for nodes in results for node in nodes.values())
        return results


@dataclass(frozen=True)
class PassCostCase:
    """Passes over large rows and over rows of a few numbers, whose cost is that of the tasks alone."""

    large: Rows
    small: Rows
    workers: Sequence[int]
    start: Start

    @property
    def title(self) -> str:
        """The shape of the larger work."""
        return f"one pass, {tables.shape(self.large.shape)}"

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Measure passes with each number of workers, then what they say of `LARGE`."""
        in_memory = {rows: self._in_memory(rows) for rows in (self.large, self.small)}
        sums = {rows: run() for rows, run in in_memory.items()}
        progress("in memory")
        seconds = interleaved({"pass": in_memory[self.large]}, _PASSES * rounds, progress)["pass"]
        passes, problems = [], []
        for workers in self.workers:
            progress(tables.counted(workers, "worker"))
            with self.start(workers) as client:
                for rows in (self.small, self.large):
                    figures, result = cost_of_passes(client, rows, _PASSES * rounds)
                    passes.append({"shape": list(rows.shape), "workers": workers, **figures})
                    if result.tobytes() != sums[rows].tobytes():
                        problems.append(f"the sums of {tables.counted(workers, 'worker')} have other bits")
        pass_s = statistics.median(seconds)
        return {
            "title": self.title,
            "shape": list(self.large.shape),
            "dtype": "float32",
            "in_memory_s": pass_s,
            "passes": passes,
            "model": model(LARGE, passes, self.large.shape, pass_s),
            "problems": problems,
        }

    def _in_memory(self, rows: Rows) -> Callable[[], Array]:
        x, y = rows.in_memory()
        local = LocalRows(x, Targets(rows.classes, y, row_weight=np.ones(len(x))))
        return lambda: local.sum(_kernels.gradient, *coefficients(rows))


def coefficients(rows: Rows) -> tuple[Array, Array, None]:
    """Return the arguments of a pass."""
    W = 0.1 * np.random.default_rng(0).standard_normal((rows.classes, rows.features))
    return W, np.zeros(rows.classes), None


def cost_of_passes(client: Client, rows: Rows, count: int) -> tuple[Record, Array]:
    """Return seconds, processor time and bytes per pass, and the sums of a pass."""
    cluster = MeasuredCluster(client, None)
    args = coefficients(rows)
    X, y = rows.on_cluster(client)
    partitioned = fit_rows(cluster, partitions_of(X, y, None), None, DEFAULT, "").rows
    result = partitioned.sum(_kernels.gradient, *args)
    cluster.node_bytes = 0
    seconds = []
    processors, sent = processor_time(client), bytes_sent_by_workers(client)
    for _ in range(count):
        begin = time.perf_counter()
        partitioned.sum(_kernels.gradient, *args)
        seconds.append(time.perf_counter() - begin)
    used, sent = processor_time(client).since(processors), bytes_sent_by_workers(client) - sent
    figures = {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "client_s": used.client / count,
        "scheduler_s": used.scheduler / count,
        "workers_s": used.workers / count,
        "argument_bytes": len(pickle.dumps((_kernels.gradient, *args))),
        "node_bytes": cluster.node_bytes // count,
        "sent_by_workers_bytes": sent // count,
    }
    return figures, result


def model(problem: Machines, passes: Sequence[Record], shape: tuple[int, int, int], in_memory_s: float) -> Record:
    """Return the cost of a pass over a problem, from the passes that were measured.

    Tasks and bytes each have a cost for the scheduler and the client; least squares finds them, none negative. The rows
    of a machine take the time of a pass in memory on this one. Nothing is taken to overlap.
    """
    tasks = np.array([1 + each["workers"] for each in passes], float)
    megabytes = np.array([each["node_bytes"] + each["argument_bytes"] for each in passes]) / 1e6
    terms = np.stack([np.ones(len(passes)), tasks, megabytes], axis=1)
    node = 8 * (problem.classes * (problem.features + 1) + 1)
    nodes = nodes_of_workers(problem)
    arguments = problem.machines * node
    large = np.array([1.0, 1 + problem.machines, (nodes * node + arguments) / 1e6])
    costs = {}
    for name in ("client", "scheduler"):
        solution, _ = nnls(terms, np.array([each[f"{name}_s"] for each in passes]))
        _, of_task, of_megabyte = solution.tolist()
        costs[name] = {"s_per_task": of_task, "s_per_byte": of_megabyte / 1e6, "s": float(large @ solution)}
    work = problem.rows / problem.machines * problem.features * problem.classes
    rows_s = in_memory_s * work / np.prod(shape)
    latency = min(each["median_s"] for each in passes)
    total = rows_s + latency + sum(cost["s"] for cost in costs.values())
    return {
        **problem._asdict(),
        "rows_s": float(rows_s),
        "latency_s": latency,
        "nodes": nodes,
        "node_bytes": nodes * node,
        "argument_bytes": arguments,
        **costs,
        "pass_s": float(total),
        "share_of_rows": float(rows_s / total),
    }


def nodes_of_workers(problem: Machines) -> int:
    """Return how many nodes all machines send for a pass, each with an equal run of neighbouring rows."""
    leaf_rows = rows_in_leaf((problem.rows, problem.features), problem.rows * problem.features, problem.classes)
    leaves = -(-problem.rows // leaf_rows)
    ends = [k * leaves // problem.machines for k in range(problem.machines + 1)]
    return sum(len(list(subtrees(first, end, leaves))) for first, end in pairwise(ends))
