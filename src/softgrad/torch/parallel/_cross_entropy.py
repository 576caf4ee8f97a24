"""Cross-entropy of class shards: check the arguments on every rank, then exchange the statistics of the rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import handle_torch_function, has_torch_function_variadic

from softgrad.torch import _arguments, _shards
from softgrad.torch._autograd import sharded_loss
from softgrad.torch._cross_entropy import in_dtype
from softgrad.torch._kernels import statistics_fields, without
from softgrad.torch.parallel._rejection import reject_together

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from softgrad._loss_spec import ReductionName


def cross_entropy(
    local_logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: ReductionName = "mean",
    label_smoothing: float = 0.0,
    *,
    z_loss: float = 0.0,
    first_class: int | None = None,
    num_classes: int | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Cross-entropy of logits whose classes are shared out over the ranks of a process group.

    .. math:: \ell = -\sum_j y_j \log p_j + \zeta \operatorname{lse}(z)^2, \quad p = \operatorname{softmax}(z)

    with z the logits of all ranks side by side. A replacement for Megatron's ``vocab_parallel_cross_entropy``; for
    DTensors call `softgrad.torch.cross_entropy`.

    Parameters
    ----------
    local_logits : Tensor of shape (C_r,), (N, C_r) or (N, C_r, d1, …), float16, bfloat16, float32 or float64
        The logits of this rank's classes, for every row. C_r may differ between ranks, and be 0.
    target : Tensor
        Class indices, equal on all ranks and counted over all classes: int64 or uint8, of the shape of `local_logits`
        without C_r. Or the probabilities of this rank's classes, of the shape of `local_logits`.
    weight : Tensor of shape (C,), optional
        Factor of every class, of all ranks.
    ignore_index, reduction, label_smoothing, z_loss
        As for `softgrad.torch.cross_entropy`.
    first_class : int, optional
        The first class of this rank. By default shards of equal size are expected; where sizes differ, the statistics
        are then computed and gathered twice.
    num_classes : int, optional
        The number of classes of all ranks, C; by default the length of `weight`, or C_r times the number of ranks. It
        matters for `label_smoothing`.
    group : ProcessGroup, optional
        The ranks that share the classes, in the order of the classes; by default all.

    Returns
    -------
    Tensor
        Loss in nats, the same bits on all ranks: a scalar, or for "none" of the shape of `local_logits` without C_r.
        Differentiable to any order with respect to `local_logits`, class probabilities and `weight`.

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As for `softgrad.torch.cross_entropy`, and if `first_class` or `num_classes` contradict the shards. All ranks
        raise the error of the first rank that has one. Only if `local_logits` is not a tensor, its rank raises alone.
    RuntimeError
        If there is no process group, or the backend's error if a rank is gone or late. The group cannot be used then.

    Notes
    -----
    Accuracy as for `softgrad.torch.cross_entropy`, for any number of ranks: at most 2 ULP for class indices.

    The forward pass gathers one message of 576 bytes and 40 bytes per row (88 with label smoothing or class
    probabilities) from every rank; the backward pass has no collective, a Hessian-vector product one. The logits are
    read once for the loss and once for the gradient, which is the only large result; the logits and 88 bytes per row
    are saved for the derivatives.

    All ranks must have the same rows, use the same options, and backpropagate the same gradient of the loss.

    References
    ----------
    Shoeybi et al., "Megatron-LM", 2019, arXiv:1909.08053, §3; docs/design.md, statistics that merge.

    Examples
    --------
    >>> import torch, torch.distributed as dist
    >>> from softgrad.torch.parallel import cross_entropy
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> cross_entropy(torch.tensor([[0.0, 40.0]]), torch.tensor([1])).item()
    4.24835413113866e-18
    >>> dist.destroy_process_group()
    """
    if has_torch_function_variadic(local_logits, target, weight):
        return handle_torch_function(
            cross_entropy, (local_logits, target, weight), local_logits, target, weight, ignore_index, reduction,
            label_smoothing, z_loss=z_loss, first_class=first_class, num_classes=num_classes, group=group,
        )  # fmt: skip
    name = _shards.named(group)
    try:
        spec = _arguments.loss_spec(
            ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing, z_loss=z_loss
        )
        place = _arguments.shard(first_class, num_classes, weight)
        logits, target, weight, dim = _arguments.cross_entropy(local_logits, target, weight, spec, place[1])
    except _shards.REJECTED as error:
        expected = _statistics(local_logits, target, is_smoothed=label_smoothing != 0)
        reject_together(error, {"input": "local_logits"}, expected, local_logits, name)
    loss = sharded_loss(logits, target, weight, dim, spec, name, *place)
    return in_dtype(loss, logits.dtype)


def _statistics(local_logits: Any, target: Any, *, is_smoothed: bool) -> int:
    """How many numbers the other ranks expect in the message of this one."""
    if not isinstance(local_logits, torch.Tensor) or not local_logits.ndim:
        return 0
    rows = math.prod(without(local_logits.shape, 1 if local_logits.ndim > 1 else 0))
    has_labels = not (isinstance(target, torch.Tensor) and target.is_floating_point())
    return rows * statistics_fields(local_logits, one_hot=has_labels and not is_smoothed)
