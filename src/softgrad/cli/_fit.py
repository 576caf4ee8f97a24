"""`softgrad fit`: softmax regression on a CSV table, from reading it to saving the model."""

from __future__ import annotations

import difflib
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import softgrad as sg
from softgrad.cli import CommandError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from softgrad.linear_model import SoftmaxRegression

    Array = NDArray[Any]


class Split(NamedTuple):
    """Training and held-out rows; nothing is held out where the test fraction is 0."""

    x_train: pd.DataFrame
    y_train: Array
    x_test: pd.DataFrame
    y_test: Array


def fit(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", exists=True, dir_okay=False, help="A CSV file with a header line.")
    ],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column of labels; all others are features.")],
    test_fraction: Annotated[
        float, typer.Option(help="Part of every class that is held out to measure accuracy; 0 for none.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Chooses which rows are held out.")] = 0,
    C: Annotated[float, typer.Option("--C", help="Inverse strength of the L2 penalty; inf for none.")] = 1.0,
    tol: Annotated[float, typer.Option(help="Stop at this gradient norm.")] = 1e-6,
    max_iter: Annotated[int, typer.Option(min=1, help="The largest number of iterations.")] = 1000,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to save the model. (default: TABLE's name.softgrad.npz)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Fit softmax regression to a CSV table, measure it on held-out rows, and save the model."""
    if not 0 <= test_fraction < 1:
        raise CommandError(f"--test-fraction {test_fraction}; expected a number from 0, for none, to less than 1")
    path = output or Path(f"{table.stem}.softgrad.npz")
    _check_output(path, table)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn()
    hidden = not console.is_terminal or console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(f"reading {table.name}", total=None, state="")
        features, labels = _read(table, target)
        split = _split(features, labels, test_fraction, seed)
        progress.update(task, description="fitting")
        start = time.perf_counter()
        model, problems = _fit(split, C, tol, max_iter, progress)
        seconds = time.perf_counter() - start
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)

    from softgrad.linear_model import save_model  # noqa: PLC0415

    save_model(model, path)
    report = _report(model, split, table, target, path, seconds)
    if as_json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(report)


def _check_output(path: Path, table: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"--output {path}: there is no folder {folder}; create it, or name another file")
    if path.exists() and not path.is_file():
        raise CommandError(f"--output {path} is not a file; name one to write, such as {path}/model.npz")
    if path.exists() and path.samefile(table):
        raise CommandError(f"--output {path} would replace the table; name another file")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"--output {path}: no permission to write in {folder.resolve()}; name another folder", 1)


def _read(table: Path, target: str) -> tuple[pd.DataFrame, Array]:
    import pandas as pd  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            # pandas only warns when a row is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Only an empty field is missing: of "NA" or "-" the user shall hear what stands there.
            frame = pd.read_csv(
                table,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                low_memory=False,
            )
    except pd.errors.EmptyDataError:
        raise CommandError(f"{table} is empty; expected CSV with a header line") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeError) as error:
        raise CommandError(f"{table} is not CSV in UTF-8: {str(error).strip()}") from None
    names = [str(name) for name in frame.columns]
    if target not in names:
        close = difflib.get_close_matches(target, names, n=1) or [n for n in names if n.lower() == target.lower()]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(f"{table} has no column {target!r}{hint}; its columns: {_listing(names)}")
    if len(names) == 1:
        raise CommandError(f"{table} has no column but {target!r}; expected at least one feature beside it")
    if frame.empty:
        raise CommandError(f"{table} holds a header but no rows")
    labels = frame.pop(target)
    if labels.isna().any():
        row = int(labels.isna().argmax())
        raise CommandError(
            f"column {target!r}, row {row + 1} below the header: no label; drop such rows, or fill them in"
        )
    for name in frame:
        _check_numbers(frame[name])
    return frame.astype(np.float64), _classes(labels)


def _classes(labels: pd.Series[Any]) -> Array:
    if labels.dtype.kind not in "biuf":
        return np.array(labels.tolist(), dtype=str)
    values = labels.to_numpy()
    fraction = ~np.isfinite(values) | (values != np.floor(values)) if values.dtype.kind == "f" else np.zeros(0, bool)
    if fraction.any():
        row = int(fraction.argmax())
        raise CommandError(
            f"column {str(labels.name)!r}, row {row + 1} below the header: {values[row].item()!r} is a measurement; "
            "expected labels, integers or text; name the column of labels, or divide the values into classes"
        )
    return values


def _check_numbers(column: pd.Series[Any]) -> None:
    import pandas as pd  # noqa: PLC0415

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return
    row = int(bad.argmax())
    value = column.iloc[row]
    found = "a missing value" if pd.isna(value) else repr(str(value))
    raise CommandError(
        f"column {str(column.name)!r}, row {row + 1} below the header: {found}; expected a finite number; "
        "drop the column, encode it in numbers, or drop or fill in such rows"
    )


def _listing(names: list[str]) -> str:
    shown = names if len(names) <= 12 else [*names[:8], "...", *names[-3:]]
    return ", ".join(shown) + ("" if shown is names else f" ({len(names)} in all)")


def _split(features: pd.DataFrame, labels: Array, test_fraction: float, seed: int) -> Split:
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    if not test_fraction:
        return Split(features, labels, features[:0], labels[:0])
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) > 1 and counts.min() < 2:
        rare = classes[counts.argmin()].item()
        raise CommandError(
            f"class {rare!r} has one row, which cannot be both trained on and held out; drop it, or write "
            "--test-fraction 0"
        )
    try:
        parts = train_test_split(features, labels, test_size=test_fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise CommandError(f"--test-fraction {test_fraction}: {error}") from None
    x_train, x_test, y_train, y_test = parts
    untrained = np.setdiff1d(y_test, y_train)
    if untrained.size:
        raise CommandError(
            f"--test-fraction {test_fraction} leaves class {untrained[0].item()!r} no row to train on; write a "
            "smaller one"
        )
    return Split(x_train, y_train, x_test, y_test)


def _fit(split: Split, C: float, tol: float, max_iter: int, progress: Progress) -> tuple[SoftmaxRegression, list[str]]:
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    from softgrad.linear_model import SoftmaxRegression  # noqa: PLC0415

    task = progress.task_ids[0]
    start = best = math.inf

    def show(iteration: int, objective: float, gradient_norm: float) -> None:
        # On a logarithmic scale the gradient norm falls about evenly, though not at every step.
        nonlocal start, best
        start = gradient_norm if start == math.inf else start
        best = max(min(best, gradient_norm), tol, sys.float_info.min)
        done = math.log(start / best) / math.log(start / max(tol, sys.float_info.min)) if start > tol else 1.0
        state = f"iteration {iteration}  objective {objective:.6f}  gradient norm {gradient_norm:.1e}"
        progress.update(task, total=1.0, completed=done, state=state)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            model = SoftmaxRegression(C=C, tol=tol, max_iter=max_iter)
            model.fit(split.x_train, split.y_train, on_iteration=show)
        except ValueError as error:
            raise CommandError(str(error)) from None
    return model, [str(item.message) for item in caught if issubclass(item.category, ConvergenceWarning)]


def _report(
    model: SoftmaxRegression, split: Split, table: Path, target: str, path: Path, seconds: float
) -> dict[str, Any]:
    x_train, y_train, x_test, y_test = split
    return {
        "table": str(table),
        "target": target,
        "features": model.n_features_in_,
        "classes": len(model.classes_),
        "rows": {"training": len(y_train), "held_out": len(y_test)},
        "loss": {"training": model.loss_, "held_out": _loss(model, x_test, y_test)},
        "accuracy": {
            "training": float(model.score(x_train, y_train)),
            "held_out": float(model.score(x_test, y_test)) if len(y_test) else None,
        },
        "objective": model.objective_,
        "gradient_norm": model.gradient_norm_,
        "iterations": model.n_iter_,
        "converged": model.converged_,
        "seconds": seconds,
        "model": str(path),
    }


def _loss(model: SoftmaxRegression, x: pd.DataFrame, y: Array) -> float | None:
    """Mean cross-entropy, in nats."""
    if not len(y):
        return None
    index = np.searchsorted(model.classes_, y)
    return float(sg.linear_cross_entropy(x.to_numpy(), model.coef_, index, bias=model.intercept_))


def _print_table(report: dict[str, Any]) -> None:
    def both(row: dict[str, Any], form: str) -> list[str]:
        return ["-" if row[part] is None else format(row[part], form) for part in ("training", "held_out")]

    title = Text.assemble((report["target"], "bold"), f" from {report['table']}: ")
    title.append(f"{sum(report['rows'].values())} rows, {report['features']} features, {report['classes']} classes")
    table = Table(box=box.ROUNDED, title_justify="left")
    table.add_column("")
    table.add_column("training", justify="right")
    table.add_column("held out", justify="right")
    table.add_row("rows", *both(report["rows"], "d"))
    table.add_row("loss (nats)", *both(report["loss"], ".6f"))
    table.add_row("accuracy", *both(report["accuracy"], ".2%"), style="bold")
    console = Console(highlight=False)
    end = Text("converged", "green") if report["converged"] else Text("not converged", "yellow")
    solver = Text.assemble(end, f" in {report['iterations']} iterations, {report['seconds']:.2f} s: objective ")
    solver.append(f"{report['objective']:.6f}, gradient norm {report['gradient_norm']:.1e}")
    console.print(title, soft_wrap=True)
    console.print(table)
    console.print(solver, soft_wrap=True)
    console.print(Text(f"model saved in {report['model']}"), soft_wrap=True)
