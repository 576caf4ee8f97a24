"""The sum of the losses of a rank's rows, whose upstream gradient is in float64.

The upstream gradient of the sum is that of the whole loss over the denominator. Of a float32 sum, autograd would round
it to float32, which adds half an ULP or more to the error of every gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch._autograd import loss, sharded_loss
from softgrad.torch._autograd._cross_entropy import are_targets_differentiated
from softgrad.torch._autograd._sharded_cross_entropy import merged_shards
from softgrad.torch._dispatch import operators, sharded_operators

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def wide_sum(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec, *shard: Any) -> Tensor:
    """The summed loss in float64; shard: the group, first class and number of classes if they are shared out."""
    rest = (target, weight, dim, spec)
    if are_targets_differentiated(target, weight) or not (shard or logits.shape[dim]):
        return (sharded_loss(logits, *rest, *shard) if shard else loss(logits, *rest)).double()
    if shard:
        return _WideSum.apply(sharded_operators, logits, *merged_shards(logits, *rest, *shard))
    return _WideSum.apply(operators, logits, *rest)


class _WideSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, operators: Any, logits: Tensor, *rest: Any) -> Tensor:
        loss, ctx.gradient = operators.cross_entropy, operators.cross_entropy_grad
        tensors, ctx.options = rest[: loss.tensors - 1], rest[loss.tensors - 1 :]
        ctx.save_for_backward(logits, *tensors)
        return loss(logits, *rest).double()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, *rest = ctx.saved_tensors
        gradient = ctx.gradient(logits, upstream, *rest, *ctx.options)
        return None, gradient, *[None] * (len(rest) + len(ctx.options))
