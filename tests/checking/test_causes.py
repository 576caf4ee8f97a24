"""Every known mistake is named from its results, and no two mistakes give the same results."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from softgrad._loss_spec import LossSpec, Reduction
from softgrad.checking import _reference
from softgrad.checking._batches import large_batches, moderate_batches
from softgrad.checking._comparison import relative_error
from softgrad.checking._known_causes import known_causes
from softgrad.checking._setting import Setting
from softgrad.checking._stages import run_stages
from softgrad.checking._user_function import UserFunction

SUM, MEAN, NONE = (LossSpec(reduction=r) for r in (Reduction.sum, Reduction.mean, Reduction.none))
WEIGHTED, INDEX = Setting(), Setting(target="index")

# Constants that show at moderate logits, one of them not a power of ten.
EPS = {
    "log(p + eps)": (1e-3, 1e-7, 3.7e-11, 1e-16, 1e-30),
    "probabilities clipped before the logarithm": (1e-7, 1e-12, 2.2e-16),
}
CONSTANTS = {"eps": (1e-7, 2.4e-8), "limit": (500.0, 88.0, 30.0), "threshold": (1e-7, 3.3e-9, 1e-12)}


# Every kind, and every gradient of a linear layer, with the settings in which it is checked.
PARTS = [part for reference in _reference.REFERENCES for part in (reference.parts or (reference,))]


def settings():
    for reference in PARTS:
        losses = (
            itertools.product(["weighted", "index"], [SUM, MEAN, NONE]) if reference.is_loss else [("weighted", SUM)]
        )
        for target, spec in losses:
            yield reference, Setting(target=target, spec=spec, has_head="W" in reference.arguments)


# Each reference with every target and every reduction; all combinations are slow.
USUAL = {("weighted", SUM), ("index", MEAN), ("weighted", NONE)}
# Their mistakes are those of the gradient, or of the Hessian, multiplied by another operand.
USUAL_OF = {"linear-cross-entropy-grad": {("index", MEAN)}, "cross-entropy-hvp": {("weighted", SUM)}}
SETTINGS = [
    pytest.param(
        reference,
        setting,
        id=f"{reference.kind}-{reference.stage}-{setting.target}-{setting.spec.reduction.name}",
        marks=[] if (setting.target, setting.spec) in USUAL_OF.get(reference.kind, USUAL) else pytest.mark.slow,
    )
    for reference, setting in settings()
]


OTHER_TARGETS = [
    pytest.param(r, Setting(target=target, has_head="W" in r.arguments), id=f"{r.kind}-{r.stage}-{target}")
    for r in PARTS
    if r.is_loss
    for target in ("one-hot", "probabilities")
]


def mistakes(reference, setting, *, generated=True):
    """The name and a formula, for every way to make every mistake."""
    described = {cause.name for cause in reference.causes}
    for cause in known_causes(reference, setting):
        if not generated and cause.name not in described:
            continue
        for formula in cause.formulas:
            yield cause.name, formula
        if cause.factor is not None:
            yield cause.name, lambda batch, c=cause: c.factor(batch) * reference.exact(batch)
        for parametric in cause.parametric:
            for constant in EPS.get(cause.name, CONSTANTS[cause.parameter]):
                yield cause.name, lambda batch, f=parametric, c=constant: f(batch, c)


def as_function(formula, reference, setting):
    """The formula as a user's function, which sees its arguments only."""
    any_batch = moderate_batches(setting)[0]

    def fn(*arguments):
        given = dict(zip(reference.arguments, arguments, strict=True))
        batch = replace(
            any_batch,
            logits=given.get("z"),
            given=given.get("target", np.ones_like(arguments[0])),
            upstream=given.get("v"),
        )
        if setting.has_head:
            head = any_batch.head._replace(x=given["x"], W=given["W"], bias=given["bias"])
            batch = replace(batch, head=head, logits=head.logits())
        return formula(batch)

    return fn


def report_on(formula, reference, setting):
    """The report on a formula; the other gradients of a linear layer are exact."""
    whole, result = reference, formula
    if setting.has_head:
        whole = _reference.LINEAR_CROSS_ENTROPY_GRAD
        result = lambda batch: tuple(  # noqa: E731
            formula(batch) if part.stage == reference.stage else part.exact(batch) for part in whole.parts
        )
    return run_stages(UserFunction(as_function(result, whole, setting), "fn", whole, setting))


def named(name, reference):
    return f"{reference.stage}: {name}" if "W" in reference.arguments else name


@pytest.mark.parametrize("reference, setting", SETTINGS)
def test_every_mistake_is_named(reference, setting):
    # test_mistake_table.py checks the generated ones of the usual setting.
    generated = (setting.target, setting.spec) != ("weighted", SUM)
    for name, formula in mistakes(reference, setting, generated=generated):
        report = report_on(formula, reference, setting)
        assert (report.verdict, report.cause) == ("wrong: known cause", named(name, reference)), str(report)
        assert report.explanation
        assert report.advice
        assert "{" not in report.explanation


@pytest.mark.parametrize("reference, setting", [*SETTINGS, *OTHER_TARGETS])
def test_no_two_mistakes_give_the_same_results_or_the_exact_ones(reference, setting):
    batches = (*moderate_batches(setting), *large_batches(setting))
    results = [("exact", [reference.exact(batch) for batch in batches])]
    with np.errstate(all="ignore"):
        results += [(name, [f(batch) for batch in batches]) for name, f in mistakes(reference, setting)]
    for (one, a), (other, b) in itertools.combinations(results, 2):
        assert one == other or any(differ(x, y) for x, y in zip(a, b, strict=True)), f"{one} = {other}"


def differ(a, b):
    """Whether two results differ by far more than float64 rounding, or in which entries are finite."""
    if a.shape != b.shape:
        return True
    finite = np.isfinite(a) & np.isfinite(b)
    return not np.array_equal(np.isfinite(a), np.isfinite(b)) or relative_error(a[finite], b[finite], 1.0) > 5e-9


@pytest.mark.parametrize(
    "reference, setting", [s for s in SETTINGS if s.values[1].target == "weighted" and s.values[1].spec == SUM]
)
def test_a_perturbed_mistake_is_not_named(reference, setting):
    for name, formula in dict(mistakes(reference, setting, generated=False)).items():

        def off(batch, f=formula):
            return f(batch) + 1e-3 * np.cos(batch.logits.sum() + np.arange(f(batch).size)).reshape(f(batch).shape)

        report = report_on(off, reference, setting)
        assert report.cause is None, f"{name}, and more, was named {report.cause}"
        assert report.verdict == "wrong: unknown cause"
        assert (report.worst is None) == (report.stages[0].state == "failed")


@pytest.mark.parametrize("setting", [WEIGHTED, INDEX], ids=lambda s: s.target)
@pytest.mark.parametrize(
    "reference",
    [_reference.CROSS_ENTROPY, _reference.CROSS_ENTROPY_GRAD, _reference.CROSS_ENTROPY_HESSIAN],
    ids=lambda r: r.kind,
)
def test_two_mistakes_at_once_are_both_named(reference, setting):
    mean = next(c for c in reference.causes if c.name == "mean instead of sum")
    first = moderate_batches(setting)[0]
    seen = 0
    for cause in known_causes(reference, setting):
        for formula in cause.formulas if cause in reference.causes else ():
            fn = lambda batch, f=formula: mean.factor(batch) * f(batch)  # noqa: E731
            if formula(first).shape != reference.exact(first).shape:
                continue
            report = report_on(fn, reference, setting)
            if report.cause == "mean instead of sum":
                # An overflow beside another mistake is found once that one is put right.
                assert report_on(formula, reference, setting).stages[-1].state == "failed"
            else:
                assert report.cause == f"{cause.name}; and mean instead of sum", str(report)
                seen += 1
    assert seen > 5


@pytest.mark.parametrize(
    "reference", [r for r in _reference.REFERENCES if r.unweighted and not r.parts], ids=lambda r: r.kind
)
def test_a_mistake_in_a_formula_for_one_hot_targets_is_named_with_it(reference):
    batch = moderate_batches(WEIGHTED)[0]
    seen = 0
    for cause in reference.causes:
        for formula in cause.formulas if cause.applies_to(WEIGHTED) else ():
            fn = lambda batch, f=formula: f(replace(batch, is_weighted=False))  # noqa: E731
            if np.array_equal(fn(batch), formula(batch)):
                continue
            cause_found = report_on(fn, reference, WEIGHTED).cause
            # Without its weight it may be a mistake by itself, or the formula for one-hot targets.
            alone = {cause.name, reference.unweighted.name}
            if cause.name == "p − y multiplied again by p(1 − p)":  # J (p − y)
                alone.add("gradient of half the squared error")
            assert cause_found in {f"{cause.name}; and {reference.unweighted.name}", *alone}
            seen += reference.unweighted.name in cause_found
    assert seen > 15


@pytest.mark.parametrize("eps", [1e-2, 1e-5, 2.2e-16, 1.2e-7, 6.02e-9, 1e-10, 1e-20, 1e-38, 2.3e-308])
@pytest.mark.parametrize("setting", [WEIGHTED, INDEX], ids=lambda s: s.target)
def test_any_eps_is_found(eps, setting):
    reference = _reference.CROSS_ENTROPY
    adding, clipping, *_ = reference.causes
    for cause in (adding, clipping):
        for parametric in cause.parametric:
            report = report_on(lambda batch, f=parametric: f(batch, eps), reference, setting)
            assert report.cause == cause.name
            assert f"{eps:.3g}" in report.explanation


@pytest.mark.parametrize("reference, setting", SETTINGS)
def test_at_moderate_logits_every_mistake_is_finite(reference, setting):
    # So NaN is no evidence for any of them there.
    for name, formula in mistakes(reference, setting):
        for batch in moderate_batches(setting):
            assert np.isfinite(formula(batch)).all(), name


def test_the_dimensions_of_the_batches_differ():
    for setting in (WEIGHTED, INDEX, Setting(target="one-hot"), Setting(target="probabilities")):
        small, large = moderate_batches(setting), large_batches(setting)
        for batch in (*small, *large):
            assert batch.rows != batch.classes
            np.testing.assert_array_equal(batch.logits, batch.logits.astype(np.float32))
            np.testing.assert_array_equal(batch.target, batch.target.astype(np.float32))
            if setting.target != "weighted":
                np.testing.assert_array_equal(batch.mass, 1)
        assert all(np.abs(batch.logits).max() < 60 for batch in small)
        assert {np.sign(batch.logits[np.abs(batch.logits) > 990]).min() for batch in large} == {-1, 1}
    for batch in moderate_batches(WEIGHTED):
        assert (np.abs(batch.mass - 1) > 0.01).all()
        assert len(np.unique(batch.probs)) == batch.probs.size
