"""Predictions for a table of several files on a cluster, written as Parquet files."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from softgrad._atomic_write import write_atomically
from softgrad.cli._dask._cluster import errors_of, parted_table
from softgrad.cli._dask._evaluation import reading_remarks
from softgrad.cli._errors import CommandError
from softgrad.cli._prediction_files import parquet_bytes
from softgrad.cli._predictions import predictions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad.cli._predictions import PredictionColumns
    from softgrad.cli._progress import FitProgress
    from softgrad.cli._saved_model import SavedModel
    from softgrad.cli._tables._feature_encoding import Substitutions
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions


class _Prediction(NamedTuple):
    saved: SavedModel
    reading: ReadOptions
    folder: Path
    names: dict[FilePart, str]
    wanted: PredictionColumns


def predict_parts(
    saved: SavedModel,
    table: Path,
    reading: ReadOptions,
    output: Path,
    address: str,
    progress: FitProgress,
    wanted: PredictionColumns,
) -> tuple[int, int, list[str]]:
    """Write the predictions for a table that is read in parts; return the number of rows and of files, and warnings."""
    with _new_folder(output) as folder, parted_table(table, reading, address, progress) as parted:
        names = {part: f"part-{number:05d}.parquet" for number, part in enumerate(parted.parts)}
        found = parted.map("predicting", _predict_part, _Prediction(saved, reading, folder, names, wanted))
    rows, warnings, substitutions = zip(*found, strict=True)
    return sum(rows), len(names), reading_remarks(saved, warnings, substitutions)


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """Yield a new folder beside `output`, which takes its name when the block ends; after an error it is deleted."""
    output = output.absolute()
    if output.exists() and not output.is_dir():
        raise CommandError(f"--output {output} is a file; with --dask name a folder for the Parquet files")
    if output.is_dir() and any(output.iterdir()):
        raise CommandError(f"--output {output} is not empty; name a new folder, or delete its files")
    if not output.parent.is_dir():
        raise CommandError(f"--output {output}: there is no folder {output.parent}; create it, or name another folder")
    folder = output.with_name(f".{output.name}.{secrets.token_hex(8)}.part")
    with _written(output):
        folder.mkdir()
    try:
        yield folder
        with _written(output):
            os.replace(folder, output)
    finally:
        # A task that still runs after an error may write a last file.
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(f"--output {output} cannot be written: {problem}; name another folder", 1) from None


def _predict_part(task: _Prediction, part: FilePart) -> tuple[int, list[str], dict[str, Substitutions]]:
    with errors_of(part):
        rows = task.saved.reader.read(part.path, task.reading, labels=False, part=part, keep=task.wanted.keep)
        content = parquet_bytes(predictions(task.saved, rows, task.wanted).to_frame())
    # A part that is made again replaces the first one.
    with _written(task.folder):
        write_atomically(task.folder / task.names[part], content)
    return len(rows.features), rows.warnings, rows.substitutions
