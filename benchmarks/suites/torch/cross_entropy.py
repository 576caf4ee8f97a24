"""Cross-entropy and its derivatives through autograd, from logits that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

import softgrad.torch
from benchmarks import reference as _bench_reference
from benchmarks import verdict as _judgement
from benchmarks.timing import Case, Goal, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.timing import Verdict

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def gradient(shape: tuple[int, ...], goals: Sequence[Goal], *, dtype: str = "float32") -> Case:
    """The mean loss and backward()."""
    logits, target = tensors(shape)
    logits = logits.to(getattr(torch, dtype)).requires_grad_()
    exact, labels = logits.detach().float().numpy(), target.numpy()
    rows = _judgement.checked(*shape)
    exact_loss = _judgement.mean_loss(exact, labels)
    exact_gradient = _bench_reference.gradient(exact[rows], labels[rows], np.float64) / shape[0]

    def variant(name: str, what: str, function: Loss) -> Variant:
        def run() -> torch.Tensor:
            logits.grad = None
            loss = function(logits, target)
            loss.backward()
            return loss

        def check() -> Verdict:
            loss = run()
            results = [(loss, exact_loss), (logits.grad[rows], exact_gradient)]
            return _judgement.in_ulp(results, ours=name == "softgrad")

        return Variant(name, what, run, check)

    title = f"loss + backward, {shape[0]} × {shape[1]}{'' if dtype == 'float32' else f', {dtype}'}"
    return Case(title, dtype, shape, _of_both(variant), goals)


def hessian_product(shape: tuple[int, ...]) -> Case:
    """H v of the mean loss: its gradient, differentiated again."""
    logits, target = tensors(shape)
    v = torch.from_numpy(np.random.default_rng(1).standard_normal(shape, np.float32))
    rows = _judgement.checked(*shape)
    p = _bench_reference.softmax(logits[rows].numpy(), np.float64)
    u = v[rows].numpy().astype(np.float64)
    exact = p * (u - (p * u).sum(axis=1, keepdims=True)) / shape[0]
    logits.requires_grad_()

    def variant(name: str, what: str, function: Loss) -> Variant:
        def run() -> torch.Tensor:
            (first,) = torch.autograd.grad(function(logits, target), logits, create_graph=True)
            (product,) = torch.autograd.grad(first, logits, v)
            return product

        def check() -> Verdict:
            return _judgement.relative([(run()[rows], exact)])

        return Variant(name, what, run, check)

    return Case(f"Hessian · v, {shape[0]} × {shape[1]}", "float32", shape, _of_both(variant), [])


def _of_both(variant: Callable[[str, str, Loss], Variant]) -> list[Variant]:
    return [
        variant("softgrad", "cross_entropy", softgrad.torch.cross_entropy),
        variant("torch", "F.cross_entropy", functional.cross_entropy),
    ]


def tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels, the same in every call."""
    rng: Any = np.random.default_rng(0)
    logits = 3 * rng.standard_normal(shape, np.float32)
    return torch.from_numpy(logits), torch.from_numpy(rng.integers(shape[1], size=shape[0]))
