"""`softgrad derive`: step-by-step derivations as text, LaTeX or HTML."""

from __future__ import annotations

import re
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, print_data, refuse_closed_stdout, write_output
from softgrad.cli._terminal import can_write, visible

if TYPE_CHECKING:
    from softgrad.derivation import Derivation, Verification

Form: TypeAlias = Literal["text", "latex", "html"]
_FORMATS: dict[Form, tuple[str, ...]] = {"text": (".txt",), "latex": (".tex",), "html": (".html", ".htm")}


def derive(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the derivation. (default: list the names)")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="text|latex|html", help="Output format. (default: from FILE's name, else text)"
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write. (default: stdout)")] = None,
    check: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check every step and the result, and show the verdicts.")
    ] = True,
) -> None:
    """Derive a derivative of softmax or cross-entropy step by step, and check every step."""
    if form is not None and form not in _FORMATS:
        raise CommandError(f"--format {form}; expected text, latex or html")
    if name is None:
        if form is not None or output is not None:
            raise CommandError("no NAME; write one, such as softgrad derive softmax")
        _list()
        return
    import softgrad.derivation  # noqa: PLC0415

    spelling = name.replace("_", "-")
    try:
        derivation = softgrad.derivation.derive(spelling if spelling in softgrad.derivation.NAMES else name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if output is not None:
        check_output(output, "softmax.html")
    form = form or _form_of(output)
    verification = _verify(derivation) if check else None
    content = derivation.render(form, verification=verification)
    if output is not None:
        write_output(output, content)
        verdict = f" ({verification.summary})" if verification else ""
        done = Text(visible(f"{derivation.title} written to {output}{verdict}"))
        Console(highlight=False).print(done, soft_wrap=True)
    else:
        text = Text(content.removesuffix("\n"))
        _print(_styled(text) if form == "text" else text)
    if verification is not None and not verification.passed:
        raise CommandError(f"{name}: {verification.summary}", 1)


def _list() -> None:
    import softgrad.derivation  # noqa: PLC0415

    table = Table(box=box.ROUNDED)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("derivation")
    for name in softgrad.derivation.NAMES:
        table.add_row(name, softgrad.derivation.derive(name).summary)
    console = Console(highlight=False)
    console.print(table)
    console.print("For example: softgrad derive softmax --output softmax.html", soft_wrap=True)


def _verify(derivation: Derivation) -> Verification:
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        return derivation.verify()
    with console.status(f"checking {len(derivation.steps)} steps"):
        return derivation.verify()


def _form_of(output: Path | None) -> Form:
    if output is None or not output.suffix:
        return "text"
    for form, suffixes in _FORMATS.items():
        if output.suffix.lower() in suffixes:
            return form
    raise CommandError(
        f"--output {output}: expected a name ending in .txt, .tex or .html; or write --format text|latex|html"
    )


def _styled(text: Text) -> Text:
    text.highlight_regex(r"\A.+", "bold")
    text.highlight_regex(r"(?m)^.+(?=\n─+$)", "bold cyan")
    text.highlight_regex(r"(?m)^ {0,2}\(\d+\)", "cyan")
    for warning in re.finditer(r"(?m)^   ⚠ (?:.+\n?)+", text.plain):
        text.stylize("yellow", *warning.span())
    text.highlight_regex(r"(?m)^Checked: (?:.+\n?)+", "red" if "FAIL" in text.plain else "green")
    return text


def _print(text: Text) -> None:
    refuse_closed_stdout()
    if not can_write(text.plain):
        raise CommandError(
            f"this terminal's encoding, {sys.stdout.encoding}, has no mathematical signs; write PYTHONIOENCODING=utf-8 "
            "before the command, or --output FILE after it"
        )
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(text, soft_wrap=True)
    else:
        print_data(text.plain)
