"""Cross-entropy of a linear head, logits = x Wᵀ + bias, by chunks of rows: the logits are never stored whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from softgrad import _validation
from softgrad._core import DType, Reduction
from softgrad._cross_entropy import CrossEntropy, checked_targets
from softgrad._loss_spec import loss_spec, shows_loss_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions, LossPerRow, LossSpec, ReducedLoss
    from softgrad._targets import Targets
    from softgrad._typing import Array

# Logits of a chunk: large enough that BLAS runs at full speed, small beside a gradient of W.
_CHUNK_BYTES = 32 << 20
# Part of GᵀX computed at a time beside the gradient of W that it is added to.
_PRODUCT_BYTES = 8 << 20


class LinearGradient(NamedTuple):
    """Gradients of the loss of a linear head, of the shapes of `x`, `W` and `bias`; `bias` is None without a bias."""

    x: Array
    W: Array
    bias: Array | None


@overload
def linear_cross_entropy(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[ReducedLoss],
) -> np.floating[Any]: ...
@overload
def linear_cross_entropy(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[LossPerRow],
) -> Array: ...
@shows_loss_options
def linear_cross_entropy(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> np.floating[Any] | Array:
    r"""Cross-entropy of logits x Wᵀ + bias, which are never stored whole.

    .. math:: \ell = \sum_n \operatorname{CE}(W x_n + b,\; y_n)

    Parameters
    ----------
    x : array_like of shape (N, D), float32 or float64
        Features, one row per target.
    W : array_like of shape (C, D), of the dtype of `x`
        Coefficients, one row per class.
    target : array_like of shape (N,) or (N, C)
        Class indices or class probabilities, as for `cross_entropy`.
    bias : array_like of shape (C,), of the dtype of `x`, optional
        Added to the logits.
    weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`.

    Returns
    -------
    scalar or ndarray of shape (N,)
        Loss in nats, of the dtype of `x`.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy`; also if the shapes or dtypes of `x`, `W` and `bias` do not match.

    Notes
    -----
    The logits have the accuracy of NumPy's BLAS; the loss of these logits is as accurate as in `cross_entropy`.
    Besides the result, one chunk of logits is allocated, 32 MiB or one row.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> x, W = np.eye(2), np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    >>> sg.linear_cross_entropy(x, W, [0, 2], reduction="none")
    array([0.40760596, 1.09861229])
    """
    head = checked("linear_cross_entropy", x, W, target, bias, weight, options)
    return head.combine([(rows, loss.run(None)) for rows, _, loss in head.chunks()])


@overload
def linear_cross_entropy_value_and_grad(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[ReducedLoss],
) -> tuple[np.floating[Any], LinearGradient]: ...
@overload
def linear_cross_entropy_value_and_grad(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = ...,
    weight: ArrayLike | None = ...,
    **options: Unpack[LossPerRow],
) -> tuple[Array, LinearGradient]: ...
@shows_loss_options
def linear_cross_entropy_value_and_grad(
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> tuple[np.floating[Any] | Array, LinearGradient]:
    r"""Cross-entropy of logits x Wᵀ + bias, and its gradients.

    .. math:: \nabla_W = \sum_n g_n x_n^\top, \quad \nabla_{x_n} = W^\top g_n, \quad \nabla_b = \sum_n g_n

    where g_n is the gradient with respect to the logits of row n.

    Parameters
    ----------
    x, W, target, bias, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `linear_cross_entropy`. With "none" the loss is per row, and the gradients are those of the sum.

    Returns
    -------
    loss : scalar or ndarray
        The result of `linear_cross_entropy`.
    gradient : LinearGradient
        Gradients ``x``, ``W`` and ``bias`` (None without a bias).

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `linear_cross_entropy`.

    Notes
    -----
    Every chunk of logits is overwritten by its gradient. Besides the results, one chunk of logits is
    allocated, 32 MiB or one row, and 8 MiB for products that are added to ``gradient.W``.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> x, W = np.eye(2), np.zeros((2, 2))
    >>> loss, gradient = sg.linear_cross_entropy_value_and_grad(x, W, [0, 1])
    >>> gradient.W
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """
    head = checked("linear_cross_entropy_value_and_grad", x, W, target, bias, weight, options)
    gradient = LinearGradient(
        np.zeros(head.x.shape, head.x.dtype),
        np.zeros_like(head.W, order="C"),
        None if head.bias is None else np.zeros_like(head.bias),
    )
    losses = []
    for rows, part, loss in head.chunks():
        g = loss.logits
        losses.append((rows, loss.run(g)))
        if isinstance(rows, slice):
            np.matmul(g, head.W, out=gradient.x[rows])
        else:
            gradient.x[rows] = g @ head.W
        add_product(gradient.W, g, part)
        if gradient.bias is not None:
            np.add(gradient.bias, g.sum(axis=0), out=gradient.bias)
    return head.combine(losses), gradient


def add_product(total: Array, g: Array, x: Array) -> None:
    """Add gᵀ x to total, by blocks of classes."""
    block = max(1, _PRODUCT_BYTES // max(1, x.shape[1] * x.itemsize))
    for start in range(0, total.shape[0], block):
        part = slice(start, start + block)
        total[part] += g[:, part].T @ x


class Chunk(NamedTuple):
    """The rows of a chunk that the target does not ignore, their features, and the loss of their logits."""

    rows: slice | Array
    x: Array
    loss: CrossEntropy


class LinearCrossEntropy(NamedTuple):
    """The cross-entropy of a linear head, whose arguments have been checked."""

    x: Array
    W: Array
    bias: Array | None
    dtype: DType
    targets: Targets
    spec: LossSpec

    def chunks(self) -> Iterator[Chunk]:
        """Chunks of the rows that are not ignored: in a product, NaN in an ignored row times 0 would be NaN."""
        n, memory, kept = len(self.x), self.chunk_memory(), self.targets.kept(self.spec)
        for start in range(0, n, max(1, len(memory))):
            rows: slice | Array = slice(start, min(n, start + len(memory)))
            if kept is not None and not kept[rows].all():
                rows = start + np.flatnonzero(kept[rows])
            x = self.x[rows]
            if not len(x):
                continue
            logits = memory[: len(x)]
            np.matmul(x, self.W.T, out=logits)
            if self.bias is not None:
                logits += self.bias
            yield Chunk(rows, x, CrossEntropy(logits, self.dtype, self.targets.part(rows), self.spec))

    def chunk_memory(self) -> Array:
        """Memory for the logits of one chunk of rows, or for an array of their shape."""
        classes = len(self.W)
        size = max(1, _CHUNK_BYTES // (classes * self.x.itemsize))
        return np.empty((min(len(self.x), size), classes), self.x.dtype)

    def combine(self, losses: list[tuple[slice | Array, Any]]) -> Any:
        """Combine the losses of the chunks into the loss of all rows."""
        if self.spec.reduction is Reduction.none:
            of_rows = np.zeros(len(self.x), self.x.dtype)
            for rows, loss in losses:
                of_rows[rows] = loss
            return of_rows
        if not losses and self.spec.reduction is Reduction.mean:
            return self.x.dtype.type(np.nan)
        with np.errstate(over="ignore"):  # an infinite loss is an answer
            return self.x.dtype.type(np.sum([loss for _, loss in losses], dtype=np.float64))


def checked(
    function: str,
    x: ArrayLike,
    W: ArrayLike,
    target: ArrayLike,
    bias: ArrayLike | None,
    weight: ArrayLike | None,
    options: LossOptions,
) -> LinearCrossEntropy:
    """Check every argument, before anything is computed."""
    spec = loss_spec(function, options)
    features = _validation.matrix(x, "x", function)
    coefficients = _validation.matrix(W, "W", function)
    offset = None if bias is None else _validation.logits(bias, function, "bias")[0]
    _validation.linear_head(features, coefficients, offset)
    shape = (len(features), len(coefficients))
    targets = checked_targets(function, shape, 1, target, weight, spec)
    return LinearCrossEntropy(features, coefficients, offset, _validation.kernel_dtype(features.dtype), targets, spec)
