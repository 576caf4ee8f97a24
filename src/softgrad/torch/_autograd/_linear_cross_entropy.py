"""The derivatives of the cross-entropy of a linear head, to any order.

Loss, gradients and Hessian-vector product are three operators that go through the rows by chunks (`_linear`), each
the derivative of the one before. Higher derivatives, and those with respect to targets and class weights, are composed
of the operators of the cross-entropy and torch's products, with the logits in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad._core import Reduction
from softgrad.torch._autograd._cross_entropy import are_targets_differentiated, loss
from softgrad.torch._dispatch import direct_apply, is_plain, operators, primals, recording
from softgrad.torch._kernels import kernels_for
from softgrad.torch._linear import bend, capped, kept_features, slope, value_and_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from softgrad.torch._dispatch import CustomOperator


def linear_loss(x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, *rest: Any) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    weight, spec, softcap, _ = rest
    if not len(W) or are_targets_differentiated(target, weight):  # with the logits in memory
        logits = capped(torch.nn.functional.linear(kept_features(x, target, spec), W, bias), softcap)
        return loss(logits, target, weight, 1, spec)
    # float16 would lose small gradients before a loss scale from upstream can save them.
    has_gradients = spec.reduction is not Reduction.none and x.dtype != torch.float16
    if has_gradients and recording((x, W, bias, target, weight)) == "reverse":
        return _with_gradients(x, W, bias, target, *rest)
    return operators.linear_cross_entropy(x, W, bias, target, *rest)


def _composed_hvp(x: Tensor, W: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`linear_cross_entropy_hvp` with the logits in memory, whatever `chunk_rows` is."""
    upstream, x_change, W_change, bias_change, target, weight, spec, softcap, _, x_wanted, W_wanted = rest
    x = kept_features(x, target, spec)
    x_change = None if x_change is None else kept_features(x_change, target, spec)
    logits = capped(torch.nn.functional.linear(x, W, bias), softcap)
    change = logit_change(x, W, x_change, W_change, bias_change)
    softcap_slope = slope(logits, softcap) if softcap else None
    g = operators.cross_entropy_grad(logits, upstream, target, weight, 1, spec)
    capped_change = change if softcap_slope is None else softcap_slope * change
    h = operators.cross_entropy_hvp(logits, upstream, capped_change, target, weight, 1, spec)
    if softcap_slope is not None:
        h = h * softcap_slope + g * bend(logits, softcap_slope, softcap) * change
        g = g * softcap_slope
    empty = x.new_empty(0)
    of_x = of_W = empty
    if x_wanted:
        of_x = h @ W if W_change is None else h @ W + g @ W_change
    if W_wanted:
        of_W = h.T @ x if x_change is None else h.T @ x + g.T @ x_change
    return of_x, of_W, empty if bias is None else h.sum(0)


def logit_change(
    x: Tensor, W: Tensor, x_change: Tensor | None, W_change: Tensor | None, bias_change: Tensor | None
) -> Tensor:
    """x_change Wᵀ + x W_changeᵀ + bias_change."""
    products = []
    if x_change is not None:
        products.append(x_change @ W.T)
    if W_change is not None:
        products.append(x @ W_change.T)
    if bias_change is not None:
        products.append(bias_change.expand(len(x), -1))
    return sum(products[1:], products[0])


def with_gradients(value_and_gradients: Callable[..., Any], grad_operator: CustomOperator) -> Callable[..., Tensor]:
    """The reduced loss in eager reverse mode: three products in all, because its gradients come with it.

    Both take x, W, bias, the target, class weights and the options of the call.
    """

    class WithGradients(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Tensor:
            *tensors, ctx.options = *arguments[:5], arguments[5:]
            one = torch.ones((), device=tensors[0].device)
            loss, *ctx.gradients = value_and_gradients(*arguments, one, ctx.needs_input_grad[:3])
            ctx.save_for_backward(*tensors)
            return loss

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
            _ = ctx.saved_tensors  # which raises if one of them was changed in place
            # Handed over once: from then on they may be somebody's .grad.
            gradients, ctx.gradients = ctx.gradients, None
            if gradients is None or torch.is_grad_enabled() or not is_plain(upstream):
                gradients = _gradients(ctx, upstream, grad_operator)
            else:
                for gradient in gradients:
                    if gradient is not None:
                        kernels_for(gradient).scale_in_place(gradient, upstream)
            return *gradients, *[None] * (2 + len(ctx.options))

    return direct_apply(WithGradients)


def _gradients(ctx: Any, upstream: Tensor, grad_operator: CustomOperator) -> tuple[Tensor | None, ...]:
    """The gradients that backward is asked for."""
    x, W, bias, target, weight = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:3]
    gradients = grad_operator(x, W, bias, upstream, target, weight, *ctx.options, *wanted[:2])
    return tuple(g if is_wanted else None for g, is_wanted in zip(gradients, wanted, strict=True))


_with_gradients = with_gradients(value_and_gradients, operators.linear_cross_entropy_grad)


def define_head_derivatives(
    operator: CustomOperator, grad_operator: CustomOperator, change: Callable[..., Tensor]
) -> None:
    """Differentiate the loss of a head; change(arguments, changes) is its change with those of x, W and bias."""

    @operator.derivatives
    class LinearCrossEntropy(torch.autograd.Function):
        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            tensors, ctx.options = inputs[:5], inputs[5:]
            ctx.save_for_backward(*tensors)
            ctx.save_for_forward(*tensors)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
            return *_gradients(ctx, upstream, grad_operator), *[None] * (2 + len(ctx.options))

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Tensor:
            return change((*primals(ctx), *ctx.options), tangents[:3])


@operators.linear_cross_entropy_grad.derivatives
class _LinearGradient(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, spec, softcap, chunk_rows, x_wanted, W_wanted = inputs
        ctx.options, ctx.computed = (spec, softcap, chunk_rows), (x_wanted, W_wanted, tensors[2] is not None)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *v: Tensor | None) -> tuple[Tensor | None, ...]:
        x, W, bias, upstream, target, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        # The cotangents of gradients that were not computed are empty.
        changes = [u if computed else None for u, computed in zip(v, ctx.computed, strict=True)]
        if all(change is None for change in changes):
            return (None,) * 11
        products = operators.linear_cross_entropy_hvp(
            x, W, bias, upstream, *changes, target, weight, *ctx.options, *wanted[:2]
        )
        of_upstream = None
        if ctx.needs_input_grad[3]:
            arguments = (x, W, bias, target, weight, *ctx.options)
            of_upstream = _loss_change(arguments, changes).to(upstream.dtype)
        products = (h if is_wanted else None for h, is_wanted in zip(products, wanted, strict=True))
        return *products, of_upstream, *[None] * 7

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, ...]:
        x, W, bias, upstream, target, weight = primals(ctx)
        *changes, upstream_change = tangents[:4]
        options = (target, weight, *ctx.options, *ctx.computed[:2])
        results = []
        if any(change is not None for change in changes):
            results.append(operators.linear_cross_entropy_hvp(x, W, bias, upstream, *changes, *options))
        if upstream_change is not None:
            results.append(operators.linear_cross_entropy_grad(x, W, bias, upstream_change, *options))
        return tuple(sum(rest, first) for first, *rest in zip(*results, strict=True))


operators.linear_cross_entropy_hvp.composed_derivatives(_composed_hvp)


def _loss_change(arguments: tuple[Any, ...], changes: Sequence[Tensor | None]) -> Tensor:
    """The change of the loss with changes of x, W and bias."""
    x, W, bias, target, weight, spec, softcap, chunk_rows = arguments
    x_change, *others = changes
    x = kept_features(x, target, spec)
    changes = (None if x_change is None else kept_features(x_change, target, spec), *others)
    if spec.reduction is Reduction.none:
        logits = capped(torch.nn.functional.linear(x, W, bias), softcap)
        one = torch.ones(len(x), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        g = operators.cross_entropy_grad(logits, one, target, weight, 1, spec).to(one.dtype)
        if softcap:
            g = g * slope(logits, softcap)
        return (g * logit_change(x, W, *changes)).sum(1)
    one = torch.ones((), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    wanted = changes[0] is not None, changes[1] is not None
    gradients = operators.linear_cross_entropy_grad(x, W, bias, one, target, weight, spec, softcap, chunk_rows, *wanted)
    dots = [(g.to(one.dtype) * c).sum() for g, c in zip(gradients, changes, strict=True) if c is not None]
    return sum(dots[1:], dots[0])


define_head_derivatives(operators.linear_cross_entropy, operators.linear_cross_entropy_grad, _loss_change)
