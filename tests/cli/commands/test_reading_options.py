"""The options that commands share, and what a command makes of them."""

import pytest
import typer

from softgrad.cli._commands._reading_options import takes_reading_options
from softgrad.cli._tables._read_options import ReadOptions
from tests.cli.refusal import assert_refused


@pytest.fixture
def run():
    """Run a command of its own with the shared options; returns what it received."""
    received = {}

    @takes_reading_options
    def command(table: str, *, reading: ReadOptions) -> None:
        received.update(table=table, reading=reading)

    app = typer.Typer()
    app.command()(command)

    def call(*arguments):
        app(arguments, standalone_mode=False)
        return received["table"], received["reading"]

    return call


def test_options_arrive_checked(run):
    assert run("t.csv") == ("t.csv", ReadOptions())
    options = ["--format", "csv", "--sep", "tab", "--decimal", ",", "--thousands", "’", "--encoding", "UTF8"]
    expected = ReadOptions("csv", "\t", "utf-8", ",", "'", skip_lines=2)
    assert run("t.csv", *options, "--skip-lines", "2") == ("t.csv", expected)


def test_a_wrong_option_is_refused_before_the_command_runs(run):
    with assert_refused("--sep 'ab'; expected one character"):
        run("t.csv", "--sep", "ab")
