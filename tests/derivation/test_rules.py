"""Rules rewrite what they fit, and refuse the rest."""

import pytest
import sympy as sp

from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._expressions import (
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
    quotient,
    sigma,
    sigma_vector,
    sum_over,
    total,
    x,
    y,
    z,
)
from softgrad.derivation._expressions import (
    product as times,
)
from softgrad.derivation._rules import RuleError

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
