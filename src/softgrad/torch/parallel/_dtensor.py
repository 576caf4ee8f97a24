"""softmax and losses of DTensors: every rank computes with its local parts, and sums of rows are sums over the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.distributed.tensor import Replicate, Shard

from softgrad._core import Reduction
from softgrad.torch import _autograd
from softgrad.torch._kernels import targets_of, without
from softgrad.torch.parallel._local_parts import Layout, to_local, to_whole, without_partial
from softgrad.torch.parallel._roles import Roles
from softgrad.torch.parallel._row_sums import whole_loss
from softgrad.torch.parallel._wide_sum import wide_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.distributed.tensor import DTensor

    from softgrad._loss_spec import LossSpec


def of_rows(function: Callable[[Tensor], Tensor], input: DTensor, dims: tuple[int, ...]) -> DTensor:
    """A function of the rows along some dimensions, which it keeps, or removes, or keeps with length one."""
    placements = without_partial(input.placements)
    whole = tuple(p if type(p) is Shard and p.dim not in dims else Replicate() for p in placements)
    if placements != whole:
        raise ValueError(
            f"input has placements {input.placements}; expected whole rows along dim={', '.join(map(str, dims))}; "
            f"write input.redistribute(placements={list(whole)})"
        )
    result = function(to_local(input, Layout.of(input, whole)))
    if result.ndim == input.ndim:
        shape = [result.shape[i] if i in dims else n for i, n in enumerate(input.shape)]
    else:
        shape = [n for i, n in enumerate(input.shape) if i not in dims]
        whole = tuple(p if p.is_replicate() else Shard(p.dim - sum(d < p.dim for d in dims)) for p in whole)
    return to_whole(result, Layout.of_result(input.device_mesh, torch.Size(shape), whole))


def loss(logits: DTensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> DTensor:
    """The loss of checked arguments, float32 or float64."""
    roles, classes = Roles.of_logits(logits, dim), logits.shape[dim]
    z = to_local(logits, Layout.of(logits, roles.of_rows(dim)))
    target = roles.local_target(target, dim)
    weight = roles.local_coefficients(weight, "weight", roles.replicated)
    shard = () if roles.classes is None else roles.shard(classes)

    def local_loss(spec: LossSpec) -> Tensor:
        if roles.rows and spec.reduction is Reduction.sum:
            return wide_sum(z, target, weight, dim, spec, *shard)
        loss_of = _autograd.sharded_loss if shard else _autograd.loss
        return loss_of(z, target, weight, dim, spec, *shard)

    targets, rows = targets_of(target, weight, dim, classes, torch.float64), torch.Size(without(logits.shape, dim))
    return whole_loss(local_loss, targets, roles, rows, _dtype_of_loss(z), spec)


def linear_loss(
    x: DTensor, W: DTensor, bias: Tensor | None, target: Tensor, weight: Tensor | None, spec: LossSpec,
    softcap: float, chunk_rows: int,
) -> DTensor:  # fmt: skip
    """The loss of checked arguments, float32 or float64."""
    if W.ndim > 2:
        raise NotImplementedError(
            f"linear_weight has shape {tuple(W.shape)} and is a DTensor; expected (C, D); for several outputs write "
            "cross_entropy(torch.nn.functional.linear(...), target)"
        )
    roles, rows, classes, dim = Roles.of_head(x, W), x.shape[:-1], len(W), x.ndim - 1
    local_x = to_local(x, Layout.of(x, roles.of_rows()))
    local_rows, target = local_x.shape[:-1], roles.local_target(target, dim)
    n = local_rows.numel()
    local_x, target = local_x.reshape(n, x.shape[-1]), target.reshape(n, *target.shape[dim:])
    local_W = roles.local_coefficients(W, "linear_weight", roles.of_classes())
    bias = roles.local_coefficients(bias, "linear_bias", roles.of_classes())
    weight = roles.local_coefficients(weight, "weight", roles.replicated)
    shard = () if roles.classes is None else roles.shard(classes)

    def local_loss(spec: LossSpec) -> Tensor:
        loss_of = _autograd.sharded_linear_loss if shard else _autograd.linear_loss
        loss = loss_of(local_x, local_W, bias, target, weight, spec, softcap, chunk_rows, *shard)
        return loss.reshape(local_rows) if loss.ndim else loss

    targets = targets_of(target, weight, 1, classes, torch.float64)
    return whole_loss(local_loss, targets, roles, rows, _dtype_of_loss(local_x), spec)


def _dtype_of_loss(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)
