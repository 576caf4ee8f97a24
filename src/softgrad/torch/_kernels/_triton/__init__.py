"""The kernels in Triton, for CUDA tensors of float32, bfloat16 and float16.

`_by_device` lists what a module of kernels has. Two kernels do all of it: that of `_rows` reads and writes elements,
and that of `_finish` computes what every row needs only once. `_run` launches them, by the fixed table of
`_configurations`.
Statistics of rows are those of the closed forms, which also merge them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from softgrad import _closed_forms
from softgrad._closed_forms import Directions, Statistics, one_hot
from softgrad._core import Reduction
from softgrad.torch._kernels._composed import (
    checked,
    direction_fields,
    mass_of_rows,
    merge_directions,
    merge_statistics,
    of_logit_zero,
    packed,
    statistics_fields,
    targets,
    unpacked_directions,
    unpacked_statistics,
)
from softgrad.torch._kernels._memory import without
from softgrad.torch._kernels._triton._device._results import GRADIENT, LOG_SOFTMAX, PRODUCT, STATISTICS_ONLY
from softgrad.torch._kernels._triton._device._row_statistics import DENSE, DIRECTION, OF_PROBABILITIES, ONE_HOT
from softgrad.torch._kernels._triton._run import Task, merge, run, run_finish, scale_unless_one

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

__all__ = [
    "MOST_FUSED_LOGITS",
    "checked",
    "cross_entropy",
    "cross_entropy_grad",
    "cross_entropy_hvp",
    "direction_fields",
    "direction_statistics",
    "log_softmax",
    "log_softmax_vjp",
    "logsumexp",
    "mass_of_rows",
    "merge_directions",
    "merge_statistics",
    "of_logit_zero",
    "packed",
    "rescale_cross_entropy_grad",
    "row_statistics",
    "scale_in_place",
    "softmax",
    "softmax_vjp",
    "statistics_fields",
    "targets",
    "unpacked_directions",
    "unpacked_statistics",
    "write_cross_entropy_grad",
]

# The gradient has to be in memory at backward anyway.
MOST_FUSED_LOGITS = math.inf


def softmax(logits: Tensor, dim: int, statistics: Statistics | None = None) -> Tensor:
    result = torch.empty_like(logits)
    if result.numel():
        run(Task(logits=logits, dim=dim, given=_fields(statistics)), GRADIENT, result)
    return result


def log_softmax(logits: Tensor, dim: int, statistics: Statistics | None = None) -> Tensor:
    result = torch.empty_like(logits)
    if result.numel():
        run(Task(logits=logits, dim=dim, given=_fields(statistics)), LOG_SOFTMAX, result)
    return result


def logsumexp(logits: Tensor, dim: int) -> Tensor:
    result = logits.new_empty(without(logits.shape, dim))
    if not logits.numel():
        return result.fill_(-torch.inf)
    task = Task(logits=logits, dim=dim)
    run_finish(task, run(task, STATISTICS_ONLY, keep_statistics=True), lse=result)
    return result


def softmax_vjp(probs: Tensor, v: Tensor, dim: int) -> Tensor:
    result = torch.empty_like(probs)
    if result.numel():
        run(Task(logits=probs, dim=dim, kind=OF_PROBABILITIES), PRODUCT, result, x=v)
    return result


def log_softmax_vjp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Lᵀ v = v - p Σ v: minus the gradient of the cross-entropy with targets v."""
    result = torch.empty_like(logits)
    if result.numel():
        minus_one = torch.full((), -1.0, dtype=torch.float64, device=logits.device)
        run(Task(logits=logits, dim=dim, kind=DENSE, scale=minus_one), GRADIENT, result, x=v)
    return result


def row_statistics(logits: Tensor, targets: Targets, spec: LossSpec) -> Statistics:
    """The statistics of rows, or of the block of their classes that the logits are."""
    if not logits.numel():
        return _closed_forms.row_statistics(logits, targets, spec)
    task = _task(logits, targets, spec)
    tiles = run(task, STATISTICS_ONLY, x=targets.probabilities, keep_statistics=True)
    statistics = Statistics.unpacked(merge(task, tiles), logits.shape, targets.axis)
    if not one_hot(targets, spec):
        return statistics
    nothing = torch.zeros_like(statistics.maximum)
    return statistics._replace(mass=nothing, below=nothing, dot=nothing)


def direction_statistics(logits: Tensor, v: Tensor, dim: int, statistics: Statistics) -> Directions:
    """The statistics of v in rows, or in a block of their classes, from the statistics of the rows."""
    if not logits.numel():
        return _closed_forms.direction_statistics(logits, v, dim, statistics)
    task = Task(logits=logits, dim=dim, kind=DIRECTION)
    merged = merge(task, run(task, STATISTICS_ONLY, x=v, keep_statistics=True))
    m, excess, pivot, *_, dot = Statistics.unpacked(merged, logits.shape, dim)
    below = torch.exp(m - statistics.maximum)
    return Directions(pivot, (m == statistics.maximum).to(m.dtype), (1 + excess) * below, dot * below)


def cross_entropy(
    logits: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Statistics | None = None,
    gradient: Tensor | None = None,
) -> Tensor:
    """The loss; its gradient is written to `gradient`, if given, in the same pass."""
    targets = targets._replace(summed_weight=targets.denominator(spec))
    losses = torch.empty(without(logits.shape, targets.axis), dtype=torch.float32, device=logits.device)
    _write(_task(logits, targets, spec, statistics, _denominator_only(targets, spec)), losses, gradient)
    return _closed_forms.reduced(losses, targets, spec)


def cross_entropy_grad(
    logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec, statistics: Statistics | None = None
) -> Tensor:
    gradient = torch.empty_like(logits)
    _write(_task(logits, targets, spec, statistics, upstream), None, gradient)
    return gradient


def write_cross_entropy_grad(
    logits: Tensor,
    upstream: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None = None,
    statistics: Statistics | None = None,
) -> None:
    """Overwrite the logits with the gradient; write the losses of the rows to `losses`, if given."""
    _write(_task(logits, targets, spec, statistics, upstream), losses, logits)


def rescale_cross_entropy_grad(
    gradient: Tensor, logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec
) -> None:
    """Make the gradient for upstream 1 that for another upstream, by computing it again.

    The device looks whether `upstream` is 1, in which case nothing is done; the host does not wait for it.
    """
    _write(replace(_task(logits, targets, spec, None, upstream), unless_one=upstream), None, gradient)


def _task(
    logits: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Statistics | None = None,
    upstream: Tensor | None = None,
) -> Task:
    """The task of a loss and its gradient."""
    return Task(
        logits=logits,
        dim=targets.axis,
        kind=ONE_HOT if one_hot(targets, spec) else DENSE,
        targets=targets,
        spec=spec,
        scale=None if upstream is None else _scale(upstream, targets, spec),
        given=_fields(statistics),
        with_label=statistics is not None,
    )


def _denominator_only(targets: Targets, spec: LossSpec) -> Tensor | None:
    """The upstream gradient 1 of a mean, whose denominator the gradient needs all the same."""
    if spec.reduction is not Reduction.mean:
        return None
    like = targets.probabilities if targets.labels is None else targets.labels
    return torch.ones((), dtype=torch.float64, device=like.device)


def _scale(upstream: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """The upstream gradient of all rows, or of each, over the denominator."""
    return (upstream.to(torch.float64) / targets.denominator(spec)[0]).contiguous()


def _write(task: Task, losses: Tensor | None, gradient: Tensor | None) -> None:
    """Write the losses of the rows and the gradient to the tensors given; the gradient may be the logits."""
    if not task.row_count or task.targets is None:
        return
    has_label, has_classes = task.targets.labels is not None, task.classes != 0
    needs_finish = losses is not None or has_label
    statistics = task.given
    if has_classes and (gradient is not None or statistics is None):
        result = STATISTICS_ONLY if gradient is None else GRADIENT
        keeps = needs_finish and statistics is None
        tiles = run(task, result, gradient, x=task.targets.probabilities, keep_statistics=keeps)
        statistics = tiles if statistics is None else statistics
    if needs_finish and statistics is not None:
        run_finish(task, statistics, losses=losses, gradient=gradient if has_label and has_classes else None)


def cross_entropy_hvp(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Statistics | None = None,
    directions: Directions | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The product of every row, or of a block of its classes; it is written to `out`, if given, which may be v."""
    result = torch.empty_like(logits) if out is None else out
    if not result.numel():
        return result
    of_given = statistics is not None and not one_hot(targets, spec)
    mass = statistics.mass.squeeze(targets.axis) if statistics is not None and of_given else _wide_mass(targets, spec)
    given = None
    if statistics is not None and directions is not None:
        given = statistics._replace(label=directions.pivot, dot=directions.dot)
    task = replace(_task(logits, targets, spec, given, upstream), kind=DIRECTION)
    run(task, PRODUCT, result, x=v, mass=None if mass is None else mass.to(torch.float64).contiguous())
    return result


def _wide_mass(targets: Targets, spec: LossSpec) -> Tensor | None:
    """Σ y of every row in float64; None where it is 1."""
    if targets.class_weight is not None:
        targets = targets._replace(class_weight=targets.class_weight.to(torch.float64))
    return targets.mass(spec)


def scale_in_place(tensor: Tensor, factor: Tensor) -> None:
    """Multiply a tensor by a number on its device, which the host does not read; nothing is done if it is 1."""
    if tensor.is_contiguous():
        scale_unless_one(tensor, factor)
    else:
        tensor.mul_(factor)


def _fields(statistics: Statistics | None) -> Tensor | None:
    return None if statistics is None else packed(statistics).to(torch.float64).contiguous()
