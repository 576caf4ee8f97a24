"""The derivatives of the cross-entropy, to any order.

The loss, its gradient and its Hessian times a vector are three operators, each with the next one as its derivative:

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
from softgrad.torch import _native, _operators
from softgrad.torch._memory import empty_like
from softgrad.torch._softmax import batch_first
from softgrad.torch._targets import native_targets, targets_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def loss_of(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    if not logits.shape[dim]:
        return _without_classes(logits, target, weight, dim, spec)
    if (weight is not None or target.dtype is not torch.int64) and (differentiated(target) or differentiated(weight)):
        return _composed(logits, target, weight, dim, spec)
    return _operators.cross_entropy(logits, target, weight, dim, spec)


def _without_classes(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """Sums over nothing: 0 for every row, and NaN for their mean, as in torch."""
    # Smoothing would divide by the number of classes.
    losses = _composed(logits, target, weight, dim, replace(per_row(spec), label_smoothing=0.0))
    if spec.reduction is Reduction.none:
        return losses
    return losses.sum() + math.nan if spec.reduction is Reduction.mean else losses.sum()


def differentiated(tensor: Tensor | None) -> bool:
    """Whether a derivative with respect to targets or class weights may be asked for."""
    if tensor is None or tensor.dtype is torch.int64:
        return False
    return _operators.recorded(tensor)


def _save(ctx: Any, inputs: tuple[Any, ...]) -> None:
    """Keep the arguments for the derivatives."""
    *tensors, ctx.dim, ctx.spec = inputs
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


_NONE = [None] * 4  # gradients of target, class weights, dimension and specification


@_operators.cross_entropy.derivatives
class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _save(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, *targets = ctx.saved_tensors
        return _operators.cross_entropy_grad(logits, upstream, *targets, ctx.dim, ctx.spec), *_NONE

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        logits, target, weight = _operators.primals(ctx)
        return _loss_change(logits, tangent, target, weight, ctx.dim, ctx.spec)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], logits: Tensor, *rest: Any) -> tuple[Tensor, int]:
        target, weight, dim, spec = rest
        logits, target = batch_first(info.batch_size, in_dims, logits, target)
        losses = loss_of(logits, target, weight, dim + 1, per_row(spec))
        targets = _targets(logits, target, weight, dim + 1)
        return _closed_forms.reduced(losses, targets, spec, tuple(range(1, losses.ndim))), 0


# Up to so many logits the gradient is computed along with the loss, in one pass, and kept: 4 MiB in float32.
_KEPT_LOGITS = 1 << 20


class _WithGradient(torch.autograd.Function):
    """The reduced loss of not too many logits, for reverse mode."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, arguments: tuple[Any, ...]) -> Tensor:
        target, weight, ctx.dim, ctx.spec = arguments
        targets = native_targets(target, weight, ctx.dim, logits.shape[ctx.dim])
        ctx.gradient = empty_like(logits)
        ctx.save_for_backward(logits, target, weight)
        return _native.cross_entropy(logits, targets, ctx.spec, gradient=ctx.gradient)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        logits, target, weight = ctx.saved_tensors
        # Handed over once: from then on it may be somebody's .grad.
        gradient, ctx.gradient = ctx.gradient, None
        handed_over = gradient is not None and not torch.is_grad_enabled() and _operators.is_plain_scalar(upstream)
        if handed_over and upstream.item() == 1:
            return gradient, None
        return _operators.cross_entropy_grad(logits, upstream, target, weight, ctx.dim, ctx.spec), None


_with_gradient = super(torch.autograd.Function, _WithGradient).apply


@_operators.cross_entropy.reverse
def _record(usual: Callable[..., Tensor], logits: Tensor, *arguments: Any) -> Tensor:
    spec = arguments[-1]
    if spec.reduction is Reduction.none or logits.numel() > _KEPT_LOGITS:
        return usual(logits, *arguments)
    return _with_gradient(logits, arguments)


def _loss_change(
    logits: Tensor, tangent: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec
) -> Tensor:
    """The gradient times the tangent, summed over the classes, and over the rows of a reduced loss."""
    of_rows = spec.reduction is Reduction.none
    wide = torch.promote_types(logits.dtype, torch.float32)
    one = torch.ones(tangent.select(dim, 0).shape if of_rows else (), dtype=wide, device=logits.device)
    change = _operators.cross_entropy_grad(logits, one, target, weight, dim, spec).to(wide) * tangent
    change = _closed_forms.kept_rows(change, _targets(logits, target, weight, dim), spec)  # 0 times NaN is NaN
    return change.sum(dim) if of_rows else change.sum()


@_operators.cross_entropy_grad.derivatives
class _Gradient(torch.autograd.Function):
    """g(z, s) = s ∂loss/∂z."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _save(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        logits, upstream, target, weight = ctx.saved_tensors
        of_logits = of_upstream = None
        if ctx.needs_input_grad[0]:
            of_logits = _operators.cross_entropy_hvp(logits, upstream, v, target, weight, ctx.dim, ctx.spec)
        if ctx.needs_input_grad[1]:
            of_upstream = _loss_change(logits, v, target, weight, ctx.dim, ctx.spec).to(upstream.dtype)
        return of_logits, of_upstream, *_NONE

    @staticmethod
    def jvp(ctx: Any, logits_tangent: Tensor | None, upstream_tangent: Tensor | None, *_: None) -> Tensor:
        logits, upstream, *targets = _operators.primals(ctx)
        result = torch.zeros_like(logits)
        if logits_tangent is not None:
            result = _operators.cross_entropy_hvp(logits, upstream, logits_tangent, *targets, ctx.dim, ctx.spec)
        if upstream_tangent is not None:
            result = result + _operators.cross_entropy_grad(logits, upstream_tangent, *targets, ctx.dim, ctx.spec)
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Tensor, int]:
        return _by_rows(_operators.cross_entropy_grad, info, in_dims, *given), 0


@_operators.cross_entropy_hvp.derivatives
class _Hvp(torch.autograd.Function):
    """h(z, s, v) = s H v."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _save(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, w: Tensor) -> tuple[Tensor | None, ...]:
        logits, upstream, v, target, weight = ctx.saved_tensors
        of_logits = of_upstream = of_v = None
        if ctx.needs_input_grad[0]:
            of_logits = _third_derivative(logits, upstream, v, w, target, weight, ctx.dim, ctx.spec)
        if ctx.needs_input_grad[1]:
            one = torch.ones_like(upstream)
            product = _operators.cross_entropy_hvp(logits, one, v, target, weight, ctx.dim, ctx.spec) * w
            of_upstream = (product.sum(ctx.dim) if upstream.ndim else product.sum()).to(upstream.dtype)
        if ctx.needs_input_grad[2]:
            of_v = _operators.cross_entropy_hvp(logits, upstream, w, target, weight, ctx.dim, ctx.spec)
        return of_logits, of_upstream, of_v, *_NONE

    @staticmethod
    def jvp(
        ctx: Any,
        logits_tangent: Tensor | None,
        upstream_tangent: Tensor | None,
        v_tangent: Tensor | None,
        *_: None,
    ) -> Tensor:
        logits, upstream, v, target, weight = _operators.primals(ctx)
        result = torch.zeros_like(v)
        if logits_tangent is not None:
            result = _third_derivative(logits, upstream, v, logits_tangent, target, weight, ctx.dim, ctx.spec)
        if upstream_tangent is not None:
            result = result + _operators.cross_entropy_hvp(
                logits, upstream_tangent, v, target, weight, ctx.dim, ctx.spec
            )
        if v_tangent is not None:
            result = result + _operators.cross_entropy_hvp(
                logits, upstream, v_tangent, target, weight, ctx.dim, ctx.spec
            )
        return result

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Tensor, int]:
        return _by_rows(_operators.cross_entropy_hvp, info, in_dims, *given), 0


def _by_rows(derivative: _operators.Operator, info: Any, in_dims: tuple[Any, ...], *given: Any) -> Tensor:
    """A batch of gradients or Hessian-vector products, as those of the losses of all rows."""
    *tensors, weight, dim, spec = given
    logits, upstream, *rest, target = batch_first(info.batch_size, in_dims, *tensors)
    if spec.reduction is not Reduction.none:
        rows = logits.select(dim + 1, 0)  # their shape
        targets = _targets(logits, target, weight, dim + 1)
        scale = upstream / targets.denominator(spec, tuple(range(1, rows.ndim)))[0]
        upstream = scale.reshape([-1] + [1] * (rows.ndim - 1)).expand(rows.shape)
    return derivative(logits, upstream, *rest, target, weight, dim + 1, per_row(spec))


def _third_derivative(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    w: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    spec: LossSpec,
) -> Tensor:
    """Of the loss, applied to v and w, times the upstream gradient."""
    z, v, w = (tensor.to(torch.promote_types(logits.dtype, torch.float32)) for tensor in (logits, v, w))
    targets = _targets(logits, target, weight, dim)
    p, lse = _operators.softmax(z, dim), _lse(z, dim, spec)
    result = _closed_forms.third_derivative(p, lse, v, w, targets, spec, lambda p, v: _operators.softmax_vjp(p, v, dim))
    return (result * _closed_forms.row_scale(upstream, z, targets, spec)).to(logits.dtype)


def _targets(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int) -> Targets:
    return targets_of(target, weight, dim, logits.shape[dim], logits.dtype)


def _lse(z: Tensor, dim: int, spec: LossSpec) -> Tensor | None:
    return _operators.logsumexp(z, dim) if spec.z_loss else None


def _composed(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    """The loss in torch operations around log_softmax: differentiable in targets and weights, too."""
    z, targets = logits.to(torch.promote_types(logits.dtype, torch.float32)), _targets(logits, target, weight, dim)
    if targets.labels is not None:
        _operators.check_labels(target, targets.classes, spec)
    z = _closed_forms.kept_rows(z, targets, spec)  # whatever an ignored row holds, its gradient is zero
    log_p = _operators.log_softmax(z, dim)
    losses = _closed_forms.loss_of_log_softmax(log_p, _lse(z, dim, spec), targets, spec)
    return _closed_forms.reduced(losses, targets, spec)
