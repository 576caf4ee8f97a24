"""`python -m softgrad`."""

import subprocess
import sys

import softgrad


def test_it_is_the_command():
    command = [sys.executable, "-m", "softgrad"]
    result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"softgrad {softgrad.__version__}\n", "")
    result = subprocess.run([*command, "info", "--no"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("(see softgrad info --help)\n")
