"""The derivation of the gradient of cross-entropy."""

import numpy as np
import sympy as sp

from softgrad.derivation._expressions import (
    j,
    k,
    minus,
    sigma,
    sum_over,
    total,
    y,
)
from softgrad.derivation._expressions import (
    product as times,
)
from tests.derivation import derived, oracle_softmax


def test_cross_entropy_is_shown_for_any_targets_and_then_for_one_hot_ones():
    general, one_hot, _ = derived("cross-entropy").sections
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
