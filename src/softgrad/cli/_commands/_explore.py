"""`softgrad explore`: the interactive page, in a browser or in a file."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from softgrad.cli._errors import CommandError
from softgrad.cli._output import check_output, write_output
from softgrad.cli._terminal import visible


def explore(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write. (default: a temporary one, opened in a browser)")
    ] = None,
) -> None:
    """Explore softmax, its Jacobian, cross-entropy and descent on an interactive page, which needs no network."""
    if output is not None:
        check_output(output, "explorer.html")
        if output.suffix.lower() not in {".html", ".htm"}:
            raise CommandError(f"--output {output}: expected a name ending in .html, such as explorer.html")
    import softgrad.explorer  # noqa: PLC0415

    page = softgrad.explorer.page()
    # The browser reads the temporary file after this process has ended; the system deletes it.
    path = output or Path(tempfile.mkdtemp(prefix="softgrad-")) / "explorer.html"
    write_output(path, page)
    if output is None and not webbrowser.open(path.as_uri()):
        raise CommandError(f"no browser could be started; open {path} in one, or write --output FILE", 1)
    done = "written to" if output else "opened in the browser from"
    Console(highlight=False).print(Text(visible(f"Explorer {done} {path}")), soft_wrap=True)
