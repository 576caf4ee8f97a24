"""The worlds of the other tests themselves."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

from tests.torch.parallel import worlds


def rank_sum(rank):
    total = torch.tensor([float(rank)])
    dist.all_reduce(total)
    return rank, total


@pytest.mark.parametrize("world", [worlds.threads, worlds.processes])
@pytest.mark.parametrize("size", [1, 3])
def test_ranks_communicate_and_return_their_results(world, size):
    results = world(size, rank_sum)
    assert [rank for rank, _ in results] == list(range(size))
    assert all(total == sum(range(size)) for _, total in results)


@pytest.mark.parametrize("world", [worlds.threads, worlds.processes])
def test_the_first_failure_is_raised_with_its_rank(world):
    def fail(rank):
        if rank == 1:
            raise KeyError("a")
        dist.barrier()

    with pytest.raises(KeyError, match="a") as caught:
        world(2, fail)
    assert caught.value.__notes__[-1] == "on rank 1 of 2"


@pytest.mark.parametrize("world", [worlds.threads, worlds.processes])
def test_a_rank_that_waits_for_ever_is_an_error(world, monkeypatch):
    monkeypatch.setattr(worlds, "TIMEOUT", 0.2)

    def wait(rank):
        if rank == 0:
            dist.barrier()

    with pytest.raises((TimeoutError, RuntimeError)):
        world(2, wait)
    monkeypatch.undo()
    assert len(world(2, rank_sum)) == 2


@pytest.mark.parametrize("world", [worlds.threads, worlds.processes])
def test_dtensors_work_in_both_worlds(world):
    def product(rank):
        mesh = init_device_mesh("cpu", (2, 2))
        x = distribute_tensor(torch.arange(20.0).reshape(4, 5), mesh, [Shard(0), Shard(1)]).requires_grad_()
        (x * x).sum().backward()
        return x.grad.full_tensor()

    for grad in world(4, product):
        assert torch.equal(grad, 2 * torch.arange(20.0).reshape(4, 5))
