"""The losses: check the arguments, bind one primitive for the losses of the rows, and reduce them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from softgrad import _closed_forms
from softgrad._loss_spec import DEFAULT, per_row, shows_loss_options
from softgrad.jax import _arguments
from softgrad.jax._arguments import ClassesLast
from softgrad.jax._primitives import bind, loss_p, targets

if TYPE_CHECKING:
    from typing import Unpack

    from jax.typing import ArrayLike

    from softgrad._loss_spec import LossOptions


@shows_loss_options
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> jax.Array:
    r"""Cross-entropy between targets and the softmax of logits.

    .. math:: \ell = -\sum_j y_j \log p_j + \zeta \operatorname{lse}(z)^2, \quad p = \operatorname{softmax}(z)

    with :math:`y_j = w_j\,((1 - \varepsilon)\,q_j + \varepsilon / C)` for a target distribution q (one-hot for a class
    index), class weights w, label smoothing ε and z-loss ζ.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape with C ≥ 1 classes along `axis`. Integers are converted to JAX's default floating dtype.
    target : array_like
        Class indices: an integer dtype, the shape of `logits` without `axis`. Or class probabilities: a floating dtype,
        the shape of `logits`; non-negative, rows need not sum to one.
    axis : int
        The axis of the classes.
    weight : array_like of shape (C,), optional
        Factor of every class, 0 or from 1e-15 to 1e15; may be traced, and is then not checked.
    ignore_index : int, optional
        Rows with this label are ignored: their loss and gradient are 0, whatever their logits.
    label_smoothing : float
        ε, from 0 to 1. This and the other options are static: Python numbers, not arrays.
    z_loss : float
        ζ: 0, or from 1e-15 to 1e15.
    reduction : {"mean", "sum", "none"}
        "mean" divides the sum by the summed weights of the labels that are not ignored, or, for class probabilities, by
        the number of rows.

    Returns
    -------
    Array
        Loss in nats: a scalar, or for "none" of the shape of `logits` without `axis`; float64 for float64 logits,
        otherwise float32. Differentiable to any order with respect to `logits`, class probabilities and `weight`, in
        forward and reverse mode.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or an option is an array.
    ValueError
        If shapes do not match, there are no classes, a weight or an option is out of range, or `ignore_index` is given
        with class probabilities.
    ValueError, jax.errors.JaxRuntimeError
        On the CPU, if a label is not a class: raised when the program runs, ValueError if JAX waits for its result, as
        for small programs, otherwise JaxRuntimeError. The message names the first such row. On other devices, and in
        programs of several devices, the loss of the row is NaN.

    Notes
    -----
    On the CPU the losses of rows are at most 2 ULP from the exact result for float32 and float64, confident rows
    included, and so is the gradient; on other devices the same formulas run as JAX operations. The logits are read once
    for the loss and once for the gradient; Hessian-vector products (`jax.jvp` of `jax.grad`) take one pass.

    Under jax.vmap the batch becomes more rows of the same call. Rows that are sharded stay sharded.

    NaN in a row makes its loss NaN. Logits of −inf are masked classes: with y = 0 they add nothing, with y > 0 the loss
    is +inf. Rows that contain +inf, or only −inf, have the loss NaN. The mean over no rows is NaN.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, §6.2.2.3. Label smoothing: Szegedy et al., CVPR 2016, §7.
    z-loss: Chowdhery et al., "PaLM", JMLR 24, 2023, §5.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from softgrad.jax import cross_entropy
    >>> logits, label = jnp.array([0.0, 40.0, 0.0]), jnp.array(1)
    >>> cross_entropy(logits, label)
    Array(8.496708e-18, dtype=float32)
    >>> jax.grad(cross_entropy)(logits, label)
    Array([ 4.248354e-18, -8.496708e-18,  4.248354e-18], dtype=float32)
    """
    spec = _arguments.loss_spec("cross_entropy", options)
    z = _arguments.logits(logits)
    along = _arguments.one_axis(axis, z.ndim)
    if not z.shape[along]:
        raise ValueError(f"logits has shape {z.shape}; expected at least one class along axis={axis}")
    y = _arguments.target(target, z, along, spec)
    w = _arguments.class_weight(weight, z.shape[along], z)
    z = jnp.moveaxis(z, along, -1)
    losses = bind(loss_p, z, y, w, spec=per_row(spec))
    return _closed_forms.reduced(losses, targets(z, y, w), spec)


def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Cross-entropy of class probabilities, one per row; a replacement for optax.softmax_cross_entropy.

    .. math:: \ell = -\sum_j q_j \log p_j, \quad p = \operatorname{softmax}(z)

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Logits z, of any shape.
    labels : array_like
        Class probabilities q, broadcast with `logits`; rows need not sum to one.
    axis : int, tuple of int or None
        The axes of the classes; several axes are treated as one, None means all axes.
    where : array_like of bool, optional
        Elements to include, of the shape of `logits`; or rows to include, of that shape without `axis`. Rows without
        elements have loss 0, whatever their labels.

    Returns
    -------
    Array
        Losses in nats, of the shape of `logits` without `axis` and of the dtype of their product with `labels`.
        Differentiable to any order with respect to `logits` and `labels`, in forward and reverse mode.

    Raises
    ------
    TypeError
        If `logits` does not have a floating dtype, or `labels`, `axis` or `where` has the wrong type.
    ValueError
        If shapes cannot be broadcast, or `axis` is out of range or contains an axis twice.

    Notes
    -----
    Accuracy, passes over the logits and special values as for `cross_entropy`. An element with q = 0 adds nothing,
    even if its logit is −inf.

    References
    ----------
    Optax 0.2.8, ``optax.losses.softmax_cross_entropy``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import softmax_cross_entropy
    >>> softmax_cross_entropy(jnp.array([[2.0, 1.0, 0.0]]), jnp.array([[0.5, 0.5, 0.0]]))
    Array([0.90760595], dtype=float32)
    """
    x, q = _arguments.floating(logits, "logits"), _arguments.as_array(labels, "labels")
    shape = jnp.broadcast_shapes(x.shape, q.shape)
    classes = _classes_last(axis, shape)
    z, mask = _included(x, where, classes)
    q = classes.move(_arguments.floating(q.astype(jnp.result_type(x, q)), "labels"))
    return _losses(z, q if mask is None else jnp.where(mask, q, 0)).astype(q.dtype)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike, labels: ArrayLike, axis: int | tuple[int, ...] = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Cross-entropy of labels, one per row; replaces optax.softmax_cross_entropy_with_integer_labels.

    .. math:: \ell = -\log p_y, \quad p = \operatorname{softmax}(z)

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Logits z, of any shape.
    labels : array_like, integer
        Class indices y, of the shape of `logits` without `axis`. If `axis` is a tuple, y counts the elements along
        these axes in row-major order.
    axis : int or tuple of int
        The axes of the classes; several axes are treated as one.
    where
        As for `softmax_cross_entropy`.

    Returns
    -------
    Array
        Losses in nats, of the shape of `logits` without `axis` and of the dtype of `logits`.
        Differentiable to any order with respect to `logits`.

    Raises
    ------
    TypeError
        If `logits` does not have a floating dtype or `labels` an integer one, or `axis` or `where` has the wrong type.
    ValueError
        If shapes do not match, or `axis` is out of range or contains an axis twice.
    ValueError, jax.errors.JaxRuntimeError
        If a label is not a class, as for `cross_entropy`.

    Notes
    -----
    Accuracy, passes over the logits and special values as for `cross_entropy`.

    References
    ----------
    Optax 0.2.8, ``optax.losses.softmax_cross_entropy_with_integer_labels``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import softmax_cross_entropy_with_integer_labels
    >>> logits = jnp.array([[0.0, 40.0, 0.0], [2.0, 1.0, 0.0]])
    >>> softmax_cross_entropy_with_integer_labels(logits, jnp.array([1, 0]))
    Array([8.4967083e-18, 4.0760598e-01], dtype=float32)
    >>> softmax_cross_entropy_with_integer_labels(logits, jnp.array([1, -100]), where=jnp.array([True, False]))
    Array([8.496708e-18, 0.000000e+00], dtype=float32)
    """
    if axis is None:
        raise TypeError("axis=None; expected an integer or a tuple of integers")
    x, y = _arguments.floating(logits, "logits"), _arguments.as_array(labels, "labels")
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise TypeError(f"labels has dtype {y.dtype}; expected an integer dtype; for probabilities write "
                        "softmax_cross_entropy")  # fmt: skip
    z, mask = _included(x, where, _classes_last(axis, x.shape))
    if y.shape != z.shape[:-1]:
        raise ValueError(f"labels has shape {y.shape} beside logits of shape {x.shape}; expected {z.shape[:-1]}")
    if mask is None:
        return _losses(z, _arguments.labels(y)).astype(z.dtype)
    has_elements = jnp.any(mask, axis=-1)
    losses = _losses(z, _arguments.labels(jnp.where(has_elements, y, 0)))
    return jnp.where(has_elements, losses, 0).astype(z.dtype)


def _classes_last(axis: int | tuple[int, ...] | None, shape: tuple[int, ...]) -> ClassesLast:
    classes = ClassesLast(_arguments.axes(axis, len(shape)), shape)
    if not all(shape[along] for along in classes.axes):
        raise ValueError(f"logits has shape {shape}; expected at least one class along axis={axis}")
    return classes


def _included(logits: jax.Array, where: ArrayLike | None, classes: ClassesLast) -> tuple[jax.Array, jax.Array | None]:
    """Move the classes of logits last and set elements that `where` excludes to −inf; also return the mask, moved."""
    z = classes.move(logits)
    if where is None:
        return z, None
    mask = _arguments.as_array(where, "where")
    if mask.ndim == len(classes.shape) - len(classes.axes):
        mask = jnp.expand_dims(mask, classes.axes)
    mask = classes.move(_arguments.mask(mask, classes.shape))
    has_elements = jnp.any(mask, axis=-1, keepdims=True)
    # 0 in rows without elements, because the loss of a row of only −inf is NaN.
    excluded = jnp.where(has_elements, -jnp.inf, 0).astype(z.dtype)
    return jnp.where(mask, z, excluded), mask


def _losses(z: jax.Array, target: jax.Array) -> jax.Array:
    """Losses without options."""
    no_weight = jnp.zeros(0, jnp.float32)
    return bind(loss_p, z, target, no_weight, spec=per_row(DEFAULT))
