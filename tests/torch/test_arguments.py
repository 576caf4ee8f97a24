# ruff: noqa: E501, the table of calls
"""Bad input: torch's kinds of exception, and a text that says what to write instead."""

import itertools
import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import softgrad.torch as st
from tests.torch import pairs

Z = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
Y = torch.tensor([0, 2])
Q = torch.full((2, 3), 1 / 3)
IMAGES = torch.zeros(2, 3, 4)
with warnings.catch_warnings(action="ignore"):  # a prototype of torch
    NESTED, NESTED_LABELS = torch.nested.nested_tensor([Z[0], Z[1, :2]]), torch.nested.nested_tensor([Y])


def lse(m, *given):
    return pairs.logsumexp(m, *given)


# A call for either module, the kind of exception where torch's own differs from it (None: the same), texts of ours.
BAD = {
    # logits and their dimension
    "list": (lambda m: m.softmax([1.0, 2.0], 0), TypeError, "input is a list", "torch.as_tensor(input)"),
    "NumPy array": (lambda m: m.log_softmax(np.ones(2), 0), TypeError, "input is a ndarray", "softgrad.log_softmax takes NumPy"),
    "list of labels": (lambda m: m.cross_entropy(Z, [0, 1]), TypeError, "target is a list", "torch.as_tensor(target)"),
    "list of logits": (lambda m: m.cross_entropy([[1.0]], Y), TypeError, "input is a list"),
    "integers": (lambda m: m.softmax(Z.long(), 1), None, "torch.int64", "float16", "dtype=torch.float32"),
    "booleans": (lambda m: m.log_softmax(Z > 2, 1), None, "torch.bool", "dtype=torch.float32"),
    "complex": (lambda m: m.softmax(Z * 1j, 1), None, "torch.complex64"),
    "float8": (lambda m: m.softmax(Z.to(torch.float8_e4m3fn), 1), None, "float8_e4m3fn", "torch.float32"),
    "complex for logsumexp": (lambda m: m.logsumexp(Z * 1j, 1), NotImplementedError, "torch.complex64"),
    "float8 for logsumexp": (lambda m: lse(m, Z.to(torch.float8_e5m2), 1), None, "float8_e5m2", "to(torch.float32)"),
    "integers for the loss": (lambda m: m.cross_entropy(Z.long(), Y), None, "torch.int64", "input.to(torch.float32)"),
    "float8 for the loss": (lambda m: m.cross_entropy(Z.to(torch.float8_e5m2), Y), None, "float8_e5m2"),
    "integer result": (lambda m: m.softmax(Z, 1, dtype=torch.int64), None, "dtype=torch.int64"),
    "complex result": (lambda m: m.log_softmax(Z, 1, dtype=torch.complex64), None, "dtype=torch.complex64"),
    "dimension too large": (lambda m: m.softmax(Z, 2), None, "dim=2", "from -2 to 1"),
    "dimension too small": (lambda m: m.log_softmax(Z, -3), None, "dim=-3"),
    "dimension of a scalar": (lambda m: m.softmax(torch.tensor(1.0), 1), None, "dim=1", "from -1 to 0"),
    "dimension no integer": (lambda m: m.softmax(Z, 0.5), None, "dim=0.5", "an integer"),
    "dimension a bool": (lambda m: m.softmax(Z, True), None, "dim=True", "an integer"),
    "dimension a bool, logsumexp": (lambda m: lse(m, Z, (True,)), None, "dim=True"),
    "dimension no integer, logsumexp": (lambda m: lse(m, Z, "a"), None, "dim='a'"),
    "dimension out of range, logsumexp": (lambda m: lse(m, Z, (0, 2)), None, "dim=2"),
    "dimension twice": (lambda m: lse(m, Z, (0, -2)), None, "dim=(0, -2)", "twice"),
    "no dimension": (lambda m: m.softmax(Z), TypeError, "dim"),
    "sparse": (lambda m: m.softmax(Z.to_sparse(), 1), RuntimeError, "sparse_coo", "to_dense()"),
    "sparse, logsumexp": (lambda m: lse(m, Z.to_sparse(), 1), RuntimeError, "sparse_coo", "to_dense()"),
    "sparse loss": (lambda m: m.cross_entropy(Z.to_sparse(), Y), RuntimeError, "sparse_coo", "to_dense()"),
    "nested": (lambda m: m.softmax(torch.nested.nested_tensor([Z[0]], layout=torch.jagged), 1), RuntimeError, "jagged", "to_padded_tensor(-torch.inf)"),
    "nested, strided": (lambda m: m.softmax(NESTED, 1), RuntimeError, "input is nested", "input.to_padded_tensor(-torch.inf)"),
    "nested, logsumexp": (lambda m: lse(m, NESTED, 1), RuntimeError, "input is nested"),
    "nested loss": (lambda m: m.cross_entropy(NESTED, Y), RuntimeError, "input is nested"),
    "nested target": (lambda m: m.cross_entropy(Z, NESTED_LABELS), RuntimeError, "target is nested", "target.to_padded_tensor(-100)"),
    # shapes of targets
    "another number of labels": (lambda m: m.cross_entropy(Z, torch.tensor([0, 1, 2])), None, "(3,)", "(2, 3)", "expected (2,)"),
    "labels as a column": (lambda m: m.cross_entropy(Z, Y[:, None]), None, "(2, 1)", "expected (2,)"),
    "one label for two rows": (lambda m: m.cross_entropy(Z, torch.tensor(0)), None, "()", "expected (2,)"),
    "labels of an image": (lambda m: m.cross_entropy(IMAGES, torch.zeros(2, 5, dtype=torch.int64)), None, "(2, 5)", "expected (2, 4)"),
    "labels of another batch": (lambda m: m.cross_entropy(IMAGES, torch.zeros(3, 4, dtype=torch.int64)), None, "(3, 4)", "expected (2, 4)"),
    "several labels for a row": (lambda m: m.cross_entropy(Z[0], torch.tensor([0, 1])), None, "(2,)", "expected ()"),
    "scalar logits": (lambda m: m.cross_entropy(torch.tensor(1.0), torch.tensor(0)), RuntimeError, "input is a scalar", "unsqueeze"),
    "probabilities of another shape": (lambda m: m.cross_entropy(Z, Q[:, :2]), None, "(2, 2)", "shape (2, 3)"),
    # dtypes of targets
    "one-hot integers": (lambda m: m.cross_entropy(Z, torch.eye(3)[:2].long()), None, "class probabilities", "target.to(input.dtype)"),
    "floating labels": (lambda m: m.cross_entropy(Z, Y.float()), None, "torch.float32", "target.long()"),
    "int32 labels": (lambda m: m.cross_entropy(Z, Y.int()), None, "torch.int32", "target.long()"),
    "int16 labels": (lambda m: m.cross_entropy(Z, Y.short()), None, "torch.int16"),
    "boolean labels": (lambda m: m.cross_entropy(Z, Y > 0), None, "torch.bool", "target.long()"),
    "complex probabilities": (lambda m: m.cross_entropy(Z, Q * 1j), RuntimeError, "torch.complex64"),
    "ignore_index and probabilities": (lambda m: m.cross_entropy(Z, Q, ignore_index=0), RuntimeError, "ignore_index=0", "zeros instead"),
    # no classes
    "labels without classes": (lambda m: m.cross_entropy(torch.zeros(2, 0), Y), None, "(2, 0)", "no classes"),
    "images without classes": (lambda m: m.cross_entropy(torch.zeros(2, 0, 4), torch.zeros(2, 4).long()), IndexError, "(2, 0, 4)", "no classes"),
    "labels without classes, linear head": (lambda m: m.linear_cross_entropy(Z, torch.zeros(0, 3), Y), None, "linear_weight has no rows", "no classes"),
    # weights
    "weights of another number": (lambda m: m.cross_entropy(Z, Y, torch.ones(2)), None, "(2,)", "(3,)"),
    "weights as a row": (lambda m: m.cross_entropy(Z, Y, torch.ones(1, 3)), None, "(1, 3)", "(3,)"),
    "weights of another dtype": (lambda m: m.cross_entropy(Z, Y, torch.ones(3).double()), None, "torch.float64", "weight.to(input.dtype)"),
    "integer weights": (lambda m: m.cross_entropy(Z, Y, torch.ones(3).long()), None, "torch.int64"),
    "weights of another number, probabilities": (lambda m: m.cross_entropy(Z, Q, torch.ones(2)), None, "(2,)", "(3,)"),
    "a list of weights": (lambda m: m.cross_entropy(Z, Y, [1.0, 1.0, 1.0]), None, "weight is a list"),
    # options
    "unknown reduction": (lambda m: m.cross_entropy(Z, Y, reduction="average"), None, "'average'", "'mean'"),
    "no reduction": (lambda m: m.cross_entropy(Z, Y, reduction=None), None, "reduction=None", "'none'"),
    "reduction a list": (lambda m: m.cross_entropy(Z, Y, reduction=["mean"]), ValueError, "['mean']"),
    "smoothing above one": (lambda m: m.cross_entropy(Z, Y, label_smoothing=1.5), None, "label_smoothing=1.5", "0 to 1"),
    "smoothing below zero": (lambda m: m.cross_entropy(Z, Y, label_smoothing=-0.1), RuntimeError, "label_smoothing=-0.1"),
    "smoothing NaN": (lambda m: m.cross_entropy(Z, Y, label_smoothing=float("nan")), RuntimeError, "label_smoothing=nan"),
    "smoothing text": (lambda m: m.cross_entropy(Z, Y, label_smoothing="a"), None, "label_smoothing='a'", "a number"),
    "ignore_index a bool": (lambda m: m.cross_entropy(Z, Y, ignore_index=True), None, "ignore_index=True", "an integer"),
    "ignore_index no integer": (lambda m: m.cross_entropy(Z, Y, ignore_index=0.5), None, "ignore_index=0.5", "an integer"),
    # labels
    "label too large": (lambda m: m.cross_entropy(Z, torch.tensor([0, 3])), None, "target[1] is 3", "from 0 to 2"),
    "label negative": (lambda m: m.cross_entropy(Z, torch.tensor([-1, 0])), None, "target[0] is -1", "ignore_index=-1"),
    "label of an image": (lambda m: m.cross_entropy(IMAGES, torch.eye(2, 4).long() * 7), None, "target[0, 0] is 7"),
    "label far away": (lambda m: m.cross_entropy(Z, torch.tensor([2**62, 0])), None, str(2**62)),
    "label of a single row": (lambda m: m.cross_entropy(Z[0], torch.tensor(5)), None, "target is 5"),
    "the default ignore_index, where another one holds": (lambda m: m.cross_entropy(Z, torch.tensor([-100, 0]), ignore_index=1), None, "target[0] is -100"),
    # devices
    "labels elsewhere": (lambda m: m.cross_entropy(Z, Y.to("meta")), RuntimeError, "target is on meta", "target.to(input.device)"),
    "logits elsewhere": (lambda m: m.cross_entropy(Z.to("meta"), Y), RuntimeError, "input on meta"),
    "weights elsewhere": (lambda m: m.cross_entropy(Z, Y, torch.ones(3, device="meta")), RuntimeError, "weight is on meta"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_input(case):
    call, kind, *texts = case
    if kind is None:
        with pytest.raises(Exception) as theirs:
            call(F)
        kind = theirs.type
    with pytest.raises(kind) as caught:
        call(st)
    assert caught.type is kind
    for text in texts:
        assert text in str(caught.value)
    for name in re.findall(r"softgrad\.torch\.(\w+)", str(caught.value)):
        assert hasattr(st, name)


OURS = {
    "z_loss negative": (dict(z_loss=-1.0), ValueError, "z_loss=-1.0"),
    "z_loss infinite": (dict(z_loss=float("inf")), ValueError, "z_loss=inf"),
    "z_loss NaN": (dict(z_loss=float("nan")), ValueError, "z_loss=nan"),
    "z_loss text": (dict(z_loss="a"), TypeError, "z_loss='a'"),
    "weight infinite": (dict(weight=torch.tensor([1, float("inf"), 1])), ValueError, "weight[1] is inf"),
    "ignore_index beyond 64 bits": (dict(ignore_index=2**70), ValueError, "ignore_index=1180591620717411303424"),
    "weight too large": (dict(weight=torch.tensor([1, 1, 1e16])), ValueError, "weight[2] is 1"),
}


@pytest.mark.parametrize("case", OURS.values(), ids=OURS.keys())
def test_bad_options_of_ours(case):
    options, kind, text = case
    for z in (Z, Z.clone().requires_grad_()):
        with pytest.raises(kind, match=re.escape(text)):
            st.cross_entropy(z, Y, **options)


OUT_OF_RANGE = {
    "too large": torch.tensor([1, 3, 0]),
    "negative": torch.tensor([-1, 1, 0]),
    "beside an ignored row": torch.tensor([-100, 1, 77]),
}


@pytest.mark.parametrize("weight", [None, torch.ones(3), torch.ones(3, requires_grad=True)], ids=["", "weight", "leaf"])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("target", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE.keys())
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_labels_that_are_no_classes(reduction, target, requires_grad, weight):
    for shape in ((3, 3), (1, 3, 3), (3, 3, 1, 1)):
        x = torch.zeros(shape, requires_grad=requires_grad)
        rows = target.reshape(x.select(min(1, x.ndim - 1), 0).shape)
        bad = int(target[(target != -100) & ((target < 0) | (target > 2))][0])
        with pytest.raises(IndexError, match=rf"is {bad}; expected a class index from 0 to 2"):
            st.cross_entropy(x, rows, weight, reduction=reduction, label_smoothing=0.1)


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_grad", "cross_entropy_hvp"])
def test_labels_out_of_range_reach_no_kernel(name):
    """The backward pass checks for itself: labels may have changed."""
    x, upstream, target = torch.zeros(2, 3), torch.ones(2), torch.tensor([0, 3])
    between = {"cross_entropy": (), "cross_entropy_grad": (upstream,), "cross_entropy_hvp": (upstream, x)}[name]
    with pytest.raises(IndexError, match=r"target\[1\] is 3"):
        getattr(torch.ops.softgrad, name)(x, *between, target, None, 1, 2, -100, 0.0, 0.0)


def test_nothing_is_changed_by_a_call_that_fails():
    z, y, w = Z.clone().requires_grad_(), torch.tensor([0, 3]), torch.ones(3)
    for reduction in ("mean", "sum", "none"):
        with pytest.raises(IndexError):
            st.cross_entropy(z, y, w, reduction=reduction)
    assert torch.equal(z, Z)
    assert z.grad is None
    assert torch.equal(y, torch.tensor([0, 3]))
    assert torch.equal(w, torch.ones(3))


def test_good_and_unusual_arguments():
    expected = F.cross_entropy(Z, Y)
    torch.testing.assert_close(st.cross_entropy(Z, Y, ignore_index=np.int64(1)), expected)
    torch.testing.assert_close(st.cross_entropy(Z, Y, label_smoothing=np.float32(0)), expected)
    torch.testing.assert_close(st.cross_entropy(Z, Y.to(torch.uint8)), expected)
    torch.testing.assert_close(st.cross_entropy(Z, Y, label_smoothing=1), F.cross_entropy(Z, Y, label_smoothing=1))
    torch.testing.assert_close(st.cross_entropy(input=Z, target=Y, weight=None, reduction="sum"), 2 * expected)
    torch.testing.assert_close(st.cross_entropy(Z[0], Y[:1]), F.cross_entropy(Z[0], Y[:1]))
    torch.testing.assert_close(st.softmax(Z, np.int64(1)), F.softmax(Z, 1))
    torch.testing.assert_close(st.softmax(Z.long(), 1, dtype=torch.float64), F.softmax(Z.double(), 1))
    torch.testing.assert_close(st.log_softmax(Z, dim=-1, dtype=torch.bfloat16), F.log_softmax(Z.bfloat16(), -1))
    torch.testing.assert_close(st.logsumexp(Z.long(), [0, 1]), torch.logsumexp(Z.long(), [0, 1]))
    torch.testing.assert_close(st.logsumexp(Z, (), keepdim=True), torch.logsumexp(Z, (0, 1), keepdim=True))


def test_negative_weights_and_probabilities_are_torchs():
    weight, probs = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(st.cross_entropy(Z, Y, weight), F.cross_entropy(Z, Y, weight))
    torch.testing.assert_close(st.cross_entropy(Z, probs, weight), F.cross_entropy(Z, probs, weight))


def test_a_mean_over_nothing():
    ignored = torch.full((2,), -100)
    z = Z.clone().requires_grad_()
    loss = st.cross_entropy(z, ignored)
    assert loss.isnan()
    assert torch.equal(torch.autograd.grad(loss, z)[0], torch.zeros(2, 3))
    assert st.cross_entropy(Z, ignored, reduction="sum") == 0
    assert st.cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).isnan()
    assert st.cross_entropy(torch.zeros(0, 3), torch.zeros(0, 3)).isnan()
    assert st.cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), reduction="sum") == 0
    assert st.cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), reduction="none").shape == (0,)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 0), (2, 0, 3), (0, 0, 3), (2, 0, 0)])
def test_no_classes_as_in_torch(shape, reduction, smoothing):
    classes, options = torch.ones(0), dict(reduction=reduction, label_smoothing=smoothing)
    leaves = [torch.zeros(shape, requires_grad=True) for _ in range(2)] + [classes.clone().requires_grad_()]
    results = []
    for module in (st, F):
        loss = module.cross_entropy(*leaves, **options)
        results.append((loss, *torch.autograd.grad(loss.sum(), leaves)))
        results[-1] += (module.cross_entropy(leaves[0].detach(), leaves[1].detach(), **options),)
    torch.testing.assert_close(*results, equal_nan=True)


def test_derivatives_where_there_are_no_classes():
    z, q = torch.zeros(2, 0), torch.zeros(2, 0)
    for transform in (torch.func.grad, torch.func.hessian, lambda f: lambda z: torch.func.jvp(f, (z,), (z,))):
        ours, theirs = (transform(lambda z, m=m: m.cross_entropy(z, q, reduction="sum"))(z) for m in (st, F))
        torch.testing.assert_close(ours, theirs)
    for function in (st.softmax, st.log_softmax, st.logsumexp):
        assert torch.func.hessian(lambda z, f=function: f(z, 1).sum())(z).shape == (2, 0, 2, 0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [None, torch.zeros(0)])
def test_a_linear_head_without_classes_as_in_torch(bias, reduction):
    for rows, target in ((2, torch.zeros(2, 0)), (0, torch.zeros(0, 0)), (0, torch.zeros(0, dtype=torch.int64))):
        leaves = torch.ones(rows, 3, requires_grad=True), torch.zeros(0, 3, requires_grad=True)
        results = []
        for module in (st, F):
            loss = module.linear_cross_entropy(*leaves, target, linear_bias=bias, reduction=reduction)
            results.append((loss, *torch.autograd.grad(loss.sum(), leaves)))
        torch.testing.assert_close(*results, equal_nan=True)


def test_dtypes_of_probabilities_and_weights_are_torchs():
    dtypes = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

    def seen(module, z, target, weight):
        losses = (
            module.cross_entropy(z, target, weight),
            module.cross_entropy(z, target, weight, reduction="none"),
            module.linear_cross_entropy(z, torch.ones_like(z[:1]).expand(3, 3), target, weight=weight),
        )
        return [loss.dtype for loss in losses]

    for of_logits, of_target, of_weight in itertools.product(dtypes, repeat=3):
        arguments = Z.to(of_logits), Q.to(of_target), torch.ones(3, dtype=of_weight)
        assert seen(st, *arguments) == seen(F, *arguments)
