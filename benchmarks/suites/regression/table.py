"""The table of fits, and a line for every goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks import tables
from benchmarks.suites.regression.fits import MOST_ITERATIONS
from benchmarks.suites.regression.serial_share import THREADS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmarks.suites import Record, Report


_FITS_IN_A_TABLE = 3  # of pieces, 100 columns wide


def table(report: Report) -> RenderableType:
    """Fits, pieces of fits, goals and remarks."""
    fits = [record for record in report["cases"] if "peers" in record]
    shares = [record for record in report["cases"] if "serial_share" in record]
    pieces: list[RenderableType] = []
    for i in range(0, len(shares), _FITS_IN_A_TABLE):
        pieces += [piece_table(shares[i : i + _FITS_IN_A_TABLE]), ""]
    return Group(fit_table(fits), "", *pieces, _goals(report), *_remarks(fits))


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


def piece_table(records: list[Record]) -> Table:
    """The pieces of fits on one thread: their share of the time, and the part of it that is serial."""
    result = tables.new_table("fit on one thread\nshare, serial", *(record["data"] for record in records))
    totals = {record["data"]: record["fit_s"] for record in records}
    pieces = dict.fromkeys(piece["name"] for record in records for piece in record["pieces"])
    by_name = {(record["data"], piece["name"]): piece for record in records for piece in record["pieces"]}
    for name in sorted(pieces, key=lambda name: -max(_seconds(by_name.get((data, name))) for data in totals)):
        result.add_row(name, *(_share(by_name.get((data, name)), total) for data, total in totals.items()))
    result.add_row()
    cells = (f"{tables.seconds(record['fit_s'])}, {_percent(record['serial_share'])}" for record in records)
    result.add_row("all", *cells)
    for threads in THREADS:
        result.add_row(
            f"allows with {threads} threads", *(tables.times(record["speed_up"][str(threads)]) for record in records)
        )
    return result


def _seconds(piece: dict[str, Any] | None) -> float:
    return 0.0 if piece is None else float(piece["serial_s"] + piece["shared_s"])


def _share(piece: dict[str, Any] | None, total: float) -> str:
    return "" if piece is None else f"{_percent(_seconds(piece) / total)}, {_percent(piece['serial_s'] / total)}"


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} %"


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
        "serial": "the largest serial share of a fit",
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
        value = Text(_percent(goal["value"]) if goal["name"] == "serial" else tables.times(goal["value"]), style="bold")
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
