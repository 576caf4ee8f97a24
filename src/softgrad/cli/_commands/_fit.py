"""`softgrad fit`: read a table, fit softmax regression, evaluate it on held-out rows, and save the model."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from softgrad.cli._commands._fit_summary import CrossValidation, FitSummary
from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_json
from softgrad.cli._progress import FitProgress, fit_progress
from softgrad.cli._tables._feature_encoding import Fill  # noqa: TC001 - typer reads the annotations
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._read_options import ReadOptions  # noqa: TC001
from softgrad.cli._terminal import say, visible
from softgrad.cli._training_data import ColumnOptions, TrainingData, read_labelled_table, split_and_encode

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.cli._metrics import Evaluation
    from softgrad.linear_model import SoftmaxRegression


def _model_option(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002 - as in typer
    return typer.Option(*names, help=help, rich_help_panel="Model and solver", **settings)


@takes_reading_options
def fit(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            exists=True,
            dir_okay=False,
            help="A CSV, TSV, Parquet, .npy, .npz or LibSVM file; text files may be gzipped.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Label column, by name or by position (0 is the first, -1 the last); for .npy also a separate .npy "
            "file, for .npz the name of an array, y by default. LibSVM text contains its labels.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column to leave out; may be repeated.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="COLUMN",
            help="Column to read as text, in which 007 keeps its zeros and --na does not apply; may be repeated.",
        ),
    ] = None,
    missing: Annotated[
        Fill,
        typer.Option(
            metavar="METHOD",
            help="How to fill in missing numbers: mean, median or most-frequent; text is filled with the most frequent "
            "category. With refuse, missing values are an error.",
        ),
    ] = "refuse",
    na: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Field to treat as missing, such as NA or ?; may be repeated."),
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="Read the first line of CSV as a row and name the columns 0, 1, ...")
    ] = False,
    test_fraction: Annotated[
        float,
        typer.Option(
            metavar="FRACTION",
            help="Fraction of every class to hold out for evaluation; 0 trains on all rows without copying .npy files.",
        ),
    ] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of the held-out rows and the folds.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Model file to write.", show_default="NAME.softgrad.safetensors for NAME.csv"
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write an HTML report with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    C: Annotated[
        float | None,
        _model_option(
            "--C", metavar="NUMBER", help="Inverse strength of the L2 penalty; inf for no penalty.", show_default="1"
        ),
    ] = None,
    cv: Annotated[int | None, _model_option(metavar="N", min=2, help="Choose C by N-fold cross-validation.")] = None,
    scoring: Annotated[
        str | None,
        _model_option(
            metavar="NAME",
            help="scikit-learn scorer by which --cv chooses C, such as accuracy, f1_macro or roc_auc_ovr.",
            show_default="the loss",
        ),
    ] = None,
    class_weight: Annotated[
        Literal["balanced"] | None, _model_option(metavar="balanced", help="Give every class the same total weight.")
    ] = None,
    label_smoothing: Annotated[
        float, _model_option(metavar="FRACTION", help="Fraction of each label to spread over all classes.")
    ] = 0.0,
    no_intercept: Annotated[bool, _model_option("--no-intercept", help="Fit logits W x instead of W x + b.")] = False,
    solver: Annotated[str, _model_option(metavar="NAME", help="Solver: auto, lbfgs, newton-cg or newton.")] = "auto",
    tol: Annotated[float, _model_option(metavar="NUMBER", help="Gradient norm at which the solver stops.")] = 1e-6,
    max_iter: Annotated[int, _model_option(metavar="N", min=1, help="Maximum number of iterations.")] = 1000,
    threads: Annotated[
        int | None, _model_option(metavar="N", min=1, help="Number of threads.", show_default="all CPUs")
    ] = None,
    *,
    reading: ReadOptions,
) -> None:
    """Fit softmax regression to a table, evaluate it on held-out rows, and save the model.

    Columns of numbers are used as they are; columns of text are one-hot encoded.
    Missing values are an error unless --missing says how to fill them in.
    """
    if not 0 <= test_fraction < 1:
        raise CommandError(f"--test-fraction {test_fraction}; expected a number from 0 to less than 1")
    if C is not None and cv is not None:
        raise CommandError(f"--C {C:g} and --cv {cv}, which chooses C; write one of the two")
    if scoring is not None:
        _check_scoring(scoring, cv)
    if seed >= 2**32:
        raise CommandError(f"--seed {seed}; expected an integer from 0 to {2**32 - 1}")
    reading = dataclasses.replace(reading, header=not no_header, missing=tuple(na or ()))
    detect_format(table, reading)
    path = output or Path(Path(table.name.removesuffix(".gz")).stem + ".softgrad.safetensors")
    check_output(path, "model.safetensors", replaces=table)
    if report is not None:
        _check_report(report, table, path)
    import safetensors  # noqa: F401, PLC0415 - saves the model; if it is missing, the error comes before the work

    columns = ColumnOptions(tuple(drop or ()), tuple(text or ()), missing)
    options: dict[str, Any] = {
        "fit_intercept": not no_intercept,
        "class_weight": class_weight,
        "label_smoothing": label_smoothing,
        "solver": solver,
        "tol": tol,
        "max_iter": max_iter,
        "n_threads": threads,
    }
    with fit_progress(tol) as progress:
        progress.stage(visible(f"reading {table.name}"))
        read = read_labelled_table(table, target, columns, reading)
        rows = split_and_encode(read, missing, reading, test_fraction, seed)
        start = time.perf_counter()
        model, cross_validation, fit_warnings = _fit_model(
            rows, 1.0 if C is None else C, cv, scoring, seed, options, progress
        )
        seconds = time.perf_counter() - start
        progress.stage("measuring")
        training = _measure(model, rows.x_train, rows.y_train)
        held_out = _measure(model, rows.x_test, rows.y_test) if len(rows.y_test) else None
    remarks = [*rows.warnings, *fit_warnings]
    for remark in remarks:
        say(f"warning: {remark}")

    from softgrad.cli._saved_model import SavedModel  # noqa: PLC0415

    SavedModel(model, rows.encoding, read.target, read.first_index).save(path)
    label = read.target if rows.encoding is not None else None
    summary = FitSummary(table, label, model, training, held_out, cross_validation, seconds, path, report, remarks)
    if report is not None:
        _write_report(summary, report)
    if as_json:
        print_json(summary.to_json())
    else:
        summary.print()


def _check_scoring(scoring: str, folds: int | None) -> None:
    if folds is None:
        raise CommandError(f"--scoring {scoring} is for choosing C by cross-validation; add --cv N")
    from sklearn.metrics import get_scorer_names  # noqa: PLC0415

    if scoring not in get_scorer_names():
        near = difflib.get_close_matches(scoring, get_scorer_names(), 3) or ["accuracy", "f1_macro", "roc_auc_ovr"]
        raise CommandError(f"--scoring {scoring}; expected a scikit-learn scorer, such as {', '.join(near)}")


def _check_folds(labels: Array, folds: int, scoring: str | None) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    if counts.max() < folds:
        raise CommandError(
            f"--cv {folds}: the largest class has {counts.max()} training rows; expected at most as many folds"
        )
    if counts.min() == 1 and scoring is None:
        raise CommandError(
            f"--cv {folds}: class {classes[counts.argmin()].item()!r} has one training row, and the loss is infinite "
            "in the fold that holds it out; drop the row, or write --scoring accuracy"
        )


def _check_report(report: Path, table: Path, model: Path) -> None:
    from softgrad.cli._report import check_report  # noqa: PLC0415

    check_report(report, read=(table,))
    if report.resolve() == model.resolve():
        raise CommandError(f"--report {report} would replace the model; name another file")


def _write_report(summary: FitSummary, path: Path) -> None:
    from softgrad.cli._report import write_report  # noqa: PLC0415

    write_report(
        path,
        model=summary.model,
        training=summary.training,
        held_out=summary.held_out,
        data=summary.report_facts(),
        command=shlex.join(["softgrad", *sys.argv[1:]]),
    )


def _fit_model(
    rows: TrainingData,
    C: float,
    folds: int | None,
    scoring: str | None,
    seed: int,
    options: dict[str, Any],
    progress: FitProgress,
) -> tuple[SoftmaxRegression, CrossValidation | None, list[str]]:
    from sklearn.exceptions import UndefinedMetricWarning  # noqa: PLC0415
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415

    from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV  # noqa: PLC0415

    cross_validation = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # Where a fold lacks a rare class, its score is NaN, which the table of scores shows.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        try:
            if folds is not None:
                _check_folds(rows.y_train, folds, scoring)
                progress.stage(f"choosing C in {folds} folds")
                # Tables are often sorted; without shuffling, folds would differ systematically.
                shuffled = StratifiedKFold(folds, shuffle=True, random_state=seed)
                chooser = SoftmaxRegressionCV(cv=shuffled, scoring=scoring, refit=False, **options)
                chooser.fit(rows.x_train, rows.y_train)
                C = float(chooser.C_)
                cross_validation = CrossValidation(
                    folds, chooser.Cs_.tolist(), chooser.scores_.mean(axis=0).tolist(), scoring
                )
            progress.stage("fitting")
            model = SoftmaxRegression(C=C, **options)
            model.fit(rows.x_train, rows.y_train, on_iteration=progress.iteration)
        except (ValueError, TypeError) as error:
            raise CommandError(str(error)) from None
    messages = dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, UserWarning))
    return model, cross_validation, list(messages)


def _measure(model: SoftmaxRegression, x: Any, y: Array) -> Evaluation:
    from softgrad.cli._metrics import evaluation  # noqa: PLC0415

    # Log-probabilities are logits up to a shift of each row, and exact in the tails.
    return evaluation(model.predict_log_proba(x), np.searchsorted(model.classes_, y), model.classes_)
