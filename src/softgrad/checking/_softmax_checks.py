"""The checks of softmax and log-softmax, and of their derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softgrad.checking import _reference
from softgrad.checking._docstrings import documented
from softgrad.checking._run_check import run_check

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._report import Report


@documented
def check_softmax(fn: Callable[..., object], *, batched: bool = True) -> Report:
    r"""Check a softmax, which returns the probabilities of every row.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C).

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.checking import check_softmax
    >>> check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).cause
    'no maximum subtracted'
    """
    return run_check(_reference.SOFTMAX, fn, batched=batched)


@documented
def check_log_softmax(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check a log-softmax, which returns the logarithms of the probabilities of every row.

    .. math:: \log p_j = z_j - \log \sum_i e^{z_i}

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C).

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax
    >>> check_log_softmax(lambda z: np.log(sg.softmax(z))).cause
    'logarithm of an underflowed probability'
    """
    return run_check(_reference.LOG_SOFTMAX, fn, batched=batched, from_logits=from_logits)


@documented
def check_softmax_jacobian(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the Jacobian of softmax.

    .. math:: J_{jk} = \frac{\partial p_j}{\partial z_k} = p_j (\delta_{jk} - p_k)

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C, C), with the axes
        row, output j and logit k; or a linear operator, such as a result of `softgrad.softmax_jacobian`.

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_softmax_jacobian
    >>> def diagonal(z):
    ...     p = sg.softmax(z)
    ...     return p * (1 - p)
    >>> check_softmax_jacobian(diagonal).cause
    'only the diagonal'
    """
    return run_check(_reference.SOFTMAX_JACOBIAN, fn, batched=batched, from_logits=from_logits)


@documented
def check_log_softmax_jacobian(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the Jacobian of log-softmax, which is not symmetric.

    .. math:: L_{jk} = \frac{\partial \log p_j}{\partial z_k} = \delta_{jk} - p_k

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C, C), with the axes
        row, output j and logit k; or a linear operator, such as a result of `softgrad.softmax_jacobian`.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax_jacobian
    >>> check_log_softmax_jacobian(lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, None, :]).passed
    True
    >>> check_log_softmax_jacobian(lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, :, None]).cause
    'log-softmax Jacobian transposed'
    """
    return run_check(_reference.LOG_SOFTMAX_JACOBIAN, fn, batched=batched, from_logits=from_logits)


@documented
def check_softmax_vjp(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the vector-Jacobian product of softmax, which is its backward pass.

    .. math:: (J^\top v)_k = p_k \Bigl(v_k - \sum_j p_j v_j\Bigr)

    Parameters
    ----------
    fn : callable
        ``fn(z, v)`` takes the logits z and the upstream gradient v, float64 arrays of shape (B, C), and returns an
        array of shape (B, C).

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_softmax_vjp
    >>> check_softmax_vjp(lambda z, v: v * sg.softmax(z) * (1 - sg.softmax(z))).cause
    'elementwise product where a VJP is needed'
    """
    return run_check(_reference.SOFTMAX_VJP, fn, batched=batched, from_logits=from_logits)


@documented
def check_log_softmax_vjp(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the vector-Jacobian product of log-softmax, which is its backward pass.

    .. math:: (L^\top v)_k = v_k - p_k \sum_j v_j

    Parameters
    ----------
    fn : callable
        ``fn(z, v)`` takes the logits z and the upstream gradient v, float64 arrays of shape (B, C), and returns an
        array of shape (B, C).

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax_vjp
    >>> check_log_softmax_vjp(lambda z, v: v - (sg.softmax(z) * v).sum(axis=1, keepdims=True)).cause
    'log-softmax Jacobian transposed'
    """
    return run_check(_reference.LOG_SOFTMAX_VJP, fn, batched=batched, from_logits=from_logits)
