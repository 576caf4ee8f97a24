"""Every known mistake is named from its results, and no two mistakes give the same results."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from softgrad._loss_spec import LossSpec, Reduction
from softgrad.checking import _reference
from softgrad.checking._batches import large_batches, moderate_batches
from softgrad.checking._comparison import relative_error
from softgrad.checking._stages import run_stages
from softgrad.checking._user_function import UserFunction

SUM, MEAN, NONE = (LossSpec(reduction=r) for r in (Reduction.sum, Reduction.mean, Reduction.none))

# Constants that show at moderate logits, one of them not a power of ten.
EPS = {
    "log(p + eps)": (1e-3, 1e-7, 3.7e-11, 1e-16, 1e-30),
    "probabilities clipped before the logarithm": (1e-7, 1e-12, 2.2e-16),
}
CONSTANTS = {"eps": (1e-7, 2.4e-8), "limit": (500.0, 88.0, 30.0), "threshold": (1e-7, 3.3e-9, 1e-12)}


def settings():
    for reference in _reference.REFERENCES:
        if "target" in reference.arguments:
            yield from itertools.product([reference], ["probabilities", "index"], [SUM, MEAN, NONE])
        else:
            yield reference, "probabilities", SUM


# Each reference with every target and every reduction; all combinations are slow.
USUAL = {("probabilities", SUM), ("index", MEAN), ("probabilities", NONE)}
SETTINGS = [
    pytest.param(*s, id=f"{s[0].kind}-{s[1]}-{s[2].reduction.name}", marks=[] if s[1:] in USUAL else pytest.mark.slow)
    for s in settings()
]


def mistakes(reference, target, spec):
    """The name and an formula, for every way to make every mistake."""
    for cause in reference.causes:
        if cause.applies_to(moderate_batches(target, spec)[0]):
            for formula in cause.formulas:
                yield cause.name, formula
            if cause.factor is not None:
                yield cause.name, lambda batch, c=cause: c.factor(batch) * reference.exact(batch)
            for parametric in cause.parametric:
                for constant in EPS.get(cause.name, CONSTANTS[cause.parameter]):
                    yield cause.name, lambda batch, f=parametric, c=constant: f(batch, c)


def as_function(formula, reference, target, spec):
    """The formula as a user's function, which sees its arguments only."""
    any_batch = moderate_batches(target, spec)[0]

    def fn(z, second=None):
        batch = replace(any_batch, logits=z, target=np.ones_like(z), upstream=second)
        if "target" in reference.arguments and target == "index":
            batch = replace(batch, target=np.eye(z.shape[1])[second], labels=second)
        elif "target" in reference.arguments:
            batch = replace(batch, target=second)
        return formula(batch)

    return fn


def report_on(formula, reference, target, spec):
    return run_stages(UserFunction(as_function(formula, reference, target, spec), "fn", reference, target, spec))


@pytest.mark.parametrize("reference, target, spec", SETTINGS)
def test_every_mistake_is_named(reference, target, spec):
    for name, formula in mistakes(reference, target, spec):
        report = report_on(formula, reference, target, spec)
        assert (report.verdict, report.cause) == ("wrong: known cause", name)
        assert report.explanation
        assert report.advice
        assert "{" not in report.explanation


@pytest.mark.parametrize("reference, target, spec", SETTINGS)
def test_no_two_mistakes_give_the_same_results_or_the_exact_ones(reference, target, spec):
    batches = (*moderate_batches(target, spec), *large_batches(target, spec))
    results = [("exact", [reference.exact(batch) for batch in batches])]
    with np.errstate(all="ignore"):
        results += [(name, [f(batch) for batch in batches]) for name, f in mistakes(reference, target, spec)]
    for (one, a), (other, b) in itertools.combinations(results, 2):
        assert one == other or any(differ(x, y) for x, y in zip(a, b, strict=True)), f"{one} = {other}"


def differ(a, b):
    """Whether two results differ by far more than float64 rounding, or in which entries are finite."""
    if a.shape != b.shape:
        return True
    finite = np.isfinite(a) & np.isfinite(b)
    return not np.array_equal(np.isfinite(a), np.isfinite(b)) or relative_error(a[finite], b[finite], 1.0) > 5e-9


@pytest.mark.parametrize("reference, target, spec", [s for s in SETTINGS if s.values[1:] == ("probabilities", SUM)])
def test_a_perturbed_mistake_is_not_named(reference, target, spec):
    for name, formula in mistakes(reference, target, spec):

        def off(batch, f=formula):
            return f(batch) + 1e-3 * np.cos(batch.logits.sum() + np.arange(f(batch).size)).reshape(f(batch).shape)

        report = report_on(off, reference, target, spec)
        assert report.cause is None, f"{name}, and more, was named {report.cause}"
        assert report.verdict == "wrong: unknown cause"
        assert (report.worst is None) == (report.stages[0].state == "failed")


@pytest.mark.parametrize("target", ["probabilities", "index"])
@pytest.mark.parametrize(
    "reference",
    [_reference.CROSS_ENTROPY, _reference.CROSS_ENTROPY_GRAD, _reference.CROSS_ENTROPY_HESSIAN],
    ids=lambda r: r.kind,
)
def test_two_mistakes_at_once_are_both_named(reference, target):
    mean = next(c for c in reference.causes if c.name == "mean instead of sum")
    seen = 0
    for cause in reference.causes:
        for formula in cause.formulas if cause.applies_to(moderate_batches(target, SUM)[0]) else ():
            fn = lambda batch, f=formula: mean.factor(batch) * f(batch)  # noqa: E731
            if (
                formula(moderate_batches(target, SUM)[0]).shape
                != reference.exact(moderate_batches(target, SUM)[0]).shape
            ):
                continue
            report = report_on(fn, reference, target, SUM)
            if report.cause == "mean instead of sum":
                # An overflow beside another mistake is found once that one is put right.
                assert report_on(formula, reference, target, SUM).stages[-1].state == "failed"
            else:
                assert report.cause == f"{cause.name}; and mean instead of sum"
                seen += 1
    assert seen > 5


@pytest.mark.parametrize("reference", [r for r in _reference.REFERENCES if r.unweighted], ids=lambda r: r.kind)
def test_a_mistake_in_a_formula_for_one_hot_targets_is_named_with_it(reference):
    batch = moderate_batches("probabilities", SUM)[0]
    seen = 0
    for cause in reference.causes:
        for formula in cause.formulas if cause.applies_to(moderate_batches("probabilities", SUM)[0]) else ():
            fn = lambda batch, f=formula: f(replace(batch, is_weighted=False))  # noqa: E731
            if np.array_equal(fn(batch), formula(batch)):
                continue
            cause_found = report_on(fn, reference, "probabilities", SUM).cause
            # Without its weight it may be a mistake by itself, or the formula for one-hot targets.
            alone = {cause.name, reference.unweighted.name}
            if cause.name == "p − y multiplied again by p(1 − p)":  # J (p − y)
                alone.add("gradient of half the squared error")
            assert cause_found in {f"{cause.name}; and {reference.unweighted.name}", *alone}
            seen += reference.unweighted.name in cause_found
    assert seen > 15


@pytest.mark.parametrize("eps", [1e-2, 1e-5, 2.2e-16, 1.2e-7, 6.02e-9, 1e-10, 1e-20, 1e-38, 2.3e-308])
@pytest.mark.parametrize("target", ["probabilities", "index"])
def test_any_eps_is_found(eps, target):
    reference = _reference.CROSS_ENTROPY
    adding, clipping, *_ = reference.causes
    for cause in (adding, clipping):
        for parametric in cause.parametric:
            report = report_on(lambda batch, f=parametric: f(batch, eps), reference, target, SUM)
            assert report.cause == cause.name
            assert f"{eps:.3g}" in report.explanation


@pytest.mark.parametrize("reference, target, spec", SETTINGS)
def test_at_moderate_logits_every_mistake_is_finite(reference, target, spec):
    # So NaN is no evidence for any of them there.
    for name, formula in mistakes(reference, target, spec):
        for batch in moderate_batches(target, spec):
            assert np.isfinite(formula(batch)).all(), name


def test_the_dimensions_of_the_batches_differ():
    for target in ("probabilities", "index"):
        small, large = moderate_batches(target, SUM), large_batches(target, SUM)
        for batch in (*small, *large):
            assert batch.rows != batch.classes
            np.testing.assert_array_equal(batch.logits, batch.logits.astype(np.float32))
            np.testing.assert_array_equal(batch.target, batch.target.astype(np.float32))
        assert all(np.abs(batch.logits).max() < 60 for batch in small)
        assert {np.sign(batch.logits[np.abs(batch.logits) > 990]).min() for batch in large} == {-1, 1}
    for batch in moderate_batches("probabilities", SUM):
        assert (np.abs(batch.mass - 1) > 0.01).all()
        assert len(np.unique(batch.probs)) == batch.probs.size
