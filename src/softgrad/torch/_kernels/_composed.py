"""The kernels for devices without kernels of their own: the closed forms, composed of torch operations.

`_by_device` lists what a module of kernels has. Statistics of rows are named tuples; as one tensor they have the shape
(rows, fields).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softgrad import _closed_forms
from softgrad._arrays import accumulator
from softgrad._closed_forms import (
    Directions,
    Statistics,
    direction_statistics,
    log_softmax,
    log_softmax_vjp,
    logsumexp,
    merge_directions,
    merge_statistics,
    row_statistics,
    softmax,
    softmax_vjp,
)
from softgrad._core import Reduction
from softgrad._loss_spec import per_row
from softgrad.torch._kernels._memory import without
from softgrad.torch._kernels._targets import checked, nan_where_invalid
from softgrad.torch._kernels._targets import targets_of as targets

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

# A loss and its gradient have no pass in common.
MOST_FUSED_LOGITS = 0


def cross_entropy(
    logits: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Statistics | None = None,
    gradient: Tensor | None = None,
) -> Tensor:
    """The loss; its gradient is written to `gradient`, if given."""
    if gradient is not None:
        shape = without(logits.shape, targets.axis) if spec.reduction is Reduction.none else ()
        one = torch.ones(shape, dtype=accumulator(logits), device=logits.device)
        gradient.copy_(cross_entropy_grad(logits, one, targets, spec, statistics))
    losses = _closed_forms.cross_entropy(logits, targets, per_row(spec), statistics)
    return _closed_forms.reduced(nan_where_invalid(losses, targets, spec), targets, spec)


def cross_entropy_grad(
    logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec, statistics: Statistics | None = None
) -> Tensor:
    upstream, spec = _of_rows(upstream, targets, spec)
    return _closed_forms.cross_entropy_grad(logits, upstream, targets, spec, statistics)


def write_cross_entropy_grad(
    logits: Tensor,
    upstream: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None = None,
    statistics: Statistics | None = None,
) -> None:
    """Overwrite the logits with the gradient; write the losses of the rows to `losses`, if given."""
    if losses is not None:
        losses.copy_(cross_entropy(logits, targets, per_row(spec), statistics))
    logits.copy_(cross_entropy_grad(logits, upstream, targets, spec, statistics))


def rescale_cross_entropy_grad(
    gradient: Tensor, logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec
) -> None:
    """Make the gradient for upstream 1 that for another upstream, by computing it again: upstream is not read."""
    gradient.copy_(cross_entropy_grad(logits, upstream, targets, spec))


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
    upstream, spec = _of_rows(upstream, targets, spec)
    product = _closed_forms.cross_entropy_hvp(logits, upstream, v, targets, spec, statistics, directions)
    return product if out is None else out.copy_(product)


def _of_rows(upstream: Tensor, targets: Targets, spec: LossSpec) -> tuple[Tensor, LossSpec]:
    """The upstream gradient and the options of losses of rows with labels, NaN where these are no classes."""
    if targets.labels is None:
        return upstream, spec
    if spec.reduction is not Reduction.none:
        upstream = upstream.to(accumulator(upstream)) / targets.denominator(spec)[0]
    return nan_where_invalid(upstream, targets, spec), per_row(spec)


def scale_in_place(tensor: Tensor, factor: Tensor) -> None:
    """Multiply a tensor by a factor, which is not read."""
    tensor.mul_(factor)


def statistics_fields(*, one_hot: bool) -> int:
    """The number of statistics of every row, or of those that matter for targets that are one-hot, which are first."""
    return Statistics._fields.index("label") + 1 if one_hot else len(Statistics._fields)


def direction_fields() -> int:
    """The number of statistics of a direction in every row."""
    return len(Directions._fields)


def packed(statistics: Statistics | Directions) -> Tensor:
    """Statistics of rows, or of a direction, as one tensor of shape (rows, fields)."""
    return statistics.packed()


def unpacked_statistics(fields: Tensor, shape: tuple[int, ...], dim: int) -> Statistics:
    """The statistics of rows that `packed` has made one tensor; `shape` is that of the logits."""
    return Statistics.unpacked(fields, shape, dim)


def unpacked_directions(fields: Tensor, shape: tuple[int, ...], dim: int) -> Directions:
    """The same for the statistics of a direction."""
    return Directions.unpacked(fields, shape, dim)


def of_logit_zero(like: Tensor) -> Tensor:
    """The fields of a row of a single logit, 0, for statistics such as these."""
    return like.new_zeros(like.shape[1])


def mass_of_rows(statistics: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """Σ y of every row, from statistics of targets that are not one-hot; the axis of the classes has length one."""
    return Statistics.unpacked(statistics, shape, dim).mass
