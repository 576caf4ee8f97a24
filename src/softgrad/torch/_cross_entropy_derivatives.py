"""The derivatives of the cross-entropy, to any order.

The loss, its gradient and its Hessian times a vector are three operators, each with the next one as its derivative:

    d loss = gradient · dz,  d gradient = H dz,  d(H v) = the third derivative in closed form

and the third is written in terms of softmax, which is differentiable to any order. With respect to targets and class
weights the loss is composed of log_softmax and torch's operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch import _native, _operators
from softgrad.torch._options import MEAN, NONE, SUM, Options
from softgrad.torch._softmax import batch_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def loss_of(logits: Tensor, target: Tensor, weight: Tensor | None, options: tuple[Any, ...]) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    if (weight is not None or target.dtype is not torch.int64) and (differentiated(target) or differentiated(weight)):
        return _composed(logits, target, weight, Options(*options))
    return _operators.cross_entropy(logits, target, weight, *options)


def differentiated(tensor: Tensor | None) -> bool:
    """Whether a derivative with respect to targets or class weights may be asked for."""
    if tensor is None or tensor.dtype is torch.int64:
        return False
    return _operators.recorded(tensor)


_OPTIONS = len(Options._fields)


def _save(ctx: Any, inputs: tuple[Any, ...]) -> None:
    """Keep the arguments for the derivatives: tensors, then options."""
    tensors, ctx.options = inputs[:-_OPTIONS], inputs[-_OPTIONS:]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


@_operators.cross_entropy.derivatives
class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _save(ctx, inputs)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, weight = ctx.saved_tensors
        return _operators.cross_entropy_grad(logits, upstream, target, weight, *ctx.options), *[None] * 7

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        logits, target, weight = _operators.primals(ctx)
        return _loss_change(logits, tangent, target, weight, Options(*ctx.options))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], logits: Tensor, target: Tensor, weight: Tensor | None, *given: Any
    ) -> tuple[Tensor, int]:
        options = Options(*given)
        logits, target = batch_first(info.batch_size, in_dims, logits, target)
        losses = loss_of(logits, target, weight, _of_rows(options))
        if options.reduction == NONE:
            return losses, 0
        total = _sum_of_rows(losses)
        return (total / _denominators(logits, target, weight, options)).to(losses.dtype), 0


# Up to so many logits the gradient is computed along with the loss, in one pass, and kept: 4 MiB in float32.
_KEPT_LOGITS = 1 << 20


class _WithGradient(torch.autograd.Function):
    """The reduced loss of not too many logits, for reverse mode."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, arguments: tuple[Any, ...]) -> Tensor:
        target, weight, *options = arguments
        loss, ctx.gradient = _native.cross_entropy_value_and_grad(logits, target, weight, *options)
        ctx.options = options
        ctx.save_for_backward(logits, target, weight)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        logits, target, weight = ctx.saved_tensors
        # Handed over once: from then on it may be somebody's .grad.
        gradient, ctx.gradient = ctx.gradient, None
        handed_over = gradient is not None and not torch.is_grad_enabled() and _operators.is_plain_scalar(upstream)
        if handed_over and upstream.item() == 1:
            return gradient, None
        return _operators.cross_entropy_grad(logits, upstream, target, weight, *ctx.options), None


_with_gradient = super(torch.autograd.Function, _WithGradient).apply


@_operators.cross_entropy.reverse
def _record(usual: Callable[..., Tensor], logits: Tensor, *arguments: Any) -> Tensor:
    *_, reduction, _, _, _ = arguments
    if reduction == NONE or logits.numel() > _KEPT_LOGITS:
        return usual(logits, *arguments)
    return _with_gradient(logits, arguments)


def _loss_change(logits: Tensor, tangent: Tensor, target: Tensor, weight: Tensor | None, options: Options) -> Tensor:
    """The gradient times the tangent, summed over the classes, and over the rows of a reduced loss."""
    shape = tangent.select(options.dim, 0).shape if options.reduction == NONE else ()
    wide = torch.promote_types(logits.dtype, torch.float32)
    one = torch.ones(shape, dtype=wide, device=logits.device)
    change = _operators.cross_entropy_grad(logits, one, target, weight, *options).to(wide) * tangent
    return change.sum(options.dim) if options.reduction == NONE else change.sum()


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
            of_logits = _operators.cross_entropy_hvp(logits, upstream, v, target, weight, *ctx.options)
        if ctx.needs_input_grad[1]:
            of_upstream = _loss_change(logits, v, target, weight, Options(*ctx.options)).to(upstream.dtype)
        return of_logits, of_upstream, *[None] * 7

    @staticmethod
    def jvp(ctx: Any, logits_tangent: Tensor | None, upstream_tangent: Tensor | None, *_: None) -> Tensor:
        logits, upstream, target, weight = _operators.primals(ctx)
        result = torch.zeros_like(logits)
        if logits_tangent is not None:
            result = _operators.cross_entropy_hvp(logits, upstream, logits_tangent, target, weight, *ctx.options)
        if upstream_tangent is not None:
            result = result + _operators.cross_entropy_grad(logits, upstream_tangent, target, weight, *ctx.options)
        return result

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        logits: Tensor,
        upstream: Tensor,
        target: Tensor,
        weight: Tensor | None,
        *given: Any,
    ) -> tuple[Tensor, int]:
        options = Options(*given)
        logits, upstream, target = batch_first(info.batch_size, in_dims, logits, upstream, target)
        scale = _scale_of_rows(upstream, logits, target, weight, options)
        return _operators.cross_entropy_grad(logits, scale, target, weight, *_of_rows(options)), 0


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
            of_logits = _third_derivative(logits, upstream, v, w, target, weight, Options(*ctx.options))
        if ctx.needs_input_grad[1]:
            product = (
                _operators.cross_entropy_hvp(logits, torch.ones_like(upstream), v, target, weight, *ctx.options) * w
            )
            of_upstream = (product.sum(ctx.options[0]) if upstream.ndim else product.sum()).to(upstream.dtype)
        if ctx.needs_input_grad[2]:
            of_v = _operators.cross_entropy_hvp(logits, upstream, w, target, weight, *ctx.options)
        return of_logits, of_upstream, of_v, *[None] * 7

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
            result = _third_derivative(logits, upstream, v, logits_tangent, target, weight, Options(*ctx.options))
        if upstream_tangent is not None:
            result = result + _operators.cross_entropy_hvp(logits, upstream_tangent, v, target, weight, *ctx.options)
        if v_tangent is not None:
            result = result + _operators.cross_entropy_hvp(logits, upstream, v_tangent, target, weight, *ctx.options)
        return result

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        logits: Tensor,
        upstream: Tensor,
        v: Tensor,
        target: Tensor,
        weight: Tensor | None,
        *given: Any,
    ) -> tuple[Tensor, int]:
        options = Options(*given)
        logits, upstream, v, target = batch_first(info.batch_size, in_dims, logits, upstream, v, target)
        scale = _scale_of_rows(upstream, logits, target, weight, options)
        return _operators.cross_entropy_hvp(logits, scale, v, target, weight, *_of_rows(options)), 0


def _third_derivative(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    w: Tensor,
    target: Tensor,
    weight: Tensor | None,
    options: Options,
) -> Tensor:
    """Of the loss, applied to v and w, times the upstream gradient.

    a p ∘ (c(v) c(w) - Cov(v, w)) + b (p Cov(v, w) + J v (pᵀw) + J w (pᵀv)), c(u) = u - pᵀu, a = s (M + 2ζ lse),
    b = 2ζ s
    """
    dim = options.dim
    wide = torch.promote_types(logits.dtype, torch.float32)
    dtype, z, v, w = logits.dtype, logits.to(wide), v.to(wide), w.to(wide)
    p = _operators.softmax(z, dim)
    v_mean, w_mean = ((p * u).sum(dim, keepdim=True) for u in (v, w))
    product = (v - v_mean) * (w - w_mean)
    covariance = (p * product).sum(dim, keepdim=True)
    if options.reduction == NONE:
        scale = upstream.unsqueeze(dim)
    else:
        scale = upstream / _denominators(z.unsqueeze(0), target.unsqueeze(0), weight, options)[0]
    a = _mass(z, target, weight, options)
    result = p * (product - covariance)
    if options.z_loss:
        a = a + 2 * options.z_loss * _operators.logsumexp(z, dim).unsqueeze(dim)
        change = (
            p * covariance + _operators.softmax_vjp(p, v, dim) * w_mean + _operators.softmax_vjp(p, w, dim) * v_mean
        )
        result = a * result + 2 * options.z_loss * change
    else:
        result = a * result
    if not target.is_floating_point():
        result = torch.where((target == options.ignore_index).unsqueeze(dim), 0, result)
    return (scale * result).to(dtype)


def _mass(logits: Tensor, target: Tensor, weight: Tensor | None, options: Options) -> Tensor:
    """Σ_j y_j of every row, with the class dimension of length one."""
    dim, eps = options.dim, options.label_smoothing
    mean_weight = 1 if weight is None else weight.mean()
    if target.is_floating_point():
        y = target if weight is None else target * _per_class(weight, target, dim)
        mass = y.sum(dim, keepdim=True)
    else:
        kept = target != options.ignore_index
        mass = kept.to(logits.dtype) if weight is None else _of_labels(weight, target.masked_fill(~kept, 0))
        mass = mass.unsqueeze(dim)
    return ((1 - eps) * mass + eps * mean_weight).to(logits.dtype)


def _of_labels(weight: Tensor, labels: Tensor) -> Tensor:
    """The weights of labels; indexing as weight[labels] vmap cannot do for a single label."""
    return weight.index_select(0, labels.reshape(-1)).reshape(labels.shape)


def _per_class(weight: Tensor, like: Tensor, dim: int) -> Tensor:
    return weight.reshape([-1] + [1] * (like.ndim - 1 - dim))


def _of_rows(options: Options) -> Options:
    """The options of unreduced losses with a batch as a new first dimension."""
    return options._replace(dim=options.dim + 1, reduction=NONE)


def _accumulator(tensor: Tensor) -> torch.dtype:
    """In which a sum over rows is taken."""
    return tensor.dtype if tensor.device.type == "mps" else torch.float64


def _denominators(logits: Tensor, target: Tensor, weight: Tensor | None, options: Options) -> Tensor:
    """What divides the summed loss of every element of a batch."""
    if options.reduction == SUM or (options.reduction == MEAN and target.is_floating_point()):
        rows = logits[0].numel() // logits.shape[options.dim + 1]
        return torch.full(logits.shape[:1], 1 if options.reduction == SUM else rows, device=logits.device)
    kept = target != options.ignore_index
    of_rows = kept if weight is None else torch.where(kept, _of_labels(weight, target.masked_fill(~kept, 0)), 0)
    return _sum_of_rows(of_rows)


def _sum_of_rows(rows: Tensor) -> Tensor:
    """The sum of every element of a batch, which is one row where the batch is of rows."""
    wide = _accumulator(rows)
    return rows.flatten(1).sum(1, dtype=wide) if rows.ndim > 1 else rows.to(wide)


def _scale_of_rows(upstream: Tensor, logits: Tensor, target: Tensor, weight: Tensor | None, options: Options) -> Tensor:
    """The upstream gradient of every row of a batch."""
    if options.reduction == NONE:
        return upstream
    scale = upstream / _denominators(logits, target, weight, options)
    rows = logits.select(options.dim + 1, 0)  # their shape
    return scale.reshape([-1] + [1] * (rows.ndim - 1)).expand(rows.shape)


def _composed(logits: Tensor, target: Tensor, weight: Tensor | None, options: Options) -> Tensor:
    """-Σ y log p + ζ lse² in torch operations around log_softmax: differentiable in targets and weights, too."""
    _, reduction, ignored, eps, z_loss = options
    dim, classes = options.dim, logits.shape[options.dim]
    z = logits.to(torch.promote_types(logits.dtype, torch.float32))
    kept = None
    if not target.is_floating_point():
        kept = target != ignored
        _operators.check_labels(target, classes, ignored)
        target = target.masked_fill(~kept, 0)
        z = torch.where(kept.unsqueeze(dim), z, 0)  # whatever an ignored row holds, its gradient is zero
    log_p = _operators.log_softmax(z, dim)
    per_class = None if weight is None else _per_class(weight.to(z.dtype), z, dim)
    if kept is None:
        y = (1 - eps) * target.to(z.dtype) + eps / classes if eps else target.to(z.dtype)
        losses = -_product(y if per_class is None else y * per_class, log_p).sum(dim)
        of_rows = torch.ones_like(losses)
    else:
        of_label = log_p.gather(dim, target.unsqueeze(dim)).squeeze(dim)
        of_rows = torch.ones_like(of_label) if weight is None else _of_labels(weight.to(z.dtype), target)
        losses = -_product(of_rows, of_label)
        if eps:
            spread = log_p if per_class is None else _product(per_class.expand(log_p.shape), log_p)
            losses = (1 - eps) * losses - eps / classes * spread.sum(dim)
        of_rows = torch.where(kept, of_rows, 0)
    if z_loss:
        losses = losses + z_loss * _operators.logsumexp(z, dim) ** 2
    if kept is not None:
        losses = torch.where(kept, losses, 0)
    if reduction == NONE:
        return losses
    total = losses.sum(dtype=_accumulator(losses))
    return (total / of_rows.sum(dtype=_accumulator(losses)) if reduction == MEAN else total).to(losses.dtype)


def _product(y: Tensor, log_p: Tensor) -> Tensor:
    """The product y log p, with 0 · log 0 = 0."""
    return y * log_p.masked_fill((log_p == -torch.inf) & (y == 0), 0)
