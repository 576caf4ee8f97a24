"""examples/fit_digits_dask.py as a user runs it."""

import pytest

from tests import examples


@pytest.mark.needs("pyarrow")
def test_the_example_ends_with_equal_coefficients(tmp_path):
    output, _ = examples.as_command("fit_digits_dask.py", folder=tmp_path)
    blocks, accuracy, equal = output.splitlines()
    assert blocks.startswith("4 blocks, ")
    assert float(accuracy.rpartition(" ")[2]) > 0.95
    assert equal == "equal to the fit in memory, bit for bit: True"
