"""A linear head with its targets, in chunks of rows whose logits fit in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from softgrad._arrays import accumulator
from softgrad._core import Reduction
from softgrad.torch._kernels import native_targets, summed, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

# A chunk holds this many bytes of logits, or three quarters of W if that is more: enough rows for GEMMs at full speed,
# and for few additions to the gradient of W.
CHUNK_BYTES = 64 << 20
_SHARE_OF_W = 0.75
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

    @classmethod
    def of(
        cls,
        x: Tensor,
        W: Tensor,
        bias: Tensor | None,
        target: Tensor,
        weight: Tensor | None,
        spec: LossSpec,
        softcap: float,
        chunk_rows: int,
    ) -> LinearHead:
        """The head of an operator's arguments. On the CPU, raises IndexError if a label is no class."""
        if x.is_cpu:
            targets = summed(native_targets(target, weight, 1, len(W)), spec)
        else:
            targets = targets_of(target, weight, 1, len(W), x.dtype)
        return cls(x, W, bias, targets, spec, softcap, chunk_rows)

    def kept(self) -> tuple[LinearHead, Tensor | None]:
        """The head without ignored rows, and the indices of the rows kept; None: all."""
        kept = self.targets.kept(self.spec)
        if kept is None or bool(kept.all()):
            return self, None
        rows = kept.nonzero().squeeze(1)
        return self.part(rows), rows

    def part(self, rows: Tensor | slice) -> LinearHead:
        """The head of some of the rows."""
        return self._replace(x=self.x[rows], targets=self.targets.part(rows))

    def chunks(self, buffers: int = 1) -> Iterator[tuple[slice, LinearHead]]:
        """Slices of rows and the head of each, so that this many buffers of their logits fit in memory."""
        n = len(self.x)
        most = self.chunk_rows or max(1, self._chunk_bytes() // (buffers * len(self.W) * self.x.element_size()))
        if 0 < n <= most:
            yield slice(0, n), self
            return
        count = -(-n // most)
        size = -(-n // count) if count else 1
        for start in range(0, n, size):
            rows = slice(start, min(n, start + size))
            yield rows, self.part(rows)

    def by_classes(self) -> bool:
        """Whether a chunk of whole rows would have too few of them, because there are so many classes."""
        row_bytes = len(self.W) * self.x.element_size()
        return not self.chunk_rows and row_bytes * min(_LEAST_ROWS, len(self.x)) > self._chunk_bytes()

    def _chunk_bytes(self) -> int:
        return max(CHUNK_BYTES, int(_SHARE_OF_W * self.W.nbytes))

    def write_logits(self, out: Tensor) -> None:
        """X Wᵀ + bias, before any softcap."""
        if self.bias is None:
            torch.mm(self.x, self.W.T, out=out)
        else:
            torch.addmm(self.bias, self.x, self.W.T, out=out)

    def row_scale(self, upstream: Tensor) -> Tensor:
        """The upstream gradient over the denominator, for every row; one for every row or for their reduced loss."""
        upstream = upstream.to(accumulator(self.x))
        if self.spec.reduction is Reduction.none:
            return upstream
        return (upstream / self.targets.denominator(self.spec)[0]).expand(len(self.x)).contiguous()
