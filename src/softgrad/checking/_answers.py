"""Calling the user's function, and what its answer must be before its numbers count."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._kinds import Kind
    from softgrad.checking._probes import Probe

    Array = NDArray[Any]


# One row of each argument, in advice.
_ROW = {"z": "row", "target": "t", "v": "u"}


class BrokenContractError(Exception):
    """The answer is none that can be compared: `cause` names the mistake where it is known to be one."""

    def __init__(self, cause: str | None, explanation: str, advice: str) -> None:
        super().__init__(explanation)
        self.cause, self.explanation, self.advice = cause, explanation, advice


class Answer(NamedTuple):
    """What fn returned: the array, the loss before it if it came as a pair, and its precision."""

    array: Array
    loss: Array | None
    is_single: bool


def ask(fn: Callable[..., Any], kind: Kind, probe: Probe) -> Answer:
    """Call fn on copies; its exceptions pass through."""
    arguments = kind.arguments(probe)
    value = fn(*arguments)
    for name, given, before in zip(kind.names, arguments, kind.arguments(probe), strict=True):
        if not np.array_equal(given, before):
            raise BrokenContractError(
                "input changed in place",
                f"The function writes into its argument {name}. The caller's array is not "
                "the same afterwards, and the next step computes with wrong numbers.",
                "z = z - z.max(axis=1, keepdims=True) makes a new array; z -= ... changes the caller's",
            )
    loss = None
    if kind.may_return_loss and isinstance(value, tuple) and len(value) == 2:
        loss, value = _as_array(value[0]), value[1]
    array = _as_array(value)
    is_single = array.dtype == np.float32
    return Answer(array.astype(np.float64), None if loss is None else loss.astype(np.float64), is_single)


def _as_array(value: Any) -> Array:
    if value is None:
        raise BrokenContractError("nothing returned", "The function returned None.", "end it with: return result")
    if isinstance(value, list | tuple):
        return _stacked(value)
    if callable(getattr(value, "to_dense", None)):
        value = value.to_dense()
    if type(value).__module__.partition(".")[0] == "torch":
        value = _from_torch(value)
    if isinstance(value, np.ma.MaskedArray):
        raise BrokenContractError(
            None,
            "The function returned a masked array, and the numbers under the mask are undefined.",
            "result.filled(0), or whatever the masked entries mean",
        )
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        return array
    raise _wrong_dtype(array)


def _stacked(values: list[Any] | tuple[Any, ...]) -> Array:
    try:
        return np.stack([_as_array(value) for value in values]) if values else np.zeros(0)
    except ValueError:
        raise BrokenContractError(
            None,
            f"The function returned a {type(values).__name__} of {len(values)} arrays of different shapes.",
            "return one array",
        ) from None


def _from_torch(value: Any) -> object:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype == "bfloat16":  # which NumPy lacks
        raise _half_precision(dtype)
    return value.detach().cpu().numpy()


def _wrong_dtype(array: Array) -> BrokenContractError:
    dtype = array.dtype
    if dtype.name in ("float16", "bfloat16"):
        return _half_precision(dtype.name)
    if dtype.kind in "iub":
        return BrokenContractError(
            "result in integers",
            f"The function returned {dtype.name}, and whatever stood behind the decimal point is lost. An array made "
            "by np.zeros_like(target) has the dtype of the labels, and cuts off what is written into it.",
            "np.zeros(z.shape), or np.zeros_like(z): the dtype of the logits",
        )
    if dtype.kind == "c":
        return BrokenContractError(
            "result in complex numbers",
            f"The function returned {dtype.name}; the answer is real.",
            "return result.real",
        )
    return BrokenContractError(
        None,
        f"The function returned {_described(array)}; expected an array of float64 or float32.",
        "np.asarray(result, dtype=np.float64)",
    )


def _described(array: Array) -> str:
    if array.dtype.kind == "O" and array.ndim == 0:
        return f"a {type(array.item()).__name__}"
    return f"an array of dtype {array.dtype}"


def _half_precision(dtype: str) -> BrokenContractError:
    return BrokenContractError(
        None,
        f"The function returned {dtype}, whose three digits or fewer do not tell a mistake from rounding.",
        "check the formula in float64 or float32: do not cast to half precision within the function",
    )


def describe_exception(error: Exception, kind: Kind, probe: Probe) -> BrokenContractError:
    """What to say of a function that raised: where, and what the likely reason is."""
    package = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)]
    where = f" (line {frames[0].lineno} of {frames[0].filename})" if frames else ""
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")
    return BrokenContractError(None, f"The function raised {text}{where}.", _hint(str(error), kind, probe))


def _hint(message: str, kind: Kind, probe: Probe) -> str:
    given = ", ".join(kind.names)
    if "argument" in message and "positional" in message:
        return f"it is called as fn({given}); wrap it: lambda {given}: ..."
    if any(word in message for word in ("ndarray", "Tensor", "tensor", "'numpy.")):
        converted = ", ".join(f"torch.from_numpy({name})" for name in kind.names)
        return f"it is given NumPy arrays; wrap it: lambda {given}: fn({converted})"
    if probe.labels is not None and ("broadcast" in message or "shape" in message):
        return "target holds class indices of shape (B,): make it one-hot with np.eye(z.shape[1])[target]"
    if kind.second == "target" and probe.labels is None and "ind" in message:
        return (
            "target holds rows of class weights, shape (B, C); "
            'for integer labels check with target="index" (--target index)'
        )
    shapes = ", ".join(f"{name} of shape {a.shape}" for name, a in zip(kind.names, kind.arguments(probe), strict=True))
    return (
        f"call it on the same input to see why: {shapes}, in float64\n"
        f"a function of a single row needs a loop over the rows:\n    {_row_by_row(kind, probe)}"
    )


def _row_by_row(kind: Kind, probe: Probe) -> str:
    rows = ", ".join(_ROW[name] for name in kind.names)
    batch = f"zip({', '.join(kind.names)})" if len(kind.names) > 1 else kind.names[0]
    calls = f"fn({rows}) for {rows} in {batch}"
    whole = f"np.stack([{calls}])" if kind.right(probe).ndim else f"sum({calls})"
    return f"{whole} / len(z)" if probe.spec.reduction is Reduction.mean else whole
