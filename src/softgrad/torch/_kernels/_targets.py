"""`Targets` of the arguments of an operator: for any device, and for the compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softgrad import _core, _validation
from softgrad._targets import Targets
from softgrad.torch._kernels._memory import materialised

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def targets_of(target: Tensor, weight: Tensor | None, dim: int, classes: int, dtype: torch.dtype) -> Targets:
    """Targets as torch operations take them, which may be traced, transformed or differentiated."""
    labels, probabilities = (None, target) if target.is_floating_point() else (target, None)
    class_weight = None if weight is None else weight.to(torch.promote_types(dtype, torch.float32))
    return Targets(classes, labels, probabilities, dim, class_weight)


def native_targets(target: Tensor, weight: Tensor | None, dim: int, classes: int) -> Targets:
    """Targets as the compiled kernels take them: in memory, class weights checked and in float64."""
    class_weight = None
    if weight is not None:
        wide = weight.detach().to(torch.float64).resolve_neg().numpy()
        checked = _validation.class_weight(wide, classes, "torch.cross_entropy", signed=True)
        class_weight = torch.from_numpy(checked)
    if target.is_floating_point():
        return Targets(classes, None, materialised(target.detach()), dim, class_weight)
    return Targets(classes, target.contiguous(), None, dim, class_weight)


def summed(targets: Targets, spec: LossSpec) -> Targets:
    """Targets with the summed weight of their labels. Raises IndexError if a label is no class."""
    if targets.labels is None or targets.summed_weight is not None:
        return targets
    bad_row, total, rest = _core.check_labels(spec, targets.labels, targets.classes, targets.class_weight)
    if bad_row >= 0:
        _validation.reject_label(targets.labels, bad_row, targets.classes)
    return targets._replace(summed_weight=(total, rest))
