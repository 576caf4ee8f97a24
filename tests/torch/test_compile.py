"""What torch.compile, torch.export and make_fx make of the functions: the same results, in one graph."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import softgrad.torch as st
from tests.torch import pairs
from tests.torch.parallel.test_compile import OPERATORS

X, LABELS, PROBS, WEIGHT = pairs.tensors()
TANGENT = pairs.tensors(seed=1)[0]
BATCH = torch.stack([pairs.tensors(seed=seed)[0] for seed in (2, 3, 4)])
EXACT = dict(rtol=1e-11, atol=1e-13)


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(f, backend="aot_eager", **options):
    """In one graph. "aot_eager" traces, decomposes and differentiates as the default does, and runs eagerly."""
    return torch.compile(f, fullgraph=True, backend=backend, **options)


# One function of each operator; every option of the loss is slow.
USUAL = {"softmax", "log_softmax", "logsumexp", "labels, weight", "probs, none"}
NAMES = [pytest.param(name, marks=[] if name in USUAL else pytest.mark.slow) for name in pairs.scalars()]


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_backward(name):
    f = pairs.scalars()[name]
    results = []
    for module, through in ((st, compiled), (F, lambda f: f)):
        x = X.clone().requires_grad_()
        loss = through(lambda x, m=module: f(m, x * 2))(x)
        results.append((loss, *torch.autograd.grad(loss, x)))
    torch.testing.assert_close(*results, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log_softmax", "logsumexp", "labels, weight", "probs, none"])
@pytest.mark.parametrize(
    "transform",
    {
        "grad": grad,
        "jvp": lambda f: lambda x: jvp(f, (x,), (TANGENT,)),
        "hvp": lambda f: lambda x: jvp(grad(f), (x,), (TANGENT,)),
        "jacrev": lambda f: jacrev(jacrev(f)),
        "jacfwd": jacfwd,
        "hessian": hessian,
        "vmap": lambda f: lambda x: vmap(f)(torch.stack([x, TANGENT])),
        "vmap of grad": lambda f: lambda x: vmap(grad(f))(torch.stack([x, TANGENT])),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_transforms_within(transform, name):
    f = pairs.scalars()[name]
    ours = compiled(transform[1](lambda x: f(st, x)))(X)
    torch.testing.assert_close(ours, transform[1](lambda x: f(F, x))(X), **EXACT)


@pytest.mark.parametrize("wanted", ["target", "weight"])
def test_derivatives_in_targets_and_weights(wanted):
    def derivatives(module):
        if wanted == "target":
            f = lambda q: pairs.cross_entropy(module, X, q, WEIGHT, label_smoothing=0.1)  # noqa: E731
            return grad(f)(PROBS), jvp(f, (PROBS,), (TANGENT,))[1]
        f = lambda w: pairs.cross_entropy(module, X, PROBS, w, label_smoothing=0.1)  # noqa: E731
        return grad(f)(WEIGHT), jvp(f, (WEIGHT,), (TANGENT[0],))[1]

    torch.testing.assert_close(compiled(lambda: derivatives(st))(), derivatives(F), **EXACT)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5))


def data(rows):
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, 6, generator=generator), torch.arange(rows) % 5


@pytest.mark.slow
def test_the_default_backend():
    net = network()
    x, y = data(9)

    def loss(module):
        logits = net(x)
        return module.cross_entropy(logits, y) + module.log_softmax(logits, 1)[:, 0].sum()

    results = []
    for f in (torch.compile(lambda: loss(st), fullgraph=True), lambda: loss(F)):
        net.zero_grad()
        value = f()
        value.backward()
        results.append([value, *(p.grad.clone() for p in net.parameters())])
    torch.testing.assert_close(*results)


@pytest.mark.slow
def test_the_default_backend_on_probabilities_and_transforms():
    f = torch.compile(
        lambda x: jvp(grad(lambda x: st.cross_entropy(x, PROBS, WEIGHT)), (x,), (TANGENT,)), fullgraph=True
    )
    expected = jvp(grad(lambda x: F.cross_entropy(x, PROBS, WEIGHT)), (X,), (TANGENT,))
    torch.testing.assert_close(f(X), expected, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("marked", [True, False])
def test_batches_of_other_sizes(marked):
    net = network()
    weight = torch.rand(5)
    f = compiled(lambda x, y: st.cross_entropy(net(x), y, weight) + st.logsumexp(net(x), 1).sum())
    compiles = torch._dynamo.utils.counters["stats"]
    before = compiles["unique_graphs"]
    for i, rows in enumerate((4, 7, 11, 32)):
        x, y = data(rows)
        if marked:
            torch._dynamo.mark_dynamic(x, 0)
            torch._dynamo.mark_dynamic(y, 0)
        expected = F.cross_entropy(net(x), y, weight) + torch.logsumexp(net(x), 1).sum()
        got = f(x, y)
        torch.testing.assert_close(got, expected)
        parameters = tuple(net.parameters())
        torch.testing.assert_close(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters))
        # One graph for every size; without a mark the second size makes the first graph general.
        assert compiles["unique_graphs"] - before == (1 if marked or i == 0 else 2)


@pytest.mark.parametrize("probs", [False, True])
def test_autocast(probs):
    net = network()
    x, y = data(16)
    target = F.softmax(torch.randn(16, 5, generator=torch.Generator().manual_seed(0)), 1) if probs else y

    def loss(x):
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
            return st.cross_entropy(logits, target), st.softmax(logits, 1), st.log_softmax(logits, 1)

    eager, graph = loss(x), compiled(loss)(x)
    assert [t.dtype for t in graph] == [t.dtype for t in eager]
    torch.testing.assert_close(graph, eager)
    parameters = tuple(net.parameters())
    torch.testing.assert_close(torch.autograd.grad(graph[0], parameters), torch.autograd.grad(eager[0], parameters))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype):
    x = X.to(dtype).requires_grad_()
    f = lambda x: (st.cross_entropy(x, LABELS, reduction="none"), st.softmax(x, 0), st.logsumexp(x, 1))  # noqa: E731
    eager, graph = f(x), compiled(f)(x)
    for a, b in zip(eager, graph, strict=True):
        assert torch.equal(a, b)
        gradients = [torch.autograd.grad(result.sum(), x, retain_graph=True)[0] for result in (a, b)]
        assert torch.equal(*gradients)


def test_labels_out_of_range():
    f = compiled(st.cross_entropy)
    with pytest.raises(IndexError, match=r"target\[2\] is 5"):
        f(X, torch.tensor([0, 1, 5, 2]))


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x, y):
        logits = self.net(x)
        return st.softmax(logits, 1), st.log_softmax(logits, -1), st.cross_entropy(logits, y, ignore_index=2)


@pytest.mark.parametrize("strict", [True, False])
def test_export(strict):
    module, (x, y) = Classifier(), data(7)
    rows = torch.export.Dim("rows", min=2, max=1024)
    program = torch.export.export(module, (x, y), dynamic_shapes=({0: rows}, {0: rows}), strict=strict)
    called = {str(node.target) for node in program.graph.nodes if "softgrad" in str(node.target)}
    assert called == {f"softgrad.{name}.default" for name in ("softmax", "log_softmax", "cross_entropy")}
    for size in (7, 12):
        torch.testing.assert_close(program.module()(*data(size)), module(*data(size)))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx(mode):
    def f(x, q):
        return torch.func.grad_and_value(lambda x: st.cross_entropy(x, q) + st.logsumexp(x, 1).sum())(x)

    graph = make_fx(f, tracing_mode=mode)(X, PROBS)
    other = BATCH[0]
    torch.testing.assert_close(graph(other, PROBS), f(other, PROBS), **EXACT)


def test_make_fx_of_a_hessian():
    f = hessian(lambda x: st.cross_entropy(x, LABELS, WEIGHT))
    torch.testing.assert_close(make_fx(f)(X)(TANGENT), f(TANGENT), **EXACT)


LAYOUTS = {
    "rows": torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),
    "transposed": torch.randn(4, 6).T,
    "every other column": torch.randn(6, 8)[:, ::2],
    "images": torch.randn(2, 4, 3, 5),
    "channels last": torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last),
    "permuted": torch.randn(3, 2, 5, 4).permute(1, 3, 0, 2),
    "expanded": torch.randn(1, 4).expand(6, 4),
    "bfloat16": torch.randn(6, 4).bfloat16(),
    "float64": torch.randn(6, 4).double(),
    "one row": torch.randn(1, 4),
    "no rows": torch.randn(0, 4),
}
SHAPED = {
    "softmax": lambda x: st.softmax(x, 1),
    "log_softmax": lambda x: st.log_softmax(x, 1),
    "logsumexp": lambda x: st.logsumexp(x, 1),
    "logsumexp, two": lambda x: st.logsumexp(x, (0, 1), keepdim=True),
    "mean": lambda x: st.cross_entropy(x, torch.zeros(x[:, 0].shape, dtype=torch.int64)),
    "none": lambda x: st.cross_entropy(x, torch.zeros(x[:, 0].shape, dtype=torch.int64), reduction="none"),
    "probs": lambda x: st.cross_entropy(x, torch.ones_like(x), reduction="none"),
    "gradient": grad(lambda x: st.cross_entropy(x, torch.ones_like(x))),
    "softmax gradient": grad(lambda x: st.softmax(x, 1)[..., 0].sum()),
    "log_softmax gradient": grad(lambda x: st.log_softmax(x, 1).sum()),
    "product": lambda x: jvp(grad(lambda x: st.cross_entropy(x, torch.ones_like(x))), (x,), (x,))[1],
}


@pytest.mark.parametrize("f", SHAPED.values(), ids=SHAPED.keys())
@pytest.mark.parametrize("x", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_fake_tensors_are_shaped_like_real_ones(x, f):
    real = f(x)
    with FakeTensorMode() as mode:
        fake = f(mode.from_tensor(x))
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


def samples():
    """Of every operator, arguments in a few dtypes, layouts and with every kind of target."""
    for dtype in (torch.float32, torch.bfloat16):
        x, labels, probs, weight = pairs.tensors(dtype)
        for logits in (x, x.T.contiguous().T):
            for name in ("softmax", "log_softmax", "logsumexp"):
                yield name, (logits.double().requires_grad_(), 1)
                yield name, (logits.clone().requires_grad_(), 0)
            for name in ("softmax_vjp", "log_softmax_vjp"):
                yield name, (logits.clone().requires_grad_(), torch.ones_like(x).requires_grad_(), 1)
            for target, w in ((labels, None), (labels, weight), (probs, None), (probs, weight)):
                for reduction, eps, zeta in ((0, 0.0, 0.0), (1, 0.1, 0.0), (2, 0.1, 0.2)):
                    options = (1, reduction, -100, eps, zeta)
                    upstream = torch.ones(len(x) if reduction == 2 else (), dtype=torch.float32)
                    z = logits.clone().requires_grad_()
                    yield "cross_entropy", (z, target, w, *options)
                    yield "cross_entropy_grad", (z, upstream.clone().requires_grad_(), target, w, *options)
                    v = torch.ones_like(x).requires_grad_()
                    yield "cross_entropy_hvp", (z, upstream.clone().requires_grad_(), v, target, w, *options)


# Beside these there are linear_cross_entropy and the operators of class shards, in files of their own.
CHECKED = sorted({name for name, _ in samples()})


@pytest.mark.parametrize("name", CHECKED)
def test_opcheck(name):
    operator = getattr(torch.ops.softgrad, name).default
    for i, arguments in enumerate(arguments for other, arguments in samples() if other == name):
        tests = ["test_schema", "test_autograd_registration", "test_faketensor"]
        if i % 24 == 0:  # it takes a while
            tests.append("test_aot_dispatch_dynamic")
        torch.library.opcheck(operator, arguments, test_utils=tests)


def test_every_operator_is_checked():
    known = {
        str(name).removeprefix("softgrad::") for name in torch._C._dispatch_get_all_op_names() if "softgrad::" in name
    }
    assert {name for name in known if not name.startswith("linear")} == {*CHECKED, *OPERATORS}
