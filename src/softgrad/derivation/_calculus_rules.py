"""Rules of differentiation."""

from __future__ import annotations

from typing import Any

import sympy as sp

from softgrad.derivation._expressions import (
    cross_entropy_gradient,
    depends_on,
    derivative,
    g,
    is_sigma,
    j,
    loss,
    minus,
    power,
    product,
    quotient,
    sigma,
    split_sign,
    sum_over,
    total,
    variables,
    z,
)
from softgrad.derivation._rules import Rule, rule


def _function_and_variable(node: Any) -> tuple[Any, Any] | None:
    """Return the function and the variable of a first derivative."""
    if isinstance(node, sp.Derivative) and len(node.args) == 2:
        return node.args[0], variables(node)[0]
    return None


@rule("quotient rule", "`(u/v)' = (u' v − u v') / v^2`")
def quotient_rule(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (sp.Mul(args=(u, sp.Pow(args=(v, sp.Integer(p=-1))))), variable):
            above = total(product(derivative(u, variable), v), minus(product(u, derivative(v, variable))))
            return product(above, power(v, -2))
    return None


@rule("sum rule", "`(u + v)' = u' + v'`")
def sum_rule(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        # Wrong with respect to a component of the sum's own index.
        case (sp.Sum(args=(term, limits)), variable) if not variable.has(limits[0]):
            return sum_over(limits[0], derivative(term, variable))
        case (sp.Add(args=parts), variable):
            return total(*(_signed(part, variable) for part in parts))
    return None


def _signed(term: Any, variable: Any) -> Any:
    sign, rest = split_sign(term)
    return derivative(term, variable) if sign == 1 else minus(derivative(rest, variable))


@rule("constant factor", "`(c u)' = c u'`")
def constant_factor(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (sp.Mul(args=parts), variable):
            constant = [part for part in parts if not depends_on(part, variable)]
            rest = [part for part in parts if depends_on(part, variable)]
            if constant and rest:
                return product(*constant, derivative(product(*rest), variable))
    return None


@rule("derivative of a constant", "`c' = 0`")
def constant(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (u, variable) if not depends_on(u, variable):
            return sp.S.Zero
    return None


@rule("derivative of the exponential, chain rule", "`(exp u)' = exp u · u'`")
def exponential(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (sp.exp(args=(u,)) as value, variable):
            return product(value, derivative(u, variable))
    return None


@rule("derivative of the logarithm, chain rule", "`(log u)' = 1/u · u'`")
def logarithm(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (sp.log(args=(u,)), variable):
            return product(quotient(sp.S.One, u), derivative(u, variable))
    return None


@rule("derivative of a component", "`∂z_j/∂z_k` is 1 where `j = k`, and 0 where `j ≠ k`")
def component(node: Any, condition: Any) -> Any:
    match _function_and_variable(node):
        case (sp.Indexed() as u, sp.Indexed() as variable) if u.base == variable.base:
            deltas = []
            for one, other in zip(u.indices, variable.indices, strict=True):
                if condition is not None and condition in {sp.Ne(one, other), sp.Ne(other, one)}:
                    return sp.S.Zero
                deltas.append(sp.KroneckerDelta(one, other))
            return product(*deltas)
    return None


@rule("softmax Jacobian", '`∂σ_j/∂z_k = σ_j (δ_jk − σ_k)`, the result of derive("softmax")')
def softmax_jacobian(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (u, sp.Indexed(base=base, indices=(index,))) if is_sigma(u) and base == z:
            row = u.args[1]
            return product(u, total(sp.KroneckerDelta(row, index), minus(sigma(index))))
    return None


@rule("cross-entropy gradient", '`∂ℓ/∂z_j = −y_j + σ_j Σ_i y_i`, the result of derive("cross-entropy")')
def known_gradient(node: Any, _: Any) -> Any:
    match node:
        case sp.Derivative(args=(u, *_)) if u == loss:
            first, *rest = variables(node)
            if first.base == z:
                gradient = cross_entropy_gradient(first.indices[0])
                return derivative(gradient, *rest) if rest else gradient
    return None


@rule("chain rule through the logits", "`∂ℓ/∂w = Σ_j ∂ℓ/∂z_j · ∂z_j/∂w`")
def through_logits(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (u, variable) if u == loss and variable.base != z and not variable.has(j):
            return sum_over(j, product(derivative(loss, z[j]), derivative(z[j], variable)))
    return None


@rule("name the gradient", '`g_j = ∂ℓ/∂z_j = σ_j Σ_i y_i − y_j`, the result of derive("cross-entropy")')
def name_gradient(node: Any, _: Any) -> Any:
    match _function_and_variable(node):
        case (u, sp.Indexed(base=base, indices=(index,))) if u == loss and base == z:
            return g[index]
    return None


def definition(symbol: sp.Expr, meaning: sp.Expr, formula: str) -> Rule:
    """Make the rule that replaces a symbol by its definition."""
    return Rule("definition", formula, lambda node, _: meaning if node == symbol else None)
