"""Softmax, and loss with gradient, beside the peers."""

import numpy as np
import pytest
from scipy import special

import softgrad as sg
from benchmarks import peers
from benchmarks.suites import core


def shrunk(found):
    return list(core.cases(found, shrink=64))


def test_cases_and_their_goals(measured):
    records = [measured(case) for case in shrunk({})]
    assert [(record["title"], record["shape"]) for record in records] == [
        ("loss + gradient, 8 × 785, out=", [8, 785]),
        ("loss + gradient, 16 × 15", [16, 15]),
        ("loss + gradient, 1024 × 2", [1024, 2]),
        ("loss + gradient, 1 × 2", [1, 2]),
        ("softmax, 8 × 785, out=", [8, 785]),
        ("softmax, 1 × 2", [1, 2]),
        ("loss + gradient, 1 × 262144, out=", [1, 2**18]),
    ]
    assert [[goal["peer"] for goal in record["goals"]] for record in records] == [
        ["torch", "one copy"], ["torch"], ["torch"], ["torch"], ["torch"], ["SciPy", "torch"], ["torch"],
    ]  # fmt: skip
    for record in records:
        ours = record["variants"][0]
        assert (ours["name"], ours["refused"]) == ("softgrad", None)
        assert ours["error_ulp"] <= 2
    assert records[0]["goals"][1]["reached"] is not None


@pytest.mark.needs("torch")
@pytest.mark.needs("jax")
def test_every_peer_does_the_same_work(measured):
    with peers.loaded(core.SUITE.peers, 1) as found:
        all_cases = shrunk(found)
        gradient, softmax, softmax_out = (measured(all_cases[i]) for i in (1, 5, 4))
    names = [[variant["name"] for variant in record["variants"]] for record in (gradient, softmax, softmax_out)]
    assert names == [
        ["softgrad", "torch", "JAX"], ["softgrad", "torch", "SciPy", "JAX"], ["softgrad", "torch", "JAX", "one copy"],
    ]  # fmt: skip
    for record in gradient, softmax, softmax_out:
        assert all(variant["refused"] is None and variant["median_s"] > 0 for variant in record["variants"])


@pytest.mark.parametrize("factor", [1 + 1e-6, np.nan])
def test_wrong_softmax_of_softgrad_is_refused(monkeypatch, measured, factor):
    right = sg.softmax
    monkeypatch.setattr(sg, "softmax", lambda *args, **options: right(*args, **options) * np.float32(factor))
    ours, copy = measured(shrunk({})[4])["variants"]
    assert "ULP from the exact result, allowed 2" in ours["refused"]
    assert copy["refused"] is None


@pytest.mark.parametrize("result", [0, 1])
def test_wrong_loss_or_gradient_of_softgrad_is_refused(monkeypatch, measured, result):
    right = sg.cross_entropy_value_and_grad

    def wrong(*args, **options):
        results = list(right(*args, **options))
        results[result] = results[result] * np.float32(1 + 1e-6)
        return tuple(results)

    monkeypatch.setattr(sg, "cross_entropy_value_and_grad", wrong)
    assert measured(shrunk({})[1])["variants"][0]["refused"]


@pytest.mark.parametrize("wrong", [np.nan, 1e-3])
def test_wrong_result_of_a_peer_is_refused(monkeypatch, measured, wrong):
    right = special.softmax
    monkeypatch.setattr(special, "softmax", lambda *args, **options: right(*args, **options) + np.float32(wrong))
    ours, scipy = measured(shrunk({"SciPy": special})[5])["variants"]
    assert scipy["refused"]
    assert ours["refused"] is None


def test_copy_that_differs_is_refused(monkeypatch, measured):
    case = shrunk({})[4]
    monkeypatch.setattr(np, "copyto", lambda *_: None)
    *_, copy = measured(case)["variants"]
    assert copy["refused"] == "different from the logits"


def test_notes_tell_threads_and_rounds():
    first, second = core.notes({"threads": 1, "rounds": 3, "load": 0.0, "cpus": 2})
    assert "1 thread for softgrad" in first
    assert second.startswith("3 rounds")
