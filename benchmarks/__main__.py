"""`python -m benchmarks`: speed and accuracy beside the peers, on this machine."""

from __future__ import annotations

import importlib
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
from rich import box
from rich.console import Console, Group
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import softgrad as sg
from benchmarks import peers as _bench_peers
from benchmarks.tables import seconds, span, times, ulp
from softgrad import _core
from softgrad.cli._info import cpu_model
from softgrad.cli._output import print_json
from softgrad.cli._terminal import say

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 100  # of the output where it goes to no terminal
LEAST_WORK = "one copy", "three GEMMs"  # variants that softgrad cannot beat: its time is given in theirs


class Suite(StrEnum):
    """What to measure: module `_bench_NAME`, with `cases(peers)`, its `PEERS`, and the default `ROUNDS`."""

    CORE = "core"
    CURVATURE = "curvature"
    ACCURACY = "accuracy"
    REGRESSION = "regression"
    TORCH = "torch"


SUMMARISED = Suite.REGRESSION, Suite.TORCH  # those with a `summary(records)`, and a `_table` of their own


def bench(
    suite: Annotated[
        Suite,
        typer.Option(
            help="core, curvature: speed; accuracy: errors in units in the last place; regression: fits, beside "
            "scikit-learn, in minutes; torch: softgrad.torch beside torch, in minutes."
        ),
    ] = Suite.CORE,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Timings of every variant, or draws of rows. (default: 20; curvature: 10; accuracy: 4; regression: 3; "
            "torch: 12)",
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

    Every result is compared with a reference in higher precision. The exit code is 1 if one is wrong; a
    goal that is missed does not change it.
    """
    if data is not None and suite is not Suite.REGRESSION:
        raise typer.BadParameter(f"--data is for --suite regression, not {suite}; leave it out")
    module = importlib.import_module(f"benchmarks.suites.{suite}")
    threads = threads or sg.get_num_threads()
    rounds = rounds or module.ROUNDS
    with _bench_peers.loaded(module.PEERS, threads) as peers:
        report = _environment(suite, rounds, threads, peers)
        report["not_installed"] = _bench_peers.missing(module.PEERS, peers)
        report["cases"] = _measure(module.cases(peers, **({} if data is None else {"folder": data})), rounds)
    if suite in SUMMARISED:
        report["summary"] = module.summary(report["cases"])
    problems = _problems(report["cases"])
    if as_json:
        print_json(_finite(report), indent=2)
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        console.print(_header(report))
        console.print(_shown(report))
    for problem in problems:
        say(f"python -m benchmarks: {problem}")
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

            def show(stage: str, title: str = case.title) -> None:
                progress.update(task, description=f"{title}, {stage}", refresh=True)

            records.append(case.measure(rounds, show))
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
    wrong = [f"{case['title']}: {problem}" for case in cases for problem in case.get("problems", ())]
    return refused + broken + wrong


def _environment(suite: Suite, rounds: int, threads: int, peers: dict[str, Any]) -> dict[str, Any]:
    versions = {"Python": platform.python_version(), "softgrad": sg.__version__, "NumPy": np.__version__}
    return {
        "suite": suite.value,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_set": _core.instruction_set(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "rounds": rounds,
        "versions": versions | _bench_peers.versions(peers),
    }


def _header(report: dict[str, Any]) -> Text:
    cpus = f"{report['cpus']} CPU{'' if report['cpus'] == 1 else 's'}"
    threads = f"{report['threads']} thread{'' if report['threads'] == 1 else 's'}"
    lines = [
        f"{report['cpu']}, {cpus}, {report['instruction_set']}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    if report["not_installed"]:
        lines.append(f"not installed: {', '.join(report['not_installed'])}")
    if report["suite"] == Suite.ACCURACY:
        lines += [
            "Largest error in ULP of the exact result, in rows of 10 and of 1000 classes.",
            "At most 0.5: correctly rounded. 1e7 in float32, 1e15 in float64: no digit is right.",
        ]
        if not any(case["dtype"] == "float64" for case in report["cases"]):
            lines.append("float64 is left out: long double is no wider on this platform.")
    elif report["suite"] == Suite.REGRESSION:
        lines += [
            f"fit() alone, C=1; {threads} for softgrad. How soon its coefficients are as",
            "good as those that scikit-learn ends with, by the objective computed in float64.",
            "gap: the objective's, to the optimum, relative.",
        ]
    elif report["suite"] == Suite.TORCH:
        lines += [
            f"float32 if nothing else is said; {threads} for softgrad and torch; gradients in new memory.",
            f"{report['rounds']} rounds in which the variants take turns (linear_cross_entropy: half of them);",
            "results checked against float64.",
        ]
    else:
        lines += [
            f"float32 if nothing else is said; {threads} for softgrad, torch and JAX; SciPy and the copy use one.",
            f"{report['rounds']} rounds in which the variants take turns; results checked against float64.",
        ]
    if report["suite"] != Suite.ACCURACY and report["load"] and report["load"] > report["cpus"] / 2:
        lines.append(f"The machine was busy before (load {report['load']:.1f}): the figures may be disturbed.")
    return Text("\n".join(lines) + "\n")


def _shown(report: dict[str, Any]) -> RenderableType:
    if report["suite"] == Suite.REGRESSION:
        from benchmarks.suites.regression import table as _table  # noqa: PLC0415

        return _table.shown(report)
    if report["suite"] == Suite.TORCH:
        from benchmarks.suites.torch import table as remainder  # noqa: PLC0415

        return Group(_speed_table([case for case in report["cases"] if "rounds" in case]), remainder.shown(report))
    return (_accuracy_table if report["suite"] == Suite.ACCURACY else _speed_table)(report["cases"])


def _speed_table(cases: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("work", no_wrap=True)
    for header in ("median", "min … max", "error\nULP", "softgrad is", "goal"):
        table.add_column(header, justify="right", no_wrap=True)
    for i, case in enumerate(cases):
        if i:
            table.add_row()
        table.add_row(Text(case["title"], style="bold"))
        for variant in case["variants"]:
            ours = variant["name"] == "softgrad"
            name = Text(
                "  softgrad" if ours else f"  {variant['name']}, {variant['what']}", style="cyan" if ours else ""
            )
            error = "" if variant["error_ulp"] is None else ulp(variant["error_ulp"])
            if variant["refused"]:
                table.add_row(name, Text("refused", style="red"), "", error)
                continue
            goal = next((goal for goal in case["goals"] if goal["peer"] == variant["name"]), None)
            table.add_row(
                name,
                seconds(variant["median_s"]),
                span(variant["min_s"], variant["max_s"]),
                error,
                _comparison(variant),
                _goal(goal) if goal else "",
            )
    return table


def _comparison(variant: dict[str, Any]) -> str:
    if variant["ratio"] is None:
        return ""
    ratio, words = variant["ratio"], "as fast"
    if variant["name"] in LEAST_WORK:
        ratio, words = 1 / ratio, "its time"
    return f"{times(ratio)} {words}"


def _goal(goal: dict[str, Any]) -> Text:
    words = {True: ("reached", "green"), False: ("missed ", "red"), None: ("       ", "")}
    return Text.assemble(goal["text"], " ", words[goal["reached"]])


def _accuracy_table(cases: list[dict[str, Any]]) -> Table:
    libraries = list(next(iter(cases[0]["largest_error_ulp"].values())))
    dtypes = sorted({case["dtype"] for case in cases})
    titles = list(dict.fromkeys(case["title"] for case in cases))
    errors = {(case["title"], case["dtype"]): case for case in cases}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("rows")
    for dtype in dtypes:
        for library in libraries:
            table.add_column(f"{library}\n{dtype}", justify="right")
    for i, function in enumerate(cases[0]["largest_error_ulp"]):
        if i:
            table.add_row()
        table.add_row(Text(function, style="bold"))
        for title in titles:
            cells = []
            for dtype in dtypes:
                case = errors[title, dtype]
                for library in libraries:
                    error = case["largest_error_ulp"][function][library]
                    ours = library == "softgrad"
                    style = "" if not ours else "green" if error <= case["allowed_ulp"] else "red"
                    cells.append(Text(ulp(error), style=style))
            table.add_row(f"  {title}", *cells)
    return table


if __name__ == "__main__":
    typer.run(bench)
