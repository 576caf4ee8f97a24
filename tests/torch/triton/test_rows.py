"""Every function of rows of logits, in ULP, on rows that are hard to compute with."""

import itertools

import numpy as np
import pytest
import torch

from softgrad._loss_spec import DEFAULT, per_row
from tests import families, oracle
from tests.torch.triton import exact

PER_ROW = per_row(DEFAULT)
SHORT, LONG = [1, 2, 3, 10, 33, 100, 257], [1000, 1001, 2003, 4096, 8191]
# A program of the interpreter takes 30 ms: of long rows each row is one.
EVERY_LENGTH = pytest.mark.parametrize(
    "classes, dtype",
    [*itertools.product(SHORT, exact.DTYPES), *itertools.product(LONG, [exact.F32, exact.BF16])],
    ids=str,
)


def rows_of(classes, dtype):
    return exact.hostile(classes, dtype, rows=None if classes in SHORT else 4)


def within(name, got, result, scale=None):
    error = exact.error(got, result, scale)
    assert error <= exact.BOUNDS[got.dtype if name != "loss" else exact.F32][name], (name, error)


@EVERY_LENGTH
def test_softmax(triton_kernels, classes, dtype):
    z = rows_of(classes, dtype)
    rows = oracle.Rows(exact.array(z))
    within("like logits", triton_kernels.softmax(z, 1), rows.softmax)
    within("like logits", triton_kernels.log_softmax(z, 1), rows.log_softmax)
    larger = np.maximum(abs(rows.logsumexp), abs(rows.max[:, 0]))
    within("logsumexp", triton_kernels.logsumexp(z, 1), rows.logsumexp, larger)


@EVERY_LENGTH
def test_loss_and_gradient(triton_kernels, classes, dtype):
    z = rows_of(classes, dtype)
    labels, one = exact.labels_of(z), torch.ones(len(z))
    wanted = exact.Loss(z, labels)
    targets = triton_kernels.targets(labels, None, 1, classes, dtype)
    gradient, losses = torch.full_like(z, 7), torch.full((len(z),), 7.0)
    assert_loss(triton_kernels.cross_entropy(z, targets, PER_ROW), wanted, dtype)
    assert_loss(triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=gradient), wanted, dtype)
    within("gradient", gradient, wanted.gradient)
    within("gradient", triton_kernels.cross_entropy_grad(z, one, targets, PER_ROW), wanted.gradient)
    triton_kernels.write_cross_entropy_grad(z, one, targets, PER_ROW, losses)
    assert_loss(losses, wanted, dtype)
    within("gradient", z, wanted.gradient)


def assert_loss(losses, wanted, dtype):
    assert losses.dtype == torch.float32
    error = exact.error(losses, wanted.losses)
    assert error <= exact.BOUNDS[dtype]["loss"], error


@EVERY_LENGTH
def test_products(triton_kernels, classes, dtype):
    """Hessian-vector products, and the vector-Jacobian products of softmax and log_softmax."""
    z = rows_of(classes, dtype)
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(classes)).to(dtype)
    labels, one = exact.labels_of(z), torch.ones(len(z))
    targets = triton_kernels.targets(labels, None, 1, classes, dtype)
    product, terms = exact.Loss(z, labels).product(v)
    got = triton_kernels.cross_entropy_hvp(z, one, v, targets, PER_ROW)
    within("product", got, product, terms)
    out = v.clone()
    assert triton_kernels.cross_entropy_hvp(z, one, out, targets, PER_ROW, out=out) is out
    assert torch.equal(out, got)
    probs = torch.softmax(z.double(), 1).to(dtype)
    p, wide = exact.array(probs), exact.array(v)
    away = wide - np.take_along_axis(wide, p.argmax(1)[:, None], 1)
    mean, size = ((p * x).sum(1, keepdims=True) for x in (away, abs(away)))
    got, product, terms = triton_kernels.softmax_vjp(probs, v, 1), p * (away - mean), p * (abs(away) + size)
    # Where several probabilities are largest, and their sum is not one, the result depends on which is taken.
    unique = (p == p.max(axis=1, keepdims=True)).sum(axis=1) == 1
    within("product", got[torch.from_numpy(unique)], product[unique], terms[unique])
    total, p = wide.sum(1, keepdims=True), oracle.Rows(exact.array(z)).softmax
    larger = np.maximum(abs(wide), p * abs(wide).sum(1, keepdims=True))
    within("product", triton_kernels.log_softmax_vjp(z, v, 1), wide - p * total, larger)


@pytest.mark.parametrize("name, z", [(name, z) for name, z in families.all_families(np.float32) if z.shape[1] <= 1000])
def test_families(triton_kernels, name, z):
    z = torch.from_numpy(z[:3])
    labels = exact.labels_of(z)
    wanted = exact.Loss(z, labels)
    targets = triton_kernels.targets(labels, None, 1, z.shape[1], z.dtype)
    gradient = torch.empty_like(z)
    assert_loss(triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=gradient), wanted, z.dtype)
    within("gradient", gradient, wanted.gradient)


@pytest.mark.parametrize("dtype", [exact.F32, exact.BF16], ids=str)
def test_a_row_in_tiles(triton_kernels, dtype):
    classes = 50257
    z = exact.hostile(classes, dtype, rows=1)
    labels, gradient, one = exact.labels_of(z), torch.empty_like(z), torch.ones(1)
    wanted = exact.Loss(z, labels)
    targets = triton_kernels.targets(labels, None, 1, classes, dtype)
    assert_loss(triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=gradient), wanted, dtype)
    within("gradient", gradient, wanted.gradient)
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    within("product", triton_kernels.cross_entropy_hvp(z, one, v, targets, PER_ROW), *wanted.product(v))
