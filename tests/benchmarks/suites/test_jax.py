"""softgrad.jax beside jax.nn: the work, the verdicts and the table."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

import softgrad as sg
import softgrad.jax
from benchmarks import memory as peaks
from benchmarks.__main__ import WIDTH, wrong_results
from benchmarks.suites import jax as suite
from benchmarks.suites.jax import cross_entropy, memory, softmax


def test_every_case_every_goal_and_the_table(monkeypatch, measured):
    monkeypatch.setattr(peaks, "can_measure", lambda: True)
    monkeypatch.setattr(peaks, "peak_of", lambda *_: peaks.Peak(2**20, 1.0))
    records = [measured(case) for case in suite.cases({}, shrink=64)]
    assert wrong_results(records) == []
    assert [(record["title"], [goal["text"] for goal in record["goals"]]) for record in records] == [
        ("a call, softmax of 4 × 3", ["≤ 1.2×"]),
        ("softmax, 2 × 2", ["≥ 2×"]),
        ("softmax, 8 × 785", []),
        ("loss + gradient, 2 × 2", []),
        ("loss + gradient, 8 × 785", ["≥ 2×", "≥ 2×"]),
        ("Hessian · v, 8 × 785", ["≥ 2×", "≥ 2×"]),
        ("memory, loss + gradient, 8 × 785", ["≤ 1.1×"]),
        ("memory, linear head, 32 × 4 × 1562", ["≤ 250 MiB"]),
    ]
    for record in records[:-2]:
        ours, *peers = record["variants"]
        assert ours["name"] == "softgrad"
        assert all(variant["median_s"] > 0 for variant in record["variants"])
        assert record["title"].startswith("Hessian") or ours["error_ulp"] <= 2
        assert {goal["peer"] for goal in record["goals"]} <= {peer["name"] for peer in peers}
    console = Console(width=WIDTH, file=io.StringIO(), highlight=False)
    console.print(suite.SUITE.table({"cases": records, "summary": suite.SUITE.summary(records)}))
    text = console.file.getvalue()
    assert all(record["title"] in text for record in records)
    assert "its time" in text
    assert max(map(len, text.splitlines())) <= 100


CASES = {
    "softmax": lambda: softmax.speed((2, 3)),
    "cross_entropy": lambda: cross_entropy.gradient((2, 3)),
    "hvp": lambda: cross_entropy.hessian_product((2, 3)),
}


@pytest.mark.parametrize("name, library", [*((name, "softgrad") for name in CASES), ("cross_entropy", "JAX")])
def test_wrong_result_is_refused(monkeypatch, measured, name, library):
    functions = {"softgrad": softgrad.jax, "JAX": jax.nn}[library]
    function = "softmax" if name == "softmax" else {"softgrad": "cross_entropy", "JAX": "log_softmax"}[library]
    right = getattr(functions, function)
    monkeypatch.setattr(functions, function, lambda *given: right(*given) * 1.02)
    refused = [variant["name"] for variant in measured(CASES[name]())["variants"] if variant["refused"]]
    assert refused == [library]


def test_a_call_that_does_nothing_is_refused(monkeypatch, measured):
    monkeypatch.setattr(softmax, "compiled", lambda _, z: lambda: softgrad.jax.softmax(z))
    _, least = measured(softmax.overhead())["variants"]
    assert least["refused"] == "not x + 1"


@pytest.mark.parametrize("library", ["softgrad", "Optax's"])
def test_memory_is_that_of_the_loss_with_all_gradients(monkeypatch, library):
    results = []
    monkeypatch.setattr(jax, "block_until_ready", lambda result: results.append(result) or result)
    loss = memory.prepare_loss("linear_cross_entropy", library, (8, 4, 10))()
    (x, W), labels, _ = memory.head_arguments("softgrad", (8, 4, 10))
    expected, gradients = sg.linear_cross_entropy_value_and_grad(x, W, labels)
    assert loss == pytest.approx(expected, rel=1e-5)
    for gradient, exact in zip(results[0][1], gradients[:2], strict=True):
        np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-6)
