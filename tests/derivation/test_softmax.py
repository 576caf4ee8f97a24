"""The derivation of the softmax Jacobian."""

import sympy as sp

from softgrad.derivation._expressions import (
    j,
    k,
    minus,
    sigma,
    sigma_vector,
    total,
)
from softgrad.derivation._expressions import (
    product as times,
)
from tests.derivation import derived


def test_softmax_takes_both_cases_joins_them_and_ends_in_the_matrix():
    softmax = derived("softmax")
    assert [part.title for part in softmax.sections] == [
        "For any j and k", "Case j = k", "Case j ≠ k", "Both cases in one line", "As a matrix",
    ]  # fmt: skip
    rules = [step.rule for step in softmax.steps]
    assert rules[1] == "quotient rule"
    general, same, other, joined, whole = softmax.sections
    assert same.start == other.start == general.steps[-1].after
    assert same.steps[0].condition == sp.Eq(j, k)
    assert same.steps[-1].after == times(sigma(k), total(sp.S.One, minus(sigma(k))))
    assert {step.condition for step in other.steps} == {sp.Ne(j, k)}
    assert other.steps[-1].after == minus(times(sigma(j), sigma(k)))
    assert joined.steps[-1].after == times(sigma(j), total(sp.KroneckerDelta(j, k), minus(sigma(k))))
    assert whole.steps[-1].after == sp.MatAdd(
        sp.DiagMatrix(sigma_vector), sp.MatMul(-1, sp.MatMul(sigma_vector, sigma_vector.T))
    )
