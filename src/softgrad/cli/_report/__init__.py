"""Reports of a fit or an evaluation: one HTML file, whole in itself; its pictures need the extra ``softgrad[report]``.

check_report        refuses, before any work is done, what could not be written at its end
write_report        of a fit
write_evaluation    of a model or of logits on rows of their own
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from softgrad.cli import CommandError
from softgrad.cli._output import check_output, write_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from softgrad.cli._evaluation import Evaluation
    from softgrad.linear_model import SoftmaxRegression


def check_report(path: Path, *, read: Sequence[Path] = ()) -> None:
    """Refuse a report that cannot be made: without Matplotlib, or where nothing can be written.

    Parameters
    ----------
    path : Path
        The file to write.
    read : sequence of Path
        Files that are read, and must not be replaced.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError(
            'matplotlib, which draws the pictures, is not installed; write pip install "softgrad[report]"', 1
        )
    for other in (None, *read):
        check_output(path, "report.html", replaces=other, option="--report")


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
        That `check_report` has passed.
    model : SoftmaxRegression
        Fitted.
    training, held_out : Evaluation
        Of the rows it was fitted to, and of others if there are any.
    data : mapping
        What is known of the table, by label, in the order to print: ``{"table": "digits.csv", "target": "digit",
        "rows": {"training": 1437, "held_out": 360}}``. Its "target" is in the title.
    command : str
        The command line, as typed.

    Raises
    ------
    CommandError
        If the file cannot be written. It appears whole or not at all.
    """
    parts = {"training": training} | ({} if held_out is None else {"held-out": held_out})
    target = data.get("target")
    _write(path, f"Softmax regression of {target}" if target else "Softmax regression", parts, model, data, command)


def write_evaluation(
    path: Path, *, model: SoftmaxRegression | None, found: Evaluation, data: Mapping[str, Any], command: str
) -> None:
    """Write the report of an evaluation; `model` is None where there are only logits. Else as `write_report`.

    The first value of `data` says what was evaluated, and is in the title.
    """
    _write(path, f"Evaluation of {next(iter(data.values()))}", {"evaluated": found}, model, data, command)


def _write(
    path: Path,
    title: str,
    parts: Mapping[str, Evaluation],
    model: SoftmaxRegression | None,
    data: Mapping[str, Any],
    command: str,
) -> None:
    # Matplotlib takes most of a second to import.
    from softgrad.cli._report._page import page  # noqa: PLC0415

    write_output(path, page(title, parts, model, data, command), option="--report")
