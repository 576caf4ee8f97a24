"""linear_cross_entropy of DTensors, against torch.nn.functional on one device in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.distributed.tensor.debug import CommDebugMode

import softgrad.torch as st
from tests.torch import pairs
from tests.torch.parallel import worlds
from tests.torch.parallel.test_dtensor import assert_close

R = Replicate()
# Meshes and placements of features (N, T, D), of coefficients (C, D) and of the loss per row.
LAYOUTS = {
    "rows": ((3,), [Shard(0)], [R], [Shard(0)]),
    "classes": ((3,), [R], [Shard(0)], [R]),
    "sequence parallel": ((2,), [Shard(1)], [Shard(0)], [R]),
    "rows by classes": ((2, 2), [Shard(0), R], [R, Shard(0)], [Shard(0), R]),
    "rows by classes, sequence parallel": ((2, 2), [Shard(0), Shard(1)], [R, Shard(0)], [Shard(0), R]),
    "classes by rows": ((2, 2), [R, Shard(1)], [Shard(0), R], [R, Shard(1)]),
    "replicated": ((2,), [R], [R], [R]),
}
OPTIONS = {
    "mean": {},
    "sum": {"reduction": "sum", "softcap": 2.0},
    "none": {"reduction": "none", "z_loss": 0.1},
    "weight, smoothing": {"weight": True, "label_smoothing": 0.1},
    "probabilities": {"probabilities": True},
}
SHAPE, CLASSES = (3, 4, 2), 7


def case(options):
    """Features, coefficients and bias, directions, the target and the options of a call."""
    g = torch.Generator().manual_seed(0)
    shapes = [SHAPE, (CLASSES, SHAPE[-1]), (CLASSES,)]
    tensors, directions = ([torch.randn(s, dtype=torch.float64, generator=g) for s in shapes] for _ in range(2))
    target = torch.randint(CLASSES, SHAPE[:-1], generator=g)
    target[1, 2] = -100
    options = dict(options)
    if options.pop("probabilities", False):
        target = torch.rand((*SHAPE[:-1], CLASSES), dtype=torch.float64, generator=g)
    if options.get("weight"):
        options["weight"] = 0.5 + torch.rand(CLASSES, dtype=torch.float64, generator=g)
    return tensors, directions, target, options


def derivatives(loss, tensors, directions, upstream):
    gradients = torch.autograd.grad(loss, tensors, upstream, create_graph=True)
    products = torch.autograd.grad(gradients, tensors, directions, create_graph=True)
    return *gradients, *products, *torch.autograd.grad(products, tensors, directions)


def one_device(tensors, target, softcap=None, weight=None, **options):
    x, W, bias = tensors
    logits = F.linear(x, W, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    by_class = target.movedim(-1, 1) if target.is_floating_point() else target
    return pairs.cross_entropy(F, logits.movedim(-1, 1), by_class, weight, **options)


CASES = [
    pytest.param(*layout, options, id=f"{name}, {kind}", marks=() if (i + j) % 3 == 0 or not i else pytest.mark.slow)
    for i, (kind, options) in enumerate(OPTIONS.items())
    for j, (name, layout) in enumerate(LAYOUTS.items())
]


@pytest.mark.parametrize("mesh_shape, x_placements, W_placements, rows, options", CASES)
def test_loss_and_derivatives_are_those_of_one_device(mesh_shape, x_placements, W_placements, rows, options):
    tensors, directions, target, options = case(options)
    is_per_row = options.get("reduction") == "none"
    upstream = torch.full(SHAPE[:-1] if is_per_row else (), 0.7, dtype=torch.float64)
    all_placements = x_placements, W_placements, W_placements

    def on_rank(rank):
        mesh = init_device_mesh("cpu", mesh_shape)
        placed = [
            [distribute_tensor(t, mesh, p) for t, p in zip(group, all_placements, strict=True)]
            for group in (tensors, directions)
        ]
        leaves = [t.requires_grad_() for t in placed[0]]
        loss = st.linear_cross_entropy(leaves[0], leaves[1], target, linear_bias=leaves[2], **options)
        assert list(loss.placements) == (rows if is_per_row else [R] * mesh.ndim)
        results = derivatives(loss, leaves, placed[1], distribute_tensor(upstream, mesh, loss.placements))
        assert [list(result.placements) for result in results] == 3 * list(all_placements)
        return [result.full_tensor().detach() for result in (loss, *results)]

    leaves = [t.clone().requires_grad_() for t in tensors]
    loss = one_device(leaves, target, **options)
    expected = [loss, *derivatives(loss, leaves, directions, upstream)]
    for results in worlds.threads(int(np.prod(mesh_shape)), on_rank):
        for actual, of_torch in zip(results, expected, strict=True):
            assert_close(actual, of_torch.detach())


def test_coefficients_may_have_other_placements_than_their_use():
    """A bias that is replicated, plain, or sharded along another dimension of the mesh; weights that require grad."""
    (x, W, bias), _, target, options = case({"weight": True})

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2, 2))
        dx = distribute_tensor(x, mesh, [Shard(0), Shard(1)]).requires_grad_()
        dW = distribute_tensor(W, mesh, [R, Shard(0)]).requires_grad_()
        results = []
        for b in (distribute_tensor(bias, mesh, [R, R]), bias.clone(), distribute_tensor(bias, mesh, [Shard(0), R])):
            weight = distribute_tensor(options["weight"], mesh, [R, Shard(0)]).requires_grad_()
            leaves = [dx, dW, b.requires_grad_(), weight]
            loss = st.linear_cross_entropy(dx, dW, target, linear_bias=b, weight=weight)
            gradients = torch.autograd.grad(loss, leaves)
            for gradient, leaf in zip(gradients, leaves, strict=True):
                assert not isinstance(leaf, DTensor) or gradient.placements == leaf.placements
            results.append([g.full_tensor() if isinstance(g, DTensor) else g for g in gradients])
        return results

    leaves = [t.clone().requires_grad_() for t in (x, W, bias, options["weight"])]
    loss = st.linear_cross_entropy(*leaves[:2], target, linear_bias=leaves[2], weight=leaves[3])
    expected = torch.autograd.grad(loss, leaves)
    for results in worlds.threads(4, on_rank):
        for gradients in results:
            for actual, one in zip(gradients, expected, strict=True):
                assert_close(actual, one)


def test_module_with_parameters_of_a_mesh():
    (x, *_), _, target, _ = case({})
    head = st.LinearCrossEntropyLoss(SHAPE[-1], CLASSES, bias=True, dtype=torch.float64)
    expected = head(x, target)
    expected.backward()
    state = {name: (p.detach().clone(), p.grad) for name, p in head.linear.named_parameters()}

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2,))
        head = st.LinearCrossEntropyLoss(SHAPE[-1], CLASSES, bias=True, dtype=torch.float64)
        for name, (value, _) in state.items():
            setattr(head.linear, name, torch.nn.Parameter(distribute_tensor(value, mesh, [Shard(0)])))
        loss = head(distribute_tensor(x, mesh, [Shard(1)]), target)
        loss.backward()
        assert_close(loss.full_tensor().detach(), expected.detach())
        for name, (_, gradient) in state.items():
            assert_close(getattr(head.linear, name).grad.full_tensor(), gradient)

    worlds.threads(2, on_rank)


def test_one_collective_for_the_sum_of_rows_and_one_for_the_gradient_of_coefficients():
    (x, W, _), _, target, _ = case({})

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2,))
        dx = distribute_tensor(x, mesh, [Shard(0)]).requires_grad_()
        dW = distribute_tensor(W, mesh, [R]).requires_grad_()
        with CommDebugMode() as forward:
            loss = st.linear_cross_entropy(dx, dW, target)
        with CommDebugMode() as backward:
            loss.backward()
        return forward.get_total_counts(), backward.get_total_counts()

    assert worlds.threads(2, on_rank) == [(1, 1)] * 2


def distributed(shape, placements, mesh_shape=(2,)):
    return distribute_tensor(torch.zeros(shape), init_device_mesh("cpu", mesh_shape), placements)


# Shape and placements of x, those of W; None: a plain tensor.
REJECTED = {
    "plain features": (
        (4, 2), None, (3, 2), [R], TypeError, "linear_weight is a DTensor and input a plain tensor",
    ),
    "plain coefficients": (
        (4, 2), [R], (3, 2), None, TypeError, "input is a DTensor and linear_weight a plain tensor",
    ),
    "sharded features": (
        (4, 2), [Shard(1)], (3, 2), [R], ValueError,
        r"input has shape \(4, 2\) and placements \(Shard\(dim=1\),\); expected its last dimension",
    ),
    "coefficients sharded by features": (
        (4, 2), [R], (3, 2), [Shard(1)], ValueError, r"linear_weight has shape .*expected Shard\(0\), of classes",
    ),
    "several outputs": (
        (4, 2), [R], (3, 1, 2), [R], NotImplementedError,
        r"linear_weight has shape \(3, 1, 2\) and is a DTensor; expected \(C, D\)",
    ),
    "another mesh": (
        (4, 2), [R], (3, 2), [R, R], ValueError, "linear_weight is on .* expected one mesh",
    ),
}  # fmt: skip


@pytest.mark.parametrize("x_shape, x_placements, W_shape, W_placements, kind, text", REJECTED.values(), ids=REJECTED)
def test_errors_name_what_is_expected_on_all_ranks(x_shape, x_placements, W_shape, W_placements, kind, text):
    def placed(shape, placements):
        if placements is None:
            return torch.zeros(shape)
        mesh = init_device_mesh("cpu", (2,) if len(placements) == 1 else (1, 2))
        return distribute_tensor(torch.zeros(shape), mesh, placements)

    def on_rank(rank):
        target = torch.zeros(4, *W_shape[1:-1], dtype=torch.int64)
        with pytest.raises(kind, match=text):
            st.linear_cross_entropy(placed(x_shape, x_placements), placed(W_shape, W_placements), target)

    worlds.threads(2, on_rank)
