"""softmax, log_softmax and logsumexp with the arguments of JAX's functions, and their results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad.jax as sj

X = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32) * 3
WHERE = np.random.default_rng(4).random((2, 3, 4)) > 0.4
WHERE[0, 0] = False  # a row without classes


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2), (2, 0), None, ()], ids=str)
@pytest.mark.parametrize("where", [None, WHERE, WHERE[:1, :1]], ids=["all", "some", "broadcast"])
def test_arguments_of_jax(axis, where):
    for name in ("softmax", "log_softmax"):
        ours = getattr(sj, name)(X, axis, where)
        theirs = np.asarray(getattr(jax.nn, name)(X, axis, where))
        masked = {"softmax": 0, "log_softmax": -np.inf}[name]
        theirs = theirs if where is None else np.where(np.broadcast_to(where, X.shape), theirs, masked)
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    for keepdims in (False, True):
        ours = sj.logsumexp(X, axis, keepdims=keepdims, where=where)
        theirs = jax.scipy.special.logsumexp(X, axis, keepdims=keepdims, where=where)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def test_signs_and_factors():
    b = np.where(WHERE, 1.0, -2.0).astype(np.float32)
    for ours, theirs in zip(
        sj.logsumexp(X, 1, b, return_sign=True), jax.scipy.special.logsumexp(X, 1, b, return_sign=True), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "shape, axis", [((0, 3), 1), ((3, 0), 1), ((0,), 0), ((), None), ((2, 1), 1), ((0, 3, 4), (1, 2))], ids=str
)
def test_shapes_with_little(shape, axis):
    x = np.ones(shape, np.float32)
    for name in ("softmax", "log_softmax"):
        ours = getattr(sj, name)(x, axis)
        assert ours.shape == shape
        np.testing.assert_array_equal(ours, 1 if name == "softmax" else 0)
    theirs = jax.scipy.special.logsumexp(x, axis)
    np.testing.assert_array_equal(sj.logsumexp(x, axis), theirs)


def test_kinds_of_input():
    for x in ([[1.0, 2.0]], np.array([[1, 2]]), jnp.array([[1, 2]], jnp.bfloat16), np.array([[True, False]])):
        assert sj.softmax(x).shape == (1, 2)
    assert sj.softmax(np.array([[1, 2]])).dtype == jnp.float32
    assert not sj.softmax(3.0, None).weak_type
    assert not sj.logsumexp(3.0).weak_type
    with pytest.raises(TypeError, match="where has dtype float32; expected bool"):
        sj.softmax(X, where=X)
    with pytest.raises(ValueError, match=r"where has shape \(4, 3\); expected one that can be broadcast"):
        sj.logsumexp(X, where=WHERE[0].T)
    with pytest.raises(TypeError, match="x has dtype complex64; expected float16, bfloat16, float32 or float64"):
        sj.softmax(np.zeros(2, np.complex64))
    with pytest.raises(ValueError, match="axis=2; expected from -1 to 0"):
        sj.softmax(np.zeros(2), 2)
    with pytest.raises(TypeError, match=r"axis=1\.0; expected an integer"):
        sj.softmax(np.zeros((2, 2)), 1.0)
    with pytest.raises(ValueError, match="names an axis twice"):
        sj.softmax(np.zeros((2, 2)), (0, -2))


def test_special_values():
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf], [-inf, -inf], [inf, 0], [nan, 0], [0, 0]], np.float32)
    p = sj.softmax(x)
    np.testing.assert_array_equal(p[0], [1, 0])
    assert np.isnan(p[1:4]).all()
    np.testing.assert_array_equal(p[4], 0.5)
    np.testing.assert_array_equal(sj.logsumexp(x, 1)[:3], [0, -inf, inf])
