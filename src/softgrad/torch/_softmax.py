"""softmax, log_softmax and logsumexp: check, then one operator; and their derivatives, to any order.

J = Diag(p) - p pᵀ and L = I - 1 pᵀ, the Jacobians of softmax and log-softmax. What J and Lᵀ do to a vector is a
differentiable function of its own; its derivatives are written in the same few functions, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import handle_torch_function, has_torch_function_unary

from softgrad.torch import _arguments, _operators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


def softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    r"""Softmax: non-negative numbers that sum to one along a dimension.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    input : Tensor, float16, bfloat16, float32 or float64
        Logits of any shape and layout.
    dim : int
        The classes.
    dtype : torch.dtype, optional
        What `input` is converted to first; the only way to pass integers.

    Returns
    -------
    Tensor
        Probabilities, of the shape of `input`; its dtype, or `dtype`. Differentiable to any order, in forward and
        reverse mode.

    Raises
    ------
    TypeError
        If `input` is no tensor, or `dim` no integer.
    IndexError
        If `dim` is out of range.
    NotImplementedError
        If `input` is of another dtype.

    Notes
    -----
    Accuracy on the CPU as for `softgrad.softmax`: at most 2 ULP from the exact result for float32 and float64; 16-bit
    types are computed in float32 and rounded once. Gradients are within 3 ULP (float32: 2) of the magnitude of their
    terms, :math:`p_j (|v_j - v_*| + \sum_i p_i |v_i - v_*|)`, with v_* the upstream gradient at a largest p. One read
    and one write of the tensor; the result is kept for the derivatives, nothing else.

    −inf is a mask: probability 0. A row that holds NaN or +inf, or −inf only, becomes NaN.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, eq. 6.29.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import softmax
    >>> softmax(torch.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([0.0900, 0.2447, 0.6652])
    """
    if has_torch_function_unary(input):
        return handle_torch_function(softmax, (input,), input, dim, dtype=dtype)
    logits, dim = _arguments.logits(input, dim, dtype, "softmax")
    if not logits.ndim:
        return _operators.softmax(logits.reshape(1), 0).reshape(())
    return _operators.softmax(logits, dim)


def log_softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    r"""Logarithm of softmax, without the loss of computing it in two steps.

    .. math:: \log p_j = (z_j - m) - \log\Bigl(1 + \sum_{i \ne i^*} e^{z_i - m}\Bigr), \quad m = z_{i^*}

    with i* the position of a largest logit.

    Parameters
    ----------
    input, dim, dtype
        As for `softmax`.

    Returns
    -------
    Tensor
        Log-probabilities in nats, of the shape of `input`; its dtype, or `dtype`. Differentiable to any order.

    Raises
    ------
    TypeError, IndexError, NotImplementedError
        As for `softmax`.

    Notes
    -----
    Accuracy on the CPU as for `softgrad.log_softmax`: at most 2 ULP, also where a probability is nearly one and its
    logarithm nearly zero. The gradient, v_k − p_k Σ v, is computed in float64 and within 2 ULP of the larger term,
    where p_k is nearly one too. The logits are kept for the derivatives.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41, 2021, eq. 1.3.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import log_softmax
    >>> log_softmax(torch.tensor([0.0, 100.0]), dim=0)
    tensor([-1.0000e+02, -3.7835e-44])
    """
    if has_torch_function_unary(input):
        return handle_torch_function(log_softmax, (input,), input, dim, dtype=dtype)
    logits, dim = _arguments.logits(input, dim, dtype, "log_softmax")
    if not logits.ndim:
        return _operators.log_softmax(logits.reshape(1), 0).reshape(())
    return _operators.log_softmax(logits, dim)


def logsumexp(input: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    r"""Logarithm of the sum of exponentials along one or several dimensions.

    .. math:: \operatorname{lse}(z) = \log \sum_i e^{z_i}

    Parameters
    ----------
    input : Tensor
        As for `softmax`; integers are taken as the default dtype.
    dim : int or tuple of int
        The dimensions to sum over; an empty tuple means all.
    keepdim : bool
        Whether those dimensions stay, with length one.

    Returns
    -------
    Tensor
        In nats, of the shape of `input` without `dim`. Differentiable to any order.

    Raises
    ------
    TypeError, IndexError, NotImplementedError
        As for `softmax`.
    RuntimeError
        If `dim` names a dimension twice.

    Notes
    -----
    At most 2 ULP of max(abs(lse), max(abs(z))) from the exact result. −inf only, or nothing at all: −inf. +inf: +inf,
    unless the row also holds NaN.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41, 2021, eq. 1.2.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import logsumexp
    >>> logsumexp(torch.tensor([[1000.0, 1000.0]]), dim=1)
    tensor([1000.6932])
    """
    if has_torch_function_unary(input):
        return handle_torch_function(logsumexp, (input,), input, dim, keepdim)
    logits, dims = _arguments.reduced(input, dim)
    rows, class_dim = _one_class_dim(logits, dims)
    result = _operators.logsumexp(rows, class_dim)
    if not keepdim:
        return result
    return result.reshape([1 if i in dims else n for i, n in enumerate(logits.shape)])


def _one_class_dim(logits: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, int]:
    """The tensor with `dims` made one, and where that one is."""
    if not logits.ndim:
        return logits.reshape(1), 0
    if len(dims) == 1:
        return logits, dims[0]
    others = [i for i in range(logits.ndim) if i not in dims]
    return logits.permute(*others, *dims).flatten(len(others)), len(others)


def batch_first(size: int, in_dims: tuple[int | None, ...], *tensors: Tensor) -> Iterator[Tensor]:
    """Tensors with the batch as their first dimension, expanded where they have none."""
    for tensor, dim in zip(tensors, in_dims, strict=False):
        yield tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def log_softmax_jvp(logits: Tensor, v: Tensor, dim: int) -> Tensor:
    """L v = v - (pᵀv) 1, from differences with v_* at a largest logit."""
    if not logits.shape[dim]:
        return torch.zeros_like(v)
    difference = v - v.gather(dim, logits.detach().argmax(dim, keepdim=True))
    return difference - (_operators.softmax(logits, dim) * difference).sum(dim, keepdim=True)


@_operators.softmax.derivatives
class _Softmax(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        (probs,) = ctx.saved_tensors
        return _operators.softmax_vjp(probs, v, ctx.dim), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (probs,) = _operators.primals(ctx)
        return _operators.softmax_vjp(probs, tangent, ctx.dim)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], logits: Tensor, dim: int) -> tuple[Tensor, int]:
        (logits,) = batch_first(info.batch_size, in_dims, logits)
        return _operators.softmax(logits, dim + 1), 0


@_operators.softmax_vjp.derivatives
class _SoftmaxVjp(torch.autograd.Function):
    """f(p, v) = p ∘ (v - pᵀv)."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.dim = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, w: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        probs, v = ctx.saved_tensors
        of_probs = None
        if ctx.needs_input_grad[0]:  # w ∘ (v - v̄) - v w̄ with means under p
            v_mean = (probs * v).sum(ctx.dim, keepdim=True)
            w_mean = (probs * w).sum(ctx.dim, keepdim=True)
            of_probs = (w - w_mean) * (v - v_mean) - w_mean * v_mean
        return of_probs, _operators.softmax_vjp(probs, w, ctx.dim) if ctx.needs_input_grad[1] else None, None

    @staticmethod
    def jvp(ctx: Any, probs_tangent: Tensor | None, v_tangent: Tensor | None, _: None) -> Tensor:
        probs, v = _operators.primals(ctx)
        result = torch.zeros_like(probs) if v_tangent is None else _operators.softmax_vjp(probs, v_tangent, ctx.dim)
        if probs_tangent is None:
            return result
        mean = (probs * v).sum(ctx.dim, keepdim=True)
        change = (probs_tangent * v).sum(ctx.dim, keepdim=True)
        return result + probs_tangent * (v - mean) - probs * change

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], probs: Tensor, v: Tensor, dim: int) -> tuple[Tensor, int]:
        probs, v = batch_first(info.batch_size, in_dims, probs, v)
        return _operators.softmax_vjp(probs, v, dim + 1), 0


@_operators.log_softmax.derivatives
class _LogSoftmax(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        logits, ctx.dim = inputs
        ctx.save_for_backward(logits)
        ctx.save_for_forward(logits)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        (logits,) = ctx.saved_tensors
        return _operators.log_softmax_vjp(logits, v, ctx.dim), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (logits,) = _operators.primals(ctx)
        return log_softmax_jvp(logits, tangent, ctx.dim)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], logits: Tensor, dim: int) -> tuple[Tensor, int]:
        (logits,) = batch_first(info.batch_size, in_dims, logits)
        return _operators.log_softmax(logits, dim + 1), 0


@_operators.log_softmax_vjp.derivatives
class _LogSoftmaxVjp(torch.autograd.Function):
    """f(z, v) = v - (1ᵀv) softmax(z)."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.dim = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, w: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        logits, v = ctx.saved_tensors
        of_logits = _log_softmax_vjp_change(logits, v, w, ctx.dim) if ctx.needs_input_grad[0] else None
        return of_logits, log_softmax_jvp(logits, w, ctx.dim) if ctx.needs_input_grad[1] else None, None

    @staticmethod
    def jvp(ctx: Any, logits_tangent: Tensor | None, v_tangent: Tensor | None, _: None) -> Tensor:
        logits, v = _operators.primals(ctx)
        result = (
            torch.zeros_like(logits) if v_tangent is None else _operators.log_softmax_vjp(logits, v_tangent, ctx.dim)
        )
        return (
            result if logits_tangent is None else result + _log_softmax_vjp_change(logits, v, logits_tangent, ctx.dim)
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], logits: Tensor, v: Tensor, dim: int) -> tuple[Tensor, int]:
        logits, v = batch_first(info.batch_size, in_dims, logits, v)
        return _operators.log_softmax_vjp(logits, v, dim + 1), 0


def _log_softmax_vjp_change(logits: Tensor, v: Tensor, w: Tensor, dim: int) -> Tensor:
    """-(1ᵀv) J w, symmetric: what a change w of the logits does to Lᵀ v, and the same transposed."""
    return -v.sum(dim, keepdim=True) * _operators.softmax_vjp(_operators.softmax(logits, dim), w, dim)


@_operators.logsumexp.derivatives
class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        logits, ctx.dim = inputs
        ctx.save_for_backward(logits, output)
        ctx.save_for_forward(logits)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        logits, lse = ctx.saved_tensors
        return v.unsqueeze(ctx.dim) * _slope(logits, lse, ctx.dim), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (logits,) = _operators.primals(ctx)
        return (_operators.softmax(logits, ctx.dim) * tangent).sum(ctx.dim)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], logits: Tensor, dim: int) -> tuple[Tensor, int]:
        (logits,) = batch_first(info.batch_size, in_dims, logits)
        return _operators.logsumexp(logits, dim + 1), 0


def _slope(logits: Tensor, lse: Tensor, dim: int) -> Tensor:
    """The gradient of logsumexp: softmax; where +inf makes that NaN, torch's exp(z - lse), 0 at the finite logits."""
    probs = _operators.softmax(logits, dim)
    infinite = lse == torch.inf
    any_infinite = infinite.any()
    if _operators.is_plain_scalar(any_infinite) and not any_infinite:
        return probs
    return torch.where(infinite.unsqueeze(dim), (logits - lse.unsqueeze(dim)).exp(), probs)
