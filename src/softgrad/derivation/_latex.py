"""LaTeX in pure ASCII: a whole document, or formulas for a notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from softgrad.derivation import _notation as nodes
from softgrad.derivation._notation import Token, equation, gaps, notation, split_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from softgrad.derivation._content import Content, Example, Section, Step
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


def render(content: Content, verification: Verification | None) -> str:
    """Render a derivation as a LaTeX document, which needs no package but amsmath."""
    meanings = "\n".join(f"\\item[${latex(notation(symbol))}$] {prose(text)}" for symbol, text in content.meanings)
    lines = [
        f"{_HEAD}\\section*{{{_plain(content.title)}}}",
        _plain(content.summary),
        f"\\begin{{description}}\n{meanings}\n\\end{{description}}",
    ]
    number = 0
    for section in content.sections:
        lines += [*_section(section, number)]
        number += len(section.steps)
    lines += ["\\subsection*{Result}", _results(content), "\\subsection*{Example}", *_example(content.example)]
    if verification is not None:
        lines.append(_plain(f"Checked: {verification.summary}."))
    return "\n\n".join([*lines, "\\end{document}"]) + "\n"


def notebook(content: Content) -> str:
    """Render the lines of a derivation as displayed formulas."""
    blocks = []
    for section in content.sections:
        lines = [f"& {latex(notation(section.start))}"]
        lines += [f"&= {latex(notation(step.after))} && \\text{{{_plain(step.rule)}}}" for step in section.steps]
        blocks.append("$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$")
    return "\n\n".join(blocks)


def latex(node: Any) -> str:  # noqa: PLR0911
    """Write notation in LaTeX's math mode."""
    match node:
        case nodes.Word(text):
            return _word(text)
        case nodes.Sign(text, prefix):
            sign = _SIGNS.get(text, text)
            return f"{{{sign}}}" if prefix else f" {sign} "
        case nodes.Row(parts):
            body = ((r" \, " if gap else "") + latex(part) for gap, part in zip(gaps(parts), parts, strict=True))
            return _joined(body)
        case nodes.Script(base, below, above):
            return (
                latex(base) + (f"_{{{_script(below)}}}" if below else "") + (f"^{{{_script(above)}}}" if above else "")
            )
        case nodes.Exponential(exponent):
            return f"e^{{{latex(exponent)}}}"
        case nodes.Fraction(above, below):
            return f"\\frac{{{latex(above)}}}{{{latex(below)}}}"
        case nodes.Fence(body, brackets):
            return f"\\left{brackets[0]}{latex(body)}\\right{brackets[1]}"
        case nodes.Summation(over, last, body):
            return f"\\sum_{{{over}=1}}^{{{last}}} {latex(body)}"
        case nodes.Branches(pairs):
            rows = (f"{latex(value)} & \\text{{if }} {latex(condition)}" for value, condition in pairs)
            return "\\begin{cases} " + r" \\ ".join(rows) + " \\end{cases}"
    raise TypeError(f"no LaTeX for {node}")


def prose(text: str) -> str:
    """Write a sentence and the mathematics within it."""
    return "".join(
        _plain(part) if isinstance(part, str) else f"${_joined(map(_token, part))}$" for part in split_sentence(text)
    )


def _joined(parts: Iterable[str]) -> str:
    """Concatenate, with a space where a command would run into a letter."""
    joined = ""
    for part in parts:
        joined += " " + part if part[:1].isalpha() and re.search(r"\\[A-Za-z]+$", joined) else part
    return joined


def _word(text: str) -> str:
    if text in _SIGNS:
        return _SIGNS[text]
    return text if len(text) == 1 else f"\\mathrm{{{text}}}"


def _script(node: Any) -> str:
    return _joined(map(latex, node.parts)) if isinstance(node, nodes.Row) else latex(node)


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


def _section(section: Section, number: int) -> list[str]:
    lines = [f"\\subsection*{{{_plain(section.title + section.origin)}}}"]
    lines.append(f"\\[ {latex(notation(section.start))} \\]")
    for position, step in enumerate(section.steps, number + 1):
        lines += _step(step, position)
    return lines


def _step(step: Step, number: int) -> list[str]:
    condition = "" if step.condition is None else f", if ${latex(notation(step.condition))}$"
    head = f"\\textbf{{({number}) {_plain(step.rule)}}}{condition}: {prose(step.formula)}. {prose(step.reason)}"
    lines = [f"{head}\n\\[ = {latex(notation(step.after))} \\]"]
    return [*lines, f"\\emph{{Careful:}} {prose(step.warning)}"] if step.warning else lines


def _results(content: Content) -> str:
    formulas = []
    for result in content.results:
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
