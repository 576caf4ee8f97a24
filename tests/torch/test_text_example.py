"""examples/train_text_torchrun.py as a user runs it, in one process and in two."""

import re

import pytest

from tests import examples

SCRIPT = "train_text_torchrun.py"
LOSSES = re.compile(r"^ +\d+ +(\d+\.\d+) +(\d+\.\d+)$", re.MULTILINE)
# The sum over the classes in the gradient of the features has another order: a few ULP of float32, 6e-8 each.
TOLERANCE = 1e-6


def losses(output):
    """The training and the held-out loss of every epoch."""
    return [[float(text) for text in line] for line in LOSSES.findall(output)]


@pytest.mark.slow
def test_two_processes_print_the_losses_of_one(tmp_path):
    torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    one, two = (
        examples.as_command(SCRIPT, "--epochs", "3", folder=tmp_path, python=python)[0] for python in ((), torchrun)
    )
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
    examples.check_that_no_epochs_are_refused(monkeypatch, capsys, SCRIPT)
