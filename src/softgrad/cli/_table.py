"""Tables with named columns, CSV and Parquet, and which kind of file a table is in."""

from __future__ import annotations

import difflib
import lzma
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

_ENDINGS = {
    "csv": (".csv", ".csv.gz"),
    "tsv": (".tsv", ".tsv.gz"),
    "parquet": (".parquet",),
    "npy": (".npy",),
    "npz": (".npz",),
    "libsvm": (".svm", ".libsvm", ".txt", ".svm.gz", ".libsvm.gz", ".txt.gz"),
}
FRAMES = ("csv", "tsv", "parquet")
_EXACT = 2**53  # beyond, float64 no longer tells whole numbers apart


def kind_of(path: Path) -> str:
    """The kind of file, a key of the endings above, by its name."""
    for kind, endings in _ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    raise CommandError(
        f"{path}: unknown kind of table; expected a name that ends in .csv, .tsv, .parquet, .npy or .npz, or in "
        ".svm, .libsvm or .txt for LibSVM text; text may be packed (.csv.gz)"
    )


def read_frame(
    path: Path, *, header: bool = True, missing: Collection[str] = (), text: Collection[str] = ()
) -> pd.DataFrame:
    """A CSV, TSV or Parquet file with at least one row.

    Parameters
    ----------
    path : Path
        The file.
    header : bool
        Whether the first line names the columns; if not, they are named by position from 0. Parquet has names.
    missing : collection of str
        Texts that mean a missing value, beside the empty field.
    text : collection of str
        Columns to read as they stand, "007" as text.
    """
    kind = kind_of(path)
    frame = _read_parquet(path) if kind == "parquet" else _read_text(path, kind, header, missing, text)
    frame.columns = [str(name) for name in frame.columns]
    if frame.empty:
        raise CommandError(f"{path} holds {'a header' if header else 'columns'} but no rows")
    return frame


def _read_text(path: Path, kind: str, header: bool, missing: Collection[str], text: Collection[str]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    # Without a header pandas calls columns by number.
    columns: list[Any] = list(text) if header else [int(name) for name in text if name.isdecimal()]
    options: dict[str, Any] = {"header": 0 if header else None, "dtype": dict.fromkeys(columns, str)}
    try:
        with warnings.catch_warnings():
            # pandas only warns when a row is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Only an empty field is missing: of "NA" or "-" the user shall hear what stands there.
            return pd.read_csv(
                path,
                sep="\t" if kind == "tsv" else ",",
                index_col=False,
                keep_default_na=False,
                na_values=["", *missing],
                low_memory=False,
                **options,
            )
    except pd.errors.EmptyDataError:
        expected = f"{kind.upper()} with a header line" if header else kind.upper()
        raise CommandError(f"{path} is empty; expected {expected}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeError) as error:
        raise CommandError(f"{path} is not {kind.upper()} in UTF-8: {str(error).strip()}") from None
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system, not of what the file holds
        raise CommandError(f"{path} is not packed by gzip, or damaged: {error}") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    try:
        return pd.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise CommandError(f'{path}: Parquet needs pyarrow; write pip install "softgrad[parquet]"', 1) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise CommandError(f"{path} is damaged: {error}") from None
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # what pyarrow's errors derive from
        raise CommandError(f"{path} is not Parquet, or damaged: {error}") from None


def column_named(given: str, names: list[str], path: Path, option: str) -> str:
    """The column that the user means: by name, or by position from 0, or from the end if negative."""
    if given in names:
        return given
    try:
        position = int(given)
    except ValueError:
        close = difflib.get_close_matches(given, names, n=1) or [n for n in names if n.lower() == given.lower()]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(f"{option}: {path} has no column {given!r}{hint}; its columns: {listing(names)}") from None
    if not -len(names) <= position < len(names):
        raise CommandError(
            f"{option} {given}: {path} has {len(names)} columns; expected a name, or a position from 0 to "
            f"{len(names) - 1}, or from -1 for the last to {-len(names)}"
        )
    return names[position]


def labels_of(column: pd.Series[Any]) -> Array:
    """A column's labels: whole numbers, booleans or text, none of them missing."""
    where = f"column {str(column.name)!r}"
    gaps = column.isna().to_numpy()
    if gaps.any():
        raise CommandError(f"{where}, data row {int(gaps.argmax()) + 1}: no label; drop such rows, or fill them in")
    if column.dtype.kind in "Mm":
        raise CommandError(f"{where} holds {column.dtype}; expected labels, integers or text")
    if column.dtype.kind in "biuf":
        return whole_labels(column.to_numpy(), where)
    values = column.tolist()
    if all(isinstance(value, bool) for value in values):
        return np.array(values)
    return np.array([str(value) for value in values], dtype=str)


def whole_labels(values: Array, where: str) -> Array:
    """Labels that are numbers; floats must be whole, and become integers."""
    if values.dtype.kind != "f":
        return values
    # NaN, which compares false, is no label either.
    whole = (np.abs(values) <= _EXACT) & (values == np.floor(values))
    if not whole.all():
        row = int((~whole).argmax())
        raise CommandError(
            f"{where}, data row {row + 1}: {values[row].item()!r} is a measurement; expected labels, integers or text; "
            "name the column of labels, or divide the values into classes"
        )
    return values.astype(np.int64)


def listing(names: list[str]) -> str:
    """Names for a message, at most a dozen."""
    shown = names if len(names) <= 12 else [*names[:8], "...", *names[-3:]]
    return ", ".join(shown) + ("" if shown is names else f" ({len(names)} in all)")
