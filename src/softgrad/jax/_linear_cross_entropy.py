"""Cross-entropy of a linear head by chunks of rows: a scan whose body is computed again for every derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from softgrad import _closed_forms, _validation
from softgrad._loss_spec import per_row, shows_loss_options
from softgrad.jax import _arguments
from softgrad.jax._primitives import bind, loss_p, targets

if TYPE_CHECKING:
    from typing import Unpack

    from jax.typing import ArrayLike

    from softgrad._loss_spec import LossOptions

# A chunk holds this many bytes of logits: the head of 100000 classes stays below 250 MiB, most of it gradients of W.
_CHUNK_BYTES = 16 << 20


@shows_loss_options
def linear_cross_entropy(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    softcap: float | None = None,
    chunk_rows: int | None = None,
    **options: Unpack[LossOptions],
) -> jax.Array:
    r"""Cross-entropy of logits x Wᵀ + bias, which are never stored whole.

    .. math:: \ell = \sum_n \operatorname{CE}(W x_n + b,\; y_n)

    Parameters
    ----------
    x : array_like of shape (D,), (N, D) or (…, D), float16, bfloat16, float32 or float64
        Features, one row per target.
    W : array_like of shape (C, D)
        Coefficients, one row per class.
    target : array_like
        Class indices of the shape of `x` without D, or class probabilities of that shape with C instead of D.
    bias : array_like of shape (C,), optional
        Added to the logits.
    weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.
    softcap : float, optional
        Bound of the logits z, which are replaced by softcap · tanh(z / softcap).
    chunk_rows : int, optional
        Number of rows whose logits are in memory at a time; by default as many as fit into 16 MiB.

    Returns
    -------
    Array
        Loss in nats: a scalar, or for "none" of the shape of `x` without D; float64 for float64 logits, otherwise
        float32. Differentiable to any order with respect to `x`, `W`, `bias`, class probabilities and `weight`, in
        forward and reverse mode.

    Raises
    ------
    TypeError, ValueError, jax.errors.JaxRuntimeError
        As for `cross_entropy`; also if the shapes of `x`, `W` and `bias` do not match, or `softcap` or `chunk_rows` is
        not a positive number.

    Notes
    -----
    The products are JAX's, with its accuracy and `jax.default_matmul_precision`; 16-bit operands give float32 logits.
    The loss of these logits is as accurate as in `cross_entropy`. Derivatives compute the logits of a chunk again: one
    more product for a gradient. Gradients and Hessian-vector products store no logits either.

    References
    ----------
    Hsu et al., "Liger Kernel", 2024, arXiv:2410.10989; softcap: Gemma Team, 2024, arXiv:2408.00118, §2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from softgrad.jax import linear_cross_entropy
    >>> features, coefficients = jnp.eye(2), jnp.array([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    >>> linear_cross_entropy(features, coefficients, jnp.array([0, 2]), reduction="none")
    Array([0.40760598, 1.0986123 ], dtype=float32)
    """
    spec = _arguments.loss_spec("linear_cross_entropy", options)
    features, coefficients = _arguments.logits(x, "x"), _arguments.logits(W, "W")
    b = None if bias is None else _arguments.logits(bias, "bias")
    _check_head(features, coefficients, b)
    for name, value in (("softcap", softcap), ("chunk_rows", chunk_rows)):
        _arguments.static(value, name)
    cap, classes = _validation.softcap(softcap), len(coefficients)
    rows = features.shape[:-1]
    logits = jax.ShapeDtypeStruct((*rows, classes), _dtype(features, coefficients, b))
    y = _arguments.target(target, logits, len(rows), spec)
    w = _arguments.class_weight(weight, classes, logits)
    n = math.prod(rows)
    size = _validation.chunk_rows(chunk_rows) or max(1, _CHUNK_BYTES // (classes * logits.dtype.itemsize))
    flat = features.reshape(n, features.shape[-1]), y.reshape(n, *y.shape[len(rows) :])

    def losses_of(x: jax.Array, y: jax.Array) -> jax.Array:
        return bind(loss_p, _logits(x, coefficients, b, cap, logits.dtype), y, w, spec=per_row(spec))

    losses = _by_chunks(jax.checkpoint(losses_of), flat, n, size).reshape(rows)
    return _closed_forms.reduced(losses, targets(logits, y, w), spec)


def _by_chunks(losses_of: Any, arrays: tuple[jax.Array, ...], n: int, size: int) -> jax.Array:
    """The losses of all rows, in as few equal chunks as have at most `size` rows.

    The last one is padded with zeros: a shorter one after the loop would need memory for another gradient of W.
    """
    count = -(-n // size)
    if count <= 1:
        return losses_of(*arrays)
    rows = -(-n // count)
    padded = [jnp.pad(a, [(0, count * rows - n)] + [(0, 0)] * (a.ndim - 1)) for a in arrays]
    chunks = [a.reshape(count, rows, *a.shape[1:]) for a in padded]
    return jax.lax.map(lambda chunk: losses_of(*chunk), chunks).reshape(-1)[:n]


def _logits(x: jax.Array, W: jax.Array, bias: jax.Array | None, cap: float, dtype: Any) -> jax.Array:
    operand = jnp.result_type(x, W)
    x, W = x.astype(operand), W.astype(operand)
    # Not x @ W.T, for which XLA copies W.
    along_features = (((x.ndim - 1,), (1,)), ((), ()))
    z = jax.lax.dot_general(x, W, along_features, preferred_element_type=dtype)
    if bias is not None:
        z = z + jnp.broadcast_to(bias.astype(dtype), z.shape)
    return cap * jnp.tanh(z / cap) if cap else z


def _dtype(*arrays: jax.Array | None) -> Any:
    return _arguments.loss_dtype(jnp.result_type(*(a.dtype for a in arrays if a is not None)))


def _check_head(x: jax.Array, W: jax.Array, bias: jax.Array | None) -> None:
    if W.ndim != 2:
        raise ValueError(f"W has shape {W.shape}; expected (C, D): a row for each class")
    if not x.ndim or x.shape[-1] != W.shape[1]:
        raise ValueError(
            f"x has shape {x.shape} and W {W.shape}; expected (*, D) and (C, D): logits = x @ W.T; write W.T if it is "
            "(D, C)"
        )
    if not len(W):
        raise ValueError("W has no rows: no classes; expected at least one")
    if bias is not None and bias.shape != W.shape[:1]:
        raise ValueError(f"bias has shape {bias.shape}; expected {W.shape[:1]}, one value for each class")
