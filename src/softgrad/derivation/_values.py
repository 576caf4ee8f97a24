"""Evaluation of the expressions at one n, with plain SymPy symbols for a proof or 250-digit numbers for a check.

`evaluate` depends on the meaning of an expression alone, term by term and index by index, and on none of the rules: a
derivative is taken by SymPy with respect to a plain symbol, or by a central difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from softgrad.derivation._expressions import (
    cross_entropy_definition,
    cross_entropy_gradient,
    free_indices,
    is_sigma,
    j,
    l,
    logit_definition,
    loss,
    m,
    softmax_definition,
    variables,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Indices = dict[Any, int]
Key = tuple[str, tuple[int, ...]]

FEATURES = 2
# A central difference with step h is off by h² times the third derivative, and by a rounding error over h; a second
# difference on top of it loses another h. Some 110 digits are left.
DIGITS = 250
_STEP = mpmath.mpf(10) ** -60


@dataclass(frozen=True)
class Values:
    """The components of z, y, W, x and b by name and index; z may be left out, and is then computed from W, x and b."""

    n: int
    components: dict[Key, Any]
    symbolic: bool
    cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def with_logits_for_biases(self, value: Any) -> Any:
        """Substitute z_c − Σ W_cl x_l for b_c, which makes the exponents plain symbols."""
        biases = {key[1]: symbol for key, symbol in self.components.items() if key[0] == "b"}
        logits = {c: sp.Symbol(f"z{c[0]}", real=True) - self.component("z", c) for c in biases}
        return value.xreplace({symbol: symbol + logits[c] for c, symbol in biases.items()})

    def component(self, name: str, position: tuple[int, ...]) -> Any:
        if (name, position) in self.components:
            return self.components[name, position]
        definition = {"z": logit_definition, "g": cross_entropy_gradient}[name]
        return evaluate(definition(j), self, {j: position[0]})

    def with_components(self, changes: dict[Key, Any]) -> Values:
        """Change some components; the same change returns the same object, whose cache is filled."""
        key = tuple(changes.items())
        if key not in self.cache:
            self.cache[key] = replace(self, components={**self.components, **changes}, cache={})
        return self.cache[key]

    def derivative(self, of: Any, by: Key, indices: Indices) -> Any:
        if by not in self.components:  # z is computed from W, x and b: differentiate with z as variables
            logits: dict[Key, Any] = {("z", (c,)): self.component("z", (c,)) for c in range(1, self.n + 1)}
            if not self.symbolic:
                return self.with_components(logits).derivative(of, by, indices)
            free: dict[Key, Any] = {key: sp.Symbol(f"z{key[1][0]}", real=True) for key in logits}
            back = {symbol: logits[key] for key, symbol in free.items()}
            return self.with_components(free).derivative(of, by, indices).xreplace(back)
        if self.symbolic:
            return sp.diff(evaluate(of, self, indices), self.components[by])
        above, below = (
            evaluate(of, self.with_components({by: self.components[by] + side * _STEP}), indices) for side in (1, -1)
        )
        return (above - below) / (2 * _STEP)


def symbolic_values(n: int, *, head: bool, sum_is_one: bool) -> Values:
    """Make a symbol for every component; with a linear head, the logits are computed from W, x and b."""
    components: dict[Key, Any] = {
        key: sp.Symbol("".join(map(str, (key[0], *key[1]))), real=True) for key in _keys(n, head)
    }
    if sum_is_one:
        components["y", (n,)] = 1 - sum(components["y", (c,)] for c in range(1, n))
    return Values(n, components, True)


def random_values(n: int, generator: random.Random, *, head: bool, sum_is_one: bool) -> Values:
    """Draw float64 numbers, stored in `DIGITS` digits: logits and weights from -2 to 2, targets from 0 to 1."""
    components: dict[Key, Any] = {
        key: mpmath.mpf(generator.random() if key[0] == "y" else generator.uniform(-2, 2)) for key in _keys(n, head)
    }
    if sum_is_one:
        targets = [("y", (c,)) for c in range(1, n + 1)]
        whole = sum(components[key] for key in targets)
        components.update({key: components[key] / whole for key in targets})
    return Values(n, components, False)


def _keys(n: int, head: bool) -> Iterator[Key]:
    for c in range(1, n + 1):
        yield "y", (c,)
        if head:
            yield "b", (c,)
            yield from (("W", (c, d)) for d in range(1, FEATURES + 1))
        else:
            yield "z", (c,)
    if head:
        yield from (("x", (d,)) for d in range(1, FEATURES + 1))


def size(index: Any, values: Values) -> int:
    """Return the range of an index: the number of features for l and m, of classes for the others."""
    return FEATURES if index in {l, m} else values.n


def evaluate(expression: Any, values: Values, indices: Indices) -> Any:
    """Evaluate a scalar expression for given values of its free indices."""
    free = free_indices(expression)
    key = expression, frozenset((index, value) for index, value in indices.items() if index in free)
    if key not in values.cache:
        values.cache[key] = _evaluate(expression, values, indices)
    return values.cache[key]


def _evaluate(expression: Any, values: Values, indices: Indices) -> Any:  # noqa: PLR0911, PLR0912
    def value(part: Any) -> Any:
        return evaluate(part, values, indices)

    exp, log = (sp.exp, sp.log) if values.symbolic else (mpmath.exp, mpmath.log)
    match expression:
        case sp.Rational():
            return expression if values.symbolic else mpmath.mpf(expression.p) / expression.q
        case sp.Indexed():
            return values.component(*_key(expression, indices))
        case sp.Add():
            return sum(map(value, expression.args[1:]), value(expression.args[0]))
        case sp.Mul():
            result = value(expression.args[0])
            for factor in expression.args[1:]:
                result *= value(factor)
            return result
        case sp.exp(args=(exponent,)):
            return exp(value(exponent))
        case sp.log(args=(argument,)):
            return log(value(argument))
        case sp.Pow(args=(base, exponent)):
            return value(base) ** int(exponent)
        case sp.KroneckerDelta(args=(one, other)):
            return value(sp.Integer(int(indices[one] == indices[other])))
        case sp.Sum(args=(term, limits)):
            index = limits[0]
            parts = [evaluate(term, values, {**indices, index: c + 1}) for c in range(size(index, values))]
            return sum(parts[1:], parts[0])
        case sp.Derivative(args=(of, *_)):
            first, *rest = variables(expression)
            if rest:  # ∂²/∂a∂b: the derivative with respect to b of the one with respect to a
                inner = sp.Expr.__new__(sp.Derivative, of, expression.args[1])
                return values.derivative(inner, _key(rest[0], indices), indices)
            return values.derivative(of, _key(first, indices), indices)
        case sp.Piecewise(args=pairs):
            return next(
                value(branch) for branch, condition in (pair.args for pair in pairs) if holds(condition, indices)
            )
    if is_sigma(expression):
        return evaluate(softmax_definition(j), values, {j: indices[expression.args[1]]})
    if expression == loss:
        return evaluate(cross_entropy_definition(), values, {})
    raise TypeError(f"{expression} has no value")


def _key(component: Any, indices: Indices) -> Key:
    return str(component.base), tuple(indices[index] for index in component.indices)


def holds(condition: Any, indices: Indices) -> bool:
    """Return whether index values meet a condition such as j ≠ k; a condition on y is met by the choice of y."""
    match condition:
        case sp.Eq(args=(sp.Symbol() as one, sp.Symbol() as other)):
            return indices[one] == indices[other]
        case sp.Ne(args=(one, other)):
            return indices[one] != indices[other]
    return True


def entry(array: Any, values: Values, row: int, column: int) -> Any:  # noqa: PLR0911
    """Evaluate one entry of a matrix expression; a vector has one column."""

    def at(part: Any, r: int, c: int) -> Any:
        return entry(part, values, r, c)

    match array:
        case sp.MatrixSymbol(name="W"):
            return values.component("W", (row, column))
        case sp.MatrixSymbol(name="σ"):
            return evaluate(softmax_definition(j), values, {j: row})
        case sp.MatrixSymbol(name=name):
            return values.component(name, (row,))
        case sp.Identity():
            return evaluate(sp.Integer(int(row == column)), values, {})
        case sp.OneMatrix():
            return evaluate(sp.S.One, values, {})
        case sp.DiagMatrix(args=(vector,)):
            return at(vector, row, 1) * at(sp.Identity(1), row, column)
        case sp.Transpose(args=(part,)):
            return at(part, column, row)
        case sp.MatAdd(args=parts):
            return sum((at(part, row, column) for part in parts[1:]), at(parts[0], row, column))
        case sp.MatMul(args=parts):
            return _product_entry(parts, values, row, column)
    raise TypeError(f"{array} has no entries")


def _product_entry(parts: Any, values: Values, row: int, column: int) -> Any:
    first, *rest = parts
    if not rest:
        return entry(first, values, row, column)
    if not first.is_Matrix and not isinstance(first, sp.MatrixExpr):
        return evaluate(first, values, {}) * _product_entry(rest, values, row, column)
    inner = {str(sp.S.One): 1, "n": values.n, "D": FEATURES}[str(first.shape[1])]
    terms = [entry(first, values, row, q) * _product_entry(rest, values, q, column) for q in range(1, inner + 1)]
    return sum(terms[1:], terms[0])
