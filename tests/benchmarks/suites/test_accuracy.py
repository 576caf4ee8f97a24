"""The largest errors of softgrad and its peers."""

import io

import numpy as np
import pytest
from rich.console import Console

import softgrad as sg
from benchmarks import peers
from benchmarks.__main__ import wrong_results
from benchmarks.suites import accuracy


def shrunk(found):
    return list(accuracy.cases(found, shrink=20))


def printed(records):
    report = {"cases": records}
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print("\n".join(accuracy.notes(report)))
    console.print(accuracy.table(report))
    return console.file.getvalue()


def test_every_family_in_every_dtype(measured):
    records = [measured(case) for case in shrunk({})]
    assert [(record["title"], record["dtype"]) for record in records] == [
        (title, dtype.name) for title in accuracy.FAMILIES for dtype in accuracy.dtypes()
    ]
    for record in records:
        assert list(record["largest_error_ulp"]) == ["softmax", "log_softmax", "loss", "gradient"]
        for errors in record["largest_error_ulp"].values():
            assert 0 <= errors["softgrad"] <= record["allowed_ulp"] == 2
    text = printed(records)
    for title in (*accuracy.FAMILIES, *accuracy.FUNCTIONS):
        assert title in text
    assert ("float64 is left out" in text) == (np.dtype(np.float64) not in accuracy.dtypes())
    assert "float64 is left out" in printed([record for record in records if record["dtype"] == "float32"])


@pytest.mark.parametrize(
    "peer", ["SciPy", *(pytest.param(peer, marks=pytest.mark.needs(peer.lower())) for peer in ("torch", "JAX"))]
)
def test_peers_are_measured_in_the_same_work(monkeypatch, measured, peer):
    monkeypatch.setattr(accuracy, "_CLASSES", (10,))  # JAX compiles for every shape
    with peers.loaded([peer], 1) as found:
        records = [measured(case) for case in shrunk(found) if case.title == "normal, scale 1"]
    assert len(records) == len(accuracy.dtypes())
    for record in records:
        for function, errors in record["largest_error_ulp"].items():
            # Far more would mean that the peer does other work, float64 cut to float32 for one.
            assert errors[peer] < 1e4, (record["dtype"], function)


def test_bound_that_softgrad_breaks_is_found(monkeypatch, measured):
    monkeypatch.setattr(sg, "log_softmax", lambda logits: np.log(sg.softmax(logits)))
    case = next(case for case in shrunk({}) if case.title == "confidently right")
    (problem,) = wrong_results([measured(case)])
    assert problem.startswith("confidently right, float32: log_softmax of softgrad is")
