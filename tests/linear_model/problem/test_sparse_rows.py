"""Sparse matrices of every format and index type, and columns without entries, make the same model."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse

from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV
from softgrad.linear_model._problem._sparse_rows import canonical_rows

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", ">i8"]
FORMATS = ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"]
COMPRESSED = ["csr", "csc", "bsr"]


def rows(dtype=np.float64):
    x = scipy.sparse.random(60, 8, 0.4, rng=np.random.default_rng(0), data_rvs=np.random.default_rng(1).standard_normal)
    return x.toarray().astype(dtype), np.arange(60) % 3


def of(x, form, kind="array"):
    return getattr(scipy.sparse, f"{form}_{kind}")(x)


def with_index_types(matrix, indices, starts):
    matrix.indices, matrix.indptr = matrix.indices.astype(indices), matrix.indptr.astype(starts)
    return matrix


def fit(x, y, **options):
    return SoftmaxRegression(**options).fit(x, y)


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_makes_the_same_model(form, kind):
    x, y = rows()
    model, expected = fit(of(x, form, kind), y), fit(of(x, "csr"), y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict_proba(of(x, form, kind)), expected.predict_proba(of(x, "csr")))


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton"])
def test_sparse_rows_with_entries_given_twice_make_the_model_of_dense_ones(solver):
    x, y = rows()
    model, dense = fit(scattered(x), y, solver=solver, tol=1e-10), fit(x, y, solver=solver, tol=1e-10)
    np.testing.assert_allclose(model.coef_, dense.coef_, rtol=1e-7)
    batched, of_dense = SoftmaxRegression(), SoftmaxRegression()
    for part in (slice(30), slice(30, 60)):
        batched.partial_fit(scattered(x[part]), y[part], classes=[0, 1, 2])
        of_dense.partial_fit(x[part], y[part], classes=[0, 1, 2])
    np.testing.assert_allclose(batched.coef_, of_dense.coef_, rtol=1e-4)


def scattered(x):
    """CSR with every entry in two halves and the columns in no order."""
    single = scipy.sparse.coo_array(x)
    row, column = np.tile(single.row, 2), np.tile(single.col, 2)
    order = np.lexsort([np.random.default_rng(2).random(row.size), row])
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(x)))])
    return scipy.sparse.csr_array((np.tile(single.data / 2, 2)[order], column[order], starts), x.shape)


@pytest.mark.parametrize("starts", TYPES[2:])
@pytest.mark.parametrize("indices", TYPES)
def test_indices_of_any_two_types_are_read_as_what_they_are(indices, starts):
    x, _ = rows()
    for form in COMPRESSED:
        matrix = with_index_types(of(x, form), indices, starts)
        before = matrix.indices
        result = canonical_rows(matrix)
        assert result.indices.dtype == result.indptr.dtype
        assert result.indices.dtype in (np.int32, np.int64)
        np.testing.assert_array_equal(result.toarray(), x)
        assert matrix.indices is before
    matrix = of(x, "coo")
    matrix.row, matrix.col = matrix.row.astype(indices), matrix.col.astype(starts)
    np.testing.assert_array_equal(canonical_rows(matrix).toarray(), x)


@pytest.mark.parametrize("indices, starts", [("int32", "int64"), ("int64", "int32"), ("int16", "int16"), (">i8", "u2")])
def test_every_method_reads_indices_of_different_types(indices, starts):
    x, y = rows()
    mixed = with_index_types(of(x, "csr"), indices, starts)
    model, expected = fit(mixed, y), fit(of(x, "csr"), y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict(mixed), expected.predict(x))
    np.testing.assert_array_equal(model.decision_function(mixed), expected.decision_function(of(x, "csr")))
    assert model.score(mixed, y) == expected.score(x, y)
    np.testing.assert_array_equal(model.summary().coef, expected.summary().coef)
    model.partial_fit(mixed, y)
    np.testing.assert_array_equal(model.coef_, expected.partial_fit(of(x, "csr"), y).coef_)
    temperature = model.temperature_scale(mixed, y).temperature_
    assert temperature == expected.temperature_scale(of(x, "csr"), y).temperature_
    searched = SoftmaxRegressionCV([1.0], cv=2).fit(mixed, y)
    np.testing.assert_array_equal(searched.coef_, SoftmaxRegressionCV([1.0], cv=2).fit(of(x, "csr"), y).coef_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_canonical_csr_is_not_copied(dtype):
    x, _ = rows(dtype)
    for wide in (np.int32, np.int64):
        matrix = with_index_types(of(x, "csr"), wide, wide)
        result = canonical_rows(matrix)
        for name in ("data", "indices", "indptr"):
            assert np.shares_memory(getattr(result, name), getattr(matrix, name))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool, np.float16, np.longdouble])
def test_other_numbers_become_float64_before_they_are_added_up(dtype):
    twice = scipy.sparse.csr_array((np.array([100, 100], dtype), np.array([1, 1]), np.array([0, 2])), (1, 2))
    assert canonical_rows(twice).toarray().tolist() == [[0.0, 2.0 * float(dtype(100))]]
    assert twice.nnz == 2


def test_flags_that_a_matrix_remembers_of_earlier_indices_are_not_believed():
    x = scipy.sparse.csr_array(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert x.has_canonical_format
    x.indices = np.array([1, 1, 0, 0], np.int32)
    assert canonical_rows(x).toarray().tolist() == [[0.0, 3.0], [7.0, 0.0]]


def test_entries_beyond_the_last_row_are_no_entries():
    x = scipy.sparse.csr_array((np.array([1.0, 2.0, np.nan]), np.array([0, 1, 0]), np.array([0, 1, 3])), (2, 2))
    x.indptr = np.array([0, 1, 2], np.int32)
    assert canonical_rows(x).data.tolist() == [1.0, 2.0]
    fit(x, [0, 1])


@pytest.mark.parametrize("form", COMPRESSED)
@pytest.mark.parametrize(
    "name, position, value, message",
    [
        ("indices", 3, 10**6, r"X\.indices\[3\] is 1000000; expected indices from 0 to"),
        ("indices", 3, -1, r"X\.indices\[3\] is -1; expected indices from 0 to"),
        ("indptr", 0, 1, r"X\.indptr\[0\] is 1; expected 0"),
        ("indptr", 2, 0, r"X\.indptr\[2\] is 0, less than the \d+ before it"),
        ("indptr", -1, 10**6, r"X\.indptr ends at 1000000, X\.indices has \d+ entries"),
    ],
)
def test_indices_that_point_nowhere_are_refused(form, name, position, value, message):
    x, y = rows()
    matrix, model = of(x, form), fit(x, y)
    changed = getattr(matrix, name).copy()
    changed[position] = value
    setattr(matrix, name, changed)
    for call in (model.predict, model.predict_proba, lambda x: model.score(x, y), lambda x: model.partial_fit(x, y)):
        with pytest.raises(ValueError, match=message + ".*rebuild X"):
            call(matrix)
    with pytest.raises(ValueError, match=message):
        fit(matrix, y)


@pytest.mark.parametrize("form", ["coo", "lil"])
def test_places_outside_the_matrix_are_refused_in_every_format(form):
    x, y = rows()
    matrix = of(x, form)
    if form == "coo":
        matrix.col = np.where(matrix.col == 7, 8, matrix.col)
    else:
        matrix.rows[0] = [8]
        matrix.data[0] = [1.0]
    with pytest.raises(ValueError, match=r"X\.(col|indices)\[\d+\] is 8; expected indices from 0 to 7"):
        fit(matrix, y)


def test_index_arrays_of_another_kind_or_length_are_refused():
    x, y = rows()
    for name, wrong in [("indices", "float64"), ("indptr", "float32"), ("indices", "bool")]:
        matrix = of(x, "csr")
        setattr(matrix, name, getattr(matrix, name).astype(wrong))
        with pytest.raises(TypeError, match=rf"X\.{name} has .* dtype {wrong}; expected one axis of integers; write"):
            fit(matrix, y)
    matrix = of(x, "csr")
    matrix.indptr = matrix.indptr[:-1]
    with pytest.raises(ValueError, match=r"X\.indptr has shape \(60,\); expected \(61,\)"):
        fit(matrix, y)
    matrix = of(x, "csr")
    matrix.indices = matrix.indices.astype(np.uint64)
    matrix.indices[0] = 2**63
    with pytest.raises(ValueError, match=r"X\.indices holds 9223372036854775808; expected integers below"):
        fit(matrix, y)


@pytest.mark.parametrize("form", [*COMPRESSED, "coo", "dia"])
def test_values_that_are_masked_are_refused(form):
    x, y = rows()
    masked = of(x, form)
    masked.data = np.ma.array(masked.data, mask=masked.data > 1)
    model = fit(x, y)
    for call in (lambda: fit(masked, y), lambda: model.predict_proba(masked), lambda: model.score(masked, y)):
        with pytest.raises(TypeError, match=r"X\.data is a masked array, .* write X\.data = X\.data\.filled\(0\)"):
            call()


RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)) * (RNG.random((60, 5)) < 0.7)
Y = np.arange(60) % 3
USED = np.array([3, 70, 71, 400, 999])


def wide(rows, columns=1000, used=USED):
    found = scipy.sparse.lil_matrix((len(rows), columns))
    found[:, used] = rows
    return found.tocsr()


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"solver": "lbfgs"}, {"solver": "newton-cg"}])
def test_the_model_is_that_of_the_columns_that_hold_something(options):
    expected = SoftmaxRegression(tol=1e-9, **options).fit(scipy.sparse.csr_matrix(X), Y)
    model = SoftmaxRegression(tol=1e-9, **options).fit(wide(X), Y)
    np.testing.assert_allclose(model.coef_[:, USED], expected.coef_, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-8)
    assert not np.delete(model.coef_, USED, axis=1).any()
    assert (model.coef_.shape, model.n_features_in_) == ((3, 1000), 1000)
    np.testing.assert_allclose(model.predict_proba(wide(X)), expected.predict_proba(X), atol=1e-8)


def test_a_warm_start_goes_on_from_the_columns_used_now():
    model = SoftmaxRegression(warm_start=True, tol=1e-9).fit(wide(X, used=USED - 1), Y)
    before = model.n_iter_
    model.fit(wide(X), Y)
    cold = SoftmaxRegression(tol=1e-9).fit(wide(X), Y)
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-7)
    assert model.fit(wide(X), Y).n_iter_ < before
    with pytest.raises(ValueError, match=r"fitted to 1000 columns .* these rows have 2000 columns"):
        model.fit(wide(X, 2000), Y)


def test_rows_that_hold_nothing_have_the_intercept_alone():
    model = SoftmaxRegression(tol=1e-9).fit(scipy.sparse.csr_matrix((60, 9)), np.arange(60) % 4 // 3)
    assert not model.coef_.any()
    np.testing.assert_allclose(model.predict_proba(np.zeros((1, 9))), [[0.75, 0.25]], atol=1e-8)


def test_unused_columns_cost_their_coefficients():
    rows, columns = wide(X, 2 * 10**5), 2 * 10**5
    SoftmaxRegression().fit(rows, Y)
    tracemalloc.start()
    SoftmaxRegression().fit(rows, Y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * (3 * columns * 8)
