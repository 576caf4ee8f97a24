"""The kernels of every device: one interface, chosen by the logits; nothing that makes the host wait for a GPU.

A GPU is imitated: CPU tensors whose values the host may not read, with the kernels of other devices.
"""

import importlib
import inspect
import math
import re
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import softgrad.torch as st
from softgrad._loss_spec import DEFAULT, LossSpec, Reduction, per_row
from softgrad.torch import _linear
from softgrad.torch._dispatch import _operator, _torch_internals, operators
from softgrad.torch._kernels import _by_device, _composed, _label_checks, _memory, _native
from softgrad.torch._linear import _head, _products
from tests.torch import linear_heads

EVERY_OPTION = LossSpec(reduction=Reduction.mean, ignore_index=-100, label_smoothing=0.1, z_loss=0.1)


def parameters(function):
    return [(p.kind, p.default is p.empty) for p in inspect.signature(function).parameters.values()]


def other_modules():
    """The modules of kernels other than the closed forms."""
    yield _native
    name = "softgrad.torch._kernels._triton"
    if find_spec("triton") and find_spec(name):
        yield importlib.import_module(name)


def test_modules_of_kernels_have_one_interface():
    listed = set(re.findall(r"\w+", _by_device.__doc__))
    assert listed.issuperset(_composed.__all__)
    for module in other_modules():
        for name in _composed.__all__:
            function = getattr(module, name)
            if callable(function) and name != "targets":  # whose dtype compiled kernels do not need
                assert parameters(function) == parameters(getattr(_composed, name)), name


def fake(device, dtype=torch.float32, *shape):
    with FakeTensorMode():
        return torch.empty(shape or (2, 3), device=device, dtype=dtype)


@pytest.fixture
def triton(monkeypatch):
    """A function that installs a version of Triton, None for none; returns the module of its kernels."""
    kernels = SimpleNamespace()
    fake("cuda")  # imports parts of torch that look for Triton themselves

    def install(version):
        package = None if version is None else SimpleNamespace(__version__=version)
        monkeypatch.setitem(sys.modules, "triton", package)
        monkeypatch.setitem(sys.modules, "softgrad.torch._kernels._triton", kernels)
        _by_device._on_cuda.cache_clear()
        return kernels

    yield install
    _by_device._on_cuda.cache_clear()


def test_kernels_are_chosen_by_device_and_dtype(triton, monkeypatch):
    kernels = triton("3.6.0")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert _by_device.kernels_for(fake("cuda", dtype)) is kernels
    assert _by_device.kernels_for(fake("cuda", torch.float64)) is _composed
    assert _by_device.kernels_for(torch.empty(2, 3, device="meta")) is _composed
    assert _by_device.kernels_for(torch.zeros(2, 3)) is _native
    for version, expected in (("3.10.0+git1", kernels), ("3.5.1", _composed), (None, _composed)):
        triton(version)
        assert _by_device.kernels_for(fake("cuda")) is expected, version
    triton("3.6.0")
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert _by_device.kernels_for(fake("cuda")) is _composed


def test_plain_tensors_of_cpu_and_cuda_bypass_the_dispatcher(monkeypatch):
    monkeypatch.setattr(_torch_internals, "_PLAIN", (torch.Tensor, FakeTensor))
    on_cuda = fake("cuda")
    assert _torch_internals.recording((on_cuda, None)) == "none"
    assert _torch_internals.recording((on_cuda.detach().requires_grad_(),)) == "reverse"
    assert _operator.is_plain(on_cuda)
    assert not _operator.has_value(on_cuda)
    assert _torch_internals.recording((fake("xla"),)) == "dispatcher"


def upstream_of(spec, rows=4, dtype=torch.float64):
    return torch.linspace(-1, 2, rows, dtype=dtype) if spec.reduction is Reduction.none else torch.tensor(0.7)


def rows_and_targets(kind, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    z, v, q = (torch.randn(4, 5, generator=generator, dtype=dtype) for _ in range(3))
    target = q.exp() if kind == "probabilities" else torch.tensor([0, 4, -100, 2])
    return z, v, target, torch.linspace(0.5, 2, 5, dtype=dtype)


@pytest.mark.parametrize("kernels", [_native, _composed], ids=["native", "composed"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("reduction", list(Reduction))
def test_results_in_place_are_those_of_new_tensors(kernels, kind, reduction):
    z, v, target, weight = rows_and_targets(kind)
    ignored = -100 if kind == "labels" else None
    spec = LossSpec(reduction=reduction, ignore_index=ignored, label_smoothing=0.1, z_loss=0.1)
    targets, s, one = kernels.targets(target, weight, 1, 5, z.dtype), upstream_of(spec), torch.ones(())
    gradient, close = kernels.cross_entropy_grad(z, s, targets, spec), {"rtol": 1e-13, "atol": 1e-15}
    in_place, losses = z.clone(), z.new_empty(4)
    kernels.write_cross_entropy_grad(in_place, s, targets, spec, losses)
    torch.testing.assert_close(in_place, gradient, **close)
    torch.testing.assert_close(losses, kernels.cross_entropy(z, targets, per_row(spec)), **close)
    product, over_v = kernels.cross_entropy_hvp(z, s, v, targets, spec), v.clone()
    assert kernels.cross_entropy_hvp(z, s, over_v, targets, spec, out=over_v) is over_v
    torch.testing.assert_close(over_v, product, **close)
    of_one = torch.empty_like(z)
    loss = kernels.cross_entropy(z, targets, spec, gradient=of_one)
    torch.testing.assert_close(loss, kernels.cross_entropy(z, targets, spec), **close)
    if reduction is not Reduction.none:
        expected = kernels.cross_entropy_grad(z, one, targets, spec)
        torch.testing.assert_close(of_one, expected, **close)
        kernels.rescale_cross_entropy_grad(of_one, z, one, targets, spec)
        torch.testing.assert_close(of_one, expected, **close)
        kernels.rescale_cross_entropy_grad(of_one, z, s, targets, spec)
        torch.testing.assert_close(of_one, gradient, **close)
    kernels.scale_in_place(in_place, torch.tensor(0.5))
    torch.testing.assert_close(in_place, gradient / 2, **close)


LAYOUTS = {
    "few classes": ((70, 12), 1),
    "rows in vectors": ((40, 300), 1),
    "classes first": ((60, 37), 0),
    "in the middle": ((4, 50, 9), 1),
    "long rows": ((2, 140_000), 1),
    "one row": ((19,), 0),
}


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_compiled_products_may_overwrite_their_vectors(dtype, layout, strided, instruction_set):
    shape, dim = LAYOUTS[layout]
    z, v = torch.randn(2, *[n * (1 + strided) for n in shape], generator=torch.Generator().manual_seed(0)).to(dtype)
    if strided:
        z, v = (t[(slice(None, None, 2),) * len(shape)] for t in (z, v))
    rows = _memory.without(shape, dim)
    targets = _native.targets(torch.zeros(rows, dtype=torch.int64), None, dim, shape[dim])
    for spec in (DEFAULT, per_row(DEFAULT)):
        s = torch.tensor(1.5) if spec is DEFAULT else torch.ones(rows)
        expected = _native.cross_entropy_hvp(z, s, v, targets, spec)
        over_v = v.clone() if not strided else v
        got = _native.cross_entropy_hvp(z, s, over_v, targets, spec, out=over_v)
        assert torch.equal(got, expected)
        if strided:
            return


READS = (
    "__bool__", "__float__", "__index__", "__int__", "allclose", "cpu", "equal", "item", "nonzero", "numpy", "tolist",
)  # fmt: skip


@contextmanager
def unreadable():
    """Let no value of a tensor be read: on a GPU, the host would wait for all kernels."""

    def refuse(*_, **__):
        raise AssertionError("the host waits for the device")

    def getitem(tensor, index, original=torch.Tensor.__getitem__):
        return refuse() if isinstance(index, torch.Tensor) and index.dtype is torch.bool else original(tensor, index)

    with pytest.MonkeyPatch.context() as patch:
        for name in READS:
            patch.setattr(torch.Tensor, name, refuse)
        for name in ("allclose", "equal", "nonzero"):
            patch.setattr(torch, name, refuse)
        patch.setattr(torch.Tensor, "__getitem__", getitem)
        yield


@pytest.fixture(params=["composed", "fused"])
def device(request, monkeypatch):
    """Imitate a device; fused: with kernels that compute loss and gradient in one pass. Returns a guard for calls."""
    kernels = _composed
    if request.param == "fused":
        kernels = SimpleNamespace(**vars(_composed))
        kernels.MOST_FUSED_LOGITS = math.inf
    monkeypatch.setattr(_by_device, "_native", kernels)
    for module in (_operator, _head):
        monkeypatch.setattr(module, "can_read", lambda tensor: False)
    return unreadable


def losses_and_derivatives(z, v, target, weight, spec):
    """The loss, its gradient twice over, and products with its Hessian, in eager mode."""
    options = {"ignore_index": -100, "label_smoothing": 0.1, "z_loss": 0.1, "reduction": spec.reduction.name}
    for upstream in (torch.ones(()), torch.tensor(0.7)):
        z = z.detach().requires_grad_()
        loss = st.cross_entropy(z, target, weight, **options)
        scale = upstream.to(loss.dtype).expand(loss.shape)
        yield loss.detach()
        yield from (torch.autograd.grad(loss, z, scale, retain_graph=True)[0] for _ in range(2))
        (gradient,) = torch.autograd.grad(loss, z, scale, create_graph=True)
        yield torch.autograd.grad(gradient, z, v)[0]
    z = z.detach().requires_grad_()
    for function in (st.softmax, st.log_softmax, st.logsumexp):
        result = function(z, 1)
        yield result.detach()
        yield torch.autograd.grad(result, z, torch.ones_like(result))[0]


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("reduction", list(Reduction))
def test_losses_do_not_wait_for_a_device(kind, reduction, device):
    z, v, target, weight = rows_and_targets(kind)
    z[2] = torch.nan if kind == "labels" else z[2]  # an ignored row
    spec = LossSpec(reduction=reduction)
    with device():
        got = list(losses_and_derivatives(z, v, target, weight, spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_by_device, "_native", _native)
        expected = list(losses_and_derivatives(z, v, target, weight, spec))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def head_derivatives(x, W, bias, target, **options):
    """The loss, its gradients by both ways, and products with its Hessian."""
    variables = [t.detach().requires_grad_() for t in (x, W, bias)]
    x, W, bias = variables
    loss = st.linear_cross_entropy(x, W, target, linear_bias=bias, **options)
    upstream = torch.full_like(loss, 0.7)
    yield loss.detach()
    yield from torch.autograd.grad(loss, variables, upstream, retain_graph=True)
    gradients = torch.autograd.grad(loss, variables, upstream, create_graph=True)
    yield from (g.detach() for g in gradients)
    changes = [torch.linspace(-1, 1, g.numel(), dtype=g.dtype).view(g.shape) for g in gradients]
    if target.dtype is torch.int64:
        changes[0].masked_fill_(target.unsqueeze(1) == -100, torch.nan)
    yield from torch.autograd.grad(gradients, variables, changes)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("given", linear_heads.OPTIONS[::3])
@pytest.mark.parametrize("kind", ["labels", "some ignored", "probabilities"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_linear_heads_do_not_wait_for_a_device(reduction, kind, given, softcap, device):
    x, W, bias = linear_heads.tensors(rows=7)
    target = linear_heads.targets(kind, 7)
    options = {**linear_heads.options(given), "softcap": softcap, "reduction": reduction, "chunk_rows": 3}
    if kind == "some ignored":
        with torch.no_grad():
            x[1, 0], x[1, 1] = torch.nan, torch.inf
    with device():
        got = list(head_derivatives(x, W, bias, target, **options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_by_device, "_native", _native)
        patch.setattr(_head, "can_read", _by_device.can_read)
        expected = list(head_derivatives(x, W, bias, target, **options))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)
    if kind == "some ignored":
        assert not got[1][1].any()


def test_ignored_rows_of_a_device_have_no_gradient_whatever_the_coefficients(device):
    x, W, _ = linear_heads.tensors()
    target = linear_heads.targets("some ignored")
    with torch.no_grad():
        W[0] = torch.nan
    (gradient,) = torch.autograd.grad(st.linear_cross_entropy(x, W, target), x)
    assert not gradient[1].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_linear_heads_on_tensors_without_values(dtype):
    """Torch's "meta" device has shapes and dtypes, and raises an error if a value is read."""
    spec = LossSpec(reduction=Reduction.mean, ignore_index=-100, label_smoothing=0.1)
    x, W = (torch.empty(n, 3, device="meta", dtype=dtype) for n in (7, 4))
    bias, target = W.new_empty(4), x.new_empty(7, dtype=torch.int64)
    weight, one = W.new_empty(4), x.new_ones((), dtype=torch.float32)
    options = (target, weight, spec, 2.0, 3)
    loss, *gradients = _linear.value_and_gradients(x, W, bias, *options, one, (True, True, True))
    products = _linear.linear_cross_entropy_hvp(x, W, bias, one, x, W, bias, *options, True, True)
    assert loss.dtype is torch.float32
    assert loss.is_meta
    for results in (gradients, products):
        assert all(g.is_meta and g.dtype is dtype for g in results)
        assert [g.shape for g in results] == [x.shape, W.shape, bias.shape]


class MixedProducts:
    """torch.mm and torch.addmm with `out_dtype`, which torch has for CUDA alone."""

    def __init__(self, monkeypatch):
        self.calls, mm, addmm = [], torch.mm, torch.addmm

        def mixed_mm(a, b, out_dtype=None, out=None):
            return mm(a, b, out=out) if out_dtype is None else self.write(out, 0, a, b, out_dtype)

        def mixed_addmm(total, a, b, out_dtype=None, out=None):
            return addmm(total, a, b, out=out) if out_dtype is None else self.write(out, total, a, b, out_dtype)

        monkeypatch.setattr(torch, "mm", mixed_mm)
        monkeypatch.setattr(torch, "addmm", mixed_addmm)
        monkeypatch.setattr(_head, "product_for", lambda x: _products.add_mixed)

    def write(self, out, total, a, b, out_dtype):
        assert a.dtype is b.dtype
        assert a.dtype.itemsize == 2
        self.calls.append(out_dtype)
        return out.copy_(total + a.to(out_dtype) @ b.to(out_dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_gradients_of_coefficients_by_products_of_16_bits_with_sums_in_float32(dtype, monkeypatch):
    x, W, bias = linear_heads.tensors(rows=7, dtype=dtype)
    target = linear_heads.targets("labels", 7)

    def gradients():
        loss = st.linear_cross_entropy(x, W, target, linear_bias=bias, chunk_rows=3)
        return torch.autograd.grad(loss, (x, W, bias))

    expected, products = gradients(), MixedProducts(monkeypatch)
    assert all(map(torch.equal, gradients(), expected))
    assert products.calls == [torch.float32] * 3


def test_the_product_suits_the_device(monkeypatch):
    assert _products.product_for(torch.zeros(2, dtype=torch.bfloat16)) is _products.add_converted
    for dtype in (torch.bfloat16, torch.float16):
        assert _products.product_for(fake("cuda", dtype)) is _products.add_mixed
    assert _products.product_for(fake("cuda", torch.float32)) is _products.add_converted
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert _products.product_for(fake("cuda", torch.bfloat16)) is _products.add_converted


def test_chunks_on_a_device_hold_as_many_bytes_as_the_coefficients(monkeypatch):
    monkeypatch.setattr(_head, "CHUNK_BYTES", 0)
    for device_, rows in (("cpu", 96), ("cuda", 128)):
        x, W = fake(device_, torch.bfloat16, 1000, 128), fake(device_, torch.bfloat16, 50, 128)
        head = _head.LinearHead(x, W, None, None, DEFAULT, 0.0, 0)
        assert head.most_rows(1, 50) == rows


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label", [5, -1, 2**40])
def test_rows_whose_label_is_no_class_are_nan_on_other_devices(label, weighted, options, device):
    z, v, _, weight = rows_and_targets("labels")
    weight = weight if weighted else None
    target = torch.tensor([0, label, -100, 2])
    options = {"reduction": "none", **options}
    z.requires_grad_()
    with device():
        losses = st.cross_entropy(z, target, weight, **options)
        (gradient,) = torch.autograd.grad(losses, z, torch.ones(4, dtype=z.dtype), create_graph=True)
        (product,) = torch.autograd.grad(gradient, z, v)
        mean = st.cross_entropy(z, target, weight)
        sums = st.linear_cross_entropy(z, v, target, reduction="none")
    right = st.cross_entropy(z, target.clamp(-100, 4), weight, **options).detach()
    assert losses.isnan().tolist() == sums.isnan().tolist() == [False, True, False, False]
    torch.testing.assert_close(losses[[0, 2, 3]].detach(), right[[0, 2, 3]])
    assert gradient[1].isnan().all()
    assert product[1].isnan().all()
    assert not gradient[[0, 2, 3]].isnan().any()
    assert not product[[0, 2, 3]].isnan().any()
    assert mean.isnan()


@pytest.fixture
def check_labels():
    yield st.set_check_labels
    st.set_check_labels(None)


def test_labels_can_be_checked_on_every_device(check_labels, device):
    z, v, _, weight = rows_and_targets("labels")
    target, message = torch.tensor([0, -100, 7, 2]), r"^target\[2\] is 7; expected a class index from 0 to 4$"
    check_labels(True)
    assert st.get_check_labels()
    calls = [
        lambda: st.cross_entropy(z, target),
        lambda: st.cross_entropy(z, target, weight),
        lambda: st.cross_entropy(z, target, weight.clone().requires_grad_()),
        lambda: st.cross_entropy(z.clone().requires_grad_(), target),
        lambda: operators.cross_entropy_grad(z, torch.ones(()), target, None, 1, EVERY_OPTION),
        lambda: operators.cross_entropy_hvp(z, torch.ones(()), v, target, None, 1, EVERY_OPTION),
        lambda: st.linear_cross_entropy(z, v.new_zeros(5, 5), target),
    ]
    for call in calls:
        with pytest.raises(IndexError, match=message):
            call()
    target[2] = 4
    for call in calls:
        call()
    check_labels(False)
    target[2] = 7
    for call in calls:
        call()


def test_a_gradient_with_weights_that_are_differentiated_guards_labels(device):
    z, _, _, weight = rows_and_targets("labels")
    weight.requires_grad_()
    losses = st.cross_entropy(z, torch.tensor([0, 7, -100, 2]), weight, reduction="none")
    assert losses.isnan().tolist() == [False, True, False, False]


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("0", False), ("", False), (" 1 ", True), ("yes", False)])
def test_the_environment_gives_the_default(text, expected, monkeypatch, check_labels, recwarn):
    monkeypatch.setenv("SOFTGRAD_CHECK_LABELS", text)
    _label_checks._start()
    assert st.get_check_labels() is expected
    warned = [str(w.message) for w in recwarn]
    assert warned == (
        ["SOFTGRAD_CHECK_LABELS='yes'; expected 1 or 0; the default is used instead, 0"] if text == "yes" else []
    )
    monkeypatch.delenv("SOFTGRAD_CHECK_LABELS")
    check_labels(None)
    assert st.get_check_labels() is False


def test_whether_labels_are_checked_is_a_bool(check_labels):
    with pytest.raises(TypeError, match=r"^check=1; expected True, False or None$"):
        check_labels(1)
