"""`softgrad check`: check a softmax or a derivative, and name the mistake if it is wrong."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import numpy as np
import typer
from rich.console import Console
from rich.text import Text

from softgrad import checking
from softgrad.checking._reference import Kind
from softgrad.cli._errors import CommandError
from softgrad.cli._output import print_json
from softgrad.cli._terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import ArrayLike

    from softgrad.checking import Report


KINDS: tuple[Kind, ...] = get_args(Kind)


class Reduction(StrEnum):
    """Reduction of the losses of the rows."""

    SUM = "sum"
    MEAN = "mean"
    NONE = "none"


class Target(StrEnum):
    """Type of the second argument of the function."""

    WEIGHTED = "weighted"
    PROBABILITIES = "probabilities"
    ONE_HOT = "one-hot"
    INDEX = "index"


# The names of the checks' options that the command calls otherwise.
_OPTIONS = {"batched": "single", "from_logits": "from-probabilities"}
_COLOURS = {"pass": "green", "inconclusive": "yellow"}
_WIDTH = 100
# The name of the user's file as a module: its own name may be that of a package that it imports.
_MODULE = "_softgrad_checked_file"


def check(
    function: Annotated[
        str,
        typer.Argument(metavar="FILE.py:FUNCTION", help="Function to check, in a file or as package.module:FUNCTION."),
    ],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Kind of function: one of those above. (required)")
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="FUNCTION takes one vector instead of a batch.")] = False,
    from_probabilities: Annotated[
        bool,
        typer.Option(
            "--from-probabilities",
            help="FUNCTION takes p = softmax(z) in place of z; derivatives are still those with respect to z.",
        ),
    ] = False,
    target: Annotated[
        Target | None,
        typer.Option(
            metavar="TYPE",
            help="Type of target: weighted (rows of positive numbers that do not sum to one), probabilities (rows that "
            "sum to one), one-hot, or index (class indices). (default: weighted)",
        ),
    ] = None,
    reduction: Annotated[
        Reduction | None, typer.Option(help="Reduction of the losses of the rows. (default: sum)")
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(metavar="W,W,...", help="Class weights that FUNCTION uses, one for every class, such as 1,2,0.5."),
    ] = None,
    ignore_index: Annotated[int | None, typer.Option(help="Class index that FUNCTION ignores.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Label smoothing of FUNCTION, from 0 to 1.")] = None,
    z_loss: Annotated[float | None, typer.Option(help="Factor of the term lse(z)^2 in the loss of FUNCTION.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Check whether FUNCTION is right; if not, name the mistake and show what to write instead.

    FILE.py is run, as `python FILE.py` would run it except that __name__ is not "__main__"; then FUNCTION is called.

    KIND is what FUNCTION computes from NumPy float64 arrays of shape (B, C):

    FUNCTION(z): softmax, log-softmax, softmax-jacobian, log-softmax-jacobian
    FUNCTION(z, v): softmax-vjp, log-softmax-vjp
    FUNCTION(z, target): cross-entropy, cross-entropy-grad, cross-entropy-hessian
    FUNCTION(z, target, v): cross-entropy-hvp
    FUNCTION(x, W, bias, target): linear-cross-entropy-grad, which returns (dx, dW, dbias)

    The exit code is 0 if FUNCTION is right, 1 if it is wrong or cannot be judged, and 2 for bad input.
    """
    checked_kind = _kind(kind)
    options = _given(
        batched=False if single else None,
        from_logits=False if from_probabilities else None,
        target=target and target.value,
        reduction=reduction and reduction.value,
        weight=weight and _numbers(weight),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
    )
    run_check = getattr(checking, f"check_{checked_kind.replace('-', '_')}")
    for name in options.keys() - inspect.signature(run_check).parameters.keys():
        raise CommandError(
            f"--{_OPTIONS.get(name, name.replace('_', '-'))} does not apply to {checked_kind}; leave it out"
        )
    # Output that the user's code prints does not belong to the report.
    with contextlib.redirect_stdout(sys.stderr), _found_from(function) as (module, name):
        try:
            report = run_check(_function(module, name, function), **options)
        except ValueError as error:  # an option; those of FUNCTION are part of the report
            raise CommandError(str(error)) from None
        except SystemExit as stop:
            problem = f"{function} ended the process ({_text(stop)}) instead of returning a result"
            raise CommandError(f"{problem}; take sys.exit() out of it", 1) from None
    if as_json:
        print_json(_facts(report))
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _given(**options: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise CommandError(f"--weight {text}: expected numbers with commas between them, such as 1,2,0.5") from None


def _kind(given: str | None) -> Kind:
    expected = f"expected one of {', '.join(KINDS)}"
    if given is None:
        raise CommandError(f"--kind is missing; {expected}")
    spelled = given.replace("_", "-")
    for kind in KINDS:
        if kind == spelled:
            return kind
    close = difflib.get_close_matches(spelled.lower(), KINDS, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise CommandError(f"no kind is called {given!r}{hint}; {expected}")


@contextlib.contextmanager
def _found_from(function: str) -> Iterator[tuple[ModuleType, str]]:
    """Yield the module and the name of the function, with the folder of the module on the import path."""
    place, _, name = function.rpartition(":")
    if not place or not name:
        raise CommandError(f"{function}: expected FILE.py:FUNCTION, such as my_module.py:my_backward")
    path = Path(place)
    is_file = path.suffix == ".py" or path.name != place
    if is_file and not path.is_file():
        raise CommandError(f"{place}: there is no such file")
    before = list(sys.path)
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    try:
        yield (_load_file(path.resolve(), place) if is_file else _import(place)), name
    finally:
        sys.path[:] = before
        sys.modules.pop(_MODULE, None)


def _load_file(path: Path, given: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{given}: not a Python file; expected FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where dataclasses look for the names in annotations
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise CommandError(f"{given}{_line_of(error, path)}: {_text(error)}") from None
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        hint = f"; for a file write {name}.py:FUNCTION" if Path(f"{name}.py").is_file() else ""
        raise CommandError(f"{name} cannot be imported: {_text(error)}{hint}") from None


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f", line {lines[-1]}" if lines else ""


def _text(error: BaseException) -> str:
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(message.split())}".rstrip(": ")


def _function(module: ModuleType, name: str, given: str) -> Callable[..., Any]:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found
    place = given.rpartition(":")[0]
    names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    own = [n for n in names if inspect.getmodule(getattr(module, n)) in {module, None}] or names
    if found is not None:
        raise CommandError(f"{given} is a {type(found).__name__}; expected a function; {place} has {_listing(own)}")
    close = difflib.get_close_matches(name, own, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise CommandError(f"{place} has no function {name}{hint}; it has {_listing(own)}")


def _listing(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "none"


def _facts(report: Report) -> dict[str, Any]:
    worst, example = report.worst, report.example
    return {
        "function": report.subject,
        "kind": report.kind,
        "passed": report.passed,
        "verdict": report.verdict,
        "cause": report.cause,
        "explanation": report.explanation,
        "advice": report.advice,
        "example": example
        and {
            "arguments": dict(zip(example.names, map(_listed, example.arguments), strict=True)),
            "expected": _listed(example.expected),
            "received": None if example.received is None else _listed(example.received),
        },
        "worst": worst
        and {
            "index": list(worst.index),
            "expected": worst.expected,
            "received": _listed(worst.received),
        },
        "violated_properties": list(report.violated_properties),
        "stages": {stage.name: stage.state for stage in report.stages},
        "notes": list(report.notes),
    }


def _listed(values: ArrayLike) -> Any:
    """Numbers as nested lists, with null for NaN and infinity, which JSON lacks."""
    array = np.asarray(values)
    numbers = array.astype(object)
    numbers[~np.isfinite(array)] = None
    return numbers.tolist()


def _print(report: Report) -> None:
    console = Console(highlight=False)
    style = f"bold {_COLOURS.get(report.verdict, 'red')}"
    for line in report.lines(min(console.width, _WIDTH)):
        if not line:  # the headline is over
            style = "bold"
        indented = "cyan" if line.startswith(6 * " ") else ""
        console.print(Text(visible(line), indented if line.startswith(" ") else style), soft_wrap=True)
