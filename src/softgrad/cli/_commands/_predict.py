"""`softgrad predict`: labels or probabilities for the rows of a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_data, print_json, write_output
from softgrad.cli._saved_model import open_model
from softgrad.cli._tables._read_options import ReadOptions  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable


@takes_reading_options
def predict(
    path: Annotated[
        Path, typer.Argument(metavar="MODEL", exists=True, dir_okay=False, help="Model file of softgrad fit.")
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", exists=True, dir_okay=False, help="Rows to predict, in any format of softgrad fit."
        ),
    ],
    proba: Annotated[
        bool, typer.Option("--proba", help="Print the probabilities of all classes instead of the label.")
    ] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write.", show_default="stdout")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of CSV.")] = False,
    *,
    reading: ReadOptions,
) -> None:
    """Print the most probable label of every row, as CSV.

    Columns are matched by name, in any order; additional columns, such as the labels, are ignored.
    Arrays and LibSVM text must have as many features as the model.
    Text that did not occur in training belongs to no category and causes a warning.
    """
    if output is not None:
        check_output(output, "predictions.csv", replaces=table)
        if output.exists() and output.samefile(path):
            raise CommandError(f"--output {output} would replace the model; name another file")
    saved = open_model(path)
    features, _ = saved.read(table, reading, labels=False)
    model = saved.model
    try:
        values = model.predict_proba(features) if proba else model.predict(features)
    except ValueError as error:
        raise CommandError(str(error)) from None
    labels, found = model.classes_.tolist(), values.tolist()
    if as_json:
        result = {"classes": labels, "probabilities" if proba else "labels": found}
        content = json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n"
    elif proba:
        content = _csv(labels, found)
    else:
        name = saved.target if saved.encoding is not None and saved.target is not None else "label"
        content = _csv([name], ([label] for label in found))
    if output is None and as_json:
        print_json(result)
    elif output is None:
        print_data(content)
    else:
        write_output(output, content)


def _csv(header: list[Any], rows: Iterable[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
