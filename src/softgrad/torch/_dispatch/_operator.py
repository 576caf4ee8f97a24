"""Custom operators of torch's dispatcher, in ``torch.ops.softgrad``; eager calls bypass it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import forward_ad

from softgrad.torch._dispatch import _torch_internals
from softgrad.torch._dispatch._schema import Schema
from softgrad.torch._dispatch._torch_internals import recording
from softgrad.torch._kernels import can_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

_LIBRARY = torch.library.Library("softgrad", "DEF")


class CustomOperator:
    """A function of tensors with a kernel, a shape and derivatives.

    All of them take the arguments whole, with one `LossSpec`; for the dispatcher `Schema` takes it apart. Tensors come
    first.
    """

    def __init__(
        self,
        name: str,
        arguments: str,
        shape: Callable[..., Any],
        kernel: Callable[..., Any],
        result: str = "Tensor",
    ) -> None:
        self._name, self._kernel = name, kernel
        self._schema = schema = Schema.of(arguments)
        self.tensors = schema.tensors
        self._recorded: Callable[..., Any]
        _LIBRARY.define(f"{name}({schema.text}) -> {result}", tags=torch.Tag.pt2_compliant_tag)
        _LIBRARY.impl(name, schema.taking_flat(kernel), "CompositeExplicitAutograd")  # of every device
        torch.library.register_fake(f"softgrad::{name}", schema.taking_flat(shape), lib=_LIBRARY)
        self._registered = getattr(torch.ops.softgrad, name).default
        self._dispatched: Callable[..., Any] = self._through_dispatcher

    def __call__(self, *given: Any) -> Any:
        """The operator with its derivatives; a plain eager call bypasses the dispatcher."""
        mode = recording(given[: self.tensors])
        if mode == "none":
            return self._kernel(*given)
        return self._dispatched(*given) if mode == "dispatcher" else self._recorded(*given)

    def _through_dispatcher(self, *given: Any) -> Any:
        return self._registered(*self._schema.flat(given))

    def _below_autograd(self, *given: Any) -> Any:
        with _torch_internals.below_autograd():
            return self._through_dispatcher(*given)

    def derivatives(self, function: type[torch.autograd.Function]) -> type[torch.autograd.Function]:
        """Give the operator the setup_context, backward, jvp and vmap of an autograd.Function without a forward.

        Registered with the dispatcher they hold under torch.compile as well, which does not trace a Function with a
        jvp, and under torch.func. Without a vmap, a batch is computed one element at a time.
        """
        function.jvp = staticmethod(_torch_internals.with_outer_levels(function.jvp))
        kernel, keep = self._kernel, function.setup_context
        vmap = function.vmap
        if vmap is torch.autograd.Function.vmap:
            vmap = function.vmap = staticmethod(self.one_by_one)

        def forward(ctx: Any, *given: Any) -> Any:  # keeps the context in the same call, which is quicker
            result = kernel(*given)
            keep(ctx, given, result)
            return result

        without_context = staticmethod(torch.autograd.Function.setup_context)
        eager = _subclass(function, forward=staticmethod(forward), setup_context=without_context)
        self._recorded = _torch_internals.direct_apply(eager)
        if _torch_internals.CAN_REGISTER:
            dispatched = _subclass(function, forward=staticmethod(self._below_autograd))
            self._register(_torch_internals.apply_at_one_level(dispatched), vmap)
        else:
            self._dispatched = _subclass(function, forward=staticmethod(self._through_dispatcher)).apply
        return function

    def composed_derivatives(self, composed: Callable[..., Any]) -> None:
        """Give the operator the derivatives of the same function composed of others."""
        self._recorded = composed
        if not _torch_internals.CAN_REGISTER:
            self._dispatched = composed
            return

        def record(*given: Any) -> Any:
            recorded = any(map(_is_recorded_here, given[: self.tensors]))
            return composed(*given) if recorded else self._below_autograd(*given)

        self._register(record, self.one_by_one)

    def _register(self, record: Callable[..., Any], vmap: Callable[..., Any]) -> None:
        _LIBRARY.impl(self._name, self._schema.taking_flat(record), "Autograd")
        torch.library.register_vmap(f"softgrad::{self._name}", self._schema.vmap_taking_flat(vmap), lib=_LIBRARY)

    def one_by_one(self, info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Any, Any]:
        """The vmap of an operator whose kernel takes one element of a batch at a time."""

        def element(i: int) -> Any:
            return self(*(g if dim is None else g.select(dim, i) for g, dim in zip(given, in_dims, strict=True)))

        if not info.batch_size:  # an element of zeros has the shape
            results, dims = self.one_by_one(info._replace(batch_size=1), in_dims, *_with_one_element(given, in_dims))
            return results[:0] if isinstance(results, torch.Tensor) else tuple(r[:0] for r in results), dims
        results = [element(i) for i in range(info.batch_size)]
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])


def _subclass(function: type[torch.autograd.Function], **methods: Any) -> type[torch.autograd.Function]:
    return type(function.__name__, (function,), methods)


def _with_one_element(given: tuple[Any, ...], in_dims: tuple[Any, ...]) -> Iterator[Any]:
    """Arguments of an empty batch, made a batch of one."""
    for value, dim in zip(given, in_dims, strict=True):
        yield value if dim is None else value.new_zeros([1 if i == dim else n for i, n in enumerate(value.shape)])


def _is_recorded_here(tensor: Tensor | None) -> bool:
    """Whether the present level of nested transforms follows a tensor, in reverse or in forward mode."""
    if tensor is None:
        return False
    in_reverse = tensor.requires_grad and torch.is_grad_enabled()
    return in_reverse or forward_ad.unpack_dual(tensor, level=0).tangent is not None


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is neither traced nor transformed, so that kernels can take it."""
    return recording((tensor,)) != "dispatcher"


def has_value(tensor: Tensor) -> bool:
    """Whether the values of a tensor can be read now, without waiting for a device."""
    return can_read(tensor) and is_plain(tensor)


def primals(ctx: Any) -> list[Any]:
    """The tensors saved for a jvp, without the tangents of its own level (torch has level 0 only)."""
    return [t if t is None else forward_ad.unpack_dual(t, level=0).primal for t in ctx.saved_tensors]
