"""Promises of the kernels beside accuracy: equal bits, labels that are no classes, streams, graphs, sizes, waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import softgrad.torch
from benchmarks.gpu import rows
from benchmarks.gpu.reference import Loss, Options, Rows, ulp_error
from benchmarks.gpu.session import NotMeasuredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.suites import Record

    Check = Callable[[torch.device], bool]

CLASSES = 50257
_HUGE_CLASSES = 1 << 16
_HUGE_ROWS = (1 << 15) + 64  # more than 2³¹ logits in all
_HUGE_BYTES = 2 * 2 * _HUGE_ROWS * _HUGE_CLASSES + (1 << 30)  # bfloat16 logits, their gradient, and more
_DELAY = 100_000_000  # cycles of a GPU, about 50 ms


def loss_and_gradient(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The mean loss and its gradient, in reverse mode."""
    leaf = z.detach().requires_grad_()
    loss = softgrad.torch.cross_entropy(leaf, y)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def same_bits(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> bool:
    """Whether all tensors are equal."""
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def runs_are_equal(device: torch.device) -> bool:
    """Two calls return the same bits."""
    z, y = rows.hostile(CLASSES, torch.float32, device)
    return same_bits(loss_and_gradient(z, y), loss_and_gradient(z, y))


def confident_row_has_a_loss(device: torch.device) -> bool:
    """The loss and the gradient of a row that is right by a difference of 40 in its logits."""
    z, y = torch.tensor([[0.0, 40.0]], device=device), torch.tensor([1], device=device)
    exact = Loss(Rows(z), y, Options())
    loss, gradient = loss_and_gradient(z, y)
    return ulp_error(loss, exact.value.squeeze()) <= 2 and ulp_error(gradient, exact.gradient) <= 2


def wrong_label_is_nan(device: torch.device) -> bool:
    """A label that is no class makes its row NaN, and no other."""
    z, y = rows.hostile(1000, torch.float32, device)
    wrong = y.clone()
    wrong[1] = 1000
    leaf = z.requires_grad_()
    losses, right = (softgrad.torch.cross_entropy(leaf, labels, reduction="none") for labels in (wrong, y))
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    is_nan = torch.arange(len(z), device=device) == 1
    same = torch.equal(losses[~is_nan], right[~is_nan])
    return same and torch.equal(losses.isnan(), is_nan) and torch.equal(gradient.isnan().all(1), is_nan)


def wrong_label_is_an_error(device: torch.device) -> bool:
    """The same label is an IndexError if labels are checked."""
    z, y = torch.zeros(2, 3, device=device), torch.tensor([0, 3], device=device)
    softgrad.torch.set_check_labels(True)
    try:
        softgrad.torch.cross_entropy(z, y)
    except IndexError:
        return True
    finally:
        softgrad.torch.set_check_labels(None)
    return False


def graph_is_replayed(device: torch.device) -> bool:
    """Loss and gradient are captured in a CUDA graph, which computes with new logits."""
    z, y = rows.hostile(CLASSES, torch.float32, device)
    other = z.flip(0).contiguous()
    expected = loss_and_gradient(other, y)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = loss_and_gradient(z, y)
    z.copy_(other)
    graph.replay()
    torch.cuda.synchronize()
    return same_bits(captured, expected)


def stream_is_the_callers(device: torch.device) -> bool:
    """On another stream the kernels wait for what that stream does before."""
    z, y = rows.hostile(1000, torch.float32, device)
    expected, later = loss_and_gradient(z, y), torch.zeros_like(z)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(_DELAY)
        later.copy_(z)
        results = loss_and_gradient(later, y)
    stream.synchronize()
    return same_bits(results, expected)


def host_never_waits(device: torch.device) -> bool:
    """Forward and backward of both losses, with upstream gradients of 1 and others, without a synchronisation."""
    z, y = rows.hostile(1000, torch.float32, device)
    z.requires_grad_()
    x, W = (torch.randn(n, 64, device=device).requires_grad_() for n in (len(z), 1000))
    upstream = torch.full((), 0.5, device=device)

    def run() -> None:
        for factor in None, upstream:
            torch.autograd.grad(softgrad.torch.cross_entropy(z, y), z, factor)
            torch.autograd.grad(softgrad.torch.linear_cross_entropy(x, W, y), (x, W), factor)

    run()  # compiles, and loads libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return True


def offsets_have_64_bits(device: torch.device) -> bool:
    """The last rows of more than 2³¹ logits."""
    torch.cuda.empty_cache()
    if torch.cuda.mem_get_info()[0] < _HUGE_BYTES:
        raise NotMeasuredError(f"needs {_HUGE_BYTES >> 30} GiB of memory")
    z = torch.randn(_HUGE_ROWS, _HUGE_CLASSES, device=device, dtype=torch.bfloat16)
    y = torch.randint(_HUGE_CLASSES, (_HUGE_ROWS,), device=device)
    z.requires_grad_()
    loss = softgrad.torch.cross_entropy(z, y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, z)
    exact = Loss(Rows(z.detach()[-8:]), y[-8:], Options())
    return ulp_error(gradient[-8:], exact.gradient) <= 0.51


def checks(device: torch.device) -> dict[str, Check]:
    """All checks that the device can do."""
    found: list[Check] = [runs_are_equal, confident_row_has_a_loss, wrong_label_is_an_error]
    if device.type == "cuda":
        found += [wrong_label_is_nan, graph_is_replayed, stream_is_the_callers, host_never_waits, offsets_have_64_bits]
    return {check.__name__.replace("_", " "): check for check in found}


def record(check: Check, device: torch.device) -> Record:
    """The outcome of a check."""
    return {"part": "exact", "check": check.__name__.replace("_", " "), "passed": check(device)}
