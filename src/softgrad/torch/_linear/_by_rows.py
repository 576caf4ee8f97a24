"""Loss, gradients and Hessian-vector products of a linear head by chunks of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad._loss_spec import per_row
from softgrad.torch._kernels import kernels_for, scratch
from softgrad.torch._linear._head import GradientSums, LinearHead
from softgrad.torch._linear._softcap import bend, cap_in_place

if TYPE_CHECKING:
    from torch import Tensor


def losses_and_gradients(head: LinearHead, losses: Tensor, scale: Tensor | None, sums: GradientSums) -> None:
    """Write the losses of the rows, and add their gradients times `scale`, if given, to `sums`.

    The gradient overwrites the logits of its chunk.
    """
    spec, buffers = per_row(head.spec), 2 if head.softcap and scale is not None else 1
    with scratch((head.chunk_size(buffers), len(head.W)), head.x.dtype, head.x.device) as buffer:
        for part, chunk in head.chunks(buffers):
            logits = buffer[: len(chunk.x)]
            chunk.write_logits(logits)
            slope = cap_in_place(logits, head.softcap, slope_wanted=scale is not None)
            if scale is None:
                losses[part] = kernels_for(logits).cross_entropy(logits, chunk.targets, spec)
                continue
            kernels_for(logits).write_cross_entropy_grad(logits, scale[part], chunk.targets, spec, losses[part])
            if slope is not None:
                logits.mul_(slope)
            sums.add(part, logits, chunk.x)


def linear_cross_entropy_hvp(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The Hessian of the loss with respect to (x, W, bias), times a direction; empty where not wanted.

    t = x_change Wᵀ + x W_changeᵀ + bias_change,  h = H t,  g the gradient:
    h W + g W_change,  hᵀ x + gᵀ x_change,  Σ h.
    """
    x, W, bias, upstream, x_change, W_change, bias_change, *rest, x_wanted, W_wanted = arguments
    head = LinearHead.of(x, W, bias, *rest)
    kept, rows = head.kept()
    if rows is not None:
        x_change = None if x_change is None else x_change[rows]
        upstream = upstream[rows] if upstream.ndim else upstream
    scale = kept.row_scale(upstream)
    sums = GradientSums(kept, rows, len(x), (bool(x_wanted), bool(W_wanted), bias is not None))
    buffers = 4 if head.softcap else 2
    with scratch((2, kept.chunk_size(buffers), len(W)), x.dtype, x.device) as memory:
        for part, chunk in kept.chunks(buffers):
            x_part = None if x_change is None else chunk.without_ignored(x_change[part])
            g, h = memory[:, : len(chunk.x)]
            _write_logits_and_change(chunk, g, h, x_part, W_change, bias_change)
            _write_gradient_and_product(chunk, g, h, scale[part])
            sums.add(part, h, chunk.x)
            sums.add_change(part, g, x_part, W_change)
    return tuple(x.new_empty(0) if result is None else result for result in sums.results())


def _write_logits_and_change(
    chunk: LinearHead,
    logits: Tensor,
    change: Tensor,
    x_change: Tensor | None,
    W_change: Tensor | None,
    bias_change: Tensor | None,
) -> None:
    chunk.write_logits(logits)
    change.copy_(change.new_zeros(()) if bias_change is None else bias_change)
    if x_change is not None:
        change.addmm_(x_change, chunk.W.T)
    if W_change is not None:
        change.addmm_(chunk.x, W_change.T)


def _write_gradient_and_product(chunk: LinearHead, logits: Tensor, change: Tensor, scale: Tensor) -> None:
    """Overwrite the logits with their gradient, and their change with that of the gradient, both before any softcap."""
    kernels, targets, spec = kernels_for(logits), chunk.targets, per_row(chunk.spec)
    slope, bent = cap_in_place(logits, chunk.softcap, slope_wanted=True), None
    if slope is not None:
        change.mul_(slope)
        bent = bend(logits, change, chunk.softcap)
    kernels.cross_entropy_hvp(logits, scale, change, targets, spec, out=change)
    kernels.write_cross_entropy_grad(logits, scale, targets, spec)
    if bent is not None:
        change.mul_(slope).add_(bent.mul_(logits))
        logits.mul_(slope)
