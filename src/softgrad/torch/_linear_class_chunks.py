"""The same for very many classes: blocks of rows times blocks of classes, of which one is in memory at a time.

A first pass over the blocks of classes finds every row's maximum m and s' = Σ exp(z - m) over all elements but one
maximal one; a second computes the logits again and turns them into gradients. With s'_b of block b about its own
maximum m_b, its elements have p_j = softmax(z_b)_j · (1 + s'_b) exp(m_b - m)/(1 + s').
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from softgrad import _closed_forms
from softgrad._loss_spec import DEFAULT, per_row
from softgrad._targets import Targets
from softgrad.torch import _native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from softgrad.torch._linear_chunks import Head

BLOCK_ROWS = 1024
_PER_ROW = per_row(DEFAULT)


class _Statistics(NamedTuple):
    """Of rows, in float64: the maximum m, s' and the logit of the label; and m_b and s'_b of every block of classes."""

    maximum: Tensor
    excess: Tensor
    label: Tensor
    maxima: Tensor  # (blocks, rows)
    excesses: Tensor
    positions: Tensor  # of the maxima within their blocks

    def log_sum_exp(self) -> Tensor:
        return torch.where(self.maximum.isinf(), self.maximum, self.maximum + torch.log1p(self.excess))

    def share(self, block: int) -> Tensor:
        """What softmax of a block is multiplied by."""
        below = torch.exp(self.maxima[block] - self.maximum)
        return torch.where(below == 0, 0, (1 + self.excesses[block]) * below) / (1 + self.excess)


def losses_and_statistics(head: Head, buffer: Tensor) -> tuple[Tensor, _Statistics]:
    """The losses of a block of rows, from one pass over the blocks of classes."""
    n = len(head.x)
    label = head.x.new_zeros(n, dtype=torch.float64)
    weighed = head.x.new_zeros(n, dtype=torch.float64)  # Σ y z of class probabilities and smoothing
    mass = head.x.new_zeros(n, dtype=torch.float64)
    maxima, excesses, positions = [], [], []
    z_loss = _closed_forms.ZLoss(head.spec)
    for classes, logits in _blocks(head, buffer):
        m, at = logits.max(1)
        log_excess = _kernels(logits).cross_entropy(logits, Targets(logits.shape[1], at), _PER_ROW)
        maxima.append(m.double())
        excesses.append(torch.expm1(log_excess.double()))
        positions.append(at)
        rows, columns = _labels_in(head, classes)
        label[rows] = logits[rows, columns].double()
        y = _dense_targets(head, classes, logits)
        if y is not None:
            weighed += torch.where(y == 0, 0, y * logits).sum(1, dtype=torch.float64)
            mass += y.sum(1, dtype=torch.float64)
    statistics = _merged(torch.stack(maxima), torch.stack(excesses), torch.stack(positions), label)
    log_sum = torch.log1p(statistics.excess)
    if not _closed_forms.one_hot(head.targets, head.spec):
        losses = mass * log_sum + (mass * statistics.maximum - weighed)
    else:
        losses = _ones_or(head.targets.label_weight(head.spec), log_sum) * (log_sum + (statistics.maximum - label))
    if z_loss:
        losses = losses + z_loss.value(statistics.log_sum_exp())
    return losses, statistics


def gradients(head: Head, statistics: _Statistics, scale: Tensor, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of classes, and the gradient with respect to their logits, from a second pass."""
    one = torch.ones_like(statistics.excess)
    z_loss = _closed_forms.ZLoss(head.spec)
    slope = z_loss.slope(statistics.log_sum_exp()) if z_loss else torch.zeros_like(one)
    for block, (classes, logits) in enumerate(_blocks(head, buffer)):
        bend = None
        if head.softcap:
            t = logits / head.softcap
            bend = (1 - t).mul_(1 + t)
        logits.copy_(_kernels(logits).softmax(logits, 1))
        share = statistics.share(block)
        logits.masked_fill_((share == 0).unsqueeze(1), 0)  # a block of only -inf has no softmax
        y = _dense_targets(head, classes, logits)
        if y is None:
            rows, columns = _labels_in(head, classes)
            weight = _ones_or(head.targets.label_weight(head.spec), one)
            logits.mul_((share * (weight + slope) * scale).to(logits.dtype).unsqueeze(1))
            at_maximum = statistics.label == statistics.maximum
            e = torch.exp(statistics.label - statistics.maximum)
            others = torch.where(at_maximum, statistics.excess, one + statistics.excess - e)
            at_label = (slope * e - weight * others) / (one + statistics.excess) * scale
            logits[rows, columns] = at_label[rows].to(logits.dtype)
        else:
            mass = _ones_or(head.targets.mass(head.spec), one)
            logits.mul_((share * (mass + slope)).to(logits.dtype).unsqueeze(1)).sub_(y)
            # At a maximum with p > 1/2 the difference cancels; (Σ_{j≠k} y_j - y_k s')/(1 + s') + slope p does not.
            rows = ((statistics.maxima[block] == statistics.maximum) & (statistics.excess < 1)).nonzero().squeeze(1)
            columns = statistics.positions[block][rows]
            y_top = y[rows, columns].double()
            s = statistics.excess[rows]
            at_top = (mass[rows] - y_top - y_top * s + slope[rows]) / (1 + s)
            logits[rows, columns] = at_top.to(logits.dtype)
            logits.mul_(scale.to(logits.dtype).unsqueeze(1))
        if bend is not None:
            logits.mul_(bend)
        yield classes, logits


def _kernels(logits: Tensor) -> Any:
    return _native if logits.is_cpu else _closed_forms


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


def _merged(maxima: Tensor, excesses: Tensor, positions: Tensor, label: Tensor) -> _Statistics:
    m = maxima.amax(0)
    below = torch.exp(maxima - m)
    of_blocks = torch.where(maxima == m, excesses, torch.where(below == 0, 0, (1 + excesses) * below))
    return _Statistics(m, of_blocks.sum(0) + ((maxima == m).sum(0) - 1), label, maxima, excesses, positions)


def _labels_in(head: Head, classes: slice) -> tuple[Tensor, Tensor]:
    """The rows whose label is among the classes, and where."""
    labels = head.targets.labels
    if labels is None:
        labels = torch.full(head.x.shape[:1], -1, device=head.x.device)
    rows = ((labels >= classes.start) & (labels < classes.stop)).nonzero().squeeze(1)
    return rows, labels[rows] - classes.start


def _ones_or(of_rows: Tensor | None, like: Tensor) -> Tensor:
    return torch.ones_like(like) if of_rows is None else of_rows


def _dense_targets(head: Head, classes: slice, logits: Tensor) -> Tensor | None:
    """Targets y of a block of classes; None for labels without smoothing."""
    if _closed_forms.one_hot(head.targets, head.spec):
        return None
    return head.targets.block(classes.start, classes.stop).dense(head.spec, logits)
