"""The private interfaces of torch: every use in `softgrad.torch`, with its reason.

A version of torch may lack some. Without one that `CAN_BYPASS` needs, every call takes the public dispatcher; without
one that `CAN_REGISTER` needs, derivatives are those of public `torch.autograd.Function.apply`.
"""

from __future__ import annotations

import functools
import pkgutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.autograd import forward_ad
from torch.compiler import is_compiling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def _find(name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return None


# Transforms of torch.func, and modes such as FakeTensorMode, see only calls that take the dispatcher.
_are_transforms_active = _find("torch._C:_are_functorch_transforms_active")
_count_modes = _find("torch._C:_len_torch_dispatch_stack")
# Tensors that torch.autograd.grad(is_grads_batched=True) has batched, or that have outlived a transform of torch.func,
# have no memory, but the type and device of tensors that do.
_is_batched = _find("torch._C._functorch:is_legacy_batchedtensor")
_is_wrapped = _find("torch._C._functorch:is_functorch_wrapped_tensor")
# A kernel of the Autograd key calls its own operator again, without that key.
_below_autograd = _find("torch._C:_AutoDispatchBelowAutograd")
# Such a kernel runs at one level of nested transforms, and records at that level alone.
_at_one_level = _find("torch._functorch.autograd_function:enable_single_level_autograd_function")
# torch turns forward mode off in a jvp and in Function.apply, at all levels of nested transforms.
_set_forward_mode = _find("torch.autograd.forward_ad:_set_fwd_grad_enabled")
# Whether a level of forward mode is entered, in which any tensor may carry a tangent.
_HAS_LEVEL = _find("torch.autograd.forward_ad:_current_level") is not None

CAN_REGISTER = None not in (_are_transforms_active, _below_autograd, _at_one_level, _set_forward_mode)
CAN_BYPASS = CAN_REGISTER and _HAS_LEVEL and None not in (_count_modes, _is_batched, _is_wrapped)

Recording = Literal["dispatcher", "forward", "reverse", "none"]
_PLAIN = (torch.Tensor, torch.nn.Parameter)


def recording(tensors: tuple[Tensor | None, ...]) -> Recording:
    """The modes in which a call with these tensors is recorded, or "dispatcher" where it must take that.

    One function for all of it: each call of another would be noticeable for tiny tensors.
    """
    if is_compiling() or not CAN_BYPASS or _count_modes() or _are_transforms_active():
        return "dispatcher"
    requires_grad = False
    for tensor in tensors:
        if tensor is not None:
            if type(tensor) not in _PLAIN or _is_batched(tensor) or _is_wrapped(tensor):
                return "dispatcher"
            if not (tensor.is_cpu or tensor.is_cuda):
                return "dispatcher"
            if tensor.requires_grad:
                requires_grad = True
    if forward_ad._current_level >= 0:
        return "forward"
    return "reverse" if requires_grad and torch.is_grad_enabled() else "none"


def are_transforms_active() -> bool:
    """Whether a call is inside a transform of torch.func."""
    return not CAN_REGISTER or _are_transforms_active()


def may_be_differentiated(*tensors: Tensor | None) -> bool:
    """Whether a derivative with respect to one of the tensors may be asked for."""
    if not CAN_BYPASS or _are_transforms_active() or forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


@contextmanager
def below_autograd() -> Iterator[None]:
    """Let an operator call itself from its kernel of the Autograd key."""
    with _below_autograd():
        if not _are_transforms_active():
            yield
        else:  # an outer level may come next, which records; Function.apply has turned that off for all
            with torch.enable_grad(), _set_forward_mode(True):
                yield


def apply_at_one_level(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """`function.apply` for a kernel of the Autograd key."""
    return _at_one_level()(direct_apply(function))


def direct_apply(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """`function.apply` of torch's base class.

    It does not bind defaults, which takes three times as long as all the rest, and does not enter torch.func: the
    dispatcher has found the level already, or there is none.
    """
    return super(torch.autograd.Function, function).apply


def with_outer_levels(jvp: Callable[..., Any]) -> Callable[..., Any]:
    """A jvp with forward mode on at all levels; if torch cannot do that, one that raises.

    Without it jacfwd(jacfwd(f)) would be wrong without an error.
    """
    if _set_forward_mode is None:
        return torch.autograd.Function.jvp

    @functools.wraps(jvp)
    def wrapped(ctx: Any, *tangents: Any) -> Any:
        with _set_forward_mode(True):
            return jvp(ctx, *tangents)

    return wrapped
