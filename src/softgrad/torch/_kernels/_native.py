"""The kernels for CPU tensors: compiled, one native call each, on the tensors' own memory.

`_by_device` lists what a module of kernels has. Statistics of rows are tensors of shape (rows, fields).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from softgrad import _core, _validation
from softgrad._closed_forms import one_hot
from softgrad._core import Reduction, SoftmaxKind
from softgrad._loss_spec import DEFAULT
from softgrad._targets import Targets
from softgrad.torch._kernels._memory import DTYPES, empty_like, materialised, without

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec

# Fields of the statistics of a row in native/layout/row_statistics.h; Σ y has two, of which this is the first.
_TIES, _LABEL, _MASS = 3, 4, 5
# Up to this many logits the gradient is computed along with the loss, in one pass, and kept: 4 MiB in float32.
MOST_FUSED_LOGITS = 1 << 20


def targets(target: Tensor, weight: Tensor | None, dim: int, classes: int, dtype: torch.dtype | None = None) -> Targets:
    """Targets in memory, class weights checked and in float64, whatever the dtype of the logits."""
    class_weight = None
    if weight is not None:
        wide = weight.detach().to(torch.float64).resolve_neg().numpy()
        checked = _validation.class_weight(wide, classes, "torch.cross_entropy", signed=True)
        class_weight = torch.from_numpy(checked)
    if target.is_floating_point():
        return Targets(classes, None, materialised(target.detach()), dim, class_weight)
    return Targets(classes, target.contiguous(), None, dim, class_weight)


def checked(targets: Targets, spec: LossSpec) -> Targets:
    """Targets with the summed weight of their labels. Raises IndexError if a label is no class."""
    if targets.labels is None or targets.summed_weight is not None:
        return targets
    bad_row, total, rest = _core.check_labels(spec, targets.labels, targets.classes, targets.class_weight)
    if bad_row >= 0:
        _validation.reject_label(targets.labels, bad_row, targets.classes)
    return targets._replace(summed_weight=(total, rest))


def softmax(logits: Tensor, dim: int, statistics: Tensor | None = None) -> Tensor:
    return _like_logits(SoftmaxKind.softmax, logits, dim, statistics)


def log_softmax(logits: Tensor, dim: int, statistics: Tensor | None = None) -> Tensor:
    return _like_logits(SoftmaxKind.log_softmax, logits, dim, statistics)


def _like_logits(kind: SoftmaxKind, logits: Tensor, dim: int, statistics: Tensor | None) -> Tensor:
    result = empty_like(logits)
    if result.numel():
        logits = materialised(logits)
        _core.softmax(kind, DTYPES[logits.dtype], logits, dim, result, statistics)
    return result


def logsumexp(logits: Tensor, dim: int) -> Tensor:
    logits = materialised(logits)
    result = logits.new_empty(without(logits.shape, dim))
    if logits.numel():
        _core.softmax(SoftmaxKind.logsumexp, DTYPES[logits.dtype], logits, dim, result)
    else:
        result.fill_(-torch.inf)
    return result


def softmax_vjp(probs: Tensor, v: Tensor, dim: int) -> Tensor:
    result = empty_like(probs)
    if result.numel():
        probs, v = materialised(probs), materialised(v)
        _core.softmax_vjp(DTYPES[probs.dtype], probs, dim, v, result)
    return result


def log_softmax_vjp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Lᵀ v = v - p Σ v: minus the gradient of the cross-entropy with targets v."""
    result = empty_like(logits)
    if result.numel():
        logits, v = materialised(logits), materialised(v)
        _core.cross_entropy(
            DEFAULT, DTYPES[logits.dtype], logits, dim, probabilities=v,
            probabilities_dtype=DTYPES[v.dtype], summed_weight=(-1.0, 0.0), gradient=result,
        )  # fmt: skip
    return result


def row_statistics(logits: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """The statistics of rows, or of a block of their classes, from the logits of that block: (rows, fields)."""
    statistics = _fields_of_rows(logits, targets.axis, _core.statistics_fields)
    logits, dtype = materialised(logits), DTYPES[logits.dtype]
    classes, labels, probabilities, axis, class_weight, *_, first_class = targets
    _core.row_statistics(
        spec, dtype, logits, axis, statistics, labels=labels, probabilities=probabilities,
        probabilities_dtype=dtype if probabilities is None else DTYPES[probabilities.dtype],
        class_weight=class_weight, first_class=first_class or 0, classes=classes,
    )  # fmt: skip
    return statistics


def merge_statistics(parts: list[Tensor] | Tensor) -> Tensor:
    """The statistics of rows from those of blocks of their classes, in a list or a tensor (blocks, rows, fields)."""
    parts = _stacked(parts)
    merged = parts.new_empty(parts.shape[1:])
    _core.merge_statistics(parts, merged)
    return merged


def direction_statistics(logits: Tensor, v: Tensor, dim: int, statistics: Tensor) -> Tensor:
    """The statistics of v in rows, or in a block of their classes, from the statistics of the rows: (rows, fields)."""
    directions = _fields_of_rows(logits, dim, _core.direction_fields)
    logits, v = materialised(logits), materialised(v)
    _core.direction_statistics(DTYPES[logits.dtype], logits, dim, v, statistics, directions)
    return directions


def merge_directions(parts: list[Tensor] | Tensor) -> Tensor:
    """The statistics of v in rows from those in all blocks of their classes; see merge_statistics."""
    parts = _stacked(parts)
    merged = parts.new_empty(parts.shape[1:])
    _core.merge_directions(parts, merged)
    return merged


def _fields_of_rows(logits: Tensor, dim: int, fields: int) -> Tensor:
    return torch.empty((math.prod(without(logits.shape, dim)), fields), dtype=torch.float64)


def _stacked(parts: list[Tensor] | Tensor) -> Tensor:
    return parts.contiguous() if isinstance(parts, torch.Tensor) else torch.stack(parts)


def cross_entropy(
    logits: Tensor, targets: Targets, spec: LossSpec, statistics: Tensor | None = None, gradient: Tensor | None = None
) -> Tensor:
    """The loss; its gradient is written to `gradient`, if given, in the same pass."""
    dtype = torch.float64 if logits.dtype is torch.float64 else torch.float32
    losses = None
    if spec.reduction is Reduction.none:
        losses = torch.empty(without(logits.shape, targets.axis), dtype=dtype)
    total = _write(logits, targets, spec, losses, gradient, statistics)
    return torch.scalar_tensor(total, dtype=dtype) if losses is None else losses


def cross_entropy_grad(
    logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec, statistics: Tensor | None = None
) -> Tensor:
    gradient = empty_like(logits)
    _write(logits, targets, spec, None, gradient, statistics, upstream)
    return gradient


def write_cross_entropy_grad(
    logits: Tensor,
    upstream: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None = None,
    statistics: Tensor | None = None,
) -> None:
    """Overwrite the logits with the gradient; write the losses of the rows to `losses`, if given."""
    _write(logits, targets, spec, losses, logits, statistics, upstream)


def rescale_cross_entropy_grad(
    gradient: Tensor, logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec
) -> None:
    """Make the gradient for upstream 1 that for another upstream: exact, because it is computed again."""
    if upstream.item() != 1:
        _write(logits, targets, spec, None, gradient, None, upstream)


def _write(
    logits: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None,
    gradient: Tensor | None,
    statistics: Tensor | None,
    upstream: Tensor | None = None,
) -> float:
    """The reduced loss; the losses of the rows and the gradient are written to the tensors given.

    The gradient may be the logits themselves.
    """
    row_scale = None if upstream is None else _row_scale(upstream, logits, targets.axis)
    logits, dtype = materialised(logits), DTYPES[logits.dtype]
    classes, labels, probabilities, axis, class_weight, _, summed_weight, first_class = targets
    try:
        return _core.cross_entropy(  # spelled out: a dictionary of the targets takes a microsecond more
            spec, dtype, logits, axis, labels=labels, probabilities=probabilities,
            probabilities_dtype=dtype if probabilities is None else DTYPES[probabilities.dtype],
            class_weight=class_weight, summed_weight=summed_weight, row_scale=row_scale, loss=losses,
            gradient=gradient, statistics=statistics, first_class=first_class or 0, classes=classes,
        )  # fmt: skip
    except IndexError:  # a label is no class: raise an error that names it
        checked(targets, spec)
        raise


def cross_entropy_hvp(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Tensor | None = None,
    directions: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The product of every row; of a block of its classes, given the statistics and directions of the whole rows.

    It is written to `out`, if given, which may be v: elements are read before those at their place are written.
    """
    result, targets = empty_like(logits) if out is None else out, checked(targets, spec)
    logits, v = materialised(logits), materialised(v)
    row_scale = _row_scale(upstream, logits, targets.axis)
    _core.hvp(
        spec,
        DTYPES[logits.dtype],
        logits,
        targets.axis,
        v,
        result,
        labels=targets.labels,
        mass=_mass(targets, spec, statistics),
        summed_weight=targets.summed_weight,
        row_scale=row_scale,
        statistics=statistics,
        directions=directions,
    )
    return result


def _mass(targets: Targets, spec: LossSpec, statistics: Tensor | None) -> Any:
    """Σ y of every row; None where it is 1."""
    if statistics is None or one_hot(targets, spec):
        return _in_numpy(targets).mass(spec)
    return _mass_of_rows(statistics)


def _mass_of_rows(statistics: Tensor) -> Tensor:
    return statistics[:, _MASS] + statistics[:, _MASS + 1]


def _in_numpy(targets: Targets) -> Targets:
    """The same targets as NumPy arrays, whose sums are compensated."""
    probabilities = targets.probabilities
    if probabilities is not None and probabilities.element_size() < 4:
        probabilities = probabilities.float()
    labels, class_weight = _as_numpy(targets.labels), _as_numpy(targets.class_weight)
    return targets._replace(labels=labels, probabilities=_as_numpy(probabilities), class_weight=class_weight)


def _as_numpy(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.numpy()


def _row_scale(upstream: Tensor, logits: Tensor, dim: int) -> Tensor | None:
    """The upstream gradient of every row, None if it is one."""
    if upstream.ndim or logits.ndim == 1:
        return materialised(upstream.to(torch.float64)).contiguous()
    factor = upstream.item()
    return None if factor == 1 else torch.full((math.prod(without(logits.shape, dim)),), factor, dtype=torch.float64)


def scale_in_place(tensor: Tensor, factor: Tensor) -> None:
    """Multiply a tensor by a factor."""
    if (value := factor.item()) != 1:
        tensor.mul_(value)


def statistics_fields(*, one_hot: bool) -> int:
    """The number of statistics of every row, or of those that matter for targets that are one-hot, which are first."""
    return _LABEL + 1 if one_hot else _core.statistics_fields


def direction_fields() -> int:
    """The number of statistics of a direction in every row."""
    return _core.direction_fields


def packed(statistics: Tensor) -> Tensor:
    """Statistics of rows, or of a direction, as one tensor of shape (rows, fields)."""
    return statistics


def unpacked_statistics(fields: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """The statistics of rows that `packed` has made one tensor; `shape` is that of the logits."""
    return fields


def unpacked_directions(fields: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """The same for the statistics of a direction."""
    return fields


def of_logit_zero(like: Tensor) -> Tensor:
    """The fields of a row of a single logit, 0, for statistics such as these."""
    fields = like.new_zeros(like.shape[1])
    fields[_TIES] = 1
    return fields


def mass_of_rows(statistics: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """Σ y of every row, from statistics of targets that are not one-hot; the axis of the classes has length one."""
    return _mass_of_rows(statistics).view(without(shape, dim)).unsqueeze(dim)
