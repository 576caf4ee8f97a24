"""The derivatives of the cross-entropy of class shards, to any order.

Loss, gradient and Hessian-vector product are three operators, each the derivative of the one before; they take the
merged statistics of the rows as constants, which hold what they need of the other shards. Third derivatives, and those
with respect to targets and class weights, are composed of softmax and of sums over the shards.

A value that all ranks share has one gradient, which all ranks share. Where such a value is combined with a shard, its
gradient is a sum over the ranks:

    sum_over_shards   from a shard's part to the value shared; its adjoint is
    for_every_shard   from the value shared to its use with every shard
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad._core import Reduction
from softgrad.torch import _shards
from softgrad.torch._autograd._cross_entropy import are_targets_differentiated
from softgrad.torch._autograd._rules import define_constant, define_derivatives
from softgrad.torch._dispatch import are_transforms_active
from softgrad.torch._dispatch import sharded_operators as sharded
from softgrad.torch._kernels import mass_of_rows, targets_of, without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def sharded_loss(logits: Tensor, *rest: Any) -> Tensor:
    """The loss of checked arguments, float32 or float64."""
    target, weight, *_, first_class, classes = rest
    merged = merged_shards(logits, *rest)
    if (weight is not None or target.dtype is not torch.int64) and are_targets_differentiated(target, weight):
        place = merged[1].tolist() if min(first_class, classes) < 0 else (first_class, classes)
        return _composed(logits, place, *merged)
    return sharded.cross_entropy(logits, *merged)


def merged_shards(
    logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec, group: str, *given: int
) -> tuple[Any, ...]:
    """The arguments of the operators behind the logits: the merged statistics, with one collective, and the rest.

    given: the first class and the number of all classes, or -1. Raises an error of any rank on all ranks.
    """
    rows = (logits.detach(), target.detach(), None if weight is None else weight.detach(), dim, spec, group, *given)
    gathered = _all_gather(sharded.shard_statistics(*rows), group)
    statistics, shard = sharded.merge_shards(gathered, *rows)
    return statistics, shard, target, weight, dim, spec, group


def _all_gather(message: Tensor, group: str) -> Tensor:
    """Torch's functional collective, which modes and compilers know; transforms of torch.func do not."""
    return (sharded.all_gather if are_transforms_active() else _shards.all_gather)(message, group)


def _hvp(logits: Tensor, upstream: Tensor, v: Tensor, statistics: Tensor, *rest: Any) -> Tensor:
    """The Hessian times v, with one collective."""
    *_, dim, _, group = rest
    message = sharded.shard_directions(logits.detach(), v.detach(), statistics, dim)
    directions = _all_gather(message, group)
    return sharded.cross_entropy_hvp(logits, upstream, v, directions, statistics, *rest)


def _row_sums(dim: int, group: str) -> Callable[[Tensor], Tensor]:
    """Sums over the classes of all shards, for every shard."""

    def sums(x: Tensor) -> Tensor:
        return sharded.for_every_shard(sharded.sum_over_shards(x.sum(dim, keepdim=True), group), group)

    return sums


# The rules of define_derivatives; s is the upstream gradient of the loss.


def _loss_change(v: Tensor, logits: Tensor, *merged: Any) -> Tensor:
    """The gradient times v, summed over the classes, and over the rows of a reduced loss."""
    *_, dim, spec, group = merged
    is_per_row = spec.reduction is Reduction.none
    wide = torch.promote_types(logits.dtype, torch.float32)
    one = torch.ones(without(v.shape, dim) if is_per_row else (), dtype=wide, device=logits.device)
    change = sharded.cross_entropy_grad(logits, one, *merged).to(wide) * v
    change = _closed_forms.kept_rows(change, _targets(logits, *merged), spec)  # 0 times NaN is NaN
    return sharded.sum_over_shards(change.sum(dim) if is_per_row else change.sum(), group)


def _grad_change(v: Tensor, logits: Tensor, s: Tensor, *merged: Any) -> Tensor:
    return _hvp(logits, s, v, *merged)


def _grad_in_upstream(v: Tensor, logits: Tensor, s: Tensor, *merged: Any) -> Tensor:
    return _loss_change(v, logits, *merged).to(s.dtype)


def _third_derivative(w: Tensor, logits: Tensor, s: Tensor, v: Tensor, directions: Tensor, *merged: Any) -> Tensor:
    """The third derivative of the loss, applied to v and w, times the upstream gradient."""
    statistics, *_, dim, spec, group = merged
    z, v, w = (tensor.to(torch.promote_types(logits.dtype, torch.float32)) for tensor in (logits, v, w))
    targets = _targets(z, *merged)
    z = _closed_forms.kept_rows(z, targets, spec)
    p = sharded.softmax(z, statistics, dim, group)
    lse = _lse(z, statistics, dim, spec, group)
    lse = None if lse is None else sharded.for_every_shard(lse, group)

    def vjp(p: Tensor, v: Tensor) -> Tensor:
        return _softmax_product(v, p, dim, group)

    mass = None if targets.labels is not None else mass_of_rows(statistics, z, dim)
    result = _closed_forms.third_derivative(p, lse, v, w, targets, spec, vjp, _row_sums(dim, group), mass)
    scale = _closed_forms.row_scale(sharded.for_every_shard(s, group), z, targets, spec)
    return (result * scale).to(logits.dtype)


def _hvp_in_upstream(w: Tensor, logits: Tensor, s: Tensor, v: Tensor, directions: Tensor, *merged: Any) -> Tensor:
    *_, dim, _, group = merged
    product = sharded.cross_entropy_hvp(logits, torch.ones_like(s), v, directions, *merged) * w
    return sharded.sum_over_shards(product.sum(dim) if s.ndim else product.sum(), group).to(s.dtype)


def _hvp_in_v(w: Tensor, logits: Tensor, s: Tensor, v: Tensor, directions: Tensor, *merged: Any) -> Tensor:
    return _hvp(logits, s, w, *merged)


def _softmax_product(v: Tensor, p: Tensor, dim: int, group: str) -> Tensor:
    """J v = p ∘ (v - pᵀv)."""
    return p * (v - _row_sums(dim, group)(p * v))


def _composed(logits: Tensor, place: Sequence[int], statistics: Tensor, shard: Tensor, *rest: Any) -> Tensor:
    """The loss in torch operations around log_softmax: differentiable in targets and weights, too."""
    target, weight, dim, spec, group = rest
    z, (first, classes) = logits.to(torch.promote_types(logits.dtype, torch.float32)), place
    targets = targets_of(target, weight, dim, classes, z.dtype)._replace(first_class=first)
    z = _closed_forms.kept_rows(z, targets, spec)
    shared = None if weight is None else sharded.for_every_shard(targets.class_weight, group)
    y = targets._replace(class_weight=shared).dense(spec, z)
    log_p = sharded.log_softmax(z, statistics, dim, group)
    # 0 · log 0 = 0
    losses = -sharded.sum_over_shards((y * torch.where(log_p.isinf() & (y == 0), 0, log_p)).sum(dim), group)
    if (lse := _lse(z, statistics, dim, spec, group)) is not None:
        losses = losses + _closed_forms.ZLoss(spec).value(lse)
    losses = losses if (kept := targets.kept(spec)) is None else torch.where(kept, losses, 0)
    return _closed_forms.reduced(losses, targets, spec)


def _targets(logits: Tensor, statistics: Tensor, shard: Tensor, *rest: Any) -> Targets:
    target, weight, dim, *_ = rest
    return targets_of(target, weight, dim, int(shard[1]), logits.dtype)


def _lse(z: Tensor, statistics: Tensor, dim: int, spec: LossSpec, group: str) -> Tensor | None:
    return sharded.logsumexp(z, statistics, dim, group) if _closed_forms.ZLoss(spec) else None


def _log_softmax_vjp(v: Tensor, logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    """Lᵀ v = v - p Σ v."""
    return v - sharded.softmax(logits, statistics, dim, group) * _row_sums(dim, group)(v)


def _log_softmax_jvp(v: Tensor, logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    """L v = v - pᵀv."""
    return v - _row_sums(dim, group)(sharded.softmax(logits, statistics, dim, group) * v)


def _lse_vjp(v: Tensor, logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    p = sharded.softmax(logits, statistics, dim, group)
    return sharded.for_every_shard(v, group).unsqueeze(dim).to(p.dtype) * p


def _lse_jvp(v: Tensor, logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    p = sharded.softmax(logits, statistics, dim, group)
    return sharded.sum_over_shards((p * v).sum(dim), group)


define_constant(sharded.shard_statistics, sharded.merge_shards, sharded.shard_directions, sharded.all_gather)
define_derivatives(
    sharded.cross_entropy,
    vjps=[lambda v, logits, *merged: sharded.cross_entropy_grad(logits, v, *merged)],
    jvps=[_loss_change],
)
define_derivatives(  # g(z, s) = s ∂loss/∂z
    sharded.cross_entropy_grad,
    vjps=[_grad_change, _grad_in_upstream],
    jvps=[_grad_change, lambda change, logits, s, *merged: sharded.cross_entropy_grad(logits, change, *merged)],
)
define_derivatives(  # h(z, s, v) = s H v
    sharded.cross_entropy_hvp,
    vjps=[_third_derivative, _hvp_in_upstream, _hvp_in_v],
    jvps=[
        _third_derivative,
        lambda change, logits, s, *given: sharded.cross_entropy_hvp(logits, change, *given),
        _hvp_in_v,
    ],
)
define_derivatives(
    sharded.softmax,
    saved="output",
    vjps=[_softmax_product],
    jvps=[_softmax_product],
)
define_derivatives(sharded.log_softmax, vjps=[_log_softmax_vjp], jvps=[_log_softmax_jvp])
define_derivatives(sharded.logsumexp, vjps=[_lse_vjp], jvps=[_lse_jvp])
define_derivatives(
    sharded.sum_over_shards,
    vjps=[lambda v, x, group: sharded.for_every_shard(v, group)],
    jvps=[lambda v, x, group: sharded.sum_over_shards(v, group)],
)
define_derivatives(
    sharded.for_every_shard,
    vjps=[lambda v, x, group: sharded.sum_over_shards(v, group)],
    jvps=[lambda v, x, group: sharded.for_every_shard(v, group)],
)
define_derivatives(  # of a value that all ranks share, in parts and whole
    sharded.gather_rows,
    vjps=[lambda v, x, counts, group, rows: sharded.own_rows(v, counts, group, len(x))],
    jvps=[lambda v, x, counts, *rest: sharded.gather_rows(v, counts, *rest)],
)
define_derivatives(
    sharded.own_rows,
    vjps=[lambda v, x, counts, group, rows: sharded.gather_rows(v, counts, group, len(x))],
    jvps=[lambda v, x, counts, *rest: sharded.own_rows(v, counts, *rest)],
)
