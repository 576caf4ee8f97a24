"""The collectives of one forward and backward pass, and their bytes, as rank 0 of a group of any size issues them.

torch's "fake" process group stands in for the other ranks. It moves no data, so that every collective gets the result
that it would have if all ranks sent what rank 0 sends: shards of equal size with equal logits.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional
from torch.testing._internal.distributed.fake_pg import FakeStore

from benchmarks import tables
from softgrad.torch import parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.table import Table

    from benchmarks.suites import Record

# The other functional collectives that a loss might use: an error, so that none goes uncounted.
_NOT_EXPECTED = (
    "all_gather_into_tensor_coalesced", "all_reduce_", "all_to_all_single", "broadcast", "reduce_scatter_tensor",
)  # fmt: skip


@dataclass
class Count:
    """Collectives of one pass."""

    collectives: int = 0
    message_bytes: int = 0
    """Bytes of the tensors that a rank hands over."""
    sent_bytes: int = 0
    """Bytes that a rank sends to others by ring algorithms: all_gather R - 1 messages, all_reduce 2 (R - 1) / R."""

    def add(self, message: torch.Tensor, messages_sent: float) -> None:
        """Count one more."""
        self.collectives += 1
        self.message_bytes += message.nbytes
        self.sent_bytes += round(messages_sent * message.nbytes)


@contextmanager
def counting(ranks: int) -> Generator[Count]:
    """Within the context, collectives are counted, and have the result that they have if all ranks are as this one."""
    count = Count()

    def all_gather(message: torch.Tensor, _size: int, _group: str) -> torch.Tensor:
        count.add(message, ranks - 1)
        return message.repeat(ranks, *[1] * (message.ndim - 1))

    def all_reduce(message: torch.Tensor, operation: str, _group: str) -> torch.Tensor:
        count.add(message, 2 * (ranks - 1) / ranks)
        if operation not in {"sum", "max"}:
            raise NotImplementedError(f"all_reduce of {operation}; expected sum or max")
        return message * ranks if operation == "sum" else message.clone()

    def refuse(*_: Any) -> Any:
        raise NotImplementedError(f"none of {', '.join(_NOT_EXPECTED)} is counted")

    # Kernels, not a dispatch mode: a mode does not see the collectives inside an operator.
    with torch.library._scoped_library("_c10d_functional", "IMPL") as library:
        library.impl("all_gather_into_tensor", all_gather, "CPU")
        library.impl("all_reduce", all_reduce, "CPU")
        for name in _NOT_EXPECTED:
            library.impl(name, refuse, "CPU")
        yield count


@dataclass(frozen=True)
class WireCase:
    """A pass of one library on a number of ranks."""

    rows: int
    features: int
    classes: int
    """Of every rank."""
    ranks: int
    ways: dict[str, Callable[[WireCase], Generator[None]]] = field(default_factory=lambda: dict(WAYS))

    @property
    def title(self) -> str:
        """The number of ranks and the shape."""
        return f"{self.ranks} ranks, {tables.shape((self.rows, self.ranks * self.classes))}"

    def measure(self, _rounds: int, progress: Callable[[str], object]) -> Record:
        """Count the forward and the backward pass of every way."""
        counts = []
        with fake_group(self.ranks):
            for name, way in self.ways.items():
                progress(name)
                counts.append({"name": name, **counted(way(self), self.ranks)})
        return {"title": self.title, "ranks": self.ranks, "rows": self.rows, "wire": counts, "goals": []}


@contextmanager
def fake_group(size: int) -> Generator[None]:
    """Within the context, this process is rank 0 of so many."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def counted(passes: Generator[None], ranks: int) -> dict[str, Any]:
    """The collectives of a generator that runs the forward pass, and then the backward pass."""
    counts = {}
    for name in "forward", "backward":
        with counting(ranks) as count:
            next(passes)
        counts[name] = vars(count)
    passes.close()
    return counts


def _logits(case: WireCase) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(case.rows, case.classes, generator=generator)
    return logits, torch.randint(case.classes, (case.rows,), generator=generator)


def _head(case: WireCase) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(case.rows, case.features, generator=generator)
    W = torch.randn(case.classes, case.features, generator=generator)
    return x, W, torch.randint(case.classes, (case.rows,), generator=generator)


def _ours(case: WireCase, label_smoothing: float = 0.0) -> Generator[None]:
    logits, target = _logits(case)
    loss = parallel.cross_entropy(logits.requires_grad_(), target, label_smoothing=label_smoothing)
    yield
    loss.backward()
    yield


def _smoothed(case: WireCase) -> Generator[None]:
    return _ours(case, label_smoothing=0.1)


def _torchs(case: WireCase) -> Generator[None]:
    mesh = init_device_mesh("cpu", (case.ranks,))
    logits, target = _logits(case)
    sharded = DTensor.from_local(logits, mesh, [Shard(1)]).requires_grad_()
    labels = DTensor.from_local(target, mesh, [Replicate()], run_check=False)
    with loss_parallel():
        loss = functional.cross_entropy(sharded, labels)
    yield
    with loss_parallel():
        loss.backward()
    yield


def _our_head(case: WireCase) -> Generator[None]:
    x, W, target = _head(case)
    loss = parallel.linear_cross_entropy(x.requires_grad_(), W.requires_grad_(), target)
    yield
    loss.backward()
    yield


def _torchs_head(case: WireCase) -> Generator[None]:
    mesh = init_device_mesh("cpu", (case.ranks,))
    x, W, target = _head(case)
    x = DTensor.from_local(x, mesh, [Replicate()], run_check=False).requires_grad_()
    W = DTensor.from_local(W, mesh, [Shard(0)]).requires_grad_()
    labels = DTensor.from_local(target, mesh, [Replicate()], run_check=False)
    with loss_parallel():
        loss = functional.cross_entropy(functional.linear(x, W), labels)
    yield
    with loss_parallel():
        loss.backward()
    x.grad.redistribute(mesh, [Replicate()])
    yield


WAYS: dict[str, Callable[[WireCase], Generator[None]]] = {
    "cross_entropy": _ours,
    "cross_entropy, label_smoothing": _smoothed,
    "loss_parallel": _torchs,
    "linear_cross_entropy": _our_head,
    "F.linear, loss_parallel": _torchs_head,
}


def table(records: list[Record]) -> Table:
    """Collectives and bytes, by ranks."""
    result = tables.new_table(
        "collectives of a rank", "forward", "backward", "message\nof a rank", "sent by\na rank", "sent\nper row"
    )
    for record in records:
        tables.add_heading(result, record["title"])
        for way in record["wire"]:
            passes = way["forward"], way["backward"]
            sent = sum(each["sent_bytes"] for each in passes)
            result.add_row(
                f"  {way['name']}",
                *(str(each["collectives"]) for each in passes),
                tables.size(sum(each["message_bytes"] for each in passes)),
                tables.size(sent),
                f"{sent / record['rows']:.0f} B",
            )
    return result
