"""Any layout, shape, kind of tensor and mode: the results of the NumPy front end, bit for bit, and torch's shapes."""

import functools

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import softgrad as sg
import softgrad.torch as st
from tests.torch import pairs

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=GENERATOR).to(dtype)


def negated(*shape):
    """A view that torch negates lazily."""
    view = torch.complex(normal(*shape), normal(*shape)).conj().imag
    assert view.is_neg()
    return view


LAYOUTS = {
    "contiguous": normal(6, 8),
    "transposed": normal(8, 6).T,
    "every other column": normal(6, 16)[:, ::2],
    "every other row": normal(12, 8)[::2],
    "part": normal(9, 11)[2:8, 3:],
    "reversed": normal(6, 8).flip(1),
    "expanded rows": normal(1, 8).expand(6, 8),
    "expanded classes": normal(6, 1).expand(6, 8),
    "overlapping": normal(13).as_strided((6, 8), (1, 1)),
    "negated": negated(6, 8),
    "real part": torch.view_as_complex(normal(6, 8, 2)).real,
    "one column": normal(6, 1),
    "one row": normal(1, 8),
    "images": normal(2, 3, 4, 5),
    "channels last": normal(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "volumes": normal(2, 3, 2, 3, 2).to(memory_format=torch.channels_last_3d),
    "permuted": normal(4, 2, 5, 3).permute(1, 3, 0, 2),
    "many classes": normal(3, 5000)[:, ::2],
}


def labels_for(x):
    classes = x.shape[min(1, x.ndim - 1)]
    rows = x.select(min(1, x.ndim - 1), 0).shape
    return torch.randint(classes, rows, generator=torch.Generator().manual_seed(1))


def same(tensor, array):
    np.testing.assert_array_equal(tensor.detach().numpy(), array, strict=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts_give_what_the_numpy_functions_give(x, dtype):
    if dtype != x.dtype:
        x = x.to(dtype)  # which keeps dense strides
    z = x.resolve_neg().numpy()
    for dim in range(-x.ndim, x.ndim):
        same(st.softmax(x, dim), sg.softmax(z, axis=dim))
        same(st.log_softmax(x, dim), sg.log_softmax(z, axis=dim))
        same(st.logsumexp(x, dim, keepdim=True), sg.logsumexp(z, axis=dim, keepdims=True))
    same(st.logsumexp(x, (0, -1)), sg.logsumexp(z, axis=(0, -1)))
    y = labels_for(x)
    probs = st.softmax(normal(*x.shape, dtype=dtype), 1)
    weight = torch.rand(x.shape[1], generator=torch.Generator().manual_seed(2)).to(dtype)
    for target in (y, probs, probs.transpose(0, 1).contiguous().transpose(0, 1)):
        for reduction in ("mean", "sum", "none"):
            options = dict(label_smoothing=0.1, z_loss=0.01, reduction=reduction)
            loss, gradient = sg.cross_entropy_value_and_grad(
                z, target.numpy(), weight=weight.numpy(), axis=1, **options
            )
            leaf = x.detach().requires_grad_()
            got = st.cross_entropy(leaf, target, weight, **options)
            same(got, np.asarray(loss, got.detach().numpy().dtype))
            same(torch.autograd.grad(got.sum(), leaf)[0], gradient)


@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_upstream_and_target_layouts(x):
    """Upstream gradients and labels of any strides; against contiguous ones."""
    y = labels_for(x)
    leaf = x.detach().requires_grad_()
    losses = st.cross_entropy(leaf, y, reduction="none")
    upstream = normal(*losses.shape)
    (expected,) = torch.autograd.grad(losses, leaf, upstream)
    strided = torch.stack([upstream, upstream], -1)[..., 0]
    wide_labels = torch.stack([y, y], -1)[..., 1]
    (got,) = torch.autograd.grad(st.cross_entropy(leaf, wide_labels, reduction="none"), leaf, strided)
    assert torch.equal(got, expected)
    (summed,) = torch.autograd.grad(
        losses_of := st.cross_entropy(leaf, y, reduction="none"), leaf, torch.ones(()).expand(losses_of.shape)
    )
    assert torch.equal(summed, torch.autograd.grad(st.cross_entropy(leaf, y, reduction="sum"), leaf)[0])
    for f in (st.softmax, st.log_softmax):
        v = normal(*x.shape)
        (expected,) = torch.autograd.grad(f(leaf, 1), leaf, v)
        for other in (
            v.transpose(0, -1).contiguous().transpose(0, -1),
            torch.stack([v, v], -1)[..., 0],
            (-v)._neg_view(),
        ):
            assert torch.equal(torch.autograd.grad(f(leaf, 1), leaf, other)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lazily_negated_upstream_gradients_and_weights(dtype):
    """Of one row: such a view is contiguous, so that no copy for its strides' sake takes the sign along."""
    x, y = normal(1, 4, dtype=dtype).requires_grad_(), torch.tensor([2])
    wide = torch.complex(normal(1, dtype=dtype), normal(1, dtype=dtype))
    upstream, weight = wide.conj().imag, (-normal(4, dtype=dtype).abs())._neg_view()
    assert upstream.is_neg()
    assert upstream.is_contiguous()
    for reduction, scale in (("none", upstream), ("sum", upstream[0])):
        for given in (None, weight):
            results = []
            for module in (st, F):
                loss = module.cross_entropy(x, y, given, reduction=reduction)
                results.append((loss, *torch.autograd.grad(loss, x, scale)))
            torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_what_the_numpy_functions_give(dtype):
    x = normal(6, 40, dtype=dtype)
    y = labels_for(x)
    bits = x.view(torch.int16).numpy()
    z = bits.view(ml_dtypes.bfloat16 if dtype == torch.bfloat16 else np.float16)
    for f, g in ((st.softmax, sg.softmax), (st.log_softmax, sg.log_softmax)):
        np.testing.assert_array_equal(f(x, 1).view(torch.int16).numpy(), g(z).view(np.int16))
    leaf = x.clone().requires_grad_()
    loss = st.cross_entropy(leaf, y)
    value, gradient = sg.cross_entropy_value_and_grad(z, y.numpy())
    assert loss.dtype == dtype
    assert loss == torch.tensor(value).to(dtype)
    (got,) = torch.autograd.grad(loss, leaf)
    np.testing.assert_array_equal(got.view(torch.int16).numpy(), gradient.view(np.int16))


SHAPES = [(), (1,), (5,), (0,), (0, 3), (3, 0), (2, 0, 3), (2, 3, 0), (1, 1), (2, 3, 4), (2, 3, 4, 5), (2, 3, 0, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_torchs(shape):
    x = normal(*shape).requires_grad_()
    for dim in range(-max(x.ndim, 1), max(x.ndim, 1)):
        for name in ("softmax", "log_softmax"):
            ours, theirs = (getattr(module, name)(x, dim) for module in (st, F))
            torch.testing.assert_close(ours, theirs)
            v = normal(*shape)
            torch.testing.assert_close(torch.autograd.grad(ours, x, v), torch.autograd.grad(theirs, x, v))
        for keepdim in (False, True):
            torch.testing.assert_close(st.logsumexp(x, dim, keepdim), torch.logsumexp(x, dim, keepdim))
            torch.testing.assert_close(st.logsumexp(x, (dim,), keepdim), torch.logsumexp(x, (dim,), keepdim))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s and s[min(1, len(s) - 1)]])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_shapes_of_the_loss_are_torchs(shape, reduction):
    x = normal(*shape).requires_grad_()
    for target in (labels_for(x), torch.rand(shape, generator=GENERATOR)):
        ours, theirs = (module.cross_entropy(x, target, reduction=reduction) for module in (st, F))
        torch.testing.assert_close(ours, theirs, equal_nan=True)
        v = normal(*ours.shape)
        torch.testing.assert_close(torch.autograd.grad(ours, x, v), torch.autograd.grad(theirs, x, v), equal_nan=True)


def test_gradients_lie_as_their_logits():
    for x in (normal(8, 6).T, LAYOUTS["channels last"], LAYOUTS["permuted"]):
        leaf = x.detach().requires_grad_()
        for result in (st.softmax(leaf, 1), st.log_softmax(leaf, 1)):
            assert result.stride() == leaf.stride()
            assert torch.autograd.grad(result.sum(), leaf)[0].stride() == leaf.stride()
        (gradient,) = torch.autograd.grad(st.cross_entropy(leaf, labels_for(leaf)), leaf)
        assert gradient.stride() == leaf.stride()


class Named(torch.Tensor):
    """A subclass without behaviour of its own."""


class Seen(torch.Tensor):
    calls = ()

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        cls.calls = (*cls.calls, getattr(function, "__name__", ""))
        return super().__torch_function__(function, types, args, kwargs or {})


def test_subclasses():
    x, y = normal(4, 5), torch.tensor([0, 1, 2, 3])
    named = x.as_subclass(Named)
    for f in (
        lambda x: st.softmax(x, 1),
        lambda x: st.log_softmax(x, 1),
        lambda x: st.logsumexp(x, 1),
        lambda x: st.cross_entropy(x, y),
    ):
        result = f(named)
        assert type(result) is Named
        assert torch.equal(result.as_subclass(torch.Tensor), f(x))
    leaf = x.clone().as_subclass(Named).requires_grad_()
    st.cross_entropy(leaf, y).backward()
    plain = x.clone().requires_grad_()
    st.cross_entropy(plain, y).backward()
    assert torch.equal(leaf.grad.as_subclass(torch.Tensor), plain.grad)
    st.softmax(x.as_subclass(Seen), 1)
    st.cross_entropy(x, y.as_subclass(Seen))
    assert {"softmax", "cross_entropy"} <= set(Seen.calls)


# Of logits, labels, class probabilities and class weights.
KINDS = {
    "softmax": lambda m, z, *_: m.softmax(z, 1),
    "log_softmax": lambda m, z, *_: m.log_softmax(z, 0),
    "logsumexp": lambda m, z, *_: pairs.logsumexp(m, z, (0, 1), keepdim=True),
    "labels": lambda m, z, y, q, w: m.cross_entropy(z, y, w),
    "labels, none": lambda m, z, y, q, w: m.cross_entropy(z, y, reduction="none", label_smoothing=0.1),
    "images": lambda m, z, y, q, w: m.cross_entropy(z[..., None], y[:, None], reduction="sum"),
    "probs": lambda m, z, y, q, w: m.cross_entropy(z, q, w),
    "linear head": lambda m, z, y, q, w: m.linear_cross_entropy(z, q, y, weight=w, linear_bias=w),
    "linear head, none": lambda m, z, y, q, w: m.linear_cross_entropy(z, q, y, reduction="none"),
    "linear head, probs": lambda m, z, y, q, w: m.linear_cross_entropy(z, q, q, label_smoothing=0.1),
}
OURS = {
    "z-loss": lambda m, z, y, q, w: m.cross_entropy(z, y, z_loss=0.1),
    "softcap": lambda m, z, y, q, w: m.linear_cross_entropy(z, q, y, softcap=5.0, z_loss=0.1, chunk_rows=1),
    "several outputs": lambda m, z, y, q, w: m.linear_cross_entropy(z, q[:, None], y[:, None]),
}


def of_logits(f, module, rest, z):
    return f(module, z, *rest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*KINDS, *OURS])
def test_meta_tensors(name, dtype):
    """Shapes and dtypes of results and derivatives, without memory: those of the CPU, and torch's."""
    f, seen = (KINDS | OURS)[name], {}
    for module in (st, F) if name in KINDS else (st,):
        for device in ("meta", "cpu"):
            z, q, w = (torch.ones(n, dtype=dtype, device=device) for n in ((5, 5), (5, 5), (5,)))
            y = torch.zeros(5, dtype=torch.int64, device=device)
            z.requires_grad_()
            result = f(module, z, y, q, w)
            (gradient,) = torch.autograd.grad(result.sum(), z, create_graph=True)
            (second,) = torch.autograd.grad(gradient.sum(), z)
            _, tangent = torch.func.jvp(functools.partial(of_logits, f, module, (y, q, w)), (z,), (z,))
            everything = (result, gradient, second, tangent)
            assert {t.device.type for t in everything} == {device}
            seen[module.__name__, device] = [(t.shape, t.dtype) for t in everything]
    first, *others = seen.values()
    assert all(other == first for other in others)


def test_modules_and_autocast_on_the_meta_device():
    x, y = torch.ones(4, 3, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    head = st.LinearCrossEntropyLoss(3, 5, bias=True, device="meta")
    head(x, y).backward()
    assert head.linear.weight.grad.device.type == "meta"
    with torch.autocast("cpu", torch.bfloat16):  # of another device
        assert head(x, y).dtype == torch.float32
        assert st.CrossEntropyLoss()(x.bfloat16(), y).dtype == torch.bfloat16


def test_parameters_and_buffers():
    x, y = torch.nn.Parameter(normal(4, 5)), torch.tensor([0, 1, 2, 3])
    weight = torch.nn.Parameter(torch.rand(5, generator=GENERATOR) + 0.5)
    assert type(st.softmax(x, 1)) is torch.Tensor
    st.cross_entropy(x, y, weight).backward()
    assert x.grad.shape == x.shape
    assert weight.grad.shape == weight.shape
    buffer = torch.nn.Buffer(normal(4, 5))
    torch.testing.assert_close(st.softmax(buffer, 1), F.softmax(buffer, 1))


def test_modes():
    x, y = normal(4, 5).requires_grad_(), torch.tensor([0, 1, 2, 3])
    calls = (
        lambda: st.softmax(x, 1),
        lambda: st.log_softmax(x, 1),
        lambda: st.logsumexp(x, 1),
        lambda: st.cross_entropy(x, y),
    )
    for call in calls:
        recorded = call()
        assert recorded.requires_grad
        with torch.no_grad():
            plain = call()
        assert not plain.requires_grad
        with torch.inference_mode():
            inferred = call()
        assert inferred.is_inference()
        assert torch.equal(recorded, plain)
        assert torch.equal(plain, inferred)
    with torch.inference_mode():
        frozen = normal(4, 5)
    torch.testing.assert_close(st.cross_entropy(frozen, y), F.cross_entropy(frozen, y))


def test_views_that_require_gradients():
    base, y = normal(4, 10).requires_grad_(), torch.tensor([0, 1, 2, 3])
    for view in (lambda b: b[:, ::2], lambda b: b[1:, 5:][:, :5], lambda b: b.T[:4, :4], lambda b: b.view(8, 5)[:4]):
        rows = len(view(base))
        ours, theirs = (torch.autograd.grad(m.cross_entropy(view(base), y[:rows]), base)[0] for m in (st, F))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes_under_autocast_are_torchs(dtype, low):
    x, y = normal(4, 5, dtype=dtype).requires_grad_(), torch.tensor([0, 1, 2, 3])
    wide = torch.promote_types(dtype, torch.float32)
    probs, weight = torch.softmax(normal(4, 5, dtype=wide), 1), torch.ones(5, dtype=wide)
    with torch.autocast("cpu", low):
        for f in (
            lambda m: m.softmax(x, 1),
            lambda m: m.log_softmax(x, 1),
            lambda m: m.softmax(x, 1, dtype=torch.float64),
            lambda m: m.cross_entropy(x, y),
            lambda m: m.cross_entropy(x, y, reduction="none"),
            lambda m: m.cross_entropy(x, y, weight),
            lambda m: m.cross_entropy(x, probs, label_smoothing=0.1),
        ):
            ours, theirs = f(st), f(F)
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(ours, theirs, rtol=4 * eps, atol=4 * eps)
            gradients = [torch.autograd.grad(result.sum(), x)[0] for result in (ours, theirs)]
            torch.testing.assert_close(*gradients, rtol=4 * eps, atol=4 * eps)


def test_the_default_dtype_counts_for_integers_alone():
    y = torch.tensor([0, 1])
    before = torch.get_default_dtype()
    try:
        for default in (torch.float64, torch.bfloat16):
            torch.set_default_dtype(default)
            for dtype in (torch.float32, torch.float64):
                x = torch.ones(2, 3, dtype=dtype)
                assert st.cross_entropy(x, y).dtype == dtype
                assert st.softmax(x, 1).dtype == dtype
            assert st.logsumexp(torch.ones(2, 3, dtype=torch.int64), 1).dtype == default
    finally:
        torch.set_default_dtype(before)


def test_torchs_threads_change_nothing():
    x = normal(600, 1000).requires_grad_()
    y = labels_for(x)
    before, results = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            loss = st.cross_entropy(x, y)
            results.append((loss, *torch.autograd.grad(loss, x), st.softmax(x, 0)))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_softgrads_threads_change_nothing(threads):
    x = normal(600, 1000).requires_grad_()
    y, results = labels_for(x), []
    for n in (1, 2):
        threads(n)
        loss = st.cross_entropy(x, y, reduction="none")
        results.append((loss, *torch.autograd.grad(loss.sum(), x), st.log_softmax(x, 0)))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_special_values():
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[0.0, -inf, 1.0], [nan, 0.0, 1.0], [-inf, -inf, -inf], [inf, 0.0, 0.0], [1.0, 2.0, 3.0]])
    same(st.softmax(x, 1), sg.softmax(x.numpy()))
    same(st.logsumexp(x, 1), sg.logsumexp(x.numpy()))
    assert torch.equal(st.logsumexp(x, 1)[2:4], torch.tensor([-inf, inf]))
    leaf, y = x.clone().requires_grad_(), torch.tensor([1, 0, 0, 0, -100])
    losses = st.cross_entropy(leaf, y, reduction="none")
    assert losses[0] == inf
    assert losses[1:4].isnan().all()
    assert losses[4] == 0
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    assert gradient[0].isfinite().all()
    assert gradient[1:4].isnan().all()
    assert (gradient[4] == 0).all()
    ignored = torch.full((5,), -100)
    (gradient,) = torch.autograd.grad(st.cross_entropy(leaf, ignored, reduction="sum"), leaf)
    assert torch.equal(gradient, torch.zeros_like(leaf))
