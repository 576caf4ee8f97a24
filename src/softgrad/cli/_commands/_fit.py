"""`softgrad fit`: softmax regression on a table, from reading it to saving the model."""

from __future__ import annotations

import difflib
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from softgrad.cli._commands._fit_summary import Search, Summary
from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_json
from softgrad.cli._progress import FitProgress, fit_progress
from softgrad.cli._tables._feature_encoding import Fill  # noqa: TC001 - typer reads the annotations
from softgrad.cli._tables._file_format import kind_of
from softgrad.cli._tables._read_options import (
    DecimalOption,
    EncodingOption,
    FormatOption,
    SepOption,
    SkipLinesOption,
    ThousandsOption,
    read_options,
)
from softgrad.cli._terminal import say, visible
from softgrad.cli._training_data import Columns, Training, training_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.cli._evaluation import Evaluation
    from softgrad.linear_model import SoftmaxRegression

    Array = NDArray[Any]

_MODEL = "The model"


def fit(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            exists=True,
            dir_okay=False,
            help="CSV, TSV (.gz too) or Parquet; .npy or .npz; or LibSVM text. Other names: see --format.",
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The labels: a column by name, or by position (0 is the first, -1 the last). For .npy also a .npy "
            "file of labels, for .npz the name of an array (default: y). Not for LibSVM text.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Leave a column out. May be repeated.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="COLUMN",
            help="Keep a column as text, 007 and NA too, whatever --na says: one-hot, or labels. May be repeated.",
        ),
    ] = None,
    missing: Annotated[
        Fill,
        typer.Option(
            metavar="HOW",
            help="What stands in for missing values: the mean, median or most-frequent number of the column (for text "
            "always the most frequent), or refuse.",
        ),
    ] = "refuse",
    na: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Means a missing value, as an empty field does. May be repeated."),
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first line of CSV is a row; columns are named 0, 1, ...")
    ] = False,
    test_fraction: Annotated[
        float,
        typer.Option(
            metavar="PART",
            help="Of every class, held out to measure accuracy; 0 for none, and a .npy file then stays on the disk.",
        ),
    ] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Chooses which rows are held out.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to save the model. (default: TABLE's name.softgrad.safetensors)"),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write an HTML page with pictures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    file_format: FormatOption = None,
    sep: SepOption = None,
    decimal: DecimalOption = None,
    thousands: ThousandsOption = None,
    encoding: EncodingOption = None,
    skip_lines: SkipLinesOption = None,
    C: Annotated[
        float | None,
        typer.Option(
            "--C",
            metavar="NUMBER",
            help="Inverse strength of the L2 penalty; inf for none. (default: 1)",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    cv: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=2, help="Choose C by cross-validation in N folds instead.", rich_help_panel=_MODEL
        ),
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What --cv takes the best C by: a scikit-learn scorer, such as accuracy, f1_macro or roc_auc_ovr. "
            "(default: the loss)",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    class_weight: Annotated[
        Literal["balanced"] | None,
        typer.Option(metavar="balanced", help="Give every class the same weight in all.", rich_help_panel=_MODEL),
    ] = None,
    label_smoothing: Annotated[
        float,
        typer.Option(metavar="PART", help="Of every label, spread over all classes.", rich_help_panel=_MODEL),
    ] = 0.0,
    no_intercept: Annotated[
        bool, typer.Option("--no-intercept", help="Logits are W x, without b.", rich_help_panel=_MODEL)
    ] = False,
    solver: Annotated[
        str, typer.Option(metavar="NAME", help="auto, lbfgs, newton-cg or newton.", rich_help_panel=_MODEL)
    ] = "auto",
    tol: Annotated[
        float, typer.Option(metavar="NUMBER", help="Stop at this gradient norm.", rich_help_panel=_MODEL)
    ] = 1e-6,
    max_iter: Annotated[
        int, typer.Option(metavar="N", min=1, help="The largest number of iterations.", rich_help_panel=_MODEL)
    ] = 1000,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of the kernels. (default: the CPUs there are)", rich_help_panel=_MODEL),
    ] = None,
) -> None:
    """Fit softmax regression to a table, measure it on held-out rows, and save the model.

    Columns of numbers are taken as they are, columns of text one-hot.
    Missing values are refused, unless --missing says what to put there.
    Means and categories are those of the rows that are fitted to.
    """
    if not 0 <= test_fraction < 1:
        raise CommandError(f"--test-fraction {test_fraction}; expected a number from 0, for none, to less than 1")
    if C is not None and cv is not None:
        raise CommandError(f"--C {C:g} beside --cv {cv}, which chooses C; leave one of them out")
    if scoring is not None:
        _check_scoring(scoring, cv)
    if seed >= 2**32:
        raise CommandError(f"--seed {seed}; expected an integer from 0 to {2**32 - 1}")
    reading = read_options(
        file_format, sep, decimal, thousands, encoding, skip_lines, header=not no_header, missing=tuple(na or ())
    )
    kind_of(table, reading)
    path = output or Path(Path(table.name.removesuffix(".gz")).stem + ".softgrad.safetensors")
    check_output(path, "model.safetensors", replaces=table)
    if report is not None:
        _check_report(report, table, path)
    import safetensors  # noqa: F401, PLC0415 - the model is saved with it: if it lacks, say so before the work

    columns = Columns(tuple(drop or ()), tuple(text or ()), missing)
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
        rows = training_rows(table, target, columns, reading, test_fraction, seed)
        start = time.perf_counter()
        model, search, warned = _fit(rows, 1.0 if C is None else C, cv, scoring, seed, options, progress)
        seconds = time.perf_counter() - start
        progress.stage("measuring")
        training = _measure(model, rows.x_train, rows.y_train)
        held_out = _measure(model, rows.x_test, rows.y_test) if len(rows.y_test) else None
    for problem in (*rows.remarks, *warned):
        say(f"warning: {problem}")

    from softgrad.cli._saved_model import SavedModel  # noqa: PLC0415

    SavedModel(model, rows.encoding, rows.target, rows.first_index).save(path)
    remarks = [*rows.remarks, *warned]
    label = rows.target if rows.encoding is not None else None
    summary = Summary(table, label, model, training, held_out, search, seconds, path, report, remarks)
    if report is not None:
        _write_report(summary, report, shlex.join(["softgrad", *sys.argv[1:]]))
    if as_json:
        print_json(summary.to_json())
    else:
        summary.print()


def _check_scoring(scoring: str, folds: int | None) -> None:
    if folds is None:
        raise CommandError(f"--scoring {scoring} chooses C by cross-validation; write --cv N beside it")
    from sklearn.metrics import get_scorer_names  # noqa: PLC0415

    if scoring not in get_scorer_names():
        near = difflib.get_close_matches(scoring, get_scorer_names(), 3) or ["accuracy", "f1_macro", "roc_auc_ovr"]
        raise CommandError(f"--scoring {scoring}; expected a scorer of scikit-learn, such as {', '.join(near)}")


def _check_folds(labels: Array, folds: int, scoring: str | None) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    if counts.max() < folds:
        raise CommandError(
            f"--cv {folds}: the largest class has {counts.max()} rows to train on; expected no more folds than that"
        )
    if counts.min() == 1 and scoring is None:
        raise CommandError(
            f"--cv {folds}: class {classes[counts.argmin()].item()!r} has one row to train on, and where a fold holds "
            "it out, the loss is infinite; drop it, or write --scoring accuracy"
        )


def _check_report(report: Path, table: Path, model: Path) -> None:
    from softgrad.cli._report import check_report  # noqa: PLC0415

    check_report(report)
    for other, what in ((table, "the table"), (model, "the model")):
        if report.resolve() == other.resolve():
            raise CommandError(f"--report {report} would replace {what}; name another file")


def _write_report(summary: Summary, path: Path, command: str) -> None:
    from softgrad.cli._report import write_report  # noqa: PLC0415

    write_report(
        path,
        model=summary.model,
        training=summary.training,
        held_out=summary.held_out,
        data=summary.data(),
        command=command,
    )


def _fit(
    rows: Training,
    C: float,
    folds: int | None,
    scoring: str | None,
    seed: int,
    options: dict[str, Any],
    progress: FitProgress,
) -> tuple[SoftmaxRegression, Search | None, list[str]]:
    from sklearn.exceptions import UndefinedMetricWarning  # noqa: PLC0415
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415

    from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV  # noqa: PLC0415

    search = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # A fold may lack a rare class; what comes of it, the scores say.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        try:
            if folds is not None:
                _check_folds(rows.y_train, folds, scoring)
                progress.stage(f"choosing C in {folds} folds")
                # Rows of a table often come in an order, in which no fold would resemble the others.
                shuffled = StratifiedKFold(folds, shuffle=True, random_state=seed)
                chooser = SoftmaxRegressionCV(cv=shuffled, scoring=scoring, refit=False, **options)
                chooser.fit(rows.x_train, rows.y_train)
                C = float(chooser.C_)
                search = Search(folds, chooser.Cs_.tolist(), chooser.scores_.mean(axis=0).tolist(), scoring)
            progress.stage("fitting")
            model = SoftmaxRegression(C=C, **options)
            model.fit(rows.x_train, rows.y_train, on_iteration=progress.iteration)
        except (ValueError, TypeError) as error:
            raise CommandError(str(error)) from None
    messages = dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, UserWarning))
    return model, search, list(messages)


def _measure(model: SoftmaxRegression, x: Any, y: Array) -> Evaluation:
    from softgrad.cli._evaluation import evaluation  # noqa: PLC0415

    # As logits, for logarithms of probabilities have the same softmax.
    return evaluation(model.predict_log_proba(x), np.searchsorted(model.classes_, y), model.classes_)
