"""`Targets` of the arguments of an operator, and labels that are no classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _validation
from softgrad._targets import Targets

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def targets_of(target: Tensor, weight: Tensor | None, dim: int, classes: int, dtype: torch.dtype) -> Targets:
    """Targets as torch operations take them, which may be traced, transformed or differentiated."""
    labels, probabilities = (None, target) if target.is_floating_point() else (target, None)
    class_weight = None if weight is None else weight.to(torch.promote_types(dtype, torch.float32))
    return Targets(classes, labels, probabilities, dim, class_weight)


def checked(targets: Targets, spec: LossSpec) -> Targets:
    """The same targets. Raises IndexError if a label is no class, for which the host waits for the device."""
    if targets.labels is None:
        return targets
    are_valid = _are_valid(targets, spec).flatten()
    if not are_valid.all():
        _validation.reject_label(targets.labels.cpu(), int((~are_valid).nonzero()[0]), targets.classes)
    return targets


def nan_where_invalid(of_rows: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """Numbers of rows, NaN where the label is no class and is not ignored."""
    if targets.labels is None:
        return of_rows
    return torch.where(_are_valid(targets, spec), of_rows, torch.nan)


def _are_valid(targets: Targets, spec: LossSpec) -> Any:
    kept, are_classes = targets.kept(spec), targets.are_classes()
    return are_classes if kept is None else are_classes | ~kept
