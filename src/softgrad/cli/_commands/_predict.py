"""`softgrad predict`: labels or probabilities for the rows of a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softgrad.cli._commands._dask_option import DaskOption, input_files
from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._dask import predict_parts
from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_data, print_json, write_output
from softgrad.cli._progress import fit_progress
from softgrad.cli._saved_model import open_model, print_warnings
from softgrad.cli._tables._read_options import ReadOptions  # noqa: TC001 - typer reads the annotations
from softgrad.cli._terminal import say

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
            metavar="TABLE",
            help="Rows to predict, in any format of softgrad fit; with --dask a pattern in quotes, or a folder.",
        ),
    ],
    proba: Annotated[
        bool, typer.Option("--proba", help="Print the probabilities of all classes instead of the label.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write; with --dask a folder of Parquet files, which must be new or empty.",
            show_default="stdout",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of CSV.")] = False,
    dask: DaskOption = None,
    *,
    reading: ReadOptions,
) -> None:
    """Print the most probable label of every row, as CSV.

    Columns are matched by name, in any order; additional columns, such as the labels, are ignored.
    Arrays and LibSVM text must have as many features as the model.
    Text that did not occur in training belongs to no category and causes a warning.
    """
    files = input_files(table, dask)
    if dask is not None:
        _predict_parts(path, table, reading, output, dask, proba=proba, as_json=as_json)
        return
    if output is not None:
        check_output(output, "predictions.csv", replaces=files[0])
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
        content = _csv([saved.label_name], ([label] for label in found))
    if output is None and as_json:
        print_json(result)
    elif output is None:
        print_data(content)
    else:
        write_output(output, content)


def _predict_parts(
    path: Path, table: Path, reading: ReadOptions, output: Path | None, dask: str, *, proba: bool, as_json: bool
) -> None:
    if output is None:
        raise CommandError("--dask writes Parquet files; add --output with the name of a folder for them")
    if as_json:
        raise CommandError("--json is for one table; with --dask the predictions are Parquet files; leave it out")
    saved = open_model(path)
    with fit_progress() as progress:
        rows, files, remarks = predict_parts(saved, table, reading, output, dask, progress, proba=proba)
    print_warnings(remarks)
    say(f"predictions for {rows} rows written to {output} as {files} files")


def _csv(header: list[Any], rows: Iterable[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
