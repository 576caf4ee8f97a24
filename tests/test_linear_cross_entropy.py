import subprocess
import sys

import numpy as np
import pytest

import softgrad as sg
from softgrad import _linear_cross_entropy

OPTIONS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"weight": True, "ignore_index": 3},
    {"label_smoothing": 0.1, "z_loss": 0.2},
]


def problem(dtype, n=50, d=9, c=13, seed=0):
    rng = np.random.default_rng(seed)
    x, weights, bias = rng.normal(size=(n, d)), rng.normal(size=(c, d)), rng.normal(size=c)
    return x.astype(dtype), weights.astype(dtype), bias.astype(dtype), rng.integers(0, c, n), rng.random((n, c))


@pytest.fixture(params=[32 << 20, 600, 1], ids=["one chunk", "some chunks", "single rows"])
def chunk_bytes(request, monkeypatch):
    monkeypatch.setattr(_linear_cross_entropy, "_CHUNK_BYTES", request.param)
    monkeypatch.setattr(_linear_cross_entropy, "_PRODUCT_BYTES", request.param)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "+".join(o) or "plain")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_cross_entropy_of_stored_logits(chunk_bytes, dtype, options, with_bias, dense):
    x, weights, bias, y, q = problem(dtype)
    options = dict(options)
    if "weight" in options:
        options["weight"] = np.arange(13) / 5
    if dense:
        options.pop("ignore_index", None)
    target = q if dense else y
    offset = bias if with_bias else None
    logits = x.astype(np.float64) @ weights.T.astype(np.float64) + (bias.astype(np.float64) if with_bias else 0)
    expected, g = sg.cross_entropy_value_and_grad(logits, target, **options)
    loss, gradient = sg.linear_cross_entropy_value_and_grad(x, weights, target, bias=offset, **options)
    tolerance = dict(rtol=3e-5, atol=3e-5) if dtype == np.float32 else dict(rtol=1e-12, atol=1e-12)
    assert loss.dtype == gradient.x.dtype == gradient.W.dtype == dtype
    np.testing.assert_allclose(loss, expected, **tolerance)
    np.testing.assert_allclose(gradient.x, g @ weights, **tolerance)
    np.testing.assert_allclose(gradient.W, g.T @ x, **tolerance)
    if with_bias:
        np.testing.assert_allclose(gradient.bias, g.sum(axis=0), **tolerance)
    else:
        assert gradient.bias is None
    np.testing.assert_array_equal(sg.linear_cross_entropy(x, weights, target, bias=offset, **options), loss)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
@pytest.mark.parametrize("with_bias", [False, True])
def test_ignored_rows_may_hold_anything(chunk_bytes, with_bias, value, reduction):
    x, weights, bias, y, _ = problem(np.float32)
    y[[0, 7, 8, 9, 49]] = -1
    kept = y >= 0
    x[~kept] = value
    options = {"bias": bias if with_bias else None, "reduction": reduction}
    loss, g = sg.linear_cross_entropy_value_and_grad(x, weights, y, ignore_index=-1, **options)
    expected_loss, expected = sg.linear_cross_entropy_value_and_grad(x[kept], weights, y[kept], **options)
    np.testing.assert_array_equal(sg.linear_cross_entropy(x, weights, y, ignore_index=-1, **options), loss)
    if reduction == "none":
        assert not loss[~kept].any()
        loss = loss[kept]
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    assert not g.x[~kept].any()
    for result, exact in zip((g.x[kept], g.W, g.bias), expected, strict=True):
        if exact is not None:
            np.testing.assert_allclose(result, exact, rtol=1e-4, atol=1e-5)
    V = np.column_stack([weights, bias])[:, : 9 + with_bias].copy()
    product = sg.linear_cross_entropy_hvp(x, weights, y, V, ignore_index=-1, **options)
    exact = sg.linear_cross_entropy_hvp(x[kept], weights, y[kept], V, **options)
    np.testing.assert_allclose(product, exact, rtol=1e-4, atol=1e-5)


def test_only_ignored_rows():
    x, weights, _, y, _ = problem(np.float64)
    x[:], y[:] = np.nan, 3
    loss, g = sg.linear_cross_entropy_value_and_grad(x, weights, y, ignore_index=3)
    assert np.isnan(loss)
    assert not any(part.any() for part in (g.x, g.W))
    assert sg.linear_cross_entropy(x, weights, y, ignore_index=3, reduction="sum") == 0


def test_layouts_and_inputs_untouched():
    x, weights, _, y, _ = problem(np.float64)
    expected_loss, expected = sg.linear_cross_entropy_value_and_grad(x, weights, y)
    kept = x.copy(), weights.copy()
    loss, gradient = sg.linear_cross_entropy_value_and_grad(np.asfortranarray(x), weights[::-1][::-1], y)
    assert loss == pytest.approx(expected_loss, rel=1e-14)
    np.testing.assert_allclose(gradient.W, expected.W, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(weights, kept[1])


def test_nothing_to_average():
    loss, gradient = sg.linear_cross_entropy_value_and_grad(np.ones((0, 4)), np.ones((3, 4)), np.ones(0, int))
    assert np.isnan(loss)
    assert gradient.x.shape == (0, 4)
    assert (gradient.W == 0).all()
    assert sg.linear_cross_entropy(np.ones((0, 4)), np.ones((3, 4)), np.ones(0, int), reduction="sum") == 0
    assert sg.linear_cross_entropy(np.ones((0, 4)), np.ones((3, 4)), np.ones(0, int), reduction="none").shape == (0,)


MEMORY = """
import resource
import numpy as np
import softgrad as sg

rng = np.random.default_rng(0)
x = rng.standard_normal((1024, 64), dtype=np.float32)
W = 0.1 * rng.standard_normal((100_000, 64), dtype=np.float32)
y = rng.integers(0, 100_000, 1024)
sg.linear_cross_entropy_value_and_grad(x[:2], W[:2], y[:2] % 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sg.linear_cross_entropy_value_and_grad(x, W, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_of_a_large_vocabulary():
    """The logits alone would be 391 MiB, the gradient of W is 24 MiB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(run.stdout) / 1024 < 100
