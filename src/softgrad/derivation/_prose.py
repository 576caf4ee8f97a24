"""Sentences with a little mathematics between backticks, such as "`σ_j` is a fraction"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from softgrad.derivation._derivation import Part

_TOKEN = re.compile(r"([^\W\d_]+|\d+|\s+|.)(?:_([a-z]+))?(?:\^(\w))?")


class Token(NamedTuple):
    """A letter, word, number, sign or space, and its subscript and superscript; "exp" comes with its exponent."""

    text: str
    below: str = ""
    above: str = ""
    exponent: Token | None = None


def pieces(text: str) -> list[str | list[Token]]:
    """Plain text as strings and mathematics as tokens, in turn."""
    return [tokens(part) if number % 2 else part for number, part in enumerate(text.split("`")) if part]


def tokens(mathematics: str) -> list[Token]:
    found = [Token(*match) for match in _TOKEN.findall(mathematics.replace("ᵀ", "^T"))]
    result: list[Token] = []
    while found:
        token = found.pop(0)
        if token.text == "exp":
            found.pop(0)  # the space
            token = token._replace(exponent=found.pop(0))
        result.append(token)
    return result


def origin(part: Part) -> str:
    """What a heading says of the lines that its part begins with."""
    numbers = " and ".join(f"({number})" for number in part.follows)
    return f", from line{'s' if len(part.follows) > 1 else ''} {numbers}" if numbers else ""
