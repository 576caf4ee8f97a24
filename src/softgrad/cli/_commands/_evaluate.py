"""`softgrad evaluate`: measure a saved model on a labelled table, or logits against their targets."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.cli._commands._dask_option import DaskOption, input_files
from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._dask import evaluate_parts
from softgrad.cli._errors import CommandError
from softgrad.cli._formatting import nats, percent, shown
from softgrad.cli._metrics import Evaluation, evaluation, facts, macro, most_mistaken, shown_classes
from softgrad.cli._output import print_json
from softgrad.cli._progress import fit_progress
from softgrad.cli._report import check_report, write_evaluation
from softgrad.cli._standard_input import shown_name, table_file
from softgrad.cli._tables._labels import class_indices
from softgrad.cli._tables._numpy_files import map_array
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._terminal import say, visible

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from softgrad._typing import Array
    from softgrad.linear_model import SoftmaxRegression

_MOST_CLASSES = 30
# Rounding the probabilities to float16 changes the sum of a row by at most half of this.
_SUM_TOLERANCE = 1e-3
_BLOCK = 2**20  # entries to check at a time


@takes_reading_options
def evaluate(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", exists=True, dir_okay=False, help="Model file of softgrad fit.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="TABLE",
            help="Labelled rows, in any format of softgrad fit; - for standard input; with --dask a pattern in quotes, "
            "or a folder.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Label column; with --logits, a .npy file of class indices (N,) or probabilities (N, K).",
            show_default="the label column of the fit",
        ),
    ] = None,
    logits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A .npy file of logits (N, K), instead of MODEL and TABLE.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write an HTML report with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    dask: DaskOption = None,
    *,
    reading: ReadOptions,
) -> None:
    """Evaluate a model on labelled rows: loss, accuracy, calibration, and precision and recall of every class.

    The calibration error is the mean gap between confidence and accuracy in 15 bins of confidence (Guo et al. 2017).
    """
    if logits is not None and model is not None:
        raise CommandError(f"--logits replaces MODEL and TABLE; leave out {model}")
    if logits is None and table is None:
        missing = "MODEL" if model is None else "TABLE"
        raise CommandError(
            f"no {missing}; write softgrad evaluate MODEL TABLE, or softgrad evaluate --logits z.npy --target y.npy"
        )
    if logits is not None and reading != ReadOptions():
        raise CommandError(
            "--format, --sep, --decimal, --thousands, --encoding and --skip-lines are for TABLE, not for --logits"
        )
    if logits is not None and dask is not None:
        raise CommandError("--dask is for MODEL and TABLE, not for --logits")
    files = [] if table is None else input_files(table, dask)
    if report is not None:
        labels = Path(target) if logits is not None and target is not None else None
        check_report(report, read=[path for path in (model, *files, logits, labels) if path and path.exists()])
    fitted, origin, found = (
        _evaluate_logits(logits, target) if logits is not None else _evaluate_model(model, table, reading, target, dask)  # type: ignore[arg-type]  # both are given
    )
    if report is not None:
        data = {**origin, "rows": found.rows, "classes": len(found.classes)}
        command = shlex.join(["softgrad", *sys.argv[1:]])
        write_evaluation(report, model=fitted, found=found, data=data, command=command)
    if logits is not None and _are_probabilities(_load(logits, "--logits")):
        say(
            f"warning: the rows of {logits} sum to 1, as probabilities do, and --logits takes logits; of probabilities "
            "save numpy.log(p)"
        )
    if not np.isfinite(found.loss):
        say("warning: the loss is infinite: the class of a row has probability 0, logit -inf")
    if as_json:
        print_json({**origin, **facts(found)})
    else:
        _print(found, origin["table"] if logits is None else origin["logits"])
    if report is not None and not as_json:
        Console(highlight=False).print(Text(visible(f"report written to {report}")), soft_wrap=True)


def _evaluate_model(
    path: Path, table: Path, reading: ReadOptions, target: str | None, dask: str | None
) -> tuple[SoftmaxRegression, dict[str, str], Evaluation]:
    from softgrad.cli._saved_model import open_model, print_warnings  # noqa: PLC0415

    saved = open_model(path)
    if dask is None:
        with table_file(table) as file, _status(file):
            rows = saved.read(file, reading, target=target, labels=True)
            model = saved.model
            index = class_indices(np.asarray(rows.labels), model.classes_, file)
            try:
                # Log-probabilities are logits up to a shift of each row, and exact in the tails.
                log_probs = model.predict_log_proba(rows.features)
            except ValueError as error:
                raise CommandError(f"{file}: {error}") from None
            found = evaluation(log_probs, index, model.classes_)
    else:
        with fit_progress() as progress:
            found, remarks = evaluate_parts(saved, table, reading, target, dask, progress)
        print_warnings(remarks)
    return saved.model, {"model": str(path), "table": shown_name(table)}, found


def _status(path: Path) -> AbstractContextManager[object]:
    console = Console(stderr=True)
    console.quiet = not console.is_terminal or console.is_dumb_terminal
    return console.status(Text(visible(f"evaluating {path.name}")))


def _evaluate_logits(path: Path, target: str | None) -> tuple[None, dict[str, str], Evaluation]:
    if target is None:
        raise CommandError("--logits needs --target: a .npy file of class indices (N) or of probabilities (N, K)")
    z = _load(path, "--logits")
    if z.ndim != 2 or 0 in z.shape:
        raise CommandError(f"--logits {path} has shape {z.shape}; expected (N, K), one row per example")
    if z.dtype.kind not in "iuf" or z.dtype.itemsize > 8:
        raise CommandError(f"--logits {path} has dtype {z.dtype}; expected float16, float32, float64 or integers")
    y = _load(Path(target), "--target")
    if y.dtype.kind in "iu":
        _check_indices(y, z, f"--target {target}")
    else:
        _check_probabilities(y, z, f"--target {target}")
    try:
        with _status(path):
            found = evaluation(z, y, np.arange(z.shape[1]))
    except ValueError as error:
        raise CommandError(f"--logits {path}: {error}") from None
    return None, {"logits": str(path), "target": target}, found


def _load(path: Path, option: str) -> Array:
    try:
        return map_array(path, f"{option} {path}")
    except OSError as error:
        raise CommandError(f"{option} {path}: {error.strerror.lower() if error.strerror else error}") from None


def _are_probabilities(z: Array) -> bool:
    """Return whether all rows are non-negative and sum to 1."""
    step = max(1, _BLOCK // z.shape[1])
    for start in range(0, len(z), step):
        block = z[start : start + step]
        total = block.sum(axis=1, dtype=np.float64)
        if (block < 0).any() or (np.abs(total - 1) > _SUM_TOLERANCE).any():
            return False
    return True


def _check_indices(y: Array, z: Array, what: str) -> None:
    rows, count = z.shape
    if y.shape != (rows,):
        one_hot = "; for one-hot rows write y.astype(numpy.float32)" if y.shape == z.shape else ""
        raise CommandError(f"{what} has shape {y.shape}; expected ({rows},), one class index per row{one_hot}")
    bad = (y < 0) | (y >= count)
    if bad.any():
        row = int(bad.argmax())
        raise CommandError(f"{what}: row {row} is {y[row]}; expected class indices from 0 to {count - 1}")


def _check_probabilities(y: Array, z: Array, what: str) -> None:
    if y.dtype.kind != "f" or y.dtype.itemsize > 8:
        raise CommandError(f"{what} has dtype {y.dtype}; expected integers, class indices, or floats, probabilities")
    if y.shape != z.shape:
        raise CommandError(
            f"{what} has shape {y.shape} and dtype {y.dtype}; expected probabilities of shape {z.shape}, or class "
            f"indices of shape {z.shape[:1]}: y.astype(numpy.int64)"
        )
    step = max(1, _BLOCK // z.shape[1])
    for start in range(0, len(y), step):
        block = y[start : start + step]
        total = block.sum(axis=1, dtype=np.float64)
        # Comparisons with NaN are false.
        good = (block >= 0).all(axis=1) & (np.abs(total - 1) <= _SUM_TOLERANCE)
        if not good.all():
            row = int((~good).argmax())
            raise CommandError(
                f"{what}: row {start + row} has minimum {block[row].min()} and sum {total[row]:.6g}; expected "
                "probabilities, which are not negative and sum to 1"
            )


def _print(found: Evaluation, name: str) -> None:
    console = Console(highlight=False)
    console.print(Text(f"{visible(name)}: {found.rows} rows, {len(found.classes)} classes"), soft_wrap=True)
    summary = Table(box=box.ROUNDED, show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    rows = [
        ("loss (nats)", nats(found.loss)),
        ("loss of the class frequencies alone", nats(found.prior_loss)),
        ("accuracy", percent(found.accuracy)),
        ("top-5 accuracy", percent(found.top5_accuracy)),
        ("mean confidence", percent(found.confidence)),
        ("calibration error", percent(found.calibration_error)),
        ("Brier score", f"{found.brier:.4f}"),
    ]
    for label, value in rows:
        if label != "top-5 accuracy" or found.top5_accuracy is not None:
            summary.add_row(label, value, style="bold" if label == "accuracy" else None)
    console.print(summary)
    console.print(_class_table(found))


def _class_table(found: Evaluation) -> Table:
    chosen = shown_classes(found, _MOST_CLASSES)
    table = Table(box=box.ROUNDED, show_footer=True)
    means = [percent(macro(figure), 1) for figure in (found.precision, found.recall, found.f1)]
    table.add_column("class", "mean", style="bold", overflow="fold")
    for title, mean in zip(("precision", "recall", "F1", "rows"), [*means, str(found.rows)], strict=True):
        table.add_column(title, mean, justify="right", footer_style="dim", no_wrap=True)
    table.add_column("taken for", justify="right", overflow="fold")
    for index in chosen.tolist():
        mistake = most_mistaken(found, index)
        table.add_row(
            Text(shown(found.classes[index])),
            *(percent(figure[index], 1) for figure in (found.precision, found.recall, found.f1)),
            str(found.support[index]),
            Text("–" if mistake is None else f"{shown(found.classes[mistake[0]])} ({mistake[1]})"),
        )
    left_out = len(found.classes) - len(chosen)
    if left_out:
        table.caption = f"the {len(chosen)} classes with the lowest F1; {left_out} more with --json"
    return table
