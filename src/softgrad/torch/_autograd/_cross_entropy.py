"""The derivatives of the cross-entropy, to any order.

The loss, its gradient and its Hessian times a vector are three operators, each the derivative of the one before:

    d loss = gradient · dz,  d gradient = H dz,  d(H v) = the third derivative in closed form

and the third is written in terms of softmax, which is differentiable to any order. With respect to targets and class
weights the loss is composed of log_softmax and torch's operations.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad._core import Reduction
from softgrad._loss_spec import per_row
from softgrad.torch._autograd._rules import batch_first, define_derivatives
from softgrad.torch._dispatch import direct_apply, has_value, is_plain, may_be_differentiated, operators, recording
from softgrad.torch._kernels import (
    checked,
    empty_like,
    get_check_labels,
    kernels_and_targets,
    kernels_for,
    nan_where_invalid,
    targets_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def loss(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    if not logits.shape[dim]:
        return _without_classes(logits, target, weight, dim, spec)
    if (weight is not None or target.dtype is not torch.int64) and are_targets_differentiated(target, weight):
        return _composed(logits, target, weight, dim, spec)
    if logits.requires_grad and spec.reduction is not Reduction.none:
        is_fused = logits.numel() <= kernels_for(logits).MOST_FUSED_LOGITS
        if is_fused and recording((logits, target, weight)) == "reverse":
            return _with_gradient(logits, (target, weight, dim, spec))
    return operators.cross_entropy(logits, target, weight, dim, spec)


def _without_classes(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """Sums over nothing: 0 for every row, and NaN for their mean, as in torch."""
    # Smoothing would divide by the number of classes.
    losses = _composed(logits, target, weight, dim, replace(per_row(spec), label_smoothing=0.0))
    if spec.reduction is Reduction.none:
        return losses
    return losses.sum() + math.nan if spec.reduction is Reduction.mean else losses.sum()


def are_targets_differentiated(target: Tensor, weight: Tensor | None) -> bool:
    """Whether a derivative with respect to class probabilities or class weights may be asked for."""
    differentiable = [t for t in (target, weight) if t is not None and t.dtype is not torch.int64]
    return bool(differentiable) and may_be_differentiated(*differentiable)


def _composed(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """The loss in torch operations around log_softmax: differentiable in targets and weights, too."""
    z, targets = logits.to(torch.promote_types(logits.dtype, torch.float32)), _targets(logits, target, weight, dim)
    if has_value(target) or (get_check_labels() and is_plain(target)):
        checked(targets, spec)
    z = _closed_forms.kept_rows(z, targets, spec)  # whatever an ignored row holds, its gradient is zero
    log_p = operators.log_softmax(z, dim)
    losses = _closed_forms.loss_of_log_softmax(log_p, _lse(z, dim, spec), targets, spec)
    losses = nan_where_invalid(losses, targets, spec)
    return _closed_forms.reduced(losses, targets, spec)


class _WithGradient(torch.autograd.Function):
    """The reduced loss in reverse mode, where the kernels compute its gradient in the same pass."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, arguments: tuple[Any, ...]) -> Tensor:  # one tuple: each argument costs time
        target, weight, ctx.dim, ctx.spec = arguments
        ctx.gradient = empty_like(logits)
        ctx.save_for_backward(logits, target, weight)
        classes = logits.shape[ctx.dim]
        kernels, ctx.targets = kernels_and_targets(logits, target, weight, ctx.dim, classes, ctx.spec)
        return kernels.cross_entropy(logits, ctx.targets, ctx.spec, gradient=ctx.gradient)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        logits, *targets = ctx.saved_tensors
        # Handed over once: from then on it may be somebody's .grad.
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None or torch.is_grad_enabled() or not is_plain(upstream):
            return operators.cross_entropy_grad(logits, upstream, *targets, ctx.dim, ctx.spec), None
        kernels_for(logits).rescale_cross_entropy_grad(gradient, logits, upstream, ctx.targets, ctx.spec)
        return gradient, None


_with_gradient = direct_apply(_WithGradient)


# The rules of define_derivatives; s is the upstream gradient of the loss.


def _loss_change(v: Tensor, logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """The gradient times v, summed over the classes, and over the rows of a reduced loss."""
    is_per_row = spec.reduction is Reduction.none
    wide = torch.promote_types(logits.dtype, torch.float32)
    one = torch.ones(v.select(dim, 0).shape if is_per_row else (), dtype=wide, device=logits.device)
    change = operators.cross_entropy_grad(logits, one, target, weight, dim, spec).to(wide) * v
    change = _closed_forms.kept_rows(change, _targets(logits, target, weight, dim), spec)  # 0 times NaN is NaN
    return change.sum(dim) if is_per_row else change.sum()


def _grad_change(v: Tensor, logits: Tensor, s: Tensor, *rest: Any) -> Tensor:
    return operators.cross_entropy_hvp(logits, s, v, *rest)


def _grad_in_upstream(v: Tensor, logits: Tensor, s: Tensor, *rest: Any) -> Tensor:
    return _loss_change(v, logits, *rest).to(s.dtype)


def _third_derivative(w: Tensor, logits: Tensor, s: Tensor, v: Tensor, *rest: Any) -> Tensor:
    """The third derivative of the loss, applied to v and w, times the upstream gradient."""
    target, weight, dim, spec = rest
    z, v, w = (tensor.to(torch.promote_types(logits.dtype, torch.float32)) for tensor in (logits, v, w))
    targets = _targets(logits, target, weight, dim)
    p, lse = operators.softmax(z, dim), _lse(z, dim, spec)
    result = _closed_forms.third_derivative(p, lse, v, w, targets, spec, lambda p, v: operators.softmax_vjp(p, v, dim))
    return (result * _closed_forms.row_scale(s, z, targets, spec)).to(logits.dtype)


def _hvp_in_upstream(w: Tensor, logits: Tensor, s: Tensor, v: Tensor, *rest: Any) -> Tensor:
    product = operators.cross_entropy_hvp(logits, torch.ones_like(s), v, *rest) * w
    *_, dim, _ = rest
    return (product.sum(dim) if s.ndim else product.sum()).to(s.dtype)


def _batched_loss(info: Any, in_dims: tuple[Any, ...], logits: Tensor, *rest: Any) -> Tensor:
    target, weight, dim, spec = rest
    logits, target = batch_first(info.batch_size, in_dims, logits, target)
    losses = loss(logits, target, weight, dim + 1, per_row(spec))
    targets = _targets(logits, target, weight, dim + 1)
    return _closed_forms.reduced(losses, targets, spec, tuple(range(1, losses.ndim)))


def _batched(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The vmap of gradients or Hessian-vector products: those of the losses of all rows."""

    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> Tensor:
        *tensors, weight, dim, spec = given
        logits, upstream, *rest, target = batch_first(info.batch_size, in_dims, *tensors)
        if spec.reduction is not Reduction.none:
            rows = logits.select(dim + 1, 0)  # their shape
            targets = _targets(logits, target, weight, dim + 1)
            scale = upstream / targets.denominator(spec, tuple(range(1, rows.ndim)))[0]
            upstream = scale.reshape([-1] + [1] * (rows.ndim - 1)).expand(rows.shape)
        return operator(logits, upstream, *rest, target, weight, dim + 1, per_row(spec))

    return vmap


def _targets(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int) -> Targets:
    return targets_of(target, weight, dim, logits.shape[dim], logits.dtype)


def _lse(z: Tensor, dim: int, spec: LossSpec) -> Tensor | None:
    return operators.logsumexp(z, dim) if _closed_forms.ZLoss(spec) else None


define_derivatives(
    operators.cross_entropy,
    vjps=[lambda v, logits, *rest: operators.cross_entropy_grad(logits, v, *rest)],
    jvps=[_loss_change],
    vmap=_batched_loss,
)
define_derivatives(  # g(z, s) = s ∂loss/∂z
    operators.cross_entropy_grad,
    vjps=[_grad_change, _grad_in_upstream],
    jvps=[_grad_change, lambda change, logits, s, *rest: operators.cross_entropy_grad(logits, change, *rest)],
    vmap=_batched(operators.cross_entropy_grad),
)
define_derivatives(  # h(z, s, v) = s H v
    operators.cross_entropy_hvp,
    vjps=[
        _third_derivative,
        _hvp_in_upstream,
        lambda w, logits, s, v, *rest: operators.cross_entropy_hvp(logits, s, w, *rest),
    ],
    jvps=[
        _third_derivative,
        lambda change, logits, s, v, *rest: operators.cross_entropy_hvp(logits, change, v, *rest),
        lambda change, logits, s, v, *rest: operators.cross_entropy_hvp(logits, s, change, *rest),
    ],
    vmap=_batched(operators.cross_entropy_hvp),
)
