"""Turns, rounds, ratios and goals."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import timing
from benchmarks.timing import TimedCase, Variant, at_most, faster
from benchmarks.verdict import Exact, Judge, Verdict

JUDGE = Judge([Exact(np.ones(1))])


def variant(name, result=1.0):
    return Variant(name, "", lambda: np.array([result]))


def test_ratios_are_medians_over_rounds_and_goals_follow_from_them(monkeypatch):
    times = {"softgrad": [1.0, 2.0, 1.0], "torch": [10.0, 40.0, 30.0], "copy": [2.0, 3.0, 1.0]}
    monkeypatch.setattr(timing, "interleaved", lambda *_: times)
    goals = [faster(20), faster(20.1), at_most(0.7, "copy"), at_most(0.6, "copy"), faster(1, "JAX")]
    assert [goal.text for goal in goals[1:3]] == ["≥ 20.1×", "≤ 0.7×"]
    case = TimedCase("work", "float32", (1, 1), JUDGE, [variant(name) for name in times], goals)
    record = case.measure(3, lambda _: None)
    assert [variant["ratio"] for variant in record["variants"]] == [None, 20, 1.5]
    assert [goal["reached"] for goal in record["goals"]] == [True, False, True, False, None]
    assert {key: record["variants"][1][key] for key in ("median_s", "min_s", "max_s")} == {
        "median_s": 30, "min_s": 10, "max_s": 40,
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["softgrad", "torch"])
def test_wrong_result_is_refused_and_not_timed(measured, wrong):
    variants = [variant(name, 1.1 if name == wrong else 1.0) for name in ("softgrad", "torch")]
    record = measured(TimedCase("work", "float32", (1,), JUDGE, variants, [faster(2)]))
    refused, timed = sorted(record["variants"], key=lambda variant: variant["name"] != wrong)
    assert "from the exact result, allowed" in refused["refused"]
    assert refused["error_ulp"] > 1e5
    assert refused["median_s"] is refused["ratio"] is None
    assert timed["refused"] is timed["ratio"] is None
    assert 0 < timed["min_s"] <= timed["median_s"] <= timed["max_s"]
    assert [goal["reached"] for goal in record["goals"]] == [None]


def test_variant_may_have_a_judge_of_its_own(measured):
    copy = Variant("copy", "", lambda: None, lambda results: Verdict(None, f"{results} is wrong"))
    record = measured(TimedCase("work", "float32", (1,), JUDGE, [variant("softgrad"), copy]))
    assert [variant["refused"] for variant in record["variants"]] == [None, "None is wrong"]


def test_long_work_gets_fewer_rounds():
    for rounds, expected in (1, 1), (4, 1), (9, 3):
        case = TimedCase("work", "float32", (1,), JUDGE, [variant("softgrad")], one_round_in=4)
        assert case.measure(rounds, lambda _: None)["rounds"] == expected


@pytest.fixture
def order():
    return []


@pytest.fixture
def calls(order):
    return {name: functools.partial(order.append, name) for name in "abc"}


def test_variants_take_turns_and_each_round_starts_with_another(monkeypatch, order, calls):
    monkeypatch.setattr(timing, "_batch_size", lambda call: 1)
    seconds = timing.interleaved(calls, 3, lambda _: order.append("|"))
    assert "".join(order) == "|aabbcc|bbccaa|ccaabb"  # one call to wake the workers, one that is timed
    assert [len(times) for times in seconds.values()] == [3, 3, 3]


def test_long_calls_are_made_once_a_round(monkeypatch, order, calls):
    monkeypatch.setattr(timing, "LONG", 0)
    timing.interleaved(calls, 3, lambda _: order.append("|"))
    assert "".join(order) == "abc|aabbcc|bca|cab"


def test_blocks_take_turns_and_their_figures_are_joined():
    order = []
    blocks = [lambda name=name: order.append(name) or [float(len(order))] for name in "abc"]
    figures = timing.in_turns(blocks, 2, lambda stage: order.append(f"|{stage}|"))
    assert "".join(order) == "|round 1 of 2|abc|round 2 of 2|bca"
    assert figures == [[2, 8], [3, 6], [4, 7]]


@pytest.mark.parametrize("pause, pauses", [(0, 0), (0.5, 3)])
def test_block_times_single_calls_until_its_end(monkeypatch, pause, pauses):
    now, slept = [0.0], []
    clock = SimpleNamespace(perf_counter=lambda: now[0], sleep=slept.append)
    monkeypatch.setattr(timing, "time", clock)

    def call():
        now[0] += 1 + len(times)
        times.append(1)

    times = []
    assert timing.block_of_calls(call, 4.0, pause) == [1, 2, 3]
    assert slept == [0.5] * pauses
    assert timing.block_of_calls(call, 0.0) == [4]


def test_quantiles():
    assert timing.quantiles([float(n) for n in range(101)]) == {"calls": 101, "median_s": 50, "p95_s": 95}
