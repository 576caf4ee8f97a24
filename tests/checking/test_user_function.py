"""The results that a function may return, and the reports on functions that return anything else or nothing."""

import types

import numpy as np
import pytest

import softgrad as sg
from softgrad.checking import (
    check_cross_entropy,
    check_cross_entropy_grad,
    check_cross_entropy_hessian,
    check_log_softmax_jacobian,
    check_softmax,
    check_softmax_jacobian,
    check_softmax_vjp,
)


def gradient(z, y):
    return sg.softmax(z) * y.sum(axis=1, keepdims=True) - y


def states(report):
    return dict(report.stages)


def swapped(z):
    return sg.softmax(z).astype(">f8")


class Foreign:
    """An array of another library, as far as NumPy sees it."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def torch_like(array, dtype="torch.float64", *, grad=True):
    """Raises unless it is converted as torch's tensors have to be."""
    on_cpu = types.SimpleNamespace(numpy=lambda: array)
    detached = types.SimpleNamespace(cpu=lambda: on_cpu)

    def fields(namespace):
        namespace["__module__"] = "torch"
        namespace["dtype"] = dtype
        namespace["detach"] = lambda self: detached

    return types.new_class("Tensor", exec_body=fields)()


@pytest.mark.parametrize(
    "fn",
    {
        "list of lists": lambda z: sg.softmax(z).tolist(),
        "list of arrays": lambda z: list(sg.softmax(z)),
        "tuple of arrays": lambda z: tuple(sg.softmax(z)),
        "Fortran order": lambda z: np.asfortranarray(sg.softmax(z)),
        "strided": lambda z: np.repeat(sg.softmax(z), 2, axis=1)[:, ::2],
        "big-endian": swapped,
        "read-only": lambda z: np.broadcast_to(sg.softmax(z), z.shape),
        "another library's": lambda z: Foreign(sg.softmax(z)),
        "torch-like": lambda z: torch_like(sg.softmax(z)),
        "list of torch-like rows": lambda z: [torch_like(row) for row in sg.softmax(z)],
    }.items(),
    ids=lambda item: item[0],
)
def test_any_array_of_numbers_is_a_result(fn):
    report = check_softmax(fn[1])
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [float, np.float32, np.asarray, lambda v: Foreign(np.asarray(v))])
def test_any_scalar_is_a_loss(loss):
    assert check_cross_entropy(lambda z, y: loss(sg.cross_entropy(z, y, reduction="sum"))).passed


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_operators_are_results(reduction):
    def hessian(z, y):
        return sg.cross_entropy_hessian(z, y, reduction=reduction)

    reports = [check_cross_entropy_hessian(hessian, reduction=reduction, target=t) for t in ("probabilities", "index")]
    reports += [check_softmax_jacobian(sg.softmax_jacobian), check_log_softmax_jacobian(sg.log_softmax_jacobian)]
    reports += [check_softmax_jacobian(lambda z: [sg.softmax_jacobian(row) for row in z])]
    for report in reports:
        assert report.passed, str(report)
    assert check_log_softmax_jacobian(lambda z: sg.log_softmax_jacobian(z).T).cause == "log-softmax Jacobian transposed"


def test_results_are_converted_by_to_dense():
    def sparse(to_dense):
        return lambda z: types.SimpleNamespace(to_dense=lambda: to_dense(z))

    assert check_softmax(sparse(lambda z: torch_like(sg.softmax(z)))).passed
    assert check_softmax(sparse(lambda z: sg.softmax(z).tolist())).passed
    assert "returned a NoneType" in check_softmax(sparse(lambda z: None)).explanation
    assert "float16" in check_softmax(sparse(lambda z: sg.softmax(z).astype(np.float16))).explanation
    report = check_softmax(sparse(raises(MemoryError("too large"))))
    assert (report.verdict, "raised MemoryError: too large" in report.explanation) == (INCONCLUSIVE, True)
    report = check_softmax(lambda z: types.SimpleNamespace(to_dense=None))
    assert "returned a SimpleNamespace" in report.explanation


def raises(error):
    def fn(z):
        raise error

    return fn


def in_place(z):
    z -= z.max(axis=1, keepdims=True)
    return sg.softmax(z)


def in_place_target(z, y):
    p = sg.softmax(z) * y.sum(axis=1, keepdims=True)
    y *= -1
    y += p
    return y


def random_dropout(z, generator=np.random.default_rng(0)):  # noqa: B008
    return sg.softmax(z) * (generator.random(z.shape) < 0.5) * 2


def ragged(z):
    return [np.ones(i) for i in range(len(z) + 1)]


KNOWN, UNKNOWN, INCONCLUSIVE = "wrong: known cause", "wrong: unknown cause", "inconclusive"
INVALID = {
    "nothing": (lambda z: None, KNOWN, "None", "return"),
    "integers": (lambda z: sg.softmax(z).astype(int), KNOWN, "int64", "np.zeros_like"),
    "booleans": (lambda z: sg.softmax(z) > 0.5, KNOWN, "bool", ""),
    "complex": (lambda z: sg.softmax(z) + 0j, KNOWN, "complex128", ".real"),
    "in place": (in_place, KNOWN, "its argument z", "work on a new array: z = z.copy()"),
    "half": (lambda z: sg.softmax(z).astype(np.float16), INCONCLUSIVE, "float16", "float64 or float32"),
    "torch bfloat16": (lambda z: torch_like(None, "torch.bfloat16"), INCONCLUSIVE, "bfloat16", "float64 or float32"),
    "objects": (lambda z: sg.softmax(z).astype(object), INCONCLUSIVE, "dtype object", "np.asarray"),
    "an object": (lambda z: types.SimpleNamespace(), INCONCLUSIVE, "a SimpleNamespace", "np.asarray"),
    "text": (lambda z: "p", INCONCLUSIVE, "<U1", "np.asarray"),
    "masked": (lambda z: np.ma.masked_less(sg.softmax(z), 0.1), INCONCLUSIVE, "masked array", "filled"),
    "ragged": (ragged, INCONCLUSIVE, "a list of 4 arrays of different shapes", "one array"),
    "random": (random_dropout, INCONCLUSIVE, "two different results", "seed"),
    "empty": (lambda z: [], UNKNOWN, "has shape (0,); expected (3, 4), that is (B, C)", "shape (B, C)"),
    "one number": (lambda z: 1.0, UNKNOWN, "has shape (); expected (3, 4)", "(B, C)"),
    "raises": (raises(ZeroDivisionError("by zero")), INCONCLUSIVE, "raised ZeroDivisionError: by zero (line", "z of shape (3, 4)"),
    "too few arguments": (lambda: None, INCONCLUSIVE, "raised TypeError", "called as fn(z)"),
    "wants tensors": (raises(TypeError("must be Tensor, not numpy.ndarray")), INCONCLUSIVE, "must be Tensor", "lambda z: fn(torch.from_numpy(z))"),
    "wants tensors' methods": (lambda z: z.softmax(1), INCONCLUSIVE, "has no attribute 'softmax'", "torch.from_numpy(z)"),
}  # fmt: skip


@pytest.mark.parametrize("fn, verdict, explanation, advice", INVALID.values(), ids=INVALID.keys())
def test_invalid_results(fn, verdict, explanation, advice):
    report = check_softmax(fn)
    assert report.verdict == verdict
    assert explanation in report.explanation
    assert advice in report.advice
    assert states(report)["shape and dtype"] == "failed"
    assert report.worst is None
    assert report.explanation in " ".join(str(report).split())


def test_invalid_results_of_functions_with_a_second_argument():
    report = check_cross_entropy_grad(in_place_target)
    assert (report.cause, report.verdict) == ("input changed in place", KNOWN)
    assert "its argument target" in report.explanation
    assert "called as fn(z, target)" in check_cross_entropy(lambda z: 0.0).advice
    assert "fn(torch.from_numpy(z), torch.from_numpy(v))" in check_softmax_vjp(lambda z, v: z.softmax(1)).advice
    assert "np.eye" in check_cross_entropy(lambda z, y: (z * y).sum(), target="index").advice
    assert 'target="index"' in check_cross_entropy(lambda z, y: z[np.arange(len(z)), y].sum()).advice
    report = check_cross_entropy_grad(lambda z, y: (sg.cross_entropy(z, y, reduction="none"), gradient(z, y)))
    assert report.cause == "not reduced"
    report = check_cross_entropy_grad(lambda z, y: (np.ones(7), gradient(z, y)))
    assert "The loss for z of shape (3, 4) has shape (7,); expected (), that is one number" in report.explanation
    report = check_cross_entropy_grad(lambda z, y: (0.0, gradient(z, y)) if len(z) == 3 else gradient(z, y))
    assert "for some inputs" in report.explanation


def of_one_row(fn):
    def of_row(*arguments):
        if arguments[0].ndim != 1:
            raise ValueError("one row")
        return fn(*arguments)

    return of_row


@pytest.mark.parametrize(
    "check, fn",
    [
        (check_softmax, sg.softmax),
        (check_softmax_jacobian, lambda z: np.diag(sg.softmax(z)) - np.outer(sg.softmax(z), sg.softmax(z))),
        (check_softmax_vjp, lambda z, v: sg.softmax(z) * (v - sg.softmax(z) @ v)),
        (check_cross_entropy, lambda z, y: -(y @ sg.log_softmax(z))),
        (check_cross_entropy_grad, lambda z, y: sg.softmax(z) * y.sum() - y),
        (check_cross_entropy_hessian, lambda z, y: y.sum() * sg.softmax_jacobian(z).to_dense()),
    ],
)
@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_advice_for_a_function_of_one_row_is_code_that_passes(check, fn, reduction):
    options = {"reduction": reduction} if "cross_entropy" in check.__name__ else {}
    fn = of_one_row(fn)
    code = check(fn, **options).advice.splitlines()[-1].strip()
    assert " for row" in code
    names = "z, target" if options else "z, v" if check is check_softmax_vjp else "z"
    report = check(eval(f"lambda {names}: {code}", {"fn": fn, "np": np}), **options)
    assert report.passed, f"{code}\n{report}"


def test_the_line_that_raised_is_the_users():
    def fn(z):
        return np.linalg.inv(z)

    report = check_softmax(fn)
    assert f"(line {fn.__code__.co_firstlineno + 1} of {__file__})" in report.explanation


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_stop_the_process_propagate(stop):
    with pytest.raises(stop):
        check_softmax(raises(stop()))

    def at_large_logits(z):
        if np.abs(z).max() > 500:
            raise stop
        return sg.softmax(z)

    with pytest.raises(stop):
        check_softmax(at_large_logits)


def test_invalid_results_at_large_logits():
    def at_large(other):
        return lambda z: sg.softmax(z) if np.abs(z).max() < 500 else other(z)

    report = check_softmax(at_large(lambda z: None))
    assert (report.cause, states(report)["large logits"]) == ("nothing returned", "failed")
    report = check_softmax(at_large(lambda z: sg.softmax(z)[0]))
    assert "With logits of ±1000 the result has shape (4,); expected (3, 4)" in report.explanation
    report = check_softmax(at_large(raises(RuntimeError("too large"))))
    assert "raises RuntimeError: too large" in report.explanation
    assert report.verdict == UNKNOWN
    assert np.isnan(report.worst.received)


def test_overflow_in_the_function_does_not_warn():
    assert check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).cause == "no maximum subtracted"

    def strict(z):
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    assert check_softmax(strict).cause == "no maximum subtracted"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_results_that_are_never_finite_are_no_known_mistake(value):
    report = check_softmax(lambda z: np.full(z.shape, value))
    assert report.verdict == UNKNOWN
    assert "is not finite" in report.explanation
    assert report.violated_properties == ()
    assert "nan" in str(check_cross_entropy(lambda z, y: np.nan))
