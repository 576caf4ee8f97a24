"""Checks of users' arguments (JAX and NumPy arrays, numbers, tracers) while a function is traced."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from softgrad import _loss_spec, _validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from softgrad._loss_spec import LossSpec

_FLOATING = "float16, bfloat16, float32 or float64"


def loss_spec(function: str, options: Mapping[str, Any]) -> LossSpec:
    """Check the options of a loss, which must be static numbers."""
    for name, value in options.items():
        static(value, name)
    return _loss_spec.loss_spec(function, options)


def static(value: Any, name: str) -> None:
    """Refuse an array as an option, which is part of the program."""
    if isinstance(value, jax.Array):
        kind = "traced" if isinstance(value, jax.core.Tracer) else "a jax.Array"
        raise TypeError(
            f"{name} is {kind}; expected a static Python number; write jax.jit(…, static_argnames={name!r}), or "
            f"pass {name}.item() from outside of the transform"
        )


def logits(value: Any, name: str = "logits") -> jax.Array:
    """Logits in one of the dtypes of the kernels; integers are converted as JAX converts them."""
    array = as_array(value, name)
    if jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == jnp.bool_:
        return array.astype(jnp.result_type(float))
    return floating(array, name)


def floating(value: Any, name: str) -> jax.Array:
    """An array in one of the dtypes of the kernels."""
    array = as_array(value, name)
    if array.dtype not in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; expected {_FLOATING}; write {name}.astype(jnp.float32)")
    return array


def as_array(value: Any, name: str) -> jax.Array:
    """Convert a value to a JAX array."""
    if isinstance(value, jax.Array):
        return value
    if _validation.is_masked(value):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; write {name}.filled(…)")
    if isinstance(value, list | tuple) and not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name} is no array: {error}") from None
    if isinstance(value, np.ndarray):
        value = _saturated(value.astype(value.dtype.newbyteorder("="), copy=False))
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError):
        kind = f"has dtype {value.dtype}" if isinstance(value, np.ndarray) else f"is a {type(value).__name__}"
        raise TypeError(f"{name} {kind}; expected an array of numbers; write jnp.asarray({name})") from None


def _saturated(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array of integers in the dtype that JAX has for it: with 32 bits a label of 2³² would become class 0."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype) if array.dtype.kind in "iu" else array.dtype
    if dtype == array.dtype:
        return array
    return np.clip(array, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def mask(value: Any, shape: tuple[int, ...], name: str = "where") -> jax.Array:
    """A mask that can be broadcast to a shape."""
    array = as_array(value, name)
    if array.dtype != jnp.bool_:
        raise TypeError(f"{name} has dtype {array.dtype}; expected bool; write {name}.astype(bool)")
    if array.ndim > len(shape) or any(
        n not in (1, size) for n, size in zip(array.shape[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(f"{name} has shape {array.shape}; expected one that can be broadcast to {shape}")
    return array


def one_axis(axis: Any, ndim: int) -> int:
    """An axis counted from the front."""
    try:
        if isinstance(axis, bool):
            raise TypeError
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis={axis!r}; expected an integer") from None
    if not ndim:
        raise ValueError(f"axis={axis}; expected an array with at least one axis, of classes, not a scalar")
    if not -ndim <= index < ndim:
        raise ValueError(f"axis={axis}; expected from {-ndim} to {ndim - 1} for an array with {ndim} axes")
    return index % ndim


def axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis, several, or for None all, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    found = tuple(one_axis(a, ndim) for a in (axis if isinstance(axis, tuple | list) else (axis,)))
    if len(set(found)) != len(found):
        raise ValueError(f"axis={axis!r} names an axis twice; name every axis once")
    return found


class ClassesLast(NamedTuple):
    """Arrays of one shape with the axes of the classes moved to the end, as one axis."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def move(self, array: jax.Array) -> jax.Array:
        """Broadcast an array to the shape, and move its classes to the last axis."""
        moved = jnp.moveaxis(jnp.broadcast_to(array, self.shape), self.axes, self._last())
        return moved.reshape(*self._rows(), math.prod(self._classes()))

    def move_back(self, array: jax.Array) -> jax.Array:
        """Restore the shape of an array with the classes on its last axis."""
        return jnp.moveaxis(array.reshape(*self._rows(), *self._classes()), self._last(), self.axes)

    def _last(self) -> tuple[int, ...]:
        return tuple(range(-len(self.axes), 0))

    def _rows(self) -> tuple[int, ...]:
        return tuple(n for i, n in enumerate(self.shape) if i not in self.axes)

    def _classes(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.axes)


def target(value: Any, logits: jax.Array, axis: int, spec: LossSpec) -> jax.Array:
    """Labels, one for each row, or class probabilities with the classes last."""
    y = as_array(value, "target")
    rows = (*logits.shape[:axis], *logits.shape[axis + 1 :])
    if jnp.issubdtype(y.dtype, jnp.integer):
        if y.shape != rows:
            raise ValueError(
                f"target has shape {y.shape} beside logits of shape {logits.shape}; expected {rows}, one class index "
                f"for each row, or a floating dtype and shape {logits.shape} for class probabilities"
            )
        return labels(y)
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise TypeError(f"target has dtype {y.dtype}; expected an integer dtype, or a floating one for probabilities")
    floating(y, "target")
    if y.shape != logits.shape:
        raise ValueError(
            f"target has dtype {y.dtype} and shape {y.shape}; expected {logits.shape}, that of logits, for class "
            f"probabilities; write target.astype(int) for class indices"
        )
    if spec.ignore_index is not None:
        raise ValueError(
            f"ignore_index={spec.ignore_index} needs class indices, but target holds class probabilities; set the rows "
            "to drop to zeros instead"
        )
    return jnp.moveaxis(y, axis, -1)


def labels(y: jax.Array) -> jax.Array:
    """Convert labels to a dtype that the handlers read; those beyond it become its largest number."""
    if y.dtype in (jnp.int32, jnp.int64):
        return y
    wide = jnp.iinfo(jnp.result_type(int))
    if jnp.iinfo(y.dtype).max > wide.max:
        y = jnp.minimum(y, jnp.asarray(wide.max, y.dtype))
    return y.astype(wide.dtype)


def loss_dtype(dtype: Any) -> Any:
    """Return the dtype of losses: float64 for float64 logits, otherwise float32."""
    return np.dtype(np.float64 if dtype == jnp.float64 else np.float32)


def class_weight(value: Any, classes: int, like: jax.Array) -> jax.Array:
    """One weight for each class in the dtype of a loss; an empty array for None. Values are checked unless traced."""
    dtype = loss_dtype(like.dtype)
    if value is None:
        return jnp.zeros(0, dtype)
    weight = as_array(value, "weight")
    if not jnp.issubdtype(weight.dtype, jnp.integer):
        floating(weight, "weight")
    if weight.shape != (classes,):
        raise ValueError(f"weight has shape {weight.shape}; expected ({classes},), one weight for each class")
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        _validation.class_weight(np.asarray(value, np.float64), classes, "jax.cross_entropy")
    return weight.astype(dtype)
