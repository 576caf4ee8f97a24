"""Loss and gradients of a linear head with very many classes: one block of rows and classes in memory at a time.

A first pass over the blocks of classes computes the statistics of each, which merge into those of the rows; a second
computes the logits again and overwrites them with gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad._loss_spec import per_row
from softgrad.torch._kernels import kernels_for, scratch
from softgrad.torch._linear import _head
from softgrad.torch._linear._softcap import cap_in_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad.torch._linear._head import GradientSums, LinearHead

_BLOCK_ROWS = 1024


def losses_and_gradients(head: LinearHead, losses: Tensor, scale: Tensor | None, sums: GradientSums) -> None:
    """Write the losses of the rows, and add their gradients times `scale`, if given, to `sums`."""
    size = min(len(head.x), _BLOCK_ROWS)
    elements = max(size, _head.CHUNK_BYTES // head.x.element_size())
    with scratch((elements,), head.x.dtype, head.x.device) as buffer:
        for part, rows in head._replace(chunk_rows=size).chunks():
            losses[part], statistics = _losses_and_statistics(rows, buffer)
            if scale is not None:
                for classes, g in _gradients(rows, statistics, scale[part], buffer):
                    sums.add_classes(part, classes, g, rows.x)


def _losses_and_statistics(head: LinearHead, buffer: Tensor) -> tuple[Tensor, Any]:
    """The losses of a block of rows, and their statistics."""
    targets, spec, kernels = head.targets, per_row(head.spec), kernels_for(buffer)
    parts = []
    for classes, logits, _ in _blocks(head, buffer):
        block = targets.block(classes)
        parts.append(kernels.row_statistics(logits, block, spec))
    statistics = kernels.merge_statistics(parts)
    return kernels.cross_entropy(logits, block, spec, statistics), statistics


def _gradients(head: LinearHead, statistics: Any, scale: Tensor, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of classes, and the gradient with respect to their logits."""
    for classes, logits, slope in _blocks(head, buffer, slope_wanted=True):
        block, spec = head.targets.block(classes), per_row(head.spec)
        kernels_for(logits).write_cross_entropy_grad(logits, scale, block, spec, statistics=statistics)
        if slope is not None:
            logits.mul_(slope)
        yield classes, logits


def _blocks(
    head: LinearHead, buffer: Tensor, *, slope_wanted: bool = False
) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Blocks of classes, their capped logits, and the slope of the softcap if it is wanted."""
    size = buffer.numel() // len(head.x)
    for start in range(0, len(head.W), size):
        classes = slice(start, min(len(head.W), start + size))
        logits = buffer[: len(head.x) * (classes.stop - start)].view(len(head.x), -1)
        bias = None if head.bias is None else head.bias[classes]
        head._replace(W=head.W[classes], bias=bias).write_logits(logits)
        yield classes, logits, cap_in_place(logits, head.softcap, slope_wanted=slope_wanted)
