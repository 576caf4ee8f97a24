"""Notation as LaTeX, in ASCII throughout: a whole document, or formulas for a notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

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
    equation,
    gaps,
    notation,
)
from softgrad.derivation._prose import Token, origin, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from softgrad.derivation._derivation import Derivation, Part, Step
    from softgrad.derivation._example import Example
    from softgrad.derivation._verification import Verification

_SIGNS = {
    "σ": r"\sigma", "δ": r"\delta", "ℓ": r"\ell", "∂": r"\partial", "∇": r"\nabla", "Σ": r"\sum", "𝟏": r"\mathbf{1}",
    "−": "-", "·": r"\cdot", "≠": r"\ne", "…": r"\dots", "log": r"\log", "T": r"\top",
}  # fmt: skip
_TEXT = {
    "−": "$-$", "≠": r"$\ne$", "…": r"\dots{}", "Σ": r"$\Sigma$", "σ": r"$\sigma$", "ᵀ": r"$^\top$", "∇": r"$\nabla$",
    "ℓ": r"$\ell$", "_": r"\_", "&": r"\&",
}  # fmt: skip
_HEAD = r"""\documentclass{article}
\usepackage{amsmath}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.5\baselineskip plus 2pt}
\begin{document}
"""


def render(derivation: Derivation, verification: Verification | None) -> str:
    """A LaTeX document that needs nothing but amsmath."""
    meanings = "\n".join(f"\\item[${latex(notation(symbol))}$] {prose(text)}" for symbol, text in derivation.meanings)
    lines = [
        f"{_HEAD}\\section*{{{_plain(derivation.title)}}}",
        _plain(derivation.summary),
        f"\\begin{{description}}\n{meanings}\n\\end{{description}}",
    ]
    number = 0
    for part in derivation.parts:
        lines += [*_part(part, number)]
        number += len(part.steps)
    lines += ["\\subsection*{Result}", _results(derivation), "\\subsection*{Example}", *_example(derivation.example)]
    if verification is not None:
        lines.append(_plain(f"Checked: {verification.summary}."))
    return "\n\n".join([*lines, "\\end{document}"]) + "\n"


def notebook(derivation: Derivation) -> str:
    """The lines of the derivation as displayed formulas."""
    blocks = []
    for part in derivation.parts:
        lines = [f"& {latex(notation(part.start))}"]
        lines += [f"&= {latex(notation(step.after))} && \\text{{{_plain(step.rule)}}}" for step in part.steps]
        blocks.append("$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$")
    return "\n\n".join(blocks)


def latex(node: Any) -> str:  # noqa: PLR0911
    """Notation as LaTeX, for math mode."""
    match node:
        case Word(text):
            return _word(text)
        case Operator(text, prefix):
            sign = _SIGNS.get(text, text)
            return f"{{{sign}}}" if prefix else f" {sign} "
        case Row(parts):
            body = ((r" \, " if gap else "") + latex(part) for gap, part in zip(gaps(parts), parts, strict=True))
            return _joined(body)
        case Script(base, below, above):
            return (
                latex(base) + (f"_{{{_script(below)}}}" if below else "") + (f"^{{{_script(above)}}}" if above else "")
            )
        case Exponential(exponent):
            return f"e^{{{latex(exponent)}}}"
        case Fraction(above, below):
            return f"\\frac{{{latex(above)}}}{{{latex(below)}}}"
        case Fence(body, brackets):
            return f"\\left{brackets[0]}{latex(body)}\\right{brackets[1]}"
        case Summation(over, last, body):
            return f"\\sum_{{{over}=1}}^{{{last}}} {latex(body)}"
        case Branches(pairs):
            rows = (f"{latex(value)} & \\text{{if }} {latex(condition)}" for value, condition in pairs)
            return "\\begin{cases} " + r" \\ ".join(rows) + " \\end{cases}"
    raise TypeError(f"no LaTeX for {node}")


def prose(text: str) -> str:
    """Sentences with their mathematics."""
    return "".join(
        _plain(part) if isinstance(part, str) else f"${_joined(map(_token, part))}$" for part in pieces(text)
    )


def _joined(parts: Iterable[str]) -> str:
    """One after another, with a space where a command would run into a letter."""
    joined = ""
    for part in parts:
        joined += " " + part if part[:1].isalpha() and re.search(r"\\[A-Za-z]+$", joined) else part
    return joined


def _word(text: str) -> str:
    if text in _SIGNS:
        return _SIGNS[text]
    return text if len(text) == 1 else f"\\mathrm{{{text}}}"


def _script(node: Any) -> str:
    return _joined(map(latex, node.parts)) if isinstance(node, Row) else latex(node)


def _token(token: Token) -> str:
    if token.exponent:
        return f"e^{{{_token(token.exponent)}}}"
    if token.text.isspace():
        return " "
    base = _word(token.text) if token.text.isalnum() or token.text in _SIGNS else token.text
    above = _SIGNS[token.above] if token.above == "T" else token.above
    return base + (f"_{{{token.below}}}" if token.below else "") + (f"^{{{above}}}" if above else "")


def _plain(text: str) -> str:
    return re.sub("|".join(map(re.escape, _TEXT)), lambda match: _TEXT[match.group()], text)


def _part(part: Part, number: int) -> list[str]:
    lines = [f"\\subsection*{{{_plain(part.title + origin(part))}}}"]
    lines.append(f"\\[ {latex(notation(part.start))} \\]")
    for position, step in enumerate(part.steps, number + 1):
        lines += _step(step, position)
    return lines


def _step(step: Step, number: int) -> list[str]:
    condition = "" if step.condition is None else f", if ${latex(notation(step.condition))}$"
    head = f"\\textbf{{({number}) {_plain(step.rule)}}}{condition}: {prose(step.formula)}. {prose(step.reason)}"
    lines = [f"{head}\n\\[ = {latex(notation(step.after))} \\]"]
    return [*lines, f"\\emph{{Careful:}} {prose(step.warning)}"] if step.warning else lines


def _results(derivation: Derivation) -> str:
    formulas = []
    for result in derivation.results:
        condition = "" if result.condition is None else f" \\quad\\text{{if }} {latex(notation(result.condition))}"
        formulas.append(f"\\[ {latex(equation(notation(result.left), notation(result.right)))}{condition} \\]")
    return "\n".join(formulas)


def _example(example: Example) -> list[str]:
    columns = "r" * len(example.columns[0][1])
    rows = (f"{_plain(label)} & {_numbers(values)}" for label, values in example.columns)
    table = f"\\begin{{tabular}}{{l{columns}}}\n" + " \\\\\n".join(rows) + "\n\\end{tabular}"
    entries = " \\\\\n".join(map(_numbers, example.matrix))
    return [
        _plain(example.caption),
        table,
        f"{_plain(example.matrix_title)}:\n\\[ \\begin{{pmatrix}}\n{entries}\n\\end{{pmatrix}} \\]",
    ]


def _numbers(values: NDArray[Any]) -> str:
    return " & ".join(f"{value:.4f}" for value in values)
