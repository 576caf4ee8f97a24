"""What a user gives as y, sample_weight and class_weight, turned into `Targets`; the one place that rejects them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from softgrad import _validation
from softgrad._targets import Targets
from softgrad.linear_model._problem._masks_and_dates import refuse_masks_and_dates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec

    Array = NDArray[Any]


class Labels(NamedTuple):
    """y in numbers: for every row the code of its label, or its class probabilities."""

    names: Array  # sorted: every label that occurs, or the classes of the columns
    codes: Array | None  # (N,), into names
    probabilities: Array | None  # (N, K) float64

    def part(self, rows: Array) -> Labels:
        """Those of some of the rows."""
        if self.codes is not None:
            return self._replace(codes=self.codes[rows])
        assert self.probabilities is not None
        return self._replace(probabilities=self.probabilities[rows])

    def masses(self, weight: Array) -> Array:
        """The summed weight of every label."""
        if self.probabilities is not None:
            return weight @ self.probabilities
        return np.bincount(self.codes, weights=weight, minlength=len(self.names))  # type: ignore[arg-type]


def labels_of(y: Any, rows: int, estimator: str) -> Labels:
    """Labels of any kind, or a floating matrix of class probabilities, one row for each of X."""
    if y is None:
        raise ValueError(f"{estimator} requires y to be passed, but the target y is None")
    refuse_masks_and_dates(y, "y")
    columns = [str(name) for name in getattr(y, "columns", [])]
    if len(set(columns)) < len(columns):
        raise ValueError(f"the columns of y are named {columns}; expected the name of every class once")
    array = check_array(y, ensure_2d=False, allow_nd=True, ensure_min_samples=0, dtype=None, input_name="y")
    if array.ndim not in (1, 2):
        raise ValueError(
            f"y has shape {array.shape}; expected (N,), a label for every row, or (N, K), class probabilities"
        )
    if len(array) != rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {rows} rows, y {len(array)}; expected "
            "one label for every row of X"
        )
    if array.ndim == 2 and array.shape[1] != 1:
        return _soft(array, columns)
    return _hard(array)


def _hard(array: Array) -> Labels:
    if array.ndim == 2:
        warnings.warn(
            f"A column-vector y was passed when a 1d array was expected: y has shape {array.shape}; write y.ravel()",
            DataConversionWarning,
            stacklevel=2,
        )
        array = array.ravel()
    if array.dtype.kind == "O":
        kinds = sorted({"str" if isinstance(label, str) else type(label).__name__ for label in array})
        if len(kinds) > 1:
            raise ValueError(
                f"y holds labels of types {', '.join(kinds)}; expected one kind (Unknown label type); write "
                "y.astype(str), or drop the rows without a label"
            )
    check_classification_targets(array)
    names, codes = np.unique(array, return_inverse=True)
    return Labels(names, codes, None)


def _soft(array: Array, columns: list[str]) -> Labels:
    rows, classes = array.shape
    if array.dtype.kind != "f":
        raise ValueError(
            f"y has shape {array.shape} and dtype {array.dtype}; expected a label for every row, shape ({rows},), or "
            "class probabilities of a floating dtype; write y.argmax(axis=1) for the labels of one-hot rows, or "
            "y.astype(float) if the rows are probabilities or counts"
        )
    probabilities = array.astype(np.float64, order="C")
    if (probabilities < 0).any():
        row, column = np.argwhere(probabilities < 0)[0]
        raise ValueError(
            f"y[{row}, {column}] is {probabilities[row, column]}; expected class probabilities of at least 0"
        )
    empty = ~probabilities.any(axis=1)
    if empty.any():
        raise ValueError(
            f"y[{int(empty.argmax())}] holds only zeros; expected class probabilities with a positive sum; drop such "
            "rows"
        )
    if not columns:
        return Labels(np.arange(classes), None, probabilities)
    names, order = np.unique(np.array(columns), return_index=True)
    return Labels(names, None, np.ascontiguousarray(probabilities[:, order]))


def row_weights(sample_weight: Any, rows: int) -> Array:
    """One weight for every row, float64; 1 without any."""
    if sample_weight is None:
        return np.ones(rows)
    refuse_masks_and_dates(sample_weight, "sample_weight")
    weight = np.asarray(sample_weight)
    if weight.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight has dtype {weight.dtype}; expected real numbers, one for every row of X")
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight has shape {weight.shape}; expected ({rows},), one weight for every row of X")
    weight = weight.astype(np.float64)
    bad = ~((weight >= 0) & (weight < np.inf))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"sample_weight[{row}] is {weight[row]}; expected finite numbers of at least 0; 0 leaves a row out"
        )
    if not weight.any():
        raise ValueError("every sample_weight is zero; expected a positive weight in rows of two classes or more")
    if weight.max() < np.finfo(np.float64).tiny:
        raise ValueError(
            f"the largest sample_weight is {weight.max()}, a subnormal number of few digits; multiply all weights by "
            "one factor: it changes the model only through C"
        )
    return weight


def learnt(labels: Labels, weight: Array, class_weight: Any, spec: LossSpec) -> tuple[Array, Targets]:
    """The classes of a fit, which are the labels with some weight, and its targets."""
    masses = labels.masses(weight)
    factors = _class_factors(class_weight, labels.names, masses)
    kept = masses * factors > 0
    classes = labels.names[kept]
    if len(classes) < 2:
        present = repr(classes.tolist()[0]) if len(classes) else "of no weight"
        raise ValueError(
            f"y holds one class only, {present}; expected labels of at least two, in rows of positive weight; give "
            "rows of every class that the model shall tell apart"
        )
    if labels.probabilities is None:
        # A label without weight is in no class; its rows count for nothing as whichever they are taken.
        position = np.maximum(np.cumsum(kept) - 1, 0)
        index = position[labels.codes]
        return classes, Targets(len(classes), labels=index, row_weight=weight * factors[labels.codes])
    if not kept.all() and spec.label_smoothing == 0:
        name = labels.names.tolist()[int(np.argmin(kept))]
        raise ValueError(
            f"column {name!r} of y is 0 in every row of positive weight; a class without probability has no finite "
            "optimum; drop the column, or write label_smoothing above 0"
        )
    return labels.names, Targets(len(labels.names), probabilities=labels.probabilities * factors, row_weight=weight)


def stream_classes(classes: Any, labels: Labels, known: Array | None) -> Array:
    """The classes of a stream, sorted: from its first batch on they stay as they are."""
    if classes is None:
        if known is not None:
            return known
        if labels.probabilities is not None:
            return labels.names
        raise ValueError(
            "classes is missing at the first call of partial_fit; expected every label that will come; write "
            f"classes={labels.names.tolist()} if those are all"
        )
    refuse_masks_and_dates(classes, "classes")
    given = np.unique(np.asarray(classes))
    if len(given) < 2:
        raise ValueError(f"classes={classes!r} names {len(given)} class; expected at least two")
    if known is not None and given.tolist() != known.tolist():
        raise ValueError(
            f"classes={given.tolist()}; expected {known.tolist()}, as in the first call of partial_fit, or nothing"
        )
    return given


def among(labels: Labels, weight: Array, classes: Array, class_weight: Any = None) -> Targets:
    """The targets of rows whose classes are known."""
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight={class_weight!r} needs all rows at once; for partial_fit expected None or a dictionary "
            "{label: weight}; sklearn.utils.class_weight.compute_class_weight makes one"
        )
    factors = _class_factors(class_weight, classes, np.ones(len(classes)))
    if labels.probabilities is not None:
        columns, expected = labels.names.tolist(), classes.tolist()
        if len(columns) != len(expected):
            raise ValueError(
                f"y has {len(columns)} columns; expected {len(expected)}, one for every class of the model"
            )
        if columns not in (expected, list(range(len(expected)))):
            raise ValueError(f"the columns of y are named {columns}; expected the classes of the model, {expected}")
        return Targets(len(classes), probabilities=labels.probabilities * factors, row_weight=weight)
    index = positions(labels.names, classes)[labels.codes]
    if (index < 0).any():
        row = int((index < 0).argmax())
        name = labels.names.tolist()[labels.codes[row]]  # type: ignore[index]
        raise ValueError(
            f"y[{row}] is {name!r}, which is no class of this model; expected one of {classes.tolist()}; drop such rows"
        )
    return Targets(len(classes), labels=index, row_weight=weight * factors[index])


def target_of(targets: Targets) -> Array:
    """The labels or the class probabilities, whichever there are."""
    target: Array = targets.labels if targets.probabilities is None else targets.probabilities
    return target


def positions(names: Array, classes: Array) -> Array:
    """Where every name stands among the classes; -1 for those that are none."""
    known = {name: k for k, name in enumerate(classes.tolist())}
    return np.array([known.get(name, -1) for name in names.tolist()], np.int64)


def check_class_weight(value: Any) -> None:
    """Refuse what is no class_weight, whatever the labels are."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    if not isinstance(value, dict):
        raise TypeError(f"class_weight={value!r}; expected None, 'balanced', or a dictionary {{label: weight}}")
    for label, weight in value.items():
        number = _validation.real(weight, f"class_weight[{label!r}]")
        if not 0 <= number < np.inf:
            raise ValueError(f"class_weight[{label!r}]={weight!r}; expected a finite number of at least 0")


def _class_factors(class_weight: Any, names: Array, masses: Array) -> Array:
    if class_weight is None:
        return np.ones(len(names))
    if isinstance(class_weight, str) and class_weight == "balanced":
        present = masses > 0
        return np.divide(masses.sum() / present.sum(), masses, out=np.zeros(len(names)), where=present)
    check_class_weight(class_weight)
    assert isinstance(class_weight, dict)
    # A label without an entry weighs 1; a label that does not occur may be in another part of the data, unless a
    # class that does occur has no entry: then one was misspelt.
    labels = names.tolist()
    missing = [label for label in labels if label not in class_weight]
    unknown = [label for label in class_weight if label not in labels]
    if missing and unknown:
        raise ValueError(
            f"class_weight names {unknown[0]!r}, which is no label of y, and leaves out {missing[0]!r}; expected a "
            "weight for every label"
        )
    return np.array([float(class_weight.get(label, 1.0)) for label in labels])
