"""The libraries to compare softgrad with: whichever of them are installed."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import softgrad as sg

if TYPE_CHECKING:
    from collections.abc import Iterator

    Peers = dict[str, Any]

MODULES = {"SciPy": "scipy.special", "torch": "torch", "JAX": "jax"}


@contextmanager
def loaded(threads: int) -> Iterator[Peers]:
    """The peers that can be imported, by name; they and softgrad keep to `threads` threads meanwhile.

    SciPy's softmax uses one thread whatever the limit. JAX takes its limit from the environment and
    once only, when it first computes: one that is at work already keeps the threads it has.
    """
    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool on the CPU
        os.environ["JAX_PLATFORMS"] = "cpu"
    peers = {}
    for name, module in MODULES.items():
        try:
            peers[name] = importlib.import_module(module)
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


def missing(peers: Peers) -> list[str]:
    """The names of the peers that are not installed."""
    return [name for name in MODULES if name not in peers]


def versions(peers: Peers) -> dict[str, str]:
    """The version of every peer at hand."""
    return {name: sys.modules[MODULES[name].partition(".")[0]].__version__ for name in peers}


def jax_cross_entropy(jax: Any) -> Any:
    """Cross-entropy of class indices in JAX, row by row, as Optax writes it."""
    jnp = jax.numpy

    def cross_entropy(logits: Any, target: Any) -> Any:
        shifted = logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
        return jnp.log(jnp.exp(shifted).sum(axis=-1)) - jnp.take_along_axis(shifted, target[:, None], -1)[:, 0]

    return cross_entropy
