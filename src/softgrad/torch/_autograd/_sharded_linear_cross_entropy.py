"""The derivatives of the cross-entropy of a linear head whose classes are shared out over ranks, to any order.

Loss and gradients go through the rows by chunks (`_shards`). Higher derivatives, and those with respect to targets and
class weights, are composed of the operators of class shards and torch's products, with the shard's logits in memory.
x is shared by all ranks, W and bias are those of the shard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad._core import Reduction
from softgrad.torch import _shards
from softgrad.torch._autograd._cross_entropy import are_targets_differentiated
from softgrad.torch._autograd._linear_cross_entropy import (
    define_head_derivatives,
    logit_change,
    with_gradients,
)
from softgrad.torch._autograd._sharded_cross_entropy import merged_shards, sharded_loss
from softgrad.torch._dispatch import recording
from softgrad.torch._dispatch import sharded_operators as sharded
from softgrad.torch._kernels import targets_of
from softgrad.torch._linear import capped, kept_features, slope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def sharded_linear_loss(x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, *rest: Any) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    weight, spec, softcap, _, group, *place = rest
    if are_targets_differentiated(target, weight):
        logits = _logits(x, W, bias, target, spec, softcap, group)
        return sharded_loss(logits, target, weight, 1, spec, group, *place)
    # float16 would lose small gradients before a loss scale from upstream can save them.
    has_gradients = spec.reduction is not Reduction.none and x.dtype != torch.float16
    if has_gradients and recording((x, W, bias, target, weight)) == "reverse":
        return _with_gradients(x, W, bias, target, *rest)
    return sharded.linear_cross_entropy(x, W, bias, target, *rest)


def all_rows(x: Tensor, rows: int, group: str) -> Tensor:
    """The rows of all ranks, so many in total, from those of this one."""
    counts = x.new_full((), len(x), dtype=torch.int64)
    return sharded.gather_rows(x, sharded.all_gather(counts, group), group, rows)


_with_gradients = with_gradients(_shards.sharded_value_and_gradients, sharded.linear_cross_entropy_grad)


def _logits(x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, spec: Any, softcap: float, group: str) -> Tensor:
    """The capped logits of the shard."""
    x = sharded.for_every_shard(kept_features(x, target, spec), group)
    return capped(torch.nn.functional.linear(x, W, bias), softcap)


def _composed_grad(x: Tensor, W: Tensor, bias: Tensor | None, upstream: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """`sharded_linear_cross_entropy_grad` with the logits in memory, whatever `chunk_rows` is."""
    target, weight, spec, softcap, _, group, first_class, classes, x_wanted, W_wanted = rest
    logits = _logits(x, W, bias, target, spec, softcap, group)
    merged = merged_shards(logits, target, weight, 1, spec, group, first_class, classes)
    g = sharded.cross_entropy_grad(logits, upstream, *merged)
    if softcap:
        g = g * slope(logits, softcap)
    of_x = of_W = x.new_empty(0)
    if x_wanted:
        of_x = sharded.sum_over_shards(g @ W, group)
    if W_wanted:
        of_W = g.T @ sharded.for_every_shard(kept_features(x, target, spec), group)
    return of_x, of_W, x.new_empty(0) if bias is None else g.sum(0)


def _loss_change(arguments: tuple[Any, ...], changes: Sequence[Tensor | None]) -> Tensor:
    """The change of the loss with changes of x, W and bias."""
    x, W, bias, target, weight, spec, softcap, _, group, *place = arguments
    x_change, *others = changes
    if x_change is not None:
        x_change = sharded.for_every_shard(kept_features(x_change, target, spec), group)
    logits = _logits(x, W, bias, target, spec, softcap, group)
    merged = merged_shards(logits, target, weight, 1, spec, group, *place)
    is_per_row = spec.reduction is Reduction.none
    wide = torch.promote_types(x.dtype, torch.float32)
    one = torch.ones(len(x) if is_per_row else (), dtype=wide, device=x.device)
    g = sharded.cross_entropy_grad(logits, one, *merged).to(wide)
    if softcap:
        g = g * slope(logits, softcap)
    x = sharded.for_every_shard(kept_features(x, target, spec), group)
    change = g * logit_change(x, W, x_change, *others)
    change = _closed_forms.kept_rows(change, targets_of(target, weight, 1, len(W), wide), spec)  # 0 times NaN is NaN
    return sharded.sum_over_shards(change.sum(1) if is_per_row else change.sum(), group)


define_head_derivatives(sharded.linear_cross_entropy, sharded.linear_cross_entropy_grad, _loss_change)
sharded.linear_cross_entropy_grad.composed_derivatives(_composed_grad)
