"""The cross-entropy of a linear head by chunks of rows: GEMMs by torch, the logits of one chunk in memory at a time.

Every chunk of logits is overwritten by its gradient. Rows that `ignore_index` drops are left out beforehand. Sums over
rows are taken in float32 at least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from softgrad import _closed_forms
from softgrad._arrays import accumulator
from softgrad._core import Reduction
from softgrad._loss_spec import per_row
from softgrad.torch import _linear_class_chunks
from softgrad.torch._kernels import kernels, overwrite_with_grad
from softgrad.torch._memory import empty
from softgrad.torch._targets import native_targets, summed, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

# Logits of a chunk, or three quarters of W if that is more: enough rows that GEMMs run at full speed, and that the
# gradient of W is not added to too often.
_CHUNK_BYTES = 64 << 20
_SHARE_OF_W = 0.75
# With fewer, adding to the gradient of W costs more than computing the logits twice.
_LEAST_ROWS = 64


class Head(NamedTuple):
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
    ) -> Head:
        """The head of an operator's arguments; on the CPU, labels that are no classes are refused."""
        if x.is_cpu:
            targets = summed(native_targets(target, weight, 1, len(W)), spec)
        else:
            targets = targets_of(target, weight, 1, len(W), x.dtype)
        return cls(x, W, bias, targets, spec, softcap, chunk_rows)

    def kept(self) -> tuple[Head, Tensor | None]:
        """The head without the rows that the target ignores, and which those are that stay; None: all."""
        stays = self.targets.kept(self.spec)
        if stays is None or bool(stays.all()):
            return self, None
        rows = stays.nonzero().squeeze(1)
        return self.part(rows), rows

    def part(self, rows: Tensor | slice) -> Head:
        """The head of some of the rows."""
        return self._replace(x=self.x[rows], targets=self.targets.part(rows))

    def chunks(self, buffers: int = 1) -> Iterator[tuple[slice, Head]]:
        """Slices of rows, with so many buffers of the size of their logits, and the head of these rows."""
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
        """Whether there are so many classes that a chunk of whole rows would be of too few."""
        row_bytes = len(self.W) * self.x.element_size()
        return not self.chunk_rows and row_bytes * min(_LEAST_ROWS, len(self.x)) > self._chunk_bytes()

    def _chunk_bytes(self) -> int:
        return max(_CHUNK_BYTES, int(_SHARE_OF_W * self.W.nbytes))

    def write_logits(self, out: Tensor) -> None:
        """X Wᵀ + bias, before any softcap."""
        if self.bias is None:
            torch.mm(self.x, self.W.T, out=out)
        else:
            torch.addmm(self.bias, self.x, self.W.T, out=out)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """In which gradients are summed."""
    return torch.promote_types(dtype, torch.float32)


def linear_cross_entropy(*arguments: Any) -> Tensor:
    """The loss alone."""
    head = Head.of(*arguments)
    return _reduced(head, *_passed(head, None, (False, False, False))[:2])


def linear_cross_entropy_grad(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, W and bias, times the upstream gradient; empty where not wanted."""
    x, W, bias, upstream, *rest, x_wanted, W_wanted = arguments
    wanted = (bool(x_wanted), bool(W_wanted), bias is not None)
    gradients = _passed(Head.of(x, W, bias, *rest), upstream, wanted)[2:]
    return tuple(x.new_empty(0) if g is None else g for g in gradients)


def value_and_gradients(head: Head, wanted: tuple[bool, bool, bool]) -> tuple[Tensor, list[Tensor | None]]:
    """A reduced loss, and its gradients with respect to x, W and bias."""
    one = torch.ones((), device=head.x.device)
    losses, rows, *gradients = _passed(head, one, wanted)
    return _reduced(head, losses, rows), gradients


def _passed(
    head: Head, upstream: Tensor | None, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """One pass over the rows: losses of the rows that stay, which those are, and the gradients that are wanted."""
    kept, rows = head.kept()
    n, classes = len(kept.x), len(head.W)
    losses = head.x.new_empty(n, dtype=_wide(head.x.dtype))
    scale = None if upstream is None else _scale_of_rows(kept, rows, upstream)
    sums = _Sums.of(head, rows, wanted)
    if kept.by_classes():
        return losses, rows, *_passed_by_classes(kept, losses, scale, sums).results(head)
    buffer = None
    for part, chunk in kept.chunks(2 if head.softcap and scale is not None else 1):
        if buffer is None:
            buffer = empty((len(chunk.x), classes), head.x.dtype, head.x.device)
        logits = buffer[: len(chunk.x)]
        chunk.write_logits(logits)
        slope = _cap(logits, head.softcap, scale is not None)
        if scale is None:
            losses[part] = kernels(logits).cross_entropy(logits, chunk.targets, per_row(chunk.spec))
        else:
            overwrite_with_grad(logits, scale[part], chunk.targets, per_row(chunk.spec), losses[part])
            if slope is not None:
                logits.mul_(slope)
            sums.add(part, logits, chunk.x, head.W)
    return losses, rows, *sums.results(head)


def _passed_by_classes(kept: Head, losses: Tensor, scale: Tensor | None, sums: _Sums) -> _Sums:
    """The same in blocks of rows and classes."""
    size = min(len(kept.x), _linear_class_chunks.BLOCK_ROWS)
    buffer = empty((max(size, _CHUNK_BYTES // kept.x.element_size()),), kept.x.dtype, kept.x.device)
    for part, chunk in kept._replace(chunk_rows=size).chunks():
        of_rows, statistics = _linear_class_chunks.losses_and_statistics(chunk, buffer)
        losses[part] = of_rows
        if scale is not None:
            for classes, g in _linear_class_chunks.gradients(chunk, statistics, scale[part], buffer):
                sums.add_classes(part, classes, g, chunk.x, kept.W)
    return sums


def _scale_of_rows(kept: Head, rows: Tensor | None, upstream: Tensor) -> Tensor:
    """Upstream gradient over denominator, for every row that stays."""
    upstream = upstream.to(accumulator(kept.x))
    if kept.spec.reduction is Reduction.none:
        return upstream if rows is None else upstream[rows]
    return (upstream / kept.targets.denominator(kept.spec)[0]).expand(len(kept.x)).contiguous()


def _cap(logits: Tensor, softcap: float, slope_wanted: bool) -> Tensor | None:
    """Put cap · tanh(z / cap) in place of z; its derivative is 1 - tanh²."""
    if not softcap:
        return None
    t = logits.div_(softcap).tanh_()
    slope = (1 - t).mul_(1 + t) if slope_wanted else None
    logits.mul_(softcap)
    return slope


def _reduced(head: Head, losses: Tensor, rows: Tensor | None) -> Tensor:
    """The losses of the rows that stay, reduced, or among the zeros of the others."""
    if head.spec.reduction is Reduction.none and rows is not None:
        return losses.new_zeros(len(head.x)).index_copy_(0, rows, losses)
    return _closed_forms.reduced(losses, head.targets, head.spec)


class _Sums:
    """Σ g_n x_nᵀ, Wᵀ g_n and Σ g_n, as far as they are wanted."""

    def __init__(self, x: Tensor | None, W: Tensor | None, bias: Tensor | None, rows: Tensor | None) -> None:
        self._x, self._W, self._bias, self._rows = x, W, bias, rows
        self._first = True

    @classmethod
    def of(cls, head: Head, rows: Tensor | None, wanted: tuple[bool, bool, bool]) -> _Sums:
        dtype, device = head.x.dtype, head.x.device
        n = len(head.x) if rows is None else len(rows)
        return cls(
            empty((n, head.x.shape[1]), _wide(dtype) if head.by_classes() else dtype, device) if wanted[0] else None,
            empty(tuple(head.W.shape), _wide(dtype), device) if wanted[1] else None,
            torch.zeros(len(head.W), dtype=_wide(dtype), device=device) if wanted[2] else None,
            rows,
        )

    def add(self, part: slice, g: Tensor, x: Tensor, W: Tensor) -> None:
        """The gradient g with respect to the logits of one chunk."""
        if self._x is not None:
            torch.mm(g, W, out=self._x[part])
        if self._W is not None:
            _add_product(self._W, g, x, self._first)
        if self._bias is not None:
            self._bias += g.sum(0, dtype=self._bias.dtype)
        self._first = False

    def add_classes(self, part: slice, classes: slice, g: Tensor, x: Tensor, W: Tensor) -> None:
        """The gradient g with respect to the logits of some rows and classes."""
        if self._x is not None:
            if classes.start:
                self._x[part] += torch.mm(g, W[classes])
            else:
                self._x[part] = torch.mm(g, W[classes])
        if self._W is not None:
            _add_product(self._W[classes], g, x, part.start == 0)
        if self._bias is not None:
            self._bias[classes] += g.sum(0, dtype=self._bias.dtype)
        self._first = False

    def add_change(self, part: slice, g: Tensor, x_change: Tensor | None, W_change: Tensor | None) -> None:
        """What changes of x and W add to the gradients of the other, g staying as it is."""
        if self._x is not None and W_change is not None:
            self._x[part].addmm_(g, W_change)
        if self._W is not None and x_change is not None:
            _add_product(self._W, g, x_change, False)

    def results(self, head: Head) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of the dtypes of x, W and bias; the rows that were left out have a gradient of zero."""
        x, W, bias = self._x, self._W, self._bias
        if x is not None and self._rows is not None:
            x = x.new_zeros(head.x.shape).index_copy_(0, self._rows, x)
        if W is not None and self._first:
            W.zero_()
        dtype = head.x.dtype
        x, W, bias = (None if total is None else total.to(dtype) for total in (x, W, bias))
        return x, W, bias


def _add_product(total: Tensor, g: Tensor, x: Tensor, first: bool) -> None:
    """Add gᵀ x to total, or write it there."""
    g, x = g.to(total.dtype), x.to(total.dtype)
    if first:
        torch.mm(g.T, x, out=total)
    else:
        total.addmm_(g.T, x)


def linear_cross_entropy_hvp(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The Hessian of the loss with respect to (x, W, bias), times a direction; empty where not wanted.

    t = x_change Wᵀ + x W_changeᵀ + bias_change,  h = H t,  g the gradient:
    h W + g W_change,  hᵀ x + gᵀ x_change,  Σ h.
    """
    x, W, bias, upstream, x_change, W_change, bias_change, *rest, x_wanted, W_wanted = arguments
    head = Head.of(x, W, bias, *rest)
    kept, rows = head.kept()
    if x_change is not None and rows is not None:
        x_change = x_change[rows]
    scale = _scale_of_rows(kept, rows, upstream)
    sums = _Sums.of(head, rows, (bool(x_wanted), bool(W_wanted), bias is not None))
    for part, chunk in kept.chunks(5 if head.softcap else 4):
        x_part = None if x_change is None else x_change[part]
        logits = x.new_empty(len(chunk.x), len(W))
        chunk.write_logits(logits)
        g, h = _gradient_and_product(chunk, logits, _logit_change(chunk, x_part, W_change, bias_change), scale[part])
        sums.add(part, h, chunk.x, W)
        sums.add_change(part, g, x_part, W_change)
    return tuple(x.new_empty(0) if result is None else result for result in sums.results(head))


def _logit_change(chunk: Head, x_change: Tensor | None, W_change: Tensor | None, bias_change: Tensor | None) -> Tensor:
    change = chunk.x.new_zeros(len(chunk.x), len(chunk.W))
    if bias_change is not None:
        change += bias_change
    if x_change is not None:
        change.addmm_(x_change, chunk.W.T)
    if W_change is not None:
        change.addmm_(chunk.x, W_change.T)
    return change


def _gradient_and_product(chunk: Head, logits: Tensor, change: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient with respect to the logits z, and how it changes with them; both through c = cap · tanh(z / cap)."""
    module, targets, spec = kernels(logits), chunk.targets, per_row(chunk.spec)
    slope = _cap(logits, chunk.softcap, True)
    capped_change = change if slope is None else change * slope
    g = module.cross_entropy_grad(logits, scale, targets, spec)
    h = module.cross_entropy_hvp(logits, scale, capped_change, targets, spec)
    if slope is not None:
        bend = (-2 / chunk.softcap**2) * logits * slope  # c'' = -2 tanh · (1 - tanh²) / cap
        h = h.mul_(slope).add_(bend.mul_(g).mul_(change))
        g = g.mul_(slope)
    return g, h
