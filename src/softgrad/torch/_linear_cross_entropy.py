"""Cross-entropy of a linear head, logits = input Wᵀ + bias: check the arguments, then call one operator."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch.overrides import handle_torch_function, has_torch_function

from softgrad import _validation
from softgrad.torch import _arguments
from softgrad.torch._autograd import linear_loss
from softgrad.torch._cross_entropy import cross_entropy, in_dtype
from softgrad.torch._linear import capped, kept_features

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import ReductionName


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: ReductionName = "mean",
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    chunk_rows: int | None = None,
) -> Tensor:
    r"""Cross-entropy of logits input · linear_weightᵀ + linear_bias, which are never stored whole.

    .. math:: \ell = \sum_n \operatorname{CE}(W x_n + b,\; y_n)

    A replacement for torch.nn.functional.linear_cross_entropy, or for a linear layer followed by `cross_entropy`.

    Parameters
    ----------
    input : Tensor of shape (D,), (N, D) or (…, D), float16, bfloat16, float32 or float64
        Features, one row per target.
    linear_weight : Tensor of shape (C, D), of the dtype of `input`
        Coefficients, one row per class. For shape (C, d1, …, D), which torch allows too, the logits are stored.
    target : Tensor
        Class indices of the shape of `input` without D, or class probabilities of that shape with C instead of D.
    linear_bias : Tensor of shape (C,), optional
        Added to the logits.
    weight, reduction, label_smoothing, z_loss
        As for `cross_entropy`.
    ignore_index : int or None
        As for `cross_entropy`; None means -100. Ignored rows cost nothing on the CPU.
    softcap : float, optional
        Bound of the logits z, which are replaced by softcap · tanh(z / softcap).
    chunk_rows : int, optional
        Number of rows whose logits are in memory at a time; by default as many as fit into 64 MiB, or into three
        quarters of the size of `linear_weight` (all of its size on a GPU) if that is more.

    Returns
    -------
    Tensor
        Loss in nats: a scalar, or for "none" of the shape of `input` without D; of the dtype of `input` (float32 under
        autocast). Differentiable to any order.

    Raises
    ------
    TypeError, ValueError, IndexError, RuntimeError
        As for `cross_entropy`; also if shapes or dtypes of `input`, `linear_weight` and `linear_bias` do not match.

    Notes
    -----
    The products are torch's, with its accuracy; the loss of the logits is as accurate as in `cross_entropy`. Gradients
    with respect to the coefficients are summed in float32 or float64.

    In eager mode, a reduced loss computes the gradients of all tensors that require one in the same pass: three
    products in total, or fewer if not every tensor requires a gradient. In all other cases the backward pass computes
    the logits again: with the reduction "none", in float16 (the loss scale must be applied before rounding), under
    torch.compile and torch.func, and in a second backward pass. Besides the results, one chunk of logits is allocated,
    or two chunks of half the size for Hessian-vector products; third derivatives, and derivatives with respect to
    `target` and `weight`, store the logits.

    `input` and `linear_weight` may be DTensors of one mesh, the one sharded by rows, the other by classes, along any
    dimensions; rows that are sharded along the dimension of the classes are gathered (sequence parallelism). See
    `cross_entropy` and docs/torch.md.

    References
    ----------
    Hsu et al., "Liger Kernel", 2024, arXiv:2410.10989; softcap: Gemma Team, 2024, arXiv:2408.00118, §2.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import linear_cross_entropy
    >>> features = torch.eye(2)
    >>> coefficients = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    >>> linear_cross_entropy(features, coefficients, torch.tensor([0, 2]), reduction="none")
    tensor([0.4076, 1.0986])
    """
    tensors = (input, linear_weight, target, linear_bias, weight)
    if has_torch_function(tensors):
        return handle_torch_function(
            linear_cross_entropy, tensors, input, linear_weight, target, linear_bias=linear_bias, weight=weight,
            reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss,
            softcap=softcap, chunk_rows=chunk_rows,
        )  # fmt: skip
    _arguments.linear_head(input, linear_weight, linear_bias)
    ignored = -100 if ignore_index is None else ignore_index
    spec = _arguments.loss_spec(
        ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing, z_loss=z_loss
    )
    cap, rows = _validation.softcap(softcap), _validation.chunk_rows(chunk_rows)
    x, W = as_autocast(input), as_autocast(linear_weight)
    bias = None if linear_bias is None else as_autocast(linear_bias)
    target = _arguments.linear_target(target, weight, input.shape[:-1], input, W, spec)
    if W.ndim > 2 and not _arguments.is_distributed(W):
        bias = None if bias is None else bias.flatten()
        logits = torch.nn.functional.linear(kept_features(x, target, spec), W.flatten(0, -2), bias)
        logits = capped(logits, cap).unflatten(-1, W.shape[:-1])
        return cross_entropy(logits, target, weight, ignored, reduction, label_smoothing, z_loss=z_loss)
    if _arguments.is_head_distributed(x, W, linear_bias=bias, target=target, weight=weight):
        from softgrad.torch.parallel import _dtensor  # noqa: PLC0415, which needs torch.distributed

        loss = _dtensor.linear_loss(x, W, bias, target, weight, spec, cap, rows)
    else:
        n = input.shape[:-1].numel()
        x, target = x.reshape(n, x.shape[-1]), target.reshape(n, *target.shape[input.ndim - 1 :])
        loss = linear_loss(x, W, bias, target, weight, spec, cap, rows)
        if reduction == "none":
            loss = loss.reshape(input.shape[:-1])
    return in_dtype(loss, promoted(input, target, weight))


def promoted(input: Tensor, target: Tensor, weight: Tensor | None) -> torch.dtype:
    """The dtype of the loss: that of the features, promoted with those of class probabilities and class weights."""
    factors = [t.dtype for t in (target, weight) if t is not None and t.is_floating_point()]
    return functools.reduce(torch.promote_types, factors, input.dtype)


def as_autocast(operand: Tensor) -> Tensor:
    """The operand of a product in the dtype of autocast, if that is on."""
    if operand.dtype == torch.float64 or not _arguments.under_autocast(operand.device):
        return operand
    return operand.to(torch.get_autocast_dtype(operand.device.type))
