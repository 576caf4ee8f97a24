"""`softgrad bench`: speed and accuracy beside the peers, on this machine."""

from __future__ import annotations

import importlib
import json
import math
import os
import platform
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import softgrad as sg
from softgrad import _core
from softgrad.cli import _bench_peers

WIDTH = 100  # of the output where it goes to no terminal


class Suite(StrEnum):
    """What to measure: module `_bench_NAME`, with `cases(peers)` and the default `ROUNDS`."""

    CORE = "core"
    ACCURACY = "accuracy"


def bench(
    suite: Annotated[
        Suite, typer.Option(help="core: speed; accuracy: errors in units in the last place.")
    ] = Suite.CORE,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Timings of every variant, or draws of rows. [default: 20; accuracy: 4]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for softgrad and its peers alike. [default: softgrad's]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure softgrad beside torch, SciPy and JAX, whichever are installed.

    Every result is compared with a reference in higher precision before anything is timed. The exit
    code is 1 if one is wrong; a goal that is missed does not change it.
    """
    module = importlib.import_module(f"softgrad.cli._bench_{suite}")
    threads = threads or sg.get_num_threads()
    rounds = rounds or module.ROUNDS
    with _bench_peers.loaded(threads) as peers:
        report = _environment(suite, rounds, threads, peers)
        report["cases"] = _measure(module.cases(peers), rounds)
    problems = _problems(report["cases"])
    if as_json:
        print(json.dumps(_finite(report), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        console.print(_header(report))
        console.print(_accuracy_table(report["cases"]) if suite is Suite.ACCURACY else _speed_table(report["cases"]))
    for problem in problems:
        print(f"softgrad bench: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _measure(cases: Any, rounds: int) -> list[dict[str, Any]]:
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    records = []
    # No refreshing thread: it would run while a variant is being timed.
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("preparing")
        for case in cases:
            done = iter(range(1, rounds + 1))

            def advance(title: str = case.title, done: Any = done) -> None:
                progress.update(task, description=f"{title}, round {next(done)} of {rounds}", refresh=True)

            progress.update(task, description=f"{case.title}, checking", refresh=True)
            records.append(case.measure(rounds, advance))
    return records


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON cannot hold: the error of a result with NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _problems(cases: list[dict[str, Any]]) -> list[str]:
    """Results that are wrong: variants that were not timed for it, and bounds that softgrad breaks."""
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
    return refused + broken


def _environment(suite: Suite, rounds: int, threads: int, peers: dict[str, Any]) -> dict[str, Any]:
    versions = {"Python": platform.python_version(), "softgrad": sg.__version__, "NumPy": np.__version__}
    return {
        "suite": suite.value,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_set": _core.instruction_set(),
        "threads": threads,
        "rounds": rounds,
        "versions": versions | _bench_peers.versions(peers),
        "not_installed": _bench_peers.missing(peers),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _header(report: dict[str, Any]) -> Text:
    lines = [
        f"{report['cpu']}, {report['cpus']} CPU{'' if report['cpus'] == 1 else 's'}; {report['threads']} "
        f"thread{'' if report['threads'] == 1 else 's'} for every library; softgrad uses {report['instruction_set']}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    if report["not_installed"]:
        lines.append(f"not installed: {', '.join(report['not_installed'])}")
    if report["suite"] == Suite.ACCURACY:
        lines.append(
            "largest error in ULP of the exact result, rows of 10 and 1000 classes; correctly rounded is 0.5,"
            " no digit right is 1e7 (float32), 1e15 (float64)"
        )
    else:
        lines.append(
            f"float32, {report['rounds']} rounds, variants by turns; results checked against float64 first;"
            " ratio: median over the rounds"
        )
    return Text("\n".join(lines))


def _speed_table(cases: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("work")
    table.add_column("median", justify="right")
    table.add_column("fastest … slowest", justify="right")
    table.add_column("error\nULP", justify="right")
    table.add_column("softgrad is", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for case in cases:
        table.add_row(Text(case["title"], style="bold"))
        for variant in case["variants"]:
            ours = variant["name"] == "softgrad"
            name = Text(f"  {variant['name']}, {variant['what']}", style="cyan" if ours else "")
            error = "" if variant["error_ulp"] is None else _ulp(variant["error_ulp"])
            if variant["refused"]:
                table.add_row(name, Text("refused", style="red"), "", error)
                continue
            goal = next((goal for goal in case["goals"] if goal["peer"] == variant["name"]), None)
            table.add_row(
                name,
                _seconds(variant["median_s"]),
                f"{_seconds(variant['min_s'], unit=False)} … {_seconds(variant['max_s'])}",
                error,
                _comparison(variant),
                goal["text"] if goal else "",
                _mark(goal["reached"]) if goal else "",
            )
        table.add_row()
    return table


def _comparison(variant: dict[str, Any]) -> str:
    if variant["ratio"] is None:
        return ""
    if variant["name"] == "one copy":
        return f"{1 / variant['ratio']:.2f}× its time"
    return f"{variant['ratio']:.3g}× as fast"


def _mark(reached: bool | None) -> Text:
    if reached is None:
        return Text("")
    return Text("reached", style="green") if reached else Text("missed", style="red")


def _seconds(seconds: float, unit: bool = True) -> str:
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        value = seconds * factor
        if value >= 1 or name == "µs":
            break
    digits = max(0, 2 - int(np.floor(np.log10(value)))) if value < 100 else 0
    return f"{value:.{digits}f}{f' {name}' if unit else ''}"


def _ulp(error: float) -> str:
    if error < 9.995:
        return f"{error:.2f}"
    return f"{error:.0f}" if error < 99999.5 else f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


def _accuracy_table(cases: list[dict[str, Any]]) -> Table:
    libraries = list(next(iter(cases[0]["largest_error_ulp"].values())))
    dtypes = sorted({case["dtype"] for case in cases})
    titles = list(dict.fromkeys(case["title"] for case in cases))
    errors = {(case["title"], case["dtype"]): case for case in cases}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rows")
    for dtype in dtypes:
        for library in libraries:
            table.add_column(f"{library}\n{dtype}", justify="right")
    for function in cases[0]["largest_error_ulp"]:
        table.add_row(Text(function, style="bold"))
        for title in titles:
            cells = []
            for dtype in dtypes:
                case = errors[title, dtype]
                for library in libraries:
                    error = case["largest_error_ulp"][function][library]
                    ours = library == "softgrad"
                    style = "" if not ours else "green" if error <= case["allowed_ulp"] else "red"
                    cells.append(Text(_ulp(error), style=style))
            table.add_row(f"  {title}", *cells)
        table.add_row()
    return table
