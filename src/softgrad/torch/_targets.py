"""From the arguments of an operator to `Targets`: for any device, and checked, for the compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softgrad import _core, _validation
from softgrad._targets import Targets
from softgrad.torch._memory import materialised, memory

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def targets_of(target: Tensor, weight: Tensor | None, dim: int, classes: int, dtype: torch.dtype) -> Targets:
    """Targets of logits of a dtype in torch operations, which may trace, transform or differentiate them."""
    labels, probabilities = (None, target) if target.is_floating_point() else (target, None)
    class_weight = None if weight is None else weight.to(torch.promote_types(dtype, torch.float32))
    return Targets(classes, labels, probabilities, dim, class_weight)


def checked_targets(target: Tensor, weight: Tensor | None, dim: int, classes: int, spec: LossSpec) -> Targets:
    """Targets with memory for the kernels, class weights in float64; refused where a label is no class."""
    class_weight = None
    if weight is not None:
        wide = weight.detach().to(torch.float64).resolve_neg().numpy()
        checked = _validation.class_weight(wide, classes, "torch.cross_entropy", signed=True)
        class_weight = torch.from_numpy(checked)
    if target.is_floating_point():
        return Targets(classes, None, materialised(target.detach()), dim, class_weight)
    labels = target.contiguous()
    return Targets(classes, labels, None, dim, class_weight, None, summed_weight(labels, classes, class_weight, spec))


def summed_weight(labels: Tensor, classes: int, class_weight: Tensor | None, spec: LossSpec) -> tuple[float, float]:
    """The summed weight of the labels that count, in two parts; labels that are no classes are refused."""
    weights = None if class_weight is None else memory(class_weight)
    bad_row, total, rest = _core.check_labels(spec, memory(labels), classes, weights)
    if bad_row >= 0:
        _validation.reject_label(labels, bad_row, classes)
    return total, rest
