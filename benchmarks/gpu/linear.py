"""The loss of a linear head with backward: the time beside that of its three products, and the memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

import softgrad.torch
from benchmarks import tables
from benchmarks.gpu import goals, peers, timing
from benchmarks.gpu.session import NotMeasuredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table
    from torch import Tensor

    from benchmarks.gpu.session import Session
    from benchmarks.suites import Record

    Call = Callable[[], Any]

SHAPE = 8192, 4096, 128256  # rows, features, classes
SOFTGRAD, PRODUCTS, HVP = "softgrad", "three products", "softgrad, gradient and HVP"
_REP = 100  # milliseconds of calls in a round
_TOLERANCE = 1e-2  # of the loss in bfloat16
_GIB = 2**30


class Head(NamedTuple):
    """Features, coefficients and labels, in bfloat16."""

    x: Tensor
    W: Tensor
    y: Tensor

    @classmethod
    def of(cls, device: str) -> Head:
        """As in training: the logits have a deviation of 1.3."""
        n, features, classes = SHAPE
        x = torch.randn(n, features, device=device, dtype=torch.bfloat16)
        W = 0.02 * torch.randn(classes, features, device=device, dtype=torch.bfloat16)
        return cls(x.requires_grad_(), W.requires_grad_(), torch.randint(classes, (n,), device=device))


def bytes_needed() -> int:
    """What the variants with all logits take, with some room: logits and gradients in 16 and 32 bits."""
    n, features, classes = SHAPE
    return 20 * (n * classes + classes * features)


def most_bytes() -> int:
    """The goal for the memory: the gradients, that of W in float32, and logits or a result of the size of W."""
    n, features, classes = SHAPE
    return int(1.05 * features * (2 * n + (4 + 2) * classes))


def measure(session: Session) -> None:
    """Measure the peak of every variant in one call, then time them in turns."""
    title = tables.shape(SHAPE)
    free = _free_bytes()
    if free is not None and free < bytes_needed():
        raise NotMeasuredError(f"{free / _GIB:.0f} GiB of memory are free, {bytes_needed() / _GIB:.0f} are needed")
    head = session.attempt("linear", title, Head.of, session.device, ours=True)
    if head is None:
        return
    calls = agreeing(session, loss_calls(head))
    # Without their memory in the peaks of the others.
    peaks = {name: session.attempt("linear", f"{name}, memory", peak, call) for name, call in calls.items()}
    if (bare := session.attempt("linear", PRODUCTS, products, head, ours=True)) is not None:
        calls[PRODUCTS] = bare
    times = timing.interleaved(session, "linear", title, calls, {SOFTGRAD, PRODUCTS, HVP}, _REP)
    for name, ms in times.items():
        session.add(record(name, ms, peaks.get(name), times), quiet=True)


def loss_calls(head: Head) -> dict[str, Call]:
    """The mean loss with backward by every library, and softgrad's Hessian-vector product."""
    losses = {SOFTGRAD: softgrad.torch.linear_cross_entropy, **peers.linear_losses()}
    calls: dict[str, Call] = {name: partial(_with_backward, head, loss_of) for name, loss_of in losses.items()}
    return {**calls, HVP: partial(_product, head)}


def _with_backward(head: Head, loss_of: Any) -> tuple[Tensor, ...]:
    loss = loss_of(*head)
    return loss.detach(), *torch.autograd.grad(loss, (head.x, head.W))


def _product(head: Head) -> tuple[Tensor, ...]:
    """The gradient, and its derivative along the features and the coefficients themselves."""
    loss = softgrad.torch.linear_cross_entropy(*head)
    gradients = torch.autograd.grad(loss, (head.x, head.W), create_graph=True)
    products = torch.autograd.grad(gradients, (head.x, head.W), (head.x.detach(), head.W.detach()))
    return loss.detach(), *products


def products(head: Head) -> Call:
    """X Wᵀ, G W and Gᵀ X, bare, with the gradient G of the logits: the time of a product depends on its operands."""
    x, W = head.x.detach(), head.W.detach()
    logits = x @ W.T
    G = torch.empty_like(logits)
    for z, y, g in zip(logits.split(1024), head.y.split(1024), G.split(1024), strict=True):
        leaf = z.detach().requires_grad_()
        g.copy_(torch.autograd.grad(softgrad.torch.cross_entropy(leaf, y, reduction="sum") / len(x), leaf)[0])
    of_x, of_W = torch.empty_like(x), torch.empty_like(W)

    def run() -> None:
        torch.mm(x, W.T, out=logits)
        torch.mm(G, W, out=of_x)
        torch.mm(G.T, x, out=of_W)

    return run


def agreeing(session: Session, calls: dict[str, Call]) -> dict[str, Call]:
    """The variants that run, and whose loss is that of softgrad, which comes first."""
    found: dict[str, Call] = {}
    wanted = None
    for name, call in calls.items():
        value = session.attempt("linear", name, loss_in_time, session, call, ours=name in {SOFTGRAD, HVP})
        wanted = value if wanted is None else wanted
        if value is not None and not abs(value - wanted) <= _TOLERANCE * abs(wanted):
            session.skip("linear", name, f"its loss is {value:.6g}, that of softgrad {wanted:.6g}")
        elif value is not None:
            found[name] = call
    timing.release()
    return found


def loss_in_time(session: Session, call: Call) -> float:
    """The loss of a call, whose functions may be compiled first, if there is time for it."""
    if session.seconds_left() <= 0:
        raise NotMeasuredError("no time left")
    return float(call()[0])


def peak(call: Call) -> int | None:
    """The largest number of bytes that a call has allocated at a time, results included; None without CUDA."""
    if not torch.cuda.is_available():
        return None
    timing.release()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _free_bytes() -> int | None:
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None


def record(name: str, ms: float, peak_bytes: int | None, times: dict[str, float]) -> Record:
    """The figures of a variant, and the goals of softgrad."""
    reached = []
    if name == SOFTGRAD:
        if PRODUCTS in times:
            reached.append(
                goals.at_most("linear head in its three products", ms / times[PRODUCTS], goals.TIMES_PRODUCTS)
            )
        if "torch" in times:
            reached.append(goals.at_most("linear head in torch's time", ms / times["torch"], 1))
        if peak_bytes is not None:
            limit = most_bytes() / _GIB
            reached.append(goals.at_most("peak of the linear head, GiB", peak_bytes / _GIB, round(limit, 2)))
    gib = None if peak_bytes is None else peak_bytes / _GIB
    return {"part": "linear", "shape": list(SHAPE), "variant": name, "ms": ms, "gib": gib, "goals": reached}


def table(records: list[Record]) -> Table:
    """Times, peaks and goals."""
    result = tables.new_table(f"linear head, {tables.shape(SHAPE)}, bfloat16", "ms", "peak, GiB", "goal")
    for r in records:
        if r["part"] == "linear" and "ms" in r:
            result.add_row(r["variant"], f"{r['ms']:.1f}", "" if r["gib"] is None else f"{r['gib']:.2f}")
            for goal in r["goals"]:
                result.add_row(f"  {goal['name']}", "", "", tables.goal_cell(goal))
    return result
