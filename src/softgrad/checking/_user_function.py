"""Calls of the user's function, and the conversion of its results to arrays."""

from __future__ import annotations

import re
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._reference import Reference
    from softgrad.checking._setting import Setting

# One row of each argument, in advice.
_ROW = {"z": "row", "p": "row", "target": "t", "v": "u"}


class InvalidResultError(Exception):
    """The result cannot be compared; `cause` names the mistake if it is a known one."""

    def __init__(self, cause: str | None, explanation: str, advice: str) -> None:
        super().__init__(explanation)
        self.cause, self.explanation, self.advice = cause, explanation, advice


class Returned(NamedTuple):
    """The results of a call in float64, and the loss if it was returned before them."""

    results: tuple[Array, ...]
    loss: Array | None
    is_single: bool


class UserFunction(NamedTuple):
    """The function under test, and the function that it should be."""

    fn: Callable[..., object]
    name: str
    reference: Reference
    setting: Setting

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments, in reports."""
        return self.reference.names(self.setting)

    def of_one_vector(self) -> UserFunction:
        """The function as one that takes a vector."""
        spec = replace(self.setting.spec, reduction=Reduction.none)
        return self._replace(setting=replace(self.setting, spec=spec, batched=False))

    def call(self, batch: Batch) -> Returned:
        """Call fn on copies of its arguments; its exceptions propagate."""
        inputs = self.reference.inputs(batch)
        if self.setting.batched:
            returned = self._converted(self.fn(*inputs))
        else:
            rows = zip(*inputs, strict=True)
            returned = _stacked_rows([self._converted(self.fn(*row)) for row in rows])
        for name, array, kept in zip(self.names, inputs, self.reference.inputs(batch), strict=True):
            if not np.array_equal(array, kept):
                raise InvalidResultError(
                    "input changed in place",
                    f"The function writes into its argument {name}. The caller's array is changed, and the next step "
                    "computes with wrong numbers.",
                    f"work on a new array: {name} = {name}.copy(), or {name} = {name} - ... in place of {name} -= ...",
                )
        return returned

    def _converted(self, value: Any) -> Returned:
        loss = None
        if self.reference.loss is not None and isinstance(value, tuple) and len(value) == 2:
            loss, value = _as_array(value[0]).astype(np.float64), value[1]
        arrays = [_as_array(part) for part in self._parts(value)]
        is_single = all(array.dtype == np.float32 for array in arrays)
        return Returned(tuple(array.astype(np.float64) for array in arrays), loss, is_single)

    def _parts(self, value: Any) -> Sequence[Any]:
        stages = [part.stage for part in self.reference.parts]
        if not stages:
            return (value,)
        if isinstance(value, tuple | list) and len(value) == len(stages):
            return value
        received = f"{len(value)} results" if isinstance(value, tuple | list) else f"a {type(value).__name__}"
        expected = f"({', '.join(stages)})"
        raise InvalidResultError(None, f"The function returned {received}; expected {expected}.", f"return {expected}")

    def call_or_explain(self, batch: Batch) -> Returned:
        """Call fn; an exception that it raises becomes an explanation."""
        try:
            return self.call(batch)
        except InvalidResultError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise _explained(error, self, batch) from None


class Output(NamedTuple):
    """An output of the user's function: a result, or the loss that it returns before it."""

    function: UserFunction
    reference: Reference
    position: int | None  # of the result; None for the loss

    @property
    def noun(self) -> str:
        if self.position is None:
            return "loss"
        return self.reference.stage if self.function.reference.parts else "result"

    def of(self, returned: Returned) -> Array:
        if self.position is not None:
            return returned.results[self.position]
        if returned.loss is None:
            raise InvalidResultError(
                None,
                "The function returns (loss, gradient) for some inputs and the gradient alone for others.",
                "return the same kind of result for every input",
            )
        return returned.loss

    def at(self, batch: Batch) -> Array:
        return self.of(self.function.call(batch))


def _stacked_rows(rows: list[Returned]) -> Returned:
    """The results for single vectors as those of a batch."""
    try:
        results = tuple(np.stack(arrays) for arrays in zip(*(row.results for row in rows), strict=True))
        losses = [row.loss for row in rows if row.loss is not None]
        loss = np.stack(losses) if losses else None
    except ValueError:
        raise InvalidResultError(
            None,
            "The function returns arrays of different shapes for vectors of the same length.",
            "return the same shape for all inputs",
        ) from None
    return Returned(results, loss, all(row.is_single for row in rows))


def _as_array(value: Any) -> NDArray[Any]:
    if value is None:
        raise InvalidResultError("nothing returned", "The function returned None.", "end it with: return result")
    if isinstance(value, list | tuple):
        return _stacked(value)
    if callable(getattr(value, "to_dense", None)):
        value = value.to_dense()
    if type(value).__module__.partition(".")[0] == "torch":
        value = _from_torch(value)
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidResultError(
            None,
            "The function returned a masked array, whose masked entries are undefined.",
            "result.filled(0), or whatever the masked entries mean",
        )
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        return array
    raise _wrong_dtype(array)


def _stacked(values: list[Any] | tuple[Any, ...]) -> NDArray[Any]:
    try:
        return np.stack([_as_array(value) for value in values]) if values else np.zeros(0)
    except ValueError:
        raise InvalidResultError(
            None,
            f"The function returned a {type(values).__name__} of {len(values)} arrays of different shapes.",
            "return one array",
        ) from None


def _from_torch(value: Any) -> object:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype == "bfloat16":  # which NumPy lacks
        raise _half_precision(dtype)
    return value.detach().cpu().numpy()


def _wrong_dtype(array: NDArray[Any]) -> InvalidResultError:
    dtype = array.dtype
    if dtype.name in ("float16", "bfloat16"):
        return _half_precision(dtype.name)
    if dtype.kind in "iub":
        return InvalidResultError(
            "result in integers",
            f"The function returned {dtype.name}, which drops the fractional part. np.zeros_like(target) makes an "
            "array with the dtype of the labels, and truncates whatever is written into it.",
            "np.zeros(z.shape), or np.zeros_like(z): the dtype of the logits",
        )
    if dtype.kind == "c":
        return InvalidResultError(
            "result in complex numbers",
            f"The function returned {dtype.name}; the exact result is real.",
            "return result.real",
        )
    is_object = dtype.kind == "O" and array.ndim == 0
    received = f"a {type(array.item()).__name__}" if is_object else f"an array of dtype {dtype}"
    return InvalidResultError(
        None,
        f"The function returned {received}; expected an array of float64 or float32.",
        "np.asarray(result, dtype=np.float64)",
    )


def _half_precision(dtype: str) -> InvalidResultError:
    return InvalidResultError(
        None,
        f"The function returned {dtype}, whose two or three digits do not distinguish a mistake from rounding.",
        "check the formula in float64 or float32: do not cast to half precision within the function",
    )


def _explained(error: Exception, function: UserFunction, batch: Batch) -> InvalidResultError:
    """Explain an exception that the function raised: its place, and the likely reason."""
    package = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)]
    where = f" (line {frames[0].lineno} of {frames[0].filename})" if frames else ""
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")
    return InvalidResultError(None, f"The function raised {text}{where}.", _hint(str(error), function, batch))


def _hint(message: str, function: UserFunction, batch: Batch) -> str:
    names = ", ".join(function.names)
    if "argument" in message and "positional" in message:
        return f"it is called as fn({names}); wrap it: lambda {names}: ..."
    # Tensors' functions name the type; tensors' methods are missing from arrays. A number of NumPy is no such sign.
    if "ensor" in message or "'numpy.ndarray' object has no attribute" in message:
        converted = ", ".join(f"torch.from_numpy({name})" for name in function.names)
        return f"it is given NumPy arrays; wrap it: lambda {names}: fn({converted})"
    if batch.is_index and ("broadcast" in message or "shape" in message):
        return (
            "target holds class indices of shape (B,): make it one-hot with np.eye(z.shape[1])[target]\n"
            "an axis lost in a sum or maximum is kept with keepdims=True"
        )
    if shape := _shape_without_axis(message):
        lost = f"an array of shape {shape} has lost an axis in a sum or maximum: keep it with keepdims=True"
        return f"{lost}\n{_one_row_at_a_time(function, batch)}"
    if "target" in function.reference.arguments and not batch.is_index and "ind" in message:
        return (
            "target holds rows of class weights, shape (B, C); "
            'for integer labels check with target="index" (--target index)'
        )
    inputs = function.reference.inputs(batch)
    shapes = ", ".join(f"{name} of shape {array.shape}" for name, array in zip(function.names, inputs, strict=True))
    return f"call it on the same input to see why: {shapes}, in float64\n{_one_row_at_a_time(function, batch)}"


def _shape_without_axis(message: str) -> str | None:
    """The shape (B,) in NumPy's message on operands of shapes (B, C) and (B,)."""
    found = re.search(r"could not be broadcast.* \((\d+),(\d+)\) \((\d+),\)", message)
    return f"({found[3]},)" if found and found[1] == found[3] else None


def _one_row_at_a_time(function: UserFunction, batch: Batch) -> str:
    """How to check a function of a single row; nothing where that is not the reason."""
    if not function.setting.batched or function.setting.has_head:
        return ""
    return f"a function of a single row needs a loop over the rows:\n    {_row_by_row(function, batch)}"


def _row_by_row(function: UserFunction, batch: Batch) -> str:
    names = function.names
    rows = ", ".join(_ROW[name] for name in names)
    arrays = f"zip({', '.join(names)})" if len(names) > 1 else names[0]
    calls = f"fn({rows}) for {rows} in {arrays}"
    whole = f"np.stack([{calls}])" if function.reference.exact(batch).ndim else f"sum({calls})"
    return f"{whole} / len({names[0]})" if batch.setting.spec.reduction is Reduction.mean else whole
