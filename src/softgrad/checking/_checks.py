"""The public checks: one for each kind of function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad._loss_spec import LossSpec, Reduction, loss_spec
from softgrad.checking import _kinds
from softgrad.checking._case import Case
from softgrad.checking._examination import examine

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._kinds import Kind
    from softgrad.checking._report import Report

_TARGETS = ("probabilities", "index")


def check_softmax(fn: Callable[..., Any]) -> Report:
    r"""Check a softmax: the probabilities of every row.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    fn : callable
        ``fn(z)``, z a float64 array of shape (B, C), returns an array of shape (B, C). A torch or JAX array that it
        returns is converted, and so is what has a method ``to_dense()``; float32 results are held to float32's
        precision.

    Returns
    -------
    Report
        The verdict, the mistake where it is known, and what to write instead.

    Raises
    ------
    TypeError
        If `fn` is not callable. What fn raises itself is part of the report.

    Notes
    -----
    fn is called about 15 times with at most five rows, in stages: shape and dtype, the value, logits of ±1e3.
    The first that fails ends the check. Errors count beyond 1e-9 of the size of the terms in float64, and beyond
    2e-5 in float32 (5e-4 at ±1e3). A mistake is named only if it gives every one of fn's answers to that
    precision, and no other known mistake does.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.checking import check_softmax
    >>> check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).cause
    'no maximum subtracted'
    """
    return _check(_kinds.SOFTMAX, fn)


def check_softmax_jacobian(fn: Callable[..., Any]) -> Report:
    r"""Check the Jacobian of softmax.

    .. math:: J_{jk} = \frac{\partial p_j}{\partial z_k} = p_j (\delta_{jk} - p_k)

    Parameters
    ----------
    fn : callable
        ``fn(z)``, z a float64 array of shape (B, C), returns an array of shape (B, C, C): row, output j, logit k;
        or an operator, as from softgrad, which is converted by its method ``to_dense()``.

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.

    Notes
    -----
    As for `check_softmax`. Of a wrong answer it also says whether the rows sum to zero, the matrix is symmetric and
    positive semi-definite, and a constant added to all logits of a row changes nothing.

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
    return _check(_kinds.SOFTMAX_JACOBIAN, fn)


def check_log_softmax_jacobian(fn: Callable[..., Any]) -> Report:
    r"""Check the Jacobian of log-softmax, which is not symmetric.

    .. math:: L_{jk} = \frac{\partial \log p_j}{\partial z_k} = \delta_{jk} - p_k

    Parameters
    ----------
    fn : callable
        ``fn(z)``, z a float64 array of shape (B, C), returns an array of shape (B, C, C): row, output j, logit k;
        or an operator, as from softgrad, which is converted by its method ``to_dense()``.

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.

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
    return _check(_kinds.LOG_SOFTMAX_JACOBIAN, fn)


def check_softmax_vjp(fn: Callable[..., Any]) -> Report:
    r"""Check the vector-Jacobian product of softmax: its backward pass.

    .. math:: (J^\top v)_k = p_k \Bigl(v_k - \sum_j p_j v_j\Bigr)

    Parameters
    ----------
    fn : callable
        ``fn(z, v)``, z and the upstream gradient v float64 arrays of shape (B, C), returns an array of shape (B, C).

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_softmax_vjp
    >>> check_softmax_vjp(lambda z, v: v * sg.softmax(z) * (1 - sg.softmax(z))).cause
    'elementwise product where a VJP is needed'
    """
    return _check(_kinds.SOFTMAX_VJP, fn)


def check_cross_entropy(fn: Callable[..., Any], *, reduction: str = "sum", target: str = "probabilities") -> Report:
    r"""Check the value of the cross-entropy of logits.

    .. math:: \ell = -\sum_j y_j \log p_j

    Parameters
    ----------
    fn : callable
        ``fn(z, target)``, z a float64 array of shape (B, C), returns the loss: one number, or for "none" an array
        of shape (B,).
    reduction : {"sum", "mean", "none"}
        What fn does with the rows' losses; "mean" divides their sum by B.
    target : {"probabilities", "index"}
        What fn is given beside the logits: rows of class weights y, float64 of shape (B, C), positive, which do not
        sum to one; or class indices, int64 of shape (B,).

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.
    ValueError
        If `reduction` or `target` is none of the above.

    Notes
    -----
    The plain cross-entropy is meant. With label smoothing, a temperature, weights of the classes or a z-loss it is
    another function, and the verdict is "wrong: unknown cause".

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy
    >>> report = check_cross_entropy(lambda z, y: -(y * np.log(sg.softmax(z) + 1e-7)).sum())
    >>> report.cause
    'log(p + eps)'
    >>> report.explanation.partition(".")[0]
    'A constant of 1e-07 is added to p inside the logarithm'
    """
    return _check(_kinds.CROSS_ENTROPY, fn, target, loss_spec("check_cross_entropy", {"reduction": reduction}))


def check_cross_entropy_grad(
    fn: Callable[..., Any], *, reduction: str = "sum", target: str = "probabilities"
) -> Report:
    r"""Check the gradient of the cross-entropy with respect to the logits.

    .. math:: \frac{\partial \ell}{\partial z_k} = p_k \sum_j y_j - y_k

    Parameters
    ----------
    fn : callable
        ``fn(z, target)``, z a float64 array of shape (B, C), returns the gradient of the reduced loss, of shape
        (B, C); or a tuple (loss, gradient), whose loss is then checked first.
    reduction : {"sum", "mean", "none"}
        What becomes of the rows' losses; "mean" divides their sum by B. For "none" every row is the gradient of
        its own loss, as for "sum".
    target : {"probabilities", "index"}
        As for `check_cross_entropy`.

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.
    ValueError
        If `reduction` or `target` is none of the above.

    Notes
    -----
    The plain cross-entropy is meant. With label smoothing, a temperature, weights of the classes or a z-loss it is
    another function, and the verdict is "wrong: unknown cause".

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy_grad
    >>> report = check_cross_entropy_grad(lambda z, y: sg.softmax(z) - y)
    >>> report.cause
    'p − y where Σy ≠ 1'
    >>> print(report.advice)
        p * y.sum(axis=1, keepdims=True) - y
    """
    return _check(
        _kinds.CROSS_ENTROPY_GRAD, fn, target, loss_spec("check_cross_entropy_grad", {"reduction": reduction})
    )


def check_cross_entropy_hessian(
    fn: Callable[..., Any], *, reduction: str = "sum", target: str = "probabilities"
) -> Report:
    r"""Check the Hessian of the cross-entropy with respect to the logits.

    .. math:: H_{jk} = \frac{\partial^2 \ell}{\partial z_j \, \partial z_k} = p_j (\delta_{jk} - p_k) \sum_i y_i

    Parameters
    ----------
    fn : callable
        ``fn(z, target)``, z a float64 array of shape (B, C), returns an array of shape (B, C, C): every row's block.
        The blocks between different rows are zero, and are left out. An operator is converted, as for
        `check_softmax_jacobian`.
    reduction : {"sum", "mean", "none"}
        What becomes of the rows' losses; "mean" divides the blocks by B.
    target : {"probabilities", "index"}
        As for `check_cross_entropy`.

    Returns
    -------
    Report
        As from `check_softmax`.

    Raises
    ------
    TypeError
        If `fn` is not callable.
    ValueError
        If `reduction` or `target` is none of the above.

    Notes
    -----
    The plain cross-entropy is meant. With label smoothing, a temperature, weights of the classes or a z-loss it is
    another function, and the verdict is "wrong: unknown cause".

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy_hessian
    >>> def boosting(z, labels):
    ...     p = sg.softmax(z)
    ...     return 2 * p * (1 - p)
    >>> check_cross_entropy_hessian(boosting, target="index").cause
    '2p(1 − p) as the diagonal'
    """
    return _check(
        _kinds.CROSS_ENTROPY_HESSIAN, fn, target, loss_spec("check_cross_entropy_hessian", {"reduction": reduction})
    )


_SUM = LossSpec(reduction=Reduction.sum)


def _check(kind: Kind, fn: Callable[..., Any], target: str = "probabilities", spec: LossSpec = _SUM) -> Report:
    if not callable(fn):
        hint = "; pass the function itself, not what it returns" if hasattr(fn, "__array__") else ""
        raise TypeError(f"fn is a {type(fn).__name__}; expected a function{hint}")
    if not (isinstance(target, str) and target in _TARGETS):
        raise ValueError(f"target={target!r}; expected 'probabilities' or 'index'")
    return examine(Case(fn, _name(fn), kind, target, spec))


def _name(fn: Callable[..., Any]) -> str:
    name = getattr(fn, "__name__", type(fn).__name__)
    return "the function" if name == "<lambda>" else name
