"""The loss and the gradient of class shards: exact, the same on all ranks, with one collective."""

import functools
import inspect
import itertools

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor.debug import CommDebugMode

import softgrad.torch as st
from softgrad.torch import parallel
from softgrad.torch._kernels import _by_device, _composed
from softgrad.torch._shards import _group
from tests import families, oracle
from tests.torch.parallel import worlds
from tests.torch.parallel.shards import SIZES, Problem, shard

OPTIONS = list(itertools.product(("labels", "probs"), ("mean", "sum", "none"), (0.0, 0.1), (0.0, 0.3), (False, True)))
# Above float64's ULP, because both results have an error of their own; 16-bit results are rounded once from float32's.
TOLERANCE = {
    torch.float64: {"rtol": 1e-15, "atol": 1e-15},
    torch.float32: {"rtol": 5e-7, "atol": 2e-7},
    torch.bfloat16: {"rtol": 1e-2, "atol": 1e-3},
}


def every_option(problem, sizes, rank):
    """Compare losses and gradients with those on one device; return the losses."""
    own, losses = shard(sizes, rank), []
    for kind, reduction, smoothing, z_loss, weighted in OPTIONS:
        options = {"reduction": reduction, "label_smoothing": smoothing, "z_loss": z_loss}
        weight = problem.weight if weighted else None
        whole = problem.logits.clone().requires_grad_()
        local = problem.logits[:, own].clone().requires_grad_()
        expected = st.cross_entropy(whole, problem.targets(kind), weight, **options)
        loss = parallel.cross_entropy(local, problem.targets(kind, own), weight, **options)
        assert loss.dtype == expected.dtype
        tolerance = TOLERANCE[problem.logits.dtype]
        torch.testing.assert_close(loss, expected, **tolerance)
        upstream = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)
        expected.backward(upstream)
        loss.backward(upstream)
        torch.testing.assert_close(local.grad, whole.grad[:, own], **tolerance)
        losses.append(loss.detach())
    return losses


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_option(sizes):
    problem = Problem()
    first, *others = worlds.threads(len(sizes), lambda rank: every_option(problem, sizes, rank))
    for losses in others:
        assert all(torch.equal(a, b) for a, b in zip(losses, first, strict=True))  # the same bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_other_dtypes_and_more_axes(dtype):
    problem, sizes = Problem(dtype, rows=(3, 2)), [3, 4]
    worlds.threads(2, lambda rank: every_option(problem, sizes, rank))


def test_between_processes():
    problem, sizes = Problem(), [0, 5, 2]
    first, *others = worlds.processes(3, lambda rank: every_option(problem, sizes, rank))
    for losses in others:
        assert all(torch.equal(a, b) for a, b in zip(losses, first, strict=True))


def exact(z, sizes, rank):
    labels = torch.from_numpy(z.argmin(1) if rank is None else (np.arange(len(z)) * 7) % z.shape[1])
    local = torch.from_numpy(z[:, shard(sizes, rank)].copy()).requires_grad_()
    losses = parallel.cross_entropy(local, labels, reduction="none")
    losses.sum().backward()
    return losses.detach().numpy(), local.grad.numpy(), labels.numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_ulp(dtype):
    for name, z in families.all_families(dtype):
        n = z.shape[1]
        if n > 1000:
            continue
        sizes = [n // 3, 0, n - n // 3]
        ranks = worlds.threads(3, functools.partial(exact, z, sizes))
        rows = oracle.Rows(z)
        (losses, _, labels), *others = ranks
        assert all(np.array_equal(losses, other) for other, *_ in others), name
        assert oracle.error(losses, rows.loss(labels)) <= 2, name
        gradient = np.concatenate([g for _, g, _ in ranks], axis=1)
        assert oracle.error(gradient, rows.gradient(labels)) <= 2, name


def test_a_vocabulary_of_50257():
    """Uneven shards of many classes, maxima and labels on different shards."""
    z = families.normal(np.float32, 3.0, 50257, rows=3)
    z[0, [5, 40000]] = 30  # ties across shards
    z[1, :20000] = -np.inf  # a shard of -inf
    sizes = [20000, 10000, 0, 20257]
    ranks = worlds.threads(4, functools.partial(exact, z, sizes))
    labels = ranks[0][2]
    assert oracle.error(ranks[0][0][[0, 2]], oracle.Rows(z[[0, 2]]).loss(labels[[0, 2]])) <= 2
    expected = torch.from_numpy(z).double().requires_grad_()
    losses = torch.nn.functional.cross_entropy(expected, torch.from_numpy(labels), reduction="none")
    np.testing.assert_array_equal(ranks[0][0][1], np.float32(np.inf))  # a label at -inf
    losses[[0, 2]].sum().backward()
    gradient = np.concatenate([g for _, g, _ in ranks], axis=1)
    np.testing.assert_allclose(gradient[[0, 2]], expected.grad[[0, 2]], rtol=1e-6, atol=1e-12)


def test_special_values_stay_in_their_row():
    inf, nan = torch.inf, torch.nan
    z = torch.tensor([[0.0, 1, 2, 3], [nan, 0, 0, 0], [0, 0, nan, 0], [-inf, -inf, 1, 2], [inf, 0, 0, 0], [-inf] * 4])
    labels = torch.tensor([0, 0, 0, 2, 0, 0])
    expected = st.cross_entropy(z, labels, reduction="none")

    def losses(rank):
        own = shard([2, 2], rank)
        return parallel.cross_entropy(z[:, own], labels, reduction="none")

    for loss in worlds.threads(2, losses):
        torch.testing.assert_close(loss, expected, equal_nan=True)


@pytest.mark.parametrize("rows, classes", [(0, 2), (0, 0), (3, 0)])
def test_nothing(rows, classes):
    """No rows, or no classes on any rank."""
    whole = torch.zeros(rows, 2 * classes)
    kinds = [torch.zeros(rows, 2 * classes)] + ([torch.zeros(rows, dtype=torch.int64)] if not rows else [])
    for target, reduction in itertools.product(kinds, ("mean", "sum", "none")):
        own = target[:, :classes] if target.ndim == 2 else target
        expected = st.cross_entropy(whole, target, reduction=reduction)

        def loss(rank, target=own, reduction=reduction):
            x = torch.zeros(rows, 4, requires_grad=True)
            parallel.linear_cross_entropy(x, torch.zeros(classes, 4), target, reduction="sum").backward()
            assert not x.grad.any()
            return parallel.cross_entropy(whole[:, :classes], target, reduction=reduction)

        for result in worlds.threads(2, loss):
            torch.testing.assert_close(result, expected, equal_nan=True)


def test_one_collective_forward_and_none_backward():
    def counted(rank):
        local, labels = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 5, 7])
        before = local.detach().clone()
        with CommDebugMode() as forward:
            loss = parallel.cross_entropy(local, labels)
        with CommDebugMode() as backward:
            loss.backward()
        assert torch.equal(local.detach(), before)
        assert local._version == 0
        return forward.get_total_counts(), backward.get_total_counts()

    assert worlds.threads(2, counted) == [(1, 0)] * 2


def test_placed_shards_of_unequal_size_gather_once(monkeypatch):
    problem, sizes, calls = Problem(), [3, 4], []
    all_gather = _group.all_gather
    monkeypatch.setattr(_group, "all_gather", lambda *given: calls.append(1) or all_gather(*given))

    def smoothed(rank, placed):
        own = shard(sizes, rank)
        place = {"first_class": own.start, "num_classes": 7} if placed else {}
        return parallel.cross_entropy(problem.logits[:, own], problem.labels, label_smoothing=0.1, **place)

    for placed, again in [(True, 0), (False, 2)]:  # once more on each of two ranks
        calls.clear()
        worlds.threads(2, smoothed, placed)
        assert len(calls) == again


def test_saved_for_backward():
    """The logits, and eleven numbers per row."""

    def saved(rank):
        tensors, local = [], torch.randn(3, 400, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: tensors.append(t) or t, lambda t: t):
            parallel.cross_entropy(local, torch.tensor([0, 5, 7]))
        return sorted(t.nbytes for t in tensors)[-2:], any(t.data_ptr() == local.data_ptr() for t in tensors)

    assert worlds.threads(2, saved) == [([3 * 11 * 8, 3 * 400 * 4], True)] * 2


def test_another_log_softmax_keeps_its_gradient():
    labels = torch.tensor([0, 5, 7])

    def check(rank):
        z = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        loss, other = parallel.cross_entropy(z, labels), torch.log_softmax(z, 1)[:, 0].sum()
        (mine,) = torch.autograd.grad(loss, z, retain_graph=True)
        theirs = torch.eye(4)[0] - torch.softmax(z, 1)
        (both,) = torch.autograd.grad(loss + other, z)
        torch.testing.assert_close(both, mine + theirs)

    worlds.threads(2, check)


def test_a_subgroup():
    problem = Problem()

    def of_pairs(rank):
        groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
        own = shard([3, 4], rank % 2)
        return parallel.cross_entropy(problem.logits[:, own], problem.labels, group=groups[rank // 2])

    expected = st.cross_entropy(problem.logits, problem.labels)
    for loss in worlds.processes(4, of_pairs):
        torch.testing.assert_close(loss, expected, rtol=1e-15, atol=0)


def test_modules():
    problem = Problem()

    def losses(rank):
        own = shard([4, 3], rank)
        module = parallel.CrossEntropyLoss(problem.weight, label_smoothing=0.1, first_class=own.start, num_classes=7)
        head = parallel.LinearCrossEntropyLoss(5, 7, bias=True, z_loss=0.1, dtype=torch.float64)
        assert head.linear.weight.shape == (own.stop - own.start, 5)
        with torch.no_grad():
            head.linear.weight.copy_(problem.W[own])
            head.linear.bias.copy_(problem.bias[own])
        assert "num_classes=7" in repr(head)
        return module(problem.logits[:, own], problem.labels), head(problem.x, problem.labels)

    logits_loss = st.cross_entropy(problem.logits, problem.labels, problem.weight, label_smoothing=0.1)
    head_loss = st.linear_cross_entropy(problem.x, problem.W, problem.labels, linear_bias=problem.bias, z_loss=0.1)
    for of_logits, of_head in worlds.threads(2, losses):
        torch.testing.assert_close(of_logits, logits_loss)
        torch.testing.assert_close(of_head.detach(), head_loss)


def test_options_are_those_of_one_device():
    for name in ("cross_entropy", "linear_cross_entropy"):
        one, here = (inspect.signature(getattr(module, name)).parameters for module in (st, parallel))
        renamed = {"linear_weight": "local_weight", "linear_bias": "local_bias"}
        if name == "cross_entropy":
            renamed["input"] = "local_logits"
        options = [renamed.get(option, option) for option in one]
        assert options == [option for option in here if option in options]
        assert set(here) - set(options) <= {"first_class", "num_classes", "group", "sequence_parallel"}


def test_closed_forms(monkeypatch):
    """The path of devices without kernels, on the CPU."""
    monkeypatch.setattr(_by_device, "_native", _composed)
    problem, sizes = Problem(), [0, 5, 2]
    worlds.threads(3, lambda rank: every_option(problem, sizes, rank))

    def rejected(rank):
        with pytest.raises(IndexError, match=r"rank 0: target\[2\] is 9; expected a class index from 0 to 5"):
            parallel.cross_entropy(torch.zeros(3, 2), torch.tensor([0, -100, 9]))

    worlds.threads(3, rejected)
