"""Every option of the loss, for labels and class probabilities, and all reductions."""

import itertools

import numpy as np
import pytest
import torch

from softgrad._loss_spec import LossSpec, Reduction
from tests.torch.triton import exact

SPECS = {
    "plain": {},
    "ignored": {"ignore_index": -100},
    "a class ignored": {"ignore_index": 2},
    "smoothed": {"label_smoothing": 0.1},
    "smoothed to the uniform": {"label_smoothing": 1.0},
    "z-loss": {"z_loss": 0.01},
    "all": {"ignore_index": -100, "label_smoothing": 0.2, "z_loss": 0.3},
}
WEIGHTS = {
    "unweighted": lambda n: None,
    "weighted": lambda n: torch.linspace(0.5, 2, n),
    "signed weights": lambda n: torch.linspace(-1, 2, n) * (torch.arange(n) % 3 > 0),
    "large weights": lambda n: 1e15 * torch.linspace(0.1, 1, n),
}
KINDS = {"labels": list(SPECS), "probabilities": ["plain", "smoothed", "z-loss", "all"]}
CASES = [(kind, name) for kind, names in KINDS.items() for name in names]
# A program of the interpreter takes 30 ms: of long rows each row is one.
EVERY = [
    (classes, *case, *others)
    for classes, case, *others in itertools.chain(
        itertools.product([3, 37], CASES, WEIGHTS, exact.DTYPES),
        itertools.product([1001], CASES, ["signed weights"], [exact.F32]),
        itertools.product([1001], [("labels", "all"), ("probabilities", "plain")], ["unweighted"], [exact.BF16]),
    )
]


def case(classes, dtype, kind, ignored):
    """Logits and targets of rows; those that are ignored hold anything."""
    z = exact.hostile(classes, dtype)[[0, 1, 5, 3, 6, 7, 8] if classes < 500 else [0, 1, 5, 6]]
    if kind == "labels":
        y = exact.labels_of(z)
        y[2] = 2
        if ignored is not None:
            y[[0, 3]] = ignored
            z[0, classes // 2], z[3] = torch.nan, torch.inf
        return z, y
    generator = torch.Generator().manual_seed(1)
    q = torch.rand(z.shape, generator=generator) * (torch.rand(z.shape, generator=generator) < 0.7)
    return z, q.to(dtype)


def relative(got, exact_sum, magnitude):
    """|got − exact| in ULP of float32 at the magnitude."""
    return exact.error(got.reshape(1), np.reshape(exact_sum, 1), np.reshape(magnitude, 1))


@pytest.mark.parametrize("classes, kind, name, weighted, dtype", EVERY, ids=str)
def test_options(triton_kernels, classes, kind, name, weighted, dtype):
    bounds = exact.BOUNDS[dtype]
    of_gradient = bounds["gradient" if kind == "labels" and name in {"plain", "ignored"} else "dense gradient"]
    per_row = LossSpec(reduction=Reduction.none, **SPECS[name])
    z, y = case(classes, dtype, kind, per_row.ignore_index)
    weight = WEIGHTS[weighted](classes)
    clean = torch.where(torch.isfinite(z), z, 0)  # what ignored rows hold does not matter
    wanted = exact.Loss(clean, y, weight, per_row)
    targets = triton_kernels.targets(y, weight, 1, classes, dtype)
    upstream = torch.linspace(-3, 2, len(z))
    losses = triton_kernels.cross_entropy(z, targets, per_row)
    assert exact.error(losses, wanted.losses, wanted.magnitude) <= bounds["loss"]
    if dtype == exact.F16 and weighted == "large weights":
        return  # beyond the largest float16
    scale = exact.array(upstream)[:, None]
    terms = None if wanted.terms is None else abs(scale) * wanted.terms
    gradient = triton_kernels.cross_entropy_grad(z, upstream, targets, per_row)
    assert exact.error(gradient, scale * wanted.gradient, terms) <= of_gradient
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    product, terms = wanted.product(v)
    got = triton_kernels.cross_entropy_hvp(z, upstream, v, targets, per_row)
    assert exact.error(got, scale * product, abs(scale) * terms) <= bounds["product"]


@pytest.mark.parametrize("dtype", [exact.F32, exact.BF16], ids=str)
@pytest.mark.parametrize("reduction", [Reduction.mean, Reduction.sum])
@pytest.mark.parametrize("name", ["plain", "ignored", "all"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("classes", [10, 500])
def test_reductions(triton_kernels, classes, kind, name, reduction, dtype):
    bounds, weight = exact.BOUNDS[dtype], WEIGHTS["weighted"](classes)
    spec = LossSpec(reduction=reduction, **SPECS[name])
    z, y = case(classes, dtype, kind, spec.ignore_index if kind == "labels" else None)
    wanted = exact.Loss(torch.where(torch.isfinite(z), z, 0), y, weight, spec)
    targets = triton_kernels.targets(y, weight, 1, classes, dtype)
    divisor = 1.0
    if reduction is Reduction.mean:
        divisor = wanted.weight_of_labels.sum() if kind == "labels" else len(z)
    gradient = torch.empty_like(z)
    total, magnitude = (np.sum(rows) / divisor for rows in (wanted.losses, wanted.magnitude))
    for got in (
        triton_kernels.cross_entropy(z, targets, spec),
        triton_kernels.cross_entropy(z, targets, spec, gradient=gradient),
    ):
        assert got.shape == ()
        assert relative(got, total, magnitude) <= bounds["loss"]
    of_gradient = bounds["gradient" if kind == "labels" and name != "all" else "dense gradient"]
    for upstream in (1.0, 3.0):
        factor = torch.tensor(upstream)
        scale = np.longdouble(upstream) / divisor
        terms = None if wanted.terms is None else scale * wanted.terms
        rescaled, logits, losses = gradient.clone(), z.clone(), torch.full((len(z),), 7.0)
        triton_kernels.rescale_cross_entropy_grad(rescaled, z, factor, targets, spec)
        triton_kernels.write_cross_entropy_grad(logits, factor, targets, spec, losses)
        for got in (triton_kernels.cross_entropy_grad(z, factor, targets, spec), rescaled, logits):
            assert exact.error(got, scale * wanted.gradient, terms) <= of_gradient
        assert exact.error(losses, wanted.losses, wanted.magnitude) <= bounds["loss"]


def test_a_gradient_for_upstream_one_is_left_as_it_is(triton_kernels):
    z, y = case(10, exact.F32, "labels", None)
    spec, targets = LossSpec(), triton_kernels.targets(y, None, 1, 10, z.dtype)
    gradient = torch.full_like(z, 7)
    triton_kernels.rescale_cross_entropy_grad(gradient, z, torch.ones(()), targets, spec)
    assert (gradient == 7).all()


@pytest.mark.parametrize("dtype", exact.DTYPES, ids=str)
@pytest.mark.parametrize("factor", [1.0, 0.0, -2.5])
def test_scale_in_place(triton_kernels, factor, dtype):
    for tensor in (torch.randn(5, 301).to(dtype), torch.randn(7, 6).to(dtype)[:, ::2], torch.empty(0, 3, dtype=dtype)):
        expected = tensor * factor
        triton_kernels.scale_in_place(tensor, torch.tensor(factor))
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)


def test_no_rows_that_count(triton_kernels):
    z, spec = torch.randn(3, 5), LossSpec(ignore_index=-100)
    targets = triton_kernels.targets(torch.full((3,), -100), None, 1, 5, z.dtype)
    gradient = torch.full_like(z, 7)
    assert triton_kernels.cross_entropy(z, targets, spec, gradient=gradient).isnan()
    assert not gradient.nan_to_num().any()
