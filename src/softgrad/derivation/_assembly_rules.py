"""Rules that join two cases into one line, and entries into a vector or a matrix."""

from __future__ import annotations

from typing import Any

import sympy as sp

from softgrad.derivation._expressions import (
    W,
    W_matrix,
    cases,
    factors,
    g,
    g_vector,
    is_sigma,
    minus,
    n,
    product,
    sigma_vector,
    split_sign,
    substitute,
    total,
    x,
    x_vector,
    y,
    y_vector,
)
from softgrad.derivation._rules import Rule, RuleError, rule

_VECTORS = {y: y_vector, g: g_vector, x: x_vector}


def take_out(factor: sp.Expr) -> Rule:
    """Make the rule that factors both cases; where j = k, the factor may be written with either index."""

    def branch(value: Any, equal: Any) -> Any:
        sign, rest = split_sign(value)
        parts = factors(rest)
        same = factor if factor in parts else substitute(factor, *equal.args)
        if same not in parts or (same != factor and not isinstance(equal, sp.Eq)):
            raise RuleError(f"{factor} is no factor of {value}")
        parts.remove(same)
        others = product(*(parts or [sp.S.One]))
        if isinstance(others, sp.Add) and sign == 1:
            return product(factor, others)
        return product(factor, total(sp.S.Zero, others if sign == 1 else minus(others)))

    def rewrite(node: Any, _: Any) -> Any:
        match node:
            case sp.Piecewise(args=pairs):
                return cases(*(branch(value, equal) for value, equal in (pair.args for pair in pairs)))
        return None

    return Rule("same form in both cases", "`σ_k = σ_j` where `j = k`; `−a b = a (0 − b)`", rewrite)


@rule("Kronecker's delta", "`δ_jk` is 1 where `j = k`, and 0 where `j ≠ k`")
def kronecker(node: Any, _: Any) -> Any:
    match node:
        case sp.Piecewise(args=(first, second)):
            (if_equal, equal), (otherwise, _) = first.args, second.args
            return _merge(if_equal, otherwise, sp.KroneckerDelta(*equal.args))
    return None


def _merge(if_equal: Any, otherwise: Any, delta: Any) -> Any:
    """Merge two expressions that differ only where one has a 1 and the other a 0."""
    if if_equal == otherwise:
        return if_equal
    if (if_equal, otherwise) == (1, 0):
        return delta
    operation, operands, others = if_equal.func, if_equal.args, otherwise.args
    if operation != otherwise.func or len(operands) != len(others) or operation not in {sp.Add, sp.Mul}:
        raise RuleError(f"{if_equal} and {otherwise} differ in more than 1 and 0")
    merged = [_merge(a, c, delta) for a, c in zip(operands, others, strict=True)]
    return (total if operation is sp.Add else product)(*merged)


@rule("from entries to a vector or matrix", "row by row, column by column")
def assemble(node: Any, _: Any) -> Any:
    match node:
        case sp.Lambda(args=(indices, entry)):
            return _read(entry, tuple(indices))
    return None


def _read(entry: Any, indices: tuple[Any, ...]) -> Any:
    if isinstance(entry, sp.Add):
        return sp.MatAdd(*(_read(part, indices) for part in entry.args))
    parts = factors(entry)
    scalars = [part for part in parts if not part.has(*indices)]
    arrays = [part for part in parts if part.has(*indices)]
    array = _outer(arrays, *indices) if len(indices) == 2 else _vector(product(*arrays), *indices)
    return sp.MatMul(*scalars, array) if scalars else array


def _outer(parts: list[Any], row: Any, column: Any) -> Any:
    """Return the matrix with the entries u_j v_k, u_j δ_jk, δ_jk or v_k."""
    delta = sp.KroneckerDelta(row, column)
    match parts:
        case [sp.Add() as difference]:
            return _read(difference, (row, column))
        case [only] if only == delta:
            return sp.Identity(n)
        case [only]:
            return sp.MatMul(sp.OneMatrix(n, 1), sp.Transpose(_vector(only, column)))
        case [first, second] if delta in parts:
            return sp.DiagMatrix(_vector(first if second == delta else second, row))
        case [first, second]:
            return sp.MatMul(_vector(first, row), sp.Transpose(_vector(second, column)))
    raise RuleError(f"no matrix has the entries {product(*parts)}")


def _vector(component: Any, index: Any) -> Any:
    if is_sigma(component) and component.args[1] == index:
        return sigma_vector
    match component:
        case sp.Indexed(base=base, indices=(position,)) if position == index and base in _VECTORS:
            return _VECTORS[base]
        case sp.Sum(args=(term, _)):
            return _transposed_product(term, index)
    raise RuleError(f"no vector has the components {component}")


def _transposed_product(term: Any, index: Any) -> Any:
    match term.args:
        case (vector, sp.Indexed(base=base, indices=(row, column))) if base == W and column == index:
            return sp.MatMul(sp.Transpose(W_matrix), _vector(vector, row))
    raise RuleError(f"no vector has the components Σ {term}")
