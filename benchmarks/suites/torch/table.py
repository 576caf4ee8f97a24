"""What people see of the suite beside the table of times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.tables import digits, times

if TYPE_CHECKING:
    from rich.console import RenderableType


def shown(report: dict[str, Any]) -> RenderableType:
    """The memory, and which goals are reached."""
    memory = [record for record in report["cases"] if "gradient_bytes" in record]
    return Group("", _memory(memory), "", *_goals(report["summary"]["goals"]))


def _memory(records: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("peak above what the process holds before", no_wrap=True)
    for header in ("", "in gradients", "goal"):
        table.add_column(header, justify="right", no_wrap=True)
    for i, record in enumerate(records):
        if i:
            table.add_row()
        table.add_row(Text(record["title"], style="bold"), "" if record["variants"] else "not told by this system")
        for variant in record["variants"]:
            ours = variant["name"] == "softgrad"
            table.add_row(
                Text(f"  {variant['name']}", style="cyan" if ours else ""),
                f"{digits(max(variant['peak_bytes'] / 2**20, 0.1), 3)} MiB",
                times(max(variant["peak_bytes"] / record["gradient_bytes"], 0.01)),
                _verdict(record["goals"][0]) if ours else "",
            )
    return table


def _verdict(goal: dict[str, Any]) -> Text:
    word, style = ("reached", "green") if goal["reached"] else ("missed ", "red")
    return Text.assemble(goal["text"], " ", (word, style))


def _goals(goals: list[dict[str, Any]]) -> list[RenderableType]:
    judged = [goal for goal in goals if goal["reached"] is not None]
    reached = sum(goal["reached"] for goal in judged)
    lines: list[RenderableType] = [Text(f"{reached} of {len(judged)} goals reached.")]
    lines += [Text(f"Missed: {goal['name']}, {goal['text']}") for goal in judged if not goal["reached"]]
    lines += [Text(f"Not measured: {goal['name']}, {goal['text']}") for goal in goals if goal["reached"] is None]
    return lines
