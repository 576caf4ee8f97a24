"""Linear algebra of the operators against dense mpmath matrices at 120 digits: every closed form, on random,
masked, repeated, nearly one-hot and far-reaching rows, and under every option that changes the Hessian.
"""

import tracemalloc
from functools import cache

import mpmath
import numpy as np
import pytest

import softgrad as sg
from tests.curvature import Exact
from tests.oracle import ulp

# ULP, of the exact value where nothing else is said; how many roundings of the working precision it takes.
DIAGONAL = 5.0  # two probabilities of 1.5 each, two products
TRACE = 5.0
EIGENVALUE = 8.0
ORTHOGONAL = 8.0  # of one
RESIDUAL = 8.0  # of the largest eigenvalue
FACTOR = 8.0  # every entry of a square root or a Cholesky factor
PSEUDO_INVERSE = 16.0  # of the largest entry in its row or column
SOLUTION = 16.0  # of the largest entry
LOGDET = 4.0  # of the sum of the logarithms' magnitudes

inf = np.inf
ROWS = {
    "random": [0.3, -1.2, 2.1, 0.9, -0.4, 1.7],
    "masked": [0.0, -inf, 1.0, 1.5, -inf, 0.3],
    "repeated": [0.5, 0.5, 1.0, 1.0, 1.0, 2.0],
    "all equal": [0.7] * 6,
    "repeated, neighbours": [0.0, 0.0, 2**-23, 2**-23, 1.0, 1.0],
    "nearly one-hot": [40.0, 0.0, 0.0, 1.0, 3.0, 2.0],
    "far-reaching": [0.0, -20.0, -45.0, -70.0, -80.0, -3.0],
    "one class left": [5.0, -inf, -inf, -inf, -inf, -inf],
    "one": [3.0],
    "two": [0.2, 0.3],
}
# Mass M, z-loss ζ, and the log-sum-exp to which the row is shifted: a = M + 2ζ·lse, b = 2ζ.
HESSIANS = {
    "jacobian": None,
    "mass": (1.75, 0.0, None),
    "nothing": (0.0, 0.0, None),
    "b below a": (1.0, 0.125, None),
    "b above a": (1.0, 0.5, -0.5),
    "a below zero": (1.0, 0.5, -3.0),
}
DTYPES = (np.float32, np.float64)


@cache
def case(row, hessian, dtype):
    z = np.array(ROWS[row], dtype)
    if HESSIANS[hessian] is None:
        return sg.softmax_jacobian(z), Exact(z)
    mass, z_loss, lse = HESSIANS[hessian]
    if lse is not None:
        z = z - sg.logsumexp(z) + dtype(lse)
    target = np.zeros(len(z))
    target[0] = mass
    return sg.cross_entropy_hessian(z, target, z_loss=z_loss, reduction="sum"), Exact(z, mass, z_loss)


cases = pytest.mark.parametrize(
    "row, hessian, dtype",
    [(r, h, d) for r in ROWS for h in HESSIANS for d in DTYPES],
    ids=lambda v: getattr(v, "__name__", v),
)


def error(got, exact, dtype, scale=None):
    """Largest error in ULP of the exact value, or of a scale."""
    got, exact = np.asarray(got), np.asarray(exact, np.longdouble)
    assert got.shape == exact.shape
    assert got.dtype == dtype
    unit = np.abs(exact) if scale is None else np.broadcast_to(np.asarray(scale, np.longdouble), exact.shape)
    return float((np.abs(got.astype(np.longdouble) - exact) / ulp(unit, dtype)).max(initial=0))


@cases
def test_dense_diagonal_trace(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    dense = exact.dense()
    scale = np.abs(dense)
    if exact.b:  # (b − a) p_j p_k and a p (1 − p) + b p² may cancel
        p = np.array([float(v) for v in exact.p], np.longdouble)
        scale = (abs(float(exact.a)) + float(exact.b)) * np.outer(p, p) + np.diag(np.abs(float(exact.a)) * p)
    assert error(H.to_dense(), dense, dtype, scale) <= DIAGONAL
    assert error(H.diagonal(), dense.diagonal(), dtype, scale.diagonal()) <= DIAGONAL
    assert error(np.asarray(H.trace()), dense.trace(), dtype, scale.trace()) <= TRACE


@cases
def test_eigenvalues(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    values = exact.eigenvalues()
    scale = np.where(np.abs(values) < 1e-60, np.abs(values).max(), np.abs(values))
    if exact.a < 0:
        scale = np.abs(values).max()
    assert error(H.eigvalsh(), values, dtype, scale) <= EIGENVALUE
    np.testing.assert_array_equal(H.eigh().eigenvalues, H.eigvalsh())


@cases
def test_eigenvectors(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    values, Q = H.eigh()
    q = Q.to_dense()
    assert error(q.T.astype(np.float64) @ q.astype(np.float64), np.eye(len(q)), np.float64, np.longdouble(1)) <= (
        ORTHOGONAL * np.finfo(dtype).eps / np.finfo(np.float64).eps
    )
    residual = exact.dense() @ q.astype(np.longdouble) - q.astype(np.longdouble) * values.astype(np.longdouble)
    largest = max(np.abs(exact.eigenvalues()).max(), np.longdouble(np.finfo(dtype).tiny))
    assert float(np.abs(residual).max() / largest) <= RESIDUAL * np.finfo(dtype).eps
    v = np.linspace(-1, 2, len(q)).astype(dtype)
    for product, expected in ((Q @ v, q @ v), (Q.T @ v, q.T @ v), (v @ Q, v @ q)):
        np.testing.assert_allclose(product, expected, atol=16 * np.finfo(dtype).eps)


@cases
def test_rank_and_null_space(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    values = exact.eigenvalues()
    rank = int((np.abs(values) > 1e-60 * np.abs(values).max()).sum())
    assert H.rank() == rank
    basis = H.null_space()
    assert basis.shape == (len(values), len(values) - rank)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=4 * np.finfo(dtype).eps)
    product = exact.dense() @ basis.astype(np.longdouble)
    assert float(np.abs(product).max(initial=0)) <= 4 * np.finfo(dtype).eps * float(np.abs(values).max())


@cases
def test_square_root_and_cholesky(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    if exact.a < 0:
        for method in ("sqrt", "cholesky"):
            with pytest.raises(ValueError, match=rf"{method}\(\) of an indefinite matrix"):
                getattr(H, method)()
        return
    dense = exact.dense()
    p = np.array([float(v) for v in exact.p], np.longdouble)
    a, b = np.sqrt(np.longdouble(float(exact.a))), np.sqrt(np.longdouble(float(exact.b)))
    B, L = H.sqrt().to_dense(), H.cholesky().to_dense()
    root = (b - a) * np.outer(p, np.sqrt(p))
    others = np.array([float(sum(exact.p[:i] + exact.p[i + 1 :])) for i in range(len(p))], np.longdouble)
    np.fill_diagonal(root, np.sqrt(p) * (a * others + b * p))
    scale = np.abs(root) if not exact.b else (a + b) * (np.diag(np.sqrt(p)) + np.outer(p, np.sqrt(p)))
    assert error(B, root, dtype, scale) <= FACTOR
    assert not np.triu(L, 1).any()
    assert (L.diagonal() >= 0).all()
    magnitude = np.sqrt(np.outer(dense.diagonal(), dense.diagonal()))  # Cauchy–Schwarz: the size of Σ |B_ik B_jk|
    for factor in (B, L):
        wide = factor.astype(np.longdouble)
        assert error((wide @ wide.T).astype(dtype), dense, dtype, magnitude) <= FACTOR
    v = np.linspace(-1, 2, len(p)).astype(dtype)
    for operator, matrix in ((H.sqrt(), B), (H.cholesky(), L)):
        tolerance = 16 * np.finfo(dtype).eps * np.abs(matrix).max(initial=1)
        np.testing.assert_allclose(operator @ v, matrix @ v, atol=tolerance)
        np.testing.assert_allclose(operator.T @ v, matrix.T @ v, atol=tolerance)
        np.testing.assert_array_equal(operator.T.to_dense(), matrix.T)
        assert operator.T.T is operator


@cases
def test_pseudo_inverse(row, hessian, dtype):
    H, exact = case(row, hessian, dtype)
    inverse = exact.pinv()
    if np.abs(inverse).max() > np.finfo(dtype).max / 4:
        pytest.skip("the inverse overflows this dtype")
    largest = np.sqrt(np.outer(np.abs(inverse).max(axis=0), np.abs(inverse).max(axis=1)))
    got = H.pinv()
    assert error(got.to_dense(), inverse, dtype, np.maximum(largest, np.abs(inverse))) <= PSEUDO_INVERSE
    v = np.linspace(-1, 2, len(inverse)).astype(dtype)
    exactly = inverse @ v.astype(np.longdouble)
    assert error(got @ v, exactly, dtype, np.abs(inverse) @ np.abs(v).astype(np.longdouble)) <= PSEUDO_INVERSE
    assert got.T is got


@cases
@pytest.mark.parametrize("damping", [1e-8, 0.25, 100.0])
def test_damped_solution_and_determinant(row, hessian, damping, dtype):
    H, exact = case(row, hessian, dtype)
    if exact.a < 0 and damping <= -float(exact.a) * float(max(exact.p)):
        with pytest.raises(ValueError, match=r"damping=.*indefinite.*expected damping above"):
            H.logdet(damping)
        with pytest.raises(ValueError, match=r"damping=.*indefinite"):
            H.solve(np.ones(len(exact.p)), damping)
        return
    b = np.linspace(-1, 2, len(exact.p)).astype(dtype)
    x = exact.solve(b, damping)
    assert error(H.solve(b, damping), x, dtype, np.abs(x).max()) <= SOLUTION
    block = H.solve(np.stack([b, 2 * b], axis=1), damping)
    np.testing.assert_array_equal(block, np.stack([H.solve(b, damping), H.solve(2 * b, damping)], axis=1))
    logdet = exact.logdet(damping)
    logs = sum(abs(np.log(float(exact.a * v) + damping)) for v in exact.p) + abs(np.log(damping))
    assert error(np.asarray(H.logdet(damping)), logdet, dtype, logs) <= LOGDET


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_balanced_right_hand_side_has_no_part_of_size_one_over_damping(dtype):
    """Where Σ b = 0, x stays near H⁺b however small λ is."""
    z = np.array(ROWS["random"], dtype)
    b = np.array([2.0**60, -(2.0**60), 0.25, 0.125, -0.25, -0.125], dtype)
    for damping in (1e-6, 1e-12, 1e-30):
        x = Exact(z).solve(b, damping)
        assert error(sg.softmax_jacobian(z).solve(b, damping), x, dtype, np.abs(x).max()) <= SOLUTION


def logits_of_lse_minus_one():
    """Log p − 1, whose log-sum-exp is −1 to the last bit for most p."""
    for seed in range(100):
        z = np.random.default_rng(seed).normal(size=5)
        z -= sg.logsumexp(z) + 1
        if sg.logsumexp(z) == -1:
            return z
    raise AssertionError


def reconstructed(H):
    values, Q = H.eigh()
    q = Q.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(len(q)), atol=1e-15)
    return q @ np.diag(values) @ q.T


def test_a_factor_of_exactly_zero():
    """M + 2ζ·lse = 0: H = 2ζ p pᵀ."""
    z = logits_of_lse_minus_one()
    p = sg.softmax(z)
    H = sg.cross_entropy_hessian(z, 0, z_loss=0.5)
    dense = np.outer(p, p)
    np.testing.assert_allclose(H.to_dense(), dense, rtol=1e-15)
    np.testing.assert_allclose(H.eigvalsh(), [0, 0, 0, 0, p @ p], atol=1e-16)
    np.testing.assert_allclose(reconstructed(H), dense, atol=1e-15)
    assert H.rank() == 1
    basis = H.null_space()
    assert basis.shape == (5, 4)
    np.testing.assert_allclose(dense @ basis, np.zeros((5, 4)), atol=1e-16)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-15)
    np.testing.assert_allclose(H.pinv().to_dense(), np.linalg.pinv(dense), atol=1e-13)
    for factor in (H.sqrt().to_dense(), H.cholesky().to_dense()):
        np.testing.assert_allclose(factor @ factor.T, dense, atol=1e-16)
    assert not np.triu(H.cholesky().to_dense(), 1).any()
    damped = dense + 0.5 * np.eye(5)
    np.testing.assert_allclose(H.solve(p, 0.5), np.linalg.solve(damped, p), rtol=1e-14)
    np.testing.assert_allclose(H.logdet(0.5), np.linalg.slogdet(damped)[1], rtol=1e-14)


def test_the_outer_factor_equal_to_the_other():
    """M + 2ζ·lse = 2ζ: H = 2ζ·Diag(p), whose secular equation has no terms."""
    z = logits_of_lse_minus_one()
    H = sg.cross_entropy_hessian(z, 0, z_loss=0.25)
    p = sg.softmax(z)
    np.testing.assert_allclose(H.to_dense(), np.diag(p / 2), atol=1e-17)
    np.testing.assert_allclose(H.eigvalsh(), np.sort(p) / 2)
    np.testing.assert_allclose(reconstructed(H), np.diag(p / 2), atol=1e-16)


def test_batches_are_their_rows():
    z = np.array([row for row in ROWS.values() if len(row) == 6])
    rng = np.random.default_rng(0)
    y, V = rng.random(z.shape), rng.normal(size=(*z.shape, 2))
    batch = sg.cross_entropy_hessian(z, y, z_loss=0.1, reduction="none")
    for i, row in enumerate(z):
        H = sg.cross_entropy_hessian(row, y[i], z_loss=0.1, reduction="none")
        for name in ("to_dense", "diagonal", "trace", "rank", "eigvalsh"):
            np.testing.assert_array_equal(getattr(batch, name)()[i], getattr(H, name)(), err_msg=name)
        for name in ("sqrt", "cholesky", "pinv"):
            np.testing.assert_array_equal(getattr(batch, name)().to_dense()[i], getattr(H, name)().to_dense())
        np.testing.assert_array_equal(batch.eigh().eigenvectors.to_dense()[i], H.eigh().eigenvectors.to_dense())
        np.testing.assert_array_equal(batch.solve(V, 0.1)[i], H.solve(V[i], 0.1))
        np.testing.assert_array_equal(batch.logdet(0.1)[i], H.logdet(0.1))
    basis = batch.null_space()
    for i, nullity in enumerate(6 - batch.rank()):
        assert basis[i, :, :nullity].any(axis=0).all()
        assert not basis[i, :, nullity:].any()


@pytest.mark.parametrize("shape, axis", [((4, 6), -1), ((6, 4), 0), ((2, 6, 3), 1)])
def test_algebra_along_any_axis(shape, axis):
    rng = np.random.default_rng(1)
    z = rng.normal(size=shape)
    axis %= z.ndim  # also of a block, which has one axis more
    J, L = sg.softmax_jacobian(z, axis=axis), sg.log_softmax_jacobian(z, axis=axis)
    last = sg.softmax_jacobian(np.ascontiguousarray(np.moveaxis(z, axis, -1)))
    np.testing.assert_array_equal(J.to_dense(), last.to_dense())
    np.testing.assert_array_equal(J.diagonal(), np.moveaxis(last.diagonal(), -1, axis))
    np.testing.assert_array_equal(J.eigvalsh(), np.moveaxis(last.eigvalsh(), -1, axis))
    np.testing.assert_allclose(last.eigvalsh(), np.linalg.eigvalsh(J.to_dense()), atol=1e-15)
    np.testing.assert_array_equal(sg.softmax_jacobian(np.asfortranarray(z), axis=axis).eigvalsh(), J.eigvalsh())
    values, Q = J.eigh()
    np.testing.assert_allclose(Q @ (values * (Q.T @ z)), J @ z, atol=1e-15)
    basis = J.null_space()
    assert basis.shape == (*shape, 1)
    assert np.abs(J @ basis).max() < 1e-16
    v, V = rng.normal(size=shape), rng.normal(size=(*shape, 3))
    for H in (J, L, L.T):
        dense = H.to_dense() + 0.5 * np.eye(6)
        x = H.solve(V, 0.5)
        columns = np.moveaxis(x, axis, -2)
        np.testing.assert_allclose(dense @ columns, np.moveaxis(V, axis, -2), atol=1e-13)
        np.testing.assert_allclose(H.solve(v, 0.5), H.solve(v[..., None], 0.5)[..., 0], rtol=1e-14)
    for factor in (J.sqrt(), J.cholesky().T, J.pinv(), J.eigh().eigenvectors, L.pinv()):
        expected = factor.to_dense() @ np.moveaxis(V, axis, -2)
        np.testing.assert_allclose(np.moveaxis(factor @ V, axis, -2), expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("row", ROWS)
def test_log_softmax_algebra(row):
    z = np.array(ROWS[row])
    L = sg.log_softmax_jacobian(z)
    p = np.array([float(v) for v in Exact(z).p])
    n = len(z)
    dense = np.eye(n) - p
    np.testing.assert_allclose(L.to_dense(), dense, atol=1e-15)
    np.testing.assert_array_equal(L.T.to_dense(), L.to_dense().T)
    np.testing.assert_allclose(L.diagonal(), dense.diagonal(), atol=1e-15)
    assert L.trace() == n - 1
    assert L.rank() == n - 1
    np.testing.assert_allclose(dense @ L.null_space(), np.zeros((n, 1)), atol=1e-15)
    np.testing.assert_allclose(dense.T @ L.T.null_space(), np.zeros((n, 1)), atol=1e-15)
    b = np.linspace(-1, 2, n)
    for damping in (1e-3, 2.0):
        for operator, matrix in ((L, dense), (L.T, dense.T)):
            damped = matrix + damping * np.eye(n)
            np.testing.assert_allclose(operator.solve(b, damping), np.linalg.solve(damped, b), rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(operator.logdet(damping), np.linalg.slogdet(damped)[1], rtol=1e-13)
    # The four conditions of Moore and Penrose.
    for operator, matrix in ((L, dense), (L.T, dense.T)):
        inverse = operator.pinv().to_dense()
        for product, expected in (
            (matrix @ inverse @ matrix, matrix),
            (inverse @ matrix @ inverse, inverse),
            ((matrix @ inverse).T, matrix @ inverse),
            ((inverse @ matrix).T, inverse @ matrix),
        ):
            np.testing.assert_allclose(product, expected, atol=1e-14)


@pytest.mark.parametrize("kind", ["scattered", "repeated"])
def test_many_classes_without_a_dense_matrix(kind):
    """1000 classes: a dense matrix would take 8 MB."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=1000) * 3
    if kind == "repeated":
        z = np.round(z)
    J = sg.softmax_jacobian(z)
    v = rng.normal(size=1000)
    tracemalloc.start()
    values, Q = J.eigh()
    product = Q @ (values * (Q.T @ v))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20
    np.testing.assert_allclose(product, J @ v, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(Q.T @ v), np.linalg.norm(v), rtol=1e-13)
    dense = J.to_dense()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense), atol=1e-15)
    q = Q.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(1000), atol=1e-13)


def test_probabilities_down_to_the_smallest_number(instruction_set):
    """Distances between the poles whose reciprocals overflow."""
    z = np.array([0.0, -3.0, -700.0, -735.0, -738.0, -741.0, -743.0])
    exact = Exact(z, digits=800).eigenvalues()
    exact[0] = 0  # as far as 800 digits tell
    values, Q = sg.softmax_jacobian(z).eigh()
    assert error(values, exact, np.float64) <= EIGENVALUE
    q = Q.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(7), atol=4e-15)


def test_equal_probabilities_under_a_large_z_loss(instruction_set):
    """H = (a/C) I + (γ/C²) 11ᵀ: the root above all poles is b/C, as far up as its bound."""
    for classes in (2, 88, 150, 400, 3000):
        H = sg.cross_entropy_hessian(np.full(classes, -np.log(classes) - 0.25), 0, z_loss=1.0)
        np.testing.assert_allclose(H.eigvalsh()[-1], 2 / classes, rtol=2e-16 * classes + 1e-15)


def test_distinct_probabilities_of_one_pole(instruction_set):
    """a·p rounds to the same number: one group, whose parts of p differ in the last bit."""
    p = 0.5084745762711864
    for denominator in range(1, 12):
        H = sg.cross_entropy_hessian([[p, np.nextafter(p, 1), 0.0]] * denominator, [0] * denominator)
        q = H.eigh().eigenvectors.to_dense()
        np.testing.assert_allclose(np.swapaxes(q, 1, 2) @ q, np.broadcast_to(np.eye(3), q.shape), atol=1e-15)
        np.testing.assert_allclose(q * H.eigvalsh()[:, None, :] @ np.swapaxes(q, 1, 2), H.to_dense(), atol=1e-16)


@pytest.mark.parametrize("z", [[0.0, -400.0, -400.0], [0.0, -715.0], [-715.0, 0.0, -730.0, -740.0]])
def test_cholesky_factor_of_far_tails(z):
    """Every entry from its own formula, in units of its row: no product or quotient leaves the range on the way."""
    L = sg.softmax_jacobian(z).cholesky().to_dense()
    with mpmath.workdps(700):
        p = Exact(z, digits=700).p
        tails = [mpmath.fsum(p[i:]) for i in range(len(p) + 1)]
        relative = 1e-14 + 5e-324 / min(p)  # what is known of a subnormal probability
        for i in range(len(p)):
            for j in range(i + 1):
                entry = -p[i] * mpmath.sqrt(p[j] / (tails[j] * tails[j + 1])) if j < i else None
                entry = mpmath.sqrt(p[i] * tails[i + 1] / tails[i]) if entry is None else entry
                assert abs(L[i, j] - entry) <= relative * abs(entry) + 5e-324, (i, j)


def test_eigenvalues_of_far_tails_under_a_z_loss():
    z = np.array([-0.5, -460.5])
    values = sg.cross_entropy_hessian(z, 0, z_loss=0.5).eigvalsh()
    assert error(values, Exact(z, 1, 0.5, digits=800).eigenvalues(), np.float64) <= EIGENVALUE
    q = sg.softmax_jacobian([0.0, -744.0, -744.4, -743.0]).eigh().eigenvectors.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=4e-15)


def test_tiny_damping_gives_infinities_in_silence():
    z = [1.0, 2.0, 3.0]
    assert np.isfinite(sg.softmax_jacobian(z).logdet(1e-310))
    np.testing.assert_allclose(sg.cross_entropy_hessian(z, [0.0] * 3).logdet(1e-310), 3 * np.log(1e-310))
    for H in (sg.softmax_jacobian(z), sg.log_softmax_jacobian(z), sg.log_softmax_jacobian(z).T):
        assert np.isinf(H.solve([1.0, 1.0, 1.0], 1e-310)).all()
    assert np.isinf(sg.softmax_jacobian(np.float32([0, -95, -2])).pinv().to_dense()).any()


def test_mean_over_nothing():
    H = sg.cross_entropy_hessian([[1.0, 2.0]], [0], weight=[0.0, 1.0], z_loss=0.1)
    assert np.isnan(H.to_dense()).all()
    ignored = sg.cross_entropy_hessian([[1.0, 2.0]], [0], ignore_index=0, z_loss=0.1)
    assert not ignored.to_dense().any()


def test_null_space_of_many_classes_is_small():
    tracemalloc.start()
    basis = sg.softmax_jacobian(np.zeros(20_000)).null_space()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(basis, np.full((20_000, 1), 1 / np.sqrt(20_000)))
    assert peak < 2 << 20


def test_neighbouring_probabilities(instruction_set):
    """Gaps of a few ULP, where eigenvectors from the plain formula are far from orthogonal."""
    z = np.concatenate([np.zeros(20), np.arange(20) * 2.0**-52, np.arange(20) * 2.0**-50])
    values, Q = sg.softmax_jacobian(z).eigh()
    q = Q.to_dense()
    np.testing.assert_allclose(q.T @ q, np.eye(60), atol=4e-15)
    np.testing.assert_allclose(q @ np.diag(values) @ q.T, sg.softmax_jacobian(z).to_dense(), atol=1e-16)
