"""Checks of the arguments of the NumPy functions: TypeError for types, ValueError or IndexError for values.

Every function returns its argument in the form that the kernels expect. All arguments of a call are checked
before anything is written.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from softgrad import _core
from softgrad._core import DType

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from softgrad._typing import Array

_DTYPES: dict[np.dtype[Any], DType] = {
    np.dtype(np.float16): DType.float16,
    np.dtype(np.float32): DType.float32,
    np.dtype(np.float64): DType.float64,
}
# Beyond, products with the tails of a softmax would leave the range of their headroom (native/math/scale.h).
_LEAST_FACTOR, _LARGEST_FACTOR = 1e-15, 1e15
_OF_TORCH = {"softmax", "log_softmax", "logsumexp", "cross_entropy", "linear_cross_entropy"}


def kernel_dtype(dtype: np.dtype[Any]) -> DType:
    """The kernels' name of a dtype in native byte order; KeyError if they do not support it."""
    if dtype not in _DTYPES and dtype.name == "bfloat16":  # NumPy takes 4 µs for a name
        _DTYPES[dtype] = DType.bfloat16
    return _DTYPES[dtype]


def as_buffer(array: Array) -> Array:
    """An array that exports a buffer: bfloat16 of ml_dtypes does not, so its bits are viewed as uint16."""
    return array.view(np.uint16) if kernel_dtype(array.dtype) is DType.bfloat16 else array


def logits(value: ArrayLike, function: str, name: str = "logits") -> tuple[Array, DType]:
    """A floating-point array in native order, and the kernels' name of its dtype; integers become float64."""
    array = value if type(value) is np.ndarray else _as_array(value, function, name)
    dtype = _DTYPES.get(array.dtype)
    if dtype is None:
        array, dtype = _as_floating(array, name)
    return (array if array.flags.aligned else array.copy()), dtype


def _as_array(value: object, function: str, name: str) -> Array:
    package = type(value).__module__.partition(".")[0]
    if package == "torch":
        instead = f"or use softgrad.torch.{function}" if function in _OF_TORCH else "see softgrad.torch for tensors"
        _reject_tensor(value, function, name, f"{name}.numpy(force=True), {instead}")
    if package in ("jax", "jaxlib"):
        _reject_tensor(value, function, name, f"numpy.asarray({name})")
    if is_masked(value):
        fill = (
            "-numpy.inf) to give the masked classes probability 0" if name == "logits" else "...) to say what it means"
        )
        raise TypeError(
            f"{name} is a masked array, whose mask softgrad.{function} would lose; write {name}.filled({fill}"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None


def is_masked(value: object) -> bool:
    """Whether this is a masked array, or a list of some (numpy.ma.masked is one)."""
    if isinstance(value, list | tuple):
        return any(isinstance(element, np.ma.MaskedArray) for element in value)
    return isinstance(value, np.ma.MaskedArray)


def _reject_tensor(value: object, function: str, name: str, instead: str) -> NoReturn:
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    raise TypeError(f"{name} is a {kind}; softgrad.{function} takes NumPy arrays: write {instead}")


def _as_floating(array: Array, name: str) -> tuple[Array, DType]:
    if array.dtype.kind in "iub":
        return array.astype(np.float64), DType.float64
    native = array.dtype.newbyteorder("=")
    try:
        dtype = kernel_dtype(native)
    except KeyError:
        raise TypeError(
            f"{name} has dtype {array.dtype}; expected float16, bfloat16, float32, float64 or integers; "
            f"write {name}.astype(numpy.float64) if that is what the values mean"
        ) from None
    return array.astype(native, copy=False), dtype


def class_axis(axis: object, ndim: int) -> int:
    """The axis of the classes, counted from the front; a scalar counts as having one axis."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis + ndim if axis < 0 else axis
    try:
        index = operator.index(axis)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"axis={axis!r}; expected an integer") from None
    if not -max(ndim, 1) <= index < max(ndim, 1):
        raise np.exceptions.AxisError(index, ndim)
    return index % max(ndim, 1)


def reduced_axes(axis: object, ndim: int) -> tuple[int, ...]:
    """The axes to reduce, in order, as in SciPy: an integer, several, or None for all."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(class_axis(a, ndim) for a in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis={axis!r} names an axis twice; name every axis once")
    return tuple(sorted(axes)) if ndim else ()


def out(value: object, like: Array, shape: tuple[int, ...], name: str = "logits") -> Array:
    """An array for results: of the right shape and dtype, writable, not overlapping the input."""
    if is_masked(value):
        raise TypeError("out is a masked array, whose mask would not change; write out.data")
    if not isinstance(value, np.ndarray):
        raise TypeError(f"out is a {type(value).__name__}; expected a NumPy array of shape {shape} and {like.dtype}")
    if value.shape != shape:
        raise ValueError(
            f"out has shape {value.shape}; expected {shape}; write numpy.empty({shape}, {str(like.dtype)!r})"
        )
    if value.dtype != like.dtype:
        raise TypeError(f"out has dtype {value.dtype}; expected {like.dtype}, the dtype of the result")
    if not value.flags.writeable:
        raise ValueError("out is read-only; pass a writable array")
    if not value.flags.aligned:
        raise ValueError("out is not aligned to its dtype; pass an array from numpy.empty")
    if value is not like and _overlap(value, like) and not _same_memory(value, like):
        raise ValueError(f"out overlaps {name} without being the same array; pass {name} itself, or separate memory")
    return value


def direction(value: ArrayLike, z: Array, function: str) -> Array:
    """One vector per row of logits z, of their shape and dtype."""
    array = _of_dtype(value, z.dtype, function, "v")
    if array.shape != z.shape:
        raise ValueError(f"v has shape {array.shape}; expected {z.shape}, the shape of logits: one vector for each row")
    same_dtype(z, "logits", array, "v")
    return array


def operand(value: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], function: str, name: str = "v") -> Array:
    """The right operand of an operator: one vector for each row, or a block of them, in the wider of the two dtypes."""
    array = _of_dtype(value, dtype, function, name)
    if array.shape != shape and array.shape[:-1] != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; expected {shape}, the shape of the logits (one vector for each row), or "
            f"({''.join(f'{n}, ' for n in shape)}K) for a block of K vectors"
        )
    wide = np.result_type(dtype, np.float32 if array.dtype.itemsize < 4 else array.dtype)
    return array.astype(wide, copy=False)


def _of_dtype(value: ArrayLike, dtype: np.dtype[Any], function: str, name: str) -> Array:
    """A floating-point array; numbers without such a dtype of their own (lists, integers) take the one given."""
    floating = isinstance(getattr(value, "dtype", None), np.dtype) and np.asarray(value).dtype.kind not in "iub"
    array, _ = logits(value, function, name)
    return array if floating else array.astype(dtype, copy=False)


def damping(value: object) -> float:
    """A positive number to add to a diagonal."""
    number = real(value, "damping")
    if not 0 < number < np.inf:
        raise ValueError(
            f"damping={value}; expected a positive finite number: without damping the matrix is singular; for the "
            "solution of least norm write .pinv() @ b"
        )
    return number


def damped(a: Array, p: Array, damping: float) -> None:
    """Refuse damping too small for a Hessian that z-loss has made indefinite."""
    short = a * p.max(axis=1) + damping <= 0
    if short.any():
        row = int(short.argmax())
        raise ValueError(
            f"damping={damping}; row {row} of the Hessian is indefinite, for z_loss makes its factor M + 2 ζ lse(z) "
            f"negative; expected damping above {-a[row] * p[row].max():g}"
        )


def semidefinite(a: Array, method: str) -> None:
    """Refuse the factors of a Hessian that z-loss has made indefinite."""
    negative = (a < 0) & np.isfinite(a)
    if negative.any():
        row = int(negative.argmax())
        raise ValueError(
            f"{method}() of an indefinite matrix: z_loss makes the factor M + 2 ζ lse(z) of row {row} {a[row]:g}; "
            "expected at least 0; write eigh() or solve(b, damping) instead"
        )


def _overlap(a: Array, b: Array) -> bool:
    # Two arrays that own their memory have none in common; asking NumPy takes longer than a small softmax.
    return not (a.base is None and b.base is None and a is not b) and np.may_share_memory(a, b)


def _same_memory(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


def separate(name: str, value: Array, out: Array, allowed: str = "logits") -> None:
    """Reject a result that would overwrite an input while it is still being read."""
    if _overlap(value, out):
        raise ValueError(f"out shares memory with {name}; pass {allowed} itself, or separate memory")


def target(value: ArrayLike, shape: tuple[int, ...], axis: int, function: str) -> tuple[Array | None, Array | None]:
    """Class indices as int64, or class probabilities as float32 or float64, for logits of a shape."""
    array = value if type(value) is np.ndarray else _as_array(value, function, "target")
    row_shape = shape[:axis] + shape[axis + 1 :]
    kind = array.dtype.kind
    if kind in "iu":
        if array.shape != row_shape:
            _reject_index_shape(array, shape, row_shape)
        if kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise IndexError(f"target holds {array.max()}; expected class indices below {shape[axis]}")
        return np.ascontiguousarray(array, np.int64), None
    if kind == "f" or array.dtype.name == "bfloat16":
        if array.shape != shape:
            raise ValueError(
                f"target has shape {array.shape} and dtype {array.dtype}; class probabilities need the shape of "
                f"logits, {shape}; for class indices of shape {row_shape} write target.astype(numpy.int64)"
            )
        wide = np.dtype(np.float64 if array.dtype.itemsize > 4 else np.float32)
        if array.dtype.itemsize > 8:
            raise TypeError(f"target has dtype {array.dtype}; expected float64 or narrower")
        probabilities = array.astype(wide, copy=not array.flags.aligned)
        return None, probabilities
    raise TypeError(
        f"target has dtype {array.dtype}; expected class indices (an integer dtype, shape {row_shape}) or class "
        f"probabilities (a floating dtype, shape {shape})"
    )


def _reject_index_shape(array: Array, shape: tuple[int, ...], row_shape: tuple[int, ...]) -> NoReturn:
    hint = f"one index per row, shape {row_shape}"
    if array.shape == shape:
        hint += "; for one-hot rows or probabilities write target.astype(numpy.float64)"
    raise ValueError(
        f"target has shape {array.shape} and dtype {array.dtype} beside logits of shape {shape}; expected {hint}"
    )


def class_weight(value: ArrayLike | None, classes: int, function: str, *, signed: bool = False) -> Array | None:
    """One float64 weight per class; for PyTorch weights may be negative."""
    if value is None:
        return None
    array = _as_array(value, function, "weight")
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"weight has dtype {array.dtype}; expected real numbers, one for each of the {classes} classes")
    if array.shape != (classes,):
        raise ValueError(f"weight has shape {array.shape}; expected ({classes},), one weight for each class")
    array = np.ascontiguousarray(array, np.float64)
    size = abs(array) if signed else array
    bad = ~((size == 0) | ((size >= _LEAST_FACTOR) & (size <= _LARGEST_FACTOR)))
    if bad.any():
        first = int(bad.argmax())
        magnitude = " in magnitude" if signed else ""
        raise ValueError(
            f"weight[{first}] is {array[first]}; expected 0, or a weight from {_LEAST_FACTOR:g} to "
            f"{_LARGEST_FACTOR:g}{magnitude}"
        )
    return array


def non_negative(value: object, name: str) -> float:
    """A finite number of at least 0."""
    number = real(value, name)
    if not 0 <= number < np.inf:
        raise ValueError(f"{name}={value}; expected a finite number of at least 0")
    return number


def factor(value: object, name: str) -> float:
    """A number that multiplies a loss: 0, or within the range that the kernels' headroom allows."""
    number = value if type(value) is float else real(value, name)
    if number != 0 and not _LEAST_FACTOR <= number <= _LARGEST_FACTOR:
        raise ValueError(f"{name}={value}; expected 0, or a number from {_LEAST_FACTOR:g} to {_LARGEST_FACTOR:g}")
    return number


def real(value: object, name: str) -> float:
    """A number."""
    try:
        if isinstance(value, str):  # which float() would read
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}={value!r}; expected a number") from None


def class_count(shape: tuple[int, ...], axis: int) -> int:
    """The number of classes, at least one."""
    if not shape:
        raise ValueError("logits is a scalar; expected at least one axis, of classes; write [logits]")
    if shape[axis] == 0:
        raise ValueError(f"logits has shape {shape}: no classes along axis {axis}; expected at least one")
    return shape[axis]


def no_ignore_index(index: int | None) -> None:
    """Reject `ignore_index` with class probabilities."""
    if index is not None:
        raise ValueError(
            f"ignore_index={index} needs class indices, but target holds class probabilities; "
            "set the rows to drop to zeros instead"
        )


def reject_label(indices: Any, row: int, classes: int) -> NoReturn:
    """Raise an error that names the row, counted along all axes, whose label is not a class."""
    position = tuple(int(i) for i in np.unravel_index(row, indices.shape))
    where = f"target[{', '.join(map(str, position))}]" if position else "target"
    label = int(indices[position])
    hint = f"; to drop such rows write ignore_index={label}" if label < 0 else ""
    raise IndexError(f"{where} is {label}; expected a class index from 0 to {classes - 1}{hint}")


def probabilities(probs: Array, axis: int) -> None:
    """Refuse negative and infinite class probabilities."""
    row = _core.check_probabilities(probs, _DTYPES[probs.dtype], axis)
    if row >= 0:
        rows = np.moveaxis(probs, axis, -1).reshape(-1, probs.shape[axis])
        values = rows[row]
        column = int(((values < 0) | np.isposinf(values)).argmax())
        raise ValueError(
            f"target holds {values[column]} for class {column} in row {row}; "
            "expected finite class probabilities of at least 0"
        )


def threads(value: object) -> int:
    """A number of threads, at least one."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"n={value!r}; expected a positive integer, or None for the default") from None
    if not 1 <= count < 2**31:
        raise ValueError(f"n={count}; expected a positive integer below 2**31, or None for the default")
    return count


def matrix(value: ArrayLike, name: str, function: str) -> Array:
    """A floating-point matrix for the linear head."""
    array, dtype = logits(value, function, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; expected two axes")
    if dtype not in (DType.float32, DType.float64):
        raise TypeError(
            f"{name} has dtype {array.dtype}; expected float32 or float64; write {name}.astype(numpy.float32)"
        )
    return array


def linear_head(x: Array, weights: Array, bias: Array | None) -> None:
    if x.shape[1] != weights.shape[1]:
        raise ValueError(
            f"x has shape {x.shape} and W {weights.shape}; expected x of shape (N, D) and W of shape (C, D): "
            f"logits = x @ W.T; write W.T if W is (D, C)"
        )
    if weights.shape[0] == 0:
        raise ValueError(f"W has shape {weights.shape}: no classes; expected at least one row")
    same_dtype(x, "x", weights, "W")
    if bias is not None:
        if bias.shape != weights.shape[:1]:
            raise ValueError(f"bias has shape {bias.shape}; expected {weights.shape[:1]}, one value for each class")
        same_dtype(x, "x", bias, "bias")


def softcap(value: float | None) -> float:
    """The bound of cap · tanh(logits / cap); 0 for None."""
    if value is None:
        return 0.0
    cap = real(value, "softcap")
    if not 0 < cap < math.inf:
        raise ValueError(f"softcap={value}; expected a positive number or None")
    return cap


def chunk_rows(value: int | None) -> int:
    """The number of rows whose logits are in memory at a time; 0 for None: as many as fit."""
    if value is None:
        return 0
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"chunk_rows={value!r}; expected a positive integer or None") from None
    if count < 1:
        raise ValueError(f"chunk_rows={value}; expected a positive integer or None")
    return count


def linear_direction(value: ArrayLike, weights: Array, bias: Array | None, function: str) -> Array:
    """A direction in W, of its shape; with a bias it may have a last column for it."""
    array = matrix(value, "V", function)
    classes, features = weights.shape
    with_bias = bias is not None and array.shape == (classes, features + 1)
    if array.shape != weights.shape and not with_bias:
        wider = f", or {(classes, features + 1)} with a last column for bias" if bias is not None else ""
        raise ValueError(f"V has shape {array.shape}; expected {weights.shape}, the shape of W{wider}")
    same_dtype(weights, "W", array, "V")
    return array


def same_dtype(a: Array, a_name: str, b: Array, b_name: str) -> None:
    if a.dtype != b.dtype:
        raise TypeError(
            f"{a_name} has dtype {a.dtype} and {b_name} {b.dtype}; expected one dtype; "
            f"write {b_name}.astype({a_name}.dtype)"
        )
