"""softmax, log_softmax and logsumexp: check the arguments, then call one operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.overrides import handle_torch_function, has_torch_function_unary

from softgrad.torch import _arguments
from softgrad.torch._autograd import operators

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor


def softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    r"""Softmax along a dimension: non-negative numbers that sum to one.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    input : Tensor, float16, bfloat16, float32 or float64
        Logits of any shape and layout.
    dim : int
        The dimension of the classes.
    dtype : torch.dtype, optional
        Dtype to which `input` is converted first; required for integer tensors.

    Returns
    -------
    Tensor
        Probabilities, of the shape of `input` and its dtype, or of `dtype`. Differentiable to any order, in forward
        and reverse mode.

    Raises
    ------
    TypeError
        If `input` is not a tensor, or `dim` not an integer.
    IndexError
        If `dim` is out of range.
    NotImplementedError
        If `input` has another dtype.

    Notes
    -----
    Accuracy on the CPU as for `softgrad.softmax`: at most 2 ULP from the exact result for float32 and float64; 16-bit
    types are computed in float32 and rounded once. Gradients are within 3 ULP (float32: 2) of the magnitude of their
    terms, :math:`p_j (|v_j - v_*| + \sum_i p_i |v_i - v_*|)`, where v_* is the upstream gradient at a largest p. The
    tensor is read and written once; only the result is saved for the derivatives.

    A logit of −inf is a mask: its probability is 0. Rows that contain NaN or +inf, or only −inf, give NaN.

    A DTensor may be sharded along any dimension but `dim`; the result has its placements.

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
    if _arguments.is_distributed(logits):
        return _of_distributed_rows(lambda rows: softmax(rows, dim), logits, (dim,))
    if not logits.ndim:
        return operators.softmax(logits.reshape(1), 0).reshape(())
    return operators.softmax(logits, dim)


def log_softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    r"""Logarithm of softmax, without the loss of accuracy of computing it in two steps.

    .. math:: \log p_j = (z_j - m) - \log\Bigl(1 + \sum_{i \ne i^*} e^{z_i - m}\Bigr), \quad m = z_{i^*}

    where i* is the index of a largest logit.

    Parameters
    ----------
    input, dim, dtype
        As for `softmax`.

    Returns
    -------
    Tensor
        Log-probabilities in nats, of the shape of `input` and its dtype, or of `dtype`. Differentiable to any order.

    Raises
    ------
    TypeError, IndexError, NotImplementedError
        As for `softmax`.

    Notes
    -----
    Accuracy on the CPU as for `softgrad.log_softmax`: at most 2 ULP, even if a probability is nearly one and its
    logarithm nearly zero. The gradient, v_k − p_k Σ v, is computed in float64, within 2 ULP of the larger term, even if
    p_k is nearly one. The logits are saved for the derivatives.

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
    if _arguments.is_distributed(logits):
        return _of_distributed_rows(lambda rows: log_softmax(rows, dim), logits, (dim,))
    if not logits.ndim:
        return operators.log_softmax(logits.reshape(1), 0).reshape(())
    return operators.log_softmax(logits, dim)


def logsumexp(input: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    r"""Logarithm of the sum of exponentials along one or several dimensions.

    .. math:: \operatorname{lse}(z) = \log \sum_i e^{z_i}

    Parameters
    ----------
    input : Tensor
        As for `softmax`; integers are converted to the default dtype.
    dim : int or tuple of int
        The dimensions to sum over; an empty tuple means all.
    keepdim : bool
        Whether to keep those dimensions, with length one.

    Returns
    -------
    Tensor
        Logarithm in nats, of the shape of `input` without `dim`. Differentiable to any order.

    Raises
    ------
    TypeError, IndexError, NotImplementedError
        As for `softmax`.
    RuntimeError
        If `dim` contains a dimension twice.

    Notes
    -----
    At most 2 ULP of max(abs(lse), max(abs(z))) from the exact result. Rows that are empty or contain only −inf give
    −inf; rows with +inf give +inf, unless they also contain NaN.

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
    if _arguments.is_distributed(logits):
        return _of_distributed_rows(lambda rows: logsumexp(rows, dims, keepdim), logits, dims)
    rows, class_dim = _one_class_dim(logits, dims)
    result = operators.logsumexp(rows, class_dim)
    if not keepdim:
        return result
    return result.reshape([1 if i in dims else n for i, n in enumerate(logits.shape)])


def _of_distributed_rows(function: Callable[[Tensor], Tensor], logits: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A function of the rows of a DTensor."""
    from softgrad.torch.parallel import _dtensor  # noqa: PLC0415, which needs torch.distributed

    return _dtensor.of_rows(function, logits, dims)


def _one_class_dim(logits: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, int]:
    """The tensor with `dims` made one, and where that one is."""
    if not logits.ndim:
        return logits.reshape(1), 0
    if len(dims) == 1:
        return logits, dims[0]
    others = [i for i in range(logits.ndim) if i not in dims]
    return logits.permute(*others, *dims).flatten(len(others)), len(others)
