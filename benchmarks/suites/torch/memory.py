"""The memory that a loss and its backward() take, each measured in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

import softgrad as sg
from benchmarks import memory, tables
from benchmarks.suites.torch import cross_entropy, linear_cross_entropy
from benchmarks.verdict import PEER_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from benchmarks.suites import Record

_WORK: dict[str, tuple[str, ModuleType]] = {
    "cross_entropy": ("loss + backward", cross_entropy),
    "linear_cross_entropy": ("linear head", linear_cross_entropy),
}
_WARM_UP = {"cross_entropy": (64, 1000), "linear_cross_entropy": (64, 16, 1000)}


@dataclass(frozen=True)
class LossMemoryCase:
    """Peaks of the resident memory, above what a process holds before."""

    function: str
    shape: tuple[int, ...]
    gradient_bytes: int
    limit_bytes: float
    """The goal for softgrad."""
    text: str

    @property
    def title(self) -> str:
        """The name of the work."""
        return f"memory, {_WORK[self.function][0]}, {tables.shape(self.shape)}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Run each way once; without figures where the system does not tell the peak."""
        variants = []
        _, module = _WORK[self.function]
        for name in module.losses() if memory.can_measure() else ():
            if name == linear_cross_entropy.CHUNKED:  # takes as little as the larger chunks, and half a minute
                continue
            progress(f"{name} in a process of its own")
            way = self.function, name
            peak = memory.peak_of(prepare_loss, (*way, _WARM_UP[self.function]), (*way, self.shape))
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


def of_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradient and next to nothing else."""
    size = 4 * shape[0] * shape[1]
    return LossMemoryCase("cross_entropy", shape, size, 1.1 * size, "≤ 1.1×")


def of_linear_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradients of x (N × D) and W (C × D), and a chunk of logits."""
    rows, features, classes = shape
    return LossMemoryCase("linear_cross_entropy", shape, 4 * (rows + classes) * features, 200 * 2**20, "≤ 200 MiB")


def prepare_loss(function: str, library: str, shape: tuple[int, ...]) -> Callable[[], float]:
    """A loss with its backward(), whose memory is measured."""
    torch.set_num_threads(sg.get_num_threads())
    _, module = _WORK[function]
    _, loss_of = module.losses()[library]
    *differentiated, target = module.tensors(shape)
    arguments = *(tensor.requires_grad_() for tensor in differentiated), target

    def run() -> float:
        loss = loss_of(*arguments)
        loss.backward()
        value: float = loss.item()
        return value

    return run


def disagreements(variants: list[dict[str, Any]]) -> list[str]:
    """Losses that are not softgrad's: one of the two has not done the work."""
    return [
        f"the loss of {variant['name']} is {variant['loss']:.7g}, that of softgrad {variants[0]['loss']:.7g}"
        for variant in variants
        if not abs(variant["loss"] - variants[0]["loss"]) <= PEER_TOLERANCE * abs(variants[0]["loss"])
    ]
