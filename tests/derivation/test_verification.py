"""Verification: right steps are proved, wrong ones are caught where they are."""

import dataclasses

import numpy as np
import pytest
import sympy as sp

import softgrad as sg
import softgrad.derivation
from softgrad.derivation import NAMES, _verification, derive
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._expressions import (
    j,
    k,
    minus,
    sigma,
    total,
    y,
)
from softgrad.derivation._expressions import (
    product as times,
)
from softgrad.derivation._rules import Rule
from softgrad.derivation._zero_test import is_zero
from tests.derivation import derived, verified

PROVED = "proved for n = 2…5"


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_proved_and_the_kernel_agrees(name):
    report = verified(name)
    assert report.passed
    assert report.failed_step is None
    assert [step.rule for step in report.steps] == [step.rule for step in derived(name).steps]
    assert all(step.proved for step in report.steps)
    assert report.kernel.error < 1e-14
    lines = str(report).splitlines()
    assert len(lines) == len(report.steps) + 2
    assert all(line.endswith(PROVED) for line in lines[1:-1])
    assert f"softgrad.{report.kernel.function}" in lines[-1]
    assert callable(getattr(sg, report.kernel.function))


def broken(rule, wrong):
    """A rule of the same name whose results are changed."""

    def rewrite(node, condition):
        after = rule.rewrite(node, condition)
        return None if after is None else wrong(after)

    return Rule(rule.name, rule.formula, rewrite)


def with_wrong_sign(quotient_rule_result):
    above, below = quotient_rule_result.args
    first, second = above.args
    return times(total(first, times(*second.args[1:])), below)


@pytest.mark.parametrize(
    "name, module, rule, wrong, steps",
    [
        ("softmax", calculus, "quotient_rule", with_wrong_sign, [1]),  # u' v + u v': the entries off the diagonal
        ("softmax", assembly, "assemble", lambda after: after.args[0], [21]),
        ("cross-entropy", algebra, "pull_out", lambda after: times(sp.Integer(2), after), [10]),
        ("logsumexp", calculus, "logarithm", minus, [0]),
    ],
)
@pytest.mark.parametrize("undecided", [False, True], ids=["symbolic", "numeric"])
def test_a_broken_rule_is_caught_at_its_step_and_there_only(monkeypatch, name, module, rule, wrong, steps, undecided):
    good = getattr(module, rule)
    monkeypatch.setattr(module, rule, broken(good, wrong))
    derivation = derive(name)
    monkeypatch.undo()
    if undecided:
        monkeypatch.setattr(_verification, "is_zero", lambda _: None)
    report = derivation.verify()
    assert {derivation.steps[position].rule for position in steps} == {good.name}
    assert [position for position, step in enumerate(report.steps) if step.failure] == steps
    assert report.failed_step == steps[0]
    assert "the sides differ at n = " in report.steps[steps[0]].failure
    assert not report.kernel.passed  # all lines after it follow from the wrong one
    assert not report.passed
    assert f"the first is step {steps[0] + 1}" in report.summary
    assert str(report).count("FAILS: the sides differ") == len(steps)


def cut(derivation, number, after):
    """The derivation up to one step, which has another result."""
    sections = []
    for section in derivation.sections:
        if number < len(section.steps):
            wrong = dataclasses.replace(section.steps[number], after=after(section.steps[number].after))
            sections.append(section._replace(steps=(*section.steps[:number], wrong)))
            return dataclasses.replace(derivation, sections=tuple(sections))
        sections.append(section)
        number -= len(section.steps)
    raise AssertionError(number)


@pytest.mark.parametrize(
    "name, number, after",
    [
        ("softmax", 3, lambda line: times(sp.Integer(2), line)),
        ("softmax", 14, lambda line: sp.S.Zero),  # "σ_j does not depend on z_k"
        ("softmax", 17, lambda line: line.args[1]),
        ("softmax", 19, lambda line: times(sigma(k), sp.KroneckerDelta(j, k))),
        ("softmax", 21, lambda line: line.args[0]),
        ("log-softmax", 4, lambda line: total(sp.S.One, line.args[1])),
        ("log-softmax", 11, lambda line: total(sp.KroneckerDelta(j, k), minus(sigma(j)))),
        ("log-softmax", 12, lambda line: line.T),
        (
            "cross-entropy",
            5,
            lambda _: minus(times(y[k], total(sp.S.One, minus(sigma(k))))),
        ),
        ("cross-entropy", 11, lambda line: total(minus(y[k]), sigma(k))),  # one-hot before its time
        ("cross-entropy-hessian", 5, lambda line: line.args[1]),  # right where the targets sum to one, and only there
        ("linear-head", 11, lambda line: sp.MatMul(line.args[0], sp.Transpose(line.args[0]))),
    ],
)
@pytest.mark.parametrize(
    "undecided", [pytest.param(False, id="symbolic"), pytest.param(True, id="numeric", marks=pytest.mark.slow)]
)
def test_a_wrong_line_is_caught(monkeypatch, name, number, after, undecided):
    if undecided:
        monkeypatch.setattr(_verification, "is_zero", lambda _: None)
    report = cut(derived(name), number, after).verify()
    assert [position for position, step in enumerate(report.steps) if step.failure] == [number]
    assert report.steps[number].failure.startswith(f"the sides differ at n = {7 if undecided else 2}")


def test_a_wrong_result_is_caught_by_the_kernel(monkeypatch):
    monkeypatch.setattr(sg, "softmax", lambda logits: np.full(len(logits), 1 / len(logits)))
    report = derived("logsumexp").verify()
    assert report.failed_step is None
    assert not report.kernel.passed
    assert not report.passed
    assert "FAILS" in report.summary
    assert "FAILS: the results differ from softgrad.softmax" in str(report)


def test_a_kernel_of_another_shape_fails(monkeypatch):
    monkeypatch.setattr(sg, "softmax", lambda logits: np.ones(3))
    assert derived("logsumexp").verify().kernel.error == np.inf


def test_nothing_is_called_proved_that_was_not(monkeypatch):
    monkeypatch.setattr(_verification, "is_zero", lambda _: None)
    report = derived("logsumexp").verify()
    assert report.passed
    assert not any(step.proved for step in report.steps)
    assert all(str(step) == "checked numerically (n = 7, 50 digits)" for step in report.steps)
    assert "proved" not in str(report)


@pytest.mark.parametrize("size", [2, 5])
def test_one_size_left_undecided_is_no_proof(monkeypatch, size):
    def only_at_other_sizes(difference):
        classes = max((int(symbol.name[1:]) for symbol in difference.free_symbols), default=0)
        return None if classes == size else is_zero(difference)

    monkeypatch.setattr(_verification, "is_zero", only_at_other_sizes)
    report = derived("cross-entropy").verify()
    assert report.passed
    assert 0 < sum(step.proved for step in report.steps) < len(report.steps)
    assert "steps proved for n = 2…5, " in report.summary


def test_a_chain_that_is_cut_fails_at_the_cut():
    derivation = derived("logsumexp")
    first, *rest = derivation.sections
    steps = list(first.steps)
    del steps[3]
    report = dataclasses.replace(derivation, sections=(first._replace(steps=tuple(steps)), *rest)).verify()
    assert report.failed_step == 3
    assert report.steps[3].failure == "it does not begin with the line before"
    moved = dataclasses.replace(derivation, sections=(first, rest[0]._replace(follows=(2,)))).verify()
    assert moved.failed_step == 7
    assert moved.steps[7].failure == "its first line does not contain line (2)"
