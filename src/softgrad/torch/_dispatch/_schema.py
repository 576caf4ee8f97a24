"""The adapter between `LossSpec` and torch's dispatcher, whose schemas take the options of the loss one by one."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad._loss_spec import LossSpec, Reduction

if TYPE_CHECKING:
    from collections.abc import Callable

# The dispatcher's kinds of the fields' types.
_KINDS = {"Reduction": "int", "int | None": "int?", "float": "float"}
_OPTIONS = [f"{_KINDS[str(field.type)]} {field.name}" for field in fields(LossSpec)]
_NAMES = [field.name for field in fields(LossSpec)]
_SPEC = "LossSpec spec"


class Schema(NamedTuple):
    """The arguments of an operator: whole, with one `LossSpec`, or flat, with its fields instead."""

    text: str  # of the flat arguments, as the dispatcher takes it
    tensors: int  # arguments that are tensors; they come first
    at: int | None  # where the specification is among the whole arguments

    @classmethod
    def of(cls, arguments: str) -> Schema:
        """The schema of arguments of which one may be ``LossSpec spec``."""
        listed = arguments.split(", ")
        text = arguments.replace(_SPEC, ", ".join(_OPTIONS))
        return cls(text, arguments.count("Tensor"), listed.index(_SPEC) if _SPEC in listed else None)

    def flat(self, whole: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments for the dispatcher."""
        at = self.at
        if at is None:
            return whole
        values = [getattr(whole[at], name) for name in _NAMES]
        options = [value.value if isinstance(value, Reduction) else value for value in values]
        return *whole[:at], *options, *whole[at + 1 :]

    def whole(self, flat: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments from the dispatcher."""
        at = self.at
        if at is None:
            return flat
        end = at + len(_NAMES)
        options = dict(zip(_NAMES, flat[at:end], strict=True))
        options["reduction"] = Reduction(options["reduction"])
        return *flat[:at], LossSpec(**options), *flat[end:]

    def taking_flat(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of whole arguments, for the dispatcher to call."""
        if self.at is None:
            return function
        return lambda *flat: function(*self.whole(flat))

    def vmap_taking_flat(self, vmap: Callable[..., Any]) -> Callable[..., Any]:
        """A rule of vmap for whole arguments, for the dispatcher to call."""
        at = self.at
        if at is None:
            return vmap
        end = at + len(_NAMES)
        return lambda info, in_dims, *flat: vmap(info, (*in_dims[:at], None, *in_dims[end:]), *self.whole(flat))
