"""The linear head whose classes are shared out: the slices of the results on one device."""

import pytest
import torch
import torch.distributed as dist

import softgrad.torch as st
from softgrad.torch import parallel
from softgrad.torch._shards import _group, _message
from tests.torch.parallel import worlds
from tests.torch.parallel.shards import SIZES, Problem, shard

CLOSE = {"rtol": 1e-11, "atol": 1e-12}
OPTIONS = [
    {},
    {"chunk_rows": 2, "label_smoothing": 0.1, "z_loss": 0.2, "softcap": 2.0},
    {"chunk_rows": 3, "reduction": "none", "softcap": 2.0},
    {"reduction": "sum", "weighted": True, "chunk_rows": 1},
]


def leaves(problem, own=slice(None), rows=slice(None)):
    tensors = problem.x[rows], problem.W[own], problem.bias[own]
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def both(problem, sizes, rank, options, kind="labels", rows=None):
    """The losses on one device and of the shards, and the tensors of each."""
    own, options = shard(sizes, rank), dict(options)
    weight = problem.weight if options.pop("weighted", False) else None
    whole = leaves(problem)
    here = leaves(problem, own, slice(None) if rows is None else rows)
    expected = st.linear_cross_entropy(
        whole[0], whole[1], problem.targets(kind), linear_bias=whole[2], weight=weight, **options
    )
    loss = parallel.linear_cross_entropy(
        here[0], here[1], problem.targets(kind, own), local_bias=here[2], weight=weight,
        sequence_parallel=rows is not None, **options,
    )  # fmt: skip
    torch.testing.assert_close(loss, expected, **CLOSE)
    return expected, whole, loss, here


def check_gradients(own, g, g_here, rows=slice(None)):
    for ours, theirs, part in zip(g_here, g, (rows, own, own), strict=True):
        torch.testing.assert_close(ours, theirs[part], **CLOSE)


def first_and_second_order(problem, sizes, rank):
    own = shard(sizes, rank)
    for kind in ("labels", "probs"):
        for options in OPTIONS:
            expected, whole, loss, here = both(problem, sizes, rank, options, kind)
            s = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
            g = torch.autograd.grad(expected, whole, s, create_graph=True)
            g_here = torch.autograd.grad(loss, here, s, create_graph=True)
            check_gradients(own, g, g_here)
            h = torch.autograd.grad(g[:2], whole, (problem.x_change, problem.W_change))
            h_here = torch.autograd.grad(g_here[:2], here, (problem.x_change, problem.W_change[own]))
            check_gradients(own, h, h_here)
            expected, whole, loss, here = both(problem, sizes, rank, options, kind)
            (expected * s).sum().backward()
            (loss * s).sum().backward()  # without a graph: the gradients that come with the loss
            check_gradients(own, [t.grad for t in whole], [t.grad for t in here])
    return here[0].grad


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_first_and_second_order(sizes):
    problem = Problem()
    first, *others = worlds.threads(len(sizes), lambda rank: first_and_second_order(problem, sizes, rank))
    assert all(torch.equal(first, other) for other in others)  # the gradient of x is one for all ranks


def test_between_processes():
    problem = Problem()
    first, second = worlds.processes(2, lambda rank: first_and_second_order(problem, [3, 4], rank))
    assert torch.equal(first, second)


def test_rows_and_classes_shared_out():
    problem, counts = Problem(), [3, 0, 1]

    def check(rank):
        rows = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        for options in OPTIONS:
            expected, whole, loss, here = both(problem, [0, 5, 2], rank, options, rows=rows)
            g, g_here = (
                torch.autograd.grad(value.sum(), tensors, create_graph=True)
                for value, tensors in [(expected, whole), (loss, here)]
            )
            check_gradients(shard([0, 5, 2], rank), g, g_here, rows)
            h, h_here = (
                torch.autograd.grad(gradients[1], tensors, change)
                for gradients, tensors, change in [
                    (g, whole, problem.W_change), (g_here, here, problem.W_change[shard([0, 5, 2], rank)]),
                ]
            )  # fmt: skip
            check_gradients(shard([0, 5, 2], rank), h, h_here, rows)

    worlds.threads(3, check)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_other_dtypes(dtype):
    problem, sizes = Problem(dtype), [3, 4]
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}

    def check(rank):
        own = shard(sizes, rank)
        whole, here = leaves(problem), leaves(problem, own)
        expected = st.linear_cross_entropy(whole[0], whole[1], problem.labels, linear_bias=whole[2])
        loss = parallel.linear_cross_entropy(here[0], here[1], problem.labels, local_bias=here[2])
        assert loss.dtype == expected.dtype
        expected.backward()
        loss.backward()
        torch.testing.assert_close(loss, expected, **tolerance)
        for ours, theirs, part in zip(here, whole, (slice(None), own, own), strict=True):
            assert ours.grad.dtype == dtype
            torch.testing.assert_close(ours.grad, theirs.grad[part], **tolerance)

    worlds.threads(2, check)


@pytest.mark.parametrize("options", [{}, {"reduction": "none", "softcap": 2.0}], ids=str)
def test_forward_mode(options):
    problem, sizes = Problem(), [3, 4]

    def whole(x, W):
        return st.linear_cross_entropy(x, W, problem.labels, **options)

    def here(x, W):
        return parallel.linear_cross_entropy(x, W, problem.labels, **options)

    def check(rank):
        own = shard(sizes, rank)
        _, expected = torch.func.jvp(whole, (problem.x, problem.W), (problem.x_change, problem.W_change))
        _, change = torch.func.jvp(here, (problem.x, problem.W[own]), (problem.x_change, problem.W_change[own]))
        torch.testing.assert_close(change, expected, **CLOSE)

    worlds.processes(2, check)


def test_collectives(monkeypatch):
    """One to agree, one per chunk, and one for the gradient of x; none in the backward pass."""
    problem, calls = Problem(), []
    for name in ("all_gather", "all_reduce"):
        monkeypatch.setattr(_group, name, counting(getattr(_group, name), calls))
        monkeypatch.setattr(_message, name, getattr(_group, name), raising=False)

    def forward(rank):
        here = leaves(problem, shard([4, 3], rank))
        place = {"first_class": 4 * rank, "num_classes": 7}
        loss = parallel.linear_cross_entropy(here[0], here[1], problem.labels.abs() % 7, chunk_rows=2, **place)
        dist.barrier()
        counts = sorted(calls)
        dist.barrier()
        loss.backward()
        return counts == sorted(calls)

    assert worlds.threads(2, forward) == [True, True]
    assert sorted(calls) == ["all_gather"] * 6 + ["all_reduce"] * 2


def counting(collective, calls):
    def counted(*given):
        calls.append(collective.__name__)
        return collective(*given)

    return counted
