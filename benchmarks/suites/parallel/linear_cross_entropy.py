"""A linear head whose classes are shared out over the ranks, from features and coefficients to both gradients.

Its cost is that of three products of matrices on every rank, and of one all-reduce of the gradient of x: they are
timed bare as well, to memory made beforehand. With torch the head is a product of DTensors below `loss_parallel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional

from benchmarks import reference, tables
from benchmarks.suites.parallel.world import Work, World, differing
from benchmarks.suites.torch import linear_cross_entropy
from benchmarks.timing import Goal, TimedCase, Variant
from benchmarks.verdict import Verdict
from softgrad.torch import parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._typing import Array

BARE = "three GEMMs"
WAYS = {
    "softgrad": "parallel.linear_cross_entropy",
    "torch": "F.linear, loss_parallel",
    BARE: "torch.mm, all_reduce",
}


def gradient(world: World, shape: tuple[int, int, int], goals: Sequence[Goal]) -> TimedCase:
    """The mean loss and backward(), N × D × C, each rank with the coefficients of its classes."""
    judge, _ = linear_cross_entropy.exact_results(*linear_cross_entropy.tensors(shape))
    classes = judge.exact[-1].rows
    world.prepare(prepare, shape, classes)

    def variant(name: str, what: str) -> Variant:
        def verdict(_: Any) -> Verdict:
            losses, of_x, of_W = zip(*world.results(), strict=True)
            if refused := differing(losses) or differing(of_x):
                return Verdict(None, refused)
            whole = np.zeros((shape[2], shape[1]), np.float32)
            whole[classes] = np.concatenate(of_W)
            return judge((losses[0], of_x[0], whole), ours=name == "softgrad")

        return Variant(name, what, lambda: world.call(name), verdict)

    variants = [variant(*way) for way in WAYS.items()]
    return TimedCase(f"linear head, {tables.shape(shape)}", "float32", shape, judge, variants, goals, one_round_in=2)


def prepare(rank: int, size: int, shape: tuple[int, int, int], classes: Array) -> Work:
    """The work of a rank; classes: those whose coefficients have gradients that are checked, ascending."""
    x, W, target = linear_cross_entropy.tensors(shape)
    upstream = _upstream(x, W, target).chunk(size, 1)[rank].contiguous()
    share = W.chunk(size)[rank]
    first = rank * len(W.chunk(size)[0])
    own = classes[(classes >= first) & (classes < first + len(share))] - first

    def checked(results: Any) -> Any:
        loss, of_x, of_W = (t.to_local() if isinstance(t, DTensor) else t for t in results)
        return None if loss is None else loss.detach().numpy(), of_x.numpy(), of_W[own].numpy()

    products = _products(x.clone(), share.clone(), upstream)
    return Work(_calls(x, share, target, size, W) | {BARE: products}, checked)


def _calls(
    x: torch.Tensor, share: torch.Tensor, target: torch.Tensor, size: int, whole: torch.Tensor
) -> dict[str, Any]:
    mesh = init_device_mesh("cpu", (size,))
    features = DTensor.from_local(x.clone(), mesh, [Replicate()], run_check=False).requires_grad_()
    coefficients = DTensor.from_local(
        share.clone(), mesh, [Shard(0)], shape=whole.shape, stride=whole.stride()
    ).requires_grad_()
    labels = DTensor.from_local(target, mesh, [Replicate()], run_check=False)
    x, share = x.requires_grad_(), share.clone().requires_grad_()

    def softgrad() -> Any:
        x.grad = share.grad = None
        loss = parallel.linear_cross_entropy(x, share, target)
        loss.backward()
        return loss, x.grad, share.grad

    def torchs() -> Any:
        features.grad = coefficients.grad = None
        with loss_parallel():
            loss = functional.cross_entropy(functional.linear(features, coefficients), labels)
            loss.backward()
        return loss, features.grad.redistribute(mesh, [Replicate()]), coefficients.grad

    return {"softgrad": softgrad, "torch": torchs}


def _products(x: torch.Tensor, W: torch.Tensor, upstream: torch.Tensor) -> Any:
    logits, of_x, of_W = torch.empty_like(upstream), torch.empty_like(x), torch.empty_like(W)

    def run() -> Any:
        torch.mm(x, W.T, out=logits)
        torch.mm(upstream, W, out=of_x)
        torch.mm(upstream.T, x, out=of_W)
        dist.all_reduce(of_x)
        return None, of_x, of_W  # no loss

    return run


def _upstream(x: torch.Tensor, W: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The gradient with respect to all logits."""
    result = x.new_empty(len(x), len(W))
    for rows in reference.row_blocks(*result.shape):
        probs = (x[rows] @ W.T).softmax(1)
        result[rows] = (probs - functional.one_hot(target[rows], len(W))) / len(x)
    return result
