"""Functions as people write them: the right ones pass however they are written, and the wrong ones hear why."""

import math

import numpy as np
import pytest
import scipy.special

import softgrad as sg
from softgrad import checking


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z):
    d = z - z.max(axis=1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=1, keepdims=True))


def jacobian(z):
    p = softmax(z)
    return p[:, :, None] * np.eye(z.shape[1]) - p[:, :, None] * p[:, None, :]


def one_hot(z, labels):
    return np.eye(z.shape[1])[labels]


# Right, in many ways.


def softmax_by_loops(z):
    result = []
    for row in z.tolist():
        top = max(row)
        exponentials = [math.exp(value - top) for value in row]
        total = math.fsum(exponentials)
        result.append([e / total for e in exponentials])
    return result


def softmax_by_differences(z):
    with np.errstate(over="ignore"):
        return 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)


def jacobian_by_loops(z):
    result = np.zeros((*z.shape, z.shape[1]))
    for b, p in enumerate(softmax(z)):
        for j in range(len(p)):
            for k in range(len(p)):
                result[b, j, k] = p[j] * ((j == k) - p[k])
    return result


def jacobian_by_outer(z):
    return np.stack([np.diag(p) - np.outer(p, p) for p in softmax(z)])


def jacobian_by_central_differences(z):
    h = 1e-6
    steps = np.eye(z.shape[1]) * h
    return np.stack([(softmax(z + step) - softmax(z - step)) / (2 * h) for step in steps], axis=2)


def jacobian_by_complex_step(z):
    def complex_softmax(w):
        e = np.exp(w - w.real.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return np.stack([complex_softmax(z + 1e-30j * unit).imag / 1e-30 for unit in np.eye(z.shape[1])], axis=2)


def gradient_by_loops(z, y):
    g = np.empty_like(z)
    for b in range(z.shape[0]):
        p = softmax(z)[b]
        for k in range(z.shape[1]):
            g[b, k] = sum(y[b, j] * (p[k] - (j == k)) for j in range(z.shape[1]))
    return g


def gradient_by_chain_rule(z, y):
    d = -y[:, None, :] @ (np.eye(z.shape[1]) - np.exp(log_softmax(z))[:, None, :])
    return d[:, 0, :]


def hessian_by_loops(z, y):
    return [np.sum(t) * (np.diag(p) - np.outer(p, p)) for p, t in zip(softmax(z), y, strict=True)]


RIGHT = {
    checking.check_softmax: {
        "NumPy": softmax,
        "loops": softmax_by_loops,
        "logarithms": lambda z: np.exp(log_softmax(z)),
        "differences": softmax_by_differences,
        "SciPy": lambda z: scipy.special.softmax(z, axis=1),
        "softgrad": sg.softmax,
        "float32": lambda z: softmax(z.astype(np.float32)),
        "float32 logarithms": lambda z: np.exp(log_softmax(z.astype(np.float32))),
        "float32 within": lambda z: softmax(z.astype(np.float32)).astype(np.float64),
        "long double": lambda z: softmax(z.astype(np.longdouble)),
    },
    checking.check_softmax_jacobian: {
        "NumPy": jacobian,
        "loops": jacobian_by_loops,
        "outer": jacobian_by_outer,
        "einsum": lambda z: (
            np.einsum("bj,jk->bjk", softmax(z), np.eye(z.shape[1])) - np.einsum("bj,bk->bjk", softmax(z), softmax(z))
        ),
        "central differences": jacobian_by_central_differences,
        "complex step": jacobian_by_complex_step,
        "p(1 - p) on the diagonal": lambda z: np.stack(
            [np.where(np.eye(len(p)) == 1, p * (1 - p), -np.outer(p, p)) for p in softmax(z)]
        ),
        "float32": lambda z: jacobian(z.astype(np.float32)),
    },
    checking.check_log_softmax_jacobian: {
        "broadcast": lambda z: np.eye(z.shape[1]) - softmax(z)[:, None, :],
        "outer": lambda z: [np.eye(len(p)) - np.outer(np.ones(len(p)), p) for p in softmax(z)],
        "tile": lambda z: np.stack([np.eye(len(p)) - np.tile(p, (len(p), 1)) for p in softmax(z)]),
        "einsum": lambda z: np.eye(z.shape[1]) - np.einsum("j,bk->bjk", np.ones(z.shape[1]), softmax(z)),
        "where": lambda z: np.stack([np.where(np.eye(len(p)) == 1, 1 - p, -p) for p in softmax(z)]),
    },
    checking.check_softmax_vjp: {
        "NumPy": lambda z, v: softmax(z) * (v - (softmax(z) * v).sum(axis=1, keepdims=True)),
        "matrix": lambda z, v: np.einsum("bjk,bj->bk", jacobian(z), v),
        "matmul": lambda z, v: (v[:, None, :] @ jacobian(z))[:, 0],
        "loop": lambda z, v: np.stack([J @ row for J, row in zip(jacobian(z), v, strict=True)]),
        "two terms": lambda z, v: softmax(z) * v - softmax(z) * np.vecdot(softmax(z), v)[:, None],
    },
    checking.check_cross_entropy: {
        "log-softmax": lambda z, y: -(y * log_softmax(z)).sum(),
        "log-sum-exp": lambda z, y: (y.sum(axis=1) * scipy.special.logsumexp(z, axis=1)).sum() - (y * z).sum(),
        "softgrad": lambda z, y: sg.cross_entropy(z, y, reduction="sum"),
        "vecdot": lambda z, y: float(-np.vecdot(y, log_softmax(z)).sum()),
        "loops": lambda z, y: (
            -sum(t * l for t, l in zip(y.ravel().tolist(), log_softmax(z).ravel().tolist(), strict=True))
        ),
        "float32": lambda z, y: -(y.astype(np.float32) * log_softmax(z.astype(np.float32))).sum(),
    },
    checking.check_cross_entropy_grad: {
        "NumPy": lambda z, y: softmax(z) * y.sum(axis=1, keepdims=True) - y,
        "loops": gradient_by_loops,
        "chain rule": gradient_by_chain_rule,
        "softgrad": lambda z, y: sg.cross_entropy_grad(z, y, reduction="sum"),
        "with the loss": lambda z, y: sg.cross_entropy_value_and_grad(z, y, reduction="sum"),
        "outer": lambda z, y: np.stack([p * t.sum() - t for p, t in zip(softmax(z), y, strict=True)]),
        "float32 softmax": lambda z, y: softmax(z.astype(np.float32)) * y.sum(axis=1, keepdims=True) - y,
    },
    checking.check_cross_entropy_hessian: {
        "NumPy": lambda z, y: y.sum(axis=1)[:, None, None] * jacobian(z),
        "loops": hessian_by_loops,
        "einsum": lambda z, y: np.einsum("bi,bjk->bjk", y, jacobian(z)),
        "by terms": lambda z, y: sum(y[:, i, None, None] * jacobian(z) for i in range(z.shape[1])),
        "of log-softmax": lambda z, y: np.einsum("bi,bjk->bjk", y, jacobian_by_outer(z)),
    },
}


@pytest.mark.parametrize(
    "check, fn",
    [
        pytest.param(check, fn, id=f"{check.__name__}-{way}")
        for check, ways in RIGHT.items()
        for way, fn in ways.items()
    ],
)
def test_right_however_it_is_written(check, fn):
    report = check(fn)
    assert report.passed, str(report)
    assert report.verdict == "pass"
    report.raise_if_failed()


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_right_for_class_indices(reduction):
    def per_row(z, labels):
        return -log_softmax(z)[np.arange(len(z)), labels]

    def loss(z, labels):
        return {"sum": np.sum, "mean": np.mean, "none": np.asarray}[reduction](per_row(z, labels))

    def gradient(z, labels):
        g = softmax(z)
        g[np.arange(len(z)), labels] -= 1
        return g / len(z) if reduction == "mean" else g

    def hessian(z, labels):
        return jacobian(z) / (len(z) if reduction == "mean" else 1)

    options = {"reduction": reduction, "target": "index"}
    assert checking.check_cross_entropy(loss, **options).passed
    assert checking.check_cross_entropy_grad(gradient, **options).passed
    assert checking.check_cross_entropy_grad(lambda z, t: (loss(z, t), gradient(z, t)), **options).passed
    assert checking.check_cross_entropy_hessian(hessian, **options).passed


# Wrong.


def naive_softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def softmax_with_math(z):
    return [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in z.tolist()]


def softmax_with_math_and_one_maximum(z):
    top = float(z.max())
    return [[math.exp(v - top) / sum(math.exp(w - top) for w in row) for v in row] for row in z.tolist()]


def softmax_with_one_maximum(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e, axis=1, keepdims=True)


def softmax_of_columns(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def softmax_with_the_columns_maximum(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=1, keepdims=True)


def half_filled(z):
    result = np.zeros((*z.shape, z.shape[1]))
    for b, p in enumerate(softmax(z)):
        for j in range(len(p)):
            for k in range(j + 1):
                result[b, j, k] = p[j] * ((j == k) - p[k])
    return result


def plus_off_diagonal(z):
    p = softmax(z)
    result = p[:, :, None] * p[:, None, :]
    for b in range(len(z)):
        np.fill_diagonal(result[b], p[b] * (1 - p[b]))
    return result


def flattened(z):
    p = softmax(z).reshape(-1, 1)
    return np.diagflat(p) - p @ p.T


def block_diagonal(z):
    (B, C), J = z.shape, jacobian(z)
    result = np.zeros((B * C, B * C))
    for b in range(B):
        result[b * C : (b + 1) * C, b * C : (b + 1) * C] = J[b]
    return result


def activations_of_logits(z):
    return np.stack([np.diag(p * (1 - row)) for p, row in zip(softmax(z), z, strict=True)])


def labels_subtracted_everywhere(z, labels):
    g = softmax(z)
    g[:, labels] -= 1
    return g


def target_entry_only(z, labels):
    g = np.zeros_like(z)
    rows = np.arange(len(z))
    g[rows, labels] = softmax(z)[rows, labels] - 1
    return g


def gradient_of_clipped_log(z, y):
    p = softmax(z)
    towards_p = np.where(p > 1e-7, -y / np.maximum(p, 1e-7), 0)
    return p * (towards_p - (p * towards_p).sum(axis=1, keepdims=True))


INDEX = {"target": "index"}
WRONG = [
    (checking.check_softmax, naive_softmax, {}, "no maximum subtracted"),
    (checking.check_softmax, softmax_with_math, {}, "no maximum subtracted"),
    (checking.check_softmax, lambda z: naive_softmax(z.astype(np.float32)), {}, "no maximum subtracted"),
    (checking.check_softmax, softmax_with_one_maximum, {}, "one maximum for the whole batch"),
    (checking.check_softmax, softmax_with_math_and_one_maximum, {}, "one maximum for the whole batch"),
    (checking.check_softmax, lambda z: softmax(np.clip(z, -500, 500)), {}, "logits clipped"),
    (checking.check_softmax, softmax_of_columns, {}, "softmax along the wrong axis"),
    (checking.check_softmax, softmax_with_the_columns_maximum, {}, "maximum along the wrong axis"),
    (checking.check_softmax, lambda z: np.exp(z) / np.exp(z).sum(), {}, "softmax over the whole batch"),
    (checking.check_softmax, lambda z: softmax(softmax(z)), {}, "softmax applied twice"),
    (checking.check_softmax, lambda z: softmax(softmax(z.astype(np.float32))), {}, "softmax applied twice"),
    (checking.check_softmax, lambda z: z, {}, "logits used where probabilities are meant"),
    (checking.check_softmax, lambda z: softmax(z).squeeze(), {}, "right numbers in another shape"),
    (checking.check_softmax_jacobian, lambda z: softmax(z) * (1 - softmax(z)), {}, "only the diagonal"),
    (checking.check_softmax_jacobian, lambda z: [np.diag(p * (1 - p)) for p in softmax(z)], {}, "only the diagonal"),
    (checking.check_softmax_jacobian, plus_off_diagonal, {}, "wrong sign off the diagonal"),
    (checking.check_softmax_jacobian, half_filled, {}, "only one triangle filled"),
    (checking.check_softmax_jacobian, lambda z: jacobian(z).sum(axis=1), {}, "Jacobian summed over its rows"),
    (checking.check_softmax_jacobian, lambda z: jacobian(z).sum(axis=0), {}, "summed over the batch"),
    (checking.check_softmax_jacobian, flattened, {}, "batch flattened"),
    (checking.check_softmax_jacobian, block_diagonal, {}, "batch flattened"),
    (checking.check_softmax_jacobian, activations_of_logits, {}, "p(1 − z)"),
    (checking.check_softmax_jacobian, lambda z: softmax(z) * (1 - z), {}, "p(1 − z)"),
    (checking.check_softmax_jacobian, lambda z: z * (1 - z), {}, "logits used where probabilities are meant"),
    (checking.check_softmax_jacobian, lambda z: -jacobian(z), {}, "negated"),
    (checking.check_softmax_jacobian, lambda z: -np.einsum("bj,bk->bjk", softmax(z), softmax(z)), {}, "term Diag(p) forgotten"),
    (checking.check_softmax_jacobian, lambda z: np.einsum("bj,bk->bjk", softmax(z), 1 - softmax(z)), {}, "p_j(1 − p_k) in every entry"),
    (checking.check_softmax_jacobian, lambda z: jacobian(np.log(naive_softmax(z))), {}, "no maximum subtracted"),
    (checking.check_log_softmax_jacobian, lambda z: np.eye(z.shape[1]) - softmax(z)[:, :, None], {}, "log-softmax Jacobian transposed"),
    (checking.check_log_softmax_jacobian, lambda z: jacobian(z) / softmax(z)[:, None, :], {}, "log-softmax Jacobian transposed"),
    (checking.check_log_softmax_jacobian, lambda z: jacobian(z) / softmax(z)[:, :, None], {}, "division by an underflowed probability"),
    (checking.check_log_softmax_jacobian, jacobian, {}, "derivative of softmax"),
    (checking.check_log_softmax_jacobian, lambda z: 1 / softmax(z), {}, "derivative of the logarithm alone"),
    (checking.check_softmax_vjp, lambda z, v: softmax(z) * (1 - softmax(z)) * v, {}, "elementwise product where a VJP is needed"),
    (checking.check_softmax_vjp, lambda z, v: softmax(z) * (v - (softmax(z) * v).sum()), {}, "pᵀv summed over the wrong axis"),
    (checking.check_softmax_vjp, lambda z, v: v * softmax(z), {}, "term p(pᵀv) forgotten"),
    (checking.check_softmax_vjp, lambda z, v: v[:, :, None] * jacobian(z), {}, "matrix instead of product"),
    (checking.check_softmax_vjp, lambda z, v: jacobian(z), {}, "upstream gradient ignored"),
    (checking.check_cross_entropy, lambda z, y: -(y * np.log(softmax(z) + 1e-12)).sum(), {}, "log(p + eps)"),
    (checking.check_cross_entropy, lambda z, y: -(y * np.log(np.clip(softmax(z), 1e-7, 1 - 1e-7))).sum(), {}, "probabilities clipped before the logarithm"),
    (checking.check_cross_entropy, lambda z, y: -(y * np.log(softmax(z))).sum(), {}, "logarithm of an underflowed probability"),
    (checking.check_cross_entropy, lambda z, t: -np.log(softmax(z)[np.arange(len(z)), t]).sum(), INDEX, "logarithm of an underflowed probability"),
    (checking.check_cross_entropy, lambda z, y: -(y * np.log(naive_softmax(z))).sum(), {}, "no maximum subtracted"),
    (checking.check_cross_entropy, lambda z, t: (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), t]).sum(), INDEX, "no maximum subtracted"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(z)).mean(), {}, "divided by B·C"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(z)).sum(axis=1).mean(), {}, "mean instead of sum"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(z)).sum(), {"reduction": "mean"}, "sum instead of mean"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(z)).sum(axis=1), {}, "not reduced"),
    (checking.check_cross_entropy, lambda z, y: (y * log_softmax(z)).sum(), {}, "loss negated"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(softmax(z))).sum(), {}, "softmax applied twice"),
    (checking.check_cross_entropy, lambda z, y: -(y * log_softmax(z)).sum() / np.log(2), {}, "logarithm to another base"),
    (checking.check_cross_entropy, lambda z, y: scipy.special.logsumexp(z, axis=1).sum() - (y * z).sum(), {}, "factor Σy forgotten"),
    (checking.check_cross_entropy, lambda z, t: -(t[:, None] * log_softmax(z)).sum(), INDEX, "one-hot forgotten"),
    (checking.check_cross_entropy, lambda z, t: -log_softmax(z)[:, t].sum(), INDEX, "all pairs of rows and labels"),
    (checking.check_cross_entropy_grad, lambda z, y: softmax(z) - y, {}, "p − y where Σy ≠ 1"),
    (checking.check_cross_entropy_grad, lambda z, y: (softmax(z) - y) / len(z), {}, "p − y where Σy ≠ 1; and mean instead of sum"),
    (checking.check_cross_entropy_grad, lambda z, y: softmax(softmax(z)) - y, {}, "softmax applied twice; and p − y where Σy ≠ 1"),
    (checking.check_cross_entropy_grad, lambda z, y: y - softmax(z), {}, "p − y where Σy ≠ 1; and gradient negated"),
    (checking.check_cross_entropy_grad, lambda z, y: naive_softmax(z) - y, {}, "p − y where Σy ≠ 1"),
    (checking.check_cross_entropy_hessian, lambda z, y: 2 * softmax(z) * (1 - softmax(z)), {}, "2p(1 − p) as the diagonal; and factor Σy forgotten"),
    (checking.check_cross_entropy_grad, lambda z, y: -y / softmax(z), {}, "gradient with respect to probabilities"),
    (checking.check_cross_entropy_grad, lambda z, y: -y / (softmax(z) + 1e-8), {}, "gradient with respect to probabilities"),
    (checking.check_cross_entropy_grad, lambda z, t: one_hot(z, t) - softmax(z), INDEX, "gradient negated"),
    (checking.check_cross_entropy_grad, lambda z, t: (softmax(z) - one_hot(z, t)) * softmax(z) * (1 - softmax(z)), INDEX, "p − y multiplied again by p(1 − p)"),
    (checking.check_cross_entropy_grad, lambda z, t: (softmax(z) - one_hot(z, t)) / len(z), INDEX, "mean instead of sum"),
    (checking.check_cross_entropy_grad, lambda z, t: softmax(z) - one_hot(z, t), INDEX | {"reduction": "mean"}, "sum instead of mean"),
    (checking.check_cross_entropy_grad, lambda z, t: (softmax(z) - one_hot(z, t)) / z.size, INDEX, "divided by B·C"),
    (checking.check_cross_entropy_grad, lambda z, t: (softmax(z) - one_hot(z, t)) / z.shape[1], INDEX, "divided by C"),
    (checking.check_cross_entropy_grad, target_entry_only, INDEX, "only the target entry filled"),
    (checking.check_cross_entropy_grad, lambda z, t: softmax(z) - t[:, None], INDEX, "one-hot forgotten"),
    (checking.check_cross_entropy_grad, labels_subtracted_everywhere, INDEX, "1 subtracted in the columns of all labels"),
    (checking.check_cross_entropy_grad, lambda z, t: softmax(softmax(z)) - one_hot(z, t), INDEX, "softmax applied twice"),
    (checking.check_cross_entropy_grad, lambda z, t: softmax_of_columns(z) - one_hot(z, t), INDEX, "softmax along the wrong axis"),
    (checking.check_cross_entropy_grad, lambda z, y: naive_softmax(z) * y.sum(axis=1, keepdims=True) - y, {}, "no maximum subtracted"),
    (checking.check_cross_entropy_grad, gradient_of_clipped_log, {}, "gradient of a clipped loss"),
    (checking.check_cross_entropy_grad, lambda z, y: (-(y * log_softmax(z)).mean(), softmax(z) * y.sum(axis=1, keepdims=True) - y), {}, "divided by B·C"),
    (checking.check_cross_entropy_hessian, lambda z, y: jacobian(z), {}, "factor Σy forgotten"),
    (checking.check_cross_entropy_hessian, lambda z, t: 2 * softmax(z) * (1 - softmax(z)), INDEX, "2p(1 − p) as the diagonal"),
    (checking.check_cross_entropy_hessian, lambda z, t: flattened(z), INDEX, "batch flattened"),
    (checking.check_cross_entropy_hessian, lambda z, t: softmax(z) * (1 - softmax(z)), INDEX, "only the diagonal"),
    (checking.check_cross_entropy_hessian, lambda z, t: jacobian(z) / len(z), INDEX, "mean instead of sum"),
    (checking.check_cross_entropy_hessian, lambda z, t: np.einsum("bj,bk->bjk", softmax(z) - one_hot(z, t), softmax(z) - one_hot(z, t)), INDEX, "outer product of the gradient"),
]  # fmt: skip


@pytest.mark.parametrize(
    "check, fn, options, cause", WRONG, ids=[f"{w[0].__name__}-{w[3]}-{i}" for i, w in enumerate(WRONG)]
)
def test_wrong_and_the_cause_is_named(check, fn, options, cause):
    report = check(fn, **options)
    assert (report.verdict, report.cause) == ("wrong: known cause", cause), str(report)
    assert not report.passed
    with pytest.raises(AssertionError, match="is wrong"):
        report.raise_if_failed()


UNKNOWN = [
    (checking.check_softmax, lambda z: softmax(1.1 * z), {}),
    (checking.check_softmax_jacobian, lambda z: jacobian(z) + 0.01 * jacobian(z).transpose(0, 2, 1) ** 2, {}),
    (checking.check_softmax_vjp, lambda z, v: softmax(z) * (v - (softmax(z) * v**3).sum(axis=1, keepdims=True)), {}),
    (checking.check_log_softmax_jacobian, lambda z: np.eye(z.shape[1]) - softmax(z)[:, None, :] ** 2, {}),
    (checking.check_cross_entropy, lambda z, y: -(y**2 * log_softmax(z)).sum(), {}),
    (checking.check_cross_entropy_grad, lambda z, y: softmax(z) * y.max(axis=1, keepdims=True) - y, {}),
    (checking.check_cross_entropy_hessian, lambda z, t: jacobian(z) ** 2, INDEX),
]


@pytest.mark.parametrize("check, fn, options", UNKNOWN, ids=lambda v: getattr(v, "__name__", None))
def test_wrong_and_not_in_the_list_comes_with_the_worst_entry(check, fn, options):
    report = check(fn, **options)
    assert (report.verdict, report.cause) == ("wrong: unknown cause", None), str(report)
    worst = report.worst
    got = np.asarray(fn(*worst.arguments))
    assert worst.received == got[worst.index]
    assert abs(worst.received - worst.expected) > 1e-4
    right = {
        "softmax": softmax,
        "softmax-jacobian": jacobian,
        "softmax-vjp": RIGHT[checking.check_softmax_vjp]["matrix"],
        "log-softmax-jacobian": RIGHT[checking.check_log_softmax_jacobian]["tile"],
        "cross-entropy": RIGHT[checking.check_cross_entropy]["loops"],
        "cross-entropy-grad": gradient_by_loops,
        "cross-entropy-hessian": lambda z, t: jacobian(z),
    }[report.kind]
    expected = np.asarray(right(*worst.arguments))
    np.testing.assert_allclose(worst.expected, expected[worst.index], rtol=1e-10)
    assert f"received {worst.received:.9g}" in str(report)
    assert f"expected {worst.expected:.9g}" in str(report)
