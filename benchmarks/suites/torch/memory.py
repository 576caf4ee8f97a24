"""The memory that a loss and its backward() take, each measured in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import softgrad as sg
from benchmarks import tables
from benchmarks.memory import LossMemoryCase
from benchmarks.suites.torch import cross_entropy, linear_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_MODULES: dict[str, ModuleType] = {"cross_entropy": cross_entropy, "linear_cross_entropy": linear_cross_entropy}


def of_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradient and next to nothing else."""
    size = 4 * shape[0] * shape[1]
    return _case("loss + backward", "cross_entropy", (64, 1000), shape, size, 1.1 * size, "≤ 1.1×")


def of_linear_cross_entropy(shape: tuple[int, ...]) -> LossMemoryCase:
    """The gradients of x (N × D) and W (C × D), and a chunk of logits."""
    rows, features, classes = shape
    size = 4 * (rows + classes) * features
    return _case("linear head", "linear_cross_entropy", (64, 16, 1000), shape, size, 200 * 2**20, "≤ 200 MiB")


def _case(
    work: str, function: str, warm_up: tuple[int, ...], shape: tuple[int, ...], size: int, limit: float, text: str
) -> LossMemoryCase:
    # torch's default chunks take as little as the larger ones, and half a minute.
    names = [name for name in _MODULES[function].losses() if name != linear_cross_entropy.CHUNKED]
    ways = [(name, (function, name, warm_up), (function, name, shape)) for name in names]
    return LossMemoryCase(f"memory, {work}, {tables.shape(shape)}", shape, prepare_loss, ways, size, limit, text)


def prepare_loss(function: str, library: str, shape: tuple[int, ...]) -> Callable[[], float]:
    """A loss with its backward(), whose memory is measured."""
    torch.set_num_threads(sg.get_num_threads())
    module = _MODULES[function]
    _, loss_of = module.losses()[library]
    *differentiated, target = module.tensors(shape)
    arguments = *(tensor.requires_grad_() for tensor in differentiated), target

    def run() -> float:
        loss = loss_of(*arguments)
        loss.backward()
        value: float = loss.item()
        return value

    return run
