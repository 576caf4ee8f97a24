"""Jobs in parallel processes: to compile takes one core each, and the results are kept on disk for all processes."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.gpu import timing
from benchmarks.gpu.session import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.gpu.session import Session
    from benchmarks.suites import Record


class Job(NamedTuple):
    """A function of a module that returns records, and its arguments."""

    part: str
    name: str
    function: Callable[..., list[Record]]
    arguments: tuple[object, ...]
    is_required: bool
    """Whether the run is a failure without it."""


def run(session: Session, jobs: list[Job], workers: int) -> None:
    """Add the records of all jobs to the session, in this process if there are no workers."""
    if not workers:
        for job in jobs:
            _add(session, result(job))
        return
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # each worker compiles for itself
    left = {job.name: job for job in jobs}
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        finished = pool.imap_unordered(result, jobs)
        while left:
            try:
                name, records = finished.next(max(0.1, session.seconds_left()))
            except multiprocessing.TimeoutError:
                break
            del left[name]
            _add(session, (name, records))
    for job in left.values():
        session.add(failure(job.part, job.name, TimeoutError("no time left"), ours=job.is_required))


def _add(session: Session, job: tuple[str, list[Record]]) -> None:
    """Add the records of a job; a table shows those that are right."""
    for record in job[1]:
        session.add(record, quiet=record.get("passed", False))


def result(job: Job) -> tuple[str, list[Record]]:
    """The name and the records of a job; an exception is one of them."""
    try:
        return job.name, job.function(*job.arguments)
    except Exception as error:
        return job.name, [failure(job.part, job.name, error, ours=job.is_required)]
    finally:
        timing.release()  # the processes share the device's memory
