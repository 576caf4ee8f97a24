"""The stages of a check, its tolerances, the violated properties, and the report."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import softgrad as sg
from softgrad import checking
from softgrad.checking import (
    check_cross_entropy,
    check_cross_entropy_grad,
    check_cross_entropy_hessian,
    check_softmax,
    check_softmax_jacobian,
    check_softmax_vjp,
)


def gradient(z, y):
    return sg.softmax(z) * y.sum(axis=1, keepdims=True) - y


def states(report):
    return dict(report.stages)


KNOWN, UNKNOWN, INCONCLUSIVE = "wrong: known cause", "wrong: unknown cause", "inconclusive"


# Stages


def test_it_stops_at_the_first_stage_that_fails():
    def value_and_more(z, y):
        return sg.cross_entropy(z, y, reduction="sum") * 1.5, -y / sg.softmax(z)

    report = check_cross_entropy_grad(value_and_more)
    assert states(report) == {
        "shape and dtype": "passed",
        "value": "failed",
        "derivative": "not reached",
        "large logits": "not reached",
    }
    report = check_cross_entropy_grad(lambda z, y: (sg.cross_entropy(z, y, reduction="sum"), -y / sg.softmax(z)))
    assert report.cause == "gradient with respect to probabilities"
    assert states(report)["derivative"] == "failed"
    assert states(check_softmax(lambda z: z[0]))["shape and dtype"] == "failed"
    assert states(check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)))["large logits"] == "failed"
    assert set(states(check_softmax(sg.softmax)).values()) == {"passed"}


def test_the_function_sees_small_batches_of_many_shapes_and_large_logits():
    seen = []

    def fn(z, target):
        seen.append((z, target))
        return sg.cross_entropy(z, target, reduction="sum")

    assert check_cross_entropy(fn).passed
    assert len(seen) < 20
    assert all(z.dtype == target.dtype == np.float64 and z.shape == target.shape for z, target in seen)
    assert len({z.shape for z, _ in seen}) >= 5
    assert 1 in {len(z) for z, _ in seen}
    assert max(z.max() for z, _ in seen) > 1000 > -1000 > min(z.min() for z, _ in seen)
    seen.clear()
    assert check_cross_entropy(fn, target="index").passed
    assert all(target.dtype == np.int64 and target.shape == z.shape[:1] for z, target in seen)


def test_the_requested_reduction_is_checked():
    for reduction in ("sum", "mean", "none"):
        for other in ("sum", "mean", "none"):
            loss = check_cross_entropy(lambda z, y, r=other: sg.cross_entropy(z, y, reduction=r), reduction=reduction)
            grad = check_cross_entropy_grad(
                lambda z, y, r=other: sg.cross_entropy_grad(z, y, reduction=r), reduction=reduction
            )
            assert loss.passed == (reduction == other)
            assert grad.passed == (reduction == other or {reduction, other} == {"sum", "none"})
            assert all(report.passed or report.verdict == KNOWN for report in (loss, grad))


# Precision


def test_float32_is_held_to_float32():
    assert check_softmax(lambda z: sg.softmax(z.astype(np.float32)) * np.float32(1 + 5e-6)).passed
    assert not check_softmax(lambda z: sg.softmax(z) * (1 + 5e-6)).passed
    assert not check_softmax(lambda z: sg.softmax(z.astype(np.float32)) * np.float32(1 + 1e-4)).passed
    mixed = check_cross_entropy_grad(lambda z, y: gradient(z.astype(np.float32), y.astype(np.float32)).astype(float))
    assert mixed.passed
    assert any("float32" in note for note in mixed.notes)
    transposed = check_softmax(lambda z: sg.softmax(z.astype(np.float32)).astype(float).T)
    assert transposed.cause == "right numbers in another shape"


def test_right_to_a_few_digits_only_is_inconclusive():
    def forward_differences(z):
        h = 1e-7
        return np.stack([(sg.softmax(z + step) - sg.softmax(z)) / h for step in np.eye(z.shape[1]) * h], axis=2)

    report = check_softmax_jacobian(forward_differences)
    assert (report.verdict, report.passed) == (INCONCLUSIVE, False)
    assert "finite differences" in report.explanation
    assert report.worst is not None
    # Too rough to be passed, and none the less wrong at large logits.
    report = check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) * (1 + 1e-7))
    assert report.verdict == UNKNOWN


def test_two_explanations_are_inconclusive(monkeypatch):
    from softgrad.checking import _reference  # noqa: PLC0415

    twin = _reference.SOFTMAX.causes[0].__class__("a twin", "Twin.", "none", (lambda probe: sg.softmax(-probe.logits),))
    monkeypatch.setattr(_reference, "SOFTMAX", _reference.SOFTMAX._replace(causes=(*_reference.SOFTMAX.causes, twin)))
    report = check_softmax(lambda z: sg.softmax(-z))
    assert (report.verdict, report.cause) == (INCONCLUSIVE, None)
    assert '"a twin"' in report.explanation
    assert '"sign of the logits"' in report.explanation


# Properties


ROWS, SYMMETRY, PSD = "every row of the matrix sums to zero", "the matrix is symmetric", "the matrix is positive"
SHIFT, OTHERS = "adding a constant", "the result for a row depends on that row only"


def broken(check, fn, **options):
    return check(fn, **options).violated_properties


@pytest.mark.parametrize(
    "check, fn, expected",
    [
        (check_softmax_jacobian, lambda z: np.stack([np.diag(p * (1 - p)) for p in sg.softmax(z)]), {ROWS}),
        (check_softmax_jacobian, lambda z: -np.stack([np.diag(p) - np.outer(p, p) for p in sg.softmax(z)]), {PSD}),
        (check_softmax_jacobian, lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, None, :], {SYMMETRY, PSD}),
        (
            check_softmax_jacobian,
            lambda z: np.stack([np.diag(p) - np.outer(p, p) for p in sg.softmax(z, axis=0)]),
            {ROWS, PSD, OTHERS, SHIFT},
        ),
        (checking.check_log_softmax_jacobian, lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, :, None], {ROWS, "every column"}),
        (check_softmax, np.exp, {"probabilities sum to one", SHIFT}),
        (check_softmax, sg.log_softmax, {"probabilities sum to one", "no entry is negative"}),
        (check_cross_entropy, lambda z, y: sg.softmax(z).sum() - (y * z).sum(), {SHIFT}),
        (check_cross_entropy, lambda z, y: (y * sg.log_softmax(z)).sum(), {"no entry is negative"}),
        (check_cross_entropy_grad, lambda z, y: sg.softmax(z) - y, {"the gradient of every row sums to zero"}),
        (check_cross_entropy_grad, lambda z, y: -gradient(z, y), set()),
        (check_softmax_vjp, lambda z, v: sg.softmax(z) * (1 - sg.softmax(z)), {"the gradient", "twice the upstream"}),
        (check_cross_entropy_hessian, lambda z, y: -np.einsum("bj,bk->bjk", y, sg.softmax(z)), {ROWS, SYMMETRY, PSD}),
    ],
)  # fmt: skip
def test_violated_properties_are_named(check, fn, expected):
    laws = broken(check, fn)
    assert len(laws) == len(expected), laws
    for start in expected:
        assert any(law.startswith(start) for law in laws), (start, laws)
    if laws:
        assert f"- {laws[0]}" in str(check(fn))


def test_a_function_that_fails_at_another_input_still_gets_its_report():
    calls = []

    def fn(z):
        calls.append(z)
        if len(calls) > 8:
            raise RuntimeError
        return sg.softmax(z) ** 2

    report = check_softmax(fn)
    assert report.verdict == UNKNOWN
    assert report.violated_properties == ()


# Reports


def test_patterns_in_unknown_mistakes():
    def jacobian(z, diagonal=0.0, beside=0.0):
        J = np.stack([np.diag(p) - np.outer(p, p) for p in sg.softmax(z)])
        eye = np.eye(z.shape[1])
        return J + diagonal * J**2 * eye + beside * J**2 * (1 - eye)

    def with_note(check, fn):
        report = check(fn)
        assert report.verdict == UNKNOWN
        return report.notes

    assert with_note(check_cross_entropy_grad, lambda z, y: -2.5 * gradient(z, y)) == (
        "every result is -2.5 times the expected one",
    )
    assert with_note(check_cross_entropy_hessian, lambda z, y: 0.125 + y.sum(axis=1)[:, None, None] * jacobian(z)) == (
        "every entry is off by the same 0.125",
    )

    assert "only entries on the diagonal are wrong" in with_note(check_softmax_jacobian, lambda z: jacobian(z, 1.0))
    assert "the diagonal is right; entries off it are wrong" in with_note(
        check_softmax_jacobian, lambda z: jacobian(z, 0.0, 1.0)
    )
    assert with_note(check_softmax_jacobian, lambda z: jacobian(z, 1.0, 0.5)) == ()

    def first_only(z):
        p = sg.softmax(z)
        p[1:] = p[1:] ** 2
        return p

    assert "the first row of every batch is right" in with_note(check_softmax, first_only)

    def first_wrong(z):
        p = sg.softmax(z)
        p[:1] = p[:1] ** 2
        return p

    assert "only the first row of every batch is wrong" in with_note(check_softmax, first_wrong)
    assert "4 of 5 batches are right" in with_note(
        check_softmax, lambda z: sg.softmax(z) ** (2 if z.shape == (4, 3) else 1)
    )


def test_text_of_a_pass():
    text = str(check_cross_entropy_grad(gradient))
    assert text.startswith("gradient (cross-entropy-grad) is right.\n")
    assert "11 batches, logits up to ±1000" in text
    assert text.endswith("Checked\n  shape and dtype: passed, derivative: passed, large logits: passed")


def test_text_of_a_known_mistake():
    def my_backward(z, y):
        return sg.softmax(z) - y

    report = check_cross_entropy_grad(my_backward)
    text = str(report)
    headline, *paragraphs = text.split("\n\n")
    assert headline == "my_backward (cross-entropy-grad) is wrong: p − y where Σy ≠ 1."
    assert [p.splitlines()[0] for p in paragraphs] == [
        "What happens",
        "Write instead",
        "Example",
        "Violated properties",
        "Checked",
    ]
    assert "\n          return p * y.sum(axis=1, keepdims=True) - y\n" in text
    assert max(map(len, text.splitlines())) <= 88
    with pytest.raises(AssertionError) as caught:
        report.raise_if_failed()
    assert str(caught.value) == f"\n{text}"
    assert repr(report) == "<Report my_backward (cross-entropy-grad): wrong: known cause, p − y where Σy ≠ 1>"


def test_the_worst_entry_can_be_looked_at():
    report = check_cross_entropy_grad(lambda z, y: -gradient(z, y))
    worst = report.worst
    assert worst.expected == pytest.approx(gradient(*worst.arguments)[worst.index], rel=1e-12)
    assert worst.received == -gradient(*worst.arguments)[worst.index]
    assert worst.names == ("z", "target")
    # A mistake without a name is shown at its worst.
    report = check_cross_entropy_grad(lambda z, y: gradient(z, y) ** 3)
    row = report.worst.arguments[0][report.worst.index[0]]
    assert f"z = [{row[0]:.10g}, " in str(report)


def test_checking_again_gives_the_same_report():
    assert str(check_softmax(np.tanh)) == str(check_softmax(np.tanh))


# Options


def test_bad_options_are_refused():
    with pytest.raises(TypeError, match="fn is a ndarray; expected a function; pass the function itself"):
        check_softmax(np.ones((2, 3)))
    with pytest.raises(TypeError, match="fn is a str; expected a function"):
        check_softmax_vjp("softmax")
    with pytest.raises(ValueError, match="reduction='average'; expected 'mean', 'sum' or 'none'"):
        check_cross_entropy(gradient, reduction="average")
    for target in ("labels", None, ["index"]):
        with pytest.raises(ValueError, match="expected 'weighted', 'probabilities', 'one-hot' or 'index'"):
            check_cross_entropy_grad(gradient, target=target)


def smoothed(z, y):
    return sg.cross_entropy(z, 0.9 * y + 0.1 * y.sum(axis=1, keepdims=True) / z.shape[1], reduction="sum")


def at_a_temperature(z, y):
    return sg.cross_entropy(z / 1.7, y, reduction="sum")


def class_weighted(z, y):
    return sg.cross_entropy(z, y * np.linspace(0.5, 1.5, z.shape[1]), reduction="sum")


def with_z_loss(z, y):
    return sg.cross_entropy(z, y, reduction="sum") + 1e-2 * (sg.logsumexp(z, axis=1) ** 2).sum()


def derivative(loss):
    """Central differences, which at moderate logits are precise enough to distinguish the mistakes."""

    def gradient(z, y):
        steps = 1e-5 * np.eye(z.size).reshape(z.size, *z.shape)
        return np.reshape([(loss(z + h, y) - loss(z - h, y)) / 2e-5 for h in steps], z.shape)

    return gradient


@pytest.mark.parametrize("loss", [smoothed, at_a_temperature, class_weighted, with_z_loss])
def test_a_loss_with_options_is_another_function(loss):
    for report in (check_cross_entropy(loss), check_cross_entropy_grad(derivative(loss))):
        assert report.verdict == UNKNOWN, str(report)
    for check in (check_cross_entropy, check_cross_entropy_grad, check_cross_entropy_hessian):
        words = " ".join(check.__doc__.split())
        assert "Without options the check expects the plain cross-entropy" in words
        assert "label smoothing" in words


def test_advice_on_options_suits_the_command_too():
    from softgrad.checking import _reference  # noqa: PLC0415

    advice = [mistake.advice for reference in _reference.REFERENCES for mistake in reference.causes]
    advice.append(check_cross_entropy(lambda z, y: z[np.arange(len(z)), y].sum()).advice)
    seen = 0
    for text in advice:
        for option in ("reduction", "target"):
            if f'{option}="' in text:
                value = text.partition(f'{option}="')[2].partition('"')[0]
                assert f"--{option} {value}" in text
                seen += 1
    assert seen > 5


def test_public_names_are_documented():
    assert sorted(checking.__all__) == checking.__all__
    for name in checking.__all__:
        documented = getattr(checking, name)
        assert documented.__doc__
        if name.startswith("check_"):
            titles = re.findall(r"^(\w+)\n-+$", documented.__doc__, re.MULTILINE)
            assert titles == ["Parameters", "Returns", "Raises", "Notes", "Examples"]
            for parameter in inspect.signature(documented).parameters:
                assert re.search(rf"^{parameter} : ", documented.__doc__, re.MULTILINE)


def test_callables_of_all_sorts_have_a_name():
    class Model:
        def __call__(self, z):
            return sg.softmax(z)

    assert check_softmax(Model()).subject == "Model"
    assert check_softmax(lambda z: z).subject == "the function"


# Frameworks


def test_checking_imports_no_framework():
    program = (
        "import sys, softgrad.checking as c, softgrad as sg; c.check_softmax(sg.softmax);"
        "import json; print(json.dumps(sorted({'torch', 'jax', 'sympy', 'scipy', 'rich', 'typer'} & set(sys.modules))))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


@pytest.mark.needs("torch")
def test_tensors_of_torch_with_and_without_a_graph():
    import torch  # noqa: PLC0415

    def backward(z, y):
        logits = torch.from_numpy(z).requires_grad_()
        loss = -(torch.from_numpy(y) * torch.log_softmax(logits, dim=1)).sum()
        loss.backward()
        return loss, logits.grad

    report = check_cross_entropy_grad(backward)
    assert report.passed, str(report)
    assert set(states(report)) >= {"value", "derivative"}

    def through_log_of_softmax(z, y):
        logits = torch.from_numpy(z).requires_grad_()
        (-(torch.from_numpy(y) * torch.log(torch.softmax(logits, dim=1))).sum()).backward()
        return logits.grad

    assert check_cross_entropy_grad(through_log_of_softmax).cause == "logarithm of an underflowed probability"

    def summed(z):
        logits = torch.from_numpy(z).requires_grad_()
        torch.softmax(logits, dim=1).sum().backward()
        return logits.grad

    assert check_softmax_jacobian(summed).cause == "Jacobian summed over its rows"
    full = lambda z: torch.autograd.functional.jacobian(lambda t: torch.softmax(t, 1), torch.from_numpy(z))  # noqa: E731
    assert check_softmax_jacobian(full).cause == "derivatives across rows kept"
    assert "torch.from_numpy" in check_softmax(lambda z: torch.softmax(z, dim=1)).advice
    half = check_softmax(lambda z: torch.softmax(torch.from_numpy(z), 1).bfloat16())
    assert (half.verdict, "bfloat16" in half.explanation) == (INCONCLUSIVE, True)


@pytest.mark.needs("jax")
def test_arrays_of_jax():
    import jax  # noqa: PLC0415

    # JAX computes in float32 unless it is told otherwise.
    report = check_softmax(jax.jit(jax.nn.softmax))
    assert report.passed, str(report)
    assert any("float32" in note for note in report.notes)

    def eps_loss(z, y):
        return -(y * jax.numpy.log(jax.nn.softmax(z) + 1e-6)).sum()

    assert check_cross_entropy_grad(jax.jit(jax.grad(eps_loss))).cause == "gradient of log(p + eps)"
