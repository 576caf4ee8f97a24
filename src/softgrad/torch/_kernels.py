"""Where the functions of logits, targets and specification come from, by device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad import _closed_forms
from softgrad.torch import _native

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def kernels(logits: Tensor) -> Any:
    """The compiled kernels on the CPU, closed forms on every other device."""
    return _native if logits.is_cpu else _closed_forms


def overwrite_with_grad(
    logits: Tensor,
    scale: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None = None,
    statistics: Any = None,
) -> None:
    """Put the gradient in place of the logits, and write the losses of the rows where they are wanted."""
    if logits.is_cpu:
        _native.overwrite_with_grad(logits, scale, targets, spec, losses, statistics)
        return
    if losses is not None:
        losses.copy_(_closed_forms.cross_entropy(logits, targets, spec, statistics))
    logits.copy_(_closed_forms.cross_entropy_grad(logits, scale, targets, spec, statistics))
