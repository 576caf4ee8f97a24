"""The derivatives of an operator from rules, one for each of its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from softgrad.torch._dispatch import primals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from softgrad.torch._dispatch import CustomOperator


def define_derivatives(
    operator: CustomOperator,
    *,
    vjps: Sequence[Callable[..., Tensor]],
    jvps: Sequence[Callable[..., Tensor]],
    vmap: Callable[..., Tensor] | None = None,
    saved: Literal["inputs", "output", "inputs and output"] = "inputs",
) -> None:
    """Differentiate an operator with respect to its first tensors, in reverse and in forward mode.

    Rules take the tensors `saved` and the options of the call. vjps[i](v, *saved, *options) is the gradient with
    respect to tensor i times the upstream gradient v; jvps[i](v, *saved, *options) the change of the result with a
    change v of tensor i. vmap(info, in_dims, *arguments) has the batch as the first dimension of its result; without
    it, a batch is computed one element at a time.
    """
    count = operator.tensors

    class Derivatives(torch.autograd.Function):
        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            ctx.options = inputs[count:]
            tensors = (output,)
            if saved != "output":
                tensors = inputs[:count] if saved == "inputs" else (*inputs[:count], output)
            ctx.save_for_backward(*tensors)
            ctx.save_for_forward(*tensors)

        @staticmethod
        def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
            arguments, wanted = (v, *ctx.saved_tensors, *ctx.options), ctx.needs_input_grad
            gradients = [vjp(*arguments) if wanted[i] else None for i, vjp in enumerate(vjps)]
            return *gradients, *[None] * (len(wanted) - len(vjps))

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
            arguments = (*primals(ctx), *ctx.options)
            changes = [jvp(v, *arguments) for jvp, v in zip(jvps, tangents, strict=False) if v is not None]
            return sum(changes[1:], changes[0])

    if vmap is not None:
        Derivatives.vmap = staticmethod(lambda *given: (vmap(*given), 0))
    operator.derivatives(Derivatives)


def define_constant(*operators: CustomOperator) -> None:
    """Treat the results of operators as constants."""
    for operator in operators:

        @operator.derivatives
        class Constant(torch.autograd.Function):
            @staticmethod
            def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
                ctx.arguments = len(inputs)
                ctx.results = None if isinstance(output, torch.Tensor) else len(output)
                ctx.mark_non_differentiable(*((output,) if isinstance(output, torch.Tensor) else output))

            @staticmethod
            def backward(ctx: Any, *v: Any) -> tuple[None, ...]:
                return (None,) * ctx.arguments

            @staticmethod
            def jvp(ctx: Any, *tangents: Any) -> Any:
                return None if ctx.results is None else (None,) * ctx.results


def batch_first(size: int, in_dims: tuple[int | None, ...], *tensors: Tensor) -> Iterator[Tensor]:
    """Tensors with the batch as their first dimension, expanded where they have none."""
    for tensor, dim in zip(tensors, in_dims, strict=False):
        yield tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
