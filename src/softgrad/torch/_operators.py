"""The operators ``torch.ops.softgrad``: a kernel for the CPU, closed forms for every other device, shapes for tracing.

A kernel for another device takes the place of the closed form by ``torch.library.impl("softgrad::softmax", "CUDA")``.
`_softmax`, `_cross_entropy_derivatives` and `_linear_derivatives` give the operators their derivatives.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch._C import _are_functorch_transforms_active, _len_torch_dispatch_stack
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor
from torch._functorch.autograd_function import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.compiler import is_compiling

from softgrad import _closed_forms
from softgrad._core import Reduction
from softgrad.torch import _linear_chunks, _native
from softgrad.torch._memory import without
from softgrad.torch._schema import Schema
from softgrad.torch._targets import native_targets, summed, targets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from softgrad._loss_spec import LossSpec

_LIBRARY = torch.library.Library("softgrad", "DEF")
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class Operator:
    """A function of tensors with kernels, a shape and derivatives.

    All of them take the arguments whole, with one `LossSpec`; for the dispatcher `Schema` takes it apart.
    """

    def __init__(
        self,
        name: str,
        arguments: str,
        shape: Callable[..., Any],
        native: Callable[..., Any],
        elsewhere: Callable[..., Any],
        result: str = "Tensor",
    ) -> None:
        self._name, self._native = name, native
        self._schema = schema = Schema.of(arguments)
        self._tensors = schema.tensors
        self._record: Callable[..., Any]
        self._record_reverse: Callable[..., Any]
        _LIBRARY.define(f"{name}({schema.text}) -> {result}", tags=torch.Tag.pt2_compliant_tag)
        _LIBRARY.impl(name, schema.taking_flat(native), "CPU")
        _LIBRARY.impl(name, schema.taking_flat(elsewhere), "CompositeExplicitAutograd")
        torch.library.register_fake(f"softgrad::{name}", schema.taking_flat(shape), lib=_LIBRARY)
        self._registered = getattr(torch.ops.softgrad, name).default

    def __call__(self, *given: Any) -> Any:
        """The operator with its derivatives, as cheaply as the situation allows."""
        if is_compiling() or _len_torch_dispatch_stack() or _are_functorch_transforms_active():
            return self._dispatched(*given)
        requires_grad = False
        for tensor in given[: self._tensors]:
            if tensor is not None:
                if not _has_memory(tensor):
                    return self._dispatched(*given)
                if tensor.requires_grad:
                    requires_grad = True
        if forward_ad._current_level >= 0:
            return self._record(*given)
        if requires_grad and torch.is_grad_enabled():
            return self._record_reverse(*given)
        return self._native(*given)

    def _dispatched(self, *given: Any) -> Any:
        return self._registered(*self._schema.flat(given))

    def kernel(self, *given: Any) -> Any:
        """The operator without its derivatives, from within the dispatcher."""
        with torch._C._AutoDispatchBelowAutograd():
            if not _are_functorch_transforms_active():
                return self._dispatched(*given)
            # What is next may be an outer level, which records; Function.apply has turned that off for all.
            with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
                return self._dispatched(*given)

    def derivatives(self, function: type[torch.autograd.Function]) -> type[torch.autograd.Function]:
        """Give the operator the setup_context, backward, jvp and vmap of an autograd.Function without a forward.

        Registered with the dispatcher they hold under torch.compile as well, which does not trace a Function with a
        jvp, and under torch.func.
        """
        function.jvp = staticmethod(_with_outer_levels(function.jvp))
        by_dispatcher = _apply(function, {"forward": staticmethod(self.kernel)})
        native, keep = self._native, function.setup_context

        def forward(ctx: Any, *given: Any) -> Any:  # with the context in one call, which is quicker
            result = native(*given)
            keep(ctx, given, result)
            return result

        without_context = staticmethod(torch.autograd.Function.setup_context)
        self._record = _apply(function, {"forward": staticmethod(forward), "setup_context": without_context})

        def record(*given: Any) -> Any:
            with enable_single_level_autograd_function():
                return by_dispatcher(*given)

        self._record_reverse = self._record
        self._register(record, function.vmap)
        return function

    def derivatives_of(self, composed: Callable[..., Any]) -> None:
        """Give the operator the derivatives of the same function composed of others, which takes its place for them."""
        self._record = self._record_reverse = composed

        def record(*given: Any) -> Any:
            tensors = given[: self._tensors]
            return composed(*given) if any(map(_recorded_here, tensors)) else self.kernel(*given)

        self._register(record, self.one_by_one)

    def _register(self, record: Callable[..., Any], vmap: Callable[..., Any]) -> None:
        _LIBRARY.impl(self._name, self._schema.taking_flat(record), "Autograd")
        torch.library.register_vmap(f"softgrad::{self._name}", self._schema.vmap_taking_flat(vmap), lib=_LIBRARY)

    def one_by_one(self, info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Any, Any]:
        """The vmap of an operator whose kernel takes one element of a batch at a time."""

        def element(i: int) -> Any:
            return self(*(g if dim is None else g.select(dim, i) for g, dim in zip(given, in_dims, strict=True)))

        if not info.batch_size:  # an element of zeros tells the shape
            shapes = self.one_by_one(info._replace(batch_size=1), in_dims, *_with_one_element(given, in_dims))
            return torch.utils._pytree.tree_map(lambda t: t[:0], shapes[0]), shapes[1]
        results = [element(i) for i in range(info.batch_size)]
        if isinstance(results[0], torch.Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])

    def reverse(self, record: Callable[..., Any]) -> Callable[..., Any]:
        """Let record(usual, *arguments) record for reverse mode in eager calls, by itself or as usual."""
        self._record_reverse = functools.partial(record, self._record)
        return record


def _with_one_element(given: tuple[Any, ...], in_dims: tuple[Any, ...]) -> Iterator[Any]:
    """Arguments of an empty batch, made a batch of one."""
    for value, dim in zip(given, in_dims, strict=True):
        yield value if dim is None else value.new_zeros([1 if i == dim else n for i, n in enumerate(value.shape)])


def _recorded_here(tensor: Tensor | None) -> bool:
    """Whether the level of transforms at hand follows a tensor, in reverse or in forward mode."""
    if tensor is None:
        return False
    in_reverse = tensor.requires_grad and torch.is_grad_enabled()
    return in_reverse or forward_ad.unpack_dual(tensor, level=0).tangent is not None


def is_plain_scalar(tensor: Tensor) -> bool:
    """Whether a tensor is one number that is at hand."""
    return not tensor.ndim and not _watched() and _has_memory(tensor)


def _apply(function: type[torch.autograd.Function], methods: dict[str, Any]) -> Callable[..., Any]:
    """function.apply with those methods.

    Without its binding of defaults, which takes three times as long as all the rest, and without its own way into
    torch.func: the dispatcher has found the level already.
    """
    return super(torch.autograd.Function, type(function.__name__, (function,), methods)).apply


def _with_outer_levels(jvp: Callable[..., Any]) -> Callable[..., Any]:
    # torch turns forward mode off for a jvp, at all levels of nested transforms; jacfwd(jacfwd(f)) would be wrong
    # without an error.
    @functools.wraps(jvp)
    def wrapped(ctx: Any, *tangents: Any) -> Any:
        with forward_ad._set_fwd_grad_enabled(True):
            return jvp(ctx, *tangents)

    return wrapped


def primals(ctx: Any) -> list[Any]:
    """What was saved for a jvp, without the tangents of its own level (torch has level 0 only)."""
    return [t if t is None else forward_ad.unpack_dual(t, level=0).primal for t in ctx.saved_tensors]


def _watched() -> bool:
    """Whether calls must go through the dispatcher: something traces, transforms or counts them."""
    return is_compiling() or bool(_len_torch_dispatch_stack()) or _are_functorch_transforms_active()


def _has_memory(tensor: Tensor) -> bool:
    # Tensors that torch.autograd.grad(is_grads_batched=True) has batched, or that have outlived a transform of
    # torch.func, look like any other.
    return (
        tensor.is_cpu
        and type(tensor) in _PLAIN
        and not is_legacy_batchedtensor(tensor)
        and not is_functorch_wrapped_tensor(tensor)
    )


def recorded(*tensors: Tensor | None) -> bool:
    """Whether a derivative with respect to one of the tensors may be asked for."""
    if _are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def check_labels(target: Tensor, classes: int, spec: LossSpec) -> None:
    """Refuse labels that are no classes, where they are at hand."""
    if not _watched() and _has_memory(target):
        summed(native_targets(target, None, 0, classes), spec)


def _like_first(first: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(first)


def _of_rows(logits: Tensor, dim: int) -> Tensor:
    return logits.new_empty(without(logits.shape, dim))


def _loss(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec) -> Tensor:
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.new_empty(without(logits.shape, dim) if spec.reduction is Reduction.none else (), dtype=dtype)


def _loss_of_head(
    x: Tensor, W: Tensor, bias: Tensor | None, target: Tensor, weight: Tensor | None, spec: LossSpec, *_: Any
) -> Tensor:
    shape = x.shape[:1] if spec.reduction is Reduction.none else ()
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


def _like_wanted(x: Tensor, W: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, x_wanted, W_wanted = rest
    of_x, of_W = x.new_empty(x.shape if x_wanted else (0,)), x.new_empty(W.shape if W_wanted else (0,))
    return of_x, of_W, x.new_empty((0,) if bias is None else bias.shape)


def _softmax_operator(name: str, arguments: str, shape: Callable[..., Any] = _like_first) -> Operator:
    return Operator(name, f"{arguments}, int dim", shape, getattr(_native, name), getattr(_closed_forms, name))


softmax = _softmax_operator("softmax", "Tensor logits")
log_softmax = _softmax_operator("log_softmax", "Tensor logits")
logsumexp = _softmax_operator("logsumexp", "Tensor logits", _of_rows)
softmax_vjp = _softmax_operator("softmax_vjp", "Tensor probs, Tensor v")
log_softmax_vjp = _softmax_operator("log_softmax_vjp", "Tensor logits, Tensor v")


def _loss_operator(name: str, tensors: str, shape: Callable[..., Any] = _like_first) -> Operator:
    kernel, closed_form = getattr(_native, name), getattr(_closed_forms, name)

    def native(*given: Any) -> Tensor:
        *before, target, weight, dim, spec = given
        return kernel(*before, native_targets(target, weight, dim, before[0].shape[dim]), spec)

    def elsewhere(*given: Any) -> Tensor:
        *before, target, weight, dim, spec = given
        logits = before[0]
        return closed_form(*before, targets_of(target, weight, dim, logits.shape[dim], logits.dtype), spec)

    return Operator(name, f"{tensors}, Tensor target, Tensor? weight, int dim, LossSpec spec", shape, native, elsewhere)


cross_entropy = _loss_operator("cross_entropy", "Tensor logits", _loss)
cross_entropy_grad = _loss_operator("cross_entropy_grad", "Tensor logits, Tensor upstream")
cross_entropy_hvp = _loss_operator("cross_entropy_hvp", "Tensor logits, Tensor upstream, Tensor v")


def _linear_operator(name: str, tensors: str, wanted: str, shape: Callable[..., Any], result: str) -> Operator:
    kernel = getattr(_linear_chunks, name)
    loss = "Tensor target, Tensor? weight, LossSpec spec, float softcap, int chunk_rows"
    return Operator(name, f"Tensor x, Tensor W, Tensor? bias, {tensors}{loss}{wanted}", shape, kernel, kernel, result)


_WANTED = ", bool x_wanted, bool W_wanted"
_GRADIENTS = "(Tensor, Tensor, Tensor)"
_CHANGES = "Tensor? x_change, Tensor? W_change, Tensor? bias_change"

linear_cross_entropy = _linear_operator("linear_cross_entropy", "", "", _loss_of_head, "Tensor")
linear_cross_entropy_grad = _linear_operator(
    "linear_cross_entropy_grad", "Tensor upstream, ", _WANTED, _like_wanted, _GRADIENTS
)
linear_cross_entropy_hvp = _linear_operator(
    "linear_cross_entropy_hvp", f"Tensor upstream, {_CHANGES}, ", _WANTED, _like_wanted, _GRADIENTS
)
