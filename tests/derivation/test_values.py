"""The evaluation of expressions."""

import random

import mpmath
import pytest
import sympy as sp

from softgrad.derivation._expressions import (
    derivative,
    j,
    k,
    softmax_definition,
    z,
)
from softgrad.derivation._values import DIGITS, entry, evaluate, random_values
from tests.derivation import oracle_softmax, slope


def test_values_at_a_point_are_those_of_mpmath():
    with mpmath.workdps(60):
        values = random_values(4, random.Random(1), head=False, sum_is_one=False)
        logits = [values.component("z", (c,)) for c in range(1, 5)]
        expected = slope(lambda at: oracle_softmax(at)[1], logits, 2)
    with mpmath.workdps(DIGITS):
        value = evaluate(derivative(softmax_definition(j), z[k]), values, {j: 2, k: 3})
    assert abs(value - expected) < mpmath.mpf(10) ** -25


def test_what_has_no_value_is_refused():
    values = random_values(2, random.Random(0), head=False, sum_is_one=False)
    with pytest.raises(TypeError, match="has no value"):
        evaluate(sp.Symbol("q"), values, {})
    with pytest.raises(TypeError, match="has no entries"):
        entry(sp.ZeroMatrix(2, 2), values, 1, 1)
