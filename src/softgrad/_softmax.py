"""softmax, log_softmax and logsumexp: validate, then one native call.

Plain arguments, which the native functions named try_... recognise, need no validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad import _core, _validation
from softgrad._core import DType, SoftmaxKind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from softgrad._typing import Array

    Axis = int | tuple[int, ...] | None


def softmax(logits: ArrayLike, *, axis: Axis = -1, out: Array | None = None) -> Array:
    r"""Softmax along an axis: non-negative numbers that sum to one.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout. Integers are converted to float64.
    axis : int, tuple of int or None
        The axis or axes of the classes; several axes are treated as one, None means all axes.
    out : ndarray, optional
        Array for the result, of its shape and dtype. It may be ``logits`` itself.

    Returns
    -------
    ndarray
        Probabilities, of the shape and dtype of `logits`.

    Raises
    ------
    TypeError
        If `logits` is not an array of real numbers, or `out` not an array of the result's dtype.
    ValueError
        If `out` has another shape, is read-only or partly overlaps `logits`, or if `axis` is out of
        range (``numpy.exceptions.AxisError``) or contains an axis twice.

    Notes
    -----
    At most 2 ULP from the exact result for float32 and float64, tails and subnormals included
    (largest seen: 1.8 and 1.6, over rows of 2 to 5000 logits of scale 0.1 to 40 with offsets up to
    2^20 and 2^40); float16 and bfloat16 are computed in float32 and rounded once. The array is
    read and written once; rows beyond 256 KiB are read twice. Memory proportional to the array is
    allocated only for the result if `out` is not given, and for a copy if several axes are not adjacent
    in memory or the byte order is not native.

    A logit of −inf is a mask: its probability is 0. Rows that contain NaN or +inf, or only −inf, give
    NaN. A single class has probability 1. An empty class axis gives an empty result.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, eq. 6.29.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.softmax([1.0, 2.0, 3.0])
    array([0.09003057, 0.24472847, 0.66524096])
    """
    result = _core.try_softmax(logits, axis, out)
    return _like_logits(SoftmaxKind.softmax, "softmax", logits, axis, out) if result is None else result


def log_softmax(logits: ArrayLike, *, axis: Axis = -1, out: Array | None = None) -> Array:
    r"""Logarithm of softmax, without the loss of accuracy of computing it in two steps.

    .. math:: \log p_j = (z_j - m) - \log\Bigl(1 + \sum_{i \ne i^*} e^{z_i - m}\Bigr), \quad m = z_{i^*}

    where i* is the index of a largest logit.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout. Integers are converted to float64.
    axis : int, tuple of int or None
        The axis or axes of the classes; several axes are treated as one, None means all axes.
    out : ndarray, optional
        Array for the result, of its shape and dtype. It may be ``logits`` itself.

    Returns
    -------
    ndarray
        Log-probabilities in nats, of the shape and dtype of `logits`.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`.

    Notes
    -----
    At most 2 ULP from the exact result for float32 and float64 (largest seen: 1.3 and 0.6), even
    if the probability is nearly one and its logarithm nearly zero. Memory traffic as for `softmax`.
    The logarithm of a masked class is −inf; rows that contain NaN or +inf, or only −inf, give NaN.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41, 2021, eq. 1.3.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.log_softmax([0.0, 100.0])
    array([-1.00000000e+02, -3.72007598e-44])
    """
    result = _core.try_log_softmax(logits, axis, out)
    return _like_logits(SoftmaxKind.log_softmax, "log_softmax", logits, axis, out) if result is None else result


def logsumexp(logits: ArrayLike, *, axis: Axis = -1, keepdims: bool = False) -> Array:
    r"""Logarithm of the sum of exponentials along an axis.

    .. math:: \operatorname{lse}(z) = \log \sum_i e^{z_i}

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout. Integers are converted to float64.
    axis : int, tuple of int or None
        The axes to sum over; None means all.
    keepdims : bool
        Whether to keep those axes, with length one.

    Returns
    -------
    ndarray or scalar
        In nats, of the dtype of `logits` and its shape without `axis`.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`.

    Notes
    -----
    At most 2 ULP of max(abs(lse), max(abs(z))) from the exact result. The array is read once,
    and only the result is written. Rows that are empty or contain only −inf give −inf; rows with +inf
    give +inf, unless they also contain NaN.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA J. Numer. Anal. 41, 2021, eq. 1.2.

    Examples
    --------
    >>> import softgrad as sg
    >>> float(sg.logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    if keepdims is False and (lse := _core.try_logsumexp(logits, axis)) is not None:
        return lse
    z, dtype = _validation.logits(logits, "logsumexp")
    axes = _validation.reduced_axes(axis, z.ndim)
    shape = tuple(n for i, n in enumerate(z.shape) if i not in axes)
    rows, class_axis = _one_class_axis(z, axes)
    result = np.empty(shape, z.dtype)
    if rows.shape[class_axis] == 0:
        result[...] = -np.inf
    else:
        _core.softmax(
            SoftmaxKind.logsumexp, dtype, _validation.as_buffer(rows), class_axis, _validation.as_buffer(result)
        )
    if keepdims:
        return result.reshape(tuple(1 if i in axes else n for i, n in enumerate(z.shape)))
    return result[()]


def _like_logits(kind: SoftmaxKind, function: str, logits: ArrayLike, axis: Axis, out: Array | None) -> Array:
    z, dtype = _validation.logits(logits, function)
    result = np.empty_like(z) if out is None else _validation.out(out, z, z.shape)
    if type(axis) is int and z.size and z.ndim and dtype is not DType.bfloat16:
        _core.softmax(kind, dtype, z, _validation.class_axis(axis, z.ndim), result)
        return result
    axes = _validation.reduced_axes(axis, z.ndim)
    if z.size:
        rows, class_axis = _one_class_axis(z, axes)
        rows_out, _ = _one_class_axis(result, axes)
        _core.softmax(kind, dtype, _validation.as_buffer(rows), class_axis, _validation.as_buffer(rows_out))
        if not np.may_share_memory(rows_out, result):
            result[...] = _several_class_axes(rows_out, z.shape, axes)
    return result if out is not None else result[()]


def _one_class_axis(array: Array, axes: tuple[int, ...]) -> tuple[Array, int]:
    """The array with `axes` made one, and where that one is; a view if the layout allows."""
    if len(axes) == 1 and array.ndim:
        return array, axes[0]
    others = tuple(i for i in range(array.ndim) if i not in axes)
    moved = array.transpose(others + axes)
    return moved.reshape(moved.shape[: len(others)] + (-1 if array.size else 0,)), len(others)


def _several_class_axes(rows: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Undo `_one_class_axis`."""
    others = tuple(i for i in range(len(shape)) if i not in axes)
    order = others + axes
    moved = rows.reshape(tuple(shape[i] for i in order))
    return moved.transpose(np.argsort(order))
