"""NaN, infinities, and labels that are no classes."""

import itertools

import numpy as np
import pytest
import torch

from softgrad._loss_spec import LossSpec, Reduction
from tests.torch.triton import exact

INF, NAN = float("inf"), float("nan")
PER_ROW = LossSpec(reduction=Reduction.none)


def special_rows(classes, dtype):
    """Rows by name; the rest of every row is 0."""
    rows = {
        "NaN": [1, NAN],
        "masked": [-INF] * classes,
        "infinite": [0, INF, 1],
        "infinite and NaN": [INF, NAN],
        "mostly masked": [0, -INF, 2] + [-INF] * (classes - 3),
        "far apart": [3e38, -3e38] if dtype != exact.F16 else [6e4, -6e4],
        "usual": [1, 2, 3],
        "NaN at the end": [0.0] * (classes - 1) + [NAN],
    }
    z = torch.zeros(len(rows), classes)
    for row, values in zip(z, rows.values(), strict=True):
        row[: len(values)] = torch.tensor(values)
    return z.to(dtype), list(rows)


@pytest.mark.parametrize(
    "classes, dtype",
    [*itertools.product([5, 40, 300], exact.DTYPES), (700, exact.F32), (1003, exact.BF16)],
    ids=str,
)
def test_special_values(triton_kernels, classes, dtype):
    z, names = special_rows(classes, dtype)
    y = torch.tensor([0, 0, 0, 1, 1, 0, 1, 0])
    targets, one = triton_kernels.targets(y, None, 1, classes, dtype), torch.ones(len(z))
    gradient = torch.empty_like(z)
    losses = triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=gradient)
    undefined = torch.tensor([name not in {"mostly masked", "far apart", "usual"} for name in names])
    v = torch.ones_like(z)
    like_logits = {
        "softmax": triton_kernels.softmax(z, 1),
        "log_softmax": triton_kernels.log_softmax(z, 1),
        "fused gradient": gradient,
        "gradient": triton_kernels.cross_entropy_grad(z, one, targets, PER_ROW),
        "product": triton_kernels.cross_entropy_hvp(z, one, v, targets, PER_ROW),
        "log_softmax_vjp": triton_kernels.log_softmax_vjp(z, v, 1),
    }
    for name, result in like_logits.items():
        assert result[undefined].isnan().all(), name
        assert not result[~undefined].isnan().any(), name
        if name != "log_softmax":
            assert result[~undefined].isfinite().all(), name
    at_masked = z[4] == -INF
    assert (like_logits["log_softmax"][4][at_masked] == -INF).all()
    for name in ("softmax", "product"):
        assert (like_logits[name][4][at_masked] == 0).all()
    assert losses[undefined].isnan().all()
    assert losses[4] == INF
    assert losses[5] == 0
    assert exact.error(losses[6:7], exact.Loss(z[6:7], y[6:7]).losses) <= exact.BOUNDS[dtype]["loss"]
    lse = triton_kernels.logsumexp(z, 1)
    assert lse[[0, 3, 7]].isnan().all()
    assert lse[1] == -INF
    assert lse[2] == INF


def assert_close(result, other):
    """The same to a rounding or two: sums are formed by another order where rows start elsewhere."""
    torch.testing.assert_close(result, other, rtol=4 * torch.finfo(result.dtype).eps, atol=0)


@pytest.mark.parametrize(
    "classes, wrong, dtype",
    [
        *itertools.product([7, 200], [-1, 7, -100, 10**15, -(10**15), 2**31], [exact.F32, exact.BF16]),
        *itertools.product([1003], [-1, 10**15], [exact.F32]),
    ],
    ids=str,
)
def test_labels_that_are_no_classes(triton_kernels, classes, wrong, dtype):
    """The row is NaN, no other row is, nothing around the gradient changes, and no address is invalid."""
    wrong = classes if wrong == 7 else wrong
    around = torch.full((6, classes), 7.0, dtype=dtype)
    z, gradient = exact.hostile(classes, dtype)[[0, 1, 3, 5]], around[1:5]
    y = torch.tensor([0, wrong, 2, 1])
    targets, good = (triton_kernels.targets(t, None, 1, classes, dtype) for t in (y, torch.where(y == wrong, 0, y)))
    losses = triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=gradient)
    expected = torch.empty_like(z)
    expected_losses = triton_kernels.cross_entropy(z, good, PER_ROW, gradient=expected)
    others = torch.tensor([0, 2, 3])
    in_place = z.clone()
    triton_kernels.write_cross_entropy_grad(in_place, torch.ones(4), targets, PER_ROW)
    for result in (gradient, in_place, triton_kernels.cross_entropy_grad(z, torch.ones(4), targets, PER_ROW)):
        assert result[1].isnan().all()
        assert_close(result[others], expected[others])
    assert losses[1].isnan()
    assert_close(losses[others], expected_losses[others])
    assert (around[[0, 5]] == 7).all()
    for spec in (
        LossSpec(reduction=Reduction.none, z_loss=0.1),
        LossSpec(reduction=Reduction.none, label_smoothing=0.1),
    ):
        weight = torch.linspace(1, 2, classes)
        targets = triton_kernels.targets(y, weight, 1, classes, dtype)
        losses = triton_kernels.cross_entropy(z, targets, spec)
        assert losses.isnan().tolist() == [False, True, False, False]
        result = triton_kernels.cross_entropy_grad(z, torch.ones(4), targets, spec)
        assert result.isnan().all(1).tolist() == result.isnan().any(1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("dtype", exact.DTYPES, ids=str)
def test_an_upstream_gradient_of_nan_or_infinity_is_not_hidden(triton_kernels, dtype):
    z = exact.hostile(10, dtype)[[0, 1]]
    targets = triton_kernels.targets(torch.tensor([0, 1]), None, 1, 10, dtype)
    for upstream in (NAN, INF):
        gradient = triton_kernels.cross_entropy_grad(z, torch.tensor([upstream, 1.0]), targets, PER_ROW)
        assert not gradient[0].isfinite().any()
        assert gradient[1].isfinite().all()


def test_exponentials_of_every_magnitude(triton_kernels):
    """Every power of two that a softmax of float32 can have, down to the least subnormal number."""
    z = torch.cat([torch.zeros(1), -torch.arange(0.3, 110, 0.25)])[None]
    exponentials = np.exp(exact.array(z))
    wanted = exponentials / exponentials.sum()
    assert exact.error(triton_kernels.softmax(z, 1), wanted) <= exact.BOUNDS[exact.F32]["like logits"]


def test_products_of_tiny_probabilities_and_large_directions(triton_kernels):
    """Probabilities count as multiples of 2^-149 in products, and directions only below 2^95."""
    z = torch.zeros(100, 2)
    z[:, 1] = -torch.linspace(80, 110, 100)
    v = torch.zeros_like(z)
    v[:, 1] = 2.0**94
    targets = triton_kernels.targets(torch.zeros(100, dtype=torch.int64), None, 1, 2, z.dtype)
    product = exact.array(triton_kernels.cross_entropy_hvp(z, torch.ones(100), v, targets, PER_ROW))
    p = np.exp(exact.array(z[:, 1]))
    wanted = p / (1 + p) ** 2 * 2.0**94
    assert (abs(product - wanted[:, None] * [-1, 1]) <= wanted[:, None] * 2.0**-22 + 2.0 ** (94 - 149)).all()
    equal, v = torch.zeros(1, 2), torch.tensor([[0.0, 2.0**96]])
    targets = triton_kernels.targets(torch.zeros(1, dtype=torch.int64), None, 1, 2, z.dtype)
    assert triton_kernels.cross_entropy_hvp(equal, torch.ones(1), v, targets, PER_ROW).isnan().all()
