"""The cross-entropy of a linear head whose classes are shared out over ranks, with one chunk of logits in memory.

One small message agrees on the classes and on the rows of a chunk. Then every chunk gathers the statistics of its rows,
and the gradient of x is summed over the ranks once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad._loss_spec import per_row
from softgrad.torch._kernels import (
    block_statistics,
    for_kernels,
    kernels_for,
    merged_statistics,
    scratch,
    statistics_fields,
)
from softgrad.torch._linear import GradientSums, LinearHead, cap_in_place
from softgrad.torch._shards import _group, _message
from softgrad.torch._shards._cross_entropy import targets_of_shard
from softgrad.torch._shards._place import Place, first_classes

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def sharded_linear_cross_entropy(x: Tensor, W: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    """The loss alone."""
    return sharded_value_and_gradients(x, W, bias, *rest, None, (False, False, False))[0]


def sharded_linear_cross_entropy_grad(
    x: Tensor, W: Tensor, bias: Tensor | None, upstream: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, W and bias, times the upstream gradient; empty where not wanted."""
    *options, x_wanted, W_wanted = rest
    wanted = (bool(x_wanted), bool(W_wanted), bias is not None)
    _, *gradients = sharded_value_and_gradients(x, W, bias, *options, upstream, wanted)
    return tuple(x.new_empty(0) if g is None else g for g in gradients)


def sharded_value_and_gradients(
    x: Tensor, W: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The loss, and the gradients that are wanted, times the upstream gradient; None where not wanted.

    The gradient of x is that of all classes, those of W and bias are of the shard's.
    """
    target, weight, spec, softcap, chunk_rows, group, first_class, all_classes, upstream, wanted = rest
    place = Place(len(W), first_class, all_classes)
    options = _message.key(spec, softcap, chunk_rows, upstream is None, wanted[0])
    targets, most_classes = _agreed(x, target, weight, spec, place, options, group)
    head = LinearHead(x, W, bias, targets, spec, softcap, chunk_rows)
    buffers = 2 if softcap and upstream is not None else 1
    head = head._replace(chunk_rows=head.most_rows(buffers, most_classes))  # of every rank
    kept, rows = head.kept()
    losses = x.new_empty(len(kept.x), dtype=torch.promote_types(x.dtype, torch.float32))
    scale = None
    if upstream is not None:
        scale = kept.row_scale(upstream if rows is None or not upstream.ndim else upstream[rows])
    sums = GradientSums(kept, rows, len(x), wanted)
    _losses_and_gradients(kept, losses, scale, sums, group)
    loss = _closed_forms.reduced(losses, targets, spec)
    if rows is not None and loss.ndim:
        loss = loss.new_zeros(len(x)).index_copy_(0, rows, loss)
    of_x, *of_coefficients = sums.results()
    if of_x is not None:
        wide = of_x.to(torch.promote_types(of_x.dtype, torch.float32))
        of_x = _group.all_reduce(wide, group).to(of_x.dtype)
    return loss, of_x, *of_coefficients


def _agreed(
    x: Tensor, target: Tensor, weight: Tensor | None, spec: LossSpec, place: Place, options: int, group: str
) -> tuple[Targets, int]:
    """The targets of this shard, and the most classes that a rank holds. Raises an error of any rank on all ranks."""
    rank, size = _group.rank_and_size(group)
    own, logits = place.assumed(rank, size), x.new_empty(0, place.own)
    while True:
        error = None
        try:
            targets = targets_of_shard(logits, target, weight, 1, own, spec)
        except _message.REJECTED as rejected:
            error = rejected
        header = _message.Header(place, len(x), _message.checksum(target), options, error)
        headers = _message.exchange(header, x.device, group)
        firsts, classes = first_classes([header.place for header in headers])
        places = [header.place.assumed(r, size) for r, header in enumerate(headers)]
        if own == (firsts[rank], classes) and all(p == (f, classes) for p, f in zip(places, firsts, strict=True)):
            _message.raise_first(headers)
            _message.require_agreement(headers)
            return targets, max(header.place.own for header in headers)
        place = Place(place.own, firsts[rank], classes)
        own = (firsts[rank], classes)


def _losses_and_gradients(
    head: LinearHead, losses: Tensor, scale: Tensor | None, sums: GradientSums, group: str
) -> None:
    """As `_linear._by_rows`, with the statistics of every chunk gathered from all ranks."""
    spec = per_row(head.spec)
    with scratch((head.chunk_size(), len(head.W)), head.x.dtype, head.x.device) as buffer:
        for part, chunk in head.chunks():
            logits = buffer[: len(chunk.x)]
            chunk.write_logits(logits)
            slope = cap_in_place(logits, head.softcap, slope_wanted=scale is not None)
            statistics = _gathered_statistics(logits, chunk, spec, group)
            nothing = chunk.targets.block(slice(0, 0))._replace(first_class=chunk.targets.first_class)
            losses[part] = kernels_for(logits).cross_entropy(logits[:, :0], nothing, spec, statistics)
            if scale is None:
                continue
            kernels_for(logits).write_cross_entropy_grad(
                logits, scale[part], chunk.targets, spec, statistics=statistics
            )
            if slope is not None:
                logits.mul_(slope)
            sums.add(part, logits, chunk.x)


def _gathered_statistics(logits: Tensor, chunk: LinearHead, spec: LossSpec, group: str) -> Any:
    one_hot = chunk.targets.labels is not None and not spec.label_smoothing
    own = block_statistics(logits, chunk.targets, spec)[:, : statistics_fields(logits, one_hot=one_hot)]
    return for_kernels(merged_statistics(_group.all_gather(own, group), logits, 1), logits, 1)
