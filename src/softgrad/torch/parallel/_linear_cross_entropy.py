"""Cross-entropy of a linear head whose classes are shared out over ranks: check the arguments, then go by chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.overrides import handle_torch_function, has_torch_function

from softgrad import _validation
from softgrad.torch import _arguments, _shards
from softgrad.torch._autograd import all_rows, sharded_linear_loss
from softgrad.torch._cross_entropy import in_dtype
from softgrad.torch._linear_cross_entropy import as_autocast, promoted
from softgrad.torch.parallel._rejection import reject_together

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from softgrad._loss_spec import ReductionName


def linear_cross_entropy(
    input: Tensor,
    local_weight: Tensor,
    target: Tensor,
    *,
    local_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: ReductionName = "mean",
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    chunk_rows: int | None = None,
    sequence_parallel: bool = False,
    first_class: int | None = None,
    num_classes: int | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Cross-entropy of a linear head whose classes are shared out over the ranks of a process group.

    .. math:: \ell = \sum_n \operatorname{CE}(W x_n + b,\; y_n)

    with W and b the rows of `local_weight` and `local_bias` of all ranks. The logits are never stored whole. For
    DTensors call `softgrad.torch.linear_cross_entropy`.

    Parameters
    ----------
    input : Tensor of shape (D,), (N, D) or (…, D), float16, bfloat16, float32 or float64
        Features, one row per target, equal on all ranks; or with `sequence_parallel` this rank's rows of them.
    local_weight : Tensor of shape (C_r, D), of the dtype of `input`
        Coefficients of this rank's classes. C_r may differ between ranks, and be 0.
    target : Tensor
        Class indices of all rows, equal on all ranks, of the shape of `input` without D; or the probabilities of this
        rank's classes, of that shape with C_r instead of D.
    local_bias : Tensor of shape (C_r,), optional
        Added to the logits.
    weight : Tensor of shape (C,), optional
        Factor of every class, of all ranks.
    reduction, ignore_index, label_smoothing, z_loss, softcap, chunk_rows
        As for `softgrad.torch.linear_cross_entropy`.
    sequence_parallel : bool
        Whether `input` of shape (N_r, D) holds only this rank's rows, in the order of the ranks; N_r may differ. The
        rows are gathered, and the gradient holds this rank's.
    first_class, num_classes, group
        As for `cross_entropy`.

    Returns
    -------
    Tensor
        Loss in nats, the same bits on all ranks: a scalar, or for "none" one per row. Differentiable to any order.

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As for `softgrad.torch.linear_cross_entropy` and `cross_entropy`, on all ranks together; also if the ranks have
        different numbers of rows.

    Notes
    -----
    One message of 576 bytes per rank agrees on the classes and on the rows of a chunk, every chunk gathers the
    statistics of its rows as `cross_entropy` does, and the gradient of `input` is summed over the ranks once. The
    gradients of `local_weight` and `local_bias` are of this rank's classes, without a collective.

    As in `softgrad.torch.linear_cross_entropy`, a reduced loss in eager mode computes its gradients in the same pass.
    Second derivatives, and derivatives with respect to `target` and `weight`, store this rank's logits.

    References
    ----------
    Korthikanti et al., "Reducing activation recomputation in large transformer models", 2022, arXiv:2205.05198, §4.2.2
    (sequence parallelism).
    """
    tensors = (input, local_weight, target, local_bias, weight)
    if has_torch_function(tensors):
        return handle_torch_function(
            linear_cross_entropy, tensors, input, local_weight, target, local_bias=local_bias, weight=weight,
            reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss,
            softcap=softcap, chunk_rows=chunk_rows, sequence_parallel=sequence_parallel, first_class=first_class,
            num_classes=num_classes, group=group,
        )  # fmt: skip
    name = _shards.named(group)
    try:
        _arguments.linear_head(input, local_weight, local_bias)
        place = _arguments.shard(first_class, num_classes, weight)
        spec = _arguments.loss_spec(
            ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction,
            label_smoothing=label_smoothing, z_loss=z_loss,
        )  # fmt: skip
        cap, rows = _validation.softcap(softcap), _validation.chunk_rows(chunk_rows)
        if local_weight.ndim > 2:
            raise RuntimeError(f"local_weight has shape {tuple(local_weight.shape)}; expected (C_r, D)")
        if sequence_parallel:
            _require_own_rows(input, target)
        batch = target.shape[:1] if sequence_parallel else input.shape[:-1]
        target = _arguments.linear_target(target, weight, batch, input, local_weight, spec, place[1])
    except _shards.REJECTED as error:
        names = {"linear_weight": "local_weight", "linear_bias": "local_bias"}
        reject_together(error, names, 0, input, name)
    x, W = as_autocast(input), as_autocast(local_weight)
    bias = None if local_bias is None else as_autocast(local_bias)
    n = batch.numel()
    x, target = x.reshape(-1, x.shape[-1]), target.reshape(n, *target.shape[len(batch) :])
    if sequence_parallel:
        x = all_rows(x, n, name)
    loss = sharded_linear_loss(x, W, bias, target, weight, spec, cap, rows, name, *place)
    if reduction == "none":
        loss = loss.reshape(batch)
    return in_dtype(loss, promoted(input, target, weight))


def _require_own_rows(input: Tensor, target: Tensor) -> None:
    if input.ndim != 2 or not isinstance(target, torch.Tensor) or target.ndim != 1 + target.is_floating_point():
        raise RuntimeError(
            f"input has shape {tuple(input.shape)} with sequence_parallel=True; expected (N_r, D), this rank's rows, "
            "beside a target for the rows of all ranks; write input.flatten(0, -2) and target.flatten()"
        )
