"""The libraries to compare with on a GPU, as far as they are installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Loss = Callable[..., Tensor]

DISTRIBUTIONS = {
    "Liger": ("liger_kernel", "liger-kernel"),
    "cut-cross-entropy": ("cut_cross_entropy", "cut-cross-entropy"),
    "QuACK": ("quack", "quack-kernels"),
}
# torch.compile and QuACK compile for seconds, and for every number of classes again.
SLOW_TO_COMPILE = "torch.compile", "QuACK"
CLASSES_OF_SLOW = 1000, 4096, 50257, 128256


def installed(name: str) -> bool:
    """Whether a library can be imported."""
    return importlib.util.find_spec(DISTRIBUTIONS[name][0]) is not None


def missing() -> list[str]:
    """The libraries that are not installed."""
    return [name for name in DISTRIBUTIONS if not installed(name)]


def versions() -> dict[str, str]:
    """The versions of the libraries that are installed."""
    return {
        name: importlib.metadata.version(package) for name, (_, package) in DISTRIBUTIONS.items() if installed(name)
    }


def losses(classes: int) -> dict[str, Loss]:
    """The mean loss of logits and labels, by each library that has one and is measured for so many classes."""
    found: dict[str, Callable[[], Loss]] = {"torch": lambda: functional.cross_entropy, "torch.compile": _compiled}
    found |= {name: load for name, load in (("Liger", _liger), ("QuACK", _quack)) if installed(name)}
    is_measured = classes in CLASSES_OF_SLOW
    return {name: _loaded_later(load) for name, load in found.items() if is_measured or name not in SLOW_TO_COMPILE}


def linear_losses() -> dict[str, Loss]:
    """The mean loss of features, coefficients and labels, by each library that has one."""
    found: dict[str, Callable[[], Loss]] = {"torch": lambda: _torch_linear}
    others = ("Liger", _liger_linear), ("cut-cross-entropy", _cut)
    found |= {name: load for name, load in others if installed(name)}
    return {name: _loaded_later(load) for name, load in found.items()}


def _loaded_later(load: Callable[[], Loss]) -> Loss:
    """A function that is imported at its first call, whose failure is then that of its variant."""
    loaded: list[Loss] = []

    def loss(*arguments: Tensor) -> Tensor:
        if not loaded:
            loaded.append(load())
        return _first(loaded[0](*arguments))

    return loss


def _first(value: Any) -> Tensor:
    """The loss, where a library also returns other terms."""
    tensor: Tensor = value[0] if isinstance(value, tuple) else value
    return tensor


def _compiled() -> Loss:
    torch.compiler.reset()  # there is a limit to the sizes that one function is compiled for
    compiled: Loss = torch.compile(functional.cross_entropy, dynamic=False)
    return compiled


def _liger() -> Loss:
    function = importlib.import_module("liger_kernel.ops.cross_entropy").LigerCrossEntropyFunction
    return lambda z, y: function.apply(z, y, None)


def _quack() -> Loss:
    loss: Loss = importlib.import_module("quack.cross_entropy").cross_entropy
    return loss


def _torch_linear(x: Tensor, W: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(x, W), y)


def _liger_linear() -> Loss:
    module = importlib.import_module("liger_kernel.ops.fused_linear_cross_entropy")
    function = module.LigerFusedLinearCrossEntropyFunction
    return function.apply


def _cut() -> Loss:
    loss: Loss = importlib.import_module("cut_cross_entropy").linear_cross_entropy
    return loss
