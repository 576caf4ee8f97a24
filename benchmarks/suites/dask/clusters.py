"""Clusters on this machine, and what their processes tell about themselves."""

from __future__ import annotations

import os
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from distributed import Client, LocalCluster
from distributed.deploy.subprocess import SubprocessCluster

from benchmarks import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Start = Callable[[int], AbstractContextManager[Client]]


class ProcessorTime(NamedTuple):
    """Seconds of processor time."""

    client: float
    scheduler: float
    workers: float

    def since(self, before: ProcessorTime) -> ProcessorTime:
        """Return the seconds since an earlier measurement."""
        return ProcessorTime(*(now - then for now, then in zip(self, before, strict=True)))


@contextmanager
def workers_of_one_thread(workers: int, memory_limit: int | str = "auto") -> Iterator[Client]:
    """A client of workers with one thread each, and the scheduler in this process, as in fits without a client."""
    with (
        _quiet(),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=memory_limit, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def scheduler_and_workers(workers: int) -> Iterator[Client]:
    """The same with the scheduler in a process of its own, whose time can be told from the client's."""
    with (
        _quiet(),
        SubprocessCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


def processor_time(client: Client) -> ProcessorTime:
    """Return the processor time of all processes up to now; of the workers the sum."""
    return ProcessorTime(
        time.process_time(), client.run_on_scheduler(time.process_time), sum(client.run(time.process_time).values())
    )


def bytes_sent_by_workers(client: Client) -> int:
    """Return the bytes of the results that workers have sent to others and to the scheduler."""
    return sum(client.run(_bytes_sent).values())


def process_ids(client: Client) -> set[int]:
    """Return the process of every worker; a worker that is restarted gets another."""
    return set(client.run(os.getpid).values())


def peak_memory(client: Client) -> list[int] | None:
    """Return the peak of each worker's resident memory in bytes, files that it maps included."""
    return list(client.run(memory.peak).values()) if memory.can_measure() else None


def _bytes_sent(dask_worker: object) -> int:
    return int(dask_worker.transfer_outgoing_bytes_total)  # type: ignore[attr-defined]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        warnings.filterwarnings("ignore", "Dask configuration key", FutureWarning)  # dask-ml's
        yield
