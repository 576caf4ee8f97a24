"""Calls of the user's function, and the conversion of its results to arrays."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec
    from softgrad.checking._batches import Array, Batch, Target
    from softgrad.checking._reference import Reference

# One row of each argument, in advice.
_ROW = {"z": "row", "target": "t", "v": "u"}


class InvalidResultError(Exception):
    """The result cannot be compared; `cause` names the mistake if it is a known one."""

    def __init__(self, cause: str | None, explanation: str, advice: str) -> None:
        super().__init__(explanation)
        self.cause, self.explanation, self.advice = cause, explanation, advice


class Returned(NamedTuple):
    """The result of a call in float64, and the loss if they were returned as a pair (loss, result)."""

    result: Array
    loss: Array | None
    is_single: bool


class UserFunction(NamedTuple):
    """The function under test, and the function that it should be."""

    fn: Callable[..., object]
    name: str
    reference: Reference
    target: Target
    spec: LossSpec

    def call(self, batch: Batch) -> Returned:
        """Call fn on copies of its arguments; its exceptions propagate."""
        inputs = self.reference.inputs(batch)
        value = self.fn(*inputs)
        for name, array in zip(self.reference.arguments, inputs, strict=True):
            if not np.array_equal(array, batch.argument(name)):
                raise InvalidResultError(
                    "input changed in place",
                    f"The function writes into its argument {name}. The caller's array is changed, and the next step "
                    "computes with wrong numbers.",
                    "z = z - z.max(axis=1, keepdims=True) makes a new array; z -= ... changes the caller's",
                )
        loss = None
        if self.reference.loss is not None and isinstance(value, tuple) and len(value) == 2:
            loss, value = _as_array(value[0]).astype(np.float64), value[1]
        array = _as_array(value)
        return Returned(array.astype(np.float64), loss, array.dtype == np.float32)

    def call_or_explain(self, batch: Batch) -> Returned:
        """Call fn; an exception that it raises becomes an explanation."""
        try:
            return self.call(batch)
        except InvalidResultError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise _explained(error, self.reference, batch) from None


class Output(NamedTuple):
    """An output of the user's function: the result, or the loss that it returns with it."""

    function: UserFunction
    reference: Reference
    is_loss: bool

    @property
    def noun(self) -> str:
        return "loss" if self.is_loss else "result"

    def of(self, returned: Returned) -> Array:
        if not self.is_loss:
            return returned.result
        if returned.loss is None:
            raise InvalidResultError(
                None,
                "The function returns (loss, gradient) for some inputs and the gradient alone for others.",
                "return the same kind of result for every input",
            )
        return returned.loss

    def at(self, batch: Batch) -> Array:
        return self.of(self.function.call(batch))


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


def _explained(error: Exception, reference: Reference, batch: Batch) -> InvalidResultError:
    """Explain an exception that the function raised: its place, and the likely reason."""
    package = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)]
    where = f" (line {frames[0].lineno} of {frames[0].filename})" if frames else ""
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")
    return InvalidResultError(None, f"The function raised {text}{where}.", _hint(str(error), reference, batch))


def _hint(message: str, reference: Reference, batch: Batch) -> str:
    names = ", ".join(reference.arguments)
    if "argument" in message and "positional" in message:
        return f"it is called as fn({names}); wrap it: lambda {names}: ..."
    if any(word in message for word in ("ndarray", "Tensor", "tensor", "'numpy.")):
        converted = ", ".join(f"torch.from_numpy({name})" for name in reference.arguments)
        return f"it is given NumPy arrays; wrap it: lambda {names}: fn({converted})"
    if batch.labels is not None and ("broadcast" in message or "shape" in message):
        return "target holds class indices of shape (B,): make it one-hot with np.eye(z.shape[1])[target]"
    if "target" in reference.arguments and batch.labels is None and "ind" in message:
        return (
            "target holds rows of class weights, shape (B, C); "
            'for integer labels check with target="index" (--target index)'
        )
    shapes = ", ".join(f"{name} of shape {batch.argument(name).shape}" for name in reference.arguments)
    return (
        f"call it on the same input to see why: {shapes}, in float64\n"
        f"a function of a single row needs a loop over the rows:\n    {_row_by_row(reference, batch)}"
    )


def _row_by_row(reference: Reference, batch: Batch) -> str:
    names = reference.arguments
    rows = ", ".join(_ROW[name] for name in names)
    arrays = f"zip({', '.join(names)})" if len(names) > 1 else names[0]
    calls = f"fn({rows}) for {rows} in {arrays}"
    whole = f"np.stack([{calls}])" if reference.exact(batch).ndim else f"sum({calls})"
    return f"{whole} / len(z)" if batch.spec.reduction is Reduction.mean else whole
