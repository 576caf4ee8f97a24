"""Values and gradients within 2 ULP of long double, under the transforms of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad.jax as sj
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
