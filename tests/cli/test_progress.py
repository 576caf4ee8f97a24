"""How a fit goes: a bar on a terminal, lines elsewhere."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from softgrad.cli._progress import fit_progress
from softgrad.linear_model import Iteration

DIGITS = Path(__file__).parents[2] / "examples" / "digits.csv"


def terminal_output(command, cwd, **environment):
    """What a command writes to a terminal."""
    import pty  # noqa: PLC0415

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **environment}
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, cwd=cwd, env=environment) as process:
        os.close(child)
        chunks = []
        try:
            while chunk := os.read(parent, 65536):
                chunks.append(chunk)
        except OSError:  # Linux: the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    return b"".join(chunks).decode()


def test_a_terminal_shows_progress(tmp_path):
    program = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()"]
    output = terminal_output([*program, "fit", str(DIGITS), "--target", "digit", "--C", "0.01"], tmp_path)
    assert "reading digits.csv" in output
    assert "fitting" in output
    assert re.search(r"objective 0\.\d{6}  gradient norm \d\.\de-\d\d  \d+ passes", output)
    assert not re.search(r"s: objective \S+  gradient", output)  # a line of those that a file gets
    assert "\x1b[32mconverged" in output
    plain = terminal_output([*program, "fit", str(DIGITS), "--target", "digit", "--C", "0.01"], tmp_path, NO_COLOR="1")
    assert "\x1b[32m" not in plain


def test_plain_progress_is_a_line_a_second_and_the_last(monkeypatch, capsys):
    clock = iter(np.arange(100) * 0.3)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with fit_progress(1e-6) as progress:
        progress.stage("fitting")
        for i in range(10):
            progress.iteration(Iteration(1.0 / (i + 1), 0.1, float(i), 0.3 * i))
    passes = [int(line.split()[-2]) for line in capsys.readouterr().err.splitlines()]
    assert len(passes) < 5
    assert passes[-1] == 9
    assert passes == sorted(set(passes))
