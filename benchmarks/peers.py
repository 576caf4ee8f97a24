"""The libraries to compare softgrad with: whichever of them are installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import softgrad as sg

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    Peers = dict[str, Any]

# By the name of the distribution.
MODULES = {
    "SciPy": "scipy.special",
    "torch": "torch",
    "JAX": "jax",
    "scikit-learn": "sklearn.linear_model",
    "scikit-learn-intelex": "sklearnex.linear_model",
}


@contextmanager
def loaded(names: Collection[str], threads: int) -> Iterator[Peers]:
    """Those of the peers that can be imported, by name; they and softgrad keep to `threads` threads meanwhile.

    SciPy's softmax uses one thread whatever the limit. JAX takes its limit from the environment and
    once only, when it first computes: one that is at work already keeps the threads it has. scikit-learn's
    suite limits it fit by fit.
    """
    if "JAX" in names and "jax" not in sys.modules:
        os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool on the CPU
        os.environ["JAX_PLATFORMS"] = "cpu"
    peers = {}
    for name in names:
        try:
            peers[name] = importlib.import_module(MODULES[name])
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
    """The names of the peers that are not installed."""
    return [name for name in names if name not in peers]


def versions(peers: Peers) -> dict[str, str]:
    """The version of every peer at hand."""
    return {name: importlib.metadata.version(name) for name in peers}


def jax_cross_entropy(jax: Any) -> Any:
    """Cross-entropy of class indices in JAX, row by row, as Optax writes it."""
    jnp = jax.numpy

    def cross_entropy(logits: Any, target: Any) -> Any:
        shifted = logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
        return jnp.log(jnp.exp(shifted).sum(axis=-1)) - jnp.take_along_axis(shifted, target[:, None], -1)[:, 0]

    return cross_entropy
