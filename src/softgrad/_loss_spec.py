"""The options of the loss: one specification, checked where the user's call enters and passed whole to the kernel."""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict, TypeVar, get_type_hints

from softgrad import _validation
from softgrad._core import Reduction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "DEFAULT",
    "LossOptions",
    "LossPerRow",
    "LossSpec",
    "ReducedLoss",
    "Reduction",
    "ReductionName",
    "loss_spec",
    "per_row",
    "shows_loss_options",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """The options of the loss, except arrays (see `Targets`); `native/ops/loss_spec.h` has the same struct."""

    reduction: Reduction = Reduction.mean
    ignore_index: int | None = None
    label_smoothing: float = 0.0  # ε
    z_loss: float = 0.0  # ζ


DEFAULT = LossSpec()
ReductionName = Literal["mean", "sum", "none"]


class _Options(TypedDict, total=False):
    ignore_index: int | None
    label_smoothing: float
    z_loss: float


class LossOptions(_Options, total=False):
    """The options as the user writes them."""

    reduction: ReductionName


class ReducedLoss(_Options, total=False):
    """Options for which the loss is a single number."""

    reduction: Literal["mean", "sum"]


class LossPerRow(_Options, total=False):
    """Options for which the result is one loss per row."""

    reduction: Required[Literal["none"]]


def loss_spec(function: str, options: Mapping[str, Any]) -> LossSpec:
    """Check the options that a user has passed to a function."""
    if not options:
        return DEFAULT
    for name in options:
        if name not in _CHECKS:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}; its options are {', '.join(_CHECKS)}"
            )
    return LossSpec(**{name: _CHECKS[name](value) for name, value in options.items()})


def per_row(spec: LossSpec) -> LossSpec:
    """Leave the losses of the rows unreduced."""
    return replace(spec, reduction=Reduction.none)


def reduction(value: object) -> Reduction:
    """The reduction of the losses of all rows."""
    if not (isinstance(value, str) and value in Reduction.__members__):
        raise ValueError(f"reduction={value!r}; expected 'mean', 'sum' or 'none'")
    return Reduction[value]


def ignore_index(value: object) -> int | None:
    """The label of ignored rows, or None."""
    if value is None:
        return None
    try:
        index = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"ignore_index={value!r}; expected an integer or None") from None
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"ignore_index={value}; expected a 64-bit integer")
    return index


def label_smoothing(value: object) -> float:
    """A number from 0 to 1."""
    number = value if type(value) is float else _validation.real(value, "label_smoothing")
    if not 0 <= number <= 1:
        raise ValueError(f"label_smoothing={value}; expected a number from 0 to 1")
    return number


def z_loss(value: object) -> float:
    """A factor of the loss: 0, or within the range that the kernels' headroom allows."""
    return _validation.factor(value, "z_loss")


# In the order in which signatures show them.
_CHECKS: dict[str, Callable[[object], Any]] = {
    "ignore_index": ignore_index,
    "label_smoothing": label_smoothing,
    "z_loss": z_loss,
    "reduction": reduction,
}

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def shows_loss_options(function: _Function) -> _Function:
    """Show the options that a function takes as ``**options`` one by one in its signature."""
    signature = inspect.signature(function)
    *named, _ = signature.parameters.values()
    defaults = {field.name: field.default for field in fields(LossSpec)} | {"reduction": DEFAULT.reduction.name}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
        for name, annotation in get_type_hints(LossOptions).items()
    ]
    function.__signature__ = signature.replace(parameters=[*named, *options])  # type: ignore[attr-defined]
    return function
