"""Validate y, sample_weight and class_weight, and convert them to `Targets`."""

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
from softgrad.linear_model._problem._tree_sum import sum_by_class, sum_of_rows

if TYPE_CHECKING:
    from softgrad._loss_spec import LossSpec
    from softgrad._typing import Array


class EncodedTarget(NamedTuple):
    """y as numbers: the code of every row's label, or every row's class probabilities."""

    names: Array  # sorted: the labels that occur, or the classes of the columns
    codes: Array | None  # (N,), indices into names
    probabilities: Array | None  # (N, K) float64

    def part(self, rows: Array | slice) -> EncodedTarget:
        """Return the target of some of the rows."""
        if self.codes is not None:
            return self._replace(codes=self.codes[rows])
        assert self.probabilities is not None
        return self._replace(probabilities=self.probabilities[rows])

    def masses(self, weight: Array) -> Array:
        """Return the summed weight of every label."""
        if self.probabilities is not None:
            return sum_of_rows(weight[:, None] * self.probabilities)
        assert self.codes is not None
        return sum_by_class(self.codes, weight, len(self.names))


def encode_target(y: Any, rows: int, estimator: str, *, is_part: bool = False) -> EncodedTarget:
    """Encode y, labels of any type or a floating matrix of class probabilities, which must have as many rows as X.

    For a part of the rows, scikit-learn's warning about the number of classes is left out.
    """
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
        return _encode_probabilities(array, columns)
    return _encode_labels(array, is_part)


def _encode_labels(array: Array, is_part: bool) -> EncodedTarget:
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
    always_labels = array.dtype.kind in "biuU"
    if not always_labels:
        check_classification_targets(_few_labels(array) if is_part else array)
    names, codes = _unique_with_codes(array)
    if always_labels and 2 * len(names) >= len(array) and not is_part:
        check_classification_targets(array)  # which warns about so many classes
    return EncodedTarget(names, codes, None)


def _few_labels(array: Array) -> Array:
    """Return so few labels that scikit-learn does not warn about the number of classes; fractions if there are any."""
    fractions = array[array % 1 != 0] if array.dtype.kind == "f" else array
    return (fractions if len(fractions) else array)[:20]


def _unique_with_codes(array: Array) -> tuple[Array, Array]:
    """Return the sorted distinct labels, and the index of every label, by counting where that takes no sorting."""
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, np.int64) and array.size:
        smallest, largest = int(array.min()), int(array.max())
        if largest - smallest < len(array):
            offsets = array.astype(np.int64) - smallest
            occurs = np.bincount(offsets) > 0
            names = (np.flatnonzero(occurs) + smallest).astype(array.dtype)
            return names, (np.cumsum(occurs) - 1)[offsets]
    return np.unique(array, return_inverse=True)


def _encode_probabilities(array: Array, columns: list[str]) -> EncodedTarget:
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
        return EncodedTarget(np.arange(classes), None, probabilities)
    names, order = np.unique(np.array(columns), return_index=True)
    return EncodedTarget(names, None, np.ascontiguousarray(probabilities[:, order]))


def check_sample_weight(sample_weight: Any, rows: int) -> Array:
    """Return one weight for every row in float64, of which one is positive; ones for None."""
    if sample_weight is None:
        return np.ones(rows)
    weight = convert_sample_weight(sample_weight, rows)
    check_largest_weight(weight.max())
    return weight


def convert_sample_weight(sample_weight: Any, rows: int) -> Array:
    """Return one weight of at least 0 for every row in float64."""
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
    return weight


def check_largest_weight(largest: float) -> None:
    """Raise ValueError if the largest weight of all rows cannot be that of a fit."""
    if largest == 0:
        raise ValueError("every sample_weight is zero; expected a positive weight in rows of two classes or more")
    if largest < np.finfo(np.float64).tiny:
        raise ValueError(
            f"the largest sample_weight is {largest}, a subnormal number of few digits; multiply all weights by "
            "one factor: it changes the model only through C"
        )


class FitClasses(NamedTuple):
    """The classes of a fit, and the labels or columns of y that they come from."""

    classes: Array
    names: Array  # the labels, or the columns of probabilities
    places: Array  # of the class of every name
    factor: Array  # by class_weight, of every name

    def targets(self, y: EncodedTarget, weight: Array) -> Targets:
        """Return the targets of rows whose labels are such names."""
        count = len(self.classes)
        if y.probabilities is not None:
            return Targets(count, probabilities=y.probabilities * self.factor, row_weight=weight)
        place = np.searchsorted(self.names, y.names)
        with np.errstate(over="ignore"):  # `location_and_scale` refuses weights whose sum is infinite
            row_weight = weight * self.factor[place][y.codes]
        return Targets(count, labels=self.places[place][y.codes], row_weight=row_weight)


def fit_classes(names: Array, masses: Array, class_weight: Any, spec: LossSpec, has_labels: bool) -> FitClasses:
    """Return the classes of a fit, which are the labels of positive weight, given the summed weight of every name."""
    factor = _class_factors(class_weight, names, masses)
    with np.errstate(over="ignore"):
        kept = masses * factor > 0
    classes = names[kept]
    if len(classes) < 2:
        present = repr(classes.tolist()[0]) if len(classes) else "of no weight"
        raise ValueError(
            f"y holds one class only, {present}; expected labels of at least two, in rows of positive weight; add "
            "rows of every class that the model has to distinguish"
        )
    if has_labels:
        # The rows of a label without weight get the index of some class: their weight is 0.
        return FitClasses(classes, names, np.maximum(np.cumsum(kept) - 1, 0), factor)
    if not kept.all() and spec.label_smoothing == 0:
        name = names.tolist()[int(np.argmin(kept))]
        raise ValueError(
            f"column {name!r} of y is 0 in every row of positive weight; a class without probability has no finite "
            "optimum; drop the column, or write label_smoothing above 0"
        )
    return FitClasses(names, names, np.arange(len(names)), factor)


def fit_targets(y: EncodedTarget, weight: Array, class_weight: Any, spec: LossSpec) -> tuple[Array, Targets]:
    """Return the classes of a fit and its targets."""
    found = fit_classes(y.names, y.masses(weight), class_weight, spec, y.codes is not None)
    return found.classes, found.targets(y, weight)


def partial_fit_classes(classes: Any, y: EncodedTarget, known: Array | None) -> Array:
    """Return the sorted classes of `partial_fit`, which later batches cannot change."""
    if classes is None:
        if known is not None:
            return known
        if y.probabilities is not None:
            return y.names
        raise ValueError(
            "classes is missing at the first call of partial_fit; expected the labels of all batches; write "
            f"classes={y.names.tolist()} if later ones have no others"
        )
    refuse_masks_and_dates(classes, "classes")
    given = np.unique(np.asarray(classes))
    if len(given) < 2:
        raise ValueError(f"classes={classes!r} names {len(given)} class; expected at least two")
    if known is not None and given.tolist() != known.tolist():
        raise ValueError(
            f"classes={given.tolist()}; expected {known.tolist()}, as in the first call of partial_fit, or None"
        )
    return given


def targets_for(y: EncodedTarget, weight: Array, classes: Array, class_weight: Any = None) -> Targets:
    """Return the targets of rows for the classes of a model."""
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight={class_weight!r} needs all rows at once; for partial_fit expected None or a dictionary "
            "{label: weight}; sklearn.utils.class_weight.compute_class_weight makes one"
        )
    factors = _class_factors(class_weight, classes, np.ones(len(classes)))
    if y.probabilities is not None:
        columns, expected = y.names.tolist(), classes.tolist()
        if len(columns) != len(expected):
            raise ValueError(
                f"y has {len(columns)} columns; expected {len(expected)}, one for every class of the model"
            )
        if columns not in (expected, list(range(len(expected)))):
            raise ValueError(f"the columns of y are named {columns}; expected the classes of the model, {expected}")
        return Targets(len(classes), probabilities=y.probabilities * factors, row_weight=weight)
    index = class_indices(y.names, classes)[y.codes]
    if (index < 0).any():
        row = int((index < 0).argmax())
        name = y.names.tolist()[y.codes[row]]  # type: ignore[index]
        raise ValueError(
            f"y[{row}] is {name!r}, which is not a class of this model; expected one of {classes.tolist()}; drop such "
            "rows"
        )
    return Targets(len(classes), labels=index, row_weight=weight * factors[index])


def labels_or_probabilities(targets: Targets) -> Array:
    """Return the target as the functions of `softgrad` take it."""
    target: Array = targets.labels if targets.probabilities is None else targets.probabilities
    return target


def class_indices(names: Array, classes: Array) -> Array:
    """Return the index of every name in the classes, -1 for names that are not in them."""
    index = {name: k for k, name in enumerate(classes.tolist())}
    return np.array([index.get(name, -1) for name in names.tolist()], np.int64)


def check_class_weight(value: Any) -> None:
    """Raise TypeError or ValueError if the value cannot be a class_weight for any labels."""
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
    # A label without an entry has weight 1, and an entry without a label may belong to other data. Both together
    # suggest a misspelt label.
    labels = names.tolist()
    missing = [label for label in labels if label not in class_weight]
    unknown = [label for label in class_weight if label not in labels]
    if missing and unknown:
        raise ValueError(
            f"class_weight names {unknown[0]!r}, which is not a label of y, and leaves out {missing[0]!r}; expected a "
            "weight for every label"
        )
    return np.array([float(class_weight.get(label, 1.0)) for label in labels])
