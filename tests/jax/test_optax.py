"""The two losses under optax's names: its results, and what its own tests assert."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad.jax as sj

TS = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
YS = np.array([[10.0, 1.0, -2.0], [1.0, 4.0, 0.2], [-3.0, 2.0, 5.0]], np.float32)
# log1p of the other exponentials minus the label's.
EXPECTED = np.array([9.00013, 3.0696733, 0.04892111], np.float32)


def test_values():
    np.testing.assert_allclose(sj.softmax_cross_entropy(YS, TS), EXPECTED, atol=1e-4)
    np.testing.assert_allclose(sj.softmax_cross_entropy(YS[0], TS[0]), EXPECTED[0], atol=1e-4)
    labels = TS.argmax(1)
    np.testing.assert_allclose(sj.softmax_cross_entropy_with_integer_labels(YS, labels), EXPECTED, atol=1e-4)


@pytest.mark.parametrize("size, axis", [((10, 20), -1), ((10, 20), 0), ((3, 4, 5), 1), ((3, 4, 5, 2), 2)])
def test_the_two_agree_along_any_axis(size, axis):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=size).astype(np.float32)
    labels = rng.integers(size[axis], size=np.delete(size, axis % len(size)))
    one_hot = jax.nn.one_hot(labels, size[axis], axis=axis)
    a = sj.softmax_cross_entropy_with_integer_labels(logits, labels, axis)
    np.testing.assert_allclose(a, sj.softmax_cross_entropy(logits, one_hot, axis), rtol=1e-5)
    np.testing.assert_allclose(a, -(one_hot * jax.nn.log_softmax(logits, axis)).sum(axis), rtol=1e-4)


def test_several_axes():
    shape = (1, 2, 3, 4)
    logits = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
    labels = jnp.ravel_multi_index((jnp.array([[1, 2]]), jnp.array([[1, 3]])), shape[2:])
    losses = sj.softmax_cross_entropy_with_integer_labels(logits, labels, axis=(2, 3))
    np.testing.assert_allclose(losses, [[6.4587, 0.4587]], atol=1e-4)
    one_hot = jax.nn.one_hot(labels, 12).reshape(shape)
    np.testing.assert_allclose(sj.softmax_cross_entropy(logits, one_hot, axis=(2, 3)), losses, rtol=1e-6)
    np.testing.assert_allclose(
        sj.softmax_cross_entropy(logits[0, 0], one_hot[0, 0], axis=None), losses[0, 0], rtol=1e-6
    )


@pytest.mark.parametrize("axis", [-1, 0])
def test_where_for_elements_is_a_loss_of_those(axis):
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(2, 6, 6)).astype(np.float32)
    labels = np.abs(labels)
    where = np.ones((6, 6), bool)
    where[4:] = where[:, 4:] = False
    part = sj.softmax_cross_entropy(logits[:4, :4], labels[:4, :4], axis)
    masked = sj.softmax_cross_entropy(logits, labels, axis, where)
    np.testing.assert_allclose(masked[:4], part, rtol=1e-6)
    np.testing.assert_array_equal(masked[4:], 0)
    gradient = jax.grad(lambda z: sj.softmax_cross_entropy(z, labels, axis, where).sum())(logits)
    assert np.isfinite(gradient).all()
    assert not gradient[4:, 4:].any()


def test_where_for_rows_ignores_labels_that_are_no_classes():
    logits, labels = YS, np.array([1, 99, -5])
    where = np.array([True, False, False])
    losses = sj.softmax_cross_entropy_with_integer_labels(logits, labels, where=where)
    np.testing.assert_allclose(losses, [EXPECTED[0], 0, 0], atol=1e-4)
    total = lambda z: sj.softmax_cross_entropy_with_integer_labels(z, labels, where=where).sum()  # noqa: E731
    assert not jax.grad(total)(logits)[1:].any()
    np.testing.assert_array_equal(sj.softmax_cross_entropy(logits, TS, where=where) == 0, [False, True, True])


def test_labels_broadcast():
    np.testing.assert_allclose(sj.softmax_cross_entropy(YS, TS[0]), -jax.nn.log_softmax(YS)[:, 1], rtol=1e-5)


def test_dtype_of_the_result():
    """As in optax that of a product of labels and logits."""
    half = jnp.asarray(YS, jnp.bfloat16)
    assert sj.softmax_cross_entropy(half, TS).dtype == jnp.float32
    assert sj.softmax_cross_entropy(half, TS.astype(int)).dtype == jnp.bfloat16


def test_no_rows_and_several_axes():
    z = np.zeros((0, 3, 4), np.float32)
    assert sj.softmax_cross_entropy(z, z, axis=(1, 2)).shape == (0,)
    assert sj.softmax_cross_entropy_with_integer_labels(z, np.zeros(0, int), axis=(1, 2)).shape == (0,)
    assert sj.logsumexp(z, axis=(1, 2)).shape == (0,)


def test_errors():
    with pytest.raises(ValueError, match=r"logits has shape \(3, 0\); expected at least one class along axis=-1"):
        sj.softmax_cross_entropy_with_integer_labels(YS[:, :0], np.array([0, 1, 2]))
    with pytest.raises(TypeError, match="labels has dtype complex64"):
        sj.softmax_cross_entropy(YS, 1j * TS)
    with pytest.raises(ValueError, match=r"where has shape \(2, 1\); expected one that can be broadcast to \(3, 3\)"):
        sj.softmax_cross_entropy(YS, TS, where=np.ones(2, bool))
    with pytest.raises(TypeError, match=r"where has dtype float32; expected bool; write where.astype\(bool\)"):
        sj.softmax_cross_entropy(YS, TS, where=TS)
    with pytest.raises(TypeError, match="logits has dtype int32; expected float16, bfloat16, float32 or float64"):
        sj.softmax_cross_entropy(np.zeros((2, 3), np.int32), TS[:2])
    with pytest.raises(TypeError, match="labels has dtype float32; expected an integer dtype"):
        sj.softmax_cross_entropy_with_integer_labels(YS, TS)
    with pytest.raises(ValueError, match=r"labels has shape \(2,\) beside logits of shape \(3, 3\); expected \(3,\)"):
        sj.softmax_cross_entropy_with_integer_labels(YS, np.array([0, 1]))
    with pytest.raises(TypeError, match="axis=None; expected an integer or a tuple"):
        sj.softmax_cross_entropy_with_integer_labels(YS, np.array([0, 1, 2]), axis=None)
