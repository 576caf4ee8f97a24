"""Notation as MathML, which browsers draw themselves."""

from __future__ import annotations

from html import escape
from typing import Any

from softgrad.derivation._notation import (
    Branches,
    Exponential,
    Fence,
    Fraction,
    Operator,
    Row,
    Script,
    Summation,
    Word,
    gaps,
)
from softgrad.derivation._prose import Token, pieces

_SPACE = '<mspace width="0.2em"/>'


def block(*nodes: Any) -> str:
    """A formula on a line of its own."""
    return f'<math display="block">{"".join(map(_element, nodes))}</math>'


def inline(node: Any) -> str:
    """A formula within text."""
    return f"<math>{_element(node)}</math>"


def prose(text: str) -> str:
    """Sentences with their mathematics."""
    return "".join(escape(part) if isinstance(part, str) else f"<math>{_tokens(part)}</math>" for part in pieces(text))


def _element(node: Any) -> str:  # noqa: PLR0911
    match node:
        case Word():
            return _word(node.text)
        case Operator(text, prefix):
            return f'<mo form="prefix">{text}</mo>' if prefix else f"<mo>{text}</mo>"
        case Row(parts):
            body = ((_SPACE if gap else "") + _element(part) for gap, part in zip(gaps(parts), parts, strict=True))
            return f"<mrow>{''.join(body)}</mrow>"
        case Script(base, below, above):
            tag = "msubsup" if below and above else "msub" if below else "msup"
            scripts = "".join(_script(part) for part in (below, above) if part)
            return f"<{tag}>{_element(base)}{scripts}</{tag}>"
        case Exponential(exponent):
            return f"<msup><mi>e</mi>{_element(exponent)}</msup>"
        case Fraction(above, below):
            return f"<mfrac>{_element(above)}{_element(below)}</mfrac>"
        case Fence(body, brackets):
            return f"<mrow><mo>{brackets[0]}</mo>{_element(body)}<mo>{brackets[1]}</mo></mrow>"
        case Summation(over, last, body):
            first = f"<mrow><mi>{over}</mi><mo>=</mo><mn>1</mn></mrow>"
            return f"<mrow><munderover><mo>∑</mo>{first}<mi>{last}</mi></munderover>{_element(body)}</mrow>"
        case Branches(pairs):
            return _branches(pairs)
    raise TypeError(f"no MathML for {node}")


def _word(text: str) -> str:
    if text == "𝟏":
        return '<mn style="font-weight:bold">1</mn>'
    if text.isdecimal():
        return f"<mn>{text}</mn>"
    # One letter is italic by itself; ∂ and ∇ shall not be, nor the T of a transpose.
    return f'<mi mathvariant="normal">{text}</mi>' if text in {"∂", "∇"} else f"<mi>{escape(text)}</mi>"


def _script(node: Any) -> str:
    if node == Word("T"):
        return '<mo lspace="0" rspace="0">⊤</mo>'
    return f"<mrow>{''.join(map(_element, node.parts))}</mrow>" if isinstance(node, Row) else _element(node)


def _branches(pairs: tuple[tuple[Any, Any], ...]) -> str:
    rows = (
        f"<mtr><mtd>{_element(value)}</mtd><mtd><mtext>if&nbsp;</mtext>{_element(condition)}</mtd></mtr>"
        for value, condition in pairs
    )
    return f'<mrow><mo fence="true" stretchy="true">{{</mo><mtable class="branches">{"".join(rows)}</mtable></mrow>'


def _tokens(tokens: list[Token]) -> str:
    elements = []
    for number, token in enumerate(tokens):
        if not token.text.isspace():
            elements.append(_token(token))
        elif all(beside.text.isalnum() for beside in tokens[number - 1 : number + 2 : 2]):  # no sign, which has its own
            elements.append(_SPACE)
    return "".join(elements)


def _token(token: Token) -> str:
    if token.exponent:
        return f"<msup><mi>e</mi>{_token(token.exponent)}</msup>"
    text = "∑" if token.text == "Σ" else token.text.replace("'", "′")
    base = _word(text) if text.isalnum() or text in {"∂", "∇"} else f"<mo>{escape(text)}</mo>"
    below = f"<mrow>{''.join(f'<mi>{letter}</mi>' for letter in token.below)}</mrow>"
    above = _script(Word(token.above))
    if token.below:
        return f"<msubsup>{base}{below}{above}</msubsup>" if token.above else f"<msub>{base}{below}</msub>"
    return f"<msup>{base}{above}</msup>" if token.above else base
