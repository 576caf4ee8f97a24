"""HTML: one page that needs no network and no script, or the same for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.derivation._mathml import block, inline, prose
from softgrad.derivation._notation import Operator, Row, Word, equation, notation
from softgrad.derivation._prose import origin
from softgrad.derivation._style import CSS, PAGE_CSS

if TYPE_CHECKING:
    from softgrad.derivation._derivation import Derivation, Step
    from softgrad.derivation._example import Example
    from softgrad.derivation._verification import StepCheck, Verification


def page(derivation: Derivation, verification: Verification | None) -> str:
    """One page on its own."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(derivation.title)}</title>\n<style>{PAGE_CSS}</style>\n</head>\n<body>\n"
        f"{_article(derivation, verification, 1)}</body>\n</html>\n"
    )


def fragment(derivation: Derivation) -> str:
    """One element, with a style that reaches nothing outside it."""
    return _article(derivation, None, 2)


def _article(derivation: Derivation, verification: Verification | None, level: int) -> str:
    checks = iter(verification.steps if verification else ())
    heading = f"h{level + 1}"
    body = [
        f'<article class="softgrad">\n<style>{CSS}</style>',
        f'<h{level} class="title">{escape(derivation.title)}</h{level}>',
        f'<p class="summary">{escape(derivation.summary)}</p>',
        f'<div class="results">{_results(derivation)}</div>',
        "<dl>",
        *(f"<dt>{inline(notation(symbol))}</dt><dd>{prose(text)}</dd>" for symbol, text in derivation.meanings),
        "</dl>",
    ]
    number = 0
    for part in derivation.parts:
        body += [
            f'<section><{heading} class="heading">{escape(part.title)}<small>{origin(part)}</small></{heading}>',
            f'<div class="formula">{block(notation(part.start))}</div>',
        ]
        for step in part.steps:
            number += 1
            body.append(_step(step, number, next(checks, None)))
        body.append("</section>")
    body.append(f'<section><{heading} class="heading">Example</{heading}>{_example(derivation.example)}</section>')
    if verification is not None:
        body.append(f"<footer>Checked: {escape(verification.summary)}.</footer>")
    return "\n".join([*body, "</article>\n"])


def _results(derivation: Derivation) -> str:
    formulas = []
    for result in derivation.results:
        condition = (
            () if result.condition is None else (Operator(","), Word("\u2003if\u2002"), notation(result.condition))
        )
        formula = Row((equation(notation(result.left), notation(result.right)), *condition))
        formulas.append(f'<div class="formula">{block(formula)}</div>')
    return "".join(formulas)


def _step(step: Step, number: int, check: StepCheck | None) -> str:
    condition = (
        "" if step.condition is None else f'<span class="condition">if {inline(notation(step.condition))}</span>'
    )
    verdict = (
        "" if check is None else f'<span class="verdict{" fails" if check.failure else ""}">{escape(str(check))}</span>'
    )
    warning = f'<p class="warning"><strong>Careful.</strong> {prose(step.warning)}</p>' if step.warning else ""
    return (
        f'<details open><summary><span class="name"><span class="number">({number})</span> '
        f'<span class="rule">{escape(step.rule)}</span></span>'
        f'<span class="identity">{prose(step.formula)}</span>{condition}{verdict}</summary>\n<div class="step">'
        f'<p>{prose(step.reason)}</p><div class="formula">{block(Operator("="), notation(step.after))}</div>'
        f"{warning}</div></details>"
    )


def _example(example: Example) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th>{"".join(f"<td>{_number(value)}</td>" for value in values)}</tr>'
        for label, values in example.columns
    )
    return f'<p>{escape(example.caption)}</p><div class="numbers"><table>{rows}</table></div>{_heat_map(example)}'


def _heat_map(example: Example) -> str:
    largest = float(np.abs(example.matrix).max())
    rows = "".join(f"<tr>{''.join(_cell(value, largest) for value in row)}</tr>" for row in example.matrix)
    scale = f'<div class="scale"><span>{_number(-largest)}</span><i></i><span>{_number(largest)}</span></div>'
    return (
        f'<div class="numbers"><table class="heat"><caption>{escape(example.matrix_title)}</caption>{rows}</table>'
        f"{scale}</div>"
    )


def _cell(value: float, largest: float) -> str:
    # The root shows small entries beside large ones; the scale in _style.py has it too.
    share = round(100 * (abs(value) / largest) ** 0.5) if largest else 0
    sign = "nil" if share == 0 else "plus" if value > 0 else "minus"
    return f'<td class="{sign}" style="--share: {share}%">{_number(value)}</td>'


def _number(value: Any) -> str:
    return f"{value:.4f}".replace("-", "−")
