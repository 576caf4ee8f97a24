"""Fitting a model to a table in memory, and measuring it."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._class_factors import class_factors
from softgrad.cli._errors import CommandError
from softgrad.cli._estimator_messages import in_terms_of_options
from softgrad.cli._metrics import Evaluation, evaluation
from softgrad.cli._saved_model import SavedModel
from softgrad.cli._terminal import visible
from softgrad.cli._training_data import HeldOut, read_labelled_table, split_and_encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad._typing import Array
    from softgrad.cli._progress import FitProgress
    from softgrad.cli._tables._read_options import ReadOptions
    from softgrad.cli._training_columns import ColumnOptions
    from softgrad.cli._training_data import TrainingData
    from softgrad.linear_model import SoftmaxRegression


class FitRows(NamedTuple):
    """The rows of a fit, as the options of the command give them."""

    table: Path
    target: str | None
    columns: ColumnOptions
    reading: ReadOptions
    held_out: HeldOut


class ModelOptions(NamedTuple):
    """The options of the model, and how C is chosen."""

    C: float | None
    folds: int | None
    scoring: str | None
    options: dict[str, Any]
    """Parameters of the estimator."""


class CrossValidation(NamedTuple):
    """The mean score of each C."""

    folds: int
    C: list[float]
    scores: list[float]
    """Mean over the folds' held-out rows; larger is better."""
    scoring: str | None
    """Name of a scikit-learn scorer; None for the negative loss, in nats."""

    @property
    def values(self) -> list[float]:
        """The scores, or the losses where there is no scorer."""
        return self.scores if self.scoring else [-score for score in self.scores]

    def to_json(self) -> dict[str, Any]:
        """Return the losses, or the scores and the name of the scorer; NaN becomes null."""
        values = [value if math.isfinite(value) else None for value in self.values]
        named = {"scoring": self.scoring, "score": values} if self.scoring else {"loss": values}
        return {"folds": self.folds, "C": self.C, **named}


class Fitted(NamedTuple):
    """A fitted model and its figures on training and held-out rows."""

    model: SavedModel
    training: Evaluation
    held_out: Evaluation | None
    cross_validation: CrossValidation | None
    seconds: float
    warnings: list[str]


def fit_table(rows: FitRows, options: ModelOptions, progress: FitProgress) -> Fitted:
    """Fit a model to a table that is read as a whole."""
    progress.stage(visible(f"reading {rows.table.name}"))
    read = read_labelled_table(rows.table, rows.target, rows.columns, rows.reading)
    data = split_and_encode(read, rows.columns.fill, rows.reading, rows.held_out)
    start = time.perf_counter()
    with fit_warnings() as messages:
        model, cross_validation = _fit_model(data, options, rows.held_out.seed, progress)
    seconds = time.perf_counter() - start
    progress.stage("measuring")
    training = _measure(model, data.x_train, data.y_train, data.weight)
    held_out = _measure(model, data.x_test, data.y_test, data.weight_test) if len(data.y_test) else None
    saved = SavedModel(model, data.encoding, read.target, read.first_index)
    return Fitted(saved, training, held_out, cross_validation, seconds, [*data.warnings, *messages])


@contextmanager
def fit_warnings() -> Iterator[list[str]]:
    """Yield a list for the warnings of a fit, filled when the block ends, and name the fit's errors in one line."""
    from sklearn.exceptions import UndefinedMetricWarning  # noqa: PLC0415

    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # Where a fold lacks a rare class, its score is NaN, which the table of scores shows.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        try:
            yield messages
        except (ValueError, TypeError) as error:
            raise CommandError(in_terms_of_options(str(error))) from None
    remarks = dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, UserWarning))
    messages += map(in_terms_of_options, remarks)


def _fit_model(
    rows: TrainingData, model: ModelOptions, seed: int, progress: FitProgress
) -> tuple[SoftmaxRegression, CrossValidation | None]:
    from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV  # noqa: PLC0415

    C, folds, scoring, options = model
    C = 1.0 if C is None else C
    options = {**options, "class_weight": class_factors(options["class_weight"], np.unique(rows.y_train))}
    cross_validation = None
    if folds is not None:
        _check_folds(rows, folds, scoring)
        progress.stage(f"choosing C in {folds} folds")
        chooser = SoftmaxRegressionCV(cv=_folds(rows, folds, seed), scoring=scoring, refit=False, **options)
        chooser.fit(rows.x_train, rows.y_train, rows.weight, groups=rows.groups)
        C = float(chooser.C_)
        cross_validation = CrossValidation(folds, chooser.Cs_.tolist(), chooser.scores_.mean(axis=0).tolist(), scoring)
    progress.stage("fitting")
    fitted = SoftmaxRegression(C=C, **options)
    fitted.fit(rows.x_train, rows.y_train, rows.weight, on_iteration=progress.iteration)
    return fitted, cross_validation


def _folds(rows: TrainingData, folds: int, seed: int) -> Any:
    """Return the splitter of the folds; without shuffling, those of a sorted table would differ systematically."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415

    kind = StratifiedKFold if rows.groups is None else StratifiedGroupKFold
    return kind(folds, shuffle=True, random_state=seed)


def _check_folds(rows: TrainingData, folds: int, scoring: str | None) -> None:
    if rows.groups is not None and len(np.unique(rows.groups)) < folds:
        raise CommandError(
            f"--cv {folds}: the training rows have {len(np.unique(rows.groups))} groups; expected at most as many folds"
        )
    classes, counts = np.unique(rows.y_train, return_counts=True)
    if counts.max() < folds:
        raise CommandError(
            f"--cv {folds}: the largest class has {counts.max()} training rows; expected at most as many folds"
        )
    if counts.min() == 1 and scoring is None:
        raise CommandError(
            f"--cv {folds}: class {classes[counts.argmin()].item()!r} has one training row, and the loss is infinite "
            "in the fold that holds it out; drop the row, or write --scoring accuracy"
        )


def _measure(model: SoftmaxRegression, x: Any, y: Array, weight: Array | None) -> Evaluation:
    # Log-probabilities are logits up to a shift of each row, and exact in the tails.
    return evaluation(model.predict_log_proba(x), np.searchsorted(model.classes_, y), model.classes_, weight)
