"""Reports of a fit or an evaluation, each one self-contained HTML file; plots need the extra ``softgrad[report]``.

check_report        refuse a report that could not be written, before any work is done
write_report        write the report of a fit
write_evaluation    write the report of a model or of logits, evaluated on rows
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, write_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from softgrad.cli._metrics import Evaluation
    from softgrad.linear_model import SoftmaxRegression


def check_report(path: Path, *, read: Sequence[Path] = ()) -> None:
    """Refuse a report if a package is missing, or its file is not HTML, cannot be written or replaces one of `read`."""
    for package in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(package) is None:
            raise CommandError(
                f'{package}, which the report needs, is not installed; write pip install "softgrad[report]"', 1
            )
    for other in (None, *read):
        check_output(path, "report.html", replaces=other, option="--report")
    if path.suffix.lower() not in ("", ".html", ".htm"):
        advice = ", and print that page to PDF in a browser" if path.suffix.lower() == ".pdf" else ""
        raise CommandError(
            f"--report {path}: a report is an HTML page; write --report {path.with_suffix('.html')}{advice}"
        )


def write_report(
    path: Path,
    *,
    model: SoftmaxRegression,
    training: Evaluation,
    held_out: Evaluation | None,
    data: Mapping[str, Any],
    command: str,
) -> None:
    """Write the report of a fit.

    Parameters
    ----------
    path : Path
        The file to write, accepted by `check_report`.
    model : SoftmaxRegression
        Fitted.
    training, held_out : Evaluation
        On the rows of the fit, and on held-out rows if there are any.
    data : mapping
        Facts about the table, by label, in the order to print: ``{"table": "digits.csv", "target": "digit",
        "rows": {"training": 1437, "held_out": 360}}``. The title contains the "target".
    command : str
        The command line, as typed.

    Raises
    ------
    CommandError
        If the file cannot be written; the former file, if any, then stays as it was.
    """
    evaluations = {"training": training} | ({} if held_out is None else {"held-out": held_out})
    target = data.get("target")
    _write(
        path, f"Softmax regression of {target}" if target else "Softmax regression", evaluations, model, data, command
    )


def write_evaluation(
    path: Path, *, model: SoftmaxRegression | None, found: Evaluation, data: Mapping[str, Any], command: str
) -> None:
    """Write the report of an evaluation, as `write_report`; `model` is None for logits without a model.

    The title contains the first value of `data`, the name of the model or of the logits.
    """
    _write(path, f"Evaluation of {next(iter(data.values()))}", {"evaluated": found}, model, data, command)


def _write(
    path: Path,
    title: str,
    evaluations: Mapping[str, Evaluation],
    model: SoftmaxRegression | None,
    data: Mapping[str, Any],
    command: str,
) -> None:
    # Matplotlib takes most of a second to import.
    from softgrad.cli._report._page import page  # noqa: PLC0415

    write_output(path, page(title, evaluations, model, data, command), option="--report")
