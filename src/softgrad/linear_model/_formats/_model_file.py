"""A fitted model as a safetensors file: two arrays and a header of JSON, nothing that runs when it is read."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

import softgrad
from softgrad._whole_file import write_whole
from softgrad.linear_model._formats._model_record import check_model, model_from, record_of

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from softgrad.linear_model._softmax_regression import SoftmaxRegression

    Array = NDArray[Any]

_FORMAT = "softgrad.linear_model.SoftmaxRegression"
_VERSION = 1
# safetensors writes its metadata in no fixed order: with one entry, equal models make equal files.
_ENTRY = "softgrad"


def save_model(model: SoftmaxRegression, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to a safetensors file.

    The file appears whole or not at all, and equal fits make equal files: no time is in it. Any safetensors reader
    finds the arrays ``coef`` (K, D) and ``intercept`` (K,), float64, and in the metadata entry ``softgrad``, as JSON:
    ``format``, ``format_version``, ``softgrad_version``, ``classes``, ``options``, ``results``, ``history``,
    ``feature_names`` if the columns had names, and ``sha256``, the checksum of all of it.

    Parameters
    ----------
    model : SoftmaxRegression
        Fitted.
    path : str or path
        The name is taken as it is; ``.safetensors`` is customary. A file of that name is replaced.

    Raises
    ------
    TypeError
        If `model` is no SoftmaxRegression, or its classes are neither numbers nor strings.
    ValueError
        If an option or attribute has been changed since `fit` to a value that `fit` refuses or cannot leave.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    OSError
        If the file cannot be written, or `path` is something else than a file.

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
    """Read a model that `save_model`, or the command ``softgrad fit``, wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    SoftmaxRegression
        Fitted; it predicts what the saved one did, bit for bit. Names of classes come back as strings as wide as the
        longest, also from dtype object; the ``seconds`` of ``history_`` are NaN. A model of ``softgrad fit`` takes the
        columns that ``feature_names_in_`` names, texts already encoded: ``softgrad predict`` does that.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such model, is damaged (every byte that means something is under a checksum), holds anything that
        `fit` cannot leave, or comes from a later version of softgrad.

    Examples
    --------
    See `save_model`.
    """
    model, _ = load_with_table(path)
    return model


def save_with_table(model: SoftmaxRegression, path: str | os.PathLike[str], table: dict[str, Any] | None) -> None:
    """As `save_model`; `table`, of JSON values, tells the command how rows of tables become X."""
    from safetensors.numpy import save  # noqa: PLC0415

    check_model(model)
    # safetensors takes the memory as it lies.
    tensors = {"coef": np.ascontiguousarray(model.coef_), "intercept": np.ascontiguousarray(model.intercept_)}
    record = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "softgrad_version": softgrad.__version__,
        **record_of(model),
        "table": table,
    }
    try:
        model_from(record, tensors)  # so that every file which is written can be read
    except (ValueError, TypeError) as error:
        raise type(error)(f"this model cannot be saved: {error}") from None
    record["sha256"] = _checksum(record, tensors)
    write_whole(path, save(tensors, metadata={_ENTRY: _canonical(record)}))


def load_with_table(path: str | os.PathLike[str]) -> tuple[SoftmaxRegression, dict[str, Any] | None]:
    """The model, and what `save_with_table` was given beside it."""
    record, tensors = _contents(path)
    if record is None or record.get("format") != _FORMAT:
        raise ValueError(f"{path} holds no softmax regression; expected a file that save_model wrote")
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
            raise ValueError("the file is damaged: its checksum does not fit; save the model again")
        table = record["table"]
        if not (table is None or isinstance(table, dict)):
            raise ValueError(f"table is {table!r:.60}; expected null or an object")
        return model_from(record, tensors), table
    except KeyError as error:
        raise ValueError(f"{path} cannot be used: it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None


def _contents(path: str | os.PathLike[str]) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    with open(path, "rb"):  # the system's own words if that fails
        pass
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not iterable
            entry = (file.metadata() or {}).get(_ENTRY)
        record = None if entry is None else json.loads(entry)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, or no file that save_model wrote: {error}") from None
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
