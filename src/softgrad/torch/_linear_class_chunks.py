"""The same for very many classes: blocks of rows times blocks of classes, of which one is in memory at a time.

A first pass over the blocks of classes takes the statistics of each, which merge into those of the rows; a second
computes the logits again and turns them into gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad._loss_spec import per_row
from softgrad.torch._kernels import kernels, overwrite_with_grad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad.torch._linear_chunks import Head

BLOCK_ROWS = 1024


def losses_and_statistics(head: Head, buffer: Tensor) -> tuple[Tensor, Any]:
    """The losses of a block of rows, and what `gradients` needs to know of them."""
    targets, spec, of_device = head.targets, per_row(head.spec), kernels(buffer)
    parts = []
    for classes, logits in _blocks(head, buffer):
        block = targets.block(classes)
        parts.append(of_device.row_statistics(logits, block, spec))
    statistics = of_device.merge_statistics(parts)
    return of_device.cross_entropy(logits, block, spec, statistics), statistics


def gradients(head: Head, statistics: Any, scale: Tensor, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of classes, and the gradient with respect to their logits."""
    for classes, logits in _blocks(head, buffer):
        slope = None
        if head.softcap:
            t = logits / head.softcap
            slope = (1 - t).mul_(1 + t)
        overwrite_with_grad(logits, scale, head.targets.block(classes), per_row(head.spec), statistics=statistics)
        if slope is not None:
            logits.mul_(slope)
        yield classes, logits


def _blocks(head: Head, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of classes and their logits."""
    size = buffer.numel() // len(head.x)
    for start in range(0, len(head.W), size):
        classes = slice(start, min(len(head.W), start + size))
        logits = buffer[: len(head.x) * (classes.stop - start)].view(len(head.x), -1)
        bias = None if head.bias is None else head.bias[classes]
        head._replace(W=head.W[classes], bias=bias).write_logits(logits)
        if head.softcap:
            logits.div_(head.softcap).tanh_().mul_(head.softcap)
        yield classes, logits
