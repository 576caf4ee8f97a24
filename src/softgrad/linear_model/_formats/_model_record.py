"""Convert a fitted model to two arrays and a record of JSON values, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from softgrad.linear_model import _fit_options
from softgrad.linear_model._problem._targets import check_class_weight
from softgrad.linear_model._softmax_regression import SoftmaxRegression
from softgrad.linear_model._solvers._history import Iteration
from softgrad.linear_model._solvers._minimise import SOLVERS

if TYPE_CHECKING:
    from softgrad._typing import Array

# The fitted attributes besides arrays and the history.
_RESULTS = (
    "n_iter_", "n_passes_", "loss_", "objective_", "gradient_norm_", "converged_", "solver_", "temperature_",
)  # fmt: skip
_NUMBERS = frozenset("biuf")


def check_model(model: object) -> None:
    """Raise TypeError or NotFittedError unless the model is a fitted SoftmaxRegression."""
    if not isinstance(model, SoftmaxRegression):
        hint = "; write model.best_estimator_" if hasattr(model, "best_estimator_") else ""
        raise TypeError(f"model is a {type(model).__name__}; expected a SoftmaxRegression{hint}")
    check_is_fitted(model)


def record_of(model: SoftmaxRegression) -> dict[str, Any]:
    """Return a fitted model without its coefficients as JSON values."""
    record = {
        "options": {name: _plain(value, name) for name, value in model.get_params(deep=False).items()},
        "results": {name: _plain(getattr(model, name), name) for name in _RESULTS},
        # Without the seconds: equal fits make equal files.
        "history": [[_plain(number, "history_") for number in iteration[:3]] for iteration in model.history_],
        "classes": _classes_record(model.classes_),
    }
    if hasattr(model, "feature_names_in_"):
        record["feature_names"] = [str(name) for name in model.feature_names_in_]
    return record


def model_from(record: dict[str, Any], tensors: dict[str, Array]) -> SoftmaxRegression:
    """Return the model of a record; raise ValueError, TypeError or KeyError if `fit` cannot produce it."""
    model = SoftmaxRegression(**_checked_options(record["options"]))
    model.coef_, model.intercept_ = _coefficients(tensors)
    classes, columns = model.coef_.shape
    model.classes_ = _classes(record["classes"], classes)
    model.n_features_in_ = columns
    if "feature_names" in record:
        model.feature_names_in_ = _feature_names(record["feature_names"], columns)
    for name in _RESULTS:
        setattr(model, name, _result(name, _value(record["results"][name], name)))
    model.history_ = _history(record["history"])
    if model.n_iter_ != len(model.history_):
        raise ValueError(f"n_iter_ is {model.n_iter_}; expected {len(model.history_)}, the length of history")
    return model


def _checked_options(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"options is {record!r:.60}; expected an object")
    unknown = sorted(record.keys() - SoftmaxRegression().get_params(deep=False).keys())
    if unknown:
        raise ValueError(f"this softgrad has no option {unknown[0]!r}; write pip install --upgrade softgrad")
    options = {name: _value(option, name) for name, option in record.items()}
    model = SoftmaxRegression(**options)
    _fit_options.checked(model, model.C)
    _fit_options.truth(model.warm_start, "warm_start")
    check_class_weight(model.class_weight)
    return options


def _feature_names(names: Any, columns: int) -> Array:
    if not isinstance(names, list) or len(names) != columns or not all(isinstance(name, str) for name in names):
        held = f"holds {len(names)} entries" if isinstance(names, list) else f"is {names!r:.60}"
        raise ValueError(f"feature_names {held}; expected {columns} strings")
    array = np.empty(columns, object)
    array[:] = names
    return array


def _result(name: str, value: Any) -> Any:
    if name == "converged_":
        fits, expected = isinstance(value, bool), "bool"
    elif name == "solver_":
        fits, expected = value in SOLVERS, f"one of {', '.join(map(repr, SOLVERS))}"
    elif name == "n_iter_":
        fits, expected = type(value) is int and value >= 0, "an integer of at least 0"
    else:
        fits, expected = type(value) in (int, float) and math.isfinite(value), "a finite number"
        if name == "temperature_":
            fits, expected = fits and value > 0, "a positive number"
        elif name in ("n_passes_", "gradient_norm_"):
            fits, expected = fits and value >= 0, "a number of at least 0"
    if not fits:
        raise ValueError(f"{name} is {value!r:.60}; expected {expected}")
    return value


def _history(record: Any) -> list[Iteration]:
    """Return the iterations, without their seconds, which earlier versions of softgrad stored."""
    if not isinstance(record, list):
        raise ValueError(f"history is {record!r:.60}; expected a list")
    history = []
    for i, entry in enumerate(record):
        numbers = [_value(number, f"history[{i}]") for number in entry] if isinstance(entry, list) else []
        if len(numbers) not in (3, 4) or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            raise ValueError(f"history[{i}] is {entry!r:.60}; expected three finite numbers")
        objective, gradient_norm, passes = numbers[:3]
        history.append(Iteration(objective, gradient_norm, passes, math.nan))
    return history


def _coefficients(tensors: dict[str, Array]) -> tuple[Array, Array]:
    coef, intercept = tensors["coef"], tensors["intercept"]
    if len(tensors) > 2:
        raise ValueError(f"it holds the arrays {', '.join(sorted(tensors))}; expected coef and intercept alone")
    if coef.dtype != np.float64 or intercept.dtype != np.float64 or coef.ndim != 2:
        raise ValueError(f"coef has shape {coef.shape} and dtype {coef.dtype}; expected two axes of float64")
    if intercept.shape != coef.shape[:1]:
        raise ValueError(f"coef and intercept have shapes {coef.shape} and {intercept.shape}; expected (K, D) and (K,)")
    if coef.shape[0] < 2 or coef.shape[1] < 1:
        raise ValueError(f"coef has shape {coef.shape}; expected at least two classes and one column")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("coef or intercept holds values that are not finite")
    return coef, intercept


def _classes_record(classes: Array) -> dict[str, Any]:
    kind = classes.dtype.kind
    if kind in _NUMBERS and classes.dtype.itemsize <= 8:
        return {"dtype": classes.dtype.name, "values": classes.tolist()}
    names = [str(name) for name in classes]
    # A fixed-width string loses trailing null characters.
    if all(isinstance(name, str) for name in classes) and np.array(names).tolist() == names:
        return {"dtype": "str", "values": names}
    raise TypeError(
        f"classes_ has dtype {classes.dtype} and holds {classes[0]!r}; expected numbers or strings; "
        "fit with labels written as y.astype(str)"
    )


def _classes(record: Any, count: int) -> Array:
    if not isinstance(record, dict) or not isinstance(record["values"], list):
        raise ValueError(f"classes is {record!r:.60}; expected an object with dtype and values")
    name, values = record["dtype"], record["values"]
    if name == "str":
        fits = all(isinstance(value, str) for value in values)
        classes = np.array(values if fits else [])
    else:
        dtype = np.dtype(name)
        fits = dtype.kind in _NUMBERS and dtype.itemsize <= 8 and dtype.name == name
        classes = np.array(values, dtype if fits else np.float64)
    if not fits or classes.shape != (count,) or classes.tolist() != values:
        raise ValueError(f"classes holds {len(values)} values of {name!r}; expected {count} numbers or strings")
    if len(set(values)) != count:
        raise ValueError("classes holds a label twice")
    if not (classes[:-1] < classes[1:]).all():
        raise ValueError("classes are not in ascending order")
    return classes


def _plain(value: Any, name: str) -> Any:
    """Return the value for JSON; non-finite numbers, and dictionaries, whose keys may be labels, become objects."""
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
        "them, which can be saved"
    )


def _value(plain: Any, name: str) -> Any:
    """Return the value that `_plain` converted."""
    match plain:
        case None | bool() | str() | float():
            return plain
        case int() if abs(plain) < 2**64:
            return plain
        case {"float": "inf" | "-inf" | "nan" as text, **rest} if not rest:
            return float(text)
        case {"pairs": list(pairs), **rest} if not rest and all(isinstance(p, list) and len(p) == 2 for p in pairs):
            return {_key(key, name): _value(entry, name) for key, entry in pairs}
    raise ValueError(f"{name} is {plain!r:.60}; expected null, a number, a string or a dictionary of them")


def _key(plain: Any, name: str) -> Any:
    key = _value(plain, name)
    if isinstance(key, dict):
        raise ValueError(f"{name} has the key {key!r:.60}; expected a label")
    return key
