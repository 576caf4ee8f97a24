"""The process group of the shards, and its only collective.

torch.distributed is imported where it is used: a build of torch may lack it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


def named(group: Any) -> str:
    """The name of a process group, of the default group for None; operators take it in place of the group."""
    import torch.distributed as dist  # noqa: PLC0415

    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "there is no process group; write torch.distributed.init_process_group(...) first, and start one process "
            "for each rank (torchrun does both)"
        )
    if group is None:
        group = dist.group.WORLD
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"group={group!r}; expected a torch.distributed.ProcessGroup of which this process is a member, or None; "
            "of a DeviceMesh write mesh.get_group(dim)"
        )
    return group.group_name


def rank_and_size(group: str) -> tuple[int, int]:
    """The rank of this process in a group, and the number of ranks."""
    from torch.distributed.distributed_c10d import _resolve_process_group  # noqa: PLC0415, which operators of torch use

    resolved = _resolve_process_group(group)
    return resolved.rank(), resolved.size()


def all_gather(message: Tensor, group: str) -> Tensor:
    """The messages of all ranks, of one shape, stacked."""
    from torch.distributed.distributed_c10d import _get_group_size_by_name  # noqa: PLC0415, which compilers can call

    size, collectives = _get_group_size_by_name(group), torch.ops._c10d_functional
    with _explained("all_gather", group):
        gathered = collectives.all_gather_into_tensor(message.contiguous().view(-1), size, group)
        return collectives.wait_tensor(gathered).view(size, *message.shape)


@contextmanager
def _explained(collective: str, group: str) -> Iterator[None]:
    """Add the group, the collective and the rank to the backend's error, if a rank is gone or late."""
    try:
        yield
    except RuntimeError as error:
        rank, size = rank_and_size(group)
        where = f"{collective} of class shards, rank {rank} of {size}, group {group!r}"
        raise type(error)(f"{where}: {error}") from error


def gather_rows(x: Tensor, counts: Tensor, group: str, rows: int) -> Tensor:
    """The rows of all ranks, one below the other; counts: how many each has; rows: how many there are."""
    lengths = counts.tolist()
    if sum(lengths) != rows:
        raise ValueError(
            f"the ranks hold {', '.join(map(str, lengths))} rows of input; expected {rows} in all, one for each "
            "element of target"
        )
    longest = max(lengths)
    padded = torch.nn.functional.pad(x, (0, 0, 0, longest - len(x)))
    return torch.cat([part[:length] for part, length in zip(all_gather(padded, group), lengths, strict=True)])


def own_rows(x: Tensor, counts: Tensor, group: str, rows: int) -> Tensor:
    """The rows of this rank, so many, among those of all."""
    rank, _ = rank_and_size(group)
    first = int(counts[:rank].sum())
    return x[first : first + rows].clone()


def sum_over_shards(x: Tensor, group: str) -> Tensor:
    """The sum of the tensors of all ranks, added in the order of the ranks: the same bits on all of them."""
    return all_gather(x, group).sum(0)


def for_every_shard(x: Tensor, group: str) -> Tensor:
    """A value that all ranks share, for each of them to use with its shard: its derivative sums over the ranks."""
    return x.clone()


def all_reduce(x: Tensor, group: str) -> Tensor:
    """The sum of the tensors of all ranks, which takes fewer bytes than to gather them."""
    collectives = torch.ops._c10d_functional
    with _explained("all_reduce", group):
        return collectives.wait_tensor(collectives.all_reduce(x.contiguous(), "sum", group))
