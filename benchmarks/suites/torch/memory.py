"""The memory that a loss and its backward() take, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

import softgrad as sg
import softgrad.torch
from benchmarks import verdict as _judgement
from benchmarks.suites.torch import cross_entropy as _cross_entropy
from benchmarks.suites.torch import linear_cross_entropy as _linear_head

if TYPE_CHECKING:
    from collections.abc import Callable

_CHILD = "import sys; from benchmarks.suites.torch.memory import main; main(*sys.argv[1:])"
_WORK = {"cross_entropy": "loss + backward", "linear_cross_entropy": "linear head"}
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

_LOSSES: dict[str, dict[str, Callable[..., torch.Tensor]]] = {
    "cross_entropy": {"softgrad": softgrad.torch.cross_entropy, "torch": functional.cross_entropy},
    # The small chunks take as little as the larger ones, and half a minute.
    "linear_cross_entropy": {
        name: function for name, function in _linear_head.functions().items() if name != _linear_head.CHUNKED
    },
}
# Run before: what is loaded and started once, whatever the size, is no part of the figure.
_WARM_UP = {"cross_entropy": (64, 1000), "linear_cross_entropy": (64, 16, 1000)}


class MemoryCase(NamedTuple):
    """Peaks of the resident memory, above what a process holds before."""

    function: str
    shape: tuple[int, ...]
    gradient_bytes: int
    limit_bytes: float
    """The goal for softgrad."""
    text: str

    @property
    def title(self) -> str:
        """What is measured."""
        return f"memory, {_WORK[self.function]}, {' × '.join(map(str, self.shape))}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> dict[str, Any]:
        """Run each way once; without figures where the system does not tell the peak."""
        variants = []
        for name in _LOSSES[self.function] if _RESET.exists() else ():
            progress(f"{name} in a process of its own")
            variants.append({"name": name, "refused": None} | _measured(self.function, name, self.shape))
        peaks = {variant["name"]: variant["peak_bytes"] for variant in variants}
        reached = peaks["softgrad"] <= self.limit_bytes if peaks else None
        return {
            "title": self.title,
            "shape": list(self.shape),
            "dtype": "float32",
            "gradient_bytes": self.gradient_bytes,
            "variants": variants,
            "goals": [{"peer": "softgrad", "text": self.text, "limit_bytes": self.limit_bytes, "reached": reached}],
            "problems": _disagreements(variants),
        }


def cross_entropy(shape: tuple[int, ...]) -> MemoryCase:
    """The gradient and next to nothing else."""
    size = 4 * shape[0] * shape[1]
    return MemoryCase("cross_entropy", shape, size, 1.1 * size, "≤ 1.1×")


def linear_cross_entropy(shape: tuple[int, ...]) -> MemoryCase:
    """The gradients of x (N × D) and W (C × D), and a chunk of logits."""
    rows, features, classes = shape
    return MemoryCase("linear_cross_entropy", shape, 4 * (rows + classes) * features, 200 * 2**20, "≤ 200 MiB")


def _measured(function: str, library: str, shape: tuple[int, ...]) -> dict[str, Any]:
    command = [sys.executable, "-c", _CHILD, function, library, str(sg.get_num_threads()), *map(str, shape)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def _disagreements(variants: list[dict[str, Any]]) -> list[str]:
    """Losses that are not softgrad's: one of the two has not done the work."""
    allowed = _judgement.PEER_TOLERANCE[torch.float32]
    return [
        f"the loss of {variant['name']} is {variant['loss']:.7g}, that of softgrad {variants[0]['loss']:.7g}"
        for variant in variants
        if not abs(variant["loss"] - variants[0]["loss"]) <= allowed * abs(variants[0]["loss"])
    ]


def main(function: str, library: str, threads: str, *sizes: str) -> None:
    """Print the loss, and by how many bytes it and backward() raise the peak above what this process holds before."""
    sg.set_num_threads(int(threads))
    torch.set_num_threads(int(threads))
    loss = _LOSSES[function][library]
    given = _tensors(function, tuple(map(int, sizes)))
    _run(loss, _tensors(function, _WARM_UP[function]))
    _RESET.write_text("5", encoding="ascii")  # the peak becomes what the process holds now
    before = _kibibytes("VmRSS")
    value = _run(loss, given)
    print(json.dumps({"peak_bytes": 1024 * max(0, _kibibytes("VmHWM") - before), "loss": value}))


def _tensors(function: str, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    make = _cross_entropy.tensors if function == "cross_entropy" else _linear_head.tensors
    *differentiated, target = make(shape)
    return *(tensor.requires_grad_() for tensor in differentiated), target


def _run(loss: Callable[..., torch.Tensor], given: tuple[torch.Tensor, ...]) -> float:
    value = loss(*given)
    value.backward()
    return value.item()


def _kibibytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
