r"""Exact results of rows of logits, computed in float64 where the logits are.

With m the maximum of a row, d = z - m, s the sum of e^d over all entries but one maximal one, y the targets, Σ y their
sum, and ζ the factor of the z-loss:

    lse = m + log(1 + s),    loss = Σ y log(1 + s) - Σ y_j d_j + ζ lse²,    gradient = p (Σ y + 2 ζ lse) - y

A one-hot target's own entry is minus the sum of the other probabilities, so that nothing cancels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Options:
    """Options of the loss, as `softgrad.torch.cross_entropy` takes them."""

    weight: Tensor | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    z_loss: float = 0.0


class Rows:
    """Functions of rows of logits without a target."""

    def __init__(self, logits: Tensor) -> None:
        z = logits.detach().double()
        self.maximum, self.largest = z.max(1, keepdim=True)
        self.difference = z - self.maximum
        self.exp = self.difference.exp()
        self.others = self.exp.scatter(1, self.largest, 0).sum(1, keepdim=True)
        self.log_sum = torch.log1p(self.others)
        self.softmax = self.exp / (1 + self.others)
        self.logsumexp = self.maximum + self.log_sum
        finite = torch.where(z.isfinite(), z.abs(), 0)
        self.logsumexp_magnitude = torch.maximum(self.logsumexp.abs(), finite.amax(1, keepdim=True))

    @property
    def log_softmax(self) -> Tensor:
        """The difference to the maximum, minus log(1 + s): two terms of one sign."""
        return self.difference - self.log_sum

    def log_softmax_vjp(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient v - p Σ v, and the larger of its two terms."""
        v = v.double()
        return v - self.softmax * v.sum(1, keepdim=True), torch.maximum(
            v.abs(), self.softmax * v.abs().sum(1, keepdim=True)
        )


def softmax_vjp(probs: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """P (v - p·v) of given probabilities, whose sum need not be 1, and the magnitude of its terms."""
    p, v = probs.detach().double(), v.double()
    away = v - v.gather(1, p.argmax(1, keepdim=True))
    mean, size = ((p * x).sum(1, keepdim=True) for x in (away, away.abs()))
    return p * (away - mean), p * (away.abs() + size)


def has_unique_maximum(probs: Tensor) -> Tensor:
    """Rows in which one probability is the largest: of several, softmax_vjp may refer to any."""
    return (probs == probs.amax(1, keepdim=True)).sum(1) == 1


class Loss:
    """The loss of every row, its gradient and Hessian-vector products."""

    def __init__(self, rows: Rows, target: Tensor, options: Options) -> None:
        self._rows, self._target, self._options = rows, target, options
        self._is_dense = target.is_floating_point()
        self.kept = torch.ones_like(rows.maximum, dtype=torch.bool)
        if not self._is_dense:
            self.kept = (target != options.ignore_index).unsqueeze(1)
        self._y = self._targets()
        self._mass = self._y.sum(1, keepdim=True)

    def _targets(self) -> Tensor:
        """Y = w ((1 - ε) q + ε / C)."""
        options, classes = self._options, self._rows.softmax.shape[1]
        q = self._target.double() if self._is_dense else self._one_hot
        y = (1 - options.label_smoothing) * q + options.label_smoothing / classes
        return y if options.weight is None else options.weight.double() * y

    @functools.cached_property
    def _labels(self) -> Tensor:
        return torch.where(self.kept, self._target.unsqueeze(1), 0)

    @functools.cached_property
    def _one_hot(self) -> Tensor:
        return torch.zeros_like(self._rows.softmax).scatter(1, self._labels, 1)

    @property
    def denominator(self) -> Tensor:
        """What the mean divides the sum of the losses by."""
        if self._is_dense:
            return self.kept.sum().double()
        weight = self._one_hot if self._options.weight is None else self._options.weight.double() * self._one_hot
        return (weight * self.kept).sum()

    @property
    def value(self) -> Tensor:
        """The losses, a column."""
        below = torch.where(self._y == 0, 0, -self._rows.difference)
        return self._of_kept(
            self._mass * self._rows.log_sum
            + (self._y * below).sum(1, keepdim=True)
            + self._options.z_loss * self._rows.logsumexp**2
        )

    @property
    def _slope(self) -> Tensor:
        """The factor of the probabilities in the gradient: Σ y + 2 ζ lse."""
        return self._mass + 2 * self._options.z_loss * self._rows.logsumexp

    @functools.cached_property
    def gradient(self) -> Tensor:
        """The gradient of every row's loss."""
        result = self._rows.softmax * self._slope - self._y
        if self._is_one_hot:
            others = self._rows.exp.scatter(1, self._labels, 0).sum(1, keepdim=True) / (1 + self._rows.others)
            result = result.scatter(1, self._labels, -self._mass * others)
        return self._of_kept(result)

    @property
    def gradient_magnitude(self) -> Tensor:
        """The magnitude that errors of the gradient are measured by: of the larger term where two cancel."""
        if self._is_one_hot:
            return self.gradient.abs()
        return self._of_kept(torch.maximum(self._slope.abs() * self._rows.softmax, self._y.abs()))

    @property
    def _is_one_hot(self) -> bool:
        return not (self._is_dense or self._options.label_smoothing or self._options.z_loss)

    def product(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """H v of every row, and the magnitude of its terms."""
        p, v, curvature = self._rows.softmax, v.double(), 2 * self._options.z_loss
        top = v.gather(1, self._rows.largest)
        away = v - top
        mean, size = ((p * x).sum(1, keepdim=True) for x in (away, away.abs()))
        result = p * (self._slope * (away - mean) + curvature * (mean + top))
        terms = p * (self._slope.abs() * (away.abs() + size) + curvature * (size + top.abs()))
        return self._of_kept(result), self._of_kept(terms)

    def _of_kept(self, result: Tensor) -> Tensor:
        return torch.where(self.kept, result, 0)


def ulp(magnitude: Tensor, dtype: torch.dtype) -> Tensor:
    """The unit in the last place of a dtype at every magnitude, in float64."""
    info = torch.finfo(dtype)
    _, exponent = torch.frexp(magnitude.double().abs().clamp_min(info.smallest_normal))
    return info.eps * torch.exp2(exponent.double() - 1)


def ulp_error(result: Tensor, exact: Tensor, magnitude: Tensor | None = None) -> float:
    """The largest error in units in the last place of the result's dtype; inf where NaN or infinities do not agree.

    The units are those of the exact value, or of `magnitude`. bfloat16 below 2^-125 is not counted: there the
    exponential of 16-bit logits ends.
    """
    result, exact, dtype = result.detach().double(), exact.double(), result.dtype
    magnitude = exact.abs() if magnitude is None else torch.maximum(exact.abs(), magnitude.double())
    finite = exact.isfinite()
    if not torch.equal(torch.where(finite, 0, result), torch.where(finite, 0, exact)):
        return float("inf")
    counted = finite & (magnitude >= 2.0**-125) if dtype == torch.bfloat16 else finite
    errors = ((result - exact).abs() / ulp(torch.where(finite, magnitude, 1), dtype))[counted]
    largest = float(errors.max()) if errors.numel() else 0.0
    return largest if largest == largest else float("inf")
