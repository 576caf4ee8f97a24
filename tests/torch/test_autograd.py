"""Derivatives of any order through autograd, and what users do with a graph: hooks, retention, changes in place."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import softgrad.torch as st
from tests.torch import pairs

LABELS, PROBS, WEIGHT = pairs.tensors()[1:]
OPTIONS = {
    "plain": {},
    "weight": dict(weight=WEIGHT),
    "smoothing": dict(label_smoothing=0.1),
    "z-loss": dict(z_loss=0.3),
    "all": dict(weight=WEIGHT, label_smoothing=0.1, z_loss=0.1),
}
REDUCTIONS = ("mean", "sum", "none")
# Beyond so many logits the gradient is not kept from the forward pass.
LARGE, SMALL = (1100, 1000), (7, 5)


def leaf(shape=(pairs.ROWS, pairs.CLASSES), dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=dtype, generator=generator).requires_grad_()


def ladder(f, *tensors):
    """First, second and third derivatives against differences, in forward and reverse mode, batched and not."""
    batched = dict(check_batched_grad=True)
    assert gradcheck(f, tensors, check_forward_ad=True, check_batched_forward_grad=True, **batched)
    assert gradgradcheck(f, tensors, check_fwd_over_rev=True, check_rev_over_rev=True, **batched)

    def gradients(*tensors):
        result = f(*tensors)
        return torch.autograd.grad(result.sin().sum(), tensors, create_graph=True)

    assert gradgradcheck(gradients, tensors)


@pytest.mark.parametrize("dim", [0, 1])
def test_ladder_of_softmax(dim):
    ladder(lambda x: st.softmax(x, dim), leaf())
    ladder(lambda x: st.log_softmax(x, dim), leaf())
    ladder(lambda x: st.logsumexp(x, dim), leaf())


def test_ladder_of_logsumexp_over_all():
    ladder(lambda x: st.logsumexp(x, (0, 1)), leaf())


@pytest.mark.parametrize("target", [LABELS, PROBS], ids=["labels", "probs"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ladder_of_the_loss(reduction, options, target):
    ladder(lambda x: st.cross_entropy(x, target, reduction=reduction, **options), leaf())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ladder_in_several_dimensions(reduction):
    target = torch.tensor([[0, 2], [-100, 1]])
    ladder(lambda x: st.cross_entropy(x, target, reduction=reduction, z_loss=0.2), leaf((2, 3, 2)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_targets_and_weights_are_differentiable(reduction, smoothing):
    probs, weight = PROBS.clone().requires_grad_(), WEIGHT.clone().requires_grad_()
    options = dict(reduction=reduction, label_smoothing=smoothing, z_loss=0.1)
    ladder(lambda x, q, w: st.cross_entropy(x, q, w, **options), leaf(), probs, weight)
    ladder(lambda x, w: st.cross_entropy(x, LABELS, w, **options), leaf(), weight)


def plainly(x, target, weight, reduction, label_smoothing=0.0, z_loss=0.0):
    """The definition; torch's own loss has no derivative with respect to the weights of labels."""
    log_p, classes = F.log_softmax(x, 1), x.shape[1]
    kept = torch.ones(len(x), dtype=torch.bool) if target.is_floating_point() else target != -100
    q = target if target.is_floating_point() else F.one_hot(target.where(kept, 0), classes).to(x.dtype)
    y = weight * ((1 - label_smoothing) * q + label_smoothing / classes)
    losses = (-(y * log_p).sum(1) + z_loss * torch.logsumexp(x, 1) ** 2) * kept
    count = len(x) if target.is_floating_point() else (weight[target.where(kept, 0)] * kept).sum()
    return losses if reduction == "none" else losses.sum() / (count if reduction == "mean" else 1)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_of_targets_and_weights(reduction, options):
    options = {k: v for k, v in options.items() if k != "weight"}
    for target in (LABELS, PROBS.clone().requires_grad_()):
        gradients = []
        for f in (st.cross_entropy, plainly):
            x, weight = leaf(), WEIGHT.clone().requires_grad_()
            wanted = [x, weight] + [target] * target.requires_grad
            loss = f(x, target, weight, reduction=reduction, **options)
            gradients.append((loss, *torch.autograd.grad(loss.cos().sum(), wanted)))
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)


def test_dual_numbers():
    x, tangent = leaf().detach(), leaf(seed=1).detach()
    for name, f in pairs.scalars().items():
        changes = []
        for module in pairs.BOTH:
            with forward_ad.dual_level():
                result = f(module, forward_ad.make_dual(x, tangent))
                changes.append(forward_ad.unpack_dual(result))
        torch.testing.assert_close(*changes, msg=lambda text, name=name: f"{name}: {text}")


def test_forward_over_reverse_by_hand():
    x, tangent = leaf(), leaf(seed=1).detach()
    for name, f in pairs.scalars().items():
        products = []
        for module in pairs.BOTH:
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(x, tangent)
                (gradient,) = torch.autograd.grad(f(module, dual), dual)
                products.append(forward_ad.unpack_dual(gradient).tangent)
        torch.testing.assert_close(*products, msg=lambda text, name=name: f"{name}: {text}")


def test_batched_gradients():
    x = leaf()
    for f in (st.softmax, st.log_softmax):
        result = f(x, 1)
        seeds = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
        (rows,) = torch.autograd.grad(result, x, seeds, is_grads_batched=True, retain_graph=True)
        one_by_one = [torch.autograd.grad(result, x, seed, retain_graph=True)[0] for seed in seeds]
        torch.testing.assert_close(rows, torch.stack(one_by_one), rtol=1e-14, atol=1e-16)
    for reduction in REDUCTIONS:
        loss = st.cross_entropy(x, LABELS, WEIGHT, reduction=reduction)
        seeds = torch.randn(3, *loss.shape, dtype=x.dtype)
        (rows,) = torch.autograd.grad(loss, x, seeds, is_grads_batched=True, retain_graph=True)
        one_by_one = [torch.autograd.grad(loss, x, seed, retain_graph=True)[0] for seed in seeds]
        torch.testing.assert_close(rows, torch.stack(one_by_one), rtol=1e-14, atol=1e-16)


def both_sizes(reduction="mean", seed=0, dtype=torch.float32):
    for shape in (SMALL, LARGE):
        x = leaf(shape, dtype, seed)
        target = torch.arange(shape[0]) % shape[1]
        yield x, target, st.cross_entropy(x, target, reduction=reduction)


def gradient_of(x, target, scale=1.0):
    """By torch, in float64."""
    wide = x.detach().double().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(wide, target), wide)[0] * scale


def close(got, exact):
    torch.testing.assert_close(got.double(), exact, rtol=1e-6, atol=1e-12)


def test_a_graph_can_be_gone_through_again():
    for x, target, loss in both_sizes():
        expected = gradient_of(x, target)
        first, second, third = (torch.autograd.grad(loss, x, retain_graph=keep)[0] for keep in (True, True, False))
        close(first, expected)
        assert torch.equal(first, second)
        assert torch.equal(first, third)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, x)


def test_a_gradient_belongs_to_its_owner():
    for x, target, loss in both_sizes():
        expected = gradient_of(x, target)
        (first,) = torch.autograd.grad(loss, x, retain_graph=True)
        first.fill_(7)
        (second,) = torch.autograd.grad(loss, x, retain_graph=True)
        close(second, expected)
        second.zero_()
        loss.backward()
        close(x.grad, expected)
        assert bool((first == 7).all())
        assert bool((second == 0).all())


def test_gradients_accumulate():
    for x, target, loss in both_sizes():
        loss.backward(retain_graph=True)
        kept = x.grad
        loss.backward(retain_graph=True)
        assert x.grad is kept
        close(kept, gradient_of(x, target, 2))
        st.cross_entropy(x, target).backward()
        close(kept, gradient_of(x, target, 3))
        (alone,) = torch.autograd.grad(loss, x)
        close(alone, gradient_of(x, target))


def test_two_losses_of_the_same_logits():
    for x, target, _ in both_sizes():
        (st.cross_entropy(x, target) + st.cross_entropy(x, target.flip(0)) + x.sum()).backward()
        close(x.grad, gradient_of(x, target) + gradient_of(x, target.flip(0)) + 1)


@pytest.mark.parametrize("factor", [3.0, 0.0, -1.5, 2.0**16, float("nan")])
def test_upstream_gradients(factor):
    for x, target, loss in both_sizes():
        (gradient,) = torch.autograd.grad(loss * factor, x)
        exact = gradient_of(x, target) * factor
        torch.testing.assert_close(gradient.double(), exact, rtol=1e-6, atol=1e-12, equal_nan=True)
    for x, _, losses in both_sizes("none"):
        upstream = torch.randn(losses.shape)
        (gradient,) = torch.autograd.grad(losses, x, upstream)
        wide = x.detach().double().requires_grad_()
        reference = F.cross_entropy(wide, torch.arange(len(x)) % x.shape[1], reduction="none")
        close(gradient, torch.autograd.grad(reference, wide, upstream.double())[0])


def test_an_infinite_upstream_gradient_is_not_hidden():
    for x, _, loss in both_sizes():  # the scaler of mixed precision steps back when it sees one
        assert not torch.autograd.grad(loss * float("inf"), x)[0].isfinite().any()


def test_hooks_see_and_change_gradients():
    for x, target, loss in both_sizes():
        loss.register_hook(lambda g: g * 3)
        seen = []
        x.register_hook(seen.append)
        loss.backward()
        close(x.grad, gradient_of(x, target, 3))
        close(seen[0], gradient_of(x, target, 3))


def test_create_graph_keeps_the_first_gradient_differentiable():
    for x, target, loss in both_sizes(dtype=torch.float64):
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        assert gradient.requires_grad
        close(gradient, gradient_of(x, target))
        (product,) = torch.autograd.grad(gradient.square().sum(), x)
        wide = x.detach().clone().requires_grad_()
        (reference,) = torch.autograd.grad(F.cross_entropy(wide, target), wide, create_graph=True)
        torch.testing.assert_close(product, torch.autograd.grad(reference.square().sum(), wide)[0])


def test_backward_through_a_graph_of_gradients_into_grad():
    x = leaf()
    loss = st.cross_entropy(x, LABELS)
    with pytest.warns(UserWarning, match="reference cycle"):
        loss.backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.square().sum().backward()
    wide = leaf()
    (reference,) = torch.autograd.grad(F.cross_entropy(wide, LABELS), wide, create_graph=True)
    torch.testing.assert_close(x.grad, torch.autograd.grad(reference.square().sum(), wide)[0])
    x.grad = None


@pytest.mark.parametrize("which", ["logits", "target", "weight"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_arguments_changed_before_backward_are_an_error(shape, reduction, which):
    x = leaf(shape, torch.float32) * 1
    arguments = dict(logits=x, target=torch.arange(shape[0]) % shape[1], weight=torch.ones(shape[1]))
    loss = st.cross_entropy(x, arguments["target"], arguments["weight"], reduction=reduction).sum()
    with torch.no_grad():
        arguments[which].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
def test_what_softmax_keeps_must_not_change(function):
    x = leaf(dtype=torch.float32) * 1
    result = getattr(st, function)(x, 1)
    with torch.no_grad():
        (result if function == "softmax" else x).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def test_softmax_does_not_need_its_logits():
    x = leaf()
    logits = x * 1
    probs = st.softmax(logits, 1)
    with torch.no_grad():
        logits.zero_()
    (gradient,) = torch.autograd.grad(probs[:, 0].sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(F.softmax(x, 1)[:, 0].sum(), x)[0])


FUNCTIONS = {
    "softmax": lambda m, z, *_: m.softmax(z, 1),
    "log_softmax": lambda m, z, *_: m.log_softmax(z, 1),
    "logsumexp": lambda m, z, *_: pairs.logsumexp(m, z, 1, keepdim=True),
    "labels": lambda m, z, q, y, w: m.cross_entropy(z, y, w),
    "labels, none": lambda m, z, q, y, w: m.cross_entropy(z, y, w, reduction="none", label_smoothing=0.1),
    "probs": lambda m, z, q, y, w: m.cross_entropy(z, q, w, label_smoothing=0.1),
    "probs, none": lambda m, z, q, y, w: m.cross_entropy(z, q, w, reduction="none"),
    "linear head": lambda m, z, q, y, w: m.linear_cross_entropy(z, q, y, linear_bias=w, reduction="sum"),
    "linear head, none": lambda m, z, q, y, w: m.linear_cross_entropy(z, q, y, weight=w, reduction="none"),
}


@pytest.mark.parametrize("of_target", [False, True])
@pytest.mark.parametrize("changed", [0, 1, 2, 3, None], ids=["logits", "target", "labels", "weight", "result"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_change_in_place_goes_unnoticed(name, changed, of_target):
    """The gradient is that of the loss, or an error: nothing in between."""
    leaves = leaf((4, 4)), leaf((4, 4), seed=1).requires_grad_(of_target)
    others = torch.tensor([0, 3, 1, 2]), leaf((4,), seed=2).detach().square() + 0.5
    wanted = [t for t in leaves if t.requires_grad]

    def gradients(change):
        arguments = [t * 1 for t in (*leaves, *others)]
        result = FUNCTIONS[name](st, *arguments)
        if change:
            with torch.no_grad():
                (result if changed is None else arguments[changed]).zero_()
        return torch.autograd.grad(result.sum(), wanted, allow_unused=True)

    expected = gradients(change=False)
    try:
        found = gradients(change=True)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
    else:
        for one, other in zip(found, expected, strict=True):
            assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize("name", ["logsumexp", "softmax"])
def test_a_result_changed_before_backward_is_an_error_as_in_torch(name):
    for module in (st, F):
        result = FUNCTIONS[name](module, leaf())
        with torch.no_grad():
            result.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.sum().backward()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_tangents_of_ignored_rows_reach_no_derivative(reduction):
    """A product before the loss makes them NaN where features are."""
    z, (ignored,) = leaf().detach(), (LABELS == -100).nonzero()

    def derivatives(z, tangent):
        def f(z):
            return st.cross_entropy(z, LABELS, reduction=reduction).sum()

        return *torch.func.jvp(f, (z,), (tangent,)), *torch.func.jvp(torch.func.grad(f), (z,), (tangent,))

    expected = derivatives(z, torch.ones_like(z))
    z, tangent = z.clone(), torch.ones_like(z)
    z[ignored], tangent[ignored] = float("nan"), float("inf")
    torch.testing.assert_close(derivatives(z, tangent), expected)


INF = float("inf")
UNUSUAL = {
    "infinite": [INF, 1.0],
    "infinite twice": [1.0, INF, INF],
    "infinite and masked": [INF, -INF, 0.0],
    "masked": [-INF, 1.0, 2.0],
    "masked but one": [-INF, 1.0, -INF],
    "all masked": [-INF, -INF],
    "NaN": [float("nan"), 1.0, 2.0],
    "NaN and infinite": [float("nan"), INF, 2.0],
    "a single infinite": [INF],
    "a single masked": [-INF],
    "beyond all exponents": [3e38, -3e38],
}


@pytest.mark.parametrize("row", UNUSUAL.values(), ids=UNUSUAL.keys())
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_derivatives_at_infinities_are_torchs(name, row):
    def functions(module):
        yield from (lambda z: FUNCTIONS[name](module, z), lambda z: FUNCTIONS[name](module, z[:1]))

    func = torch.func
    z = torch.tensor([row, [0.5] * len(row)], dtype=torch.float64)
    for ours, theirs in zip(functions(st), functions(F), strict=True):
        torch.testing.assert_close(ours(z), theirs(z), equal_nan=True)
        for first in (func.jacrev, func.jacfwd):
            torch.testing.assert_close(first(ours)(z), first(theirs)(z), equal_nan=True)
            for second in (func.jacrev, func.jacfwd):
                torch.testing.assert_close(second(first(ours))(z), second(first(theirs))(z), equal_nan=True)
        eager = [torch.autograd.grad(f(x := z.clone().requires_grad_()).sum(), x)[0] for f in (ours, theirs)]
        torch.testing.assert_close(*eager, equal_nan=True)


def test_the_gradient_of_logsumexp_with_an_infinite_logit():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        z = torch.tensor([INF, 1.0], dtype=dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad(st.logsumexp(z, 0), z)
        assert gradient[0].isnan()
        assert gradient[1] == 0


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_checkpointing(shape):
    target = torch.arange(shape[0]) % shape[1]

    def head(x):
        return st.cross_entropy(x * 2, target) + st.log_softmax(x, 1)[0, 0] + st.softmax(x, 1)[0, 1]

    x = leaf(shape)
    checkpoint(head, x, use_reentrant=False).backward()
    expected = torch.autograd.grad(head(x), x)[0]
    torch.testing.assert_close(x.grad, expected, rtol=1e-14, atol=1e-18)


class Saved:
    """What a graph keeps, by storage, and in how many bytes."""

    def __init__(self, f):
        self.storages = {}
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda t: t):
            self.result = f()

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor


def alive_bytes():
    """Of all tensors that Python holds, each memory counted once."""
    gc.collect()
    tensors = [o for o in gc.get_objects() if type(o) in (torch.Tensor, torch.nn.Parameter) and o.is_cpu]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_graph_keeps_logits_and_labels_alone(reduction):
    x, target = leaf((4096, 1000), torch.float32), torch.zeros(4096, dtype=torch.int64)
    before = alive_bytes()
    saved = Saved(lambda: st.cross_entropy(x, target, reduction=reduction))
    assert saved.storages == {x.data_ptr(): x.nbytes, target.data_ptr(): target.nbytes}
    assert alive_bytes() - before == saved.result.nbytes


def test_a_graph_of_softmax_keeps_the_probabilities_alone():
    x = leaf((64, 1000), torch.float32)
    saved = Saved(lambda: st.softmax(x, 1))
    assert list(saved.storages) == [saved.result.data_ptr()]
    assert list(Saved(lambda: st.log_softmax(x, 1)).storages) == [x.data_ptr()]
    saved = Saved(lambda: st.logsumexp(x, 1))
    assert list(saved.storages) == [x.data_ptr(), saved.result.data_ptr()]


def test_a_small_loss_keeps_no_more_than_one_gradient():
    x, target = leaf(SMALL, torch.float32), torch.zeros(SMALL[0], dtype=torch.int64)
    before = alive_bytes()
    loss = st.cross_entropy(x, target)
    assert alive_bytes() - before <= loss.nbytes + x.nbytes
    loss.backward()
    gradient = x.grad
    del loss
    assert alive_bytes() - before == gradient.nbytes


def test_products_under_weights_that_average_to_zero():
    z, v, q = torch.randn(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    weight = torch.tensor([1.0, -1, 2, -2], dtype=torch.float64)

    def product(module):
        loss = lambda z: module.cross_entropy(z, q.abs(), weight, label_smoothing=0.3)  # noqa: E731
        return torch.autograd.functional.hvp(loss, z, v)[1]

    torch.testing.assert_close(product(st), product(torch.nn.functional))
