"""A linear head with its targets, in chunks of rows whose logits fit in memory, and the sums of its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from softgrad._arrays import accumulator
from softgrad._core import Reduction
from softgrad.torch._kernels import can_read, empty, kernels_and_targets
from softgrad.torch._linear._products import product_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

# A chunk holds this many bytes of logits, or a share of the size of W if that is more: enough rows for GEMMs at full
# speed, and for few additions to the gradient of W.
CHUNK_BYTES = 64 << 20
_SHARE_OF_W = 0.75
_SHARE_OF_W_ON_DEVICES = 1.0
# With fewer rows, adding to the gradient of W costs more than computing the logits twice.
_LEAST_ROWS = 64


class LinearHead(NamedTuple):
    """A linear head, its targets and the options of its loss; classes are the last dimension of the logits."""

    x: Tensor
    W: Tensor
    bias: Tensor | None
    targets: Targets
    spec: LossSpec
    softcap: float  # 0: none
    chunk_rows: int  # 0: as many as fit
    has_ignored: bool = True  # whether the target may ignore some of the rows

    @classmethod
    def of(cls, x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, *rest: Any) -> LinearHead:
        """The head of an operator's arguments. Raises IndexError if a label is no class, where labels are checked."""
        weight, spec, softcap, chunk_rows = rest
        kernels, targets = kernels_and_targets(x, target, weight, 1, len(W), spec)
        if can_read(target):
            targets = kernels.checked(targets, spec)
        return cls(x, W, bias, targets, spec, softcap, chunk_rows)

    def kept(self) -> tuple[LinearHead, Tensor | None]:
        """The head without ignored rows, and the indices of the rows kept; None: all.

        Ignored rows remain where the host would have to wait for a device to know them.
        """
        kept = self.targets.kept(self.spec)
        if kept is not None and not can_read(kept):  # chunks replace their features
            return self, None
        head = self._replace(has_ignored=False)
        if kept is None or bool(kept.all()):
            return head, None
        rows = kept.nonzero().squeeze(1)
        return head.part(rows), rows

    def part(self, rows: Tensor | slice) -> LinearHead:
        """The head of some of the rows."""
        return self._replace(x=self.x[rows], targets=self.targets.part(rows))

    def chunks(self, buffers: int = 1) -> Iterator[tuple[slice, LinearHead]]:
        """Slices of rows and the head of each, so that this many buffers of their logits fit in memory."""
        n, size = len(self.x), self.chunk_size(buffers)
        for start in range(0, n, max(1, size)):
            rows = slice(start, min(n, start + size))
            chunk = self.part(rows)
            yield rows, chunk._replace(x=chunk.without_ignored(chunk.x))

    def chunk_size(self, buffers: int = 1) -> int:
        """The rows of the largest chunk."""
        n = len(self.x)
        count = -(-n // self.most_rows(buffers, len(self.W)))
        return -(-n // count) if count else 0

    def without_ignored(self, features: Tensor) -> Tensor:
        """Features of the rows, their change or gradient, with 0 in rows that the target ignores."""
        return kept_features(features, self.targets.labels, self.spec) if self.has_ignored else features

    def most_rows(self, buffers: int, classes: int) -> int:
        """The rows of a chunk, of which this many buffers of logits for so many classes fit in memory."""
        row_bytes = max(1, buffers * classes * self.x.element_size())
        return self.chunk_rows or max(1, self._chunk_bytes(classes) // row_bytes)

    def by_classes(self) -> bool:
        """Whether a chunk of whole rows would have too few of them, because there are so many classes."""
        row_bytes = len(self.W) * self.x.element_size()
        return not self.chunk_rows and row_bytes * min(_LEAST_ROWS, len(self.x)) > self._chunk_bytes(len(self.W))

    def _chunk_bytes(self, classes: int) -> int:
        share = _SHARE_OF_W if can_read(self.W) else _SHARE_OF_W_ON_DEVICES
        return max(CHUNK_BYTES, int(share * classes * self.W.shape[1] * self.W.element_size()))

    def write_logits(self, out: Tensor) -> None:
        """X Wᵀ + bias, before any softcap."""
        if self.bias is None:
            torch.mm(self.x, self.W.T, out=out)
        else:
            torch.addmm(self.bias, self.x, self.W.T, out=out)

    def row_scale(self, upstream: Tensor) -> Tensor:
        """The upstream gradient of every row, over the denominator."""
        upstream = upstream.to(accumulator(self.x))
        if self.spec.reduction is Reduction.none:
            return upstream
        return (upstream / self.targets.denominator(self.spec)[0]).expand(len(self.x)).contiguous()


def kept_features(features: Tensor, target: Tensor | None, spec: LossSpec) -> Tensor:
    """Features, or their change, with 0 in rows whose every label is ignored: 0 times NaN or infinity would spread."""
    if target is None or target.is_floating_point() or spec.ignore_index is None:
        return features
    kept = target != spec.ignore_index
    if kept.ndim > 1:  # several outputs
        kept = kept.flatten(1).any(1)
    return torch.where(kept.unsqueeze(1), features, 0)


class GradientSums:
    """Wᵀ g_n, Σ g_n x_nᵀ and Σ g_n, those that are wanted; sums over rows in float32 at least.

    `rows`: the indices of the head's rows among `all_rows`; None if they are all.
    """

    def __init__(self, head: LinearHead, rows: Tensor | None, all_rows: int, wanted: tuple[bool, bool, bool]) -> None:
        dtype, device = head.x.dtype, head.x.device
        wide = torch.promote_types(dtype, torch.float32)
        self._x = empty(tuple(head.x.shape), wide if head.by_classes() else dtype, device) if wanted[0] else None
        self._W = empty(tuple(head.W.shape), wide, device) if wanted[1] else None
        self._bias = torch.zeros(len(head.W), dtype=wide, device=device) if wanted[2] else None
        self._head, self._rows, self._all_rows = head, rows, all_rows
        self._add_product = product_for(head.x)
        self._W_is_empty = True

    def add(self, part: slice, g: Tensor, x: Tensor) -> None:
        """Add the gradient g with respect to the logits of one chunk of rows."""
        if self._x is not None:
            torch.mm(g, self._head.W, out=self._x[part])
        if self._W is not None:
            self._add_product(self._W, g, x, self._W_is_empty)
        if self._bias is not None:
            self._bias += g.sum(0, dtype=self._bias.dtype)
        self._W_is_empty = False

    def add_classes(self, part: slice, classes: slice, g: Tensor, x: Tensor) -> None:
        """Add the gradient g with respect to the logits of some rows and classes."""
        if self._x is not None:
            product = torch.mm(g, self._head.W[classes])
            if classes.start:
                self._x[part] += product
            else:
                self._x[part] = product
        if self._W is not None:
            self._add_product(self._W[classes], g, x, part.start == 0)
        if self._bias is not None:
            self._bias[classes] += g.sum(0, dtype=self._bias.dtype)
        self._W_is_empty = False

    def add_change(self, part: slice, g: Tensor, x_change: Tensor | None, W_change: Tensor | None) -> None:
        """Add what changes of x and W add to the gradients of the other while g stays as it is."""
        if self._x is not None and W_change is not None:
            self._x[part].addmm_(g, W_change)
        if self._W is not None and x_change is not None:
            self._add_product(self._W, g, x_change, False)

    def results(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """In the dtype of x, W and bias; the gradient of ignored rows is zero."""
        x, W, bias = self._x, self._W, self._bias
        if x is not None:
            x = self._head.without_ignored(x)  # 0 times NaN or infinity in W
            if self._rows is not None:
                x = x.new_zeros(self._all_rows, x.shape[1]).index_copy_(0, self._rows, x)
        if W is not None and self._W_is_empty:
            W.zero_()
        dtype = self._head.x.dtype
        x, W, bias = (None if total is None else total.to(dtype) for total in (x, W, bias))
        return x, W, bias
