"""Derivations by name: every line follows, and the results are the derivatives."""

import random
import subprocess
import sys
from itertools import product

import mpmath
import pytest
import sympy as sp

import softgrad.derivation
from softgrad.derivation import NAMES, derive
from softgrad.derivation._expressions import (
    n,
)
from softgrad.derivation._values import DIGITS, entry, random_values
from tests.derivation import derived, oracle_loss, oracle_softmax, slope


@pytest.mark.parametrize("name", NAMES)
def test_every_line_follows_from_the_line_before(name):
    steps = derived(name).steps
    number = 0
    for part in derived(name).sections:
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
    (steps,) = (found.steps for found in derived(name).sections if found.title == part)
    warnings = [step.warning for step in steps if step.warning]
    assert len(warnings) == 1
    assert all(word in warnings[0] for word in words)


def test_results_at_seven_classes_are_the_derivatives():
    with mpmath.workdps(DIGITS):
        values = random_values(7, random.Random(3), head=False, sum_is_one=False)
        logits = [values.component("z", (c,)) for c in range(1, 8)]
        targets = [values.component("y", (c,)) for c in range(1, 8)]
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
                assert abs(entry(last, values, row + 1, column + 1) - function(row, column)) < 1e-15


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


def test_without_sympy_the_error_says_what_to_install():
    program = "import sys; sys.modules['sympy'] = None; import softgrad.derivation"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: softgrad.derivation needs SymPy" in run.stderr
    assert 'pip install "softgrad[derivation]"' in run.stderr
