"""The loss of a linear head, from features and coefficients to the gradients of both.

Its cost is that of three products of matrices, X Wᵀ, G W and Gᵀ X: they are timed bare as well, to memory made
beforehand. torch offers two ways: all logits at once, or chunks of rows, by default a few rows each, in which
every chunk passes over the whole gradient of W. The size of chunk that suits a CPU better is timed, too.
"""

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
    from collections.abc import Callable, Sequence

    Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Of 64, 128, 256 and all rows the chunk that is quickest in torch, as quick as all at once, and saves memory.
_ROWS = 256
CHUNKED, _BY_ROWS = "torch chunked", f"torch by {_ROWS} rows"
_TARGETS = 16  # the classes of so many labels are checked: there the gradient of W is large


def losses() -> dict[str, tuple[str, Loss]]:
    """The ways to compute the loss, with the names of their functions.

    torch's are younger than the oldest torch that softgrad accepts.
    """
    found: dict[str, tuple[str, Loss]] = {
        "softgrad": ("linear_cross_entropy", softgrad.torch.linear_cross_entropy),
    }
    if hasattr(functional, "linear_cross_entropy"):
        found["torch"] = "F.linear_cross_entropy", functional.linear_cross_entropy
    if hasattr(torch.nn, "LinearCrossEntropyOptions"):
        found[CHUNKED] = "options=", _chunked(torch.nn.LinearCrossEntropyOptions())
        by_rows = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=_ROWS)
        found[_BY_ROWS] = "options=", _chunked(by_rows)
    return found


def _chunked(options: Any) -> Loss:
    return lambda x, W, target: functional.linear_cross_entropy(x, W, target, options=options)


def gradient(shape: tuple[int, ...], goals: Sequence[Goal]) -> TimedCase:
    """The mean loss and backward(), N × D × C, beside torch with all logits at once."""
    return _gradient(f"linear head, {tables.shape(shape)}", shape, ("torch",), goals)


def gradient_beside_chunks(shape: tuple[int, ...], goals: Sequence[Goal]) -> TimedCase:
    """The same beside torch's chunks, which take seconds: by then the system has taken back the memory freed before."""
    return _gradient(f"head beside chunks, {tables.shape(shape)}", shape, (CHUNKED, _BY_ROWS), goals)


def _gradient(title: str, shape: tuple[int, ...], peers: tuple[str, ...], goals: Sequence[Goal]) -> TimedCase:
    x, W, target = tensors(shape)
    judge, upstream = exact_results(x, W, target)
    x.requires_grad_()
    W.requires_grad_()

    def variant(name: str, what: str, loss_of: Loss) -> Variant:
        def run() -> Any:
            x.grad = W.grad = None
            loss = loss_of(x, W, target)
            loss.backward()
            return loss, x.grad, W.grad

        return Variant(name, what, run)

    variants = [variant(name, *way) for name, way in losses().items() if name in ("softgrad", *peers)]
    variants.append(_products(x.detach(), W.detach(), upstream))
    return TimedCase(title, "float32", shape, judge, variants, goals, one_round_in=2)


def _products(x: torch.Tensor, W: torch.Tensor, upstream: torch.Tensor) -> Variant:
    logits, of_x, of_w = torch.empty_like(upstream), torch.empty_like(x), torch.empty_like(W)

    def run() -> Any:
        torch.mm(x, W.T, out=logits)
        torch.mm(upstream, W, out=of_x)
        torch.mm(upstream.T, x, out=of_w)
        return None, of_x, of_w  # no loss

    return Variant("three GEMMs", "torch.mm, out=", run)


def exact_results(x: torch.Tensor, W: torch.Tensor, target: torch.Tensor) -> tuple[Judge, torch.Tensor]:
    """A judge of the loss and the gradients of x and, for some classes, W; and G, in float32."""
    wide_x, wide_w, labels = x.double().numpy(), W.double().numpy(), target.numpy()
    classes = np.union1d(reference.sampled_rows(len(W), len(x)), labels[:_TARGETS])
    loss, of_x, of_w = 0.0, np.empty_like(wide_x), np.zeros((len(classes), x.shape[1]))
    upstream = np.empty((len(x), len(W)), np.float32)
    for rows in reference.row_blocks(len(x), len(W)):
        logits = wide_x[rows] @ wide_w.T
        loss += float(reference.loss(logits, labels[rows], np.float64).sum()) / len(x)
        G = reference.gradient(logits, labels[rows], np.float64) / len(x)
        upstream[rows] = G
        of_x[rows] = G @ wide_w
        of_w += G[:, classes].T @ wide_x[rows]
    judge = Judge([Exact(np.array(loss)), Exact(of_x), Exact(of_w, classes)], allowed_ulp=None)
    return judge, torch.from_numpy(upstream)


def tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, coefficients and labels."""
    x, W, labels = inputs.linear_head(shape)
    return torch.from_numpy(x), torch.from_numpy(W), torch.from_numpy(labels)
