"""The kernels as shares of the rate of torch's copy, and the loss with backward beside other libraries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

import softgrad.torch
from benchmarks import tables
from benchmarks.gpu import goals, peers, timing
from softgrad._core import Reduction
from softgrad._loss_spec import LossSpec
from softgrad.torch._kernels import kernels_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table
    from torch import Tensor

    from benchmarks.gpu.session import Session
    from benchmarks.suites import Record

    Call = Callable[[], Any]

CLASSES = 10, 100, 1000, 4096, 8192, 16384, 32000, 50257, 128256, 262144
DTYPES = "float32", "bfloat16"
ENTRIES = 1 << 28  # logits of a case, at most: 1 GiB of float32
COPY, SOFTGRAD, SCALED = OURS = "copy", "softgrad", "softgrad, upstream 0.5"
_CHECKED_ROWS = 16
_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}  # of the largest entry, for other libraries


class Case(NamedTuple):
    """Logits of a number of classes, and their labels."""

    classes: int
    dtype: str
    z: Tensor
    y: Tensor

    @classmethod
    def of(cls, classes: int, dtype: str, device: str) -> Case:
        """As many rows, a power of two, as have at most `ENTRIES` logits."""
        rows = 1 << max(1, ENTRIES // classes).bit_length() - 1
        z = torch.randn(rows, classes, device=device, dtype=getattr(torch, dtype))
        return cls(classes, dtype, z, torch.randint(classes, (rows,), device=device))

    @property
    def title(self) -> str:
        """Its name in records of failures."""
        return f"{self.dtype}, C = {self.classes}"


def compile_case(classes: int, dtype: str, device: str) -> list[Record]:
    """Call every variant once, so that its kernels are on disk; what fails is told when it is timed."""
    case = Case.of(classes, dtype, device)
    for call in [*kernel_calls(case).values(), *loss_calls(case).values()]:
        try:
            call()
        except Exception:
            timing.release()
    return []


def kernel_calls(case: Case) -> dict[str, Call]:
    """Every kernel, and the copy that they are compared with."""
    z, spec = case.z, LossSpec(reduction=Reduction.none)
    kernels = kernels_for(z)
    targets = kernels.targets(case.y, None, 1, case.classes, z.dtype)
    upstream = torch.ones(len(z), device=z.device)
    losses, out, v = torch.empty_like(upstream), torch.empty_like(z), torch.randn_like(z)
    overwritten, probs = z.clone(), torch.softmax(z, 1)
    return {
        COPY: lambda: out.copy_(z),
        "value": lambda: kernels.cross_entropy(z, targets, spec),
        "loss + gradient": lambda: kernels.cross_entropy(z, targets, spec, gradient=out),
        "in place": lambda: kernels.write_cross_entropy_grad(overwritten, upstream, targets, spec, losses),
        "gradient": lambda: kernels.cross_entropy_grad(z, upstream, targets, spec),
        "HVP": lambda: kernels.cross_entropy_hvp(z, upstream, v, targets, spec),
        "softmax": lambda: kernels.softmax(z, 1),
        "log_softmax": lambda: kernels.log_softmax(z, 1),
        "logsumexp": lambda: kernels.logsumexp(z, 1),
        "softmax vjp": lambda: kernels.softmax_vjp(probs, v, 1),
        "log_softmax vjp": lambda: kernels.log_softmax_vjp(z, v, 1),
    }


def loss_calls(case: Case) -> dict[str, Call]:
    """The mean loss with backward by every library, and the copy; Liger overwrites its logits with the gradient."""
    shared, out = case.z.detach().requires_grad_(), torch.empty_like(case.z)
    losses = {SOFTGRAD: softgrad.torch.cross_entropy, **peers.losses(case.classes)}
    calls: dict[str, Call] = {COPY: lambda: out.copy_(case.z)}
    for name, loss_of in losses.items():
        leaf = case.z.clone().requires_grad_() if name == "Liger" else shared
        calls[name] = partial(_with_backward, loss_of, leaf, case.y)
    half = torch.full((), 0.5, device=shared.device, dtype=shared.dtype)
    calls[SCALED] = partial(_with_backward, softgrad.torch.cross_entropy, shared, case.y, half)
    return calls


def _with_backward(loss_of: Any, leaf: Tensor, y: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
    loss = loss_of(leaf, y)
    (gradient,) = torch.autograd.grad(loss, leaf, upstream)
    return loss.detach(), gradient


def measure(session: Session, classes: int, dtype: str) -> None:
    """Time all variants for rows of so many classes."""
    case = session.attempt("speed", f"{dtype}, C = {classes}", Case.of, classes, dtype, session.device)
    if case is None:
        return
    calls = session.attempt("speed", f"kernels, {case.title}", kernel_calls, case, ours=True)
    if calls is not None:
        _add_kernels(session, case, timing.interleaved(session, "speed", case.title, calls, {*calls}))
        del calls
    timing.release()
    calls = agreeing(session, case, loss_calls(case))
    _add_losses(session, case, timing.interleaved(session, "speed", case.title, calls, {*OURS}))


def agreeing(session: Session, case: Case, calls: dict[str, Call]) -> dict[str, Call]:
    """The variants whose loss and gradient are those of softgrad."""
    wanted = session.attempt("speed", f"softgrad, {case.title}", calls[SOFTGRAD], ours=True)
    if wanted is None:
        return {COPY: calls[COPY]}

    def check(name: str) -> bool:
        for distance in _distances(calls[name](), wanted):
            if not distance <= _TOLERANCE[case.dtype]:
                raise ValueError(f"{distance:.1e} of the largest entry from softgrad's loss or gradient")
        return True

    return {
        name: call
        for name, call in calls.items()
        if name in OURS or session.attempt("speed", f"{name}, {case.title}", check, name)
    }


def _distances(results: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> list[float]:
    """The differences of the loss, and of the gradient of some rows, relative to the largest entry."""
    parts = zip(results, wanted, strict=True)
    pairs = [(r[:_CHECKED_ROWS] if r.ndim else r, w[:_CHECKED_ROWS] if w.ndim else w) for r, w in parts]
    return [float((r.double() - w.double()).abs().max() / w.double().abs().max()) for r, w in pairs]


def _add_kernels(session: Session, case: Case, times: dict[str, float]) -> None:
    for name, ms in times.items():
        if name == COPY or COPY not in times:
            continue
        share = goals.share(goals.PASSES[name], ms, times[COPY])
        least = goals.least_share(name, case.dtype, case.classes)
        reached = [] if least is None else [goals.at_least(f"{name}, {case.title}", share, least)]
        session.add(_record(case, name, ms, share, reached), quiet=True)


def _add_losses(session: Session, case: Case, times: dict[str, float]) -> None:
    for name, ms in times.items():
        if COPY not in times:
            continue
        share = goals.share(goals.PASSES["loss + gradient"], ms, times[COPY])
        reached = []
        if name == SOFTGRAD and "torch" in times:
            reached = [goals.at_least(f"times torch, {case.title}", times["torch"] / ms, goals.TIMES_TORCH)]
        session.add(_record(case, name, ms, share, reached), quiet=name != SOFTGRAD)


def _record(case: Case, variant: str, ms: float, share: float, reached: list[dict[str, Any]]) -> Record:
    return {
        "part": "speed", "dtype": case.dtype, "rows": len(case.z), "classes": case.classes, "variant": variant,
        "ms": ms, "share": share, "tb_per_s": goals.COPY_PASSES * case.z.nbytes / ms / 1e9, "goals": reached,
    }  # fmt: skip


def table(records: list[Record], dtype: str) -> Table:
    """The shares of a copy's rate by variant and number of classes, with the goals; a star marks one that is missed."""
    found = {
        (r["variant"], r["classes"]): r
        for r in records
        if r["part"] == "speed" and "share" in r and r["dtype"] == dtype
    }
    classes = sorted({count for _, count in found})
    result = tables.new_table(f"{dtype}, share of copy; C =", *map(str, classes))
    for variant in dict.fromkeys(variant for variant, _ in found):
        row = [found.get((variant, count)) for count in classes]
        if variant == COPY:
            result.add_row("copy, TB/s", *("" if r is None else f"{r['tb_per_s']:.2f}" for r in row))
            continue
        result.add_row(variant, *("" if r is None else f"{r['share']:.2f}" for r in row))
        reached = [next(iter(r["goals"]), None) if r else None for r in row]
        if any(reached):
            name, cell = ("times torch", _ratio) if variant == SOFTGRAD else ("goal", _goal)
            result.add_row(f"  {name}", *("" if goal is None else _star(goal) + cell(goal) for goal in reached))
    return result


def _star(goal: dict[str, Any]) -> str:
    return "" if goal["reached"] else "*"


def _ratio(goal: dict[str, Any]) -> str:
    return f"{goal['value']:.2f}"


def _goal(goal: dict[str, Any]) -> str:
    text: str = goal["text"]
    return text
