"""`python -m benchmarks`: the command line."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import platform
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import softgrad as sg
from benchmarks import peers as peer_libraries
from benchmarks import tables
from benchmarks.suites import InputError
from softgrad import _core
from softgrad.cli._commands._info import cpu_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.suites import Case, Record, Report, Suite

WIDTH = 100  # of the output unless it goes to a terminal


class SuiteName(StrEnum):
    """The modules of `benchmarks.suites`."""

    CORE = "core"
    CURVATURE = "curvature"
    ACCURACY = "accuracy"
    REGRESSION = "regression"
    TORCH = "torch"
    PARALLEL = "parallel"
    JAX = "jax"
    LOAD = "load"
    DASK = "dask"


def bench(
    suite: Annotated[
        SuiteName,
        typer.Option(
            help="core, curvature: speed; accuracy: errors in units in the last place; regression: fits beside "
            "scikit-learn; torch: softgrad.torch beside torch; parallel: softgrad.torch.parallel beside torch's "
            "loss_parallel; jax: softgrad.jax beside jax.nn; load: several threads beside one on a busy machine; dask: "
            "softgrad.dask beside memory and dask-ml. The last six take minutes."
        ),
    ] = SuiteName.CORE,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Timings of every variant, or draws of rows. (default: 20; curvature: 10; accuracy: 4; regression: 3; "
            "torch, parallel, jax: 12; load: 4; dask: 3)",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for softgrad and its peers alike. (default: softgrad's own)")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="FOLDER",
            help="For regression: fit the CSV tables of this folder. (default: synthetic ones)",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure softgrad beside torch, SciPy, JAX and scikit-learn, whichever are installed.

    Every result is compared with one in higher precision. The exit code is 1 if one is wrong, not if a goal is missed.
    """
    if data is not None and suite is not SuiteName.REGRESSION:
        raise InputError(f"--data is for --suite regression, not {suite}; leave it out")
    chosen = _load(suite)
    report = run(suite, chosen, rounds or chosen.rounds, threads or sg.get_num_threads(), data)
    if as_json:
        print(json.dumps(_without_nonfinite(report), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        console.print("\n".join(header(report, chosen)) + "\n", markup=False)
        console.print(chosen.table(report))
    problems = wrong_results(report["cases"])
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _load(name: SuiteName) -> Suite:
    try:
        suite: Suite = importlib.import_module(f"benchmarks.suites.{name}").SUITE
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"benchmarks", "softgrad"}:
            raise
        raise InputError(f"--suite {name}: {package} is not installed; write pip install '.[bench]'") from None
    return suite


def run(name: str, suite: Suite, rounds: int, threads: int, data: Path | None = None) -> Report:
    """Measure all cases of a suite."""
    options = {} if data is None else {"folder": data}
    with peer_libraries.loaded(suite.peers, threads) as peers:
        report = _environment(name, rounds, threads)
        report["versions"] |= peer_libraries.versions(peers)
        report["not_installed"] = peer_libraries.missing(suite.peers, peers)
        report["cases"] = _measure(suite.cases(peers, **options), rounds)
    if suite.summary is not None:
        report["summary"] = suite.summary(report["cases"])
    return report


def _environment(suite: str, rounds: int, threads: int) -> Report:
    return {
        "suite": str(suite),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_set": _core.instruction_set(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "rounds": rounds,
        "versions": {"Python": platform.python_version(), "softgrad": sg.__version__, "NumPy": np.__version__},
    }


def _measure(cases: Iterable[Case], rounds: int) -> list[Record]:
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    records = []
    # No refreshing thread: it would run while a variant is being timed.
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("preparing")
        for case in cases:

            def show(stage: str, title: str = case.title) -> None:
                progress.update(task, description=f"{title}, {stage}", refresh=True)

            records.append(case.measure(rounds, show))
    return records


def wrong_results(cases: list[Record]) -> list[str]:
    """Variants that were not timed because their result is wrong, bounds that softgrad breaks, and other problems."""
    refused = [
        f"{case['title']}: {variant['name']} is not timed, its result is {variant['refused']}"
        for case in cases
        for variant in case.get("variants", ())
        if variant["refused"]
    ]
    broken = [
        f"{case['title']}, {case['dtype']}: {function} of softgrad is {errors['softgrad']:.3g} ULP off"
        f" (allowed: {case['allowed_ulp']:g})"
        for case in cases
        for function, errors in case.get("largest_error_ulp", {}).items()
        if not errors["softgrad"] <= case["allowed_ulp"]
    ]
    others = [f"{case['title']}: {problem}" for case in cases for problem in case.get("problems", ())]
    return refused + broken + others


def header(report: Report, suite: Suite) -> list[str]:
    """The machine, the versions, and the suite's notes."""
    lines = [
        f"{report['cpu']}, {tables.counted(report['cpus'], 'CPU')}, {report['instruction_set']}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    if report["not_installed"]:
        lines.append(f"not installed: {', '.join(report['not_installed'])}")
    return lines + suite.notes(report)


def _without_nonfinite(value: Any) -> Any:
    """The same with null for numbers that JSON cannot hold: the error of a result with NaN."""
    if isinstance(value, dict):
        return {key: _without_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Run the command; bad input is one line and the exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # files get the tables' signs whatever the locale
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bench)
    try:
        app(prog_name="python -m benchmarks")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
