"""Rules of algebra: fractions, brackets, sums and Kronecker's delta."""

from __future__ import annotations

from typing import Any

import sympy as sp

from softgrad.derivation._expressions import (
    factors,
    i,
    log,
    minus,
    negated,
    power,
    product,
    quotient,
    sigma,
    split_sign,
    substitute,
    sum_over,
    total,
    y,
    z,
)
from softgrad.derivation._rules import Rule, rule


def _term_and_index(node: Any) -> tuple[Any, Any] | None:
    """Return the term and the index of a sum."""
    return (node.args[0], node.args[1][0]) if isinstance(node, sp.Sum) else None


@rule("products with 0 and 1", "`0 · a = 0`, `1 · a = a`, `0 + a = a`")
def zeros_and_ones(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul():
            parts = [part for part in (_tidy(part) for part in node.args) if part != 1]
            after = sp.S.Zero if 0 in parts else product(*parts) if parts else sp.S.One
        case sp.Add():
            parts = [part for part in (_tidy(part) for part in node.args) if part != 0]
            after = total(*parts) if parts else sp.S.Zero
        case sp.Sum(args=(term, limits)):
            after = sp.S.Zero if _tidy(term) == 0 else sum_over(limits[0], _tidy(term))
        case _:
            return None
    return None if after == node else after


def _tidy(node: Any) -> Any:
    after = zeros_and_ones.rewrite(node, None)
    return node if after is None else after


@rule("cancel", "`a/a = 1`")
def cancel(node: Any, _: Any) -> Any:
    if not isinstance(node, sp.Mul):
        return None
    parts = factors(node)
    for part in parts:
        if power(part, -1) in parts:
            parts.remove(part)
            parts.remove(power(part, -1))
            rest = [other for other in parts if other != 1]
            return product(*rest) if rest else sp.S.One
    return None


@rule("one fraction", "`1/v · u = u/v`")
def one_fraction(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(sp.Mul(args=(sp.Integer(p=1), sp.Pow(args=(v, sp.Integer(p=-1))))), *rest)):
            return quotient(product(*rest), v)
    return None


@rule("product of two fractions", "`a b/v^2 = a/v · b/v`")
def split_square(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(above, sp.Pow(args=(v, sp.Integer(p=-2))))):
            sign, rest = split_sign(above)
            first, *others = factors(rest)
            fractions = product(quotient(first, v), quotient(product(*others), v))
            return fractions if sign == 1 else minus(fractions)
    return None


@rule("fraction of a difference", "`(a − b)/v = a/v − b/v`")
def divide_terms(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(sp.Add(args=parts), sp.Pow(args=(v, sp.Integer(p=-1))))):
            signed = (split_sign(part) for part in parts)
            return total(*(quotient(rest, v) if sign == 1 else minus(quotient(rest, v)) for sign, rest in signed))
    return None


@rule("factor out", "`a b − a c = a (b − c)`")
def factor_out(node: Any, _: Any) -> Any:
    if not isinstance(node, sp.Add):
        return None
    parts = [factors(term) for term in node.args]
    common = next((part for part in parts[0] if part != -1 and all(part in others for others in parts)), None)
    if common is None:
        return None
    for others in parts:
        others.remove(common)
    return product(common, total(*(product(*(others or [sp.S.One])) for others in parts)))


@rule("multiply out", "`a (b − c) = a b − a c`")
def multiply_out(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(*rest, sp.Add(args=parts))) if rest and rest != [-1]:
            signed = (split_sign(part) for part in parts)
            return total(*(product(*rest, part) if sign == 1 else minus(product(*rest, part)) for sign, part in signed))
    return None


@rule("remove the brackets", "`−(a − b) = −a + b`")
def remove_brackets(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(sp.Integer(p=-1), sp.Add(args=parts))):
            return total(*(negated(part) for part in parts))
    return None


@rule("change the order", "`−a + b = b − a`")
def change_order(node: Any, _: Any) -> Any:
    match node:
        case sp.Add(args=(first, second)) if split_sign(first)[0] == -1:
            return total(second, first)
    return None


@rule("sum of a difference", "`Σ (a − b) = Σ a − Σ b`")
def split_sum(node: Any, _: Any) -> Any:
    match _term_and_index(node):
        case (sp.Add(args=parts), index):
            signed = (split_sign(part) for part in parts)
            sums = ((sign, sum_over(index, part)) for sign, part in signed)
            return total(*(part if sign == 1 else minus(part) for sign, part in sums))
    return None


@rule("constant out of a sum", "`Σ_j a_j c = c Σ_j a_j`")
def pull_out(node: Any, _: Any) -> Any:
    match _term_and_index(node):
        case (sp.Mul() as term, index):
            constant = [part for part in factors(term) if not part.has(index)]
            rest = [part for part in factors(term) if part.has(index)]
            if constant and rest:
                return product(*constant, sum_over(index, product(*rest)))
    return None


@rule("Kronecker's delta picks one term", "`Σ_i a_i δ_ik = a_k`")
def collapse(node: Any, _: Any) -> Any:
    match _term_and_index(node):
        case (term, index):
            parts = factors(term)
            for part in parts:
                if isinstance(part, sp.KroneckerDelta) and part.has(index):
                    (other,) = [end for end in part.args if end != index]
                    rest = [a for a in parts if a is not part]
                    return substitute(product(*(rest or [sp.S.One])), index, other)
    return None


@rule("logarithm of a quotient", "`log(a/b) = log a − log b`")
def log_of_quotient(node: Any, _: Any) -> Any:
    match node:
        case sp.log(args=(sp.Mul(args=(a, sp.Pow(args=(b, sp.Integer(p=-1))))),)):
            return total(log(a), minus(log(b)))
    return None


@rule("logarithm of an exponential", "`log exp u = u`")
def log_of_exponential(node: Any, _: Any) -> Any:
    match node:
        case sp.log(args=(sp.exp(args=(u,)),)):
            return u
    return None


@rule("definition of softmax", "`exp z_j / Σ_i exp z_i = σ_j`")
def recognise_softmax(node: Any, _: Any) -> Any:
    match node:
        case sp.Mul(args=(sp.exp(args=(sp.Indexed(base=base, indices=(index,)),)), below)):
            if base == z and below == power(sum_over(i, sp.exp(z[i])), -1):
                return sigma(index)
    return None


@rule("targets that sum to one", "`Σ_j y_j = 1`")
def targets_sum_to_one(node: Any, condition: Any) -> Any:
    match _term_and_index(node):
        case (term, index) if term == y[index] and condition == sp.Eq(node, 1):
            return sp.S.One
    return None


def set_equal(old: sp.Symbol, new: sp.Symbol) -> Rule:
    """Make the rule for the case of equal indices, which renames one of them."""
    return Rule(
        "one of two cases",
        f"write `{new}` for `{old}`",
        lambda node, condition: substitute(node, old, new) if condition == sp.Eq(old, new) and node.has(old) else None,
    )
