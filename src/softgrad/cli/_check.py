"""`softgrad check`: what is wrong, if anything, with a softmax or a derivative that someone wrote."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import math
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from softgrad import checking
from softgrad.cli import CommandError
from softgrad.cli._output import print_json
from softgrad.cli._terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from softgrad.checking import Report


# What the function computes.
KINDS = (
    "softmax",
    "softmax-jacobian",
    "log-softmax-jacobian",
    "softmax-vjp",
    "cross-entropy",
    "cross-entropy-grad",
    "cross-entropy-hessian",
)


class Reduction(StrEnum):
    """What becomes of the rows' losses."""

    SUM = "sum"
    MEAN = "mean"
    NONE = "none"


class Target(StrEnum):
    """What the function is given beside the logits."""

    PROBABILITIES = "probabilities"
    INDEX = "index"


_COLOURS = {"pass": "green", "inconclusive": "yellow"}
_WIDTH = 100
# The name of the user's file as a module. Its own may be that of a package that it imports.
_MODULE = "_softgrad_checked_file"


def check(
    function: Annotated[
        str, typer.Argument(metavar="FILE.py:FUNCTION", help="The function; or package.module:FUNCTION.")
    ],
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="What it computes: one of the kinds above. (required)")
    ] = None,
    reduction: Annotated[
        Reduction | None, typer.Option(help="What becomes of the rows' losses. (default: sum)")
    ] = None,
    target: Annotated[
        Target | None,
        typer.Option(help="What it is given: rows of class weights, or class indices. (default: probabilities)"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the text.")] = False,
) -> None:
    """Say whether FUNCTION is right, and if not, what is wrong with it and what to write instead.

    KIND is what it computes, from NumPy float64 arrays of shape (B, C):

    FUNCTION(z): softmax, softmax-jacobian, log-softmax-jacobian
    FUNCTION(z, v): softmax-vjp
    FUNCTION(z, target): cross-entropy, cross-entropy-grad, cross-entropy-hessian

    The exit code is 0 if it is right; 1 if it is wrong, or could not be judged; 2 if the command cannot be carried out.
    """
    kind = _kind(kind)
    options = {name: value.value for name, value in (("reduction", reduction), ("target", target)) if value}
    if options and not kind.startswith("cross-entropy"):
        raise CommandError(f"--{next(iter(options))} belongs to the kinds of cross-entropy; leave it out")
    # What the user's code prints is no part of the report.
    with contextlib.redirect_stdout(sys.stderr), _found_from(function) as (module, name):
        try:
            report = getattr(checking, f"check_{kind.replace('-', '_')}")(_function(module, name, function), **options)
        except SystemExit as stop:
            problem = f"{function} ended the process ({_text(stop)}) instead of returning its answer"
            raise CommandError(f"{problem}; take sys.exit() out of it", 1) from None
    if as_json:
        print_json(_facts(report))
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _kind(given: str | None) -> str:
    expected = f"expected one of {', '.join(KINDS)}"
    if given is None:
        raise CommandError(f"--kind is missing; {expected}")
    kind = given.replace("_", "-")
    if kind in KINDS:
        return kind
    close = difflib.get_close_matches(kind.lower(), KINDS, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise CommandError(f"no kind is called {given!r}{hint}; {expected}")


@contextlib.contextmanager
def _found_from(function: str) -> Iterator[tuple[ModuleType, str]]:
    """The module and the name; the modules beside it can be imported meanwhile."""
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
    worst = report.worst
    return {
        "function": report.subject,
        "kind": report.kind,
        "passed": report.passed,
        "verdict": report.verdict,
        "cause": report.cause,
        "explanation": report.explanation,
        "advice": report.advice,
        # JSON has no NaN.
        "worst": worst
        and {
            "index": list(worst.index),
            "expected": worst.expected,
            "got": worst.got if math.isfinite(worst.got) else None,
        },
        "violated_properties": list(report.violated_properties),
        "stages": {stage.name: stage.state for stage in report.stages},
        "notes": list(report.notes),
    }


def _print(report: Report) -> None:
    console = Console(highlight=False)
    style = f"bold {_COLOURS.get(report.verdict, 'red')}"
    for line in report.lines(min(console.width, _WIDTH)):
        if not line:  # the headline is over
            style = "bold"
        indented = "cyan" if line.startswith(6 * " ") else ""
        console.print(Text(visible(line), indented if line.startswith(" ") else style), soft_wrap=True)
