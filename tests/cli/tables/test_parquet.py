"""Damaged Parquet, and Parquet without pyarrow."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables._named_table import read_named_table
from tests.cli.refusal import assert_refused


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_truncated_parquet_is_refused():
    frame = pd.DataFrame({"a": np.arange(50), "b": [f"text {i}" for i in range(50)]})
    frame.to_parquet("t.parquet")
    whole = Path("t.parquet").read_bytes()
    for position in range(0, len(whole), 97):
        Path("t.parquet").write_bytes(whole[:position])
        with assert_refused("t.parquet is"):
            read_named_table(Path("t.parquet"))


def test_parquet_without_pyarrow_names_the_extra(monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet("t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with assert_refused('t.parquet: Parquet needs pyarrow; write pip install "softgrad[parquet]"') as caught:
        read_named_table(Path("t.parquet"))
    assert caught.value.exit_code == 1
