"""The public checks, one for each kind of function."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar, get_args

from softgrad._loss_spec import loss_spec
from softgrad.checking import _reference
from softgrad.checking._batches import Target
from softgrad.checking._stages import run_stages
from softgrad.checking._user_function import UserFunction

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._loss_spec import ReductionName
    from softgrad.checking._reference import Reference
    from softgrad.checking._report import Report

    _Check = TypeVar("_Check", bound=Callable[..., Report])

_OPTIONS = """\
reduction : {"sum", "mean", "none"}
    Reduction of the losses of the rows; "mean" divides their sum by B.
target : {"probabilities", "index"}
    The second argument of `fn`: class probabilities y that are positive but do not sum to one, a float64 array of
    shape (B, C); or class indices, an int64 array of shape (B,).

"""
_RETURNS = """\
Returns
-------
Report
    The verdict, the mistake if it is known, and the code to write instead.

Raises
------
TypeError
    If `fn` is not callable. Exceptions raised by `fn` are not propagated, but part of the report.
"""
_RAISES = """\
ValueError
    If `reduction` or `target` is not one of the values above.
"""
_NOTES = """
Notes
-----
`fn` is called about 15 times with at most five rows, in stages: shape and dtype, value or derivative, logits of ±1e3.
The check ends at the first stage that fails. `fn` may return an array of NumPy, torch or JAX, or an object with a
method ``to_dense()``.

The tolerance is 1e-9 times the magnitude of the terms in float64, and 2e-5 in float32 (5e-4 at ±1e3). A mistake is
named only if it reproduces every result of `fn` to this tolerance and no other known mistake does. For a wrong result
the report also lists the properties of the exact result that it violates.

"""
_PLAIN = """\
The check expects the cross-entropy without options. For a function with label smoothing, a temperature, class weights
or a z-loss the verdict is "wrong: unknown cause".

"""


def _documented(check: _Check) -> _Check:
    """Insert the sections that the docstrings of all checks share before the examples."""
    text, title, examples = inspect.cleandoc(check.__doc__ or "").partition("Examples\n")
    if "target" in inspect.signature(check).parameters:
        text = f"{text.rstrip()}\n{_OPTIONS}{_RETURNS}{_RAISES}{_NOTES}{_PLAIN}"
    else:
        text = f"{text}{_RETURNS}{_NOTES}"
    check.__doc__ = text + title + examples
    return check


@_documented
def check_softmax(fn: Callable[..., object]) -> Report:
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
    return _check(_reference.SOFTMAX, fn)


@_documented
def check_softmax_jacobian(fn: Callable[..., object]) -> Report:
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
    return _check(_reference.SOFTMAX_JACOBIAN, fn)


@_documented
def check_log_softmax_jacobian(fn: Callable[..., object]) -> Report:
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
    return _check(_reference.LOG_SOFTMAX_JACOBIAN, fn)


@_documented
def check_softmax_vjp(fn: Callable[..., object]) -> Report:
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
    return _check(_reference.SOFTMAX_VJP, fn)


@_documented
def check_cross_entropy(
    fn: Callable[..., object], *, reduction: ReductionName = "sum", target: Target = "probabilities"
) -> Report:
    r"""Check the value of the cross-entropy of logits.

    .. math:: \ell = -\sum_j y_j \log p_j

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns the loss: one number, or
        an array of shape (B,) for the reduction "none".

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
    return _check(_reference.CROSS_ENTROPY, fn, target, reduction=reduction)


@_documented
def check_cross_entropy_grad(
    fn: Callable[..., object], *, reduction: ReductionName = "sum", target: Target = "probabilities"
) -> Report:
    r"""Check the gradient of the cross-entropy with respect to the logits.

    .. math:: \frac{\partial \ell}{\partial z_k} = p_k \sum_j y_j - y_k

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns the gradient of the
        reduced loss, of shape (B, C); or a tuple (loss, gradient), of which the loss is checked first. For the
        reduction "none", each row is the gradient of its own loss, as for "sum".

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
    return _check(_reference.CROSS_ENTROPY_GRAD, fn, target, reduction=reduction)


@_documented
def check_cross_entropy_hessian(
    fn: Callable[..., object], *, reduction: ReductionName = "sum", target: Target = "probabilities"
) -> Report:
    r"""Check the Hessian of the cross-entropy with respect to the logits.

    .. math:: H_{jk} = \frac{\partial^2 \ell}{\partial z_j \, \partial z_k} = p_j (\delta_{jk} - p_k) \sum_i y_i

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns an array of shape
        (B, C, C), one block per row; the blocks between different rows are zero and omitted. A linear operator is
        accepted too, as for `check_softmax_jacobian`.

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
    return _check(_reference.CROSS_ENTROPY_HESSIAN, fn, target, reduction=reduction)


def _check(reference: Reference, fn: Callable[..., object], target: Target = "probabilities", **options: str) -> Report:
    if not callable(fn):
        hint = "; pass the function itself, not its result" if hasattr(fn, "__array__") else ""
        raise TypeError(f"fn is a {type(fn).__name__}; expected a function{hint}")
    if not (isinstance(target, str) and target in get_args(Target)):
        raise ValueError(f"target={target!r}; expected 'probabilities' or 'index'")
    spec = loss_spec(f"check_{reference.kind}", {"reduction": "sum", **options})
    return run_stages(UserFunction(fn, _name(fn), reference, target, spec))


def _name(fn: Callable[..., object]) -> str:
    name: str = getattr(fn, "__name__", type(fn).__name__)
    return "the function" if name == "<lambda>" else name
