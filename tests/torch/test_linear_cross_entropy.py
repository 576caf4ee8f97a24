"""linear_cross_entropy: equal to a linear layer followed by the loss, with all derivatives."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import softgrad.torch as sgt
from tests.torch.linear_heads import OPTIONS, C, D, N, assert_same, options, targets, tensors, whole


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
