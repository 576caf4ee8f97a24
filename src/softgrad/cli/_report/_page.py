"""The page: one HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import softgrad
from softgrad.cli._evaluation import BINS, Evaluation, macro, most_mistaken, shown_classes
from softgrad.cli._report._coefficients import coefficients
from softgrad.cli._report._plots import NUMBERED, PICTURED, confusion, convergence, reliability
from softgrad.cli._report._style import CSS
from softgrad.cli._shown import nats, percent, shown
from softgrad.cli._terminal import visible

if TYPE_CHECKING:
    from softgrad.linear_model import SoftmaxRegression

_MOST_CLASSES = 30
# Classes whose table and confusion matrix fit into half of the page.
_HALF_WIDTH = 12


def page(
    title: str,
    parts: Mapping[str, Evaluation],
    model: SoftmaxRegression | None,
    data: Mapping[str, object],
    command: str,
) -> str:
    """All that is known, best last: the last of `parts` is the one that pictures and tables show."""
    name, found = list(parts.items())[-1]
    small = f"{name} rows"
    results = _section("Results", _results(parts))
    classes = _section("Classes", _classes(found), small)
    calibration = _section("Calibration", _calibration(found), small)
    made = f"<p>Made by:</p><pre><code>{_command(command)}</code></pre>"
    if len(found.classes) > _HALF_WIDTH:
        # The table is as high as the others together.
        sections = [f"<div>{results}{calibration}</div>", classes]
        sections.append(_section("Confusion", _confusion(found), small, wide=True))
    else:
        sections = [results, classes, _section("Confusion", _confusion(found), small), calibration]
    if model is None:
        sections.append(_section("Data and command", _facts(data) + made))
    else:
        picture = convergence(model.history_, model.tol)
        if picture is not None:
            sections.append(_section("Convergence", picture))
        sections.append(_section("Data and fit", _facts({**data, **_fit(model)}) + made))
        sections.append(_section("Coefficients", coefficients(model), wide=True))
    body = "\n".join(
        [
            f"<h1>{escape(_visible(title))}</h1>",
            f'<p class="summary">{_summary(parts, model)}</p>',
            _tiles(name, found),
            f'<div class="sections">{"".join(sections)}</div>',
            f"<footer>softgrad {escape(softgrad.__version__)}. Losses are in nats.</footer>",
        ]
    )
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(_visible(title))}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )
    return visible(page, lines=True)


def _command(text: str) -> str:
    # A line shall break between words only, not after their hyphens.
    return " ".join(f"<span>{escape(word)}</span>" for word in _visible(text).split(" "))


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _section(title: str, content: str, of: str = "", *, wide: bool = False) -> str:
    small = f"<small>{escape(of)}</small>" if of else ""
    attribute = ' class="wide"' if wide else ""
    return f"<section{attribute}><h2>{title}{small}</h2>{content}</section>"


def _summary(parts: Mapping[str, Evaluation], model: SoftmaxRegression | None) -> str:
    rows = " and ".join(f"{found.rows} {escape(name)} rows" for name, found in parts.items())
    features = "" if model is None else f", {model.coef_.shape[1]} features"
    return f"{rows}{features}, {len(next(iter(parts.values())).classes)} classes."


def _tiles(name: str, found: Evaluation) -> str:
    lean = found.confidence - found.accuracy
    trust = "too confident" if lean > 0 else "not confident enough"
    tiles = [
        (percent(found.accuracy), f"accuracy on {found.rows} {escape(name)} rows"),
        (nats(found.loss), f"mean loss in nats; {nats(found.prior_loss)} for the frequencies of the classes alone"),
        (percent(found.calibration_error), f"calibration error; on average {percent(abs(lean))} {trust}"),
    ]
    return f'<dl class="tiles">{"".join(f"<div><dt>{text}</dt><dd>{value}</dd></div>" for value, text in tiles)}</dl>'


def _results(parts: Mapping[str, Evaluation]) -> str:
    rows = [
        ("rows", [str(found.rows) for found in parts.values()]),
        ("loss (nats)", [nats(found.loss) for found in parts.values()]),
        ("loss of the class frequencies alone", [nats(found.prior_loss) for found in parts.values()]),
        ("accuracy", [percent(found.accuracy) for found in parts.values()]),
        ("mean confidence", [percent(found.confidence) for found in parts.values()]),
        ("calibration error", [percent(found.calibration_error) for found in parts.values()]),
        ("Brier score", [f"{found.brier:.4f}" for found in parts.values()]),
        ("mean F1 of the classes", [percent(macro(found.f1)) for found in parts.values()]),
    ]
    if all(found.top5_accuracy is not None for found in parts.values()):
        rows.insert(4, ("top-5 accuracy", [percent(f.top5_accuracy) for f in parts.values()]))
    return _table("All classes together", ["", *parts], rows)


def _table(caption: str, head: list[str], rows: list[tuple[str, list[str]]], foot: str = "") -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>'
        f"<tbody>{lines}</tbody>{foot}</table></div>"
    )


def _classes(found: Evaluation) -> str:
    chosen = shown_classes(found, _MOST_CLASSES)
    rows = []
    for index in chosen.tolist():
        mistake = most_mistaken(found, index)
        taken = "–" if mistake is None else f"{shown(found.classes[mistake[0]])} ({mistake[1]})"
        values = [percent(figure[index], 1) for figure in (found.precision, found.recall, found.f1)]
        rows.append((shown(found.classes[index]), [*values, str(found.support[index]), taken]))
    left_out = len(found.classes) - len(chosen)
    caption = (
        f"The {len(chosen)} classes of the lowest F1; {left_out} more are not shown"
        if left_out
        else "Each class, and what it is most often mistaken for"
    )
    means = [percent(macro(figure), 1) for figure in (found.precision, found.recall, found.f1)]
    cells = "".join(f"<td>{value}</td>" for value in [*means, str(found.rows), ""])
    foot = f'<tfoot><tr><th scope="row">mean</th>{cells}</tr></tfoot>'
    return _table(caption, ["class", "precision", "recall", "F1", "rows", "taken for"], rows, foot)


def _confusion(found: Evaluation) -> str:
    if len(found.classes) > PICTURED:
        return (
            f"<p>A matrix of {len(found.classes)} classes is too large for a picture; <code>softgrad evaluate "
            "--json</code> lists its cells.</p>"
        )
    numbered = len(found.classes) <= NUMBERED
    numbers = " Cells hold numbers of rows." if numbered else ""
    return (
        f"<p>Each line is a class, each column what its rows were predicted to be: right in blue, wrong in orange, "
        f"deeper for a larger share of the line.{numbers}</p>"
        f'<div class="scroll{" numbered" if numbered else ""}">{confusion(found)}</div>'
    )


def _calibration(found: Evaluation) -> str:
    return (
        f"<p>Of rows predicted with confidence 80 %, 80 % should be right. The calibration error, "
        f"{percent(found.calibration_error)}, is the mean gap between confidence and accuracy, each of {BINS} bins "
        "of equal width weighted by its rows (Guo et al., <cite>On Calibration of Modern Neural Networks</cite>, "
        f"2017).</p>{reliability(found)}"
    )


def _fit(model: SoftmaxRegression) -> dict[str, object]:
    facts = {
        "solver": model.solver_,
        "C": f"{model.C:g}",
        "iterations": model.n_iter_,
        "passes over the data": f"{model.n_passes_:.4g}",
        "objective": f"{model.objective_:.10g} nats",
        "gradient norm": f"{model.gradient_norm_:.1e}, {'within' if model.converged_ else 'above'} tol = {model.tol:g}",
    }
    return facts if model.temperature_ == 1 else {**facts, "temperature": f"{model.temperature_:.4g}"}


def _facts(facts: Mapping[str, object]) -> str:
    lines = "".join(
        f"<div><dt>{escape(_visible(str(name)))}</dt><dd>{escape(_visible(_fact(value)))}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="facts">{lines}</dl>'


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {str(name).replace('_', ' ')}" for name, part in value.items())
    return str(value)
