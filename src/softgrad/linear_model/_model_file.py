"""A fitted model as a NumPy ``.npz`` file: plain arrays, nothing that runs when it is read."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from softgrad.linear_model._softmax_regression import SoftmaxRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_FORMAT = "softgrad.linear_model.SoftmaxRegression"
_VERSION = 1
_OPTIONS = ("C", "tol", "max_iter")
_RESULTS = ("n_iter_", "loss_", "objective_", "gradient_norm_", "converged_")
# BadZipFile also reports a wrong checksum; the others are what damaged headers lead to.
_DAMAGE = (ValueError, KeyError, EOFError, OSError, RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error)


def save_model(model: SoftmaxRegression, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to a file.

    The file appears whole or not at all: it is written beside its place under another name, then renamed.

    Parameters
    ----------
    model : SoftmaxRegression
        Fitted.
    path : str or path
        The name is taken as it is; ``.npz`` is customary. A file of that name is replaced.

    Raises
    ------
    TypeError
        If `model` is no SoftmaxRegression, or its classes are neither numbers nor strings.
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
    ...     save_model(model, pathlib.Path(folder, "model.npz"))
    ...     load_model(pathlib.Path(folder, "model.npz")).predict([[2.0]])
    array(['yes'], dtype='<U3')
    """
    if not isinstance(model, SoftmaxRegression):
        raise TypeError(f"model is a {type(model).__name__}; expected a SoftmaxRegression")
    check_is_fitted(model)
    arrays = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "coef": model.coef_,
        "intercept": model.intercept_,
        "classes": _plain_classes(model.classes_),
        **{name: getattr(model, name) for name in _OPTIONS},
        **{name.rstrip("_"): getattr(model, name) for name in _RESULTS},
    }
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = model.feature_names_in_.astype(str)
    # A link keeps pointing where it points; its file is replaced.
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(f"{path} is not a file; expected the name of a file to write, such as model.npz")
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with open(part, "xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)


def load_model(path: str | os.PathLike[str]) -> SoftmaxRegression:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    SoftmaxRegression
        Fitted; it predicts what the saved one did, bit for bit. Class names of dtype object come back as
        fixed-width strings.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such model, is damaged, or comes from a later version of softgrad.

    Examples
    --------
    See `save_model`.
    """
    # Read first, so that an OSError after this line can only come from a damaged offset.
    content = io.BytesIO(Path(path).read_bytes())
    try:
        if not zipfile.is_zipfile(content):
            raise ValueError("not an archive of arrays")
        content.seek(0)
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged, or no file that save_model wrote: {error}") from None
    if str(arrays.get("format", "")) != _FORMAT:
        raise ValueError(f"{path} holds no softmax regression; expected a file that save_model wrote")
    try:
        version = int(arrays["format_version"])
        if version > _VERSION:
            raise ValueError(
                f"format version {version} comes from a later softgrad; this one reads {_VERSION}; "
                "write pip install --upgrade softgrad"
            )
        return _model(arrays)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None


def _model(arrays: dict[str, Array]) -> SoftmaxRegression:
    model = SoftmaxRegression(**{name: arrays[name].item() for name in _OPTIONS})
    coef, intercept, classes = (np.asarray(arrays[name]) for name in ("coef", "intercept", "classes"))
    if coef.dtype != np.float64 or intercept.dtype != np.float64 or coef.ndim != 2:
        raise ValueError(f"coef has shape {coef.shape} and dtype {coef.dtype}; expected two axes of float64")
    if intercept.shape != coef.shape[:1] or classes.shape != coef.shape[:1]:
        raise ValueError(
            f"coef, intercept and classes have shapes {coef.shape}, {intercept.shape} and {classes.shape}; "
            "expected (K, D), (K,) and (K,)"
        )
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("coef or intercept holds values that are not finite")
    model.coef_, model.intercept_, model.classes_ = coef, intercept, classes
    model.n_features_in_ = coef.shape[1]
    if "feature_names" in arrays:
        names = arrays["feature_names"].astype(object)
        if names.shape != coef.shape[1:]:
            raise ValueError(f"feature_names has shape {names.shape}; expected {coef.shape[1:]}")
        model.feature_names_in_ = names
    for name in _RESULTS:
        setattr(model, name, arrays[name.rstrip("_")].item())
    return model


def _plain_classes(classes: Array) -> Array:
    """The classes in a dtype that needs no pickle."""
    if classes.dtype.kind in "biufUS":
        return classes
    names = [str(name) for name in classes]
    if not all(isinstance(name, str) for name in classes) or np.array(names).tolist() != names:
        raise TypeError(
            f"classes_ has dtype {classes.dtype} and holds {classes[0]!r}; expected numbers or strings; "
            "fit with labels written as y.astype(str)"
        )
    return np.array(names)
