"""The functions of logits, targets and specification: compiled for the CPU, closed forms for every other device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad import _closed_forms
from softgrad.torch._kernels import _native

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def is_native(logits: Tensor) -> bool:
    """Whether the compiled kernels compute on the device of the logits."""
    return logits.is_cpu


def kernels_for(logits: Tensor) -> ModuleType:
    """The module of the kernels for the device of the logits."""
    return _native if is_native(logits) else _closed_forms


def overwrite_with_grad(
    logits: Tensor,
    upstream: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None = None,
    statistics: Any = None,
) -> None:
    """Overwrite the logits with the gradient; write the losses of the rows to `losses`, if given."""
    if is_native(logits):
        _native.write(logits, targets, spec, losses, logits, statistics, upstream)
        return
    if losses is not None:
        losses.copy_(_closed_forms.cross_entropy(logits, targets, spec, statistics))
    logits.copy_(_closed_forms.cross_entropy_grad(logits, upstream, targets, spec, statistics))
