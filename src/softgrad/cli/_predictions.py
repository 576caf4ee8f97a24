"""Predictions for the rows of a table: labels, probabilities, and columns of the table beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError

if TYPE_CHECKING:
    import pandas as pd

    from softgrad._typing import Array
    from softgrad.cli._model_rows import ModelRows
    from softgrad.cli._saved_model import SavedModel


class PredictionColumns(NamedTuple):
    """The results beside the predicted label."""

    keep: tuple[str, ...] = ()
    """Columns of the table, as --keep names them."""
    proba: bool = False
    """Whether to add the probability of every class."""
    top: int | None = None
    """Number of most probable labels to add, with their probabilities."""

    def check_for(self, classes: Array) -> None:
        """Refuse more labels than a model has."""
        if self.top is not None and self.top > len(classes):
            raise CommandError(
                f"--top {self.top}: the model has {len(classes)} classes; expected a number from 1 to {len(classes)}"
            )


class Predictions(NamedTuple):
    """Predictions for the rows of a table."""

    label_name: str
    classes: Array
    labels: Array
    probabilities: Array | None
    """Probability of every class; None unless wanted."""
    ranks: list[tuple[Array, Array]] | None
    """The most probable labels and their probabilities, then the second most probable ones, ...; None unless wanted."""
    kept: pd.DataFrame | None

    def to_frame(self) -> pd.DataFrame:
        """Return a table whose columns have different names."""
        import pandas as pd  # noqa: PLC0415

        columns = {} if self.kept is None else {str(name): values.array for name, values in self.kept.items()}

        def add(name: str, prefix: str, values: Any) -> None:
            while name in columns:
                name = f"{prefix}_{name}"
            columns[name] = values

        add(self.label_name, "predicted", self.labels)
        for rank, (labels, probabilities) in enumerate(self.ranks or [], 1):
            ending = "" if rank == 1 else f"_{rank}"
            if rank > 1:
                add(f"{self.label_name}{ending}", "predicted", labels)
            add(f"probability{ending}", "predicted", probabilities)
        if self.probabilities is not None:
            for label, probabilities in zip(self.classes.tolist(), self.probabilities.T, strict=True):
                add(str(label), "probability", probabilities)
        return pd.DataFrame(columns, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        found: dict[str, Any] = {"classes": self.classes.tolist(), "labels": self.labels.tolist()}
        if self.probabilities is not None:
            found["probabilities"] = self.probabilities.tolist()
        if self.ranks is not None:
            ranks = [zip(labels.tolist(), values.tolist(), strict=True) for labels, values in self.ranks]
            found["top"] = [
                [{"label": label, "probability": value} for label, value in row] for row in zip(*ranks, strict=True)
            ]
        if self.kept is not None:
            found["kept"] = {
                str(name): list(map(json_value, values.astype(object).where(values.notna(), None)))
                for name, values in self.kept.items()
            }
        return found


def predictions(saved: SavedModel, rows: ModelRows, wanted: PredictionColumns) -> Predictions:
    """Return the predictions of a model for rows."""
    model = saved.model
    labels = model.predict(rows.features)
    probabilities = model.predict_proba(rows.features) if wanted.proba or wanted.top else None
    ranks = None
    if wanted.top is not None and probabilities is not None:
        ranks = _ranks(probabilities, model.classes_, labels, wanted.top)
    return Predictions(
        saved.label_name, model.classes_, labels, probabilities if wanted.proba else None, ranks, rows.kept
    )


def _ranks(probabilities: Array, classes: Array, labels: Array, count: int) -> list[tuple[Array, Array]]:
    # Logits that differ may have equal probabilities: the predicted label is always the first.
    key = -probabilities
    key[np.arange(len(key)), np.searchsorted(classes, labels)] = -np.inf
    order = np.argsort(key, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(probabilities, order, axis=1)
    return list(zip(classes[order].T, values.T, strict=True))


def json_value(value: Any) -> Any:
    """Return a value of a table as JSON has it, lists included; text for what JSON lacks, such as dates."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): json_value(item) for name, item in value.items()}
    is_json = (
        value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
    )
    return value if is_json else str(value)
