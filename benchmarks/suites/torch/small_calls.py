"""What a call costs beside the arithmetic: 4 rows of 10 classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional

import softgrad.torch
from benchmarks import reference as _bench_reference
from benchmarks import verdict as _judgement
from benchmarks.suites.torch import cross_entropy as _cross_entropy
from benchmarks.timing import Case, Goal, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from benchmarks.timing import Verdict

    Function = Callable[[torch.Tensor], torch.Tensor]

SHAPE = 4, 10


def cases(goals: Sequence[Goal]) -> Iterator[Case]:
    """Calls alone, calls that autograd records, and a call with its backward()."""
    logits, target = _cross_entropy.tensors(SHAPE)
    rows, labels = logits.numpy(), target.numpy()
    losses: tuple[Function, Function] = (
        lambda z: softgrad.torch.cross_entropy(z, target),
        lambda z: functional.cross_entropy(z, target),
    )
    softmaxes: tuple[Function, Function] = (
        lambda z: softgrad.torch.softmax(z, 1),
        lambda z: functional.softmax(z, 1),
    )
    loss = _bench_reference.loss(rows, labels, np.float64).mean()
    probs = _bench_reference.softmax(rows, np.float64)
    for recorded in False, True:
        yield _forward("cross_entropy", losses, logits, recorded, np.asarray(loss), goals)
    yield _cross_entropy.gradient(SHAPE, goals)
    for recorded in False, True:
        yield _forward("softmax", softmaxes, logits, recorded, probs, goals)


def _forward(
    name: str,
    functions: tuple[Function, Function],
    logits: torch.Tensor,
    recorded: bool,
    exact: _judgement.Array,
    goals: Sequence[Goal],
) -> Case:
    logits = logits.clone().requires_grad_(recorded)

    def variant(library: str, what: str, function: Function) -> Variant:
        def run() -> torch.Tensor:
            return function(logits)

        def check() -> Verdict:
            return _judgement.in_ulp([(run(), exact)], ours=library == "softgrad")

        return Variant(library, what, run, check)

    variants = [variant("softgrad", name, functions[0]), variant("torch", f"F.{name}", functions[1])]
    title = f"{name}{', recorded' if recorded else ''}, {SHAPE[0]} × {SHAPE[1]}"
    return Case(title, "float32", SHAPE, variants, goals)
