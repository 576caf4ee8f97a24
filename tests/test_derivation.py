"""Derivations: every line follows, the checks see what is wrong, and the results are those of calculus."""

import dataclasses
import functools
import random
import subprocess
import sys
from itertools import product

import mpmath
import numpy as np
import pytest
import sympy as sp

import softgrad as sg
import softgrad.derivation
from softgrad.derivation import NAMES, _verification, derive
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._point import DIGITS, entry, evaluate, random_point
from softgrad.derivation._rule import Rule, RuleError
from softgrad.derivation._symbols import (
    W,
    b,
    cases,
    cross_entropy_gradient,
    derivative,
    g,
    i,
    index_vector,
    j,
    k,
    log,
    loss,
    m,
    minus,
    n,
    quotient,
    sigma,
    sigma_vector,
    softmax_definition,
    sum_over,
    total,
    x,
    y,
    z,
)
from softgrad.derivation._symbols import (
    product as times,
)
from softgrad.derivation._zero import is_zero

derived = functools.cache(derive)
PROVED = "proved for n = 2…5"


@functools.cache
def verified(name):
    return derived(name).verify()


def oracle_softmax(logits):
    shifted = [mpmath.exp(value) for value in logits]
    return [value / mpmath.fsum(shifted) for value in shifted]


def oracle_loss(logits, targets):
    return -mpmath.fsum(t * mpmath.log(p) for t, p in zip(targets, oracle_softmax(logits), strict=True))


def slope(function, values, *positions):
    """Partial derivative by mpmath's own differences."""
    order = tuple(positions.count(position) for position in range(len(values)))
    return mpmath.diff(lambda *point: function(list(point)), tuple(values), order)


# ---- the lines


@pytest.mark.parametrize("name", NAMES)
def test_every_line_follows_from_the_line_before(name):
    steps = derived(name).steps
    number = 0
    for part in derived(name).parts:
        before = part.start
        for line in part.follows:
            assert steps[line - 1].after in sp.preorder_traversal(part.start)
        for step in part.steps:
            assert step.before == before
            assert step.after != before
            assert step.rule
            assert step.formula
            assert step.reason[0].isupper() or step.reason[0] == "`"
            assert step.reason.endswith(".")
            before, number = step.after, number + 1
    assert number == len(steps)
    lines = {step.after for step in steps}
    assert all(result.right in lines for result in derived(name).results)


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_classes_stays_a_symbol(name):
    for step in derived(name).steps:
        for line in (step.before, step.after):
            assert all(
                total.args[1][2] in {n, sp.Symbol("D", integer=True, positive=True)} for total in line.atoms(sp.Sum)
            )
    assert any(step.before.has(n) for step in derived(name).steps)


def test_softmax_takes_both_cases_joins_them_and_ends_in_the_matrix():
    softmax = derived("softmax")
    assert [part.title for part in softmax.parts] == [
        "For any j and k", "Case j = k", "Case j ≠ k", "Both cases in one line", "As a matrix",
    ]  # fmt: skip
    rules = [step.rule for step in softmax.steps]
    assert rules[1] == "quotient rule"
    general, same, other, joined, whole = softmax.parts
    assert same.start == other.start == general.steps[-1].after
    assert same.steps[0].condition == sp.Eq(j, k)
    assert same.steps[-1].after == times(sigma(k), total(sp.S.One, minus(sigma(k))))
    assert {step.condition for step in other.steps} == {sp.Ne(j, k)}
    assert other.steps[-1].after == minus(times(sigma(j), sigma(k)))
    assert joined.steps[-1].after == times(sigma(j), total(sp.KroneckerDelta(j, k), minus(sigma(k))))
    assert whole.steps[-1].after == sp.MatAdd(
        sp.DiagMatrix(sigma_vector), sp.MatMul(-1, sp.MatMul(sigma_vector, sigma_vector.T))
    )


@pytest.mark.parametrize(
    "name, part, words",
    [
        ("softmax", "Case j ≠ k", ("only with respect", "diagonal")),
        ("log-softmax", "For any j and k", ("j ≠ k", "off the diagonal")),
        ("cross-entropy", "For any targets", ("sum over `j` must stay", "every `σ_j`")),
        ("cross-entropy-hessian", "For any j and k", ("same logit", "diagonal only")),
        ("linear-head", "The features, for any m", ("sum over `j` must stay", "changes all of them")),
    ],
)
def test_a_warning_stands_where_beginners_differentiate_only_by_the_same_component(name, part, words):
    (steps,) = (found.steps for found in derived(name).parts if found.title == part)
    warnings = [step.warning for step in steps if step.warning]
    assert len(warnings) == 1
    assert all(word in warnings[0] for word in words)


def test_cross_entropy_is_shown_for_any_targets_and_then_for_one_hot_ones():
    general, one_hot, _ = derived("cross-entropy").parts
    assert general.steps[-1].after == total(minus(y[k]), times(sigma(k), sum_over(j, y[j])))
    assert one_hot.steps[-1].after == total(sigma(k), minus(y[k]))
    assert {step.condition for step in one_hot.steps} == {sp.Eq(sum_over(j, y[j]), 1)}
    assert {step.condition for step in general.steps} == {None}


def test_the_example_of_cross_entropy_has_five_classes():
    columns = dict(derived("cross-entropy").example.columns)
    assert columns["y"].tolist() == [0, 0, 0, 1, 0]
    exact = [p - t for p, t in zip(oracle_softmax(columns["z"].tolist()), columns["y"].tolist(), strict=True)]
    np.testing.assert_allclose(columns["σ − y"], np.array(exact, float), rtol=1e-14)
    np.testing.assert_allclose(derived("cross-entropy").example.matrix[0], columns["σ − y"], rtol=0)


def test_the_example_of_the_linear_head_is_an_outer_product():
    example = derived("linear-head").example
    np.testing.assert_allclose(example.matrix, np.outer(dict(example.columns)["g"], [1, -2]), rtol=1e-14)


# ---- the results, by mpmath's derivatives


def test_results_at_seven_classes_are_the_derivatives():
    with mpmath.workdps(DIGITS):
        point = random_point(7, random.Random(3), head=False, sum_is_one=False)
        logits = [point.component("z", (c,)) for c in range(1, 8)]
        targets = [point.component("y", (c,)) for c in range(1, 8)]
    assert abs(sum(targets) - 1) > 0.1
    expected = {
        "softmax": lambda row, column: slope(lambda at: oracle_softmax(at)[row], logits, column),
        "log-softmax": lambda row, column: slope(lambda at: mpmath.log(oracle_softmax(at)[row]), logits, column),
        "logsumexp": lambda row, _: slope(lambda at: mpmath.log(mpmath.fsum(map(mpmath.exp, at))), logits, row),
        "cross-entropy": lambda row, _: slope(lambda at: oracle_loss(at, targets), logits, row),
        "cross-entropy-hessian": lambda row, column: slope(lambda at: oracle_loss(at, targets), logits, row, column),
    }
    for name, function in expected.items():
        last = derived(name).steps[-1].after
        columns = 7 if last.shape[1] == n else 1
        with mpmath.workdps(40):
            for row, column in product(range(7), range(columns)):
                assert abs(entry(last, point, row + 1, column + 1) - function(row, column)) < 1e-15


# ---- the checks


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
    parts = []
    for part in derivation.parts:
        if number < len(part.steps):
            wrong = dataclasses.replace(part.steps[number], after=after(part.steps[number].after))
            return dataclasses.replace(derivation, parts=(*parts, part._replace(steps=(*part.steps[:number], wrong))))
        parts.append(part)
        number -= len(part.steps)
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
    first, *rest = derivation.parts
    steps = list(first.steps)
    del steps[3]
    report = dataclasses.replace(derivation, parts=(first._replace(steps=tuple(steps)), *rest)).verify()
    assert report.failed_step == 3
    assert report.steps[3].failure == "it does not begin with the line before"
    moved = dataclasses.replace(derivation, parts=(first, rest[0]._replace(follows=(2,)))).verify()
    assert moved.failed_step == 7
    assert moved.steps[7].failure == "its first line does not hold line (2)"


Z = sp.symbols("z1:4", real=True)


@pytest.mark.parametrize(
    "expression, expected",
    [
        (sp.S.Zero, True),
        (sp.exp(Z[0]) * sp.exp(Z[1]) - sp.exp(Z[0] + Z[1]), True),
        ((sp.exp(2 * Z[0]) - sp.exp(2 * Z[1])) / (sp.exp(Z[0]) + sp.exp(Z[1])) - sp.exp(Z[0]) + sp.exp(Z[1]), True),
        (1 / (1 + sp.exp(Z[0])) - sp.exp(-Z[0]) / (1 + sp.exp(-Z[0])), True),
        (sp.log(sp.exp(Z[0]) / (sp.exp(Z[0]) + sp.exp(Z[1]))) - Z[0] + sp.log(sp.exp(Z[0]) + sp.exp(Z[1])), True),
        (sp.exp(Z[0]) - sp.exp(Z[1]), False),
        (Z[0] - sp.exp(Z[0]), False),
        (sp.Integer(2), False),
        (1 / (1 + sp.exp(Z[0])) - sp.exp(-Z[0]), False),
        (sp.log(sp.exp(Z[0]) + 1) - Z[0], None),
        (sp.sin(Z[0]) ** 2 + sp.cos(Z[0]) ** 2 - 1, None),
    ],
)
def test_zero_is_decided_exactly_or_not_at_all(expression, expected):
    assert is_zero(expression) is expected


def test_values_at_a_point_are_those_of_mpmath():
    with mpmath.workdps(60):
        point = random_point(4, random.Random(1), head=False, sum_is_one=False)
        logits = [point.component("z", (c,)) for c in range(1, 5)]
        expected = slope(lambda at: oracle_softmax(at)[1], logits, 2)
    with mpmath.workdps(DIGITS):
        value = evaluate(derivative(softmax_definition(j), z[k]), point, {j: 2, k: 3})
    assert abs(value - expected) < mpmath.mpf(10) ** -25


def test_what_has_no_value_is_refused():
    point = random_point(2, random.Random(0), head=False, sum_is_one=False)
    with pytest.raises(TypeError, match="has no value"):
        evaluate(sp.Symbol("q"), point, {})
    with pytest.raises(TypeError, match="has no entries"):
        entry(sp.ZeroMatrix(2, 2), point, 1, 1)


# ---- the rules

S = sum_over(i, sp.exp(z[i]))


@pytest.mark.parametrize(
    "rule, before, after, condition",
    [
        (calculus.component, derivative(z[j], z[k]), sp.KroneckerDelta(j, k), None),
        (calculus.component, derivative(z[k], z[k]), sp.S.One, None),
        (calculus.component, derivative(z[j], z[k]), sp.S.Zero, sp.Ne(j, k)),
        (calculus.component, derivative(z[j], z[k]), sp.KroneckerDelta(j, k), sp.Ne(i, k)),
        (calculus.constant, derivative(y[j], z[k]), sp.S.Zero, None),
        (calculus.sum_rule, derivative(S, z[k]), sum_over(i, derivative(sp.exp(z[i]), z[k])), None),
        (algebra.collapse, sum_over(i, sp.KroneckerDelta(i, k)), sp.S.One, None),
        (algebra.collapse, sum_over(j, times(y[j], sp.KroneckerDelta(j, k))), y[k], None),
        (algebra.cancel, times(S, sp.Pow(S, -1)), sp.S.One, None),
        (algebra.zeros_and_ones, times(y[j], sp.S.Zero), sp.S.Zero, None),
        (algebra.zeros_and_ones, sum_over(i, sp.S.Zero), sp.S.Zero, None),
        (algebra.recognise_softmax, quotient(sp.exp(z[k]), S), sigma(k), None),
        (algebra.log_of_exponential, log(sp.exp(z[j])), z[j], None),
        (calculus.known_gradient, derivative(loss, z[j]), cross_entropy_gradient(j), None),
        (assembly.assemble, index_vector(sigma(k)), sigma_vector, None),
    ],
)
def test_rules_rewrite(rule, before, after, condition):
    assert rule(before, condition=condition) == after


@pytest.mark.parametrize(
    "rule, line, condition",
    [
        (calculus.quotient_rule, derivative(sp.exp(z[j]), z[k]), None),
        (calculus.component, derivative(y[j], z[k]), None),
        (calculus.constant, derivative(z[j], z[k]), None),
        (calculus.constant, derivative(sigma(j), z[k]), None),  # every probability depends on every logit
        (calculus.constant, derivative(z[j], W[k, m]), None),  # and every logit on W, x and b
        (calculus.constant, derivative(g[j], b[k]), None),
        (calculus.constant_factor, derivative(times(z[j], sigma(j)), z[k]), None),
        (calculus.softmax_jacobian, derivative(sigma(j), x[m]), None),
        (calculus.through_logits, derivative(loss, z[k]), None),
        (calculus.through_logits, derivative(loss, b[j]), None),  # j is the index of the sum to come
        (calculus.sum_rule, derivative(S, z[i]), None),  # by a component of the sum's own index
        (algebra.pull_out, sum_over(j, times(y[j], sigma(j))), None),
        (algebra.collapse, sum_over(j, times(y[j], sp.KroneckerDelta(i, k))), None),
        (algebra.recognise_softmax, quotient(sp.exp(z[k]), sum_over(i, sp.exp(y[i]))), None),
        (algebra.recognise_softmax, quotient(sp.exp(y[k]), S), None),
        (algebra.targets_sum_to_one, sum_over(j, y[j]), None),  # not without the condition
        (algebra.targets_sum_to_one, sum_over(j, z[j]), sp.Eq(sum_over(j, y[j]), 1)),
        (algebra.set_equal(j, k), z[j], sp.Ne(j, k)),
        (algebra.factor_out, total(times(y[j], z[j]), times(y[k], z[k])), None),
        (assembly.kronecker, cases(y[j], y[k]), None),
        (assembly.kronecker, cases(sp.Integer(2), sp.S.Zero), None),
        (assembly.take_out(sigma(j)), cases(y[j], sigma(j)), None),
        (assembly.take_out(sigma(j)), cases(sigma(j), sigma(k)), None),  # σ_k = σ_j only where j = k
        (assembly.assemble, index_vector(z[k]), None),
    ],
)
def test_rules_refuse_what_they_do_not_fit(rule, line, condition):
    with pytest.raises(RuleError):
        rule(line, condition=condition)


def test_an_index_that_would_be_captured_is_refused():
    line = sum_over(j, times(sp.KroneckerDelta(j, i), sum_over(i, times(y[i], z[j]))))
    with pytest.raises(ValueError, match="would be captured"):
        algebra.collapse(line)


def test_a_rule_may_be_kept_to_the_inside_of_sums():
    line = times(derivative(z[j], z[k]), sum_over(i, derivative(z[i], z[k])))
    after = calculus.component(line, within=sp.Sum)
    assert after == times(derivative(z[j], z[k]), sum_over(i, sp.KroneckerDelta(i, k)))


# ---- at the door


def test_public_names():
    assert softgrad.derivation.__all__ == [
        "NAMES",
        *sorted(softgrad.derivation.__all__[1:], key=lambda a: (a[0].islower(), a)),
    ]
    assert all(getattr(softgrad.derivation, name).__doc__ for name in softgrad.derivation.__all__)
    assert NAMES == (
        "softmax", "log-softmax", "logsumexp", "cross-entropy", "cross-entropy-hessian", "linear-head",
    )  # fmt: skip


@pytest.mark.parametrize(
    "name, hint", [("sofmax", "'softmax'"), ("log_softmax", "'log-softmax'"), ("Cross Entropy", "'cross-entropy'")]
)
def test_an_unknown_name_lists_the_names(name, hint):
    with pytest.raises(ValueError, match=f"did you mean {hint}") as error:
        derive(name)
    assert all(known in str(error.value) for known in NAMES)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(ValueError, match=r"no derivation is called 'relu'; expected one of softmax, "):
        derive("relu")


@pytest.mark.parametrize("name", [None, 3, ["softmax"]])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="expected a string"):
        derive(name)


def test_an_unknown_form():
    with pytest.raises(ValueError, match="form='pdf'; expected 'text', 'latex' or 'html'"):
        derived("logsumexp").render("pdf")


def test_a_verification_of_another_derivation():
    with pytest.raises(ValueError, match="verification is that of 'logsumexp'; expected that of 'softmax'"):
        derived("softmax").render(verification=verified("logsumexp"))


def test_at_the_prompt():
    assert repr(derived("softmax")) == "<Derivation softmax: 22 steps>"
    assert str(derived("softmax")) == derived("softmax").render("text")


def test_without_sympy_the_error_says_what_to_install():
    program = "import sys; sys.modules['sympy'] = None; import softgrad.derivation"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: softgrad.derivation needs SymPy" in run.stderr
    assert 'pip install "softgrad[derivation]"' in run.stderr
