"""The compiled kernels on CPU tensors: one native call each, on the tensors' own memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _core, _validation
from softgrad.torch._memory import CODES, Memory, empty_like, materialised, memory
from softgrad.torch._options import MEAN, NONE, without

if TYPE_CHECKING:
    from torch import Tensor

_SOFTMAX, _LOG_SOFTMAX, _LOGSUMEXP = range(3)  # SoftmaxKind in native/kernels.h


def softmax(logits: Tensor, dim: int) -> Tensor:
    return _like_logits(_SOFTMAX, logits, dim)


def log_softmax(logits: Tensor, dim: int) -> Tensor:
    return _like_logits(_LOG_SOFTMAX, logits, dim)


def _like_logits(kind: int, logits: Tensor, dim: int) -> Tensor:
    result = empty_like(logits)
    if result.numel():
        logits = materialised(logits)
        _core.softmax(kind, CODES[logits.dtype], memory(logits), dim, memory(result))
    return result


def logsumexp(logits: Tensor, dim: int) -> Tensor:
    logits = materialised(logits)
    result = logits.new_empty(without(logits.shape, dim))
    if logits.numel():
        _core.softmax(_LOGSUMEXP, CODES[logits.dtype], memory(logits), dim, memory(result))
    else:
        result.fill_(-torch.inf)
    return result


def softmax_vjp(probs: Tensor, v: Tensor, dim: int) -> Tensor:
    result = empty_like(probs)
    if result.numel():
        probs, v = materialised(probs), materialised(v)
        _core.softmax_vjp(CODES[probs.dtype], memory(probs), dim, memory(v), memory(result))
    return result


def log_softmax_vjp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Lᵀ v = v - p Σ v: minus the gradient of the cross-entropy with targets v."""
    result = empty_like(logits)
    if result.numel():
        logits, v = materialised(logits), materialised(v)
        _core.cross_entropy(
            CODES[logits.dtype], memory(logits), dim, memory(result), None, None,
            None, memory(v), CODES[v.dtype], None, None, 0.0, 0.0, -1.0, 0.0,
        )  # fmt: skip
    return result


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
    logits = materialised(logits)
    _alive, labels, probs, code, weights, denominator = _targets(logits, target, weight, dim, reduction, ignore_index)
    dtype = torch.float64 if logits.dtype is torch.float64 else torch.float32
    losses = torch.empty(without(logits.shape, dim), dtype=dtype) if reduction == NONE else None
    total = _core.cross_entropy(
        CODES[logits.dtype], memory(logits), dim, None, None, _optional(losses), labels, probs,
        code, weights, ignore_index, label_smoothing, z_loss, *denominator,
    )  # fmt: skip
    return torch.scalar_tensor(total, dtype=dtype) if losses is None else losses


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
    gradient = empty_like(logits)
    write_cross_entropy_grad(
        logits, upstream, target, weight, gradient, None, dim, reduction, ignore_index, label_smoothing, z_loss
    )
    return gradient


def cross_entropy_value_and_grad(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    dim: int,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
) -> tuple[Tensor, Tensor]:
    """A reduced loss and its gradient, in one pass."""
    gradient = empty_like(logits)
    logits = materialised(logits)
    _alive, labels, probs, code, weights, denominator = _targets(logits, target, weight, dim, reduction, ignore_index)
    total = _core.cross_entropy(
        CODES[logits.dtype], memory(logits), dim, memory(gradient), None, None, labels, probs,
        code, weights, ignore_index, label_smoothing, z_loss, *denominator,
    )  # fmt: skip
    dtype = torch.float64 if logits.dtype is torch.float64 else torch.float32
    return torch.scalar_tensor(total, dtype=dtype), gradient


def write_cross_entropy_grad(
    logits: Tensor,
    upstream: Tensor,
    target: Tensor,
    weight: Tensor | None,
    gradient: Tensor,
    losses: Tensor | None,
    dim: int,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
) -> None:
    """The gradient, which may take the place of the logits, and the rows' losses if wanted."""
    logits = materialised(logits)
    _alive, labels, probs, code, weights, denominator = _targets(logits, target, weight, dim, reduction, ignore_index)
    row_scale = _row_scale(upstream, logits, dim)
    _core.cross_entropy(
        CODES[logits.dtype], memory(logits), dim, memory(gradient), _optional(row_scale), _optional(losses),
        labels, probs, code, weights, ignore_index, label_smoothing, z_loss, *denominator,
    )  # fmt: skip


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
    result = empty_like(logits)
    logits, v = materialised(logits), materialised(v)
    kept, labels, _, _, weights, denominator = _targets(logits, target, weight, dim, reduction, ignore_index)
    mass = _mass(kept, weights, dim, ignore_index, label_smoothing)
    skip = None if labels is None else kept == ignore_index
    row_scale = _row_scale(upstream, logits, dim)
    _core.hvp(
        CODES[logits.dtype], memory(logits), dim, memory(v), memory(result), _optional(mass), _optional(row_scale),
        _optional(skip), z_loss, *denominator,
    )  # fmt: skip
    return result


def check_labels(labels: Tensor, classes: int, ignore_index: int, weights: Any) -> tuple[float, float]:
    """The summed weight of the labels that count, in two parts."""
    return _summed_weight(labels, memory(labels), classes, ignore_index, weights)


def _summed_weight(labels: Tensor, at: Memory, classes: int, ignore_index: int, weights: Any) -> tuple[float, float]:
    row, total, rest = _core.check_labels(at, classes, ignore_index, weights)
    if row >= 0:
        _validation.reject_label(labels, row, classes)
    return total, rest


def _targets(
    logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, reduction: int, ignore_index: int
) -> tuple[Tensor, Memory | None, Memory | None, int, Any, tuple[float, float]]:
    """The tensor that must outlive the call, its memory as labels or as class probabilities, the code of its dtype,
    weights, and what divides the loss, in two parts.
    """
    classes, weights = logits.shape[dim], None
    if weight is not None:
        weights = class_weights(weight, classes)
    if target.is_floating_point():
        probs = materialised(target)
        rows = logits.numel() // classes if reduction == MEAN else 1
        return probs, None, memory(probs), CODES[target.dtype], weights, (float(rows), 0.0)
    labels = target.contiguous()
    at = memory(labels)
    counted = _summed_weight(labels, at, classes, ignore_index, weights)
    return labels, at, None, 0, weights, counted if reduction == MEAN else (1.0, 0.0)


def class_weights(weight: Tensor, classes: int) -> Any:
    """Checked, in float64."""
    wide = weight.detach().to(torch.float64).resolve_neg().numpy()
    return _validation.class_weight(wide, classes, "torch.cross_entropy", signed=True)


def _row_scale(upstream: Tensor, logits: Tensor, dim: int) -> Tensor | None:
    """What the gradient of each row is multiplied by: the upstream gradient, None where it is one."""
    if upstream.ndim or logits.ndim == 1:
        return materialised(upstream.to(torch.float64)).contiguous()
    factor = upstream.item()
    return None if factor == 1 else torch.full((logits.numel() // logits.shape[dim],), factor, dtype=torch.float64)


def _mass(target: Tensor, weights: Any, dim: int, ignore_index: int, label_smoothing: float) -> Tensor | None:
    """Σ_j y_j of every row; None where all are 1."""
    kept, spread = 1 - label_smoothing, label_smoothing
    if weights is not None:
        spread *= float(weights.mean())
    if target.is_floating_point():
        probs = target.float() if target.element_size() < 4 else target
        mass = torch.empty(without(probs.shape, dim), dtype=torch.float64)
        _core.target_mass(memory(probs), CODES[probs.dtype], dim, weights, memory(mass))
        return kept * mass + spread if label_smoothing else mass
    if weights is None:
        return None
    return kept * torch.from_numpy(weights)[target.masked_fill(target == ignore_index, 0)] + spread


def _optional(tensor: Tensor | None) -> Memory | None:
    return None if tensor is None else memory(tensor)
