"""A fitted model as two arrays and a record of plain JSON values, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from softgrad.linear_model._softmax_regression import SoftmaxRegression
from softgrad.linear_model._solver import Iteration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# What fit leaves beside arrays, with the kinds that JSON may give back.
_RESULTS: dict[str, tuple[type, ...]] = {
    "n_iter_": (int,),
    "n_passes_": (int, float),
    "loss_": (int, float),
    "objective_": (int, float),
    "gradient_norm_": (int, float),
    "converged_": (bool,),
    "solver_": (str,),
    "temperature_": (int, float),
}
_NUMBERS = frozenset("biuf")


def check_model(model: object) -> None:
    """Refuse what is no fitted SoftmaxRegression."""
    if not isinstance(model, SoftmaxRegression):
        hint = "; write model.best_estimator_" if hasattr(model, "best_estimator_") else ""
        raise TypeError(f"model is a {type(model).__name__}; expected a SoftmaxRegression{hint}")
    check_is_fitted(model)


def record_of(model: SoftmaxRegression) -> dict[str, Any]:
    """Everything of a fitted model but its coefficients."""
    record = {
        "options": {name: _plain(value, name) for name, value in model.get_params(deep=False).items()},
        "results": {name: _plain(getattr(model, name), name) for name in _RESULTS},
        "history": [[_plain(number, "history_") for number in iteration] for iteration in model.history_],
        "classes": _classes_record(model.classes_),
    }
    if hasattr(model, "feature_names_in_"):
        record["feature_names"] = [str(name) for name in model.feature_names_in_]
    return record


def model_from(record: dict[str, Any], tensors: dict[str, Array]) -> SoftmaxRegression:
    """The model of a record; ValueError, TypeError or KeyError if it is none."""
    known = SoftmaxRegression().get_params(deep=False)
    unknown = sorted(record["options"].keys() - known.keys())
    if unknown:
        raise ValueError(f"this softgrad has no option {unknown[0]!r}; write pip install --upgrade softgrad")
    model = SoftmaxRegression(**{name: _value(option) for name, option in record["options"].items()})
    coef, intercept = _coefficients(tensors)
    model.coef_, model.intercept_ = coef, intercept
    model.classes_ = _classes(record["classes"], len(coef))
    model.n_features_in_ = coef.shape[1]
    if "feature_names" in record:
        names = record["feature_names"]
        if len(names) != coef.shape[1] or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names holds {len(names)} entries; expected {coef.shape[1]} strings")
        model.feature_names_in_ = np.array(names, object)
    for name, kinds in _RESULTS.items():
        value = _value(record["results"][name])
        if type(value) not in kinds:
            raise ValueError(f"{name} is {value!r}; expected {kinds[-1].__name__}")
        setattr(model, name, value)
    if not 0 < model.temperature_ < math.inf:
        raise ValueError(f"temperature_ is {model.temperature_}; expected a positive number")
    model.history_ = [Iteration(*map(_value, iteration)) for iteration in record["history"]]
    return model


def _coefficients(tensors: dict[str, Array]) -> tuple[Array, Array]:
    coef, intercept = tensors["coef"], tensors["intercept"]
    if coef.dtype != np.float64 or intercept.dtype != np.float64 or coef.ndim != 2:
        raise ValueError(f"coef has shape {coef.shape} and dtype {coef.dtype}; expected two axes of float64")
    if intercept.shape != coef.shape[:1]:
        raise ValueError(f"coef and intercept have shapes {coef.shape} and {intercept.shape}; expected (K, D) and (K,)")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("coef or intercept holds values that are not finite")
    return coef, intercept


def _classes_record(classes: Array) -> dict[str, Any]:
    kind = classes.dtype.kind
    if kind in _NUMBERS and classes.dtype.itemsize <= 8:
        return {"dtype": classes.dtype.name, "values": classes.tolist()}
    names = [str(name) for name in classes]
    # A fixed-width string loses zeros at its end.
    if all(isinstance(name, str) for name in classes) and np.array(names).tolist() == names:
        return {"dtype": "str", "values": names}
    raise TypeError(
        f"classes_ has dtype {classes.dtype} and holds {classes[0]!r}; expected numbers or strings; "
        "fit with labels written as y.astype(str)"
    )


def _classes(record: dict[str, Any], count: int) -> Array:
    name, values = record["dtype"], record["values"]
    if name == "str":
        classes = np.array(values)
        fits = classes.dtype.kind == "U"
    else:
        dtype = np.dtype(name)
        classes = np.array(values, dtype if dtype.kind in _NUMBERS else np.float64)
        fits = dtype.kind in _NUMBERS and classes.tolist() == values
    if not fits or classes.shape != (count,):
        raise ValueError(f"classes holds {len(values)} values of {name!r}; expected {count} numbers or strings")
    if len(set(values)) != count:
        raise ValueError("classes holds a label twice")
    return classes


def _plain(value: Any, name: str) -> Any:
    """As JSON has it; what it lacks, infinities and dictionaries with keys other than strings, as an object."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {"pairs": [[_plain(key, name), _plain(entry, name)] for key, entry in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{name} is {value!r}, of type {type(value).__name__}; expected None, a number, a string or a dictionary of "
        "them, which a file can hold"
    )


def _value(plain: Any) -> Any:
    if isinstance(plain, dict):
        if "float" in plain:
            return float(plain["float"])
        return {_value(key): _value(entry) for key, entry in plain["pairs"]}
    return plain
