"""The scripts in examples/ as a user runs them, and what those that train a network on digits print."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
HELD_OUT = 450  # rows
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
TIMES = re.compile(r"^Milliseconds.*$", re.MULTILINE)


def as_command(script, *options, folder, python=("-W", "error::RuntimeWarning")):
    """What a script prints as a command in another folder: output and errors."""
    result = subprocess.run(
        [sys.executable, *python, str(FOLDER / script), *options],
        check=False, capture_output=True, text=True, cwd=folder, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def in_this_process(monkeypatch, script, *options):
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.syspath_prepend(FOLDER)
    runpy.run_path(str(FOLDER / script), run_name="__main__")


def check_that_no_epochs_are_refused(monkeypatch, capsys, script):
    with pytest.raises(SystemExit) as stop:
        in_this_process(monkeypatch, script, "--epochs", "0")
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "--epochs 0: expected at least 1" in printed.err
    assert not printed.out


def check_that_the_seed_decides(monkeypatch, capsys, script):
    outputs = []
    for seed in "112":
        in_this_process(monkeypatch, script, "--epochs", "1", "--seed", seed)
        outputs.append(capsys.readouterr().out)
    first, again, other = outputs
    assert TIMES.sub("", first) == TIMES.sub("", again)
    assert epochs(first) != epochs(other)


def numbers(line):
    return [float(text) for text in NUMBER.findall(line)]


def epochs(output):
    """Epoch, training losses, held-out losses and accuracies in %, line by line."""
    table, _, _ = output.partition("Milliseconds")
    return [numbers(line) for line in table.splitlines() if re.match(r" *\d+ ", line)]


def check_that_it_fits_a_terminal(output):
    assert max(len(line) for line in output.splitlines()) <= 80
    assert not [line for line in output.splitlines() if line != line.rstrip()]


def check_the_surest_rows(output):
    """Losses and derivatives of softgrad are those of float64, in the digits printed."""
    _, _, section = output.partition("surest first:")
    rows = [numbers(line) for line in section.splitlines() if line.count("e") == 6]
    assert len(rows) == 8
    for _, loss, exact, _, slope, exact_slope in rows:
        assert loss == pytest.approx(exact, rel=0.01, abs=0)
        assert slope == pytest.approx(exact_slope, rel=0.01, abs=0)
    exact = [row[2] for row in rows]
    assert exact == sorted(exact)


def largest_error(output, library):
    """The largest relative error of a library's losses, some of which are 0, beside softgrad's, none of which is."""
    _, _, section = output.partition(f"All {HELD_OUT} held-out rows:\n")
    figures = dict(line.strip().split(": ") for line in section.splitlines())
    losses, derivatives, _, error = numbers(figures["softgrad"])
    assert (losses, derivatives) == (0, 0)
    assert error <= 3e-7  # two ULP of float32 is 2.4e-7
    losses, derivatives, _, error = numbers(figures[library])
    assert 0 < losses < HELD_OUT
    assert 0 < derivatives < HELD_OUT
    return error
