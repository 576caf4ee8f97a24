"""`softgrad fit`: read a table, fit softmax regression, evaluate it on held-out rows, and save the model."""

from __future__ import annotations

import dataclasses
import difflib
import math
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from softgrad.cli._class_factors import parse_class_weight
from softgrad.cli._commands._dask_option import DaskOption, input_files
from softgrad.cli._commands._fit_summary import FitSummary
from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._dask import fit_parts
from softgrad.cli._dask._files import table_name
from softgrad.cli._errors import CommandError
from softgrad.cli._fitting import FitRows, ModelOptions, fit_table
from softgrad.cli._output import check_output, print_json
from softgrad.cli._progress import fit_progress
from softgrad.cli._standard_input import shown_name, table_file
from softgrad.cli._tables._column_names import drop_option
from softgrad.cli._tables._feature_encoding import Fill  # noqa: TC001 - typer reads the annotations
from softgrad.cli._tables._read_options import ReadOptions  # noqa: TC001
from softgrad.cli._terminal import say
from softgrad.cli._training_columns import ColumnOptions
from softgrad.cli._training_data import HeldOut


def _model_option(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002 - as in typer
    return typer.Option(*names, help=help, rich_help_panel="Model and solver", **settings)


@takes_reading_options
def fit(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A CSV, TSV, Parquet, .npy, .npz or LibSVM file; text files may be gzipped. - reads standard input, "
            "whose format --format names or the content shows. With --dask a pattern of Parquet, CSV, TSV or .npy "
            "files, in quotes, or a folder of them.",
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
        list[str] | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to leave out, as in --drop id,name; may be repeated.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMNS", help="Columns to use, as in --only age,height, instead of all; may be repeated."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="COLUMNS",
            help="Columns to read as text, in which 007 keeps its zeros and --na does not apply; may be repeated.",
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of row weights, numbers of at least 0: a row of weight 3 counts as three rows in the fit, in "
            "--cv and in the loss and accuracy of the summary. It is not a feature.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column whose equal values, such as those of one patient, are rows to keep together: in --cv each "
            "group is in one fold, and --test-fraction is a fraction of the groups. It is not a feature.",
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
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print neither progress nor the summary; warnings and errors remain.")
    ] = False,
    C: Annotated[
        float | None,
        _model_option(
            "--C",
            metavar="NUMBER",
            help="Inverse strength of the L2 penalty, above 0; inf for no penalty.",
            show_default="1",
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
        list[str] | None,
        _model_option(
            metavar="LABEL=FACTOR",
            help="Factor of the weights of a label's rows, as in --class-weight spam=5; may be repeated, and labels "
            "without one have 1. --class-weight balanced gives every class the same total weight.",
        ),
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
    dask: DaskOption = None,
    *,
    reading: ReadOptions,
) -> None:
    """Fit softmax regression to a table, evaluate it on held-out rows, and save the model.

    Columns of numbers are used as they are; columns of text are one-hot encoded.
    Missing values are an error unless --missing says how to fill them in.
    With --dask, files are read in parts on a cluster, and rows are held out at random, whatever their class.
    """
    _check_for_cluster(dask, {"--cv": cv, "--weight": weight, "--groups": groups})
    _check_held_out(test_fraction, seed, groups, cv)
    _check_choice_of_c(C, cv, scoring)
    _check_solver(label_smoothing, solver, tol)
    factors = parse_class_weight(class_weight or ())
    reading = dataclasses.replace(reading, header=not no_header, missing=tuple(na or ()))
    files = input_files(table, dask)
    path = output or Path(f"{table_name(table)}.softgrad.safetensors")
    for file in files:
        check_output(path, "model.safetensors", replaces=file)
    if report is not None:
        _check_report(report, files, path)
    import safetensors  # noqa: F401, PLC0415 - saves the model; if it is missing, the error comes before the work

    columns = ColumnOptions(tuple(drop or ()), tuple(only or ()), tuple(text or ()), weight, groups, missing)
    options: dict[str, Any] = {
        "fit_intercept": not no_intercept,
        "class_weight": factors,
        "label_smoothing": label_smoothing,
        "solver": solver,
        "tol": tol,
        "max_iter": max_iter,
        "n_threads": threads,
    }
    with table_file(table) as file, fit_progress(tol, quiet=quiet) as progress:
        rows = FitRows(file, target, columns, reading, HeldOut(test_fraction, seed))
        if dask is None:
            fitted = fit_table(rows, ModelOptions(C, cv, scoring, options), progress)
        else:
            fitted = fit_parts(rows, {"C": 1.0 if C is None else C, **options}, dask, progress)
    for remark in fitted.warnings:
        say(f"warning: {remark}")
    fitted.model.save(path)
    summary = FitSummary(shown_name(table), fitted, path, report)
    if report is not None:
        _write_report(summary, report)
    if as_json:
        print_json(summary.to_json())
    elif not quiet:
        summary.print()


def _check_held_out(test_fraction: float, seed: int, groups: str | None, cv: int | None) -> None:
    if not 0 <= test_fraction < 1:
        raise CommandError(f"--test-fraction {test_fraction}; expected a number from 0 to less than 1")
    if seed >= 2**32:
        raise CommandError(f"--seed {seed}; expected an integer from 0 to {2**32 - 1}")
    if groups is not None and not test_fraction and cv is None:
        raise CommandError(
            f"--groups {groups} is for held-out rows and --cv; with --test-fraction 0 add --cv N, or write "
            f"{drop_option([groups])} instead"
        )


def _check_choice_of_c(C: float | None, cv: int | None, scoring: str | None) -> None:
    # 1 / C must be finite too.
    if C is not None and not (C > 0 and math.isfinite(1 / C)):
        raise CommandError(f"--C {C:g}; expected a number above 0, such as the default 1, or inf for no penalty")
    if C is not None and cv is not None:
        raise CommandError(f"--C {C:g} and --cv {cv}, which chooses C; write one of the two")
    if scoring is not None:
        _check_scoring(scoring, cv)


def _check_solver(label_smoothing: float, solver: str, tol: float) -> None:
    from softgrad.linear_model._solvers._minimise import SOLVERS  # noqa: PLC0415

    if not 0 <= label_smoothing < 1:
        raise CommandError(f"--label-smoothing {label_smoothing:g}; expected a number from 0 to less than 1")
    names = ["auto", *SOLVERS]
    if solver not in names:
        raise CommandError(f"--solver {solver}; expected {', '.join(names[:-1])} or {names[-1]}")
    if not 0 <= tol < math.inf:
        raise CommandError(f"--tol {tol:g}; expected a finite number of at least 0, such as 1e-6")


def _check_for_cluster(dask: str | None, options: dict[str, object]) -> None:
    advice = {"--cv": "write --C NUMBER, as chosen on a sample", "--weight": "leave it out", "--groups": "leave it out"}
    for option, value in options.items():
        if dask is not None and value is not None:
            raise CommandError(f"{option} {value} needs all rows in memory; with --dask {advice[option]}")


def _check_scoring(scoring: str, folds: int | None) -> None:
    if folds is None:
        raise CommandError(f"--scoring {scoring} is for choosing C by cross-validation; add --cv N")
    from sklearn.metrics import get_scorer_names  # noqa: PLC0415

    if scoring not in get_scorer_names():
        near = difflib.get_close_matches(scoring, get_scorer_names(), 3) or ["accuracy", "f1_macro", "roc_auc_ovr"]
        raise CommandError(f"--scoring {scoring}; expected a scikit-learn scorer, such as {', '.join(near)}")


def _check_report(report: Path, tables: list[Path], model: Path) -> None:
    from softgrad.cli._report import check_report  # noqa: PLC0415

    check_report(report, read=tables)
    if report.resolve() == model.resolve():
        raise CommandError(f"--report {report} would replace the model; name another file")


def _write_report(summary: FitSummary, path: Path) -> None:
    from softgrad.cli._report import write_report  # noqa: PLC0415

    write_report(
        path,
        model=summary.model,
        training=summary.fitted.training,
        held_out=summary.fitted.held_out,
        data=summary.report_facts(),
        command=shlex.join(["softgrad", *sys.argv[1:]]),
    )
