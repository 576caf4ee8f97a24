"""Predictions as CSV, TSV, JSON or Parquet, by the name of the file."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Literal

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_data, print_json, write_output
from softgrad.cli._predictions import json_value
from softgrad.cli._tables._parquet import check_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from softgrad.cli._predictions import Predictions

Format = Literal["csv", "tsv", "json", "parquet"]
_BY_SUFFIX: dict[str, Format] = {
    "": "csv",
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".parquet": "parquet",
}


def output_format(output: Path | None, *, as_json: bool) -> Format:
    """Return the format of a file, or of stdout for None; one that cannot be written is an error."""
    found = _BY_SUFFIX.get(output.suffix.lower()) if output is not None else "csv"
    if found is None:
        raise CommandError(
            f"--output {output}: predictions are CSV, TSV, JSON or Parquet; write --output with a name that ends in "
            ".csv, .tsv, .json or .parquet"
        )
    if as_json and found == "parquet":
        raise CommandError(f"--output {output} is Parquet by its name; leave out --json, or name a .json file")
    if found == "parquet":
        check_parquet(f"--output {output}")
    return "json" if as_json else found


def check_prediction_file(output: Path, model: Path, tables: Sequence[Path]) -> None:
    """Refuse a file that cannot be written, or is the model or a table."""
    for table in (None, *tables):
        check_output(output, "predictions.csv", replaces=table)
    if output.exists() and output.samefile(model):
        raise CommandError(f"--output {output} would replace the model; name another file")


def write_predictions(found: Predictions, output: Path | None, file_format: Format) -> None:
    """Write predictions to a file, whole or not at all, or to stdout."""
    if output is None and file_format == "json":
        print_json(found.to_json())
    elif output is None:
        print_data(_csv(found.to_frame(), ","))
    elif file_format == "json":
        write_output(output, json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
    elif file_format == "parquet":
        write_output(output, parquet_bytes(found.to_frame()))
    else:
        write_output(output, _csv(found.to_frame(), "\t" if file_format == "tsv" else ","))


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return the content of a Parquet file."""
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def _csv(frame: pd.DataFrame, sep: str) -> str:
    nested = [name for name, values in frame.items() if values.dtype.kind == "O" and values.map(_is_nested).any()]
    frame = frame.assign(**{str(name): frame[name].map(_nested_text) for name in nested})
    text: str = frame.to_csv(index=False, sep=sep, lineterminator="\n")
    return text


def _is_nested(value: object) -> bool:
    return isinstance(value, np.ndarray | list | tuple | dict)


def _nested_text(value: object) -> object:
    """Return a list as JSON text, because that of NumPy leaves out digits and entries."""
    return json.dumps(json_value(value), ensure_ascii=False) if _is_nested(value) else value
