"""The libraries that softgrad is compared with, as far as they are installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import softgrad as sg

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Peers = dict[str, Any]  # modules by the name of their distribution

_MODULES = {
    "SciPy": "scipy.special",
    "torch": "torch",
    "JAX": "jax",
    "scikit-learn": "sklearn.linear_model",
    "scikit-learn-intelex": "sklearnex.linear_model",
    "distributed": "distributed",
    "dask-ml": "dask_ml.linear_model",
}


@contextmanager
def loaded(names: Collection[str], threads: int) -> Iterator[Peers]:
    """Import the peers that are installed; within the context they and softgrad use `threads` threads.

    SciPy's softmax always uses one thread. JAX reads its limit from the environment when it first computes, and
    keeps it. The suite "regression" limits scikit-learn's threads fit by fit.
    """
    if "JAX" in names:
        os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool on the CPU
        os.environ["JAX_PLATFORMS"] = "cpu"
    peers = {}
    for name in names:
        try:
            peers[name] = importlib.import_module(_MODULES[name])
        except ImportError:
            continue
    limits = [(sg.get_num_threads, sg.set_num_threads)]
    if "torch" in peers:
        limits.append((peers["torch"].get_num_threads, peers["torch"].set_num_threads))
    before = [get() for get, _ in limits]
    for _, set_ in limits:
        set_(threads)
    try:
        yield peers
    finally:
        for (_, set_), n in zip(limits, before, strict=True):
            set_(n)


def missing(names: Collection[str], peers: Peers) -> list[str]:
    """Name the peers that are not installed."""
    return [name for name in names if name not in peers]


def versions(peers: Peers) -> dict[str, str]:
    """The versions of the peers that are installed."""
    return {name: importlib.metadata.version(name) for name in peers}


def jax_cross_entropy(jax: Any) -> Any:
    """Cross-entropy of class indices in JAX, row by row, as Optax writes it."""
    jnp = jax.numpy

    def cross_entropy(logits: Any, target: Any) -> Any:
        shifted = logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
        return jnp.log(jnp.exp(shifted).sum(axis=-1)) - jnp.take_along_axis(shifted, target[:, None], -1)[:, 0]

    return cross_entropy
