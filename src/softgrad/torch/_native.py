"""The compiled kernels on CPU tensors: one native call each, on the tensors' own memory.

The functions are those of `softgrad._closed_forms`, with targets from `_targets.checked_targets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _core
from softgrad._core import Reduction, SoftmaxKind
from softgrad._loss_spec import DEFAULT
from softgrad.torch._memory import DTYPES, empty_like, materialised, memory, without

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def softmax(logits: Tensor, dim: int) -> Tensor:
    return _like_logits(SoftmaxKind.softmax, logits, dim)


def log_softmax(logits: Tensor, dim: int) -> Tensor:
    return _like_logits(SoftmaxKind.log_softmax, logits, dim)


def _like_logits(kind: SoftmaxKind, logits: Tensor, dim: int) -> Tensor:
    result = empty_like(logits)
    if result.numel():
        logits = materialised(logits)
        _core.softmax(kind, DTYPES[logits.dtype], memory(logits), dim, memory(result))
    return result


def logsumexp(logits: Tensor, dim: int) -> Tensor:
    logits = materialised(logits)
    result = logits.new_empty(without(logits.shape, dim))
    if logits.numel():
        _core.softmax(SoftmaxKind.logsumexp, DTYPES[logits.dtype], memory(logits), dim, memory(result))
    else:
        result.fill_(-torch.inf)
    return result


def softmax_vjp(probs: Tensor, v: Tensor, dim: int) -> Tensor:
    result = empty_like(probs)
    if result.numel():
        probs, v = materialised(probs), materialised(v)
        _core.softmax_vjp(DTYPES[probs.dtype], memory(probs), dim, memory(v), memory(result))
    return result


def log_softmax_vjp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Lᵀ v = v - p Σ v: minus the gradient of the cross-entropy with targets v."""
    result = empty_like(logits)
    if result.numel():
        logits, v = materialised(logits), materialised(v)
        _core.cross_entropy(
            DEFAULT, DTYPES[logits.dtype], memory(logits), dim, probabilities=memory(v),
            probabilities_dtype=DTYPES[v.dtype], denominator=(-1.0, 0.0), gradient=memory(result),
        )  # fmt: skip
    return result


def row_statistics(logits: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """The statistics of rows, or of the block of their classes that the logits are."""
    statistics = torch.empty((len(logits), _core.statistics_fields), dtype=torch.float64)
    dtype = DTYPES[logits.dtype]
    _core.row_statistics(spec, dtype, memory(logits), targets.axis, memory(statistics), **_described(targets))
    return statistics


def merge_statistics(parts: list[Tensor]) -> Tensor:
    """The statistics of rows from those of blocks of their classes."""
    stacked, merged = torch.stack(parts), torch.empty_like(parts[0])
    _core.merge_statistics(memory(stacked), memory(merged))
    return merged


def cross_entropy(
    logits: Tensor,
    targets: Targets,
    spec: LossSpec,
    statistics: Tensor | None = None,
    gradient: Tensor | None = None,
) -> Tensor:
    """The loss; its gradient goes into `gradient`, in the same pass."""
    dtype = torch.float64 if logits.dtype is torch.float64 else torch.float32
    given = {} if statistics is None else {"statistics": memory(statistics)}
    if spec.reduction is Reduction.none:
        losses = torch.empty(without(logits.shape, targets.axis), dtype=dtype)
        _write(logits, targets, spec, loss=memory(losses), **given)
        return losses
    if gradient is not None:
        given["gradient"] = memory(gradient)
    return torch.scalar_tensor(_write(logits, targets, spec, **given), dtype=dtype)


def cross_entropy_grad(logits: Tensor, upstream: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    gradient = empty_like(logits)
    scale = _row_scale(upstream, logits, targets.axis)
    _write(logits, targets, spec, row_scale=_optional(scale), gradient=memory(gradient))
    return gradient


def overwrite_with_grad(
    logits: Tensor,
    upstream: Tensor,
    targets: Targets,
    spec: LossSpec,
    losses: Tensor | None,
    statistics: Tensor | None,
) -> None:
    """Put the gradient in place of the logits, and write the losses of the rows where they are wanted."""
    scale = _row_scale(upstream, logits, targets.axis)
    _write(
        logits, targets, spec, row_scale=_optional(scale), loss=_optional(losses), gradient=memory(logits),
        statistics=_optional(statistics),
    )  # fmt: skip


def _write(logits: Tensor, targets: Targets, spec: LossSpec, **given: Any) -> float:
    """Run the kernel; `given` is where losses and gradients go, and what is known of the rows."""
    logits = materialised(logits)
    dtype, denominator = DTYPES[logits.dtype], targets.denominator(spec)
    return _core.cross_entropy(
        spec, dtype, memory(logits), targets.axis, denominator=denominator, **_described(targets), **given
    )


def _described(targets: Targets) -> dict[str, Any]:
    """The targets as arguments of the compiled module, as far as they are not its defaults."""
    arguments: dict[str, Any] = {}
    if targets.labels is not None:
        arguments["labels"] = memory(targets.labels)
    else:
        arguments["probabilities"] = memory(targets.probabilities)
        arguments["probabilities_dtype"] = DTYPES[targets.probabilities.dtype]
    if targets.class_weight is not None:
        arguments["class_weight"] = memory(targets.class_weight)
    if targets.first_class is not None:
        arguments["first_class"], arguments["classes"] = targets.first_class, targets.classes
    return arguments


def cross_entropy_hvp(logits: Tensor, upstream: Tensor, v: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    result = empty_like(logits)
    logits, v = materialised(logits), materialised(v)
    row_scale = _row_scale(upstream, logits, targets.axis)
    _core.hvp(
        spec,
        DTYPES[logits.dtype],
        memory(logits),
        targets.axis,
        memory(v),
        memory(result),
        labels=_optional(targets.labels),
        mass=_in_numpy(targets).mass(spec),
        denominator=targets.denominator(spec),
        row_scale=_optional(row_scale),
    )
    return result


def _in_numpy(targets: Targets) -> Targets:
    """The same targets in NumPy's arrays, whose sums are compensated."""
    probabilities = targets.probabilities
    if probabilities is not None and probabilities.element_size() < 4:
        probabilities = probabilities.float()
    return targets._replace(
        labels=_as_numpy(targets.labels),
        probabilities=_as_numpy(probabilities),
        class_weight=_as_numpy(targets.class_weight),
    )


def _as_numpy(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.numpy()


def _row_scale(upstream: Tensor, logits: Tensor, dim: int) -> Tensor | None:
    """The factor of every row's gradient: the upstream gradient, None where it is one."""
    if upstream.ndim or logits.ndim == 1:
        return materialised(upstream.to(torch.float64)).contiguous()
    factor = upstream.item()
    return None if factor == 1 else torch.full((logits.numel() // logits.shape[dim],), factor, dtype=torch.float64)


def _optional(tensor: Tensor | None) -> Any:
    return None if tensor is None else memory(tensor)
