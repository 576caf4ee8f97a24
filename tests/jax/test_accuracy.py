"""Values and gradients within 2 ULP of long double, under the transforms of JAX."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad.jax as sj
from softgrad import _closed_forms
from softgrad._loss_spec import DEFAULT, per_row
from softgrad.jax import _primitives
from tests import families, oracle
from tests.jax.precision import DTYPES, x64


def some_families(dtype):
    yield from (family for family in families.all_families(dtype) if family[1].shape[1] in (2, 3, 10, 100, 400, 1000))


@DTYPES
def test_families(dtype):
    with x64(dtype):
        losses_of = jax.jit(lambda z, y: sj.cross_entropy(z, y, reduction="none"))
        gradient_of = jax.jit(jax.grad(lambda z, y: sj.cross_entropy(z, y, reduction="sum")))
        for name, z in some_families(dtype):
            rows, y = oracle.Rows(z), (np.arange(len(z)) * 7) % z.shape[1]
            assert oracle.error(sj.softmax(z), rows.softmax) <= 2, name
            assert oracle.error(sj.log_softmax(z), rows.log_softmax) <= 2, name
            lse = sj.logsumexp(z, axis=1)
            assert oracle.error(lse, rows.logsumexp, np.abs(z.astype(np.longdouble)).max(1)) <= 2, name
            assert oracle.error(losses_of(z, y), rows.loss(y)) <= 2, name
            assert oracle.error(gradient_of(z, y), rows.gradient(y)) <= 2, name


@DTYPES
def test_confident_rows(dtype):
    """[0, 40, 0] with label 1, in every nesting: the loss is not 0, and the gradient sums to 0."""
    with x64(dtype):
        z, y = jnp.asarray([0, 40, 0], dtype), jnp.asarray(1)
        p = np.exp(-40)
        results = [
            sj.cross_entropy(z, y),
            jax.jit(sj.cross_entropy)(z, y),
            jax.vmap(sj.cross_entropy)(z[None], y[None])[0],
            jax.jit(jax.vmap(jax.jit(sj.cross_entropy)))(z[None], y[None])[0],
            sj.softmax_cross_entropy_with_integer_labels(z, y),
            sj.softmax_cross_entropy(z, jax.nn.one_hot(y, 3)),
        ]
        for loss in results:
            assert loss.dtype == dtype
            np.testing.assert_allclose(loss, 2 * p, rtol=4e-7 if dtype == np.float32 else 1e-15)
        grad = jax.grad(sj.cross_entropy)
        for gradient in [
            grad(z, y),
            jax.jit(grad)(z, y),
            jax.vmap(grad)(z[None], y[None])[0],
            jax.jit(jax.vmap(jax.value_and_grad(sj.cross_entropy)))(z[None], y[None])[1][0],
            jax.jacfwd(sj.cross_entropy)(z, y),
        ]:
            np.testing.assert_allclose(gradient, [p, -2 * p, p], rtol=4e-7 if dtype == np.float32 else 1e-15)
            assert gradient.sum() == 0


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=str)
def test_16_bits(dtype):
    z = jnp.asarray(families.normal(np.float32, 5, 50), dtype)
    y = np.arange(len(z))
    exact = oracle.Rows(np.asarray(z, np.float32))
    assert sj.softmax(z).dtype == dtype
    np.testing.assert_allclose(
        np.asarray(sj.softmax(z), np.float32), exact.softmax, rtol=2e-3 if dtype == jnp.float16 else 1e-2, atol=1e-6
    )
    losses = sj.cross_entropy(z, y, reduction="none")
    assert losses.dtype == jnp.float32
    assert oracle.error(losses, exact.loss(y)) <= 2
    assert sj.softmax_cross_entropy_with_integer_labels(z, y).dtype == dtype
    assert jax.grad(sj.cross_entropy)(z, y).dtype == dtype


@pytest.mark.slow
@pytest.mark.parametrize("dtype, wide", [(np.float32, False), (np.float32, True), (np.float64, True)], ids=str)
def test_closed_forms(dtype, wide):
    """The formulas for other devices, compiled for the CPU by XLA, which flushes subnormal numbers; seen: 4.82 ULP."""
    with x64(np.float64 if wide else np.float32):
        spec, no_weight = per_row(DEFAULT), jnp.zeros(0, dtype)
        forms = [
            jax.jit(lambda z, y: _closed_forms.softmax(z, 1)),
            jax.jit(lambda z, y: _primitives._loss_form(z, y, no_weight, spec=spec)),
            jax.jit(lambda z, y: _primitives._gradient_form(z, y, no_weight, jnp.ones(len(z), dtype), spec=spec)),
        ]
        for name, z in some_families(dtype):
            if name == "tails":
                continue
            rows, y = oracle.Rows(z), (np.arange(len(z)) * 7) % z.shape[1]
            for form, exact in zip(forms, (rows.softmax, rows.loss(y), rows.gradient(y)), strict=True):
                normal = np.abs(exact) > 4 * np.finfo(dtype).tiny
                assert oracle.error(np.asarray(form(jnp.asarray(z), y))[normal], exact[normal]) <= 5.2, name


def test_closed_forms_mark_labels_that_are_no_classes():
    z, y = jnp.zeros((4, 3)), jnp.array([0, 3, -1, -7])
    spec = replace(per_row(DEFAULT), ignore_index=-7)
    losses = _primitives._loss_form(z, y, jnp.zeros(0), spec=spec)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, True, False])
    gradient = _primitives._gradient_form(z, y, jnp.zeros(0), jnp.ones(4), spec=spec)
    np.testing.assert_array_equal(np.isnan(gradient).all(1), [False, True, True, False])
    product = _primitives._hvp_form(z, y, jnp.zeros(0), jnp.ones(4), z, spec=spec)
    np.testing.assert_array_equal(np.isnan(product).all(1), [False, True, True, False])
