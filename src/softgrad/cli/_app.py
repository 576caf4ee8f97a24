"""The application: all commands of ``softgrad``."""

from __future__ import annotations

from typing import Annotated

import typer

import softgrad
from softgrad import _core
from softgrad.cli._commands._check import check
from softgrad.cli._commands._dask_option import DaskCommand
from softgrad.cli._commands._derive import derive
from softgrad.cli._commands._evaluate import evaluate
from softgrad.cli._commands._explore import explore
from softgrad.cli._commands._fit import fit
from softgrad.cli._commands._info import info
from softgrad.cli._commands._predict import predict
from softgrad.cli._errors import CommandError

app = typer.Typer(
    name="softgrad",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"softgrad {softgrad.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def softgrad_command(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Softmax regression, and softmax with all of its derivatives: closed-form, accurate, fast."""
    try:
        _core.instruction_set()
    except ValueError as error:  # SOFTGRAD_ISA names a set that this CPU lacks
        raise CommandError(str(error)) from None
    if context.invoked_subcommand is None:
        context.get_help()  # rich prints it


app.command(cls=DaskCommand)(fit)
app.command(cls=DaskCommand)(predict)
app.command(cls=DaskCommand)(evaluate)
app.command()(derive)
app.command()(explore)
app.command()(check)
app.command()(info)
