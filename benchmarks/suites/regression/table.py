"""What people see of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.tables import digits, seconds, times

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINES = {
    "geometric mean": "faster than scikit-learn, geometric mean",
    "slowest": "the data set with the least advantage",
    "images": "the images",
}


def shown(report: dict[str, Any]) -> RenderableType:
    """The table of fits, and a line for every goal."""
    fits = [record for record in report["cases"] if "peers" in record]
    return Group(_fits(fits), "", _goals(report), *_remarks(fits))


def _fits(records: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("data\nN × D × classes", no_wrap=True)
    for header in (
        "scikit-learn\nsteps, gap",
        "softgrad\nas good",
        "faster",
        "to a gap\nof 1e-8",
        "whole\nfit",
    ):
        table.add_column(header, justify="right", no_wrap=True)
    for i, record in enumerate(records):
        if i:
            table.add_row()
        first, *others = record["peers"]
        table.add_row(
            Text.assemble((record["title"], "bold"), "\n", _shape(record)),
            _peer(first),
            _run(first["softgrad"]),
            _ratio(first),
            _run(record["to_gap"]),
            _run(record["whole_fit"]),
        )
        for peer in others:
            table.add_row(Text(f"  {peer['name']}"), _peer(peer), _run(peer["softgrad"]), _ratio(peer))
    return table


def _shape(record: dict[str, Any]) -> str:
    return " × ".join(str(size) for size in record["shape"])


def _peer(peer: dict[str, Any]) -> Text:
    return Text.assemble(seconds(peer["median_s"]), (f"\n{peer['iterations']}, {peer['gap']:.0e}", "dim"))


def _run(run: dict[str, Any] | None) -> Text:
    if run is None:
        return Text("not reached", style="red")
    return Text.assemble((seconds(run["median_s"]), "cyan"), (f"\n{run['passes']:.0f} passes", "dim"))


def _ratio(peer: dict[str, Any]) -> str:
    return "" if peer["ratio"] is None else times(peer["ratio"])


def _goals(report: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    figures = {"pass": _pass_line, "memory": _memory_line}
    records = {record["title"].partition(",")[0]: record for record in report["cases"] if "peers" not in record}
    for goal in report["summary"]["goals"]:
        name = goal["name"]
        line = figures[name](records["one pass" if name == "pass" else name]) if name in figures else _LINES[name]
        verdict = Text("reached", style="green") if goal["reached"] else Text("missed", style="red")
        table.add_row(line, Text(times(goal["value"]), style="bold"), goal["text"], verdict)
    return table


def _pass_line(record: dict[str, Any]) -> str:
    return f"one pass over the images ({seconds(record['pass_s'])}), in reads ({seconds(record['read_s'])})"


def _memory_line(record: dict[str, Any]) -> str:
    return f"peak memory above X ({_megabytes(record['peak_bytes'])}), in X ({_megabytes(record['x_bytes'])})"


def _megabytes(size: int) -> str:
    return f"{digits(size / 1e6, 3)} MB" if size else "0 MB"


def _remarks(records: list[dict[str, Any]]) -> list[str]:
    peers = [peer for record in records for peer in record["peers"]]
    stopped = [record["title"] for record in records for peer in record["peers"] if not peer["converged"]]
    remarks = [] if not stopped else [f"Stopped by max_iter=10000: {', '.join(dict.fromkeys(stopped))}."]
    threads = sorted({peer["threads"] for peer in peers})
    if threads:
        counts = " or ".join(map(str, threads))
        remarks.append(f"BLAS threads of scikit-learn: {counts}, whichever won a short trial.")
    return ["", *remarks] if remarks else []
