"""The choice of the kernels by the device of the logits: the only place that asks for it.

A module of kernels has

    MOST_FUSED_LOGITS                      up to which a loss computes its gradient in the same pass, for backward
    targets, checked                       from the arguments of an operator, as the other functions take them; labels
    softmax, log_softmax, logsumexp, softmax_vjp, log_softmax_vjp
    cross_entropy, cross_entropy_grad, cross_entropy_hvp
    write_cross_entropy_grad, rescale_cross_entropy_grad, scale_in_place
    row_statistics, merge_statistics, direction_statistics, merge_directions
    statistics_fields, direction_fields, packed, unpacked_statistics, unpacked_directions, of_logit_zero, mass_of_rows

as in `_composed`, from which modules for other devices take those that they do not have.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

import torch

from softgrad.torch._kernels import _composed, _native
from softgrad.torch._kernels._label_checks import get_check_labels

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

_OLDEST_TRITON = (3, 6)
_TRITON_DTYPES = {torch.float32, torch.bfloat16, torch.float16}


def kernels_for(logits: Tensor) -> ModuleType:
    """The module of the kernels for the device and the dtype of the logits."""
    if logits.is_cpu:
        return _native
    if logits.is_cuda and logits.dtype in _TRITON_DTYPES:
        return _on_cuda()
    return _composed


@functools.cache
def _on_cuda() -> ModuleType:
    """The kernels in Triton where it is installed; AMD's GPUs, which torch also calls "cuda", are untested."""
    if torch.version.hip is not None or _triton_version() < _OLDEST_TRITON:
        return _composed
    return importlib.import_module("softgrad.torch._kernels._triton")


def _triton_version() -> tuple[int, ...]:
    """Major and minor version of the installed Triton, (0, 0) if there is none."""
    try:
        triton = importlib.import_module("triton")
    except ImportError:
        return 0, 0
    return tuple(map(int, triton.__version__.split(".")[:2]))


def can_read(tensor: Tensor) -> bool:
    """Whether the host can read values of the tensor without waiting for a device."""
    return tensor.is_cpu


def kernels_and_targets(
    logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, classes: int, spec: LossSpec
) -> tuple[ModuleType, Targets]:
    """The module of the kernels, and targets as it takes them.

    Raises IndexError if a label is no class and labels are checked on every device.
    """
    kernels = kernels_for(logits)
    targets = kernels.targets(target, weight, dim, classes, logits.dtype)
    return kernels, kernels.checked(targets, spec) if get_check_labels() else targets
