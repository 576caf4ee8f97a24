"""The derivatives of softmax, log_softmax and logsumexp, to any order.

J = Diag(p) - p pᵀ and L = I - 1 pᵀ, the Jacobians of softmax and log-softmax. The products J v and Lᵀ v are operators
of their own, softmax_vjp and log_softmax_vjp, whose derivatives are written in the same few functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch._autograd._rules import batch_first, define_derivatives
from softgrad.torch._dispatch import has_value, operators

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad.torch._dispatch import CustomOperator


def _softmax_vjp_in_probs(w: Tensor, probs: Tensor, v: Tensor, dim: int) -> Tensor:
    """Return w ∘ (v - v̄) - v w̄, with means under p."""
    v_mean = (probs * v).sum(dim, keepdim=True)
    w_mean = (probs * w).sum(dim, keepdim=True)
    return (w - w_mean) * (v - v_mean) - w_mean * v_mean


def _softmax_vjp_change(change: Tensor, probs: Tensor, v: Tensor, dim: int) -> Tensor:
    """The change of J v with p."""
    mean = (probs * v).sum(dim, keepdim=True)
    return change * (v - mean) - probs * (change * v).sum(dim, keepdim=True)


def _log_softmax_jvp(v: Tensor, logits: Tensor, dim: int) -> Tensor:
    """L v = v - (pᵀv) 1, from differences with v_* at a largest logit."""
    if not logits.shape[dim]:
        return torch.zeros_like(v)
    difference = v - v.gather(dim, logits.detach().argmax(dim, keepdim=True))
    return difference - (operators.softmax(logits, dim) * difference).sum(dim, keepdim=True)


def _log_softmax_vjp_in_logits(w: Tensor, logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """Return -(1ᵀv) J w: symmetric, so that it serves reverse and forward mode."""
    return -v.sum(dim, keepdim=True) * operators.softmax_vjp(operators.softmax(logits, dim), w, dim)


def _logsumexp_slope(logits: Tensor, lse: Tensor, dim: int) -> Tensor:
    """The gradient of logsumexp: softmax; where +inf makes that NaN, torch's exp(z - lse), 0 at the finite logits."""
    probs = operators.softmax(logits, dim)
    is_infinite = lse == torch.inf
    if has_value(lse) and not is_infinite.any():
        return probs
    return torch.where(is_infinite.unsqueeze(dim), (logits - lse.unsqueeze(dim)).exp(), probs)


def _define_derivatives(operator: CustomOperator, **rules: Any) -> None:
    """The derivatives of an operator whose arguments are tensors of one shape and a dimension."""

    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Tensor:
        *tensors, dim = arguments
        return operator(*batch_first(info.batch_size, in_dims, *tensors), dim + 1)

    define_derivatives(operator, vmap=vmap, **rules)


_define_derivatives(
    operators.softmax,
    saved="output",
    vjps=[lambda v, probs, dim: operators.softmax_vjp(probs, v, dim)],
    jvps=[lambda v, probs, dim: operators.softmax_vjp(probs, v, dim)],
)
_define_derivatives(
    operators.softmax_vjp,
    vjps=[_softmax_vjp_in_probs, lambda w, probs, v, dim: operators.softmax_vjp(probs, w, dim)],
    jvps=[_softmax_vjp_change, lambda change, probs, v, dim: operators.softmax_vjp(probs, change, dim)],
)
_define_derivatives(
    operators.log_softmax,
    vjps=[lambda v, logits, dim: operators.log_softmax_vjp(logits, v, dim)],
    jvps=[_log_softmax_jvp],
)
_define_derivatives(
    operators.log_softmax_vjp,
    vjps=[_log_softmax_vjp_in_logits, lambda w, logits, v, dim: _log_softmax_jvp(w, logits, dim)],
    jvps=[
        _log_softmax_vjp_in_logits,
        lambda change, logits, v, dim: operators.log_softmax_vjp(logits, change, dim),
    ],
)
_define_derivatives(
    operators.logsumexp,
    saved="inputs and output",
    vjps=[lambda v, logits, lse, dim: v.unsqueeze(dim) * _logsumexp_slope(logits, lse, dim)],
    jvps=[lambda v, logits, lse, dim: (operators.softmax(logits, dim) * v).sum(dim)],
)
