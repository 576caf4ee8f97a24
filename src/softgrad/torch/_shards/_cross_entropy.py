"""The kernels of rows whose classes are shared out over the ranks of a process group.

The statistics of every shard travel once, in the forward pass, and are merged on every rank alike; with them each rank
computes the loss and the gradient of its own classes. A Hessian-vector product exchanges its mean under p once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad._core import Reduction
from softgrad._targets import Targets
from softgrad.torch._kernels import (
    block_directions,
    block_statistics,
    for_kernels,
    kernels_for,
    merged_directions,
    merged_statistics,
    replace_rows,
    statistics_fields,
    without,
)
from softgrad.torch._shards import _group, _message
from softgrad.torch._shards._message import REJECTED, Header
from softgrad.torch._shards._place import Place, first_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def shard_statistics(
    logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec, group: str, *given: int
) -> Tensor:
    """The message about a shard; given: its first class and the number of all classes, or -1."""
    place = Place(logits.shape[dim], *given)
    first, classes = place.assumed(*_group.rank_and_size(group))
    return _statistics_message(logits, target, weight, dim, spec, place, first, classes)


def _statistics_message(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    spec: LossSpec,
    place: Place,
    first: int,
    classes: int,
) -> Tensor:
    sent, rows = fields_sent(logits, target, spec), math.prod(without(logits.shape, dim))
    header = Header(place, rows, _message.checksum(target), _message.key(spec, dim))
    try:
        targets = targets_of_shard(logits, target, weight, dim, (first, classes), spec)
        return _message.message(header, block_statistics(logits, targets, spec)[:, :sent])
    except REJECTED as error:
        nothing = torch.zeros(rows * sent, dtype=torch.float64, device=logits.device)
        return _message.message(header._replace(error=error), nothing)


def merge_shards(
    gathered: Tensor,
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    spec: LossSpec,
    group: str,
    *given: int,
) -> tuple[Tensor, Tensor]:
    """The statistics of whole rows, and the first class of this shard with the number of all classes.

    Raises the error of the lowest rank that has one, on all ranks. If the shards do not lie where their ranks have
    assumed, the statistics are computed and gathered a second time.
    """
    headers, (rank, size) = _message.headers(gathered), _group.rank_and_size(group)
    if any(header.is_final for header in headers):
        _message.raise_first(headers)
    firsts, classes = first_classes([header.place for header in headers])
    assumed = [header.place.assumed(r, size) for r, header in enumerate(headers)]
    matters = spec.label_smoothing != 0 or any(header.error is not None for header in headers)
    if any(first != a or (matters and classes != c) for first, (a, c) in zip(firsts, assumed, strict=True)):
        place = headers[rank].place
        again = _statistics_message(logits, target, weight, dim, spec, place, firsts[rank], classes)
        gathered = _group.all_gather(again, group)
        headers = _message.headers(gathered)
    _message.raise_first(headers)
    _message.require_agreement(headers)
    parts = _message.statistics(gathered, fields_sent(logits, target, spec))
    merged = merged_statistics(parts, logits, dim)
    kept = Targets(classes, target).kept(spec) if not target.is_floating_point() else None
    if kept is not None and not kept.all():  # composed derivatives need a finite softmax of every row
        merged = replace_rows(merged, ~kept, logits)
    return merged, torch.tensor([firsts[rank], classes])


def sharded_cross_entropy(logits: Tensor, statistics: Tensor, shard: Tensor, *rest: Any) -> Tensor:
    """The loss, from the statistics alone."""
    target, weight, dim, spec, _ = rest
    nothing, place = logits.narrow(dim, 0, 0), shard.tolist()
    if target.is_floating_point():
        target = target.narrow(dim, 0, 0)
    targets = targets_of_shard(nothing, target, weight, dim, place, spec)
    if not place[1]:  # no rank has a class: sums over nothing, as in torch
        losses = nothing.sum(dim, dtype=torch.promote_types(logits.dtype, torch.float32))
        return _closed_forms.reduced(losses, targets, spec) * (math.nan if spec.reduction is Reduction.mean else 1)
    return kernels_for(logits).cross_entropy(nothing, targets, spec, for_kernels(statistics, nothing, dim))


def sharded_cross_entropy_grad(
    logits: Tensor, upstream: Tensor, statistics: Tensor, shard: Tensor, *rest: Any
) -> Tensor:
    """The gradient with respect to the logits of the shard."""
    target, weight, dim, spec, _ = rest
    targets = targets_of_shard(logits, target, weight, dim, shard.tolist(), spec)
    given = for_kernels(statistics, logits, dim)
    return kernels_for(logits).cross_entropy_grad(logits, upstream, targets, spec, given)


def shard_directions(logits: Tensor, v: Tensor, statistics: Tensor, dim: int) -> Tensor:
    """What a shard contributes to the mean of v under p."""
    return block_directions(logits, v, dim, statistics)


def sharded_cross_entropy_hvp(
    logits: Tensor, upstream: Tensor, v: Tensor, directions: Tensor, statistics: Tensor, shard: Tensor, *rest: Any
) -> Tensor:
    """The Hessian times v, for the classes of the shard; directions: of all ranks, stacked."""
    target, weight, dim, spec, _ = rest
    targets = targets_of_shard(logits, target, weight, dim, shard.tolist(), spec)
    given, mean = for_kernels(statistics, logits, dim), merged_directions(directions, logits, dim)
    return kernels_for(logits).cross_entropy_hvp(logits, upstream, v, targets, spec, given, mean)


def sharded_softmax(logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    return kernels_for(logits).softmax(logits, dim, for_kernels(statistics, logits, dim))


def sharded_log_softmax(logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    return kernels_for(logits).log_softmax(logits, dim, for_kernels(statistics, logits, dim))


def sharded_logsumexp(logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    """Minus the log-softmax of a logit 0."""
    zero = logits.new_zeros([1 if i == dim else n for i, n in enumerate(logits.shape)])
    return -sharded_log_softmax(zero, statistics, dim, group).squeeze(dim)


def targets_of_shard(
    logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, place: Sequence[int], spec: LossSpec
) -> Targets:
    """The targets of a shard. Raises IndexError if a label is no class of any shard."""
    first, classes = place
    kernels = kernels_for(logits)
    # Without the check every rank would take a label that is no class for one of another rank.
    targets: Targets = kernels.checked(kernels.targets(target, weight, dim, classes, logits.dtype), spec)
    return targets._replace(first_class=first)


def fields_sent(logits: Tensor, target: Tensor, spec: LossSpec) -> int:
    """The number of statistics that every row sends."""
    one_hot = not (target.is_floating_point() or spec.label_smoothing)
    return statistics_fields(logits, one_hot=one_hot)
