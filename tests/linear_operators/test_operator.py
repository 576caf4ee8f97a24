"""The Jacobian and Hessian operators: products with vectors and blocks, layouts, shapes, special values."""

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import softgrad as sg
from softgrad import _core
from softgrad._core import DType, OperatorKind
from tests.curvature import Products
from tests.oracle import error

# ULP of the magnitude of a product's terms: p 1.5 (it may count twice), the dot, the scale, the result.
PRODUCT = 4.0

DTYPES = (np.float32, np.float64)
# Short rows, odd ones, whole vectors, blocks of a long row, blocks shared out among threads.
SHAPES = ((5, 7), (33, 16), (3, 1000), (70, 100), (2, 40_000), (1, 200_000))


def problem(shape, dtype, seed=0, scale=5.0):
    rng = np.random.default_rng([seed, *shape])
    return (rng.normal(size=shape) * scale).astype(dtype), rng.normal(size=shape).astype(dtype), rng


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_jacobian_product(shape, dtype, instruction_set):
    z, v, _ = problem(shape, dtype)
    exact = Products(z, v)
    got = sg.softmax_jacobian(z) @ v
    assert got.dtype == dtype
    assert error(got, exact.product, exact.scale) <= PRODUCT


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_hessian_product(shape, z_loss, dtype, instruction_set):
    z, v, rng = problem(shape, dtype)
    y = rng.random(shape)
    exact = Products(z, v, mass=y.sum(axis=1), z_loss=z_loss, denominator=shape[0])
    got = sg.cross_entropy_hessian(z, y, z_loss=z_loss) @ v
    assert error(got, exact.product, exact.scale) <= PRODUCT


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_log_softmax_products(shape, dtype, instruction_set):
    z, v, _ = problem(shape, dtype)
    exact = Products(z, v)
    L = sg.log_softmax_jacobian(z)
    spread = np.abs(exact.away) + np.abs(exact.p * exact.away).sum(axis=1, keepdims=True)
    assert error(L @ v, exact.away - exact.mean, spread) <= PRODUCT
    wide = v.astype(np.longdouble)
    total = np.abs(wide).sum(axis=1, keepdims=True)
    assert error(L.T @ v, wide - exact.p * wide.sum(axis=1, keepdims=True), np.abs(wide) + exact.p * total) <= PRODUCT


@pytest.mark.parametrize("operator", ["J", "L", "L.T"])
@pytest.mark.parametrize("columns", [1, 3, 8, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_is_its_columns(operator, columns, dtype, instruction_set):
    z, _, rng = problem((6, 50), dtype)
    V = rng.normal(size=(6, 50, columns)).astype(dtype)
    H = {"J": sg.softmax_jacobian(z), "L": sg.log_softmax_jacobian(z), "L.T": sg.log_softmax_jacobian(z).T}[operator]
    got = H @ V
    assert got.shape == V.shape
    for k in range(columns):
        column = H @ np.ascontiguousarray(V[:, :, k])
        # The order of summation may differ: lanes along the columns there, along the classes here.
        np.testing.assert_allclose(got[:, :, k], column, rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(V).max() * 50)
    np.testing.assert_array_equal(H @ np.asfortranarray(V), np.stack([H @ V[:, :, k] for k in range(columns)], axis=2))


@pytest.mark.parametrize("operator", ["J", "L", "L.T"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_axis_and_layout(operator, dtype, instruction_set):
    z, v, rng = problem((4, 35, 9), dtype)

    def make(logits, axis):
        if operator == "J":
            return sg.softmax_jacobian(logits, axis=axis)
        L = sg.log_softmax_jacobian(logits, axis=axis)
        return L if operator == "L" else L.T

    V = rng.normal(size=(4, 35, 9, 5)).astype(dtype)
    last, block = make(z, -1) @ v, make(z, -1) @ V
    tolerance = dict(rtol=0, atol=64 * np.finfo(dtype).eps * np.abs(V).max())
    for axis in range(3):
        for logits in (np.moveaxis(z, -1, axis), np.ascontiguousarray(np.moveaxis(z, -1, axis))):
            H = make(logits, axis)
            assert H.shape == (*(n for i, n in enumerate(logits.shape) if i != axis), 9, 9)
            np.testing.assert_allclose(np.moveaxis(H @ np.moveaxis(v, -1, axis), axis, -1), last, **tolerance)
            copied = np.ascontiguousarray(np.moveaxis(v, -1, axis))
            np.testing.assert_allclose(np.moveaxis(H @ copied, axis, -1), last, **tolerance)
            moved = np.ascontiguousarray(np.moveaxis(V, 2, axis))
            np.testing.assert_allclose(np.moveaxis(H @ moved, axis, 2), block, **tolerance)


def test_rows_of_probabilities_with_gaps_between_them(instruction_set):
    """Rows that are neighbours among the vectors need not be neighbours among the probabilities."""
    rng = np.random.default_rng(0)
    p = sg.softmax(rng.normal(size=(5, 7, 40)), axis=0)[:, :, :20]
    v = rng.normal(size=(5, 7, 20))
    out = np.empty_like(v)
    top = np.ascontiguousarray(p.argmax(axis=0))
    _core.apply_operator(OperatorKind.curvature, DType.float64, p, 0, v, out, 1, top, None, None, None)
    np.testing.assert_allclose(out, p * (v - (p * v).sum(axis=0)), atol=1e-15)


def test_the_compiled_module_refuses_gaps_where_it_expects_none():
    """An array that is read through a plain pointer has to be contiguous; the caller has seen to it."""
    p = np.asfortranarray(np.full((4, 3), 1 / 3))
    a, b, origin, offset = np.ones(4), np.zeros(4), np.empty((4, 3)), np.empty((4, 3))
    with pytest.raises(ValueError, match="not C-contiguous"):
        _core.secular(3, p, a, b, origin, offset)


def test_left_products():
    z, v, rng = problem((3, 6), np.float64)
    A = rng.normal(size=(3, 4, 6))
    for H in (sg.softmax_jacobian(z), sg.log_softmax_jacobian(z)):
        dense = H.to_dense()
        np.testing.assert_allclose(A @ H, A @ dense, atol=1e-14)
        np.testing.assert_allclose(v @ H, np.einsum("ri,rij->rj", v, dense), atol=1e-14)
        np.testing.assert_allclose(v @ H.T, H @ v, atol=1e-15)
    with pytest.raises(ValueError, match=r"left operand has shape \(5,\).*operator.T @ v"):
        np.ones(5) @ sg.softmax_jacobian(z)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants_are_in_the_null_space_exactly(dtype, instruction_set):
    z, _, _ = problem((5, 77), dtype, scale=20)
    for value in (1, -3.7, 1e30):
        constant = np.full(z.shape, value, dtype)
        assert not (sg.softmax_jacobian(z) @ constant).any()
        assert not (sg.log_softmax_jacobian(z) @ constant).any()


def test_confident_rows_keep_their_digits():
    J = sg.softmax_jacobian([40.0, 0.0, 0.0])
    np.testing.assert_allclose(J.diagonal()[0], 8.496708510583178e-18, rtol=1e-15)
    np.testing.assert_allclose(J.to_dense().diagonal(), J.diagonal(), rtol=0)
    np.testing.assert_allclose((J @ [1.0, 0.0, 0.0])[0], 8.496708510583178e-18, rtol=1e-15)
    L = sg.log_softmax_jacobian([40.0, 0.0, 0.0])
    np.testing.assert_allclose(L.diagonal()[0], 8.496708510583178e-18, rtol=1e-15)
    np.testing.assert_allclose((L @ [1.0, 0.0, 0.0])[0], 8.496708510583178e-18, rtol=1e-15)
    np.testing.assert_allclose((L.T @ [1.0, 0.0, 0.0])[0], 8.496708510583178e-18, rtol=1e-15)


def test_the_result_has_the_wider_dtype():
    z, v, _ = problem((2, 5), np.float32)
    J = sg.softmax_jacobian(z)
    assert J.dtype == np.float32
    assert (J @ v).dtype == np.float32
    assert (J @ v.astype(np.float16)).dtype == np.float32
    wide = J @ v.astype(np.float64)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, J @ v, rtol=1e-5)
    assert sg.softmax_jacobian(z.astype(np.float16)).dtype == np.float32
    assert sg.softmax_jacobian([1, 2, 3]).dtype == np.float64


def test_threads_give_the_same_bits(threads):
    for shape in ((300, 1000), (1, 300_000), (70_000, 10)):
        z, v, _ = problem(shape, np.float32)
        J, L = sg.softmax_jacobian(z), sg.log_softmax_jacobian(z)
        results = []
        for n in (1, 2, 3, 8):
            threads(n)
            results.append((J @ v, L @ v, L.T @ v))
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_special_values_stay_in_their_rows():
    z = np.array([[0.0, 1.0, 2.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0], [-np.inf] * 3, [-np.inf, 1.0, 1.0]])
    v = np.ones_like(z) * [1.0, 2.0, 4.0]
    J, L = sg.softmax_jacobian(z), sg.log_softmax_jacobian(z)
    bad = np.array([False, True, True, True, False])
    for H in (J, L):
        assert np.isnan(H @ v)[bad].all()
        assert np.isfinite(H @ v)[~bad].all()
        for name in ("to_dense", "diagonal", "trace", "null_space", *(("eigvalsh",) if H is J else ())):
            result = getattr(H, name)()
            nan = np.isnan(result).reshape(5, -1)
            assert nan[bad].all() or (name == "null_space" and nan[bad].any(axis=1).all()), name
            assert not nan[~bad].any(), name
        assert np.isnan(H.solve(v, 0.1))[bad].all()
        assert np.isnan(H.logdet(0.1)).tolist() == bad.tolist()
    np.testing.assert_array_equal(J.to_dense()[4], [[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]])
    np.testing.assert_array_equal(J.rank()[~bad], [2, 1])


def test_eigenvectors_of_a_row_with_nan():
    values, Q = sg.softmax_jacobian([[np.nan, 1.0, 2.0], [0.0, 1.0, 2.0]]).eigh()
    for result in (values, Q.to_dense(), Q @ np.ones((2, 3)), Q.T @ np.ones((2, 3))):
        assert np.isnan(result[0]).all()
        assert np.isfinite(result[1]).all()


def test_a_masked_row_is_nan_in_factors_of_its_batch():
    H = sg.cross_entropy_hessian([[0.0, 1.0], [-np.inf, -np.inf]], [0, 0], z_loss=0.1)
    for factor in (H.sqrt(), H.cholesky()):
        assert np.isfinite(factor.to_dense()[0]).all()
        assert np.isnan(factor.to_dense()[1]).any()


def test_results_are_nobody_elses_memory():
    z = np.array([0.0, 1.0, 2.0])
    for H in (sg.softmax_jacobian(z), sg.log_softmax_jacobian(z)):
        dense = H.to_dense()
        H.diagonal()[:] = 99
        if hasattr(H, "eigh"):
            H.eigh().eigenvalues[:] = 99
            H.eigvalsh()[:] = 99
        z[:] = 7
        np.testing.assert_array_equal(H.to_dense(), dense)
        z[:] = [0.0, 1.0, 2.0]
    nothing = np.zeros((0, 3))
    assert (sg.softmax_jacobian(nothing) @ nothing) is not nothing


def test_lists_and_integers_take_the_dtype_of_the_logits():
    z = np.zeros(3, np.float32)
    assert (sg.softmax_jacobian(z) @ [1.0, 0.0, 0.0]).dtype == np.float32
    assert (sg.softmax_jacobian(z) @ np.array([1, 0, 0])).dtype == np.float32
    assert sg.cross_entropy_hvp(z, 0, [1.0, 0.0, 0.0]).dtype == np.float32
    assert sg.softmax_jacobian(z).solve([1, 0, 0], 0.1).dtype == np.float32


def test_the_transpose_keeps_the_digits_of_a_small_rest():
    """v_* beside others that are 1e-17 of it."""
    for dtype in DTYPES:
        z, v = np.array([0, -40], dtype), np.array([1, 1e-17], dtype)
        rest = 4.248354255291589e-18
        got = sg.log_softmax_jacobian(z).T @ v
        np.testing.assert_allclose(got, [rest - v[1], v[1] - rest], rtol=4 * np.finfo(dtype).eps)
        block = sg.log_softmax_jacobian(z).T @ np.stack([v] * 5, axis=1)
        np.testing.assert_array_equal(block, np.stack([got] * 5, axis=1))


def test_one_class_and_no_rows():
    J = sg.softmax_jacobian(np.zeros((4, 1)))
    assert not (J @ np.ones((4, 1))).any()
    assert J.eigvalsh().tolist() == [[0.0]] * 4
    assert J.rank().tolist() == [0] * 4
    np.testing.assert_array_equal(J.null_space(), np.ones((4, 1, 1)))
    np.testing.assert_array_equal(J.pinv() @ np.ones((4, 1)), np.zeros((4, 1)))
    empty = sg.softmax_jacobian(np.zeros((0, 3)))
    assert (empty @ np.zeros((0, 3))).shape == (0, 3)
    assert empty.to_dense().shape == (0, 3, 3)
    values, Q = empty.eigh()
    assert values.shape == (0, 3)
    assert Q.to_dense().shape == (0, 3, 3)
    assert empty.null_space().shape == (0, 3, 0)
    assert empty.solve(np.zeros((0, 3)), 1.0).shape == (0, 3)
    assert empty.logdet(1.0).shape == (0,)
    assert (sg.softmax_jacobian(np.zeros((2, 3))) @ np.zeros((2, 3, 0))).shape == (2, 3, 0)


def test_no_array_is_made_of_an_operator_in_silence():
    J = sg.softmax_jacobian([1.0, 2.0])
    with pytest.raises(TypeError, match="to_dense"):
        np.asarray(J)
    with pytest.raises(TypeError, match="to_dense"):
        J @ J
    with pytest.raises(TypeError):
        J + np.ones((2, 2))
    assert repr(J) == "<SoftmaxJacobian of shape (2, 2), float64>"


@pytest.mark.parametrize("dtype", DTYPES)
def test_scipy_solves_with_it(dtype):
    z, v, rng = problem((3, 20), dtype, scale=1.0)
    H = sg.cross_entropy_hessian(z, rng.integers(0, 20, 3), z_loss=0.1)
    operator = H.as_linear_operator()
    assert operator.shape == (60, 60)
    assert operator.dtype == dtype
    np.testing.assert_array_equal(operator @ v.ravel(), (H @ v).ravel())
    blocks = np.zeros((60, 60))
    for i, block in enumerate(H.to_dense()):
        blocks[20 * i : 20 * i + 20, 20 * i : 20 * i + 20] = block
    np.testing.assert_allclose(operator @ np.eye(60, dtype=dtype), blocks, atol=4 * np.finfo(dtype).eps)
    b = (H @ v).ravel()
    x, info = scipy.sparse.linalg.cg(operator, b, rtol=1e-6, maxiter=500)
    assert info == 0
    np.testing.assert_allclose(operator @ x, b, atol=1e-5 * np.abs(b).max())
    L = sg.log_softmax_jacobian(z).as_linear_operator()
    np.testing.assert_allclose(L.H @ v.ravel(), (sg.log_softmax_jacobian(z).T @ v).ravel())
    np.testing.assert_allclose(L.T.matmat(v.reshape(60, 1)), (sg.log_softmax_jacobian(z).T @ v).reshape(60, 1))


rows = st.lists(st.floats(-50, 50), min_size=1, max_size=12)


@settings(max_examples=200)
@given(rows, st.floats(-1e3, 1e3))
def test_laws(z, shift):
    z = np.array(z)
    J = sg.softmax_jacobian(z)
    dense = J.to_dense()
    np.testing.assert_array_equal(dense, dense.T)
    assert np.abs(dense.sum(axis=1)).max() <= 1e-15
    values, Q = J.eigh()
    assert values[0] >= 0
    assert values[-1] <= 0.5 + 1e-15
    np.testing.assert_allclose(values.sum(), J.trace(), rtol=1e-14, atol=0)
    q = Q.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(len(z)), atol=1e-14)
    np.testing.assert_allclose(sg.softmax_jacobian(z + shift).to_dense(), dense, atol=1e-12)
    assert J.rank() + J.null_space().shape[1] == len(z)
