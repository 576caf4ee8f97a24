"""Figures and tables as text."""

import io

import pytest
from rich.console import Console

from benchmarks import tables


def printed(table):
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "text, expected",
    [
        (tables.seconds(4.7e-7), "0.470 µs"),
        (tables.seconds(0.0123), "12.3 ms"),
        (tables.seconds(2), "2.00 s"),
        (tables.span(4.7e-4, 0.032), "0.47 … 32 ms"),
        (tables.times(12), "12.0×"),
        (tables.times(0.834), "0.83×"),
        (tables.times(0), "0×"),
        (tables.ulp(0.5), "0.50"),
        (tables.ulp(99999), "99999"),
        (tables.ulp(1.6e7), "2e7"),
        (tables.ulp(float("inf")), "inf"),
        (tables.shape((512, 50257)), "512 × 50257"),
        (tables.counted(1, "round"), "1 round"),
        (tables.counted(2, "round"), "2 rounds"),
    ],
)
def test_figures(text, expected):
    assert text == expected


def variant(name, **changes):
    timed = {"median_s": 0.123, "min_s": 0.1, "max_s": 0.999, "ratio": None, "error_ulp": 1.0, "refused": None}
    return {"name": name, "what": "call"} | timed | changes


def goal(peer, text, reached):
    return {"peer": peer, "text": text, "reached": reached}


def test_speed_table_shows_times_errors_ratios_and_goals():
    variants = [
        variant("softgrad"),
        variant("torch", ratio=10.0),
        variant("one copy", ratio=0.5, error_ulp=None),
        variant("JAX", refused="1e-3 off", median_s=None),
        variant("SciPy", ratio=0.8),
    ]
    goals = [goal("torch", "≥ 5×", True), goal("one copy", "≤ 1.6×", False), goal("SciPy", "≥ 1×", None)]
    lines = printed(tables.speed_table([{"title": "loss, 2 × 3", "variants": variants, "goals": goals}])).splitlines()
    rows = [" ".join(line.split()) for line in lines[-6:]]
    assert rows == [
        "loss, 2 × 3",
        "softgrad 123 ms 100 … 1000 ms 1.00",
        "torch, call 123 ms 100 … 1000 ms 1.00 10.0× as fast ≥ 5× reached",
        "one copy, call 123 ms 100 … 1000 ms 2.00× its time ≤ 1.6× missed",
        "JAX, call refused 1.00",
        "SciPy, call 123 ms 100 … 1000 ms 1.00 0.80× as fast ≥ 1×",
    ]


def test_groups_are_apart():
    records = [{"title": f"work {i}", "variants": [variant("softgrad")], "goals": []} for i in range(2)]
    text = printed(tables.speed_table(records))
    assert [line.strip() for line in text.splitlines()][-3:-1] == ["", "work 1"]


@pytest.mark.parametrize("load, lines", [(0.9, 0), (1.1, 1), (None, 0)])
def test_busy_machine_is_told(load, lines):
    told = tables.load_warning({"load": load, "cpus": 2})
    assert len(told) == lines
    assert all("machine was busy before (load 1.1)" in line for line in told)


def test_goals_that_are_not_reached_are_named():
    goals = [
        {"name": name, "text": "≤ 5 B", "reached": reached}
        for name, reached in (("a", True), ("b", False), ("c", None))
    ]
    assert [str(line) for line in tables.goal_lines(goals)] == [
        "1 of 2 goals reached.",
        "Missed: b, ≤ 5 B",
        "Not measured: c, ≤ 5 B",
    ]
