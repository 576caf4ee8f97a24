"""`softgrad predict`: labels and probabilities for the rows of a table."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from softgrad.cli._commands._dask_option import DaskOption, input_files
from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._dask import predict_parts
from softgrad.cli._errors import CommandError
from softgrad.cli._prediction_files import check_prediction_file, output_format, write_predictions
from softgrad.cli._predictions import PredictionColumns, predictions
from softgrad.cli._progress import fit_progress
from softgrad.cli._saved_model import open_model, print_warnings
from softgrad.cli._standard_input import table_file
from softgrad.cli._tables._read_options import ReadOptions  # noqa: TC001 - typer reads the annotations
from softgrad.cli._terminal import say


@takes_reading_options
def predict(
    path: Annotated[
        Path, typer.Argument(metavar="MODEL", exists=True, dir_okay=False, help="Model file of softgrad fit.")
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Rows to predict, in any format of softgrad fit; - for standard input; with --dask a pattern in "
            "quotes, or a folder.",
        ),
    ],
    proba: Annotated[
        bool, typer.Option("--proba", help="Add the probability of every class, in a column with the class's name.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="Add the K most probable labels and their probabilities: the columns probability, NAME_2, "
            "probability_2, ... beside the label, NAME.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns of TABLE to write before the label, as in --keep id,name; may be repeated. Fields of CSV are "
            "kept as text, so that 007 stays 007.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write: .csv, .tsv, .json or .parquet, by its name. If that fails, a file of this name is "
            "unchanged. With --dask a folder of Parquet files, which must be new or empty.",
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

    Labels are written as they are, also those that a spreadsheet runs as formulas, such as =cmd.
    Of two columns with one name, the second is written as predicted_NAME or probability_NAME.
    """
    files = input_files(table, dask)
    wanted = PredictionColumns(tuple(keep or ()), proba, top)
    if proba and top is not None:
        raise CommandError(f"--proba and --top {top}; write one of the two: --proba adds all probabilities")
    if dask is not None:
        _predict_parts(path, table, reading, output, dask, wanted, as_json=as_json)
        return
    file_format = output_format(output, as_json=as_json)
    if output is not None:
        check_prediction_file(output, path, files)
    saved = open_model(path)
    wanted.check_for(saved.model.classes_)
    with table_file(table) as file:
        rows = saved.read(file, reading, labels=False, keep=wanted.keep)
        try:
            found = predictions(saved, rows, wanted)
        except ValueError as error:
            raise CommandError(str(error)) from None
        write_predictions(found, output, file_format)


def _predict_parts(
    path: Path,
    table: Path,
    reading: ReadOptions,
    output: Path | None,
    dask: str,
    wanted: PredictionColumns,
    *,
    as_json: bool,
) -> None:
    if output is None or str(output) == "-":
        raise CommandError("--dask writes Parquet files; add --output with the name of a folder for them")
    if as_json:
        raise CommandError("--json is for one table; with --dask the predictions are Parquet files; leave it out")
    saved = open_model(path)
    wanted.check_for(saved.model.classes_)
    with fit_progress() as progress:
        rows, files, remarks = predict_parts(saved, table, reading, output, dask, progress, wanted)
    print_warnings(remarks)
    say(f"predictions for {rows} rows written to {output} as {files} files")
