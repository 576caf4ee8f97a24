"""Cross-entropy, its derivatives and softmax of logits that are in memory, through autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

import softgrad.torch
from benchmarks import inputs, reference, tables
from benchmarks.timing import Goal, TimedCase, Variant
from benchmarks.verdict import Exact, Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    Function = Callable[[torch.Tensor], torch.Tensor]

SMALL = 4, 10  # a call's cost beside the arithmetic
# bfloat16: the float32 result rounded once, as documented; and what a peer that rounds in between may err.
_BFLOAT16_ULP, _BFLOAT16_TOLERANCE = 0.51, 1e-2


def losses() -> dict[str, tuple[str, Loss]]:
    """The ways to compute the loss, with the names of their functions."""
    return {
        "softgrad": ("cross_entropy", softgrad.torch.cross_entropy),
        "torch": ("F.cross_entropy", functional.cross_entropy),
    }


def gradient(shape: tuple[int, ...], goals: Sequence[Goal] = (), *, dtype: str = "float32") -> TimedCase:
    """The mean loss and backward()."""
    logits, target = tensors(shape)
    logits = logits.to(getattr(torch, dtype)).requires_grad_()
    exact, labels = logits.detach().float().numpy(), target.numpy()
    rows = reference.sampled_rows(*shape)
    results = [
        Exact(reference.mean_loss(exact, labels)),
        Exact(reference.gradient(exact[rows], labels[rows], np.float64) / shape[0], rows),
    ]

    def variant(name: str, what: str, loss_of: Loss) -> Variant:
        def run() -> Any:
            logits.grad = None
            loss = loss_of(logits, target)
            loss.backward()
            return loss, logits.grad

        return Variant(name, what, run)

    judge, suffix = Judge(results), ""
    if dtype == "bfloat16":
        judge, suffix = Judge(results, dtype, _BFLOAT16_ULP, _BFLOAT16_TOLERANCE), ", bfloat16"
    variants = [variant(name, *way) for name, way in losses().items()]
    return TimedCase(f"loss + backward, {tables.shape(shape)}{suffix}", dtype, shape, judge, variants, goals)


def hessian_product(shape: tuple[int, ...]) -> TimedCase:
    """H v of the mean loss: its gradient, differentiated again."""
    logits, target = tensors(shape)
    v = torch.from_numpy(np.random.default_rng(1).standard_normal(shape, np.float32))
    rows = reference.sampled_rows(*shape)
    exact, _ = reference.hessian_product(logits[rows].numpy(), v[rows].numpy())
    judge = Judge([Exact(exact / shape[0], rows)], allowed_ulp=None)
    logits.requires_grad_()

    def variant(name: str, what: str, loss_of: Loss) -> Variant:
        def run() -> Any:
            (first,) = torch.autograd.grad(loss_of(logits, target), logits, create_graph=True)
            (product,) = torch.autograd.grad(first, logits, v)
            return product

        return Variant(name, what, run)

    variants = [variant(name, *way) for name, way in losses().items()]
    return TimedCase(f"Hessian · v, {tables.shape(shape)}", "float32", shape, judge, variants)


def small_calls(goals: Sequence[Goal]) -> Iterator[TimedCase]:
    """Calls alone, calls that autograd records, and a call with its backward(), on 4 rows of 10 classes."""
    logits, target = tensors(SMALL)
    rows, labels = logits.numpy(), target.numpy()
    loss = reference.mean_loss(rows, labels)
    probs = reference.softmax(rows, np.float64)

    def cross_entropy(library: Any) -> Function:
        return lambda z: library.cross_entropy(z, target)

    def softmax(library: Any) -> Function:
        return lambda z: library.softmax(z, 1)

    for recorded in False, True:
        yield _forward("cross_entropy", cross_entropy, logits, recorded, Judge([Exact(loss)]), goals)
    yield gradient(SMALL, goals)
    for recorded in False, True:
        yield _forward("softmax", softmax, logits, recorded, Judge([Exact(probs)]), goals)


def _forward(
    name: str,
    function: Callable[[Any], Function],
    logits: torch.Tensor,
    recorded: bool,
    judge: Judge,
    goals: Sequence[Goal],
) -> TimedCase:
    z = logits.clone().requires_grad_(recorded)
    ours, theirs = function(softgrad.torch), function(functional)
    variants = [
        Variant("softgrad", name, lambda: ours(z)),
        Variant("torch", f"F.{name}", lambda: theirs(z)),
    ]
    title = f"{name}{', recorded' if recorded else ''}, {tables.shape(SMALL)}"
    return TimedCase(title, "float32", SMALL, judge, variants, goals)


def tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels."""
    logits, labels = inputs.labelled_logits(shape)
    return torch.from_numpy(logits), torch.from_numpy(labels)
