"""What a check may be told: the type of target, one vector or a batch, probabilities for logits, options of the loss."""

import numpy as np
import pytest

import softgrad as sg
from softgrad import checking
from softgrad.checking import (
    check_cross_entropy,
    check_cross_entropy_grad,
    check_cross_entropy_hessian,
    check_cross_entropy_hvp,
    check_linear_cross_entropy_grad,
    check_log_softmax,
    check_log_softmax_jacobian,
    check_log_softmax_vjp,
    check_softmax,
    check_softmax_jacobian,
    check_softmax_vjp,
)

WEIGHT = [0.5, 1.0, 2.0, 1.25]
OPTIONS = {
    "plain": {},
    "one-hot": {"target": "one-hot"},
    "probabilities": {"target": "probabilities"},
    "smoothed": {"label_smoothing": 0.1},
    "z-loss": {"z_loss": 1e-2, "target": "index", "reduction": "mean"},
    "weights": {"weight": WEIGHT, "target": "index", "reduction": "mean"},
    "weighted rows with weights": {"weight": WEIGHT, "reduction": "none"},
    "ignored": {"ignore_index": -100, "target": "index", "reduction": "mean"},
    "ignored class": {"ignore_index": 1, "target": "index", "weight": WEIGHT},
    "all": {"ignore_index": -1, "target": "index", "weight": WEIGHT, "label_smoothing": 0.2, "z_loss": 0.5},
}


def of_softgrad(options):
    """The library's functions with these options, by check."""
    given = {"reduction": "sum"} | {name: value for name, value in options.items() if name != "target"}

    def head(x, W, bias, target):
        return sg.linear_cross_entropy_value_and_grad(x, W, target, bias=bias, **given)[1]

    return {
        check_cross_entropy: lambda z, t: sg.cross_entropy(z, t, **given),
        check_cross_entropy_grad: lambda z, t: sg.cross_entropy_value_and_grad(z, t, **given),
        check_cross_entropy_hessian: lambda z, t: sg.cross_entropy_hessian(z, t, **given),
        check_cross_entropy_hvp: lambda z, t, v: sg.cross_entropy_hvp(z, t, v, **given),
        check_linear_cross_entropy_grad: head,
    }


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_librarys_functions_pass_with_their_options(options):
    for check, fn in of_softgrad(options).items():
        report = check(fn, **options)
        assert report.passed, str(report)


@pytest.mark.parametrize(
    "name, without",
    [
        ("smoothed", {"label_smoothing": 0.0}),
        ("z-loss", {"z_loss": 0.0}),
        ("weights", {"weight": None}),
        ("all", {"label_smoothing": 0.0}),
        ("all", {"z_loss": 0.0}),
        ("all", {"weight": None}),
    ],
)
def test_an_option_left_out_is_named(name, without):
    options = OPTIONS[name]
    names = {"label_smoothing": "label smoothing", "z_loss": "z-loss", "weight": "class weights"}
    cause = f"{names[next(iter(without))]} forgotten"
    for check, fn in of_softgrad(options | without).items():
        report = check(fn, **options)
        # The Hessian of the plain loss does not know of smoothing where Σy is 1 without it.
        expected = f"dx: {cause}" if check is check_linear_cross_entropy_grad else cause
        assert report.cause == expected or report.passed, str(report)
        assert not report.passed or check in {check_cross_entropy_hessian, check_cross_entropy_hvp}


@pytest.mark.parametrize("classes", [2, 3, 5, 6, 9])
def test_any_number_of_classes_has_weights(classes):
    options = {"weight": np.linspace(0.5, 1.6, classes), "target": "index"}
    for check, fn in of_softgrad(options).items():
        assert check(fn, **options).passed
        assert not check(lambda z, *others, fn=fn: fn(z + 1e-3 * z**2, *others), **options).passed


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def others_share(z, t):
    C = z.shape[1]
    y = np.full(z.shape, 0.1 / (C - 1))
    y[np.arange(len(z)), t] = 0.9
    return softmax(z) - y


def ignored_rows_counted(z, t):
    g = softmax(z)
    g[np.arange(len(z)), t] -= 1
    return g / len(z)


def mean_over_all_rows(z, t):
    g = softmax(z)
    g[np.arange(len(z)), t] -= 1
    w = np.array(WEIGHT)[t][:, None]
    return w * g / len(z)


def mean_over_ignored_rows_too(z, t):
    g = softmax(z)
    kept = t != -100
    g[kept, t[kept]] -= 1
    return kept[:, None] * g / len(z)


def ignored_labels_not_subtracted(z, t):
    g = softmax(z)
    kept = t != -1
    g[kept, t[kept]] -= 1
    return g


def plus_at_the_label(z, t):
    g = softmax(z)
    g[np.arange(len(z)), t] += 1
    return (t != 1)[:, None] * g


@pytest.mark.parametrize(
    "fn, options, cause",
    [
        (plus_at_the_label, {"target": "index", "ignore_index": 1}, "sign of the term y"),
        (lambda z, t: softmax(z) - np.eye(4)[t], {"weight": WEIGHT, "target": "index", "reduction": "mean"}, "class weights forgotten; and sum instead of mean"),
        (lambda z, y: softmax(z) - 0.9 * y, {"target": "one-hot", "label_smoothing": 0.1}, "label smoothing: ε/C forgotten"),
        (lambda z, y: softmax(z) - 0.9 * y - 0.1, {"target": "one-hot", "label_smoothing": 0.1}, "label smoothing: ε in place of ε/C"),
        (lambda z, t: WEIGHT * (softmax(z) - np.eye(4)[t]), {"weight": WEIGHT, "target": "index"}, "class weights multiplied into the entries"),
        (others_share, {"target": "index", "label_smoothing": 0.1}, "label smoothing over the other classes"),
        (ignored_labels_not_subtracted, {"target": "index", "ignore_index": -1}, "p kept in ignored rows"),
        (ignored_rows_counted, {"target": "index", "ignore_index": 1, "reduction": "mean"}, "ignored rows counted"),
        (ignored_rows_counted, {"target": "index", "ignore_index": -1, "reduction": "mean"}, "ignored rows counted"),
        (mean_over_all_rows, {"target": "index", "weight": WEIGHT, "reduction": "mean"}, "divided by the number of rows"),
        (mean_over_ignored_rows_too, {"target": "index", "ignore_index": -100, "reduction": "mean"}, "divided by the number of rows"),
        (lambda z, y: softmax(z) * (y.sum(axis=1, keepdims=True) + 0.3 * sg.logsumexp(z, axis=1)[:, None]) - y, {"z_loss": 0.3}, "z-loss half as large"),
        (lambda z, y: softmax(z) - y, {"weight": WEIGHT, "target": "one-hot"}, "class weights forgotten"),
        (lambda z, y: y - softmax(z), {"target": "one-hot"}, "gradient negated"),
        (lambda z, y: 2 * (softmax(z) - y), {"target": "probabilities"}, "twice as large"),
        (lambda z, y: -y * (1 - softmax(z)), {"target": "probabilities"}, "only the diagonal of the softmax's Jacobian"),
    ],
)  # fmt: skip
def test_mistakes_in_a_setting_are_named(fn, options, cause):
    assert check_cross_entropy_grad(fn, **options).cause == cause


ONE_VECTOR = {
    check_softmax: softmax,
    check_log_softmax: lambda z: z - z.max() - np.log(np.exp(z - z.max()).sum()),
    check_softmax_jacobian: lambda z: np.diag(softmax(z)) - np.outer(softmax(z), softmax(z)),
    check_log_softmax_jacobian: lambda z: np.eye(len(z)) - np.tile(softmax(z), (len(z), 1)),
    check_softmax_vjp: lambda z, v: softmax(z) * (v - softmax(z) @ v),
    check_log_softmax_vjp: lambda z, v: v - softmax(z) * v.sum(),
    check_cross_entropy: lambda z, y: -(y @ sg.log_softmax(z)),
    check_cross_entropy_grad: lambda z, y: softmax(z) * y.sum() - y,
    check_cross_entropy_hessian: lambda z, y: y.sum() * (np.diag(softmax(z)) - np.outer(softmax(z), softmax(z))),
    check_cross_entropy_hvp: lambda z, y, v: y.sum() * softmax(z) * (v - softmax(z) @ v),
}


@pytest.mark.parametrize("check, fn", ONE_VECTOR.items(), ids=lambda f: f.__name__)
def test_functions_of_one_vector(check, fn):
    assert check(fn, batched=False).passed
    wrong = check(lambda *arguments: 2 * fn(*arguments), batched=False)
    assert wrong.cause == "twice as large"
    assert wrong.example.arguments[0].shape == (3,)
    report = check(fn)
    assert report.passed or "check it with batched=False (--single)" in report.advice
    assert "torch" not in report.advice


def test_a_lack_of_precision_is_no_sign_of_one_vector():
    def by_differences(z, y, v):
        return (softmax(z + 1e-4 * v) - softmax(z - 1e-4 * v)) / 2e-4

    report = check_cross_entropy_hvp(by_differences, target="one-hot")
    assert report.advice == "compute in float64 throughout, from the closed form"


@pytest.mark.parametrize(
    "check, fn, cause",
    [
        (check_softmax_jacobian, lambda z: np.diag(softmax(z)) - softmax(z) * softmax(z).T, "p∘p or pᵀp in place of p pᵀ"),
        (check_softmax_jacobian, lambda z: np.diag(softmax(z)) - softmax(z) @ softmax(z), "p∘p or pᵀp in place of p pᵀ"),
        (check_log_softmax, lambda z: z - z.max() - np.log(np.exp(z).sum()), "maximum subtracted in one place only"),
        (check_log_softmax, lambda z: z - np.log(np.exp(z - z.max()).sum()), "maximum subtracted in one place only"),
    ],
)  # fmt: skip
def test_mistakes_in_functions_of_one_vector_are_named(check, fn, cause):
    assert check(fn, batched=False).cause == cause


def test_the_mode_for_one_vector_is_offered_where_the_function_fails():
    def first_class_apart(z):
        top = float(z[0])  # fails for a batch
        return softmax(z - top) ** 2

    report = check_softmax(first_class_apart)
    assert report.advice.startswith("if the function takes one vector, check it with batched=False (--single)")

    def of_one_vector(z, y):  # two mistakes for a batch, one for a vector
        p = np.exp(z - z.max())
        return p / p.sum() + y

    report = check_cross_entropy_grad(of_one_vector, target="one-hot")
    assert report.verdict == "wrong: unknown cause"
    assert report.advice.startswith("if the function takes one vector, check it with batched=False (--single)")

    def by_loop(z):
        return [np.exp(a) / sum(np.exp(b) for b in z) for a in z.tolist()]

    assert "--single" in check_softmax(by_loop).advice
    report = check_softmax(lambda z: z[0, 0].softmax())  # 'numpy.float64' is no sign of tensors
    assert "torch" not in report.advice
    lost = check_softmax(lambda z: z / z.sum(axis=1))
    assert "keepdims=True" in lost.advice
    assert check_cross_entropy_grad(lambda z, t: softmax(z) - np.eye(len(z))[t], batched=False, target="index").passed


FROM_PROBABILITIES = {
    check_log_softmax: np.log,
    check_softmax_jacobian: lambda p: p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :]),
    check_log_softmax_jacobian: lambda p: np.eye(p.shape[1]) - p[:, None, :],
    check_log_softmax_vjp: lambda p, v: v - p * v.sum(axis=1, keepdims=True),
    check_softmax_vjp: lambda p, v: p * (v - (p * v).sum(axis=1, keepdims=True)),
    check_cross_entropy: lambda p, y: -(y * np.log(p)).sum(),
    check_cross_entropy_grad: lambda p, y: p * y.sum(axis=1, keepdims=True) - y,
    check_cross_entropy_hvp: lambda p, y, v: y.sum(axis=1, keepdims=True) * p * (v - np.vecdot(p, v)[:, None]),
}


@pytest.mark.parametrize("check, fn", FROM_PROBABILITIES.items(), ids=lambda f: f.__name__)
def test_functions_of_probabilities(check, fn):
    report = check(fn, from_logits=False)
    assert report.passed, str(report)
    assert [stage.name for stage in report.stages][-1] != "large logits"
    single = check(lambda p, *others: fn(p.astype(np.float32), *others), from_logits=False)
    assert single.passed, str(single)
    wrong = check(lambda p, *others: fn(softmax(p), *others), from_logits=False)
    assert wrong.cause == "softmax applied twice"
    assert wrong.example.names[0] == "p"
    assert not check(fn).passed


def test_a_linear_layers_gradients():
    def backward(x, W, bias, y):
        z = x @ W.T + bias
        g = softmax(z) * y.sum(axis=1, keepdims=True) - y
        return [g @ W, g.T @ x, g.sum(axis=0)]

    def with_part(position, part):
        def fn(x, W, bias, y):
            parts = backward(x, W, bias, y)
            g = softmax(x @ W.T + bias) * y.sum(axis=1, keepdims=True) - y
            parts[position] = part(g, x, W)
            return tuple(parts)

        return check_linear_cross_entropy_grad(fn).cause

    assert check_linear_cross_entropy_grad(backward).passed
    assert with_part(0, lambda g, x, W: -g @ W) == "dx: gradient negated"
    assert with_part(0, lambda g, x, W: g) == "dx: gradient with respect to the logits"
    assert with_part(1, lambda g, x, W: x.T @ g) == "dW: transposed"
    assert with_part(1, lambda g, x, W: g.T @ x / len(x)) == "dW: mean instead of sum"
    assert with_part(2, lambda g, x, W: g.sum(axis=1)) == "dbias: summed over the classes"
    assert with_part(2, lambda g, x, W: g) == "dbias: not summed over the batch"
    report = check_linear_cross_entropy_grad(lambda x, W, bias, y: x)
    assert "returned a ndarray; expected (dx, dW, dbias)" in report.explanation
    assert "returned 4 results" in check_linear_cross_entropy_grad(lambda *arguments: arguments).explanation


def test_the_example_is_one_row_with_three_classes():
    report = check_cross_entropy_grad(lambda z, y: y - softmax(z), target="one-hot")
    example = report.example
    assert example.arguments[0].shape == (1, 3)
    np.testing.assert_allclose(example.received, -example.expected)
    text = str(report)
    assert "\n      z        = [[0. 1. 2.]]\n" in text
    assert "\n      expected = [[" in text
    assert "\n      received = [[" in text
    # One row does not show a mean over the rows, and moderate logits no overflow.
    assert check_cross_entropy(lambda z, y: -(y * sg.log_softmax(z)).sum(axis=1).mean()).example.arguments[0].shape == (
        2,
        3,
    )
    assert check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).example.arguments[0].max() == 2000
    assert check_softmax(lambda z: z, batched=False).example.expected.shape == (3,)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batched": False, "reduction": "mean"}, "reduction='mean' for a function of one vector"),
        ({"z_loss": 0.1, "from_logits": False}, "z_loss=0.1 needs the logits"),
        ({"ignore_index": 0}, "ignore_index=0 needs class indices; expected target='index'"),
        ({"weight": [1.0, -1.0]}, "expected one positive number for every class"),
        ({"weight": [[1.0, 1.0]]}, "expected one positive number for every class"),
        ({"label_smoothing": 2.0}, "label_smoothing=2.0; expected a number from 0 to 1"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
    for check in (check_cross_entropy, check_cross_entropy_grad, check_cross_entropy_hvp):
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            check(lambda z, y: z, **options)


def test_unknown_options_are_refused_by_name():
    with pytest.raises(TypeError, match=r"check_cross_entropy\(\) got an unexpected keyword argument 'smoothing'"):
        checking.check_cross_entropy(lambda z, y: 0.0, smoothing=0.1)
