"""The compiled kernels on CPU tensors: one native call each, on the tensors' own memory.

The functions are those of `softgrad._closed_forms`, with targets from `_targets.native_targets`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from softgrad import _core
from softgrad._closed_forms import one_hot
from softgrad._core import Reduction, SoftmaxKind
from softgrad._loss_spec import DEFAULT
from softgrad.torch._kernels._memory import DTYPES, empty_like, materialised, without
from softgrad.torch._kernels._targets import summed

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

# Fields of the statistics of a row in native/layout/row_statistics.h; Σ y has two, of which this is the first.
TIES, LABEL, _MASS = 3, 4, 5


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
    total = write(logits, targets, spec, losses, gradient, statistics)
    return torch.scalar_tensor(total, dtype=dtype) if losses is None else losses


def cross_entropy_grad(
    logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec, statistics: Tensor | None = None
) -> Tensor:
    gradient = empty_like(logits)
    write(logits, targets, spec, None, gradient, statistics, upstream)
    return gradient


def write(
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
        summed(targets, spec)
        raise


def cross_entropy_hvp(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Tensor | None = None,
    directions: Tensor | None = None,
) -> Tensor:
    """The product of every row; of a block of its classes, given the statistics and directions of the whole rows."""
    result, targets = empty_like(logits), summed(targets, spec)
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
    return mass_of_rows(statistics)


def mass_of_rows(statistics: Tensor) -> Tensor:
    """Σ y of every row, from statistics of targets that are not one-hot."""
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
