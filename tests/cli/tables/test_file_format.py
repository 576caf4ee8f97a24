"""The format of a file, whatever its name."""

import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file

import softgrad.cli
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import ReadOptions
from tests.cli.refusal import assert_refused

X = np.arange(24.0).reshape(12, 2) % 7
Y = np.arange(12) % 2
FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def content(kind):
    """A table of a kind, as bytes."""
    file = io.BytesIO()
    match kind:
        case "csv":
            file.write(FRAME.to_csv(index=False).encode())
        case "tsv":
            file.write(FRAME.to_csv(index=False, sep="\t").encode())
        case "parquet":
            FRAME.to_parquet(file)
            return file.getvalue()
        case "npy":
            np.save(file, FRAME.to_numpy())
        case "npz":
            np.savez(file, X=X, y=Y)
        case "libsvm":
            dump_svmlight_file(X, Y, file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "npy", "npz", "libsvm"])
@pytest.mark.parametrize("name", ["table", "table.data", "agaricus.txt.train", "a1a.t", "t.txt"])
def test_a_name_that_does_not_tell_is_no_matter(kind, name, capsys):
    Path(name).write_bytes(content(kind))
    arguments = {"libsvm": [], "npz": [], "npy": ["--target", "2"]}.get(kind, ["--target", "y"])
    for more in ([], ["--format", kind]):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["fit", name, *arguments, *more, "--json", "--output", "m", "--tol", "1e-3"])
        out, err = capsys.readouterr()
        assert stop.value.code == 0, err
        assert (json.loads(out)["features"], json.loads(out)["classes"]) == (2, 2)
    for command in ("predict", "evaluate"):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main([command, "m", name, "--format", kind])
        assert stop.value.code == 0


@pytest.mark.parametrize("kind", ["csv", "tsv", "libsvm"])
@pytest.mark.parametrize("name", ["t", "t.data.gz", "t.txt.gz", "t.csv"])
def test_packed_text_is_known_by_its_content(kind, name):
    Path(name).write_bytes(gzip.compress(content(kind)))
    if kind == "libsvm":
        np.testing.assert_array_equal(read_array(Path(name), None, ReadOptions("libsvm")).features.toarray(), X)
    else:
        assert read_named_table(Path(name)).frame.shape == (12, 3)
    assert name == "t.csv" or detect_format(Path(name)) == ("libsvm" if kind == "libsvm" else "csv")


@pytest.mark.parametrize(
    "text, kind",
    [
        ("+1 1:0.7 2:-1 \n", "libsvm"),
        ("# note\n1\n-1 3:1e-5 # note\n", "libsvm"),
        ("1.0 qid:3 1:2\n", "libsvm"),
        ("1,5 1:2\n", "libsvm"),
        ("1 10:30 x\n", "csv"),
        ("1 2 3\n", "csv"),
        ("1\n2\n", "csv"),
        ("39, State-gov, <=50K\n", "csv"),
        ("# note\nspam 1:0.5\nham\n\nham 2:1 3:-4e-5 # note\n", "libsvm"),
        ("Zoë 1:0.5\n", "libsvm"),
        ("at 10:30 x\n", "csv"),
        ("spam 1:0.5\nham eggs\n", "csv"),
        ("name\nham 2:1\n", "csv"),
    ],
)
def test_libsvm_text_is_known_by_its_first_features(text, kind):
    Path("t.data").write_text(text, encoding="utf-8")
    assert detect_format(Path("t.data")) == kind


@pytest.mark.parametrize(
    "start",
    [b"PK\x03\x04 xl/", b"{}", b"[1]", b"<html>", b" <?xml", b"@RELATION x", b"%PDF-1", b"\xd0\xcf\x11\xe0", b"\1\0\2"],
)
def test_what_is_no_table_is_refused(start):
    Path("t.data").write_bytes(start)
    with assert_refused("t.data: unknown file format; expected CSV, TSV, Parquet, .npy, .npz or LibSVM text; if it"):
        detect_format(Path("t.data"))
    Path("t.data").write_bytes(b" \n")
    with assert_refused("t.data is empty; expected a table"):
        detect_format(Path("t.data"))


@pytest.mark.parametrize("name", ["sep", "decimal", "thousands", "encoding", "skip_lines"])
def test_options_of_text_are_refused_for_other_files(name):
    for kind in ("npy", "npz", "parquet", "libsvm"):
        with assert_refused(f"--{name.replace('_', '-')} is for CSV and TSV; t.data is read as {kind}"):
            detect_format(Path("t.data"), ReadOptions(kind, **{name: ","}))


def test_a_lack_of_memory_is_one_line(monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 7.28 TiB")

    Path("t.csv").write_bytes(content("csv"))
    monkeypatch.setattr(pd, "read_csv", fail)
    with pytest.raises(SystemExit) as stop:
        softgrad.cli.main(["fit", "t.csv", "--target", "y"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: out of memory: Unable to allocate 7.28 TiB; take fewer rows or columns\n"


def test_a_pipe_is_no_table():
    os.mkfifo("pipe.csv")
    with assert_refused("pipe.csv is no regular file; tables are read more than once; save it to a file first"):
        detect_format(Path("pipe.csv"))
