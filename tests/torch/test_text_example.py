"""examples/train_text_torchrun.py as a user runs it, in one process and in two."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_text_torchrun.py"
LOSSES = re.compile(r"^ +\d+ +(\d+\.\d+) +(\d+\.\d+)$", re.MULTILINE)
# The sum over the classes in the gradient of the features has another order: a few ULP of float32, 6e-8 each.
TOLERANCE = 1e-6


def printed(folder, *launcher):
    """As a command, from another folder."""
    command = [sys.executable, *launcher, str(EXAMPLE), "--epochs", "3"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def losses(output):
    """The training and the held-out loss of every epoch."""
    return [[float(text) for text in line] for line in LOSSES.findall(output)]


@pytest.mark.slow
def test_two_processes_print_the_losses_of_one(tmp_path):
    one = printed(tmp_path)
    two = printed(tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert "1787 in each process" in one
    assert "894 in each process" in two
    assert len(two.splitlines()) == len(one.splitlines())  # one process prints
    assert max(map(len, two.splitlines())) <= 80
    first, *_, last = losses(one)
    assert len(losses(one)) == 3
    assert last < first
    for mine, others in zip(losses(two), losses(one), strict=True):
        assert mine == pytest.approx(others, rel=TOLERANCE, abs=0)


def test_no_epochs_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--epochs", "0"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert stop.value.code == 2
    assert "--epochs 0: expected at least 1" in capsys.readouterr().err
