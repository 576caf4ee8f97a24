"""Cross-entropy of logits whose classes are shared out over the ranks, with its gradient."""

from __future__ import annotations

import functools
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional

from benchmarks import reference, tables
from benchmarks.suites.parallel.world import Work, World, differing
from benchmarks.suites.torch import cross_entropy
from benchmarks.timing import Goal, TimedCase, Variant
from benchmarks.verdict import Exact, Judge, Verdict
from softgrad.torch import parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPILED = "torch compiled"


def ways() -> dict[str, str]:
    """The libraries and their functions; torch compiles only where there is a C++ compiler."""
    found = {"softgrad": "parallel.cross_entropy", "torch": "loss_parallel"}
    if shutil.which(os.environ.get("CXX", "g++")):
        found[COMPILED] = "loss_parallel"
    return found


def gradient(world: World, shape: tuple[int, int], goals: Sequence[Goal]) -> TimedCase:
    """The mean loss and backward(), each rank with the logits of its classes."""
    logits, target = cross_entropy.tensors(shape)
    exact, labels = logits.numpy(), target.numpy()
    rows = reference.sampled_rows(*shape)
    judge = Judge(
        [
            Exact(reference.mean_loss(exact, labels)),
            Exact(reference.gradient(exact[rows], labels[rows], np.float64) / shape[0], rows),
        ]
    )
    world.prepare(prepare, shape)

    def variant(name: str, what: str) -> Variant:
        def verdict(_: Any) -> Verdict:
            losses, gradients = zip(*world.results(), strict=True)
            if refused := differing(losses):
                return Verdict(None, refused)
            whole = np.zeros(shape, np.float32)
            whole[rows] = np.concatenate(gradients, axis=1)
            return judge((losses[0], whole), ours=name == "softgrad")

        return Variant(name, what, lambda: world.call(name), verdict)

    variants = [variant(*way) for way in ways().items()]
    return TimedCase(f"loss + backward, {tables.shape(shape)}", "float32", shape, judge, variants, goals)


def prepare(rank: int, size: int, shape: tuple[int, int]) -> Work:
    """The work of a rank."""
    logits, target = cross_entropy.tensors(shape)
    share = logits.chunk(size, 1)[rank].contiguous()
    rows = reference.sampled_rows(*shape)

    def checked(results: Any) -> Any:
        loss, of_logits = (t.to_local() if isinstance(t, DTensor) else t for t in results)
        return loss.detach().numpy(), of_logits[rows].numpy()

    return Work(_calls(share, target, size, logits), checked)


def _calls(share: torch.Tensor, target: torch.Tensor, size: int, whole: torch.Tensor) -> dict[str, Any]:
    mesh = init_device_mesh("cpu", (size,))
    plain = share.clone().requires_grad_()
    sharded = DTensor.from_local(share, mesh, [Shard(1)], shape=whole.shape, stride=whole.stride()).requires_grad_()
    labels = DTensor.from_local(target, mesh, [Replicate()], run_check=False)

    def softgrad() -> Any:
        plain.grad = None
        loss = parallel.cross_entropy(plain, target)
        loss.backward()
        return loss, plain.grad

    def torchs(loss_of: Any) -> Any:
        sharded.grad = None
        with loss_parallel():
            loss = loss_of(sharded, labels)
            loss.backward()
        return loss, sharded.grad

    return {
        "softgrad": softgrad,
        "torch": lambda: torchs(functional.cross_entropy),
        COMPILED: lambda: torchs(_compiled()),
    }


@functools.cache
def _compiled() -> Any:
    # The cache on disk cannot hold a process group, and warns of it.
    return torch.compile(functional.cross_entropy, options={"fx_graph_cache": False})
