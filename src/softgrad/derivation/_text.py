"""Plain Unicode text of at most 80 columns, with formulas in two dimensions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad.derivation import _notation as nodes
from softgrad.derivation._notation import Token, equation, gaps, notation, split_sentence

if TYPE_CHECKING:
    from softgrad.derivation._content import Content, Example, Step
    from softgrad.derivation._verification import Verification

_WIDTH = 80
_SUBSCRIPTS = str.maketrans("aeijklmnoprstuvx", "ₐₑᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_SUPERSCRIPTS = str.maketrans("12nT", "¹²ⁿᵀ")


class Box(NamedTuple):
    """Lines of equal width; the line number `baseline` is aligned with the text beside the box."""

    lines: list[str]
    baseline: int

    @property
    def width(self) -> int:
        return len(self.lines[0])


def formula(node: Any) -> Box:
    """Draw notation as a block of characters."""
    return _draw(node, in_fraction=False)


def inline(text: str) -> str:
    """Write the mathematics within a sentence in Unicode."""
    return "".join(part if isinstance(part, str) else "".join(map(_token, part)) for part in split_sentence(text))


def _token(token: Token) -> str:
    scripts = token.below.translate(_SUBSCRIPTS) + token.above.translate(_SUPERSCRIPTS)
    text = token.text.replace("'", "′")
    return f"{text}({_token(token.exponent)})" if token.exponent else text + scripts


def _draw(node: Any, in_fraction: bool) -> Box:  # noqa: PLR0911
    def draw(part: Any) -> Box:
        return _draw(part, in_fraction)

    match node:
        case nodes.Word(text):
            return _line("1" if text == "𝟏" else text)
        case nodes.Sign(text, prefix):
            return _line(text if prefix else f" {text} ")
        case nodes.Row(parts):
            return _row(parts, draw)
        case nodes.Script(base, below, above):
            return _beside([draw(base), _line(_script(below, _SUBSCRIPTS) + _script(above, _SUPERSCRIPTS))])
        case nodes.Exponential(exponent):
            return _beside([_line("exp"), _fenced(draw(exponent), "()")])
        case nodes.Fence(body, brackets):
            return _fenced(draw(body), brackets)
        case nodes.Summation(over, _, body):
            return _beside([_line(f"Σ{over.translate(_SUBSCRIPTS)} "), draw(body)])
        case nodes.Branches(pairs):
            return _branches(pairs)
        case nodes.Fraction(above, below):
            return _fraction(_draw(above, True), _draw(below, True), in_fraction)
    raise TypeError(f"no box for {node}")


def _line(text: str) -> Box:
    return Box([text], 0)


def _script(node: Any, letters: dict[int, int]) -> str:
    return "" if node is None else "".join(formula(node).lines).replace(" ", "").translate(letters)


def _row(parts: tuple[Any, ...], draw: Any) -> Box:
    return _beside(
        [box for gap, part in zip(gaps(parts), parts, strict=True) for box in ([_line(" ")] * gap + [draw(part)])]
    )


def _beside(boxes: list[Box]) -> Box:
    above = max(box.baseline for box in boxes)
    below = max(len(box.lines) - box.baseline for box in boxes)
    lines = [""] * (above + below)
    for box in boxes:
        for number in range(len(lines)):
            own = number - above + box.baseline
            lines[number] += box.lines[own] if 0 <= own < len(box.lines) else " " * box.width
    return Box(lines, above)


def _fenced(box: Box, brackets: str) -> Box:
    height = len(box.lines)
    shapes = {"(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦"}

    def tall(bracket: str) -> Box:
        top, middle, bottom = tuple(shapes[bracket])
        return Box([top, *[middle] * (height - 2), bottom], box.baseline)

    left, right = (_line(bracket) if height == 1 else tall(bracket) for bracket in brackets)
    return _beside([left, box, right])


def _fraction(above: Box, below: Box, in_fraction: bool) -> Box:
    if in_fraction and len(above.lines) == len(below.lines) == 1:
        return _line(f"{above.lines[0]}/{below.lines[0]}")
    width = max(above.width, below.width) + 2
    lines = [line.center(width) for line in above.lines] + ["─" * width] + [line.center(width) for line in below.lines]
    return Box(lines, len(above.lines))


def _branches(pairs: tuple[tuple[Any, Any], ...]) -> Box:
    values, conditions = [formula(value) for value, _ in pairs], [formula(condition) for _, condition in pairs]
    width = max(value.width for value in values)
    rows = [
        f"{value.lines[0]:{width}}  if {condition.lines[0]}"
        for value, condition in zip(values, conditions, strict=True)
    ]
    length = max(map(len, rows))
    return Box([f"⎧ {rows[0]:{length}}", "⎨ " + " " * length, f"⎩ {rows[1]:{length}}"], 1)


def render(content: Content, verification: Verification | None) -> str:
    """Render a derivation as text, with the summary of its verification."""
    lines = [content.title, "═" * len(content.title), ""]
    lines += [*_paragraph(content.summary), ""]
    symbols = [("".join(formula(notation(meaning.symbol)).lines), inline(meaning.text)) for meaning in content.meanings]
    width = max(len(symbol) for symbol, _ in symbols)
    for symbol, text in symbols:
        lines += _paragraph(text, f"  {symbol:{width}}  ", " " * (width + 4))
    number = 0
    for section in content.sections:
        heading = section.title + section.origin
        lines += ["", heading, "─" * len(heading), ""]
        lines += _indented(formula(notation(section.start)), "    ")
        for step in section.steps:
            number += 1
            lines += ["", *_step(step, number)]
    lines += ["", "Result", "──────", ""]
    for result in content.results:
        box = formula(equation(notation(result.left), notation(result.right)))
        condition = "" if result.condition is None else f"   if {formula(notation(result.condition)).lines[0]}"
        lines += [*_indented(_beside([box, _line(condition)]), "    "), ""]
    lines += _example(content.example)
    if verification is not None:
        lines += ["", *_paragraph(f"Checked: {verification.summary}.")]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _step(step: Step, number: int) -> list[str]:
    condition = "" if step.condition is None else f"   if {formula(notation(step.condition)).lines[0]}"
    head = f"{f'({number})':>4} {step.rule}{condition}"
    rule = inline(step.formula)
    fits = len(head) + len(rule) + 3 <= _WIDTH
    lines = [f"{head}   {rule}"] if fits else [head, *_paragraph(rule, "     ", "     ")]
    lines += _paragraph(inline(step.reason), "     ", "     ")
    lines += _indented(formula(notation(step.after)), "     = ")
    if step.warning:
        lines += ["", *_paragraph(inline(step.warning), "   ⚠ Careful: ", "     ")]
    return lines


def _paragraph(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _indented(box: Box, margin: str) -> list[str]:
    blank = " " * len(margin)
    return [(margin if number == box.baseline else blank) + line for number, line in enumerate(box.lines)]


def _example(example: Example) -> list[str]:
    lines = ["Example", "───────", "", *_paragraph(example.caption), ""]
    lines += [f"    {name:8}" + "".join(f"{value:9.4f}" for value in values) for name, values in example.columns]
    lines += ["", f"    {example.matrix_title}", ""]
    lines += ["    " + " " * 8 + "".join(f"{value:9.4f}" for value in row) for row in example.matrix]
    return lines
