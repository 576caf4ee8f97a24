"""An exact zero test for expressions of symbols, exponentials and logarithms."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.polys.polyerrors import CoercionFailed


def is_zero(expression: Any) -> bool | None:
    """Return whether an expression is identically zero; None where that is undecided.

    Every e^u becomes a product of symbols, one for each term of u, and the logarithm of a product a sum of symbols.
    The result is a rational function, zero if and only if its numerator is the zero polynomial. A zero numerator
    proves that the expression is zero; any other proves that it is not, provided that there is no logarithm.
    """
    if expression == 0:
        return True
    names: dict[Any, Any] = {}
    rational = _without_exponentials(expression, names)
    logarithms = rational.atoms(sp.log)
    rational = rational.xreplace({part: _sum_of_logarithms(part.args[0], names) for part in logarithms})
    try:
        zero = _numerator_is_zero(rational)
    except (CoercionFailed, ValueError):
        return None
    return True if zero else None if logarithms else False


def _numerator_is_zero(rational: Any) -> bool:
    """Multiply by the denominators, one after another, and expand, in a ring of polynomials for speed."""
    inverses: dict[Any, Any] = {}
    powers = _divisors(rational)
    if any(_divisors(part.base) for part in powers):  # a fraction within a denominator
        rational = sp.together(rational)
        powers = _divisors(rational)
    cleared = rational.xreplace({part: _name(part.base, inverses) ** -part.exp for part in powers})
    symbols = cleared.free_symbols.union(*(base.free_symbols for base in inverses))
    if not symbols:
        return bool(sp.expand(rational) == 0)
    ring = sp.QQ[tuple(sorted(symbols, key=str))]
    polynomial = ring.from_sympy(cleared)
    for base, inverse in inverses.items():
        if polynomial == 0:
            break
        denominator, generator = ring.from_sympy(base), ring.from_sympy(inverse)
        degree = polynomial.degree(generator)
        coefficients = (polynomial.coeff_wrt(generator, power) for power in range(degree + 1))
        polynomial = sum(
            (part * denominator ** (degree - power) for power, part in enumerate(coefficients)), start=ring.zero
        )
    return bool(polynomial == 0)


def _divisors(expression: Any) -> list[Any]:
    return [part for part in expression.atoms(sp.Pow) if part.exp.is_Integer and part.exp < 0]


def _without_exponentials(expression: Any, names: dict[Any, Any]) -> Any:
    replaced = {}
    for part in expression.atoms(sp.exp):
        powers = (term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(part.args[0])))
        replaced[part] = sp.Mul(*(_name(sp.exp(base), names) ** power for power, base in powers))
    return expression.xreplace(replaced)


def _sum_of_logarithms(argument: Any, names: dict[Any, Any]) -> Any:
    above, below = sp.fraction(sp.factor(argument))
    exponents = {name: part.args[0] for part, name in names.items() if isinstance(part, sp.exp)}
    total = sp.S.Zero
    for sign, side in ((1, above), (-1, below)):
        for factor in sp.Mul.make_args(side) if side != 1 else ():
            base, power = factor.as_base_exp()
            total += sign * power * (exponents[base] if base in exponents else _name(sp.log(base), names))
    return total


def _name(part: Any, names: dict[Any, Any]) -> Any:
    """Return the symbol that replaces a part of an expression."""
    return names.setdefault(part, sp.Dummy(f"t{len(names)}", positive=True))
