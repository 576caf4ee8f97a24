"""Formulas with slots, such as {exp_j}, in the place of the symbols whose values the page knows."""

from __future__ import annotations

import itertools
from typing import Any

from softgrad.derivation._notation import Exponential, Fence, Fraction, Row, Script, Sign, Summation, Word, gaps

# Where the page repeats the rest of a row for each class, with + between.
EACH = Sign("{each}")


def with_slots(node: Any, *, fenced: bool = True) -> Any:  # noqa: PLR0911
    """Put slots in the place of exponentials, sums, softmax and Kronecker's delta.

    A derivative has no value until a rule gives it one: it keeps its symbols, and only their indices become names of
    classes. A sum needs no fence where `fenced` is false.
    """
    match node:
        case Exponential(exponent):
            return Word(f"{{exp_{_index(exponent)}}}")
        case Summation(body=Exponential()):
            return Word("{total}")
        case Summation(body=body):
            return _each(with_slots(body), fenced=fenced)
        case Script(base=Word("σ"), below=Word(index)):
            return Word(f"{{p_{index}}}")
        case Script(base=Word("δ"), below=Row((Word(first), Word(second)))):
            return Word(f"{{delta_{first}{second}}}")
        case Script(base=Fence(body), above=above):
            return Script(with_slots(body), above=above)
        case Row(parts):
            return with_names(node) if _is_operator(parts[0]) else _product(tuple(map(with_slots, parts)))
        case Fence(body, brackets):
            return Fence(with_slots(body, fenced=False), brackets)
        case Fraction(above, below):
            differential = _is_differential(above)
            return with_names(node) if differential else Fraction(_bare(above), _bare(below))
        case Word() | Sign():
            return node
    raise TypeError(f"no slots for {node}")


def with_names(node: Any, *, fenced: bool = True) -> Any:
    """Put slots for the names of classes in the place of indices."""
    match node:
        case Script(base=Word("z" | "σ" as letter)):
            return Script(Word(letter), Word(f"{{name_{_index(node)}}}"))
        case Exponential(exponent):
            return Exponential(with_names(exponent))
        case Summation(body=body):
            return _each(with_names(body), fenced=fenced)
        case Row(parts):
            return Row(tuple(map(with_names, parts)))
        case Fraction(above, below):
            return Fraction(with_names(above, fenced=False), with_names(below, fenced=False))
        case Word("∂") | Sign():
            return node
    raise TypeError(f"no names for {node}")


def _bare(node: Any) -> Any:
    return with_slots(node, fenced=False)


def _each(body: Any, *, fenced: bool) -> Any:
    terms = Row((EACH, body))
    return Fence(terms) if fenced else terms


def _index(node: Script) -> str:
    """Return the index of z_k or σ_j."""
    return node.below.text if isinstance(node.below, Word) else node.below.parts[0].text


def _product(parts: tuple[Any, ...]) -> Row:
    """Put a dot between factors: numbers cannot be juxtaposed."""
    spaced = ([Sign("·"), part] if gap else [part] for gap, part in zip(gaps(parts), parts, strict=True))
    return Row(tuple(itertools.chain.from_iterable(spaced)))


def _is_operator(node: Any) -> bool:
    """Return whether a node is ∂/∂z_k, whose operand follows."""
    return isinstance(node, Fraction) and node.above == Word("∂")


def _is_differential(node: Any) -> bool:
    return isinstance(node, Row) and node.parts[0] == Word("∂")
