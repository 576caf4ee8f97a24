"""Location and scale of the columns of X, and which X the passes take."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator

from softgrad._targets import Targets
from softgrad.linear_model._problem import _location_and_scale
from softgrad.linear_model._problem._design_matrix import buffers, validate_rows
from softgrad.linear_model._problem._location_and_scale import CONSTANT
from softgrad.linear_model._problem._rows import LocalRows


def rng():
    return np.random.default_rng(0)


def validate(X, **options):
    return validate_rows(BaseEstimator(), X, reset=True, **options)


def location_and_scale(x, weight, **options):
    labels = np.zeros(x.shape[0], np.int64)
    rows = LocalRows(x, Targets(2, labels, row_weight=weight))
    return _location_and_scale.location_and_scale(rows, **options)


def moments(x, weight):
    """The mean and the spread about it, of exact sums."""
    means, spreads = [], []
    shares = [Fraction(s) for s in weight]
    for column in np.asarray(x, np.float64).T:
        values = [Fraction(v) for v in column]
        mean = sum(s * v for s, v in zip(shares, values, strict=True)) / sum(shares)
        square = sum(s * (v - mean) ** 2 for s, v in zip(shares, values, strict=True))
        means.append(float(mean))
        spreads.append(math.sqrt(square / sum(shares)))
    return np.array(means), np.array(spreads)


DENSE = {
    "C": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", DENSE)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 70), (301, 17), (130, 1)])
def test_location_and_scale_are_the_weighted_mean_and_spread(instruction_set, form, shape, dtype):
    x = (rng().normal(size=shape) * 3 - 1).astype(dtype)
    weight = rng().uniform(0.5, 2, shape[0])
    mean, scale = location_and_scale(DENSE[form](x), weight, centred=True)
    expected, spread = moments(x, weight)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=2e-14)
    np.testing.assert_allclose(scale, spread if shape[0] > 1 else CONSTANT, rtol=1e-13)
    mean, scale = location_and_scale(DENSE[form](x), weight, centred=False)
    np.testing.assert_allclose(scale, np.sqrt(spread**2 + expected**2), rtol=1e-13)


@pytest.mark.parametrize("form", DENSE)
@pytest.mark.parametrize("offset", [1e4, -1e8, 1e12])
def test_an_offset_takes_nothing_from_the_spread(form, offset):
    x = rng().normal(size=(400, 3)) + offset
    weight = rng().uniform(0.5, 2, len(x))
    mean, scale = location_and_scale(DENSE[form](x), weight, centred=True)
    expected, spread = moments(x, weight)
    np.testing.assert_allclose(mean, expected, rtol=4e-16)
    np.testing.assert_allclose(scale, spread, rtol=1e-12)


@pytest.mark.parametrize("sparse", [scipy.sparse.csr_array, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_columns_have_the_moments_of_dense_ones(sparse, dtype):
    x = scipy.sparse.random(300, 20, 0.2, rng=rng()).toarray().astype(dtype) - 0.0
    weight = rng().uniform(0, 2, len(x))
    for centred in (True, False):
        for result, dense in zip(
            location_and_scale(sparse(x), weight, centred=centred),
            location_and_scale(x, weight, centred=centred),
            strict=True,
        ):
            np.testing.assert_allclose(result, dense, rtol=1e-12, atol=1e-14)


def test_an_entry_given_twice_counts_as_the_sum():
    x = scipy.sparse.csr_array((np.array([1.0, 2.0, 5.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), (2, 2))
    for result, dense in zip(
        location_and_scale(validate(x), np.ones(2), centred=True),
        location_and_scale(x.toarray(), np.ones(2), centred=True),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(result, dense, rtol=1e-15)


@pytest.mark.parametrize("form", DENSE.values(), ids=DENSE)
@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, -1e8])
def test_columns_that_do_not_vary_have_no_scale(form, value):
    x = np.column_stack([rng().normal(size=50), np.full(50, value)])
    weight = rng().uniform(0.5, 2, 50)
    mean, scale = location_and_scale(form(x), weight, centred=True)
    assert mean[1] == pytest.approx(value, rel=1e-15)
    assert scale[1] == CONSTANT
    assert 0.5 < scale[0] < 2
    _, about_zero = location_and_scale(form(x), weight, centred=False)
    assert about_zero[1] == (CONSTANT if value == 0 else pytest.approx(abs(value)))


@pytest.mark.parametrize("form", DENSE.values(), ids=DENSE)
def test_columns_that_vary_by_rounding_have_no_scale(form):
    x = np.full((50, 2), 0.1)
    x[::3, 0] = np.nextafter(0.1, 1)
    x[::3, 1] += 1e-14
    _, scale = location_and_scale(form(x), np.ones(50), centred=True)
    assert scale[0] == CONSTANT
    assert scale[1] == pytest.approx(1e-14 * np.sqrt(17 * 33) / 50, rel=1e-2)


def test_the_number_of_threads_changes_no_bit(threads):
    x, weight = rng().normal(size=(5000, 40)), rng().random(5000)
    for form in (np.ascontiguousarray, np.asfortranarray):
        threads(1)
        one = location_and_scale(form(x), weight, centred=True)
        for count in (2, 3, 8):
            threads(count)
            np.testing.assert_array_equal(location_and_scale(form(x), weight, centred=True), one)


FORMS = {**DENSE, "csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}


@pytest.mark.parametrize("place", [(0, 0), (0, 16), (150, 8), (300, 0), (300, 16)])
@pytest.mark.parametrize("value, name", [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("form", FORMS)
def test_a_value_that_is_not_finite_is_named_with_its_place(instruction_set, form, value, name, place):
    for dtype in (np.float32, np.float64):
        x = rng().normal(size=(301, 17)).astype(dtype)
        x[place] = value
        with pytest.raises(ValueError, match=rf"^X\[{place[0]}, {place[1]}\] is {name}; expected finite numbers; drop"):
            validate(FORMS[form](x))


@pytest.mark.parametrize("form", FORMS)
def test_the_first_of_several_is_named_also_where_they_cancel(form):
    x = np.ones((3000, 700))
    x[2500, 3], x[2500, 600], x[2999, 0] = np.inf, -np.inf, np.nan
    with pytest.raises(ValueError, match=r"^X\[2500, 3\] is inf"):
        validate(FORMS[form](x))


@pytest.mark.parametrize("form, value", [*product(FORMS, [1.1e100, -1.1e100]), *product(DENSE, [1.7e308])])
def test_values_that_would_overflow_are_refused(form, value):
    x = rng().normal(size=(30, 4))
    x[::2, 3] = value
    message = rf"^X reaches {abs(value):.1e}; expected at most 1e\+100, .*; scale its columns".replace("e+", r"e\+")
    with pytest.raises(ValueError, match=message):
        validate(FORMS[form](x))
    np.clip(x, -1e100, 1e100, out=x)
    assert validate(FORMS[form](x)).shape == x.shape


def test_dense_rows_are_taken_as_they_are(tmp_path):
    x = rng().normal(size=(30, 4))
    np.save(tmp_path / "x.npy", x)
    for same in [
        x,
        np.asfortranarray(x),
        x[::2, ::-1],
        x.astype(np.float32),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
    ]:
        result = validate(same)
        assert np.shares_memory(result, same)
        assert result.dtype == same.dtype


def test_other_types_become_float64_and_csr():
    for dtype in (np.int8, np.int64, bool, np.float16, np.longdouble):
        assert validate(np.ones((3, 2), dtype)).dtype == np.float64
    for convert in (scipy.sparse.csc_array, scipy.sparse.coo_matrix):
        result = validate(convert(np.eye(3, dtype=np.float32)))
        assert result.format == "csr"
        assert result.dtype == np.float32


def test_unaligned_rows_are_copied():
    packed = np.zeros(20, np.dtype([("flag", np.int8), ("row", np.float64, 5)]))
    packed["row"] = rng().normal(size=(20, 5))
    x = packed["row"]
    assert not x.flags.aligned
    result = validate(x)
    assert result.flags.aligned
    np.testing.assert_array_equal(result, x)


def test_buffers_name_the_dtype_and_the_form():
    x = np.eye(3, dtype=np.float32)
    assert buffers(x)[1] is x
    assert buffers(x)[2:] == (None, None, None)
    sparse = scipy.sparse.csr_array(x.astype(np.float64))
    code, dense, data, indices, starts = buffers(sparse)
    assert dense is None
    assert (data is sparse.data, indices is sparse.indices, starts is sparse.indptr) == (True, True, True)
    assert code != buffers(x)[0]


@pytest.mark.parametrize("form", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("huge", [1e10, 1e50])
def test_a_row_of_no_weight_leaves_location_and_scale_alone(form, huge):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(100, 3)), rng.uniform(0.5, 2, 100)
    weight[[0, 50]] = 0
    expected = location_and_scale(x, weight, centred=True)
    x[[0, 50]] = huge
    for result, other in zip(location_and_scale(form(x), weight, centred=True), expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("value", [0.1, 7.0, 1e5, -1e8])
def test_sparse_columns_that_do_not_vary_have_no_scale(value):
    x = scipy.sparse.csr_array(np.full((50, 1), value))
    for seed in range(5):
        weight = np.random.default_rng(seed).uniform(0.5, 2, 50)
        assert location_and_scale(x, weight, centred=True)[1][0] == CONSTANT


@pytest.mark.parametrize("offset", [1e4, -1e8])
def test_an_offset_takes_nothing_from_the_spread_of_sparse_columns(offset):
    x = np.random.default_rng(0).normal(size=(400, 3)) + offset
    weight = np.ones(400)
    _, scale = location_and_scale(scipy.sparse.csr_array(x), weight, centred=True)
    np.testing.assert_allclose(scale, location_and_scale(x, weight, centred=True)[1], rtol=1e-6)


def test_sparse_sums_that_overflow_are_refused_without_a_warning():
    with pytest.raises(ValueError, match="X reaches"):
        validate_rows(BaseEstimator(), scipy.sparse.csr_array(np.full((4, 1), 1.7e308)), reset=True)
