"""The Jacobian of log-softmax, as an operator."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, final

import numpy as np

from softgrad import _core, _validation
from softgrad._core import OperatorKind
from softgrad._linear_operators import _row_sums
from softgrad._linear_operators._jacobian import probabilities
from softgrad._linear_operators._operator import AsymmetricColumnOperator, Layout, Operator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from softgrad._typing import Array


@final
class LogSoftmaxJacobian(Operator):
    """L = I − 1 pᵀ for every row of a batch of logits, or its transpose; made by `log_softmax_jacobian`."""

    def __init__(self, probs: Array, axis: int) -> None:
        super().__init__(Layout(probs.shape, axis), probs.dtype)
        self._probs = probs
        self._transposed = False
        p = self._probabilities()
        self._top = p.argmax(axis=1)
        self._complement = _row_sums.complement(p)

    @property
    def T(self) -> LogSoftmaxJacobian:
        """The transpose, I − p 1ᵀ."""
        transpose = copy.copy(self)
        transpose._transposed = not self._transposed
        return transpose

    def _apply(self, v: Array) -> Array:
        probs = self._probs.astype(v.dtype, copy=False)
        columns = v.shape[-1] if v.ndim > probs.ndim else 1
        kind = OperatorKind.log_softmax_transposed if self._transposed else OperatorKind.log_softmax
        rest = np.take_along_axis(self._complement, self._top[:, None], axis=1)[:, 0]
        result = np.empty_like(v)
        _core.apply_operator(
            kind, _validation.kernel_dtype(v.dtype), probs, self._layout.axis, v, result, columns, self._top, None,
            None, rest,
        )  # fmt: skip
        return result

    def _probabilities(self) -> Array:
        return self._layout.to_columns(self._probs)[:, :, 0]

    def to_dense(self) -> Array:
        """Return the matrices as an array of shape ``(..., C, C)``."""
        p = self._probabilities()
        classes = np.arange(p.shape[1])
        dense = np.repeat(-p[:, None, :], len(classes), axis=1)
        dense[:, classes, classes] = self._complement
        dense = np.swapaxes(dense, 1, 2) if self._transposed else dense
        return dense.reshape(self.shape).astype(self.dtype, copy=False)

    def _per_row(self, value: float) -> np.floating[Any] | Array:
        """A value that depends on the number of classes alone; NaN where the probabilities are."""
        values = value + 0 * self._probabilities().sum(axis=1)
        return values.reshape(self._layout.batch).astype(self.dtype, copy=False)[()]

    def diagonal(self) -> Array:
        """The diagonal 1 − p_i, of the shape of the logits; computed as Σ_{j≠i} p_j if the difference cancels."""
        return self._layout.from_columns(self._complement[:, :, None].copy(), like=self._probs)

    def trace(self) -> np.floating[Any] | Array:
        """The sum of the diagonal per row: C − 1."""
        return self._per_row(self._layout.classes - 1)

    def rank(self) -> np.integer[Any] | NDArray[np.int64]:
        """The rank per row: C − 1, because L is a projection (L L = L) along constant vectors."""
        return np.full(self._layout.batch, self._layout.classes - 1)[()]

    def null_space(self) -> Array:
        """A unit vector that spans the null space, with an additional last axis of length 1.

        Its entries are 1/√C; for the transpose it is p/‖p‖.
        """
        p = self._probabilities()
        basis = p if self._transposed else 1 + 0 * p
        basis = basis / np.linalg.norm(basis, axis=1, keepdims=True)
        return self._layout.block(basis[:, :, None], self.dtype)

    def pinv(self) -> Operator:
        """The Moore–Penrose inverse as an operator: (I − 11ᵀ/C)(I − p pᵀ/‖p‖²), or its transpose."""
        inverse = LogSoftmaxPseudoInverse(self._layout, self.dtype, self._probabilities())
        return inverse.T if self._transposed else inverse

    @np.errstate(all="ignore")  # infinities and NaN are answers
    def solve(self, b: ArrayLike, damping: float) -> Array:
        r"""The solution x of (L + λI) x = b, in O(C).

        .. math:: x = \frac{1}{1 + \lambda} \Bigl(b + \frac{p^\top b}{\lambda} 1\Bigr)

        and for the transpose :math:`(b + p\,(1^\top b)/\lambda)/(1 + \lambda)`.

        Parameters
        ----------
        b : array_like
            Right-hand side of the shape of the logits, or several with one more axis at the end.
        damping : float
            λ > 0. For λ = 0 use ``L.pinv() @ b``.

        Returns
        -------
        ndarray
            Solution x, of the shape of `b`.

        Raises
        ------
        TypeError, ValueError
            If `b` or `damping` has the wrong type, shape or value.
        """
        damping = _validation.damping(damping)
        operand = _validation.operand(b, self._layout.logits_shape, self.dtype, "log_softmax_jacobian", "b")
        p, columns = self._probabilities()[:, :, None], self._layout.to_columns(operand)
        weight, direction = (1.0, p) if self._transposed else (p, 1 + 0 * p)
        along = _row_sums.total(weight * columns)[:, None] / damping
        return self._layout.from_columns((columns + direction * along) / (1 + damping), like=operand)

    def logdet(self, damping: float) -> np.floating[Any] | Array:
        """Logarithm of the determinant of L + λI per row, in nats: (C − 1) log(1 + λ) + log λ.

        Parameters
        ----------
        damping : float
            λ > 0.

        Returns
        -------
        scalar or ndarray
            Of the shape of the logits without the class axis.

        Raises
        ------
        TypeError, ValueError
            If `damping` has the wrong type or value.
        """
        damping = _validation.damping(damping)
        return self._per_row((self._layout.classes - 1) * np.log1p(damping) + np.log(damping))


@final
class LogSoftmaxPseudoInverse(AsymmetricColumnOperator):
    """(I − 11ᵀ/C)(I − p pᵀ/‖p‖²): the inverse of L between the vectors of p-weighted and of plain mean zero."""

    def __init__(self, layout: Layout, dtype: np.dtype[Any], p: Array) -> None:
        super().__init__(layout, dtype)
        self._unit = (p / np.linalg.norm(p, axis=1, keepdims=True))[:, :, None]

    def _without_p(self, v: Array) -> Array:
        return v - self._unit * _row_sums.total(self._unit * v)[:, None]

    def _without_mean(self, v: Array) -> Array:
        return v - _row_sums.total(v)[:, None] / self._layout.classes

    def _apply_to_columns(self, v: Array) -> Array:
        return self._without_mean(self._without_p(v))

    def _apply_transposed_to_columns(self, v: Array) -> Array:
        return self._without_p(self._without_mean(v))


def log_softmax_jacobian(logits: ArrayLike, *, axis: int = -1) -> LogSoftmaxJacobian:
    r"""Jacobian of log-softmax, as an operator that holds the probabilities and never a dense matrix.

    .. math:: L_{jk} = \frac{\partial \log p_j}{\partial z_k} = \delta_{jk} - p_k, \quad L = I - 1 p^\top

    L is not symmetric: rows correspond to log-probabilities, columns to logits.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout with C ≥ 1 classes along `axis`. Integers are converted to float64.
    axis : int
        The axis of the classes. The other axes are a batch: there is one matrix per row of logits.

    Returns
    -------
    LogSoftmaxJacobian
        Of shape ``(..., C, C)``; float64 for float64 logits, otherwise float32. ``L @ v`` is
        :math:`v - (p^\top v) 1`, ``L.T @ v`` is :math:`v - (1^\top v) p`; ``v`` has the shape of `logits`, or one
        more axis at the end for K vectors per row. Other methods: ``to_dense()``, ``diagonal()``, ``trace()``,
        ``rank()``, ``null_space()``, ``pinv()``, ``solve(b, damping)``, ``logdet(damping)``,
        ``as_linear_operator()``. The methods of symmetric matrices (``eigh()``, ``sqrt()``, ``cholesky()``) are
        not defined. The eigenvalues are 0, once, and 1.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`; also if there are no classes.

    Notes
    -----
    Products are one native pass. The error of ``L @ v`` is at most 4 ULP of
    :math:`|v_j - v_*| + \sum_i p_i |v_i - v_*|`, where v_* is the entry of v at the most probable class; that of
    ``L.T @ v`` is at most 4 ULP of :math:`|v_j| + p_j \sum_i |v_i|`, or, if p_j is nearly 1, of
    :math:`(1 - p_j) |v_j| + p_j \sum_{i \ne j} |v_i|`. A masked class has a unit row; NaN in a row of logits makes
    the results of that row NaN.

    Examples
    --------
    >>> import softgrad as sg
    >>> L = sg.log_softmax_jacobian([2.0, 1.0, 0.0])
    >>> L.to_dense()
    array([[ 0.33475904, -0.24472847, -0.09003057],
           [-0.66524096,  0.75527153, -0.09003057],
           [-0.66524096, -0.24472847,  0.90996943]])
    >>> L.T @ [1.0, 0.0, 0.0]  # the gradient of log p_0
    array([ 0.33475904, -0.24472847, -0.09003057])
    """
    z, _ = _validation.logits(logits, "log_softmax_jacobian")
    axis = _validation.class_axis(axis, z.ndim)
    _validation.class_count(z.shape, axis)
    return LogSoftmaxJacobian(probabilities(z, axis), axis)
