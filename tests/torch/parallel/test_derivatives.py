"""Derivatives of class shards beyond the gradient: the slices of those on one device."""

import pytest
import torch
import torch.autograd.forward_ad as fw
from torch.distributed.tensor.debug import CommDebugMode
from torch.func import grad, jvp, vmap

import softgrad.torch as st
from softgrad.torch import parallel
from softgrad.torch._dispatch import sharded_operators as sharded
from tests.torch.parallel import worlds
from tests.torch.parallel.shards import SIZES, Problem, shard

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
derivative = torch.autograd.grad


def differentiable(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def close(own, expected, *pairs):
    """Compare slices of the classes, and values that all ranks share."""
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs if theirs.shape == ours.shape else theirs[:, own], **CLOSE)


def up_to_fourth_order(problem, sizes, rank):
    own = shard(sizes, rank)
    for kind, options in [
        ("labels", {}),
        ("labels", {"label_smoothing": 0.1, "z_loss": 0.3, "weight": problem.weight}),
        ("probs", {"z_loss": 0.3, "reduction": "none"}),
        ("probs", {"weight": problem.weight, "reduction": "sum", "label_smoothing": 0.1}),
    ]:
        z, local = *differentiable(problem.logits), *differentiable(problem.logits[:, own])
        expected = st.cross_entropy(z, problem.targets(kind), **options)
        loss = parallel.cross_entropy(local, problem.targets(kind, own), **options)
        s, s_here = differentiable(*[torch.linspace(0.5, 2, loss.numel(), dtype=z.dtype).view(loss.shape)] * 2)
        v, v_here = *differentiable(problem.v), *differentiable(problem.v[:, own])
        g = derivative(expected, z, s, create_graph=True)
        g_here = derivative(loss, local, s_here, create_graph=True)
        h = derivative(g, (z, s), v, create_graph=True)
        h_here = derivative(g_here, (local, s_here), v_here, create_graph=True)
        close(own, h, *zip(h_here, h, strict=True))
        third = derivative(h[0], (z, s, v), problem.w, create_graph=True)
        third_here = derivative(h_here[0], (local, s_here, v_here), problem.w[:, own], create_graph=True)
        close(own, third, *zip(third_here, third, strict=True))
        fourth = derivative(third[0], z, problem.v)
        fourth_here = derivative(third_here[0], local, problem.v[:, own])
        close(own, fourth, *zip(fourth_here, fourth, strict=True))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_up_to_fourth_order(sizes):
    problem = Problem()
    worlds.threads(len(sizes), lambda rank: up_to_fourth_order(problem, sizes, rank))


def test_one_collective_per_hessian_vector_product():
    def counted(rank):
        z = torch.randn(3, 4, requires_grad=True)
        g = derivative(parallel.cross_entropy(z, torch.tensor([0, 5, 7])), z, create_graph=True)
        with CommDebugMode() as mode:
            derivative(g, z, torch.randn(3, 4))
        return mode.get_total_counts()

    assert worlds.threads(2, counted) == [1, 1]


@pytest.mark.parametrize("kind", ["labels", "probs"])
def test_targets_and_class_weights(kind):
    problem, sizes = Problem(), [0, 5, 2]

    def check(rank):
        own = shard(sizes, rank)
        for reduction in ("mean", "sum"):
            options = {"reduction": reduction, "label_smoothing": 0.1, "z_loss": 0.3}
            whole = differentiable(problem.logits, problem.weight, problem.probs)
            here = differentiable(problem.logits[:, own], problem.weight, problem.probs[:, own])
            of = 3 if kind == "probs" else 2
            expected = st.cross_entropy(whole[0], whole[2] if of == 3 else problem.labels, whole[1], **options)
            loss = parallel.cross_entropy(here[0], here[2] if of == 3 else problem.labels, here[1], **options)
            torch.testing.assert_close(loss, expected, **CLOSE)
            g = derivative(expected, whole[:of], create_graph=True)
            g_here = derivative(loss, here[:of], create_graph=True)
            close(own, g, *zip(g_here, g, strict=True))
            h = derivative(g[0], whole[:of], problem.v)
            h_here = derivative(g_here[0], here[:of], problem.v[:, own])
            close(own, h, *zip(h_here, h, strict=True))

    worlds.threads(3, check)


def test_gradgradcheck():
    """Every rank changes the same element of whole logits, which all share, and takes its slice."""
    problem, sizes = Problem(), [3, 4]

    def check(rank):
        group = torch.distributed.group.WORLD.group_name

        def loss(z):
            local = sharded.for_every_shard(z, group)[:, shard(sizes, rank)]
            return parallel.cross_entropy(local, problem.labels, z_loss=0.1)

        (z,) = differentiable(problem.logits)
        return torch.autograd.gradcheck(loss, z) and torch.autograd.gradgradcheck(loss, z)

    assert worlds.processes(2, check) == [True, True]


def transforms(problem, sizes, rank):
    own = shard(sizes, rank)

    def whole(z):
        return st.cross_entropy(z, problem.labels, z_loss=0.1)

    def here(z):
        return parallel.cross_entropy(z, problem.labels, z_loss=0.1)

    def product(f, z):
        return lambda v: jvp(grad(f), (z,), (v,))[1]

    z, v = problem.logits, problem.v
    batch = torch.stack([z, v])
    pairs = [
        (grad(here)(z[:, own]), grad(whole)(z)[:, own]),
        (jvp(here, (z[:, own],), (v[:, own],))[1], jvp(whole, (z,), (v,))[1]),
        (product(here, z[:, own])(v[:, own]), product(whole, z)(v)[:, own]),
        (vmap(here)(batch[:, :, own]), vmap(whole)(batch)),
        (vmap(grad(here))(batch[:, :, own]), vmap(grad(whole))(batch)[:, :, own]),
        (vmap(product(here, z[:, own]))(batch[:, :, own]), vmap(product(whole, z))(batch)[:, :, own]),
    ]
    with fw.dual_level():
        tangents = [
            fw.unpack_dual(f(fw.make_dual(a, b))).tangent for f, a, b in [(here, z[:, own], v[:, own]), (whole, z, v)]
        ]
    for ours, theirs in [*pairs, tangents]:
        torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.parametrize("sizes", [[7], [0, 5, 2]], ids=str)
def test_transforms(sizes):
    problem = Problem()
    worlds.processes(len(sizes), lambda rank: transforms(problem, sizes, rank))  # the levels of torch.func are global
