"""cross_entropy of DTensors, against torch.nn.functional on one device in float64."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.distributed.tensor.debug import CommDebugMode

import softgrad.torch as st
from softgrad.torch.parallel._local_parts import sum_over_ranks
from tests.torch import pairs
from tests.torch.parallel import worlds

R = Replicate()
# Meshes and placements of logits of shape (N, C, d1): each dimension of the mesh shares out rows, classes or nothing.
LAYOUTS = {
    "rows": ((3,), [Shard(0)]),
    "last axis": ((3,), [Shard(2)]),
    "replicated": ((2,), [R]),
    "rows by rows": ((2, 2), [Shard(0), Shard(2)]),
    "rows twice": ((2, 2), [Shard(0), Shard(0)]),
    "classes": ((3,), [Shard(1)]),
    "rows by classes": ((2, 2), [Shard(0), Shard(1)]),
    "classes by rows": ((2, 2), [Shard(1), Shard(2)]),
    "replicated by classes": ((2, 2), [R, Shard(1)]),
}
# The second has fewer rows and classes than ranks.
SHAPES = [(5, 7, 2), (2, 2, 1)]
OPTIONS = {
    "mean": {},
    "sum, z-loss": {"reduction": "sum", "z_loss": 0.1},
    "none": {"reduction": "none"},
    "weight": {"weight": True},
    "weight, smoothing, z-loss": {"weight": True, "label_smoothing": 0.1, "z_loss": 0.2},
    "probabilities": {"probabilities": True},
    "probabilities, weight, smoothing": {"probabilities": True, "weight": True, "label_smoothing": 0.1},
    "probabilities, none": {"probabilities": True, "reduction": "none", "z_loss": 0.1},
}


def case(shape, options, dtype=torch.float64):
    """Logits, a direction, the target and the options of a call."""
    g = torch.Generator().manual_seed(0)
    logits, v = torch.randn(2, *shape, dtype=torch.float64, generator=g).to(dtype)
    n, classes, *rest = shape
    target = torch.randint(classes, (n, *rest), generator=g)
    target.view(-1)[1] = -100
    options = dict(options)
    if options.pop("probabilities", False):
        target = torch.rand(shape, dtype=torch.float64, generator=g).to(dtype)
    if options.get("weight"):
        options["weight"] = 0.5 + torch.rand(classes, dtype=torch.float64, generator=g).to(dtype)
    return logits, v, target, options


def derivatives(loss, x, v, upstream):
    """The gradient, the Hessian times v with the change of the loss, and the gradients of both."""
    upstream.requires_grad_()
    (gradient,) = torch.autograd.grad(loss, x, upstream, create_graph=True)
    second = torch.autograd.grad(gradient, (x, upstream), v, create_graph=True)
    third = torch.autograd.grad(second, (x, upstream), (v, upstream), allow_unused=True)
    return gradient, *second, *third


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12, equal_nan=True)


def every_case():
    """Each layout with each shape and all options; the quick ones with one of them in turn."""
    for i, (layout, shape) in enumerate(itertools.product(LAYOUTS, SHAPES)):
        for j, options in enumerate(OPTIONS):
            marks = () if j == 3 * i % len(OPTIONS) else pytest.mark.slow
            yield pytest.param(
                *LAYOUTS[layout], shape, OPTIONS[options], marks=marks, id=f"{layout}, {shape}, {options}"
            )


@pytest.mark.parametrize("mesh_shape, placements, shape, options", list(every_case()))
def test_loss_and_derivatives_are_those_of_one_device(mesh_shape, placements, shape, options):
    logits, v, target, options = case(shape, options)
    is_per_row = options.get("reduction") == "none"
    rows = [Shard(p.dim // 2) if p.is_shard() and p.dim != 1 else R for p in placements]
    loss_placements = rows if is_per_row else [R] * len(mesh_shape)
    upstream = v[:, 0].contiguous() if is_per_row else torch.tensor(0.7, dtype=v.dtype)

    def on_rank(rank):
        mesh = init_device_mesh("cpu", mesh_shape)
        x = distribute_tensor(logits, mesh, placements).requires_grad_()
        s = distribute_tensor(upstream, mesh, loss_placements)
        loss = st.cross_entropy(x, target, **options)
        assert list(loss.placements) == loss_placements
        results = derivatives(loss, x, distribute_tensor(v, mesh, placements), s)
        for like, result in zip((x, x, s, x, s), results, strict=True):
            assert (result.placements, result.stride()) == (like.placements, like.stride())
        assert is_per_row or len(set(gathered_bits(loss))) == 1
        return [result.full_tensor().detach() for result in (loss, *results)]

    z = logits.requires_grad_()
    loss = pairs.cross_entropy(F, z, target, **options)
    expected = [loss, *derivatives(loss, z, v, upstream.clone())]
    for results in worlds.threads(int(np.prod(mesh_shape)), on_rank):
        for actual, of_torch in zip(results, expected, strict=True):
            assert_close(actual, of_torch.detach())


def gathered_bits(loss):
    """The loss of every rank."""
    mine = loss.to_local().detach()
    parts = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, mine)
    return [part.item() for part in parts]


def test_the_weighted_mean_of_uneven_rows_divides_by_the_weights_of_all_ranks():
    """As pytorch#185167: a mean of the means of the ranks would be wrong."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], dtype=torch.float64)
    target, weight = torch.tensor([0, 1, 1]), torch.tensor([1.0, 10.0], dtype=torch.float64)

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2,))
        return st.cross_entropy(distribute_tensor(logits, mesh, [Shard(0)]), target, weight).to_local()

    losses = torch.tensor([np.log1p(np.exp(-2)), np.log1p(np.exp(-1)), np.log1p(np.exp(2))])
    expected = (losses * torch.tensor([1, 10, 10])).sum() / 21
    for loss in worlds.threads(2, on_rank):
        assert_close(loss, expected.to(torch.float64))


def test_no_row_that_counts_on_one_rank_and_on_any():
    logits = torch.randn(4, 3, dtype=torch.float64)

    def on_rank(rank):
        x = distribute_tensor(logits, init_device_mesh("cpu", (2,)), [Shard(0)])
        return [st.cross_entropy(x, torch.tensor(labels)).to_local() for labels in ([1, 2, -100, -100], [-100] * 4)]

    some, none = worlds.threads(2, on_rank)[1]
    assert_close(some, F.cross_entropy(logits[:2], torch.tensor([1, 2])))
    assert none.isnan()


@pytest.mark.parametrize(
    "placements",
    [
        [Shard(0), Shard(1)],
        *(pytest.param(p, marks=pytest.mark.slow) for p in ([Shard(0), R], [R, Shard(1)], [R, R])),
    ],
    ids=str,
)
def test_targets_and_weights_are_plain_or_have_any_placement(placements):
    """Their gradients too are those of one device, with their own placements."""
    logits, _, q, options = case((5, 7), {"probabilities": True, "weight": True})
    weight, labels = options["weight"], torch.tensor([0, 6, -100, 3, 2])

    def gradients(loss, *tensors):
        return torch.autograd.grad(loss.sum(), tensors)

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2, 2))
        x = distribute_tensor(logits, mesh, placements).requires_grad_()
        results = []
        for reduction in ("mean", "none"):
            for places in (None, [Shard(0), Shard(0)], [Shard(1), R], [R, Shard(1)]):
                given = [t.clone() if places is None else distribute_tensor(t, mesh, places) for t in (q,)]
                w_places = [p if p == Shard(0) else R for p in places or [R]]
                given.append(weight.clone() if places is None else distribute_tensor(weight, mesh, w_places))
                given = [t.requires_grad_() for t in given]
                loss = st.cross_entropy(x, *given, reduction=reduction)
                found = gradients(loss, x, *given)
                assert places is None or [list(g.placements) for g in found[1:]] == [places, w_places]
                results.append((loss, *found))
                label_places = [p if p == Shard(0) else R for p in places or [R]]
                given = [labels if places is None else distribute_tensor(labels, mesh, label_places), given[1]]
                loss = st.cross_entropy(x, *given, reduction=reduction)
                results.append((loss, *gradients(loss, x, given[1])))
        return [[t.full_tensor() if isinstance(t, DTensor) else t for t in r] for r in results]

    expected = []
    for reduction in ("mean", "none"):
        z, p, w = (t.clone().requires_grad_() for t in (logits, q, weight))
        loss = F.cross_entropy(z, p, w, reduction=reduction)
        kept = (labels >= 0).double() * w[labels.clamp(min=0)]
        label_loss = -kept * F.log_softmax(z, 1)[range(5), labels.clamp(min=0)]
        if reduction == "mean":
            label_loss = label_loss.sum() / kept.sum()
        both = [(loss, *gradients(loss, z, p, w)), (label_loss, *gradients(label_loss, z, w))]
        expected += 4 * both
    for results in worlds.threads(4, on_rank):
        for result, of_torch in zip(results, expected, strict=True):
            for actual, one in zip(result, of_torch, strict=True):
                assert_close(actual.detach(), one.detach())


def test_logits_of_partial_sums_are_summed_first():
    logits, _, target, _ = case((5, 7), {})

    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2,))
        x = DTensor.from_local(logits if rank else 2 * logits, mesh, [Partial()]).requires_grad_()
        loss = st.cross_entropy(x, target)
        loss.backward()
        return loss.full_tensor(), x.grad.full_tensor()

    z = (3 * logits).requires_grad_()
    expected = F.cross_entropy(z, target)
    expected.backward()
    for loss, gradient in worlds.threads(2, on_rank):
        assert_close(loss.detach(), expected.detach())
        assert_close(gradient, z.grad)


def test_classes_of_a_vector_are_sharded():
    logits = torch.randn(5, dtype=torch.float64)

    def on_rank(rank):
        x = distribute_tensor(logits, init_device_mesh("cpu", (2,)), [Shard(0)]).requires_grad_()
        loss = st.cross_entropy(x, torch.tensor(3))
        loss.backward()
        return loss.full_tensor(), x.grad.full_tensor()

    z = logits.requires_grad_()
    expected = F.cross_entropy(z, torch.tensor(3))
    expected.backward()
    for loss, gradient in worlds.threads(2, on_rank):
        assert_close(loss.detach(), expected.detach())
        assert_close(gradient, z.grad)


@pytest.mark.parametrize("placement", [Shard(0), Shard(1)], ids=str)
def test_float32_is_within_two_ulp(placement):
    logits, _, target, options = case((333, 401), {"weight": True}, torch.float32)

    def on_rank(rank):
        x = distribute_tensor(5 * logits, init_device_mesh("cpu", (3,)), [placement]).requires_grad_()
        loss = st.cross_entropy(x, target, **options)
        (0.75 * loss).backward()
        return loss.full_tensor().detach(), x.grad.full_tensor()

    z = (5 * logits).double().requires_grad_()
    loss = F.cross_entropy(z, target, options["weight"].double())
    (0.75 * loss).backward()
    for actual, exact in zip(worlds.threads(3, on_rank)[0], (loss.detach(), z.grad), strict=True):
        ulp = torch.as_tensor(np.spacing(np.abs(exact.float().numpy())))
        assert ((actual.double() - exact).abs() / ulp).max() <= 2


def test_sums_over_ranks_are_exact():
    def on_rank(rank):
        mesh = init_device_mesh("cpu", (3,))
        parts = torch.tensor([[1e16, 1.0], [1.0, 2.0], [-1e16, 3.0]], dtype=torch.float64)
        return sum_over_ranks(parts[rank], mesh, [0])

    for total in worlds.threads(3, on_rank):
        assert total.tolist() == [1, 6]


@pytest.mark.parametrize("placement", [Shard(0), Shard(1), R], ids=str)
def test_16_bit_logits_are_summed_in_float32_and_rounded_once(placement):
    logits, _, target, _ = case((300, 8), {}, torch.bfloat16)

    def on_rank(rank):
        x = distribute_tensor(logits, init_device_mesh("cpu", (2,)), [placement])
        with torch.autocast("cpu"):
            assert st.cross_entropy(x, target).dtype == torch.float32
        return st.cross_entropy(x, target).to_local()

    for loss in worlds.threads(2, on_rank):
        assert loss.dtype == torch.bfloat16
        assert loss == F.cross_entropy(logits.double(), target).to(torch.bfloat16)


@pytest.mark.parametrize(
    "placements, forward", [([Shard(0), R], 1), ([R, Shard(1)], 1), ([Shard(0), Shard(1)], 2), ([R, R], 0)], ids=str
)
def test_one_collective_for_each_role_forward_and_none_backward(placements, forward):
    logits, _, target, options = case((5, 7), {"weight": True})

    def on_rank(rank):
        x = distribute_tensor(logits, init_device_mesh("cpu", (2, 2)), placements).requires_grad_()
        with CommDebugMode() as counts:
            loss = st.cross_entropy(x, target, **options)
        with CommDebugMode() as backward_counts:
            loss.backward()
        return counts.get_total_counts(), backward_counts.get_total_counts()

    assert worlds.threads(4, on_rank) == [(forward, 0)] * 4


@pytest.mark.parametrize("placements", [[Shard(0), R], [R, Shard(0)], [Shard(0), Shard(0)]], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_label_that_is_no_class_is_an_error_on_all_ranks(placements, reduction):
    logits = torch.zeros(4, 3)

    def on_rank(rank):
        x = distribute_tensor(logits, init_device_mesh("cpu", (2, 2)), placements)
        with pytest.raises(IndexError) as caught:
            st.cross_entropy(x, torch.tensor([0, 1, 2, 7]), reduction=reduction)
        return str(caught.value)

    (text, *others) = worlds.threads(4, on_rank)
    assert "is 7; expected a class index from 0 to 2" in text
    assert others == [text] * 3


def distributed(tensor, placements, mesh_shape=(2,)):
    return distribute_tensor(tensor, init_device_mesh("cpu", mesh_shape), placements)


REJECTED = {
    "plain logits": (
        lambda: st.cross_entropy(torch.zeros(4, 3), distributed(torch.tensor([0, 1, 2, 0]), [R])),
        TypeError, "target is a DTensor and input a plain tensor; .*distribute_tensor",
    ),
    "plain logits beside a weight": (
        lambda: st.cross_entropy(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]), distributed(torch.ones(3), [R])),
        TypeError, "weight is a DTensor and input a plain tensor",
    ),
    "classes over two dimensions": (
        lambda: st.cross_entropy(
            distributed(torch.zeros(4, 3), [Shard(1), Shard(1)], (1, 2)), torch.tensor([0, 1, 2, 0])
        ),
        ValueError, r"input has shape \(4, 3\) and placements .*expected Shard\(1\), of classes, along one",
    ),
    "another mesh": (
        lambda: st.cross_entropy(
            distributed(torch.zeros(4, 3), [R]), distributed(torch.tensor([0, 1, 2, 0]), [R, R], (2, 1))
        ),
        ValueError, "target is on .* expected one mesh",
    ),
    "local labels": (
        lambda: st.cross_entropy(distributed(torch.zeros(4, 3), [Shard(0)]), torch.tensor([0, 1])),
        ValueError, r"target has shape \(2,\) beside input of shape \(4, 3\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call, kind, text", REJECTED.values(), ids=REJECTED)
def test_errors_name_what_is_expected_on_all_ranks(call, kind, text):
    def on_rank(rank):
        with pytest.raises(kind, match=text):
            call()

    worlds.threads(2, on_rank)


FUNCTIONS = {
    "softmax": (lambda x: st.softmax(x, 1), lambda x: x.softmax(1)),
    "log_softmax": (lambda x: st.log_softmax(x, -2), lambda x: x.log_softmax(-2)),
    "logsumexp": (lambda x: st.logsumexp(x, 1), lambda x: x.logsumexp(1)),
    "logsumexp, keepdim": (lambda x: st.logsumexp(x, 1, keepdim=True), lambda x: x.logsumexp(1, keepdim=True)),
    "module": (st.Softmax(dim=1), torch.nn.Softmax(dim=1)),
}


@pytest.mark.parametrize("ours, of_torch", FUNCTIONS.values(), ids=FUNCTIONS)
def test_softmax_of_whole_rows(ours, of_torch):
    logits, v, *_ = case((5, 3, 4), {})
    z = logits.clone().requires_grad_()
    y = of_torch(z)
    expected = [y, *derivatives(y, z, v, torch.ones_like(y))]

    def on_rank(rank):
        for placements in ([Shard(0), Shard(2)], [R, Shard(2)], [Shard(0), Shard(0)]):
            x = distributed(logits, placements, (2, 2)).requires_grad_()
            y = ours(x)
            results = derivatives(y, x, distributed(v, placements, (2, 2)), torch.ones_like(y))
            assert all(result.placements == x.placements for result in (results[0], results[1], results[3]))
            for actual, one in zip((y, *results), expected, strict=True):
                assert_close(actual.full_tensor().detach(), one.detach())

    worlds.threads(4, on_rank)


@pytest.mark.parametrize("function", [st.softmax, st.log_softmax, st.logsumexp])
def test_softmax_of_rows_in_parts_is_an_error(function):
    def on_rank(rank):
        x = distributed(torch.zeros(4, 3, 2), [Shard(1)])
        with pytest.raises(ValueError, match=r"expected whole rows along dim=1; write input.redistribute\(placements="):
            function(x, 1)

    worlds.threads(2, on_rank)


def test_another_log_softmax_nearby_keeps_its_gradient():
    logits, v, target, _ = case((5, 7), {})

    def on_rank(rank):
        x = distributed(logits, [Shard(0)]).requires_grad_()
        y = F.log_softmax(x, 1)
        (y * distributed(v, [Shard(0)]) + st.cross_entropy(x, target)).sum().backward()
        return x.grad.full_tensor()

    z = logits.requires_grad_()
    (F.log_softmax(z, 1) * v + F.cross_entropy(z, target)).sum().backward()
    for gradient in worlds.threads(2, on_rank):
        assert_close(gradient, z.grad)
