"""The modules beside torch.nn's: values, gradients, state, copies, compilation."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import softgrad.torch as st

ROWS, FEATURES, CLASSES = 7, 6, 5
# Oracle: torch.nn in float64 on the same numbers, at logits of order one, where nothing in it cancels.
TWO_ULP = {torch.float32: 2.0**-22, torch.float64: 1e-14}
PRODUCTS = dict(rtol=1e-12, atol=1e-14)  # float64 sums of products, in another order

LOSSES = {
    "plain": {},
    "sum": dict(reduction="sum"),
    "none": dict(reduction="none"),
    "ignored": dict(ignore_index=2),
    "ignored, none": dict(ignore_index=2, reduction="none"),
    "smoothed": dict(label_smoothing=0.2),
    "smoothed, ignored": dict(label_smoothing=0.2, ignore_index=2),
}
MODULES = {
    "Softmax": lambda module: module.Softmax(dim=1),
    "LogSoftmax": lambda module: module.LogSoftmax(dim=1),
    "CrossEntropyLoss": lambda module: module.CrossEntropyLoss(class_weight(), label_smoothing=0.1),
    "LinearCrossEntropyLoss": lambda module: module.LinearCrossEntropyLoss(
        FEATURES, CLASSES, bias=True, weight=class_weight(), dtype=torch.float64
    ),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(dtype=torch.float64, shape=(ROWS, CLASSES)):
    return torch.randn(shape, dtype=torch.float64, generator=generator()).to(dtype)


def features():
    return torch.randn(ROWS, FEATURES, dtype=torch.float64, generator=generator(1))


def labels(shape=(ROWS,)):
    return torch.randint(CLASSES, shape, generator=generator(2))


def class_weight(dtype=torch.float64):
    return torch.linspace(0.5, 2.5, CLASSES, dtype=torch.float64).to(dtype)


def value_and_gradient(module, x, *target):
    """Of the module's value under an upstream gradient other than one."""
    x = x.clone().requires_grad_()
    value = module(x, *target)
    upstream = torch.linspace(-1.5, 2, value.numel() + 1, dtype=value.dtype)[1:].reshape(value.shape)
    value.backward(upstream)
    return value.detach(), x.grad


def assert_two_ulp(got, exact):
    """Within two ULP of the largest term: a gradient's entries are differences of terms of that size."""
    scale = exact.abs().max().item()
    torch.testing.assert_close(got.double(), exact, rtol=TWO_ULP[got.dtype], atol=TWO_ULP[got.dtype] * scale)


def randomised(module):
    """The module with coefficients of order one."""
    for parameter, seed in zip(module.parameters(), range(3, 9), strict=False):
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(seed)))
    return module


def call(module):
    """The module's value and gradient on inputs that suit it."""
    if isinstance(module, (st.CrossEntropyLoss, nn.CrossEntropyLoss)):
        return value_and_gradient(module, logits(), labels())
    if isinstance(module, (st.LinearCrossEntropyLoss, nn.LinearCrossEntropyLoss)):
        return value_and_gradient(module, features(), labels())
    return value_and_gradient(module, logits())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape, dim", [((ROWS, CLASSES), 1), ((ROWS, CLASSES), 0), ((2, CLASSES, 3), -2), ((9,), 0)])
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_softmax(name, shape, dim, dtype):
    x = logits(dtype, shape)
    got = value_and_gradient(getattr(st, name)(dim), x)
    exact = value_and_gradient(getattr(nn, name)(dim), x.double())
    assert got[0].dtype == got[1].dtype == dtype
    torch.testing.assert_close(got[0].double(), exact[0], rtol=TWO_ULP[dtype], atol=0)
    torch.testing.assert_close(got[1].double(), exact[1], rtol=2 * TWO_ULP[dtype], atol=2 * TWO_ULP[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_cross_entropy_of_labels(options, weighted, dtype):
    x = logits(dtype)
    got, exact = (
        value_and_gradient(module.CrossEntropyLoss(class_weight(d) if weighted else None, **options), x.to(d), labels())
        for module, d in ((st, dtype), (nn, torch.float64))
    )
    assert got[0].dtype == got[1].dtype == dtype
    assert_two_ulp(got[0], exact[0])
    assert_two_ulp(got[1], exact[1])


@pytest.mark.parametrize("options", [{}, dict(reduction="sum", label_smoothing=0.2), dict(reduction="none")])
def test_cross_entropy_of_probabilities_and_of_images(options):
    probs = torch.rand(ROWS, CLASSES, dtype=torch.float64, generator=generator(3))
    image = logits(shape=(2, CLASSES, 3, 4))
    for x, target in ((logits(), probs), (image, labels((2, 3, 4)))):
        got, exact = (value_and_gradient(m.CrossEntropyLoss(class_weight(), **options), x, target) for m in (st, nn))
        torch.testing.assert_close(got, exact, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)
def test_linear_cross_entropy(options, bias, weighted):
    options = dict(options, bias=bias, weight=class_weight() if weighted else None, dtype=torch.float64)
    ours, theirs = (randomised(m.LinearCrossEntropyLoss(FEATURES, CLASSES, **options)) for m in (st, nn))
    torch.testing.assert_close(call(ours), call(theirs), **PRODUCTS)
    for (name, got), (expected_name, expected) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == expected_name
        torch.testing.assert_close(got.grad, expected.grad, **PRODUCTS)


def test_linear_cross_entropy_starts_as_torchs_does():
    states = []
    for module in (st, nn):
        torch.manual_seed(4)
        states.append(module.LinearCrossEntropyLoss(FEATURES, CLASSES, bias=True).state_dict())
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_z_loss(reduction):
    def expected(x, target):
        per_row = nn.functional.cross_entropy(x, target, reduction="none") + 0.3 * x.logsumexp(1) ** 2
        return per_row if reduction == "none" else getattr(per_row, reduction)()

    got = value_and_gradient(st.CrossEntropyLoss(reduction=reduction, z_loss=0.3), logits(), labels())
    torch.testing.assert_close(got, value_and_gradient(expected, logits(), labels()), **PRODUCTS)


def test_options_of_the_linear_head():
    options = dict(bias=True, z_loss=0.3, softcap=2.0, dtype=torch.float64)
    whole = randomised(st.LinearCrossEntropyLoss(FEATURES, CLASSES, **options))
    by_chunks = randomised(st.LinearCrossEntropyLoss(FEATURES, CLASSES, chunk_rows=3, **options))
    assert by_chunks.chunk_rows == 3

    def expected(x, target):
        z = 2.0 * torch.tanh(whole.linear(x) / 2.0)
        return nn.functional.cross_entropy(z, target) + 0.3 * (z.logsumexp(1) ** 2).mean()

    exact = value_and_gradient(expected, features(), labels())
    for head in (whole, by_chunks):
        torch.testing.assert_close(value_and_gradient(head, features(), labels()), exact, **PRODUCTS)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "LinearCrossEntropyLoss"])
def test_state_loads_into_torchs_and_back(name):
    ours, theirs = (randomised(MODULES[name](module)) for module in (st, nn))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for tensor in ours.state_dict().values():
            tensor.mul_(0.5)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(call(theirs), call(ours), **PRODUCTS)
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            tensor.add_(1)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(call(ours), call(theirs), **PRODUCTS)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "LinearCrossEntropyLoss"])
def test_class_weights_are_a_buffer(name):
    loss = MODULES[name](st)
    assert [key for key, _ in loss.named_buffers()] == ["weight"]
    assert "weight" not in dict(loss.named_parameters())
    assert loss.float().weight.dtype == torch.float32
    assert loss.to("meta").weight.is_meta
    without = st.CrossEntropyLoss()
    assert without.weight is None
    assert not without.state_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_to_dtype(dtype):
    head = randomised(MODULES["LinearCrossEntropyLoss"](st)).to(dtype)
    exact = copy.deepcopy(head).double()
    value, gradient = value_and_gradient(head, features().to(dtype), labels())
    assert value.dtype == gradient.dtype == head.linear.weight.grad.dtype == head.weight.dtype == dtype
    expected, _ = value_and_gradient(exact, features().to(dtype).double(), labels())
    torch.testing.assert_close(value.double(), expected, rtol=10 * torch.finfo(dtype).eps, atol=0)


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": saved_and_loaded,
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", MODULES)
def test_copies_are_equal_and_independent(name, duplicate):
    module = randomised(MODULES[name](st))
    expected = call(module)
    twin = duplicate(module)
    assert type(twin) is type(module)
    assert repr(twin) == repr(module)
    torch.testing.assert_close(call(twin), expected, rtol=0, atol=0)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.zero_()
    torch.testing.assert_close(call(module), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "module, text",
    [
        (lambda: st.Softmax(dim=-1), "Softmax(dim=-1)"),
        (lambda: st.LogSoftmax(1), "LogSoftmax(dim=1)"),
        (
            lambda: st.CrossEntropyLoss(reduction="sum", label_smoothing=0.1),
            "CrossEntropyLoss(ignore_index=-100, reduction='sum', label_smoothing=0.1, z_loss=0.0)",
        ),
        (
            lambda: st.LinearCrossEntropyLoss(4, 3, z_loss=1e-4, softcap=30.0),
            "LinearCrossEntropyLoss(\n  ignore_index=-100, reduction='mean', label_smoothing=0.0, z_loss=0.0001, "
            "softcap=30.0, chunk_rows=None\n  (linear): Linear(in_features=4, out_features=3, bias=False)\n)",
        ),
    ],
)
def test_repr(module, text):
    assert repr(module()) == text


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "LinearCrossEntropyLoss"])
def test_torchs_deprecated_positions_are_refused(name):
    """The second and third of torch.nn.CrossEntropyLoss are size_average and ignore_index."""
    sizes = (4, 3) if name == "LinearCrossEntropyLoss" else ()
    with pytest.raises(TypeError, match="positional"):
        getattr(st, name)(*sizes, None, None, 2)


@pytest.mark.parametrize(
    "options, error", [(dict(reduction="avg"), ValueError), (dict(label_smoothing=1.5), RuntimeError)]
)
def test_wrong_options_are_refused_by_name(options, error):
    with pytest.raises(error, match=next(iter(options))):
        st.CrossEntropyLoss(**options)(logits(), labels())
    with pytest.raises(error, match=next(iter(options))):
        st.LinearCrossEntropyLoss(FEATURES, CLASSES, dtype=torch.float64, **options)(features(), labels())


class Model(nn.Module):
    """Features through a small network into the module, and a scalar out of it."""

    def __init__(self, last):
        super().__init__()
        width = FEATURES if isinstance(last, st.LinearCrossEntropyLoss) else CLASSES
        self.body = nn.Sequential(nn.Linear(FEATURES, width, dtype=torch.float64), nn.Tanh())
        self.last = last

    def forward(self, x, target):
        if isinstance(self.last, (st.Softmax, st.LogSoftmax)):
            return self.last(self.body(x)).gather(1, target[:, None]).sum()
        return self.last(self.body(x), target)


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_model(name):
    eager = randomised(Model(MODULES[name](st)))
    twin = copy.deepcopy(eager)
    torch.compiler.reset()
    # "aot_eager" traces, decomposes and differentiates as the default does, and runs eagerly.
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    for model in (eager, compiled):
        model(features(), labels()).backward()
    torch.compiler.reset()
    torch.testing.assert_close(compiled(features(), labels()), eager(features(), labels()), **PRODUCTS)
    for got, expected in zip(twin.parameters(), eager.parameters(), strict=True):
        assert expected.grad.abs().max() > 0
        torch.testing.assert_close(got.grad, expected.grad, **PRODUCTS)


def test_training_takes_the_same_steps_as_with_torchs_losses():
    """Twenty steps of SGD with momentum in float64."""
    trained = []
    for make in (
        lambda: nn.CrossEntropyLoss(class_weight()),
        lambda: st.CrossEntropyLoss(class_weight()),
    ):
        model = randomised(Model(make()))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
        for _ in range(20):
            optimizer.zero_grad()
            model(features(), labels()).backward()
            optimizer.step()
        trained.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(*trained, rtol=1e-11, atol=1e-13)
