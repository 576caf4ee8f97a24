"""Hessian- and Jacobian-vector products and eigenvalues beside the peers."""

import numpy as np
import pytest

import softgrad as sg
from benchmarks import peers
from benchmarks.suites import curvature


def shrunk(found):
    return list(curvature.cases(found, shrink=64))


def test_cases(measured):
    records = [measured(case) for case in shrunk({})]
    assert [record["title"].split(",")[0] for record in records] == [
        *(3 * ["Hessian · v"]), "Jacobian · v", "eigenvalues", "eigenvectors",
    ]  # fmt: skip
    for record in records:
        assert all(variant["refused"] is None and variant["median_s"] > 0 for variant in record["variants"])
    assert all(record["variants"][0]["error_ulp"] <= 4 for record in records[:4])
    assert [variant["name"] for variant in records[4]["variants"]] == ["softgrad", "NumPy"]


@pytest.mark.needs("torch")
@pytest.mark.needs("jax")
def test_every_peer_does_the_same_work(measured):
    with peers.loaded(curvature.SUITE.peers, 1) as found:
        all_cases = shrunk(found)
        records = [measured(all_cases[i]) for i in (1, 3, 4)]
    names = [[variant["name"] for variant in record["variants"]] for record in records]
    assert names == [["softgrad", "torch", "JAX"], ["softgrad", "torch"], ["softgrad", "NumPy", "torch"]]
    assert all(variant["refused"] is None for record in records for variant in record["variants"])


@pytest.mark.parametrize("function, case", [("cross_entropy_hvp", 0), ("softmax_jacobian", 3)])
def test_wrong_product_is_refused(monkeypatch, measured, function, case):
    right = getattr(sg, function)
    monkeypatch.setattr(sg, function, lambda *a, **options: right(a[0] * np.float32(1.0001), *a[1:], **options))
    assert "ULP from the exact result, allowed 4" in measured(shrunk({})[case])["variants"][0]["refused"]


def test_wrong_eigenvalues_are_refused(measured):
    case = shrunk({})[4]
    right = case.variants[0].call()
    assert case.judge(right, ours=True).refused is None
    assert "allowed 31" in case.judge(right + 1e-14, ours=True).refused
