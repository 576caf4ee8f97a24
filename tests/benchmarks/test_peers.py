"""The libraries to compare with."""

import os
import sys

import pytest
from scipy import special

import softgrad as sg
from benchmarks import peers


def test_installed_peers_come_with_their_versions():
    with peers.loaded(["SciPy"], 1) as found:
        assert found == {"SciPy": special}
    assert peers.missing(["SciPy"], found) == []
    assert set(peers.versions(found)) == {"SciPy"}


@pytest.mark.parametrize("name, module", [("SciPy", "scipy.special"), ("torch", "torch"), ("JAX", "jax")])
def test_missing_peer_is_left_out_and_named(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(os, "environ", {})  # what JAX would read stays in this test
    with peers.loaded([name], 1) as found:
        assert found == {}
    assert peers.missing([name], found) == [name]


def test_threads_are_those_asked_for_until_the_end():
    before = sg.get_num_threads()
    with peers.loaded([], before + 1):
        assert sg.get_num_threads() == before + 1
    assert sg.get_num_threads() == before


@pytest.mark.needs("torch")
def test_threads_of_torch_too():
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    with peers.loaded(["torch"], before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.needs("jax")
def test_loss_of_jax_is_the_cross_entropy():
    import jax  # noqa: PLC0415

    z, y = jax.numpy.asarray([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]]), jax.numpy.asarray([0, 0])
    expected = sg.cross_entropy([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]], [0, 0], reduction="none")
    assert peers.jax_cross_entropy(jax)(z, y).tolist() == pytest.approx(expected.tolist(), rel=1e-6)
