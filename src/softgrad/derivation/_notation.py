"""Mathematical notation of SymPy expressions, and of the mathematics within sentences; the renderers draw it.

Operands keep the order in which the rules put them; SymPy's own printers would sort them.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

import sympy as sp

from softgrad.derivation._expressions import is_sigma, loss, split_sign, variables

_TOKEN = re.compile(r"([^\W\d_]+|\d+|\s+|.)(?:_([a-z]+))?(?:\^(\w))?")


class Word(NamedTuple):
    """A letter, a number or the name of a function."""

    text: str


class Sign(NamedTuple):
    """A sign between two operands, such as + or =; a prefix has an operand on its right only."""

    text: str
    prefix: bool = False


class Row(NamedTuple):
    """A sequence."""

    parts: tuple[Any, ...]


class Script(NamedTuple):
    """A base with a subscript, a superscript, or both."""

    base: Any
    below: Any = None
    above: Any = None


class Fraction(NamedTuple):
    """A numerator above a denominator."""

    above: Any
    below: Any


class Exponential(NamedTuple):
    """e to some power."""

    exponent: Any


class Fence(NamedTuple):
    """An expression in brackets."""

    body: Any
    brackets: str = "()"


class Summation(NamedTuple):
    """The sign Σ, with the index of summation and its last value."""

    over: str
    last: str
    body: Any


class Branches(NamedTuple):
    """Values, each under a condition."""

    pairs: tuple[tuple[Any, Any], ...]


class Token(NamedTuple):
    """A letter, word, number, sign or space with its scripts; the token of "exp" contains its exponent."""

    text: str
    below: str = ""
    above: str = ""
    exponent: Token | None = None


def notation(expression: Any) -> Any:  # noqa: PLR0911, PLR0912
    """Translate an expression, a relation or a matrix."""
    match expression:
        case sp.Integer():
            return _signed(expression < 0, Word(str(abs(int(expression)))))
        case sp.Indexed():
            return Script(Word(str(expression.base)), Row(tuple(Word(str(index)) for index in expression.indices)))
        case sp.Add() | sp.MatAdd():
            return _sum(expression.args)
        case sp.Mul() | sp.MatMul():
            return _product(expression)
        case sp.exp():
            return Exponential(notation(expression.args[0]))
        case sp.log():
            return Row((Word("log"), _operand(expression.args[0], fenced=(sp.Add, sp.Mul))))
        case sp.Pow():
            base = _operand(expression.args[0], fenced=(sp.Add, sp.Mul, sp.Sum, sp.exp))
            return Script(base, above=notation(expression.args[1]))
        case sp.KroneckerDelta():
            return Script(Word("δ"), Row(tuple(Word(str(index)) for index in expression.args)))
        case sp.Sum(args=(term, limits)):
            return Summation(str(limits[0]), str(limits[2]), _operand(term, fenced=(sp.Add,)))
        case sp.Derivative():
            return _derivative(expression)
        case sp.Piecewise(args=pairs):
            return Branches(tuple((notation(pair.args[0]), notation(pair.args[1])) for pair in pairs))
        case sp.Eq() | sp.Ne():
            sign = "=" if isinstance(expression, sp.Eq) else "≠"
            return Row((notation(expression.args[0]), Sign(sign), notation(expression.args[1])))
        case sp.Lambda(args=(indices, entry)):
            return Script(Fence(notation(entry), "[]"), Row(tuple(Word(str(index)) for index in indices)))
        case sp.DiagMatrix():
            return Row((Word("Diag"), Fence(notation(expression.args[0]))))
        case sp.Transpose():
            return Script(notation(expression.args[0]), above=Word("T"))
        case sp.Identity():
            return Word("I")
        case sp.OneMatrix():
            return Word("𝟏")
    if is_sigma(expression):
        return Script(Word("σ"), Word(str(expression.args[1])))
    return _name("ℓ" if expression == loss else str(expression))


def _name(text: str) -> Any:
    """Split a name such as J, lse or ∇W."""
    parts = [Word(part) for part in re.findall(r"∇|[^∇]+", text)]
    return parts[0] if len(parts) == 1 else Row(tuple(parts))


def equation(left: Any, right: Any) -> Row:
    return Row((left, Sign("="), right))


def _signed(negative: bool, value: Any) -> Any:
    return Row((Sign("−", prefix=True), value)) if negative else value


def _operand(expression: Any, fenced: tuple[type, ...] = (sp.Add, sp.MatAdd)) -> Any:
    inner = notation(expression)
    bare_fraction = isinstance(inner, Fraction) and sp.log not in fenced and sp.Mul not in fenced
    negative = isinstance(expression, sp.Mul) and split_sign(expression)[0] == -1
    return Fence(inner) if (isinstance(expression, fenced) and not bare_fraction) or negative else inner


def _sum(terms: tuple[Any, ...]) -> Row:
    parts: list[Any] = []
    for position, term in enumerate(terms):
        sign, rest = _split(term)
        value = _operand(rest)
        parts += [Sign("−" if sign else "+", prefix=position == 0)] if position or sign else []
        parts.append(value)
    return Row(tuple(parts))


def _split(term: Any) -> tuple[bool, Any]:
    """Return whether a product begins with −1, and its other factors; nested products are not searched."""
    if isinstance(term, (sp.Mul, sp.MatMul)) and term.args[0] == -1:
        rest = term.args[1:]
        return True, rest[0] if len(rest) == 1 else term.func(*rest, evaluate=False)
    return False, term


def _product(expression: Any) -> Any:
    negative, rest = _split(expression)
    if negative:
        return _signed(True, _operand(rest))
    above = [part for part in expression.args if not _is_divisor(part)]
    below = [
        part.args[0] if part.args[1] == -1 else sp.Pow(part.args[0], -part.args[1])
        for part in expression.args
        if _is_divisor(part)
    ]
    if not below:
        return _juxtaposed(_flat(expression))
    return Fraction(notation(above[0]) if len(above) == 1 else _juxtaposed(above), _juxtaposed(below))


def _is_divisor(part: Any) -> bool:
    return isinstance(part, sp.Pow) and part.args[1].is_negative


def _flat(expression: Any) -> list[Any]:
    """Return the factors, those of nested products included; a fraction counts as one factor."""
    is_product = isinstance(expression, (sp.Mul, sp.MatMul)) and not any(map(_is_divisor, expression.args))
    if is_product and not _split(expression)[0]:
        return [part for factor in expression.args for part in _flat(factor)]
    return [expression]


def _juxtaposed(factors: list[Any]) -> Any:
    if len(factors) == 1:
        return notation(factors[0])
    parts: list[Any] = []
    for position, factor in enumerate(factors):
        value = _operand(
            factor, fenced=(sp.Add, sp.MatAdd) if position == len(factors) - 1 else (sp.Add, sp.MatAdd, sp.Sum)
        )
        if position < len(factors) - 1 and isinstance(value, Row) and isinstance(factor, sp.Derivative):
            value = Fence(value)
        if parts and (_is_number(value) or _is_number(parts[-1]) or isinstance(parts[-1], Fraction)):
            parts.append(Sign("·"))
        parts.append(value)
    return Row(tuple(parts))


def _is_number(value: Any) -> bool:
    return isinstance(value, Word) and value.text.isdecimal() and value.text.isascii()


def gaps(parts: tuple[Any, ...]) -> list[bool]:
    """Return which parts of a row follow a thin space: factors do, but not signs, brackets, or what follows ∂ or ∇."""

    def gap(before: Any, part: Any) -> bool:
        if isinstance(before, Sign) or isinstance(part, (Sign, Fence)) or _head(before) in {"∂", "∇"}:
            return False
        # Vectors and matrices, such as σσᵀ: letters without a subscript.
        return not (_is_array(before) and _is_array(part))

    return [False, *(gap(before, part) for before, part in itertools.pairwise(parts))]


def _head(node: Any) -> str:
    return _head(node.base) if isinstance(node, Script) else node.text if isinstance(node, Word) else ""


def _is_array(node: Any) -> bool:
    transposed = isinstance(node, Script) and node.below is None and node.above == Word("T")
    return transposed or (isinstance(node, Word) and len(node.text) == 1)


def _derivative(expression: Any) -> Any:
    of, by = expression.args[0], variables(expression)
    order = Word("∂") if len(by) == 1 else Script(Word("∂"), above=Word(str(len(by))))
    below = Row(tuple(part for variable in by for part in (Word("∂"), notation(variable))))
    if isinstance(of, (sp.Indexed, sp.exp)) or is_sigma(of) or of == loss:
        return Fraction(Row((order, notation(of))), below)
    bare = isinstance(notation(of), Fraction)
    return Row((Fraction(order, below), _operand(of, fenced=(sp.Add,) if bare else (sp.Add, sp.Mul))))


def split_sentence(text: str) -> list[str | list[Token]]:
    """Split a sentence such as "`σ_j` is a fraction": plain text as strings, mathematics as lists of tokens."""
    return [_tokens(part) if number % 2 else part for number, part in enumerate(text.split("`")) if part]


def _tokens(mathematics: str) -> list[Token]:
    found = [Token(*match) for match in _TOKEN.findall(mathematics.replace("ᵀ", "^T"))]
    result: list[Token] = []
    while found:
        token = found.pop(0)
        if token.text == "exp":
            found.pop(0)  # the space
            token = token._replace(exponent=found.pop(0))
        result.append(token)
    return result
