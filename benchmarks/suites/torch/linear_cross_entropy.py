"""The loss of a linear head, from features and coefficients to the gradients of both.

Its cost is that of three products of matrices, X Wᵀ, G W and Gᵀ X: they are timed bare as well, to memory made
beforehand. torch offers two ways: all logits at once, or chunks of rows, by default a few rows each, in which
every chunk passes over the whole gradient of W. The size of chunk that suits a CPU better is given a line, too.
"""

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

    Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Of 64, 128, 256 and all rows the chunk that is quickest in torch, as quick as all at once, and saves memory.
_ROWS = 256
CHUNKED = "torch chunked"
_TARGETS = 16  # the classes of so many labels are checked: there the gradient of W is large


def gradient(shape: tuple[int, ...], goals: Sequence[Goal]) -> Case:
    """The mean loss and backward(), N × D × C."""
    x, W, target = tensors(shape)
    exact, upstream = _exact(x, W, target)
    x.requires_grad_()
    W.requires_grad_()

    def variant(name: str, what: str, function: Loss) -> Variant:
        def run() -> torch.Tensor:
            x.grad = W.grad = None
            loss = function(x, W, target)
            loss.backward()
            return loss

        def check() -> Verdict:
            return exact(run(), x.grad, W.grad)

        return Variant(name, what, run, check)

    calls = {"softgrad": "linear_cross_entropy", "torch": "F.linear_cross_entropy"}
    variants = [variant(name, calls.get(name, "options="), function) for name, function in functions().items()]
    variants.append(_products(x.detach(), W.detach(), upstream, exact))
    title = f"linear head, {' × '.join(map(str, shape))}"
    return Case(title, "float32", shape, variants, goals, one_round_in=2)


def functions() -> dict[str, Loss]:
    """The ways to compute the loss; torch's options are younger than the torch that softgrad asks for."""
    found: dict[str, Loss] = {"softgrad": softgrad.torch.linear_cross_entropy}
    if hasattr(functional, "linear_cross_entropy"):
        found["torch"] = functional.linear_cross_entropy
    if hasattr(torch.nn, "LinearCrossEntropyOptions"):
        found[CHUNKED] = _chunked(torch.nn.LinearCrossEntropyOptions())
        found[f"torch by {_ROWS} rows"] = _chunked(torch.nn.LinearCrossEntropyOptions(batch_chunk_size=_ROWS))
    return found


def _chunked(options: Any) -> Loss:
    return lambda x, W, target: functional.linear_cross_entropy(x, W, target, options=options)


def _products(x: torch.Tensor, W: torch.Tensor, upstream: torch.Tensor, exact: Callable[..., Verdict]) -> Variant:
    logits, of_x, of_w = torch.empty_like(upstream), torch.empty_like(x), torch.empty_like(W)

    def run() -> None:
        torch.mm(x, W.T, out=logits)
        torch.mm(upstream, W, out=of_x)
        torch.mm(upstream.T, x, out=of_w)

    def check() -> Verdict:
        run()
        return exact(None, of_x, of_w)

    return Variant("three GEMMs", "torch.mm, out=", run, check)


def _exact(x: torch.Tensor, W: torch.Tensor, target: torch.Tensor) -> tuple[Callable[..., Verdict], torch.Tensor]:
    """A judge of the loss and the gradients of x and, for some classes, W; and G, in float32."""
    wide_x, wide_w, labels = x.double().numpy(), W.double().numpy(), target.numpy()
    classes = np.union1d(_judgement.checked(len(W), len(x)), labels[:_TARGETS])
    total, of_x, of_w = 0.0, np.empty_like(wide_x), np.zeros((len(classes), x.shape[1]))
    upstream = np.empty((len(x), len(W)), np.float32)
    for rows in _judgement.blocks(len(x), len(W)):
        logits = wide_x[rows] @ wide_w.T
        total += float(_bench_reference.loss(logits, labels[rows], np.float64).sum())
        G = _bench_reference.gradient(logits, labels[rows], np.float64) / len(x)
        upstream[rows] = G
        of_x[rows] = G @ wide_w
        of_w += G[:, classes].T @ wide_x[rows]
    loss = np.array(total / len(x))

    def verdict(result: torch.Tensor | None, grad_x: torch.Tensor, grad_w: torch.Tensor) -> Verdict:
        results = [(grad_x, of_x), (grad_w[classes], of_w)]
        return _judgement.relative(results if result is None else [(result, loss), *results])

    return verdict, torch.from_numpy(upstream)


def tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, coefficients and labels, the same in every call; logits have a deviation of 3."""
    rows, features, classes = shape
    rng: Any = np.random.default_rng(0)
    x = rng.standard_normal((rows, features), np.float32)
    W = rng.standard_normal((classes, features), np.float32)
    W *= np.float32(3 / np.sqrt(features))
    return torch.from_numpy(x), torch.from_numpy(W), torch.from_numpy(rng.integers(classes, size=rows))
