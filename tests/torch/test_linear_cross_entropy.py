"""linear_cross_entropy: logits in chunks of rows and of classes, equal to a linear layer followed by the loss."""

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import softgrad.torch as sgt
from softgrad.torch import _linear_chunks, _linear_class_chunks
from tests import families, oracle

N, D, C = 5, 3, 4
OPTIONS = [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}, {"label_smoothing": 0.1, "z_loss": 0.1, "weight": "some"}]


def tensors(seed=0, rows=N, features=D, classes=C, dtype=torch.float64, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_(requires_grad)

    return normal(rows, features), normal(classes, features), normal(classes)


def targets(kind, rows=N, classes=C, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    if kind == "probabilities":
        return torch.rand(rows, classes, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (rows,), generator=generator)
    if kind == "some ignored":
        labels[1] = -100
    return labels


def options(given, classes=C, dtype=torch.float64):
    if "weight" not in given:
        return given
    return {**given, "weight": torch.linspace(0.5, 2, classes, dtype=dtype)}


def whole(x, W, bias, target, softcap=None, **given):
    """The same with the logits in memory, by the functions that other tests compare with the exact result."""
    logits = F.linear(x, W, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return sgt.cross_entropy(logits, target, **given)


def assert_same(x, W, bias, target, **given):
    size = given.pop("chunk_rows", None)
    loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias, chunk_rows=size, **given)
    expected = whole(x, W, bias, target, **given)
    close = {"rtol": 1e-10, "atol": 1e-12} if x.dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-5}
    torch.testing.assert_close(loss, expected, **close, equal_nan=True)
    upstream = torch.randn(loss.shape, generator=torch.Generator().manual_seed(2), dtype=loss.dtype)
    variables = [t for t in (x, W, bias) if t is not None and t.requires_grad]
    results = torch.autograd.grad(loss, variables, upstream)
    for result, exact in zip(results, torch.autograd.grad(expected, variables, upstream), strict=True):
        torch.testing.assert_close(result, exact, **close)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("given", OPTIONS)
@pytest.mark.parametrize("kind", ["labels", "some ignored", "probabilities"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equals_a_linear_layer_and_the_loss(reduction, kind, given, softcap):
    x, W, bias = tensors()
    given = {**options(given), "reduction": reduction, "softcap": softcap}
    for size in (None, 1, 2, 100):
        assert_same(x, W, bias, targets(kind), chunk_rows=size, **given)
    assert_same(x, W, None, targets(kind), **given)


@pytest.fixture
def few_classes_at_a_time(monkeypatch):
    """Chunks of 5 rows by 7 classes; returns how many chunks of rows went through."""
    used = []
    original = _linear_class_chunks.losses_and_statistics

    def counted(*arguments):
        used.append(1)
        return original(*arguments)

    monkeypatch.setattr(_linear_class_chunks, "losses_and_statistics", counted)
    monkeypatch.setattr(_linear_class_chunks, "BLOCK_ROWS", 5)
    monkeypatch.setattr(_linear_chunks, "_LEAST_ROWS", 4)
    monkeypatch.setattr(_linear_chunks, "_SHARE_OF_W", 0)
    return lambda itemsize: monkeypatch.setattr(_linear_chunks, "_CHUNK_BYTES", 35 * itemsize) or used


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("given", OPTIONS)
@pytest.mark.parametrize("kind", ["labels", "some ignored", "probabilities"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_chunks_of_classes(reduction, kind, given, softcap, dtype, few_classes_at_a_time):
    used = few_classes_at_a_time(dtype.itemsize)
    x, W, bias = tensors(rows=13, features=6, classes=23, dtype=dtype)
    given = {**options(given, 23, dtype), "reduction": reduction, "softcap": softcap}
    assert_same(x, W, bias, targets(kind, 13, 23, dtype), **given)
    assert used


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_chunks_of_classes_are_exact_for_confident_rows(kind, few_classes_at_a_time):
    few_classes_at_a_time(8)
    W = torch.zeros(23, 1, dtype=torch.float64)
    W[20] = 1
    x = torch.full((9, 1), 40.0, dtype=torch.float64, requires_grad=True)
    target = torch.full((9,), 20)
    if kind == "probabilities":
        target = F.one_hot(target, 23).double()
    loss = sgt.linear_cross_entropy(x, W, target, reduction="sum")
    assert loss.item() == pytest.approx(9 * 22 * np.exp(-40.0), rel=1e-6, abs=0)
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient[0].item() == pytest.approx(-22 * np.exp(-40.0), rel=1e-6, abs=0)


@pytest.mark.parametrize("kind", ["right", "wrong"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_of_classes_are_within_2_ulp(dtype, kind, few_classes_at_a_time):
    """With the identity for features, logits are coefficients, and gradients with respect to both are the same."""
    used = few_classes_at_a_time(np.dtype(dtype).itemsize)
    for family, z in families.all_families(dtype):
        if not 8 <= z.shape[1] <= 100:
            continue
        y, exact = z.argmax(axis=1) if kind == "right" else z.argmin(axis=1), oracle.Rows(z)
        W, x = torch.from_numpy(z.T.copy()).requires_grad_(), torch.eye(len(z), dtype=torch.from_numpy(z).dtype)
        losses = sgt.linear_cross_entropy(x, W, torch.from_numpy(y), reduction="none")
        assert oracle.error(losses.detach().numpy(), exact.loss(y)) <= 2, family
        losses.sum().backward()
        assert oracle.error(W.grad.numpy().T, exact.gradient(y)) <= 2, family
    assert len(used) > 10


def test_chunks_of_classes_whose_maxima_nearly_tie(few_classes_at_a_time):
    few_classes_at_a_time(8)
    W = torch.full((23, 1), -100.0, dtype=torch.float64)
    W[0], W[22] = 1e-20, 2e-20
    W.requires_grad_()
    loss = sgt.linear_cross_entropy(torch.ones(9, 1, dtype=torch.float64), W, torch.zeros(9, dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_allclose(W.grad[[0, 22], 0], [-0.5, 0.5], rtol=1e-15)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_a_chunk_of_masked_classes(kind, few_classes_at_a_time):
    """A padded vocabulary, its end masked by the bias."""
    few_classes_at_a_time(8)
    x, W, bias = tensors(rows=9, features=6, classes=23)
    bias = bias.detach().clone()
    bias[3:] = -torch.inf
    target = targets(kind, 9, 3)
    if kind == "probabilities":
        target = F.pad(target, (0, 20))
    results = torch.autograd.grad(sgt.linear_cross_entropy(x, W, target, linear_bias=bias), (x, W))
    few = target[:, :3] if kind == "probabilities" else target
    expected = torch.autograd.grad(whole(x, W[:3], bias[:3], few), (x, W))
    torch.testing.assert_close(results, expected)


@pytest.mark.slow
def test_chunks_of_classes_sum_16_bit_gradients_in_float32(few_classes_at_a_time):
    few_classes_at_a_time(2)
    x, W, _ = tensors(rows=5, features=32, classes=20000, dtype=torch.bfloat16)
    (result,) = torch.autograd.grad(sgt.linear_cross_entropy(x, W, targets("labels", 5, 20000)), x)
    wide = [t.detach().double().requires_grad_() for t in (x, W)]
    (exact,) = torch.autograd.grad(whole(*wide, None, targets("labels", 5, 20000)), wide[0])
    assert (result - exact).abs().max() < 0.02 * exact.abs().max()


def test_chunks_of_classes_check_the_weights(few_classes_at_a_time):
    few_classes_at_a_time(8)
    x, W, _ = tensors(rows=13, features=6, classes=23)
    with pytest.raises(ValueError, match=r"weight\[0\] is 1e\+20"):
        sgt.linear_cross_entropy(x, W, targets("labels", 13, 23), weight=torch.full((23,), 1e20, dtype=torch.float64))


@pytest.mark.slow
def test_a_loss_scale_reaches_float16_before_it_rounds():
    # (p - y)/N is 2.5e-8 for most classes, below half of float16's least number.
    x, W, _ = tensors(rows=65536, features=4, classes=600, dtype=torch.float32, requires_grad=False)
    x, W = (0.1 * x).half(), (0.02 * W).half().requires_grad_()
    target = targets("labels", 65536, 60)
    (result,) = torch.autograd.grad(sgt.linear_cross_entropy(x, W, target) * 1024, W)
    wide = W.detach().float().requires_grad_()
    (exact,) = torch.autograd.grad(whole(x.float(), wide, None, target) * 1024, wide)
    unlabelled = slice(60, None)
    assert (result[unlabelled] - exact[unlabelled]).abs().max() < 0.05 * exact[unlabelled].abs().max()


def test_class_weights_that_sum_to_zero():
    x, W, _ = tensors()
    loss = sgt.linear_cross_entropy(x, W, targets("labels"), weight=torch.zeros(C, dtype=torch.float64))
    loss.backward()
    assert loss.isnan()


def test_no_features_and_empty_batches():
    bias = torch.arange(4.0)
    target = torch.tensor([0, 1, 2])
    loss = sgt.linear_cross_entropy(torch.zeros(3, 0), torch.zeros(4, 0), target, linear_bias=bias)
    torch.testing.assert_close(loss, F.cross_entropy(bias.expand(3, 4), target))
    batches = vmap(lambda x, t: sgt.linear_cross_entropy(x, torch.ones(5, 2), t))
    assert batches(torch.zeros(0, 4, 2), torch.zeros(0, 4, dtype=torch.int64)).shape == (0,)


# Every pair of these options; all combinations are slow.
USUAL = {
    ("plain", "some ignored", "mean", None),
    ("plain", "some ignored", "mean", 2.0),  # a wrong third derivative of the softcap shows with labels alone
    ("plain", "probabilities", "none", 2.0),
    ("all", "some ignored", "none", 2.0),
    ("all", "probabilities", "mean", 2.0),
    ("all", "probabilities", "none", None),
}
COMBINATIONS = [
    pytest.param(*case, marks=[] if case in USUAL else pytest.mark.slow)
    for case in itertools.product(["plain", "all"], ["some ignored", "probabilities"], ["mean", "none"], [None, 2.0])
]


@pytest.mark.parametrize("given, kind, reduction, softcap", COMBINATIONS)
def test_derivatives_of_every_order(given, kind, reduction, softcap):
    given = OPTIONS[-1] if given == "all" else {}
    target = targets(kind)

    def loss(x, W, *bias):
        return sgt.linear_cross_entropy(
            x, W, target, linear_bias=bias[0] if bias else None, softcap=softcap, reduction=reduction, chunk_rows=2,
            **options(given),
        )  # fmt: skip

    for arguments in (tensors(), tensors()[:2]):
        assert gradcheck(loss, arguments, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(loss, arguments, check_fwd_over_rev=True)

    def gradients(*arguments):
        return torch.autograd.grad(loss(*arguments).sum(), arguments, create_graph=True)

    assert gradgradcheck(gradients, tensors())


def test_gradients_of_targets_and_class_weights():
    x, W, bias = tensors()
    probs = targets("probabilities").requires_grad_()
    weight = torch.linspace(0.5, 2, C, dtype=torch.float64, requires_grad=True)

    def loss(probs, weight):
        return sgt.linear_cross_entropy(x, W, probs, linear_bias=bias, weight=weight)

    assert gradgradcheck(loss, (probs, weight))


TRANSFORMS = {
    "grad": lambda f: grad(f, (0, 1, 2)),
    "hessian": lambda f: hessian(f, 1),
    "hessian of x and W": lambda f: hessian(f, (0, 1)),
    "hvp": lambda f: lambda x, W, b: jvp(lambda W: grad(f, 1)(x, W, b), (W,), (torch.cos(W),)),
    "jacfwd twice": lambda f: jacfwd(jacfwd(f, 1), 1),
    "jacrev twice": lambda f: jacrev(jacrev(f, 1), 1),
    "vmap": lambda f: lambda x, W, b: vmap(f, (0, None, None))(torch.stack([x, 2 * x]), W, b),
    "vmap of grad over W": lambda f: lambda x, W, b: vmap(grad(f, 1), (None, 2, None))(x, torch.stack([W, -W], 2), b),
    "third": lambda f: jacfwd(hessian(f, 1), 1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_transforms(name, softcap):
    arguments = [t.detach() for t in tensors()]
    target = targets("some ignored")

    def loss(x, W, bias):
        return sgt.linear_cross_entropy(x, W, target, linear_bias=bias, softcap=softcap, chunk_rows=2)

    results = TRANSFORMS[name](loss)(*arguments)
    expected = TRANSFORMS[name](lambda x, W, b: whole(x, W, b, target, softcap))(*arguments)
    torch.testing.assert_close(results, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_results(dtype):
    x, W, bias = tensors(rows=6, dtype=dtype)
    target = targets("some ignored", 6)

    def loss(x, W, bias):
        return sgt.linear_cross_entropy(x, W, target, linear_bias=bias, softcap=3.0, chunk_rows=4)

    compiled = torch.compile(loss, fullgraph=True)(x, W, bias)
    eager = loss(x, W, bias)
    torch.testing.assert_close(compiled, eager)
    results = torch.autograd.grad(compiled, (x, W, bias))
    torch.testing.assert_close(results, torch.autograd.grad(eager, (x, W, bias)))


@pytest.mark.parametrize("name", ["linear_cross_entropy", "linear_cross_entropy_grad", "linear_cross_entropy_hvp"])
def test_operators_keep_the_rules_of_torch_library(name):
    x, W, bias = tensors(requires_grad=name != "linear_cross_entropy_hvp")
    target = targets("some ignored")
    one = torch.ones((), dtype=torch.float64)
    of_loss = (0, -100, 0.1, 0.2, 3.0, 2)
    arguments = {
        "linear_cross_entropy": (x, W, bias, target, None, *of_loss),
        "linear_cross_entropy_grad": (x, W, bias, one, target, None, *of_loss, True, True),
        "linear_cross_entropy_hvp": (x, W, bias, one, x, None, bias, target, None, *of_loss, True, True),
    }[name]
    torch.library.opcheck(getattr(torch.ops.softgrad, name), arguments)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient_and_no_product(frozen, monkeypatch):
    arguments = list(tensors())
    arguments[frozen] = arguments[frozen].detach()
    products = []
    original = torch.mm

    def counted(a, b, **given):
        products.append((a.shape, b.shape))
        return original(a, b, **given)

    monkeypatch.setattr(torch, "mm", counted)
    x, W, bias = arguments
    sgt.linear_cross_entropy(x, W, targets("labels"), linear_bias=bias).backward()
    assert [t.grad is None for t in arguments] == [i == frozen for i in range(3)]
    assert len(products) == {0: 1, 1: 1, 2: 2}[frozen]  # beside the logits', which has a bias


def test_rows_that_are_ignored_are_left_out():
    x, W, bias = tensors(requires_grad=False)
    target = targets("some ignored")
    x[1] = torch.nan
    x.requires_grad_()
    loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias)
    loss.backward()
    assert loss.isfinite()
    assert not x.grad[1].any()
    nothing = sgt.linear_cross_entropy(x, W, torch.full((N,), -100))
    assert nothing.isnan()
    none = sgt.linear_cross_entropy(x, W, target, reduction="none")
    assert none[1] == 0


@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_features_of_ignored_rows_reach_no_derivative(reduction, value, outputs):
    x, W, _ = tensors(requires_grad=False)
    change, target = torch.ones_like(x), targets("some ignored")
    if outputs:
        W = torch.stack([W, -W], 1)
        target = torch.stack([target, target.where(target < 0, 0)], 1)
        target[0, 1] = -100  # a row that counts for one of the outputs
    weight = torch.ones(C, dtype=x.dtype)

    def derivatives(x, change):
        def f(x, W, weight=None):
            return sgt.linear_cross_entropy(x, W, target, weight=weight, reduction=reduction).sum()

        def gradient(W):
            return grad(f, 1)(x, W)

        def second(W):
            return (torch.func.vjp(gradient, W)[1](W)[0] * W).sum()

        return (
            grad(f, (0, 1))(x, W),
            grad(f, (1, 2))(x, W, weight),
            jvp(f, (x, W), (change, W)),
            jvp(grad(f, (0, 1)), (x, W), (change, W)),
            grad(second)(W),
        )

    clean = derivatives(x, change)
    x, change = x.clone(), change.clone()
    x[1, 0] = change[1, 1] = value
    torch.testing.assert_close(derivatives(x, change), clean)


def test_a_gradient_is_handed_over_once():
    x, W, bias = tensors()
    loss = sgt.linear_cross_entropy(x, W, targets("labels"), linear_bias=bias)
    loss.backward(retain_graph=True)
    first = [t.grad.clone() for t in (x, W, bias)]
    for t in (x, W, bias):
        t.grad.mul_(1000)
    again = torch.autograd.grad(loss, (x, W, bias), torch.tensor(3.0, dtype=torch.float64), retain_graph=True)
    torch.testing.assert_close(again, tuple(3 * g for g in first))
    torch.testing.assert_close(torch.autograd.grad(loss, (x, W, bias)), tuple(first))


@pytest.mark.parametrize("factor", [0.0, -2.0, 2.0**16])
def test_upstream_gradients(factor):
    x, W, bias = tensors()
    results = torch.autograd.grad(factor * sgt.linear_cross_entropy(x, W, targets("labels"), linear_bias=bias), (x, W))
    expected = torch.autograd.grad(factor * whole(x, W, bias, targets("labels")), (x, W))
    torch.testing.assert_close(results, expected)


def test_an_argument_changed_in_place_is_noticed():
    x, W, bias = tensors()
    loss = sgt.linear_cross_entropy(x, W, targets("labels"), linear_bias=bias)
    with torch.no_grad():
        W.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_bfloat16_sums_gradients_in_float32():
    x, W, _ = tensors(rows=4096, features=2, classes=3, dtype=torch.bfloat16)
    target = targets("labels", 4096, 3)
    loss = sgt.linear_cross_entropy(x, W, target, reduction="sum", chunk_rows=16)
    (gradient,) = torch.autograd.grad(loss, W)
    assert loss.dtype == gradient.dtype == torch.bfloat16
    logits = F.linear(x, W).detach().double()
    exact = (torch.softmax(logits, 1) - F.one_hot(target, 3)).T @ x.detach().double()
    # Each of the 4096 gradients is rounded to 8 bits; summed in bfloat16 the error would be some ten per cent.
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-2, atol=0.2)


def test_autocast_as_torch():
    x, W, bias = tensors(dtype=torch.float32)
    target = targets("labels")
    with torch.autocast("cpu", torch.bfloat16):
        loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias)
        expected = F.cross_entropy(F.linear(x, W, bias), target)
    assert loss.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=1e-2)
    loss.backward()
    assert W.grad.dtype == torch.float32


@pytest.mark.parametrize("shape", [(D,), (2, D), (2, 3, D)])
def test_shapes_of_input(shape):
    _, W, bias = tensors()
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(shape[:-1], dtype=torch.int64)
    probs = torch.full((*shape[:-1], C), 0.25, dtype=torch.float64)
    for target in (labels, probs):
        loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias, reduction="none")
        assert loss.shape == shape[:-1]
        rows = target.reshape(-1, C) if target is probs else target.reshape(-1)
        expected = whole(x.reshape(-1, D), W, bias, rows, reduction="none")
        torch.testing.assert_close(loss.reshape(-1), expected)


def test_coefficients_of_several_dimensions_as_in_torch():
    x, _, _ = tensors()
    W = torch.randn(C, 2, D, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(C, 2, dtype=torch.float64)
    target = torch.randint(C, (N, 2))
    loss = sgt.linear_cross_entropy(x, W, target, linear_bias=bias)
    torch.testing.assert_close(loss, F.linear_cross_entropy(x, W, target, linear_bias=bias))


def call(x, W, target, **given):
    return lambda: sgt.linear_cross_entropy(x, W, target, **given)


X, COEFFICIENTS, BIAS = tensors(requires_grad=False)
LABELS = targets("labels")
with warnings.catch_warnings(action="ignore"):  # a prototype of torch
    NESTED = torch.nested.nested_tensor([X])
REFUSED = [
    (call([1.0], COEFFICIENTS, LABELS), TypeError, "input is a list"),
    (call(X, COEFFICIENTS.numpy(), LABELS), TypeError, "linear_weight is a ndarray"),
    (call(X.long(), COEFFICIENTS, LABELS), NotImplementedError, "input has dtype torch.int64"),
    (
        call(X.float(), COEFFICIENTS, LABELS),
        RuntimeError,
        "linear_weight has dtype torch.float64; expected torch.float32",
    ),
    (call(X, COEFFICIENTS[0], LABELS), RuntimeError, "expected (C, D): a row for each class"),
    (call(X, COEFFICIENTS.T, LABELS), RuntimeError, "write linear_weight.T if it is (D, C)"),
    (call(X, COEFFICIENTS[:0], LABELS), IndexError, "no classes"),
    (call(X, COEFFICIENTS, LABELS, linear_bias=BIAS[:2]), RuntimeError, "linear_bias has shape (2,); expected (4,)"),
    (call(X, COEFFICIENTS, LABELS[:2]), ValueError, "target has shape (2,)"),
    (call(X, COEFFICIENTS, LABELS[:, None]), RuntimeError, "expected (5,), one class index for each row"),
    (call(X, COEFFICIENTS, LABELS.int()), RuntimeError, "target has dtype torch.int32"),
    (call(X, COEFFICIENTS, LABELS + 10), IndexError, "expected a class index from 0 to 3"),
    (call(X, COEFFICIENTS, LABELS + 10, reduction="none"), IndexError, "target[0] is"),
    (call(X, COEFFICIENTS, LABELS, reduction="avg"), ValueError, "reduction='avg'"),
    (call(X, COEFFICIENTS, LABELS, weight=BIAS[:2]), RuntimeError, "weight has shape (2,); expected (4,)"),
    (call(X, COEFFICIENTS, LABELS, softcap=-1.0), ValueError, "softcap=-1.0; expected a positive number or None"),
    (call(X, COEFFICIENTS, LABELS, softcap="a"), TypeError, "softcap='a'"),
    (call(X, COEFFICIENTS, LABELS, chunk_rows=0), ValueError, "chunk_rows=0; expected a positive integer or None"),
    (call(X, COEFFICIENTS, LABELS, chunk_rows=1.5), TypeError, "chunk_rows=1.5"),
    (call(X, COEFFICIENTS, torch.rand(N, C), ignore_index=1), RuntimeError, "ignore_index=1 needs class indices"),
    (call(X[0], COEFFICIENTS.reshape(2, 2, -1), LABELS[:2]), RuntimeError, "expected input of shape (N, D)"),
    (call(X[None], COEFFICIENTS.reshape(2, 2, -1), LABELS), RuntimeError, "input.reshape(-1, input.shape[-1])"),
    (call(NESTED, COEFFICIENTS, LABELS), RuntimeError, "input is nested"),
    (call(X, COEFFICIENTS.to("meta"), LABELS), RuntimeError, "linear_weight is on meta and input on cpu"),
]


@pytest.mark.parametrize("refused, kind, message", REFUSED)
def test_bad_input(refused, kind, message):
    with pytest.raises(kind) as error:
        refused()
    assert message in str(error.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from Linux' accounts")
@pytest.mark.parametrize("way", ["backward twice", "forward over reverse"])
def test_hessian_vector_products_store_no_logits(way):
    code = """
import resource, sys, torch, softgrad.torch as sgt
torch.set_num_threads(1)

def product(x, W, y):
    loss = lambda W: sgt.linear_cross_entropy(x, W, y, chunk_rows=32)
    if sys.argv[1] == "backward twice":
        gradient, = torch.autograd.grad(loss(W.requires_grad_()), W, create_graph=True)
        torch.autograd.grad(gradient, W, torch.ones_like(gradient))
    else:
        torch.func.jvp(torch.func.grad(loss), (W,), (torch.ones_like(W),))

x, W, y = torch.randn(2048, 8), torch.randn(50000, 8), torch.randint(50000, (2048,))
product(x[:8], W[:100].clone(), y[:8] % 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
product(x, W, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", code, way], capture_output=True, text=True, check=True)
    # Some five chunks of 6 MiB and matrices like W of 1.5; the logits would be 391.
    assert int(run.stdout) < 100 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from Linux' accounts")
def test_memory_is_the_gradient_and_a_chunk():
    code = """
import resource, torch, softgrad.torch as sgt
torch.set_num_threads(1)
x = torch.randn(512, 64, requires_grad=True)
W = torch.randn(100000, 64, requires_grad=True)
y = torch.randint(100000, (512,))
sgt.linear_cross_entropy(x[:8], W[:100], y[:8] % 100).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x.grad = W.grad = None
sgt.linear_cross_entropy(x, W, y, chunk_rows=32).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # 24.4 MiB of gradient, 12.2 of a chunk, and what the products pack; the logits would be 195.
    assert int(run.stdout) < 60 * 1024
