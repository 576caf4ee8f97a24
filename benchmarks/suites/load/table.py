"""The tables: single calls under load, calls at once, and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from benchmarks import tables
from benchmarks.suites.load.calls import LOADS, MOST

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from benchmarks.suites import Record, Report


def table(report: Report) -> RenderableType:
    """The three tables, and the goals that are missed."""
    records = report["cases"]
    calls = [record for record in records if "variants" in record]
    at_once = [record for record in records if "callers" in record]
    sizes = [record for record in records if "sizes" in record]
    parts = [calls_table(calls), *map(at_once_table, at_once), sizes_table(sizes, report["threads"])]
    spaced = [line for part in parts for line in (part, "")]
    return Group(*spaced, *tables.goal_lines(report["summary"]["goals"]))


def calls_table(records: list[Record]) -> Table:
    """Medians, and the ratios of medians and of 95th percentiles to those of one thread."""
    quiet = "quiet\nmedian", "\nratio", "p95\nratio"
    busy = "busy\nmedian", f"ratio\n≤ {MOST['median']:g}×", f"p95 ratio\n≤ {MOST['p95']:g}×"
    result = tables.new_table("work", *quiet, *busy)
    for record in records:
        tables.add_heading(result, record["title"])
        for variant in record["variants"]:
            if variant["refused"]:
                result.add_row(_name(variant), Text("refused", style="red"))
            else:
                result.add_row(_name(variant), *(cell for load in LOADS for cell in _cells(variant, load)))
    return result


def at_once_table(record: Record) -> Table:
    """Calls per second, and their ratios to those of fewer Python threads."""
    numbers = [callers["python_threads"] for callers in record["callers"]]
    result = tables.new_table(record["title"], "calls per second", *(f"ratio to {n}" for n in numbers[:-1]))
    for callers in record["callers"]:
        ratios = (_ratio(callers["ratios"][n]) if n in callers["ratios"] else "" for n in numbers[:-1])
        result.add_row(f"  {callers['name']}", f"{callers['calls_per_second']:.0f}", *ratios)
    return result


def sizes_table(records: list[Record], threads: int) -> Table:
    """The ratios of several threads to one, with a column for each size."""
    elements = sorted({size["elements"] for record in records for size in record["sizes"]})
    result = tables.new_table(f"time on {threads} threads / on 1; elements:", *map(str, elements))
    for record in records:
        tables.add_heading(result, record["title"])
        of_size = {size["elements"]: size for size in record["sizes"]}
        for name, key in (
            ("back to back", "back_to_back"),
            (f"after pauses of {1e3 * record['pause_s']:g} ms", "after_a_pause"),
        ):
            result.add_row(f"  {name}", *(_ratio(of_size[n][key]) if n in of_size else "" for n in elements))
    return result


def _name(variant: dict[str, Any]) -> Text:
    return Text(f"  {variant['name']}", style="cyan" if variant["threads"] > 1 else "")


def _cells(variant: dict[str, Any], load: str) -> list[RenderableType]:
    figures = variant[load]
    if variant["name"] == "1 thread":
        return [tables.seconds(figures["median_s"]), "", ""]
    judged = load == "busy" and variant["threads"] > 1
    styles = {n: ("green" if figures[f"{n}_ratio"] <= MOST[n] else "red") if judged else "" for n in MOST}
    return [tables.seconds(figures["median_s"]), *(Text(_ratio(figures[f"{n}_ratio"]), styles[n]) for n in MOST)]


def _ratio(value: float) -> str:
    return f"{value:.2f}×"
