"""examples/fit_digits_dask.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fit_digits_dask.py"


@pytest.mark.needs("pyarrow")
def test_the_example_ends_with_equal_coefficients(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLE)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    blocks, accuracy, equal = result.stdout.splitlines()
    assert blocks.startswith("4 blocks, ")
    assert float(accuracy.rpartition(" ")[2]) > 0.95
    assert equal == "equal to the fit in memory, bit for bit: True"
