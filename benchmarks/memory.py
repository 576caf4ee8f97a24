"""Peaks of the resident memory, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import softgrad as sg
from benchmarks.verdict import PEER_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.suites import Record

    Prepare = Callable[..., Callable[[], Any]]

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Peak(NamedTuple):
    """By how much a call raises the memory that its process holds, and its result."""

    bytes: int
    result: Any


def can_measure() -> bool:
    """Whether the system tells and resets a process's peak, as Linux does."""
    return _STATUS.exists() and _RESET.exists()


def peak_of(prepare: Prepare, warm_up: tuple[Any, ...], arguments: tuple[Any, ...]) -> Peak:
    """Measure one call in a new process.

    Parameters
    ----------
    prepare : callable
        A function of a module: makes the inputs from arguments, and returns the call to measure, without parameters.
        The call's result goes back to this process.
    warm_up : tuple
        Arguments of a small call before, which loads and starts what does not depend on the size.
    arguments : tuple
        Arguments of the call that is measured.
    """
    # Spawned, not forked: a fork would share this process's memory, and may not use its threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        return executor.submit(_measured, sg.get_num_threads(), prepare, warm_up, arguments).result()


def _measured(threads: int, prepare: Prepare, warm_up: tuple[Any, ...], arguments: tuple[Any, ...]) -> Peak:
    sg.set_num_threads(threads)
    call = prepare(*arguments)
    prepare(*warm_up)()
    return peak_of_call(call)


def peak_of_call(call: Callable[[], Any]) -> Peak:
    """Measure one call in this process."""
    _RESET.write_text("5", encoding="ascii")  # the peak becomes what the process holds now
    before = _bytes("VmRSS")
    result = call()
    return Peak(max(0, peak() - before), result)


def peak() -> int:
    """The peak of this process's resident memory, files that it maps included."""
    return _bytes("VmHWM")


def _bytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


@dataclass(frozen=True)
class LossMemoryCase:
    """Peaks of the resident memory of a loss with its gradient, above what a process holds before."""

    title: str
    shape: tuple[int, ...]
    prepare: Prepare
    """Makes the call to measure, which returns the loss."""
    ways: Iterable[tuple[str, tuple[Any, ...], tuple[Any, ...]]]
    """The ways to compute it, softgrad's first: name, arguments of a small call, arguments."""
    gradient_bytes: int
    limit_bytes: float
    """The goal for softgrad."""
    text: str

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Run each way once; without figures where the system does not tell the peak."""
        variants = []
        for name, warm_up, arguments in self.ways if can_measure() else ():
            progress(f"{name} in a process of its own")
            peak = peak_of(self.prepare, warm_up, arguments)
            variants.append({"name": name, "refused": None, "peak_bytes": peak.bytes, "loss": peak.result})
        reached = variants[0]["peak_bytes"] <= self.limit_bytes if variants else None
        return {
            "title": self.title,
            "shape": list(self.shape),
            "dtype": "float32",
            "gradient_bytes": self.gradient_bytes,
            "variants": variants,
            "goals": [{"peer": "softgrad", "text": self.text, "limit_bytes": self.limit_bytes, "reached": reached}],
            "problems": disagreements(variants),
        }


def disagreements(variants: list[dict[str, Any]]) -> list[str]:
    """Losses that are not softgrad's: one of the two has not done the work."""
    return [
        f"the loss of {variant['name']} is {variant['loss']:.7g}, that of softgrad {variants[0]['loss']:.7g}"
        for variant in variants
        if not abs(variant["loss"] - variants[0]["loss"]) <= PEER_TOLERANCE * abs(variants[0]["loss"])
    ]
