"""Loss and gradients of a linear head by chunks of rows: the gradient overwrites the logits of its chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softgrad._loss_spec import per_row
from softgrad.torch._kernels import empty, kernels_for, overwrite_with_grad
from softgrad.torch._linear._softcap import cap_in_place

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad.torch._linear._gradient_sums import GradientSums
    from softgrad.torch._linear._head import LinearHead


def losses_and_gradients(head: LinearHead, losses: Tensor, scale: Tensor | None, sums: GradientSums) -> None:
    """Write the losses of the rows, and add their gradients times `scale`, if given, to `sums`."""
    spec, buffer = per_row(head.spec), None
    for part, chunk in head.chunks(2 if head.softcap and scale is not None else 1):
        if buffer is None:
            buffer = empty((len(chunk.x), len(head.W)), head.x.dtype, head.x.device)
        logits = buffer[: len(chunk.x)]
        chunk.write_logits(logits)
        slope = cap_in_place(logits, head.softcap, slope_wanted=scale is not None)
        if scale is None:
            losses[part] = kernels_for(logits).cross_entropy(logits, chunk.targets, spec)
            continue
        overwrite_with_grad(logits, scale[part], chunk.targets, spec, losses[part])
        if slope is not None:
            logits.mul_(slope)
        sums.add(part, logits, chunk.x)
