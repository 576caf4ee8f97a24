"""The loss of a linear head by chunks equals that of whole logits, and needs memory for one chunk of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad.jax as sj
from tests.jax.precision import x64

RNG = np.random.default_rng(6)
X, W, BIAS = RNG.normal(size=(7, 4)), RNG.normal(size=(5, 4)), RNG.normal(size=5)
LABELS, PROBS = np.array([0, 1, -1, 2, 3, 4, 0]), RNG.random((7, 5))


@pytest.mark.slow
@pytest.mark.parametrize("chunk_rows", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("kind", ["labels", "probs"])
def test_equals_whole_logits(chunk_rows, kind):
    options = {"label_smoothing": 0.1, "z_loss": 0.2}
    target, options = (LABELS, options | {"ignore_index": -1}) if kind == "labels" else (PROBS, options)

    def by_chunks(x, W, b):
        return sj.linear_cross_entropy(x, W, target, bias=b, softcap=2.0, chunk_rows=chunk_rows, **options)

    def whole(x, W, b):
        return sj.cross_entropy(2.0 * jnp.tanh((x @ W.T + b) / 2.0), target, **options)

    with x64():
        primals, tangents = (X, W, BIAS), (X[::-1], W[::-1], BIAS)
        for order in (lambda f: f, lambda f: jax.grad(f, (0, 1, 2)), lambda f: hessian_product(f, tangents)):
            expected = order(whole)(*primals)
            for function in (order(by_chunks), jax.jit(order(by_chunks))):
                for a, b in zip(jax.tree.leaves(function(*primals)), jax.tree.leaves(expected), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def hessian_product(function, tangents):
    return lambda *primals: jax.jvp(jax.grad(function, (0, 1, 2)), primals, tangents)[1]


def test_shapes():
    losses = sj.linear_cross_entropy(X.reshape(7, 1, 4), W, LABELS.reshape(7, 1) % 5, reduction="none", chunk_rows=2)
    assert losses.shape == (7, 1)
    assert sj.linear_cross_entropy(X[0], W, 3, chunk_rows=np.int64(2)).shape == ()
    assert sj.linear_cross_entropy(X[:0], W, LABELS[:0], reduction="sum") == 0
    for other in (jnp.bfloat16, jnp.float32):
        loss = sj.linear_cross_entropy(X.astype(jnp.bfloat16), W.astype(other), LABELS % 5)
        assert loss.dtype == jnp.float32


def of_gradient(x, W, y):
    return jax.grad(lambda x, W: sj.linear_cross_entropy(x, W, y, chunk_rows=16), (0, 1))(x, W)


def of_product(x, W, y):
    return jax.jvp(lambda W: of_gradient(x, W, y), (W,), (jnp.ones_like(W),))[1]


@pytest.mark.parametrize("function", [of_gradient, of_product])
def test_logits_are_not_stored(function):
    """The largest array of the compiled gradient or product has the size of a chunk or of W, not of the logits."""
    n, d, c = 256, 8, 4096
    compiled = jax.jit(function).lower(jnp.zeros((n, d)), jnp.zeros((c, d)), jnp.zeros(n, int)).compile()
    logits = 4 * n * c
    assert compiled.memory_analysis().temp_size_in_bytes < logits / 2


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda: sj.linear_cross_entropy(X, W.T, LABELS), ValueError, r"x has shape \(7, 4\) and W \(4, 5\)"),
        (lambda: sj.linear_cross_entropy(X, W[0], LABELS), ValueError, r"W has shape \(4,\); expected \(C, D\)"),
        (lambda: sj.linear_cross_entropy(X, W[:0], LABELS), ValueError, "W has no rows"),
        (
            lambda: sj.linear_cross_entropy(X, W, LABELS, bias=X),
            ValueError,
            r"bias has shape \(7, 4\); expected \(5,\)",
        ),
        (lambda: sj.linear_cross_entropy(X, W, LABELS[:3]), ValueError, r"target has shape \(3,\)"),
        (lambda: sj.linear_cross_entropy(X, W, LABELS, softcap=-1), ValueError, "softcap=-1"),
        (lambda: sj.linear_cross_entropy(X, W, LABELS, softcap=jnp.float32(2)), TypeError, "softcap is a jax.Array"),
        (
            lambda: jax.jit(lambda n: sj.linear_cross_entropy(X, W, LABELS, chunk_rows=n))(2),
            TypeError,
            "chunk_rows is traced",
        ),
        (lambda: sj.linear_cross_entropy(X, W, LABELS, chunk_rows=0), ValueError, "chunk_rows=0"),
        (lambda: sj.linear_cross_entropy(X, W, LABELS, chunk_rows=1.5), TypeError, r"chunk_rows=1\.5"),
        (lambda: sj.linear_cross_entropy(X, W, LABELS, chunk_rows=True), TypeError, "chunk_rows=True"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
