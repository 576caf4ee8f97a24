"""The operators ``torch.ops.softgrad``: one function for all devices, which asks for the kernels, and a shape.

`softgrad.torch._autograd` gives the operators their derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad._core import Reduction
from softgrad.torch import _linear
from softgrad.torch._dispatch._operator import CustomOperator
from softgrad.torch._kernels import kernels_and_targets, kernels_for, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def like_first(first: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(first)


def of_rows(logits: Tensor, dim: int) -> Tensor:
    return logits.new_empty(without(logits.shape, dim))


def loss_of_rows(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.new_empty(without(logits.shape, dim) if spec.reduction is Reduction.none else (), dtype=dtype)


def loss_of_head(
    x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, weight: Tensor | None, spec: LossSpec, *_: Any
) -> Tensor:
    shape = x.shape[:1] if spec.reduction is Reduction.none else ()
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


def like_wanted(x: Tensor, W: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, x_wanted, W_wanted = rest
    of_x, of_W = x.new_empty(x.shape if x_wanted else (0,)), x.new_empty(W.shape if W_wanted else (0,))
    return of_x, of_W, x.new_empty((0,) if bias is None else bias.shape)


def _softmax_operator(
    name: str, tensors: str, kernel: Callable[..., Tensor], shape: Callable[..., Any] = like_first
) -> CustomOperator:
    return CustomOperator(name, f"{tensors}, int dim", shape, kernel)


# Spelled out, because packing the arguments of every call would be noticeable for tiny tensors.
softmax = _softmax_operator("softmax", "Tensor logits", lambda z, dim: kernels_for(z).softmax(z, dim))
log_softmax = _softmax_operator("log_softmax", "Tensor logits", lambda z, dim: kernels_for(z).log_softmax(z, dim))
logsumexp = _softmax_operator("logsumexp", "Tensor logits", lambda z, dim: kernels_for(z).logsumexp(z, dim), of_rows)
softmax_vjp = _softmax_operator(
    "softmax_vjp", "Tensor probs, Tensor v", lambda p, v, dim: kernels_for(p).softmax_vjp(p, v, dim)
)
log_softmax_vjp = _softmax_operator(
    "log_softmax_vjp", "Tensor logits, Tensor v", lambda z, v, dim: kernels_for(z).log_softmax_vjp(z, v, dim)
)


def _loss_operator(
    name: str, tensors: str, kernel: Callable[..., Tensor], shape: Callable[..., Any] = like_first
) -> CustomOperator:
    arguments = f"{tensors}, Tensor target, Tensor? weight, int dim, LossSpec spec"
    return CustomOperator(name, arguments, shape, kernel)


def _loss(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    kernels, targets = kernels_and_targets(logits, target, weight, dim, logits.shape[dim], spec)
    return kernels.cross_entropy(logits, targets, spec)


def _grad(logits: Tensor, s: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    kernels, targets = kernels_and_targets(logits, target, weight, dim, logits.shape[dim], spec)
    return kernels.cross_entropy_grad(logits, s, targets, spec)


def _hvp(
    logits: Tensor, s: Tensor, v: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec
) -> Tensor:
    kernels, targets = kernels_and_targets(logits, target, weight, dim, logits.shape[dim], spec)
    return kernels.cross_entropy_hvp(logits, s, v, targets, spec)


cross_entropy = _loss_operator("cross_entropy", "Tensor logits", _loss, loss_of_rows)
cross_entropy_grad = _loss_operator("cross_entropy_grad", "Tensor logits, Tensor upstream", _grad)
cross_entropy_hvp = _loss_operator("cross_entropy_hvp", "Tensor logits, Tensor upstream, Tensor v", _hvp)


def _linear_operator(
    name: str,
    tensors: str,
    shape: Callable[..., Any] = like_wanted,
    wanted: str = ", bool x_wanted, bool W_wanted",
    result: str = "(Tensor, Tensor, Tensor)",
) -> CustomOperator:
    kernel = getattr(_linear, name)
    loss = "Tensor target, Tensor? weight, LossSpec spec, float softcap, int chunk_rows"
    arguments = f"Tensor x, Tensor W, Tensor? bias, {tensors}{loss}{wanted}"
    return CustomOperator(name, arguments, shape, kernel, result)


linear_cross_entropy = _linear_operator("linear_cross_entropy", "", loss_of_head, "", "Tensor")
linear_cross_entropy_grad = _linear_operator("linear_cross_entropy_grad", "Tensor upstream, ")
linear_cross_entropy_hvp = _linear_operator(
    "linear_cross_entropy_hvp", "Tensor upstream, Tensor? x_change, Tensor? W_change, Tensor? bias_change, "
)
