"""HTML with MathML, which browsers draw themselves: a page of its own, or an element for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import _pages
from softgrad.derivation import _notation as nodes
from softgrad.derivation._notation import Token, equation, gaps, notation, split_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from softgrad.derivation._content import Content, Example, Result, Section
    from softgrad.derivation._verification import StepCheck, Verification

_SPACE = '<mspace width="0.2em"/>'


def page(content: Content, verification: Verification | None) -> str:
    """Render a derivation as one self-contained page."""
    return _render("page.html", 1, content, verification)


def fragment(content: Content) -> str:
    """Render a derivation as one element, whose style applies to nothing outside it."""
    return _render("notebook.html", 2, content, None)


def _render(layout: str, level: int, content: Content, verification: Verification | None) -> str:
    numbered = enumerate(verification.steps if verification else [None] * len(content.steps), 1)
    return _pages.render(
        "derivation.html",
        layout=layout,
        level=level,
        title=content.title,
        summary=content.summary,
        results=map(_result, content.results),
        meanings=[(inline(notation(symbol)), prose(text)) for symbol, text in content.meanings],
        sections=[_section(section, numbered) for section in content.sections],
        example=_example(content.example),
        verification=verification,
    )


def _result(result: Result) -> str:
    condition = (
        () if result.condition is None else (nodes.Sign(","), nodes.Word("\u2003if\u2002"), notation(result.condition))
    )
    return block(nodes.Row((equation(notation(result.left), notation(result.right)), *condition)))


def _section(section: Section, numbered: Iterator[tuple[int, StepCheck | None]]) -> dict[str, Any]:
    steps = [
        {
            "number": number,
            "check": check,
            "rule": step.rule,
            "formula": prose(step.formula),
            "condition": step.condition is not None and inline(notation(step.condition)),
            "reason": prose(step.reason),
            "after": block(nodes.Sign("="), notation(step.after)),
            "warning": step.warning and prose(step.warning),
        }
        for step, (number, check) in zip(section.steps, numbered, strict=False)
    ]
    return {"title": section.title, "origin": section.origin, "start": block(notation(section.start)), "steps": steps}


def _example(example: Example) -> dict[str, Any]:
    largest = float(np.abs(example.matrix).max())
    return {
        "caption": example.caption,
        "columns": [(label, list(map(_number, values))) for label, values in example.columns],
        "matrix_title": example.matrix_title,
        "heat_map": [_cells(row, largest) for row in example.matrix],
        "least": _number(-largest),
        "largest": _number(largest),
    }


def _cells(row: NDArray[Any], largest: float) -> list[tuple[str, int, str]]:
    """Return the sign, the share of the colour in percent and the number of each entry."""
    # The square root keeps small entries visible; the scale in style.css uses it too.
    shares = [round(100 * (abs(value) / largest) ** 0.5) if largest else 0 for value in row]
    signs = [
        "nil" if share == 0 else "plus" if value > 0 else "minus" for value, share in zip(row, shares, strict=True)
    ]
    return list(zip(signs, shares, map(_number, row), strict=True))


def _number(value: Any) -> str:
    return f"{value:.4f}".replace("-", "−")


def block(*nodes: Any) -> str:
    """Write a formula on a line of its own."""
    return f'<math display="block">{"".join(map(_element, nodes))}</math>'


def inline(node: Any) -> str:
    """Write a formula within text."""
    return f"<math>{_element(node)}</math>"


def prose(text: str) -> str:
    """Write a sentence and the mathematics within it."""
    return "".join(
        escape(part) if isinstance(part, str) else f"<math>{_tokens(part)}</math>" for part in split_sentence(text)
    )


def _element(node: Any) -> str:  # noqa: PLR0911
    match node:
        case nodes.Word():
            return _word(node.text)
        case nodes.Sign(text, prefix):
            return f'<mo form="prefix">{text}</mo>' if prefix else f"<mo>{text}</mo>"
        case nodes.Row(parts):
            body = ((_SPACE if gap else "") + _element(part) for gap, part in zip(gaps(parts), parts, strict=True))
            return f"<mrow>{''.join(body)}</mrow>"
        case nodes.Script(base, below, above):
            tag = "msubsup" if below and above else "msub" if below else "msup"
            scripts = "".join(_script(part) for part in (below, above) if part)
            return f"<{tag}>{_element(base)}{scripts}</{tag}>"
        case nodes.Exponential(exponent):
            return f"<msup><mi>e</mi>{_element(exponent)}</msup>"
        case nodes.Fraction(above, below):
            return f"<mfrac>{_element(above)}{_element(below)}</mfrac>"
        case nodes.Fence(body, brackets):
            return f"<mrow><mo>{brackets[0]}</mo>{_element(body)}<mo>{brackets[1]}</mo></mrow>"
        case nodes.Summation(over, last, body):
            first = f"<mrow><mi>{over}</mi><mo>=</mo><mn>1</mn></mrow>"
            return f"<mrow><munderover><mo>∑</mo>{first}<mi>{last}</mi></munderover>{_element(body)}</mrow>"
        case nodes.Branches(pairs):
            return _branches(pairs)
    raise TypeError(f"no MathML for {node}")


def _word(text: str) -> str:
    if text == "𝟏":
        return '<mn style="font-weight:bold">1</mn>'
    if text.isdecimal():
        return f"<mn>{text}</mn>"
    # MathML sets a single letter in italics; ∂ and ∇ are upright.
    return f'<mi mathvariant="normal">{text}</mi>' if text in {"∂", "∇"} else f"<mi>{escape(text)}</mi>"


def _script(node: Any) -> str:
    if node == nodes.Word("T"):
        return '<mo lspace="0" rspace="0">⊤</mo>'
    return f"<mrow>{''.join(map(_element, node.parts))}</mrow>" if isinstance(node, nodes.Row) else _element(node)


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
    above = _script(nodes.Word(token.above))
    if token.below:
        return f"<msubsup>{base}{below}{above}</msubsup>" if token.above else f"<msub>{base}{below}</msub>"
    return f"<msup>{base}{above}</msup>" if token.above else base
