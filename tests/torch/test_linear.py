"""The logits of a linear head in chunks of rows and of classes: accuracy, memory and products."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import softgrad.torch as sgt
from softgrad.torch._linear import _by_classes, _head
from tests import families, oracle
from tests.torch.linear_heads import OPTIONS, assert_same, options, targets, tensors, whole


@pytest.fixture
def few_classes_at_a_time(monkeypatch):
    """Chunks of 5 rows by 7 classes; returns how many chunks of rows went through."""
    used = []
    original = _by_classes._losses_and_statistics

    def counted(*arguments):
        used.append(1)
        return original(*arguments)

    monkeypatch.setattr(_by_classes, "_losses_and_statistics", counted)
    monkeypatch.setattr(_by_classes, "_BLOCK_ROWS", 5)
    monkeypatch.setattr(_head, "_LEAST_ROWS", 4)
    monkeypatch.setattr(_head, "_SHARE_OF_W", 0)
    return lambda itemsize: monkeypatch.setattr(_head, "CHUNK_BYTES", 35 * itemsize) or used


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


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.hessian, torch.func.jacfwd])
def test_transforms_go_by_chunks_beside_labels(transform, monkeypatch):
    def refuse(*_):
        raise AssertionError("all logits at once")

    monkeypatch.setattr(F, "linear", refuse)
    x, labels = torch.ones(2, 4), torch.tensor([0, 2])
    transform(lambda W: sgt.linear_cross_entropy(x, W, labels))(torch.randn(3, 4))


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
