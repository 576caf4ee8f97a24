"""Several threads beside one: ratios, goals, wrong results, and the process that keeps a core busy."""

import dataclasses
import functools
import io
import json
import subprocess
from contextlib import nullcontext

import numpy as np
import pytest
from rich.console import Console

import softgrad as sg
from benchmarks import busy_core
from benchmarks.__main__ import header, run, wrong_results
from benchmarks.suites import InputError, load
from benchmarks.suites.load import calls, python_threads, sizes
from benchmarks.suites.load.calls import LoadCase
from benchmarks.suites.load.python_threads import PythonThreadsCase
from benchmarks.suites.load.sizes import SizesCase
from benchmarks.suites.load.table import table
from benchmarks.suites.load.work import Work

SHRUNK = dataclasses.replace(load.SUITE, cases=functools.partial(load.cases, shrink=1000))
RIGHT = Work("work", (2, 3), lambda: (np.ones(2), 0.5))
WRONG = Work("work", (2, 3), lambda: (np.ones(2), float(sg.get_num_threads())))


def printed(report):
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print(table(report))
    return console.file.getvalue()


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    for module, name in (calls, "BLOCK"), (python_threads, "BLOCK"), (sizes, "BLOCK"), (sizes, "BLOCK_WITH_PAUSES"):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(sizes, "PAUSE", 1e-4)


@pytest.fixture(autouse=True)
def _threads(threads):
    threads(2)


def test_report_holds_all_work_and_fits_100_columns(monkeypatch):
    monkeypatch.setitem(calls.LOADS, "busy", nullcontext)
    report = run("load", SHRUNK, rounds=1, threads=2)
    *single, at_once, _, _, _, last = report["cases"]
    assert [record["title"] for record in single] == [
        "loss + gradient, 2 × 1000",
        "loss + gradient, 65 × 10",
        "loss + gradient, 2 × 50257",
        "softmax, 2 × 1000",
        "Hessian · v, 2 × 1000",
        "fit, 5 iterations, 20 × 16 × 26",
        "fit, 2 iterations, 60 × 784 × 10",
    ]
    for record in single:
        assert [(variant["name"], variant["threads"]) for variant in record["variants"]] == [
            ("1 thread", 1), ("1 thread again", 1), ("2 threads", 2),
        ]  # fmt: skip
        for variant in record["variants"]:
            assert variant["refused"] is None
            assert variant["quiet"]["calls"] == variant["busy"]["calls"] == 1
    assert [callers["python_threads"] for callers in at_once["callers"]] == [1, 2, 16]
    assert [size["elements"] for size in last["sizes"]] == [2**k for k in range(13, 19)]
    assert wrong_results(report["cases"]) == []
    assert [goal["name"] for goal in report["summary"]["goals"][-3:]] == [
        "fit, 2 iterations, 60 × 784 × 10: busy median",
        "fit, 2 iterations, 60 × 784 × 10: busy p95",
        "at once: loss + gradient, 2 × 1000: 16 Python threads beside 2",
    ]
    json.dumps(report, allow_nan=False)
    assert "…" not in printed(report)
    assert max(map(len, header(report, load.SUITE))) <= 100


def test_one_thread_is_refused():
    with pytest.raises(InputError, match="write --threads 2 or more"):
        run("load", SHRUNK, rounds=1, threads=1)


def test_ratios_are_quotients_of_medians_and_of_95th_percentiles():
    one, several = 100 * [1.0], 50 * [0.5] + 44 * [0.7] + 6 * [4.0]
    first, second = calls.compared([one, several])
    assert first == {"calls": 100, "median_s": 1, "p95_s": 1, "median_ratio": 1, "p95_ratio": 1}
    assert second == pytest.approx({"calls": 100, "median_s": 0.6, "p95_s": 4, "median_ratio": 0.6, "p95_ratio": 4})
    assert calls.compared([several, one])[1]["median_ratio"] == pytest.approx(1 / 0.6)


def test_goals_are_those_with_one_core_busy():
    quiet, busy = ({"median_ratio": median, "p95_ratio": p95} for median, p95 in [(9, 9), (1.1, 1.51)])
    assert calls.goals({"quiet": quiet, "busy": busy}) == [
        {"name": "busy median", "value": 1.1, "text": "≤ 1.1×", "reached": True},
        {"name": "busy p95", "value": 1.51, "text": "≤ 1.5×", "reached": False},
    ]
    assert [goal["reached"] for goal in calls.goals({"refused": "wrong"})] == [None, None]


def test_blocks_use_the_threads_of_their_variant(measured):
    seen = []
    work = Work("work", (2, 3), lambda: (seen.append(sg.get_num_threads()),))
    measured(LoadCase(work, 3))
    assert seen[-6:] == [1, 1, 3, 1, 1, 3]


def test_result_with_other_bits_is_refused_and_not_timed(measured):
    record = measured(LoadCase(WRONG, 2))
    assert [variant["refused"] is None for variant in record["variants"]] == [True, True, False]
    assert "quiet" not in record["variants"][2]
    assert [goal["reached"] for goal in record["goals"]] == [None, None]
    reason = "its result is not bit-equal to that of one thread"
    sized = measured(SizesCase("sizes", {4: RIGHT, 6: WRONG}, 2))
    assert [size["elements"] for size in sized["sizes"]] == [4]
    at_once = measured(PythonThreadsCase([RIGHT] * 15 + [WRONG], 2))
    assert wrong_results([record, sized, at_once]) == [
        f"work, 2 × 3: 2 threads is not timed, {reason}",
        f"sizes: work, 2 × 3 is not timed, {reason}",
        "at once: work, 2 × 3: with 16 Python threads a result is not bit-equal to that of one thread",
    ]
    report = {"threads": 2, "cases": [record, sized, at_once], "summary": load.summary([record])}
    assert "refused" in printed(report)


def test_ratios_of_calls_per_second_are_medians_over_rounds(monkeypatch, measured):
    rates = [[1.0, 10.0, 2.0], [2.0, 10.0, 5.0], [2.0, 9.0, 4.0]]
    monkeypatch.setattr(python_threads, "in_turns", lambda *_: rates)
    record = measured(PythonThreadsCase([RIGHT] * 16, 2))
    assert [(callers["calls_per_second"], callers["ratios"]) for callers in record["callers"]] == [
        (2, {}), (5, {1: 2}), (4, {1: 2, 2: 0.9}),
    ]  # fmt: skip
    assert [(goal["value"], goal["reached"]) for goal in record["goals"]] == [(0.9, False)]


def test_ratios_of_sizes_are_quotients_of_medians(monkeypatch, measured):
    monkeypatch.setattr(sizes, "in_turns", lambda *_: [[2.0, 2.0, 9.0], [1.0, 3.0, 1.0]])
    (size,) = measured(SizesCase("sizes", {4: RIGHT}, 2))["sizes"]
    assert (size["back_to_back"], size["after_a_pause"]) == (0.5, 0.5)


def test_busy_process_is_stopped_when_a_call_raises(monkeypatch, measured):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    def interrupted():
        if started:
            raise KeyboardInterrupt
        return (0,)

    monkeypatch.setattr(busy_core.subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        measured(LoadCase(Work("work", (2, 3), interrupted), 2))
    (process,) = started
    assert process.returncode is not None


@pytest.mark.parametrize("classes", [10, 1000])
def test_sizes_have_at_least_the_elements_of_their_column(classes):
    for elements, rows in load.rows_of_sizes(classes).items():
        assert elements <= rows * classes < elements + classes
