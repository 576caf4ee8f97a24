"""A fitted model as a safetensors file: two arrays and a JSON header, without executable content."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import softgrad
from softgrad._atomic_write import write_atomically
from softgrad.linear_model._formats._model_record import check_model, model_from, record_of

if TYPE_CHECKING:
    import os

    from softgrad._typing import Array
    from softgrad.linear_model._softmax_regression import SoftmaxRegression

_FORMAT = "softgrad.linear_model.SoftmaxRegression"
_VERSION = 1
# safetensors writes its metadata in no fixed order: with one entry, equal models make equal files.
_ENTRY = "softgrad"


def save_model(model: SoftmaxRegression, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to a safetensors file.

    The file is written atomically. Equal fits give equal files, which contain no times. Any safetensors reader can
    read the float64 arrays ``coef`` (K, D) and ``intercept`` (K,). The metadata entry ``softgrad`` is JSON with
    ``format``, ``format_version``, ``softgrad_version``, ``classes``, ``options``, ``results``, ``history``,
    ``feature_names`` if the columns had names, and ``sha256``, a checksum of header and arrays.

    Parameters
    ----------
    model : SoftmaxRegression
        Fitted model.
    path : str or path
        File name, used without adding a suffix; ``.safetensors`` is usual. An existing file is replaced.

    Raises
    ------
    TypeError
        If `model` is not a SoftmaxRegression, or its classes are neither numbers nor strings.
    ValueError
        If a parameter or attribute was changed after `fit` to a value that `fit` does not accept or produce.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    OSError
        If the file cannot be written, or `path` is not a regular file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from softgrad.linear_model import SoftmaxRegression, load_model, save_model
    >>> model = SoftmaxRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, pathlib.Path(folder, "model.safetensors"))
    ...     load_model(pathlib.Path(folder, "model.safetensors")).predict([[2.0]])
    array(['yes'], dtype='<U3')
    """
    save_with_table(model, path, None)


def load_model(path: str | os.PathLike[str]) -> SoftmaxRegression:
    """Read a model written by `save_model` or the command ``softgrad fit``.

    Parameters
    ----------
    path : str or path
        File name.

    Returns
    -------
    SoftmaxRegression
        Fitted model, whose predictions equal those of the saved one bit for bit. String classes have a fixed-width
        dtype, even if they had dtype object; the ``seconds`` of ``history_`` are NaN. A model from ``softgrad fit``
        expects the columns in ``feature_names_in_``, with text columns encoded as ``softgrad predict`` encodes them.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not such a model, is damaged (a checksum covers header and arrays), contains values that `fit`
        does not produce, or was written by a later version of softgrad.
    """
    model, _ = load_with_table(path)
    return model


def save_with_table(model: SoftmaxRegression, path: str | os.PathLike[str], table: dict[str, Any] | None) -> None:
    """Save a model with `table`, JSON values from which the command converts tables to X."""
    check_model(model)
    # safetensors writes the memory of an array whatever its strides.
    tensors = {"coef": np.ascontiguousarray(model.coef_), "intercept": np.ascontiguousarray(model.intercept_)}
    record = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "softgrad_version": softgrad.__version__,
        **record_of(model),
        "table": table,
    }
    try:
        model_from(record, tensors)  # whatever is written can be read
    except (ValueError, TypeError) as error:
        raise type(error)(f"this model cannot be saved: {error}") from None
    record["sha256"] = _checksum(record, tensors)
    write_atomically(path, save(tensors, metadata={_ENTRY: _canonical(record)}))


def load_with_table(path: str | os.PathLike[str]) -> tuple[SoftmaxRegression, dict[str, Any] | None]:
    """Return the model and the `table` of `save_with_table`."""
    record, tensors = _contents(path)
    if record is None or record.get("format") != _FORMAT:
        raise ValueError(f"{path} does not contain a softmax regression; expected a file written by save_model")
    try:
        version = record["format_version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format_version is {version!r:.60}; expected {_VERSION}")
        if version > _VERSION:
            raise ValueError(
                f"format version {version} comes from a later softgrad; this one reads {_VERSION}; "
                "write pip install --upgrade softgrad"
            )
        if record.pop("sha256") != _checksum(record, tensors):
            raise ValueError("the file is damaged: its checksum does not match; save the model again")
        table = record["table"]
        if not (table is None or isinstance(table, dict)):
            raise ValueError(f"table is {table!r:.60}; expected null or an object")
        return model_from(record, tensors), table
    except KeyError as error:
        raise ValueError(f"{path} cannot be used: it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None


def _contents(path: str | os.PathLike[str]) -> tuple[dict[str, Any] | None, dict[str, Array]]:

    with open(path, "rb"):  # raises OSError with the system's message
        pass
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not iterable
            entry = (file.metadata() or {}).get(_ENTRY)
        record = None if entry is None else json.loads(entry)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, or was not written by save_model: {error}") from None
    return (record if isinstance(record, dict) else None), tensors


def _canonical(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checksum(record: dict[str, Any], tensors: dict[str, Array]) -> str:
    checksum = hashlib.sha256(_canonical(record).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum.update(f"{name} {tensor.dtype.name} {tensor.shape}".encode())
        checksum.update(tensor)  # type: ignore[arg-type]  # a buffer, as C-contiguous arrays are
    return checksum.hexdigest()
