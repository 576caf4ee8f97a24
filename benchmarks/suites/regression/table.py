"""The table of fits, and a line for every goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks import tables
from benchmarks.suites.regression.fits import MOST_ITERATIONS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmarks.suites import Record, Report


def table(report: Report) -> RenderableType:
    """Fits, goals and remarks."""
    fits = [record for record in report["cases"] if "peers" in record]
    return Group(fit_table(fits), "", _goals(report), *_remarks(fits))


def fit_table(records: list[Record]) -> Table:
    """Two lines for every data set, and for every peer after the first."""
    result = tables.new_table(
        "data\nN × D × classes",
        "scikit-learn\nsteps, gap",
        "softgrad\nas good",
        "faster",
        "to a gap\nof 1e-8",
        "whole\nfit",
    )
    for record in records:
        if result.row_count:
            result.add_row()
        first, *others = record["peers"]
        result.add_row(
            Text.assemble((record["title"], "bold"), "\n", tables.shape(record["shape"])),
            *_against(first),
            _run(record["to_gap"]),
            _run(record["whole_fit"]),
        )
        for peer in others:
            result.add_row(f"  {peer['name']}", *_against(peer))
    return result


def _against(peer: dict[str, Any]) -> tuple[RenderableType, ...]:
    theirs = Text.assemble(tables.seconds(peer["median_s"]), (f"\n{peer['iterations']}, {peer['gap']:.0e}", "dim"))
    return theirs, _run(peer["softgrad"]), "" if peer["ratio"] is None else tables.times(peer["ratio"])


def _run(run: dict[str, Any] | None) -> Text:
    if run is None:
        return Text("not reached", style="red")
    return Text.assemble((tables.seconds(run["median_s"]), "cyan"), (f"\n{run['passes']:.0f} passes", "dim"))


def _goals(report: Report) -> Table:
    lines = {
        "geometric mean": "faster than scikit-learn, geometric mean",
        "slowest": "the data set with the least advantage",
        "images": "the images",
    }
    for record in report["cases"]:
        if "reads" in record:
            run, read = tables.seconds(record["pass_s"]), tables.seconds(record["read_s"])
            lines["pass"] = f"one pass over the images ({run}), in reads ({read})"
        if record.get("peak_bytes") is not None:
            peak, x = _megabytes(record["peak_bytes"]), _megabytes(record["x_bytes"])
            lines["memory"] = f"peak memory above X ({peak}), in X ({x})"
    result = Table.grid(padding=(0, 2, 0, 0))
    for goal in report["summary"]["goals"]:
        value = Text(tables.times(goal["value"]), style="bold")
        result.add_row(lines[goal["name"]], value, goal["text"], tables.reached(goal))
    return result


def _megabytes(size: int) -> str:
    return f"{tables.digits(size / 1e6, 3)} MB"


def _remarks(records: list[Record]) -> list[str]:
    stopped = [record["title"] for record in records for peer in record["peers"] if not peer["converged"]]
    remarks = [f"Stopped by max_iter={MOST_ITERATIONS}: {', '.join(dict.fromkeys(stopped))}."] if stopped else []
    threads = sorted({peer["threads"] for record in records for peer in record["peers"]})
    if threads:
        counts = " or ".join(map(str, threads))
        remarks.append(f"BLAS threads of scikit-learn: {counts}, whichever won a short trial.")
    return ["", *remarks] if remarks else []
