"""The losses: check the arguments, bind one primitive for the losses of the rows, and reduce them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from softgrad import _closed_forms
from softgrad._loss_spec import DEFAULT, per_row, shows_loss_options
from softgrad._targets import Targets
from softgrad.jax import _arguments
from softgrad.jax._arguments import ClassesLast
from softgrad.jax._primitives import loss_p

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
        If shapes do not match, there are no classes, or a weight or an option is out of range.
    ValueError, jax.errors.JaxRuntimeError
        On the CPU, if a label is not a class, when the program runs: the one if JAX waits for it, as for small
        programs, else the other. The message names the first such row. On other devices its loss is NaN.

    Notes
    -----
    On the CPU the losses of rows are at most 2 ULP from the exact result for float32 and float64, confident rows
    included, and so is the gradient; on other devices the same formulas run as JAX operations. The logits are read once
    for the loss and once for the gradient; Hessian-vector products (`jax.jvp` of `jax.grad`) take one pass.

    Under jax.vmap and jax.jit leading axes are more rows of the same call. Rows that are sharded stay sharded.

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
    losses = loss_p.bind(jnp.moveaxis(z, along, -1), y, w, spec=per_row(spec))
    labels, probabilities = (y, None) if jnp.issubdtype(y.dtype, jnp.integer) else (None, y)
    targets = Targets(z.shape[along], labels, probabilities, z.ndim - 1, w if w.size else None)
    return _closed_forms.reduced(losses, targets, spec)


def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Cross-entropy of class probabilities, one per row; a replacement for optax.softmax_cross_entropy.

    .. math:: \ell = -\sum_j q_j \log p_j

    Parameters
    ----------
    logits : array_like, floating
        Logits.
    labels : array_like, floating
        Class probabilities, broadcast with `logits`.
    axis : int, tuple of int or None
        The axes of the classes; None for all.
    where : array_like of bool, optional
        Elements to include, of the shape of `logits`, or rows, of that shape without `axis`. Rows without elements have
        loss 0, whatever their labels.

    Returns
    -------
    Array
        Losses in nats, of the shape of `logits` without `axis`.

    Notes
    -----
    Accuracy and derivatives as for `cross_entropy`. An element with probability 0 adds nothing, also at −inf.
    """
    z, q, mask = _broadcast(_floating(logits, "logits"), _arguments.as_array(labels, "labels"), axis, where)
    q = q.astype(jnp.promote_types(q.dtype, z.dtype))
    if mask is not None:
        z, q = _masked(z, mask), jnp.where(mask, q, 0)
    return loss_p.bind(z, q, jnp.zeros(0, jnp.float32), spec=per_row(DEFAULT)).astype(z.dtype)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike, labels: ArrayLike, axis: int | tuple[int, ...] = -1, where: ArrayLike | None = None
) -> jax.Array:
    """Cross-entropy of labels, one per row; replaces optax.softmax_cross_entropy_with_integer_labels.

    Parameters
    ----------
    logits : array_like, floating
        Logits.
    labels : array_like, integer
        Class indices, of the shape of `logits` without `axis`. If `axis` is a tuple, indices into its axes, flattened.
    axis : int or tuple of int
        The axes of the classes.
    where : array_like of bool, optional
        Elements to include, of the shape of `logits`, or rows, of that shape without `axis`. Rows without elements have
        loss 0, whatever their labels.

    Returns
    -------
    Array
        Losses in nats, of the shape of `logits` without `axis`.

    Notes
    -----
    Accuracy, derivatives and errors as for `cross_entropy`.
    """
    if axis is None:
        raise TypeError("axis=None; expected an integer or a tuple of integers")
    x, y = _floating(logits, "logits"), _arguments.as_array(labels, "labels")
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise TypeError(f"labels has dtype {y.dtype}; expected an integer dtype; for probabilities write "
                        "softmax_cross_entropy")  # fmt: skip
    z, _, mask = _broadcast(x, None, axis, where)
    if y.shape != z.shape[:-1]:
        raise ValueError(f"labels has shape {y.shape} beside logits of shape {x.shape}; expected {z.shape[:-1]}")
    kept = None
    if mask is not None:
        kept = jnp.any(mask, axis=-1)
        z, y = _masked(z, mask), jnp.where(kept, y, 0)
    losses = loss_p.bind(z, _arguments.labels(y), jnp.zeros(0, jnp.float32), spec=per_row(DEFAULT)).astype(z.dtype)
    return losses if kept is None else jnp.where(kept, losses, 0)


def _floating(value: ArrayLike, name: str) -> jax.Array:
    array = _arguments.as_array(value, name)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} has dtype {array.dtype}; expected a floating dtype; write {name}.astype(jnp.float32)")
    return array


def _broadcast(z: jax.Array, q: Any, axis: Any, where: Any) -> tuple[Any, Any, Any]:
    """Logits, probabilities and mask of one shape, with the classes last."""
    shape = z.shape if q is None else jnp.broadcast_shapes(z.shape, q.shape)
    found = _arguments.axes(axis, len(shape))
    classes = ClassesLast(found, shape)
    mask = None
    if where is not None:
        mask = _arguments.as_array(where, "where")
        if mask.ndim != len(shape):
            mask = jnp.expand_dims(mask, found)
        mask = classes.move(mask)
    return classes.move(z), None if q is None else classes.move(q), mask


def _masked(z: jax.Array, mask: jax.Array) -> jax.Array:
    """Logits of −inf where the mask is false; of 0 in a row without elements, whose loss would be NaN."""
    return jnp.where(mask, z, jnp.where(jnp.any(mask, axis=-1, keepdims=True), -jnp.inf, 0).astype(z.dtype))
