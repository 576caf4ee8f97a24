"""examples/train_digits_jax.py as a user runs it."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_digits_jax.py"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
HELD_OUT = 450


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """As a command, from another folder."""
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLE), "--epochs", "40"],
        check=False, capture_output=True, text=True, cwd=tmp_path_factory.mktemp("elsewhere"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs the example in this process; returns what it prints."""

    def with_options(*options):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        return capsys.readouterr().out

    return with_options


def numbers(line):
    return [float(text) for text in NUMBER.findall(line)]


def epochs(output):
    """Epoch, two training losses, two held-out losses and two accuracies in %, line by line."""
    table, _, _ = output.partition("Milliseconds")
    return [numbers(line) for line in table.splitlines() if re.match(r" *\d+ ", line)]


@pytest.mark.slow
def test_fits_a_terminal(output):
    assert max(len(line) for line in output.splitlines()) <= 80
    assert not [line for line in output.splitlines() if line != line.rstrip()]


@pytest.mark.slow
def test_both_learn_the_digits_alike(output):
    rows = epochs(output)
    assert [row[0] for row in rows] == list(range(4, 41, 4))
    for row in rows:
        for optax, ours in (row[1:3], row[3:5]):
            assert ours == pytest.approx(optax, rel=0.05, abs=2e-4)  # the digits printed
    first, last = rows[0], rows[-1]
    assert max(last[1:3]) < first[1] / 5  # the training loss
    assert min(last[5:]) > 93


@pytest.mark.slow
def test_the_surest_rows_come_out_as_in_float64(output):
    _, _, section = output.partition("surest first:")
    rows = [numbers(line) for line in section.splitlines() if line.count("e") == 6]
    assert len(rows) == 8
    for _, loss, exact, _, slope, exact_slope in rows:
        assert loss == pytest.approx(exact, rel=0.01, abs=0)  # the digits printed
        assert slope == pytest.approx(exact_slope, rel=0.01, abs=0)
    exact = [row[2] for row in rows]
    assert exact == sorted(exact)


@pytest.mark.slow
def test_counts_what_optax_rounds_to_zero(output):
    _, _, section = output.partition(f"All {HELD_OUT} held-out rows:\n")
    figures = dict(line.strip().split(": ") for line in section.splitlines())
    losses, derivatives, _, error = numbers(figures["softgrad"])
    assert (losses, derivatives) == (0, 0)
    assert error <= 3e-7  # two ULP of float32 is 2.4e-7
    losses, derivatives, _, error = numbers(figures["optax"])
    assert 0 < losses < HELD_OUT
    assert 0 < derivatives < HELD_OUT
    assert error >= 1


@pytest.mark.slow
def test_the_seed_decides(run):
    first, again, other = (run("--epochs", "1", "--seed", seed) for seed in "112")
    without_times = re.compile(r"^Milliseconds.*$", re.MULTILINE)
    assert without_times.sub("", first) == without_times.sub("", again)
    assert epochs(first) != epochs(other)


def test_no_epochs_are_refused(run, capsys):
    with pytest.raises(SystemExit) as stop:
        run("--epochs", "0")
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "--epochs 0: expected at least 1" in printed.err
    assert not printed.out
