"""The summary and the table of suites that measure times and peaks of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group

from benchmarks import tables

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmarks.suites import Record, Report


def summary(records: list[Record]) -> dict[str, Any]:
    """Every goal of the records, and whether it is reached; None where the system does not tell."""
    goals = []
    for record in records:
        measured = {way["name"]: way.get("ratio", way.get("peak_bytes")) for way in record.get("variants", ())}
        for goal in record["goals"]:
            value = measured.get(goal["peer"])
            name = f"{record['title']}: {goal['peer']}"
            goals.append({"name": name, "value": value, "text": goal["text"], "reached": goal["reached"]})
    return {"goals": goals}


def table(report: Report) -> RenderableType:
    """Times, memory, and the goals that are missed."""
    speed = [record for record in report["cases"] if "rounds" in record]
    peaks = [record for record in report["cases"] if "gradient_bytes" in record]
    return Group(
        tables.speed_table(speed), "", tables.memory_table(peaks), "", *tables.goal_lines(report["summary"]["goals"])
    )
