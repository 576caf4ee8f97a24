"""The contents of the page, which `softgrad/_pages/report.html` lays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import softgrad
from softgrad import _pages
from softgrad._calibration import BINS
from softgrad.cli._formatting import nats, percent, row_count, shown
from softgrad.cli._metrics import Evaluation, macro, most_mistaken, shown_classes
from softgrad.cli._report._coefficients import coefficients
from softgrad.cli._report._plots import NUMBERED, PICTURED, confusion, convergence, reliability
from softgrad.cli._terminal import visible

if TYPE_CHECKING:
    from softgrad.linear_model import SoftmaxRegression

_MOST_CLASSES = 30
# The table and the confusion matrix of more classes do not fit into half of the page.
_HALF_WIDTH = 12


def page(
    title: str,
    evaluations: Mapping[str, Evaluation],
    model: SoftmaxRegression | None,
    data: Mapping[str, object],
    command: str,
) -> str:
    """Render the report; pictures and tables of classes show the last of the evaluations."""
    name, found = list(evaluations.items())[-1]
    count = len(found.classes)
    facts = {**data, **_fit(model)} if model else data
    html = _pages.render(
        "report.html",
        title=_printable(title),
        summary=_summary(evaluations, model),
        tiles=_tiles(name, found),
        name=name,
        names=list(evaluations),
        results=_results(evaluations),
        classes=_classes(found),
        class_count=count,
        tall=count > _HALF_WIDTH,
        numbered=count <= NUMBERED,
        confusion=confusion(found) if count <= PICTURED else None,
        calibration_error=percent(found.calibration_error),
        bins=BINS,
        reliability=reliability(found),
        convergence=convergence(model) if model else None,
        facts=[(_printable(str(fact)), _printable(_text(value))) for fact, value in facts.items()],
        command=_printable(command).split(" "),
        coefficients=coefficients(model) if model else None,
        version=softgrad.__version__,
    )
    return visible(html, lines=True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _summary(evaluations: Mapping[str, Evaluation], model: SoftmaxRegression | None) -> str:
    rows = " and ".join(f"{found.rows} {name} rows" for name, found in evaluations.items())
    features = "" if model is None else f", {model.coef_.shape[1]} features"
    return f"{rows}{features}, {len(next(iter(evaluations.values())).classes)} classes."


def _tiles(name: str, found: Evaluation) -> list[tuple[str, str]]:
    excess = found.confidence - found.accuracy
    trust = "too confident" if excess > 0 else "not confident enough"
    return [
        (percent(found.accuracy), f"accuracy on {found.rows} {name} rows"),
        (nats(found.loss), f"mean loss in nats; {nats(found.prior_loss)} for the frequencies of the classes alone"),
        (percent(found.calibration_error), f"calibration error; on average {percent(abs(excess))} {trust}"),
    ]


def _results(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    found = evaluations.values()
    rows = [
        ["rows", *(str(part.rows) for part in found)],
        ["loss (nats)", *(nats(part.loss) for part in found)],
        ["loss of the class frequencies alone", *(nats(part.prior_loss) for part in found)],
        ["accuracy", *(percent(part.accuracy) for part in found)],
        ["top-5 accuracy", *(percent(part.top5_accuracy) for part in found)],
        ["mean confidence", *(percent(part.confidence) for part in found)],
        ["calibration error", *(percent(part.calibration_error) for part in found)],
        ["Brier score", *(f"{part.brier:.4f}" for part in found)],
        ["mean F1 of the classes", *(percent(macro(part.f1)) for part in found)],
    ]
    if any(part.top5_accuracy is None for part in found):
        del rows[4]
    return rows


def _classes(found: Evaluation) -> dict[str, Any]:
    chosen = shown_classes(found, _MOST_CLASSES)
    left_out = len(found.classes) - len(chosen)
    figures = found.precision, found.recall, found.f1
    rows = []
    for index in chosen.tolist():
        mistake = most_mistaken(found, index)
        taken = "–" if mistake is None else f"{shown(found.classes[mistake[0]])} ({row_count(mistake[1])})"
        values = (percent(figure[index], 1) for figure in figures)
        rows.append([shown(found.classes[index]), *values, row_count(found.support[index]), taken])
    return {
        "caption": f"The {len(chosen)} classes of the lowest F1; {left_out} more are not shown"
        if left_out
        else "Each class and its most frequent mistake",
        "rows": rows,
        "means": [*(percent(macro(figure), 1) for figure in figures), row_count(found.weight), ""],
    }


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


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {str(name).replace('_', ' ')}" for name, part in value.items())
    return str(value)
