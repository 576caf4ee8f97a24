"""Exact results in float64: equal to those of the other reference and of automatic differentiation."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks import reference
from benchmarks.gpu import rows
from benchmarks.gpu.reference import Loss, Options, Rows, has_unique_maximum, softmax_vjp, ulp, ulp_error


def close(got, wanted):
    assert torch.allclose(got, torch.as_tensor(wanted), rtol=1e-12, atol=0)


@pytest.fixture
def hostile():
    return rows.hostile(24, torch.float32, torch.device("cpu"))


def test_results_of_labels_are_those_of_the_suites(hostile):
    z, y = (tensor[hostile[0].isfinite().all(1)] for tensor in hostile)
    exact = Loss(Rows(z), y, Options())
    arrays = z.numpy(), y.numpy()
    close(Rows(z).softmax, reference.softmax(arrays[0], np.float64))
    close(Rows(z).log_softmax, reference.log_softmax(arrays[0], np.float64))
    close(exact.value[:, 0], reference.loss(*arrays, np.float64))
    close(exact.gradient, reference.gradient(*arrays, np.float64))
    v = rows.direction(z)
    for got, wanted in zip(exact.product(v), reference.hessian_product(arrays[0], v.numpy()), strict=True):
        assert torch.allclose(got, torch.as_tensor(wanted), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("is_dense", [False, True])
@pytest.mark.parametrize("smoothing, zeta", [(0.0, 0.0), (0.1, 0.25)])
def test_options_are_those_of_torch(is_dense, smoothing, zeta):
    generator = torch.Generator().manual_seed(0)
    z, v = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    weight = torch.linspace(0.5, 2, 6, dtype=torch.float64)
    target = torch.softmax(v, 1) if is_dense else torch.tensor([0, 5, -100, 2])
    kept = torch.ones(4, 1) if is_dense else (target != -100).double()[:, None]

    def losses(logits):
        value = functional.cross_entropy(logits, target, weight, label_smoothing=smoothing, reduction="none")
        return value + kept[:, 0] * zeta * torch.logsumexp(logits, 1) ** 2

    exact = Loss(Rows(z), target, Options(weight, -100, smoothing, zeta))
    assert torch.allclose(exact.value[:, 0], losses(z))
    gradient, times = torch.func.vjp(torch.func.grad(lambda logits: losses(logits).sum()), z)
    assert torch.allclose(exact.gradient, gradient)
    assert torch.allclose(exact.product(v)[0], times(v)[0])
    assert (exact.gradient_magnitude >= 0.999 * exact.gradient.abs()).all()
    mean = functional.cross_entropy(z, target, weight, label_smoothing=smoothing)
    of_sum = functional.cross_entropy(z, target, weight, label_smoothing=smoothing, reduction="sum")
    assert torch.allclose(exact.denominator, of_sum / mean)


def test_gradients_of_softmax_and_its_logarithm():
    generator = torch.Generator().manual_seed(0)
    z, v = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    for function, product in (
        (torch.softmax, softmax_vjp(torch.softmax(z, 1), v)[0]),
        (torch.log_softmax, Rows(z).log_softmax_vjp(v)[0]),
    ):
        assert torch.allclose(product, torch.func.vjp(lambda t, f=function: f(t, 1), z)[1](v)[0])
    assert has_unique_maximum(torch.tensor([[0.5, 0.5], [0.4, 0.6]])).tolist() == [False, True]


@pytest.mark.parametrize(
    "dtype, eps, least",
    [(torch.float32, 2.0**-23, 2.0**-149), (torch.bfloat16, 2.0**-7, 2.0**-133), (torch.float16, 2.0**-10, 2.0**-24)],
)
def test_units_in_the_last_place(dtype, eps, least):
    assert ulp(torch.tensor([1.0, 1.99, 2.0, 0.0]), dtype).tolist() == [eps, eps, 2 * eps, least]
    exact = torch.ones(2, dtype=torch.float64)
    off = torch.tensor([1.0, 1 + 3 * eps], dtype=dtype)
    assert ulp_error(off, exact) == 3
    assert ulp_error(off, exact, torch.full((2,), 4.0)) == 0.75


def test_special_values_have_to_agree():
    exact = torch.tensor([1.0, torch.inf], dtype=torch.float64)
    assert ulp_error(torch.tensor([1.0, torch.inf]), exact) == 0
    for wrong in ([1.0, 2.0], [1.0, torch.nan], [torch.nan, torch.inf], [torch.inf, torch.inf]):
        assert ulp_error(torch.tensor(wrong), exact) == torch.inf
