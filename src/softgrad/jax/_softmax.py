"""softmax, log_softmax and logsumexp with the arguments of jax.nn: check them, then bind one primitive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from softgrad.jax import _arguments
from softgrad.jax._arguments import ClassesLast
from softgrad.jax._primitives import log_softmax_p, logsumexp_p, softmax_p

if TYPE_CHECKING:
    from jax.typing import ArrayLike

Axis = int | tuple[int, ...] | None


def softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Softmax along one axis or several; a replacement for jax.nn.softmax.

    .. math:: p_j = \frac{e^{z_j}}{\sum_k e^{z_k}}

    Parameters
    ----------
    x : array_like, float16, bfloat16, float32 or float64
        Logits z. Integers are converted to JAX's default floating dtype.
    axis : int, tuple of int or None
        The axes of the classes; None for all.
    where : array_like of bool, optional
        Classes to include, broadcast to the shape of `x`; the others have probability 0.

    Returns
    -------
    Array
        Probabilities, of the shape and dtype of `x`. Differentiable to any order, in forward and reverse mode.

    Raises
    ------
    TypeError
        If `x` is not numeric, or is complex.
    ValueError
        If `axis` is out of range or contains an axis twice, or `where` cannot be broadcast.

    Notes
    -----
    On the CPU at most 2 ULP from the exact result for float32 and float64, in one native pass, under jax.jit and
    outside. On other devices the same formulas run as JAX operations. Only the result is allocated, and copies with the
    classes last if they are not.

    A logit of −inf has probability 0. Rows that contain NaN or +inf, or only −inf, give NaN. A single class has
    probability 1. An empty class axis gives an empty result.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, eq. 6.29.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import softmax
    >>> softmax(jnp.array([0.0, 40.0, 0.0]))
    Array([4.248354e-18, 1.000000e+00, 4.248354e-18], dtype=float32)
    """
    return _like_logits(softmax_p, x, axis, where, 0)


def log_softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of softmax along one axis or several; a replacement for jax.nn.log_softmax.

    .. math:: \log p_j = z_j - \operatorname{lse}(z)

    Parameters
    ----------
    x : array_like, float16, bfloat16, float32 or float64
        Logits z. Integers are converted to JAX's default floating dtype.
    axis : int, tuple of int or None
        The axes of the classes; None for all.
    where : array_like of bool, optional
        Classes to include, broadcast to the shape of `x`; the others have −inf.

    Returns
    -------
    Array
        Log-probabilities in nats, of the shape and dtype of `x`. Differentiable to any order, in forward and reverse
        mode.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`.

    Notes
    -----
    Accuracy, memory and special values as for `softmax`, even if the probability is nearly one and its logarithm nearly
    zero. A logit of −inf has log-probability −inf.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer. Anal. 41,
    2021, eq. 1.3.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import log_softmax
    >>> log_softmax(jnp.array([0.0, 40.0]))
    Array([-4.000000e+01, -4.248354e-18], dtype=float32)
    """
    return _like_logits(log_softmax_p, x, axis, where, -jnp.inf)


def logsumexp(
    a: ArrayLike,
    axis: Axis = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: ArrayLike | None = None,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    r"""Logarithm of a sum of exponentials along one axis or several; a replacement for jax.scipy.special.logsumexp.

    .. math:: \operatorname{lse}(a) = \log \sum_j b_j e^{a_j}

    Parameters
    ----------
    a : array_like, float16, bfloat16, float32 or float64
        Exponents. Integers are converted to JAX's default floating dtype.
    axis : int, tuple of int or None
        The axes to sum over; None for all.
    b : array_like, optional
        Factors of the exponentials, broadcast with `a`. With `b` or `return_sign`, JAX's function computes the result.
    keepdims : bool
        Whether the axes stay, with length one.
    return_sign : bool
        Whether to return the sign of the sum as well.
    where : array_like of bool, optional
        Elements to include, broadcast to the shape of `a`.

    Returns
    -------
    Array, or with `return_sign` a tuple of two
        In nats, of the dtype of `a` and its shape without `axis`; with `return_sign` also the signs. Differentiable to
        any order, in forward and reverse mode.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`.

    Notes
    -----
    On the CPU at most 2 ULP of max(abs(lse), max(abs(a))) from the exact result for float32 and float64. The array is
    read once, and only the result is written.

    Rows that are empty or contain only −inf give −inf; rows with +inf give +inf, unless they also contain NaN.

    References
    ----------
    Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer. Anal. 41,
    2021, eq. 1.2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import logsumexp
    >>> logsumexp(jnp.array([1000.0, 1000.0]))
    Array(1000.6932, dtype=float32)
    """
    if b is not None or return_sign:
        return jax.scipy.special.logsumexp(a, axis, b, keepdims, return_sign, where)
    x = _arguments.logits(a, "a")
    found = _arguments.axes(axis, x.ndim)
    classes = ClassesLast(found, x.shape)
    z = classes.move(x)
    if where is not None:
        z = jnp.where(classes.move(_arguments.mask(where, x.shape)), z, -jnp.inf)
    result = logsumexp_p.bind(z)
    return jnp.expand_dims(result, found) if keepdims else result


def _like_logits(primitive: Any, x: ArrayLike, axis: Axis, where: ArrayLike | None, masked: float) -> jax.Array:
    z = _arguments.logits(x, "x")
    found = _arguments.axes(axis, z.ndim)
    classes = ClassesLast(found, z.shape)
    moved, mask = classes.move(z), None
    if where is not None:
        mask = classes.move(_arguments.mask(where, z.shape))
        moved = jnp.where(mask, moved, -jnp.inf)
    result = primitive.bind(moved)
    if mask is not None:  # a row without classes would be NaN
        result = jnp.where(mask, result, masked)
    return classes.move_back(result)
