"""Figures as text, and the tables that the suites share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

LEAST_WORK = "one copy", "three GEMMs", "x + 1"  # variants that softgrad cannot beat: its time is given in theirs


def seconds(value: float) -> str:
    """A time, three digits, in the unit that suits it."""
    factor, name = _unit(value)
    return f"{digits(value * factor, 3)} {name}"


def span(least: float, most: float) -> str:
    """Two times in the larger one's unit."""
    factor, name = _unit(most)
    return f"{digits(least * factor, 2)} … {digits(most * factor, 2)} {name}"


def times(ratio: float) -> str:
    """A ratio: 12.0×, 0.83×."""
    return f"{digits(ratio, 3 if ratio >= 1 else 2)}×"


def digits(value: float, count: int) -> str:
    """That many significant digits, zeros at the end included, never in exponential form."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{count - 1}e}")
    return f"{rounded:.{max(0, count - 1 - math.floor(math.log10(rounded)))}f}"


def ulp(error: float) -> str:
    """An error in units in the last place."""
    if error < 9.995:
        return f"{error:.2f}"
    return f"{error:.0f}" if error < 99999.5 else f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


def size(count: int) -> str:
    """A number of bytes with its unit."""
    factor, unit = (1e9, "GB") if count >= 1e9 else (1e6, "MB") if count >= 1e6 else (1e3, "kB")
    return f"{digits(count / factor, 3)} {unit}"


def shape(sizes: Sequence[int]) -> str:
    """Sizes of axes: 512 × 50257."""
    return " × ".join(map(str, sizes))


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 thread, 2 threads."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def new_table(first: str, *others: str) -> Table:
    """A table whose first column holds text and the others figures."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def add_heading(table: Table, title: str, *cells: RenderableType) -> None:
    """Begin a group of rows."""
    if table.row_count:
        table.add_row()
    table.add_row(Text(title, style="bold"), *cells)


def goal_cell(goal: dict[str, Any] | None) -> Text:
    """A goal, and whether it is reached; as wide as the others where nothing was measured."""
    if goal is None:
        return Text()
    return Text.assemble(goal["text"], " ", reached(goal))


def reached(goal: dict[str, Any]) -> Text:
    """Whether a goal is reached, as a word of constant width."""
    words = {True: ("reached", "green"), False: ("missed ", "red"), None: ("       ", "")}
    return Text(*words[goal["reached"]])


def goal_lines(goals: list[dict[str, Any]]) -> list[Text]:
    """The number of goals reached, and the others by name."""
    judged = [goal for goal in goals if goal["reached"] is not None]
    reached = sum(goal["reached"] for goal in judged)
    lines = [f"{reached} of {len(judged)} goals reached."]
    lines += [f"Missed: {goal['name']}, {goal['text']}" for goal in judged if not goal["reached"]]
    lines += [f"Not measured: {goal['name']}, {goal['text']}" for goal in goals if goal["reached"] is None]
    return [Text(line) for line in lines]


def speed_table(records: list[dict[str, Any]]) -> Table:
    """The times, errors, ratios and goals of timed cases."""
    table = new_table("work", "median", "min … max", "error\nULP", "softgrad is", "goal")
    for record in records:
        add_heading(table, record["title"])
        goals = {goal["peer"]: goal for goal in record["goals"]}
        for variant in record["variants"]:
            error = "" if variant["error_ulp"] is None else ulp(variant["error_ulp"])
            if variant["refused"]:
                table.add_row(_variant_name(variant), Text("refused", style="red"), "", error)
                continue
            table.add_row(
                _variant_name(variant),
                seconds(variant["median_s"]),
                span(variant["min_s"], variant["max_s"]),
                error,
                _comparison(variant),
                goal_cell(goals.get(variant["name"])),
            )
    return table


def memory_table(records: list[dict[str, Any]]) -> Table:
    """The peaks of records that measure memory, and their goals."""
    result = new_table("peak above what the process holds before", "", "in gradients", "goal")
    for record in records:
        add_heading(result, record["title"], "" if record["variants"] else "not told by this system")
        for variant in record["variants"]:
            result.add_row(
                library_name(variant["name"]),
                f"{digits(max(variant['peak_bytes'] / 2**20, 0.1), 3)} MiB",
                times(max(variant["peak_bytes"] / record["gradient_bytes"], 0.01)),
                goal_cell(record["goals"][0] if variant["name"] == "softgrad" else None),
            )
    return result


def library_name(name: str, suffix: str = "") -> Text:
    """The indented name of a library; softgrad's stands out."""
    return Text("  softgrad", style="cyan") if name == "softgrad" else Text(f"  {name}{suffix}")


def load_warning(report: dict[str, Any]) -> list[str]:
    """A line if the machine was busy when the run began."""
    if not report["load"] or report["load"] <= report["cpus"] / 2:
        return []
    return [f"The machine was busy before (load {report['load']:.1f}): the figures may be disturbed."]


def _variant_name(variant: dict[str, Any]) -> Text:
    return library_name(variant["name"], f", {variant['what']}")


def _comparison(variant: dict[str, Any]) -> str:
    if variant["ratio"] is None:
        return ""
    if variant["name"] in LEAST_WORK:
        return f"{times(1 / variant['ratio'])} its time"
    return f"{times(variant['ratio'])} as fast"


def _unit(value: float) -> tuple[float, str]:
    """The number of units in a second, and the unit's name."""
    return (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
