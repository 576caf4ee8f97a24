import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import softgrad as sg
from softgrad import _core
from tests import families, oracle

FUNCTIONS = {"softmax": sg.softmax, "log_softmax": sg.log_softmax}
DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy(instruction_set, dtype):
    for family, z in families.all_families(dtype):
        exact = oracle.Rows(z)
        bound = oracle.BOUND[np.dtype(dtype)]
        assert oracle.error(sg.softmax(z), exact.softmax) <= bound, family
        assert oracle.error(sg.log_softmax(z), exact.log_softmax) <= bound, family
        magnitude = np.maximum(np.abs(exact.logsumexp), np.abs(exact.z).max(axis=1))
        assert oracle.error(sg.logsumexp(z), exact.logsumexp, magnitude) <= bound, family


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_double_oracle_agrees_with_mpmath(dtype):
    for z in (
        families.normal(dtype, 10.0, 7, rows=4),
        families.confident(dtype, rows=4),
        families.tails(dtype, rows=1),
    ):
        exact = oracle.Rows(z)
        for i, row in enumerate(z):
            p, log_p = oracle.mpmath_rows(row)
            assert np.allclose(exact.softmax[i], p, rtol=1e-17, atol=0)
            assert np.allclose(exact.log_softmax[i], log_p, rtol=1e-17, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_longer_than_a_block(instruction_set, dtype):
    z = families.normal(dtype, 4.0, 150_001, rows=2)
    exact = oracle.Rows(z)
    assert oracle.error(sg.softmax(z), exact.softmax) <= 2
    assert oracle.error(sg.log_softmax(z), exact.log_softmax) <= 2
    assert oracle.error(sg.logsumexp(z), exact.logsumexp) <= 2


@pytest.mark.parametrize("n", [7, 100])
def test_float16_rounds_once(instruction_set, n):
    z = families.normal(np.float16, 3.0, n)
    exact = oracle.Rows(z)
    assert oracle.error(sg.softmax(z), exact.softmax) <= oracle.BOUND[np.dtype(np.float16)]
    assert oracle.error(sg.log_softmax(z), exact.log_softmax) <= oracle.BOUND[np.dtype(np.float16)]


@pytest.mark.parametrize("n", [7, 100, 70_000])
@pytest.mark.parametrize("function", [sg.softmax, sg.log_softmax, sg.logsumexp])
def test_bfloat16_is_the_float32_result_rounded(instruction_set, n, function):
    z = families.normal(np.float32, 3.0, n).astype(ml_dtypes.bfloat16)
    got = function(z)
    assert got.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(got, function(z.astype(np.float32)).astype(ml_dtypes.bfloat16))


def test_half_precision_conversions_are_those_of_numpy(instruction_set):
    every = np.arange(2**16, dtype=np.uint16)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        z = every.view(dtype).reshape(-1, 1)
        lse = sg.logsumexp(z)  # one class: the logit itself
        np.testing.assert_array_equal(lse.astype(np.float32), z[:, 0].astype(np.float32))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), (2, 0), None])
@pytest.mark.parametrize(
    "layout", ["C", "F", "reversed", "strided", "transposed", "read-only", "byte-swapped", "unaligned", "broadcast"]
)
def test_axes_and_layouts(name, dtype, axis, layout):
    rng = np.random.default_rng(5)
    z = (rng.normal(size=(6, 37, 5)) * 3).astype(dtype)
    axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % 3 for a in axes)
    others = tuple(a for a in range(3) if a not in axes)
    rows = np.ascontiguousarray(z.transpose(others + axes)).reshape(-1, np.prod([z.shape[a] for a in axes]))
    expected = FUNCTIONS[name](rows).reshape([z.shape[a] for a in others + axes]).transpose(np.argsort(others + axes))
    expected_lse = sg.logsumexp(rows).reshape([z.shape[a] for a in others])

    if layout == "F":
        z = np.asfortranarray(z)
    elif layout == "reversed":
        z = z[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]
    elif layout == "strided":
        z = np.repeat(z, 2, axis=2)[:, :, ::2]
    elif layout == "transposed":
        z = z.transpose(2, 0, 1).copy().transpose(1, 2, 0)
    elif layout == "read-only":
        z.setflags(write=False)
    elif layout == "byte-swapped":
        z = z.astype(np.dtype(dtype).newbyteorder())
        assert not z.dtype.isnative
    elif layout == "unaligned":
        raw = np.empty(z.nbytes + 1, np.uint8)[1:]
        raw[:] = np.frombuffer(z.tobytes(), np.uint8)
        z = raw.view(dtype).reshape(z.shape)
    elif layout == "broadcast":
        z = np.broadcast_to(z, (4, 6, 37, 5))[2]

    kept = z.copy()
    got = FUNCTIONS[name](z, axis=axis)
    assert got.dtype == dtype
    np.testing.assert_array_equal(z, kept)
    tolerance = dict(rtol=4 * float(ml_dtypes.finfo(dtype).eps), atol=0)
    np.testing.assert_allclose(got.astype(np.float64), expected.astype(np.float64), **tolerance)
    lse = sg.logsumexp(z, axis=axis)
    assert lse.shape == expected_lse.shape
    np.testing.assert_allclose(lse.astype(np.float64), expected_lse.astype(np.float64), **tolerance)
    assert sg.logsumexp(z, axis=axis, keepdims=True).shape == tuple(
        1 if i in axes else n for i, n in enumerate(z.shape)
    )


@pytest.mark.parametrize("shape", [(40, 7), (40, 100), (2, 70_000), (100, 3)])
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_out_and_in_place_are_the_same(instruction_set, name, dtype, axis, shape):
    z = families.normal(np.float32, 3.0, shape[1], rows=shape[0]).astype(dtype)
    expected = FUNCTIONS[name](z, axis=axis)
    out = np.full_like(z, 7)
    assert FUNCTIONS[name](z, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, expected)
    strided = np.full((shape[0], 2 * shape[1]), 7, dtype)[:, ::2]
    FUNCTIONS[name](z, axis=axis, out=strided)
    np.testing.assert_array_equal(strided, expected)
    assert FUNCTIONS[name](z, axis=axis, out=z) is z
    np.testing.assert_array_equal(z, expected)


def test_streamed_stores_write_every_element(instruction_set):
    z = families.normal(np.float32, 3.0, 9001, rows=1000)  # beyond the last-level cache, rows unaligned
    out = np.full_like(z, np.nan)
    sg.softmax(z, out=out)
    for part in range(0, 1000, 250):
        np.testing.assert_array_equal(out[part : part + 250], sg.softmax(z[part : part + 250]))


@pytest.mark.parametrize("n", [3, 40, 70_000])
@pytest.mark.parametrize("dtype", DTYPES)
class TestSpecialValues:
    def rows(self, dtype, n):
        return families.normal(dtype, 2.0, n, rows=20 if n < 1000 else 5)

    def test_nan_stays_in_its_row(self, instruction_set, dtype, n):
        z = self.rows(dtype, n)
        clean = [f(z) for f in (sg.softmax, sg.log_softmax, sg.logsumexp)]
        z[4, n - 1] = np.nan
        for f, expected in zip((sg.softmax, sg.log_softmax, sg.logsumexp), clean, strict=True):
            got = f(z)
            assert np.isnan(got[4]).all()
            np.testing.assert_array_equal(np.delete(got, 4, 0), np.delete(expected, 4, 0))

    def test_masked_classes(self, instruction_set, dtype, n):
        z = self.rows(dtype, n)
        z[:, 1] = -np.inf
        exact = oracle.Rows(z)
        p, log_p = sg.softmax(z), sg.log_softmax(z)
        assert (p[:, 1] == 0).all()
        assert (log_p[:, 1] == -np.inf).all()
        assert oracle.error(p, exact.softmax) <= 2
        assert oracle.error(log_p, exact.log_softmax) <= 2

    def test_everything_masked(self, instruction_set, dtype, n):
        z = self.rows(dtype, n)
        z[3] = -np.inf
        assert np.isnan(sg.softmax(z)[3]).all()
        assert np.isnan(sg.log_softmax(z)[3]).all()
        lse = sg.logsumexp(z)
        assert lse[3] == -np.inf
        assert np.isfinite(np.delete(lse, 3)).all()

    def test_positive_infinity(self, instruction_set, dtype, n):
        z = self.rows(dtype, n)
        z[3, 0] = np.inf
        assert np.isnan(sg.softmax(z)[3]).all()
        assert np.isnan(sg.log_softmax(z)[3]).all()
        assert sg.logsumexp(z)[3] == np.inf

    @pytest.mark.parametrize("infinity", [np.inf, -np.inf])
    def test_nan_beside_infinity(self, instruction_set, dtype, n, infinity):
        z = self.rows(dtype, n)
        z[3] = infinity
        z[3, 1] = np.nan
        assert np.isnan(sg.softmax(z)[3]).all()
        assert np.isnan(sg.logsumexp(z)[3])

    def test_largest_finite_numbers(self, instruction_set, dtype, n):
        z = np.zeros((2, n), dtype)
        z[0, 0], z[1, 0] = np.finfo(dtype).max, -np.finfo(dtype).max
        p = sg.softmax(z)
        assert p[0, 0] == 1
        assert (p[0, 1:] == 0).all()
        assert p[1, 0] == 0
        np.testing.assert_allclose(p[1, 1:], 1 / (n - 1), rtol=1e-6)


def test_scalars_vectors_and_empty_arrays():
    assert sg.softmax(3.0) == 1
    assert sg.log_softmax(3.0, axis=None) == 0
    assert sg.logsumexp(3.0) == 3
    assert np.isscalar(sg.logsumexp([1.0, 2.0]))
    assert sg.softmax([1.0, 2.0]).shape == (2,)
    assert sg.softmax(np.ones((0, 3))).shape == (0, 3)
    assert sg.softmax(np.ones((3, 0))).shape == (3, 0)
    assert sg.logsumexp(np.ones((0, 3))).shape == (0,)
    np.testing.assert_array_equal(sg.logsumexp(np.ones((3, 0))), np.full(3, -np.inf))
    np.testing.assert_array_equal(sg.softmax(np.full((5, 1), -3.0)), np.ones((5, 1)))
    assert sg.softmax([1, 2, 3]).dtype == np.float64
    assert sg.softmax(np.ones((2, 2), np.uint8)).dtype == np.float64


def test_twenty_axes():
    z = np.random.default_rng(0).normal(size=(2,) * 12).transpose(np.random.default_rng(1).permutation(12))
    np.testing.assert_array_equal(sg.softmax(z, axis=5), np.moveaxis(sg.softmax(np.moveaxis(z, 5, -1).copy()), -1, 5))


finite_rows = hnp.arrays(
    st.sampled_from(DTYPES), st.tuples(st.integers(1, 5), st.integers(1, 70)), elements=st.floats(-60, 60, width=32)
)


@given(finite_rows)
def test_probabilities_sum_to_one(z):
    p = sg.softmax(z)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.longdouble), 1, rtol=2 * np.finfo(z.dtype).eps * z.shape[1])


@given(finite_rows, st.integers(-1000, 1000))
def test_shift_invariance(z, shift):
    moved = z + z.dtype.type(shift)
    exact = moved - z.dtype.type(shift) == z  # rows whose logits the shift did not round
    rows = exact.all(axis=1)
    np.testing.assert_allclose(sg.softmax(moved[rows]), sg.softmax(z[rows]), rtol=4 * np.finfo(z.dtype).eps)


@given(finite_rows)
def test_log_softmax_is_the_logarithm_of_softmax(z):
    normal = sg.softmax(z) > np.finfo(z.dtype).tiny
    expected = np.exp(sg.log_softmax(z.astype(np.float64))).astype(z.dtype)
    np.testing.assert_allclose(sg.softmax(z)[normal], expected[normal], rtol=300 * np.finfo(z.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("instruction_set", [s for s in _core.instruction_sets() if s != "generic"], indirect=True)
def test_instruction_sets_agree_within_the_bound(instruction_set, dtype):
    z = families.normal(dtype, 10.0, 1000)
    got = sg.softmax(z)
    _core.use_instruction_set("generic")
    assert oracle.error(got, sg.softmax(z).astype(np.longdouble)) <= 2 * oracle.BOUND[np.dtype(dtype)]
