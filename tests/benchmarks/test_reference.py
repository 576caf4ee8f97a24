"""Exact results, held against arbitrary precision."""

import mpmath
import numpy as np
import pytest

from benchmarks import reference
from benchmarks.suites import accuracy


def _mpf(x):
    """A long double, which mpmath does not take, without loss."""
    mantissa, exponent = np.frexp(x)
    high = float(mantissa)
    return mpmath.ldexp(mpmath.mpf(high) + mpmath.mpf(float(mantissa - high)), int(exponent))


def _far_below_a_small_maximum(rng, shape, dtype):
    """Differences that long double cannot hold: a reference that rounds them is 0.1 ULP off."""
    logits = rng.uniform(np.log(np.finfo(dtype).tiny), np.log(np.finfo(dtype).tiny) * 0.9, shape)
    logits[:, 0] = 1e-3 * rng.standard_normal(shape[0])
    return logits.astype(dtype), np.ones(shape[0], np.intp)


FAMILIES = accuracy.FAMILIES | {"far below a small maximum": _far_below_a_small_maximum}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", accuracy.dtypes(), ids=str)
def test_results_are_exact(family, dtype):
    logits, target = FAMILIES[family](np.random.default_rng(1), (3, 10), dtype)
    exact = accuracy.exact_results(logits, target)
    with mpmath.workdps(700):  # 1 + e^-745 takes 324 digits
        for i, (row, y) in enumerate(zip(logits.tolist(), target.tolist(), strict=True)):
            exps = [mpmath.exp(mpmath.mpf(z)) for z in row]
            lse = mpmath.log(mpmath.fsum(exps))
            probs = [mpmath.exp(mpmath.mpf(z) - lse) for z in row]
            expected = {
                "softmax": probs,
                "log_softmax": [z - lse for z in row],
                "loss": [lse - row[y]],
                "gradient": [p - (j == y) for j, p in enumerate(probs)],
            }
            for function, values in expected.items():
                for got, value in zip(np.atleast_1d(exact[function][i]), values, strict=True):
                    ulp = float(np.spacing(abs(dtype.type(float(value)))))
                    assert abs(_mpf(got) - value) / ulp <= 0.005, function


def test_mean_loss_is_that_of_all_blocks(monkeypatch):
    monkeypatch.setattr(reference, "BLOCK_ENTRIES", 20)
    logits, target = np.random.default_rng(0).standard_normal((7, 10), np.float32), np.arange(7)
    z = logits.astype(np.longdouble)
    exact = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(7), target]).mean()
    assert float(reference.mean_loss(logits, target)) == pytest.approx(float(exact), rel=1e-14)


def test_hessian_product_is_that_of_the_dense_matrix():
    rng = np.random.default_rng(0)
    logits, v = rng.standard_normal((2, 5, 9), np.float32)
    product, magnitude = reference.hessian_product(logits, v)
    p = reference.softmax(logits, np.longdouble)
    dense = np.einsum("nj,jk->njk", p, np.eye(9)) - np.einsum("nj,nk->njk", p, p)
    exact = np.einsum("njk,nk->nj", dense, v)
    assert np.max(abs(product - exact) / magnitude) < 1e-15
    assert np.all(abs(product) <= magnitude)


def test_constant_in_the_direction_changes_no_hessian_product():
    rng = np.random.default_rng(0)
    logits, v = rng.standard_normal((5, 9), np.float32), rng.integers(-8, 8, (5, 9)).astype(np.float32)
    for result, shifted in zip(
        reference.hessian_product(logits, v), reference.hessian_product(logits, v + 1024), strict=True
    ):
        np.testing.assert_array_equal(result, shifted)


def test_sampled_rows_include_the_first_and_the_last(monkeypatch):
    monkeypatch.setattr(reference, "SAMPLED_ENTRIES", 50)
    assert reference.sampled_rows(1000, 10).tolist() == [0, 249, 499, 749, 999]
    assert reference.sampled_rows(1000, 10**6).tolist() == [0, 999]
    assert reference.sampled_rows(3, 1).tolist() == [0, 1, 2]


def test_ulp_error_counts_spacings_of_the_exact_result():
    exact = np.array([1.0, 0.75, 1e-45])
    result = np.array([1.0, 0.75, 0.0], np.float32)
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    assert reference.ulp_error(result, exact, "float32") == pytest.approx(1e-45 / tiny)
    result[0] += 3 * np.spacing(np.float32(1))
    assert reference.ulp_error(result, exact, "float32") == 3
    assert reference.ulp_error(result[:2], exact[:2], "float64") == 3 * 2.0**29
    assert reference.ulp_error(result[:2], exact[:2], "bfloat16") == 3 / 2.0**16
    assert reference.ulp_error(result[:2], exact[:2], "float32", magnitude=np.array([4.0, 4.0])) == 0.75
    result[1] = np.nan
    assert reference.ulp_error(result, exact, "float32") == np.inf
