"""Every known mistake is recognised by what it computes, and no two of them can be taken for each other."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from softgrad._loss_spec import LossSpec, Reduction
from softgrad.checking import _kinds
from softgrad.checking._case import Case
from softgrad.checking._diagnosis import misfit
from softgrad.checking._examination import examine
from softgrad.checking._probes import large_probes, small_probes

SUM, MEAN, NONE = (LossSpec(reduction=r) for r in (Reduction.sum, Reduction.mean, Reduction.none))

# Constants that show at moderate logits, one of them not a power of ten.
EPS = {
    "log(p + eps)": (1e-3, 1e-7, 3.7e-11, 1e-16, 1e-30),
    "probabilities clipped before the logarithm": (1e-7, 1e-12, 2.2e-16),
}
CONSTANTS = {"eps": (1e-7, 2.4e-8), "limit": (500.0, 88.0, 30.0), "threshold": (1e-7, 3.3e-9, 1e-12)}


def settings():
    for kind in _kinds.KINDS:
        if kind.second == "target":
            yield from itertools.product([kind], ["probabilities", "index"], [SUM, MEAN, NONE])
        else:
            yield kind, "probabilities", SUM


# Each kind with every target and every reduction; all combinations are slow.
USUAL = {("probabilities", SUM), ("index", MEAN), ("probabilities", NONE)}
SETTINGS = [
    pytest.param(*s, id=f"{s[0].name}-{s[1]}-{s[2].reduction.name}", marks=[] if s[1:] in USUAL else pytest.mark.slow)
    for s in settings()
]


def mistakes(kind, target, spec):
    """The name and an imitation, for every way to make every mistake."""
    for cause in kind.causes:
        if cause.applies(target, spec):
            for imitation in cause.imitations:
                yield cause.name, imitation
            for family in cause.families:
                for constant in EPS.get(cause.name, CONSTANTS[cause.parameter]):
                    yield cause.name, lambda probe, f=family, c=constant: f(probe, c)
    for scale in kind.scales:
        if scale.applies(target, spec):
            yield scale.name, lambda probe, s=scale: s.factor(probe) * kind.right(probe)


def as_function(imitation, kind, target, spec):
    """The imitation as a user's function, which sees its arguments only."""
    any_probe = small_probes(target, spec)[0]

    def fn(z, second=None):
        probe = replace(any_probe, logits=z, target=np.ones_like(z), upstream=second)
        if kind.second == "target" and target == "index":
            probe = replace(probe, target=np.eye(z.shape[1])[second], labels=second)
        elif kind.second == "target":
            probe = replace(probe, target=second)
        return imitation(probe)

    return fn


def report_on(imitation, kind, target, spec):
    return examine(Case(as_function(imitation, kind, target, spec), "fn", kind, target, spec))


@pytest.mark.parametrize("kind, target, spec", SETTINGS)
def test_every_mistake_is_named(kind, target, spec):
    for name, imitation in mistakes(kind, target, spec):
        report = report_on(imitation, kind, target, spec)
        assert (report.verdict, report.cause) == ("wrong: known cause", name)
        assert report.explanation
        assert report.advice
        assert "{" not in report.explanation


@pytest.mark.parametrize("kind, target, spec", SETTINGS)
def test_all_pairs_of_mistakes_differ_from_each_other_and_from_the_right_answer(kind, target, spec):
    probes = (*small_probes(target, spec), *large_probes(target, spec))
    answers = [("right", [kind.right(probe) for probe in probes])]
    with np.errstate(all="ignore"):
        answers += [(name, [f(probe) for probe in probes]) for name, f in mistakes(kind, target, spec)]
    for (one, a), (other, b) in itertools.combinations(answers, 2):
        assert one == other or any(differ(x, y) for x, y in zip(a, b, strict=True)), f"{one} = {other}"


def differ(a, b):
    """By far more than float64's rounding allows, or in which rows are finite."""
    if a.shape != b.shape:
        return True
    finite = np.isfinite(a) & np.isfinite(b)
    return not np.array_equal(np.isfinite(a), np.isfinite(b)) or misfit(a[finite], b[finite], 1.0) > 5e-9


@pytest.mark.parametrize("kind, target, spec", [s for s in SETTINGS if s.values[1:] == ("probabilities", SUM)])
def test_a_mistake_and_a_little_more_is_not_named(kind, target, spec):
    for name, imitation in mistakes(kind, target, spec):

        def off(probe, f=imitation):
            return f(probe) + 1e-3 * np.cos(probe.logits.sum() + np.arange(f(probe).size)).reshape(f(probe).shape)

        report = report_on(off, kind, target, spec)
        assert report.cause is None, f"{name}, and more, was named {report.cause}"
        assert report.verdict == "wrong: unknown cause"
        assert (report.worst is None) == (report.stages[0].state == "failed")


@pytest.mark.parametrize("target", ["probabilities", "index"])
@pytest.mark.parametrize(
    "kind", [_kinds.CROSS_ENTROPY, _kinds.CROSS_ENTROPY_GRAD, _kinds.CROSS_ENTROPY_HESSIAN], ids=lambda k: k.name
)
def test_two_mistakes_at_once_are_both_named(kind, target):
    scale = next(s for s in kind.scales if s.name == "mean instead of sum")
    seen = 0
    for cause in kind.causes:
        for imitation in cause.imitations if cause.applies(target, SUM) else ():
            fn = lambda probe, f=imitation: scale.factor(probe) * f(probe)  # noqa: E731
            if imitation(small_probes(target, SUM)[0]).shape != kind.right(small_probes(target, SUM)[0]).shape:
                continue
            report = report_on(fn, kind, target, SUM)
            if report.cause == "mean instead of sum":
                # An overflow beside another mistake is found once that one is put right.
                assert report_on(imitation, kind, target, SUM).stages[-1].state == "failed"
            else:
                assert report.cause == f"{cause.name}; and mean instead of sum"
                seen += 1
    assert seen > 5


@pytest.mark.parametrize("kind", [k for k in _kinds.KINDS if k.unweighted], ids=lambda k: k.name)
def test_a_mistake_in_a_formula_for_one_hot_targets_is_named_with_it(kind):
    probe = small_probes("probabilities", SUM)[0]
    seen = 0
    for cause in kind.causes:
        for imitation in cause.imitations if cause.applies("probabilities", SUM) else ():
            fn = lambda probe, f=imitation: f(replace(probe, is_weighted=False))  # noqa: E731
            if np.array_equal(fn(probe), imitation(probe)):
                continue
            cause_found = report_on(fn, kind, "probabilities", SUM).cause
            # Without its weight it may be a mistake by itself, or the formula for one-hot targets.
            alone = {cause.name, kind.unweighted.name}
            if cause.name == "p − y multiplied again by p(1 − p)":  # J (p − y)
                alone.add("gradient of half the squared error")
            assert cause_found in {f"{cause.name}; and {kind.unweighted.name}", *alone}
            seen += kind.unweighted.name in cause_found
    assert seen > 15


@pytest.mark.parametrize("eps", [1e-2, 1e-5, 2.2e-16, 1.2e-7, 6.02e-9, 1e-10, 1e-20, 1e-38, 2.3e-308])
@pytest.mark.parametrize("target", ["probabilities", "index"])
def test_any_eps_is_found(eps, target):
    kind = _kinds.CROSS_ENTROPY
    adding, clipping, *_ = kind.causes
    for cause in (adding, clipping):
        for family in cause.families:
            report = report_on(lambda probe, f=family: f(probe, eps), kind, target, SUM)
            assert report.cause == cause.name
            assert f"{eps:.3g}" in report.explanation


@pytest.mark.parametrize("kind, target, spec", SETTINGS)
def test_at_moderate_logits_every_mistake_is_finite(kind, target, spec):
    # So NaN is no evidence for any of them there.
    for name, imitation in mistakes(kind, target, spec):
        for probe in small_probes(target, spec):
            assert np.isfinite(imitation(probe)).all(), name


def test_the_probes_tell_their_dimensions_apart():
    for target in ("probabilities", "index"):
        small, large = small_probes(target, SUM), large_probes(target, SUM)
        for probe in (*small, *large):
            assert probe.rows != probe.classes
            np.testing.assert_array_equal(probe.logits, probe.logits.astype(np.float32))
            np.testing.assert_array_equal(probe.target, probe.target.astype(np.float32))
        assert all(np.abs(probe.logits).max() < 60 for probe in small)
        assert {np.sign(probe.logits[np.abs(probe.logits) > 990]).min() for probe in large} == {-1, 1}
    for probe in small_probes("probabilities", SUM):
        assert (np.abs(probe.mass - 1) > 0.01).all()
        assert len(np.unique(probe.probs)) == probe.probs.size
