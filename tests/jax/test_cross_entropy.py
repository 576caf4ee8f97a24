"""The loss: softgrad.cross_entropy's results, bit for bit, and its errors."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softgrad as sg
import softgrad.jax as sj
from tests.jax.precision import DTYPES, x64

RNG = np.random.default_rng(5)
Z = RNG.normal(size=(4, 3, 6)) * 3
LABELS, WEIGHT = RNG.integers(6, size=(4, 3)), 0.5 + RNG.random(6)
PROBS = RNG.random((4, 3, 6))


@DTYPES
@pytest.mark.parametrize("kind", ["labels", "probs"])
def test_results_of_numpy(dtype, kind):
    with x64(dtype):
        for smoothing, z_loss, weighted, axis in itertools.product((0.0, 0.1), (0.0, 0.3), (False, True), (-1, 0)):
            z = np.moveaxis(Z.astype(dtype), -1, axis)
            options = {"label_smoothing": smoothing, "z_loss": z_loss, "axis": axis}
            options |= {"weight": WEIGHT.astype(dtype)} if weighted else {}
            options |= {"ignore_index": 2} if kind == "labels" else {}
            target = LABELS if kind == "labels" else np.moveaxis(PROBS.astype(dtype), -1, axis)
            losses = sj.cross_entropy(z, target, reduction="none", **options)
            np.testing.assert_array_equal(losses, sg.cross_entropy(z, target, reduction="none", **options))
            rtol = 1e-6 if dtype == np.float32 else 1e-14
            for reduction in ("mean", "sum"):
                expected = sg.cross_entropy(z, target, reduction=reduction, **options)
                np.testing.assert_allclose(sj.cross_entropy(z, target, reduction=reduction, **options), expected, rtol)
            gradient = jax.jit(jax.grad(lambda z: sj.cross_entropy(z, target, reduction="sum", **options)))(z)  # noqa: B023
            expected = sg.cross_entropy_grad(z, target, reduction="sum", **options)
            np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32], ids=str)
def test_integer_dtypes(dtype):
    z = Z.astype(np.float32)
    expected = sj.cross_entropy(z, LABELS)
    np.testing.assert_array_equal(sj.cross_entropy(z, LABELS.astype(dtype)), expected)


@pytest.mark.parametrize("labels", [np.array([2**32, 1]), [2**32, 1], np.array([2**32 - 7, 1], np.uint32)], ids=str)
def test_labels_beyond_32_bits_do_not_wrap_around(labels):
    """2**32 is not class 0, nor 2**32 - 7 the ignored label."""
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=r"target\[0\] is 2147483647; expected a class"):
        jax.block_until_ready(sj.cross_entropy(Z[0, :2].astype(np.float32), labels, ignore_index=-7))


def test_other_forms_of_arrays():
    """Big-endian, and lists of tracers."""
    z = Z[0].astype(np.float32)
    expected = sj.cross_entropy(z, LABELS[0])
    np.testing.assert_array_equal(sj.cross_entropy(z.astype(">f4"), LABELS[0].astype(">i8")), expected)
    np.testing.assert_allclose(jax.jit(lambda *rows: sj.cross_entropy(list(rows), LABELS[0]))(*z), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["dtype", "rank"])
def test_modes_in_which_jax_promotes_nothing(mode):
    z, w = jax.ShapeDtypeStruct((3, 6), jnp.bfloat16), jax.ShapeDtypeStruct((6,), jnp.float32)

    def third_derivative(z):
        return jax.jacfwd(jax.hessian(lambda z: sj.cross_entropy(z, LABELS[0], z_loss=0.1)))(z)

    def of_weight(w):
        return jax.grad(lambda w: sj.cross_entropy(Z[0], LABELS[0], weight=w, label_smoothing=0.1))(w)

    def head(z):
        return jax.grad(lambda W: sj.linear_cross_entropy(z, W, LABELS[0], bias=W[0], chunk_rows=2))(z[:1].repeat(6, 0))

    with jax.numpy_dtype_promotion("strict") if mode == "dtype" else jax.numpy_rank_promotion("raise"):
        assert jax.eval_shape(third_derivative, z).shape == (3, 6) * 3
        assert jax.eval_shape(of_weight, w).shape == (6,)
        assert jax.eval_shape(head, z).shape == (6, 6)


def test_without_jit():
    expected = sj.softmax(Z[0])
    with jax.disable_jit():
        np.testing.assert_array_equal(sj.softmax(Z[0]), expected)


def test_a_label_that_is_no_class_is_an_error_under_jit():
    z, y = Z.astype(np.float32), LABELS.copy()
    y[1, 2] = 6
    text = r"target\[1, 2\] is 6; expected a class index from 0 to 5"
    for function in (sj.cross_entropy, jax.jit(sj.cross_entropy), jax.grad(sj.cross_entropy)):
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=text):
            jax.block_until_ready(function(z, y))


def test_traced_weights():
    weighted = jax.jit(lambda z, w: sj.cross_entropy(z, LABELS, weight=w))
    np.testing.assert_allclose(weighted(Z, WEIGHT), sg.cross_entropy(Z, LABELS, weight=WEIGHT), rtol=1e-5)


MISSPELT = {"label_smothing": 0.1}
ERRORS = [
    (lambda: sj.cross_entropy(Z, LABELS[:2]), ValueError, r"target has shape \(2, 3\) beside logits of shape"),
    (lambda: sj.cross_entropy(Z, LABELS.astype(float)), ValueError, r"target has dtype float32 and shape \(4, 3\)"),
    (lambda: sj.cross_entropy(Z, LABELS > 2), TypeError, "target has dtype bool; expected an integer dtype"),
    (lambda: sj.cross_entropy(Z[..., :0], LABELS), ValueError, "expected at least one class along axis=-1"),
    (lambda: sj.cross_entropy(Z, LABELS, axis=3), ValueError, "axis=3; expected from -3 to 2"),
    (lambda: sj.cross_entropy(Z, LABELS, weight=WEIGHT[:3]), ValueError, r"weight has shape \(3,\); expected \(6,\)"),
    (lambda: sj.cross_entropy(Z, LABELS, weight=-WEIGHT), ValueError, r"weight\[0\] is -"),
    (lambda: sj.cross_entropy(Z, PROBS, ignore_index=1), ValueError, "ignore_index=1 needs class indices"),
    (lambda: sj.cross_entropy(Z, LABELS, reduction="max"), ValueError, "reduction='max'"),
    (lambda: sj.cross_entropy(Z, LABELS, label_smoothing=2), ValueError, "label_smoothing=2"),
    (lambda: sj.cross_entropy(Z, LABELS, **MISSPELT), TypeError, "unexpected keyword argument 'label_smothing'"),
    (lambda: sj.cross_entropy(Z, LABELS, z_loss=jnp.float32(1)), TypeError, "z_loss is a .*; expected a static Python"),
    (lambda: jax.jit(lambda e: sj.cross_entropy(Z, LABELS, label_smoothing=e))(0.1), TypeError,
     "label_smoothing is traced; expected a static Python number; write jax.jit"),
    (lambda: sj.cross_entropy("logits", LABELS), TypeError, "logits is a str; expected an array"),
    (lambda: sj.cross_entropy(None, LABELS), TypeError, "logits is a NoneType; expected an array"),
    (lambda: sj.cross_entropy(Z, object()), TypeError, "target is a object; expected an array"),
    (lambda: sj.cross_entropy(1j * Z, LABELS), TypeError, "logits has dtype complex64"),
    (lambda: sj.cross_entropy(np.float32(1), 0), ValueError, "axis=-1; expected an array with at least one axis"),
    (lambda: sj.cross_entropy(np.ma.masked_equal(Z, 0), LABELS), TypeError, r"logits is a masked array.*filled\("),
    (lambda: sj.softmax([np.ma.masked, 1.0]), TypeError, "x is a masked array"),
    (lambda: sj.cross_entropy([[1.0, 2.0], [1.0]], [0, 0]), ValueError, "logits is no array"),
    (lambda: sj.cross_entropy(Z.astype(object), LABELS), TypeError, "logits has dtype object; expected an array of nu"),
    (lambda: sj.cross_entropy(Z, jnp.asarray(PROBS, jnp.float8_e4m3fn)), TypeError, "target has dtype float8_e4m3fn"),
    (lambda: sj.cross_entropy(Z, LABELS, weight=1j * WEIGHT), TypeError, "weight has dtype complex64"),
    (lambda: sj.cross_entropy(Z, LABELS, weight=WEIGHT > 1), TypeError, "weight has dtype bool"),
    (lambda: jax.jit(lambda z: sj.cross_entropy(z, LABELS, weight=-WEIGHT))(Z), ValueError, r"weight\[0\] is -"),
    (lambda: sj.cross_entropy(Z, LABELS, weight=WEIGHT * 1e-300), ValueError, r"weight\[0\] is .*e-30"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, text", ERRORS, ids=[text for *_, text in ERRORS])
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
