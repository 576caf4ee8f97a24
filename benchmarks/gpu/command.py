"""The options of `python -m benchmarks.gpu`, and a run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer
from rich.console import Console

import softgrad as sg
from benchmarks import tables
from benchmarks.gpu import behaviour, exactness, launch, linear, peers, processes, speed
from benchmarks.gpu.processes import Job
from benchmarks.gpu.session import Session
from softgrad.torch._kernels import kernels_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record

WIDTH = 120  # of the tables unless they go to a terminal
# Seconds: all parts together take less than five minutes, start included.
SECONDS = {"compile": 110, "exact": 25, "speed": 75, "linear": 40, "launch": 10}
_WORKER_BYTES = 8 << 30  # of a GPU's memory, for a process that calls the variants of one case


class Part(StrEnum):
    """The parts of a run."""

    EXACT = "exact"
    SPEED = "speed"
    LINEAR = "linear"
    LAUNCH = "launch"


def bench(
    part: Annotated[list[Part] | None, typer.Option(help="A part, may be repeated. (default: all)")] = None,
    classes: Annotated[
        list[int] | None,
        typer.Option(min=2, help="A number of classes for exact and speed, may be repeated. (default: those of each)"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Append every record to this file, a JSON object a line.")
    ] = None,
) -> None:
    """Measure softgrad's kernels on a CUDA GPU: exactness, speed, the linear head, the cost of a call.

    The exit code is 1 if a result is wrong or missing, not if a goal is missed; 2 without a CUDA GPU or Triton.
    """
    if (lack := absence()) is not None:
        print(f"error: benchmarks.gpu needs a CUDA GPU and Triton; {lack}", file=sys.stderr)
        raise typer.Exit(2)
    try:
        file = contextlib.nullcontext() if output is None else output.open("a", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{output}: {error.strerror}") from None
    with file as lines:
        session = Session("cuda", lines)
        run(session, part or [*Part], classes or [], workers())
    report(session)
    problems = session.problems()
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def absence() -> str | None:
    """Why the kernels in Triton do not run here; None if they do."""
    if not torch.cuda.is_available():
        return "torch.cuda.is_available() is False"
    if not kernels_for(torch.empty(0, device="cuda")).__name__.endswith("_triton"):
        return "Triton is not installed, or older than 3.6, or the GPU is AMD's"
    return None


def workers() -> int:
    """The number of processes that compile at a time: one for every CPU, as far as the GPU's memory suffices."""
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(os.cpu_count() or 1, free // _WORKER_BYTES))


def run(session: Session, parts: list[Part], classes: list[int], worker_count: int) -> None:
    """Measure the parts; `classes` replaces the numbers of classes of exactness and speed."""
    session.add(environment())
    for name in peers.missing():
        session.skip("versions", name, "not installed")
    session.start_part(SECONDS["compile"])
    if jobs := jobs_of(parts, classes, session.device):
        processes.run(session, jobs, worker_count)
    if Part.EXACT in parts:
        session.start_part(SECONDS["exact"])
        check_promises(session)
    if Part.SPEED in parts:
        session.start_part(SECONDS["speed"])
        measure_speed(session, classes)
    if Part.LINEAR in parts:
        session.start_part(SECONDS["linear"])
        session.attempt("linear", "linear head", linear.measure, session, ours=True)
    if Part.LAUNCH in parts:
        session.start_part(SECONDS["launch"])
        session.attempt("launch", "calls", launch.measure, session, ours=True)


def environment() -> dict[str, object]:
    """The GPU, and the versions; Triton's beside the GPU, since tests on a CPU do without both."""
    gpu = {}
    if torch.cuda.is_available():
        triton = importlib.metadata.version("triton")
        gpu = {"GPU": torch.cuda.get_device_name(), "driver": driver_version(), "Triton": triton}
    return {"part": "versions", **gpu, "softgrad": sg.__version__, "torch": torch.__version__, **peers.versions()}


def driver_version() -> str:
    """The version of NVIDIA's driver, where the system tells it."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="ascii").split()
    except OSError:
        return "unknown"
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


def jobs_of(parts: list[Part], classes: list[int], device: str) -> list[Job]:
    """What may run in parallel: calls of everything that is timed later, which take longest, and the checks."""
    jobs = []
    if Part.SPEED in parts:
        jobs += [
            compile_job(count, dtype, device)
            for count, dtype in itertools.product(reversed(classes or speed.CLASSES), speed.DTYPES)
        ]
    if Part.EXACT in parts:
        jobs += [
            Job("exact", f"{work}, {dtype}, C = {count}", exactness.check, (count, dtype, device, work), True)
            for count, dtype in itertools.product(reversed(classes or exactness.CLASSES), exactness.DTYPES)
            for work in exactness.works(count)
        ]
    return jobs


def compile_job(classes: int, dtype: str, device: str) -> Job:
    """The first call of everything that a case of speed times."""
    return Job("speed", f"compile {dtype}, C = {classes}", speed.compile_case, (classes, dtype, device), False)


def check_promises(session: Session) -> None:
    """The linear head, and the checks beside errors; one for which no time is left counts as failed."""
    device = torch.device(session.device)
    checks = {f"linear head, {dtype}": partial(exactness.linear_head, dtype, device) for dtype in exactness.DTYPES}
    checks |= {name: partial(behaviour.record, check, device) for name, check in behaviour.checks(device).items()}
    for name, check in checks.items():
        record = session.attempt("exact", name, in_time, session, check, ours=True)
        if record is not None:
            session.add(record)


def in_time(session: Session, check: Callable[[], Record]) -> Record:
    """The record of a check, if there is time for it."""
    if session.seconds_left() <= 0:
        raise TimeoutError("no time left")
    return check()


def measure_speed(session: Session, classes: list[int]) -> None:
    """All cases for which there is time; those whose kernels may hang would also hang here."""
    endless = {r["failed"] for r in session.records if r.get("error", "").startswith("TimeoutError")}
    for count, dtype in itertools.product(classes or speed.CLASSES, speed.DTYPES):
        if compile_job(count, dtype, session.device).name in endless:
            session.skip("speed", f"{dtype}, C = {count}", "its first calls did not end")
        elif session.seconds_left() <= 0:
            session.skip("speed", f"{dtype}, C = {count}", "no time left")
        else:
            speed.measure(session, count, dtype)


def report(session: Session) -> None:
    """Print the tables, and the goals that are missed."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    records = session.records
    shown = [exactness.table(records)]
    shown += [speed.table(records, dtype) for dtype in speed.DTYPES] + [linear.table(records), launch.table(records)]
    for table in shown:
        if table.row_count:
            console.print("", table)
    console.print("", *tables.goal_lines(session.goals()), sep="\n")
