"""The base of all operators: shape and dtype, products from both sides, the transpose, dense and SciPy forms."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad import _validation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse.linalg import LinearOperator

    from softgrad._typing import Array


class Layout(NamedTuple):
    """The shape of the logits and their class axis."""

    logits_shape: tuple[int, ...]
    axis: int

    @property
    def batch(self) -> tuple[int, ...]:
        """The other axes."""
        return self.logits_shape[: self.axis] + self.logits_shape[self.axis + 1 :]

    @property
    def classes(self) -> int:
        """C."""
        return self.logits_shape[self.axis]

    @property
    def rows(self) -> int:
        """R, the number of matrices."""
        return math.prod(self.batch)

    def to_columns(self, v: Array) -> Array:
        """A vector for each row, or a block of K, as float64 of shape (R, C, K)."""
        block = v.shape[len(self.logits_shape) :] or (1,)
        last = np.moveaxis(v.reshape(self.logits_shape + block), self.axis, -2)
        return np.ascontiguousarray(last.reshape(self.rows, self.classes, *block), np.float64)

    def from_columns(self, columns: Array, like: Array) -> Array:
        """Undo `to_columns`, in the shape and dtype of `like`."""
        last = columns.reshape(self.batch + (self.classes,) + columns.shape[2:])
        moved = np.moveaxis(last, -2, self.axis).reshape(like.shape)
        return moved.astype(like.dtype, copy=False)

    def block(self, columns: Array, dtype: np.dtype[Any]) -> Array:
        """Columns (R, C, K) as a block of K vectors: the shape of the logits, then K."""
        last = columns.reshape(self.batch + columns.shape[1:])
        return np.moveaxis(last, -2, self.axis).astype(dtype, copy=False)


class Operator(ABC):
    """A square matrix for each row of a batch of logits, stored in O(C) memory and never as a dense matrix."""

    # NumPy leaves `array @ operator` to __rmatmul__, and every other operation to a TypeError.
    __array_ufunc__ = None

    def __init__(self, layout: Layout, dtype: np.dtype[Any]) -> None:
        self._layout = layout
        self.dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The other axes of the logits, then (C, C)."""
        return self._layout.batch + 2 * (self._layout.classes,)

    @property
    @abstractmethod
    def T(self) -> Operator:
        """The transpose."""

    @abstractmethod
    def _apply(self, v: Array) -> Array:
        """The product with a validated operand."""

    @abstractmethod
    def to_dense(self) -> Array:
        """Return the matrices as an array of shape ``(..., C, C)``."""

    def __matmul__(self, v: ArrayLike) -> Array:
        """Product with one vector per row (the shape of the logits), or with K of them (one more axis at the end)."""
        if isinstance(v, Operator):
            raise TypeError(
                f"the right operand is a {type(v).__name__}; expected an array; write operator @ other.to_dense()"
            )
        operand = _validation.operand(v, self._layout.logits_shape, self.dtype, type(self).__name__)
        return self._apply(operand) if operand.size else operand.copy()

    def __rmatmul__(self, v: ArrayLike) -> Array:
        """The product v H = (Hᵀ vᵀ)ᵀ; K vectors have the shape ``(..., K, C)``, with the classes last."""
        array, _ = _validation.logits(v, type(self).__name__, "v")
        layout = self._layout
        if array.shape == layout.logits_shape:
            return self.T @ array
        rows, classes = array.shape[:-2], array.shape[-1:]
        last = layout.axis == len(layout.logits_shape) - 1
        if not last or array.ndim != len(self.shape) or rows + classes != layout.logits_shape:
            block = f"({''.join(f'{n}, ' for n in layout.batch)}K, {layout.classes})"
            raise ValueError(
                f"the left operand has shape {array.shape}; expected {layout.logits_shape}, one vector for each row, "
                f"or {block} where the classes are the last axis; write operator.T @ v"
            )
        return np.swapaxes(self.T @ np.swapaxes(array, -1, -2), -1, -2)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError(f"a {type(self).__name__} is not an array; write .to_dense() for the matrix")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of shape {self.shape}, {self.dtype}>"

    def as_linear_operator(self) -> LinearOperator:
        """Return a SciPy ``LinearOperator`` of the same matrix, for SciPy's iterative solvers.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            Of shape (C, C) for one row; for a batch of R rows, the block-diagonal matrix of shape
            (R·C, R·C) that acts on ``logits.ravel()``.

        Raises
        ------
        ModuleNotFoundError
            If SciPy is not installed; no other method needs it.
        """
        # Only here: the package itself needs no more than NumPy.
        from scipy.sparse.linalg import LinearOperator  # noqa: PLC0415

        shape = self._layout.logits_shape
        transpose = self.T
        size = math.prod(shape)

        def product(operator: Operator, x: Array) -> Array:
            return (operator @ x.reshape(shape + x.shape[1:])).reshape(x.shape)

        return LinearOperator(
            shape=(size, size),
            dtype=self.dtype,
            matvec=lambda x: product(self, x.reshape(size)),
            rmatvec=lambda x: product(transpose, x.reshape(size)),
            matmat=lambda x: product(self, x),
            rmatmat=lambda x: product(transpose, x),
        )


class ColumnOperator(Operator):
    """An operator whose products NumPy computes, in float64, on columns of shape (R, C, K)."""

    @abstractmethod
    def _apply_to_columns(self, v: Array) -> Array:
        """The product."""

    @np.errstate(all="ignore")  # infinities and NaN are answers
    def _apply(self, v: Array) -> Array:
        return self._layout.from_columns(self._apply_to_columns(self._layout.to_columns(v)), like=v)

    @np.errstate(all="ignore")
    def to_dense(self) -> Array:
        """Return the matrices as an array of shape ``(..., C, C)``."""
        layout = self._layout
        identity = np.broadcast_to(np.eye(layout.classes), (layout.rows, layout.classes, layout.classes))
        return self._apply_to_columns(identity).reshape(self.shape).astype(self.dtype, copy=False)


class SymmetricColumnOperator(ColumnOperator):
    """A column operator that is its own transpose."""

    @property
    def T(self) -> SymmetricColumnOperator:
        """The operator itself: it is symmetric."""
        return self


class AsymmetricColumnOperator(ColumnOperator):
    """A column operator whose transpose has a product of its own."""

    @abstractmethod
    def _apply_transposed_to_columns(self, v: Array) -> Array:
        """The product with the transpose."""

    @property
    def T(self) -> Transposed:
        """The transpose."""
        return Transposed(self)


class Transposed(Operator):
    """The transpose of a column operator."""

    def __init__(self, original: AsymmetricColumnOperator) -> None:
        super().__init__(original._layout, original.dtype)
        self._original = original

    @property
    def T(self) -> AsymmetricColumnOperator:
        """The original."""
        return self._original

    @np.errstate(all="ignore")
    def _apply(self, v: Array) -> Array:
        columns = self._original._apply_transposed_to_columns(self._layout.to_columns(v))
        return self._layout.from_columns(columns, like=v)

    def to_dense(self) -> Array:
        """Return the matrices as an array of shape ``(..., C, C)``."""
        return np.swapaxes(self._original.to_dense(), -1, -2)
