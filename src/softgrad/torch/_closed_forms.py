"""The formulas in torch operations, for every device that has no kernel of ours; design.md, "Mathematics".

As accurate as the device's arithmetic: nothing cancels, z - max z keeps what its rounding leaves, sums are taken in
float64 where the device has it. 16-bit types are computed in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from softgrad.torch._options import MEAN, NONE, without

if TYPE_CHECKING:
    from torch import Tensor


class _Normaliser(NamedTuple):
    """e_j = exp(z_j - m), and s' = Σ e over all elements but one maximal one."""

    maximum: Tensor
    below: Tensor  # z - m, and what rounding it left
    below_rest: Tensor
    exponentials: Tensor
    excess: Tensor

    @classmethod
    def of(cls, logits: Tensor, dim: int) -> _Normaliser:
        m = logits.amax(dim, keepdim=True)
        d = logits - m
        rounding = d - logits
        rest = (logits - (d - rounding)) - (m + rounding)  # TwoSum (Knuth)
        rest = torch.where(d.isfinite(), rest, 0)
        e = torch.exp(d)
        e = e + e * rest
        at_maximum = d == 0
        wide = logits.dtype if logits.device.type == "mps" else torch.float64
        tail = e.masked_fill(at_maximum, 0).sum(dim, keepdim=True, dtype=wide)
        excess = tail + (at_maximum.sum(dim, keepdim=True) - 1)
        return cls(m, d, rest, e, excess.to(logits.dtype))

    def probabilities(self) -> Tensor:
        return self.exponentials / (1 + self.excess)

    def log_sum_exp(self) -> Tensor:
        return torch.where(self.maximum.isinf(), self.maximum, self.maximum + torch.log1p(self.excess))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.element_size() < 4 else tensor


def softmax(logits: Tensor, dim: int) -> Tensor:
    if not logits.numel():
        return torch.empty_like(logits)
    return _Normaliser.of(_wide(logits), dim).probabilities().to(logits.dtype)


def log_softmax(logits: Tensor, dim: int) -> Tensor:
    if not logits.numel():
        return torch.empty_like(logits)
    n = _Normaliser.of(_wide(logits), dim)
    return (n.below + (n.below_rest - torch.log1p(n.excess))).to(logits.dtype)


def logsumexp(logits: Tensor, dim: int) -> Tensor:
    if not logits.numel():
        return logits.new_full(without(logits.shape, dim), -torch.inf)
    return _Normaliser.of(_wide(logits), dim).log_sum_exp().squeeze(dim).to(logits.dtype)


def softmax_vjp(probs: Tensor, v: Tensor, dim: int) -> Tensor:
    if not probs.numel():
        return torch.empty_like(probs)
    p, v = _wide(probs), _wide(v)
    return _curvature(p, v, p.argmax(dim, keepdim=True), 1, 0, dim).to(probs.dtype)


def _curvature(p: Tensor, v: Tensor, pivot: Tensor, a: Tensor | float, b: Tensor | float, dim: int) -> Tensor:
    """(a (Diag(p) - p pᵀ) + b p pᵀ) v, with differences from v_* at a largest p."""
    top = v.gather(dim, pivot)
    difference = v - top
    mean = (p * difference).sum(dim, keepdim=True)
    return p * (a * (difference - mean) + b * (mean + top))


def log_softmax_vjp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Lᵀ v = v - p Σ v: minus the gradient of the cross-entropy with targets v."""
    if not logits.numel():
        return torch.empty_like(logits)
    n = _Normaliser.of(_wide(logits), dim)
    return -_dense_gradient(n, _wide(v), 0, dim).to(logits.dtype)


def _dense_gradient(n: _Normaliser, y: Tensor, slope: Tensor | float, dim: int) -> Tensor:
    """(M + slope) p - y, at the only maximum (Σ_{j≠k} y_j - y_k s')/(1 + s') + slope p."""
    at_maximum = n.below == 0
    below = y.masked_fill(at_maximum, 0).sum(dim, keepdim=True)
    usual = (y.sum(dim, keepdim=True) + slope) * n.probabilities() - y
    at_top = (below - y * n.excess) / (1 + n.excess) + slope * n.probabilities()
    return torch.where(at_maximum & (at_maximum.sum(dim, keepdim=True) == 1), at_top, usual)


class _Targets(NamedTuple):
    """Targets in the form of the formulas; labels keep their dimension, with length one."""

    labels: Tensor | None
    kept: Tensor | None  # rows that are not ignored
    dense: Tensor | None  # y, where it is not one-hot
    mass: Tensor  # Σ y
    denominator: Tensor | int

    @classmethod
    def of(
        cls, logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, reduction: int, ignored: int, eps: float
    ) -> _Targets:
        classes = logits.shape[dim]
        per_class = None if weight is None else weight.to(logits.dtype).view([-1] + [1] * (logits.ndim - 1 - dim))
        if target.is_floating_point():
            dense = target.to(logits.dtype)
            labels = kept = None
            count: Tensor | int = logits.numel() // classes
        else:
            target = target.unsqueeze(dim)
            kept = target != ignored
            labels = target.masked_fill(~kept, 0)
            of_label = kept.to(logits.dtype) if weight is None else weight.to(logits.dtype)[labels] * kept
            count = of_label.sum()
            if eps == 0:
                return cls(labels, kept, None, of_label, count if reduction == MEAN else 1)
            dense = torch.zeros_like(logits).scatter_(dim, labels, 1)
        if eps:
            dense = (1 - eps) * dense + eps / classes
        if per_class is not None:
            dense = dense * per_class
        return cls(labels, kept, dense, dense.sum(dim, keepdim=True), count if reduction == MEAN else 1)


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
) -> Tensor:
    z = _wide(logits)
    y = _Targets.of(z, target, weight, dim, reduction, ignore_index, label_smoothing)
    n = _Normaliser.of(z, dim)
    log_sum = torch.log1p(n.excess)
    if y.dense is None:
        distance = n.maximum - z.gather(dim, y.labels)
        losses = torch.where(y.mass == 0, 0, y.mass * (log_sum + distance))
    else:
        distance = torch.where(y.dense == 0, 0, y.dense * -(n.below + n.below_rest))
        losses = y.mass * log_sum + distance.sum(dim, keepdim=True)
    if z_loss:
        losses = losses + z_loss * n.log_sum_exp() ** 2
    if y.kept is not None:
        losses = torch.where(y.kept, losses, 0)
    losses = losses.squeeze(dim)
    return losses if reduction == NONE else (losses.sum() / y.denominator).to(losses.dtype)


def cross_entropy_grad(
    logits: Tensor,
    upstream: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
) -> Tensor:
    z = _wide(logits)
    y = _Targets.of(z, target, weight, dim, reduction, ignore_index, label_smoothing)
    n = _Normaliser.of(z, dim)
    slope = 2 * z_loss * n.log_sum_exp() if z_loss else 0
    if y.dense is None:
        gradient = (y.mass + slope) * n.probabilities()
        z_y, e_y = z.gather(dim, y.labels), n.exponentials.gather(dim, y.labels)
        others = torch.where(z_y == n.maximum, n.excess, 1 + n.excess - e_y)
        gradient.scatter_(dim, y.labels, (slope * e_y - y.mass * others) / (1 + n.excess))
    else:
        gradient = _dense_gradient(n, y.dense, slope, dim)
    gradient = gradient * (_rows(upstream, dim, reduction).to(z.dtype) / y.denominator)
    if y.kept is not None:
        gradient = torch.where(y.kept, gradient, 0)
    return gradient.to(logits.dtype)


def cross_entropy_hvp(
    logits: Tensor,
    upstream: Tensor,
    v: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
) -> Tensor:
    z = _wide(logits)
    y = _Targets.of(z, target, weight, dim, reduction, ignore_index, label_smoothing)
    n = _Normaliser.of(z, dim)
    scale = _rows(upstream, dim, reduction).to(z.dtype) / y.denominator
    a = y.mass + 2 * z_loss * n.log_sum_exp() if z_loss else y.mass
    product = _curvature(n.probabilities(), _wide(v), z.argmax(dim, keepdim=True), scale * a, scale * 2 * z_loss, dim)
    if y.kept is not None:
        product = torch.where(y.kept, product, 0)
    return product.to(logits.dtype)


def _rows(upstream: Tensor, dim: int, reduction: int) -> Tensor:
    return upstream.unsqueeze(dim) if reduction == NONE else upstream
