"""Which kind of file a table is in, whatever its name; and files whose content is far larger than they are."""

import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file

import softgrad.cli
from softgrad.cli._errors import CommandError
from softgrad.cli._tables import _array_table, _file_format
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._file_format import kind_of
from softgrad.cli._tables._named_table import read_frame
from softgrad.cli._tables._read_options import ReadOptions

X = np.arange(24.0).reshape(12, 2) % 7
Y = np.arange(12) % 2
FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(message):
    return pytest.raises(CommandError, match=re.escape(message))


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
        assert read_frame(Path(name)).frame.shape == (12, 3)
    assert name == "t.csv" or kind_of(Path(name)) == ("libsvm" if kind == "libsvm" else "csv")


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
    assert kind_of(Path("t.data")) == kind


@pytest.mark.parametrize(
    "start",
    [b"PK\x03\x04 xl/", b"{}", b"[1]", b"<html>", b" <?xml", b"@RELATION x", b"%PDF-1", b"\xd0\xcf\x11\xe0", b"\1\0\2"],
)
def test_what_is_no_table_is_refused(start):
    Path("t.data").write_bytes(start)
    with refused("t.data: unknown kind of table; expected CSV, TSV, Parquet, .npy, .npz or LibSVM text; if it is one"):
        kind_of(Path("t.data"))
    Path("t.data").write_bytes(b" \n")
    with refused("t.data is empty; expected a table"):
        kind_of(Path("t.data"))


@pytest.mark.parametrize("name", ["sep", "decimal", "thousands", "encoding", "skip_lines"])
def test_options_of_text_are_refused_for_other_files(name):
    for kind in ("npy", "npz", "parquet", "libsvm"):
        with refused(f"--{name.replace('_', '-')} is for CSV and TSV; t.data is read as {kind}"):
            kind_of(Path("t.data"), ReadOptions(kind, **{name: ","}))


def test_indices_that_the_model_has_not_seen_are_ignored_with_a_warning(capsys):
    Path("a1a").write_text("+1 1:1 3:1\n-1 2:1\n" * 10, encoding="utf-8")
    Path("a1a.t").write_text("+1 1:1 3:1 4:9\n-1 2:1 99:5\n-1\n", encoding="utf-8")
    Path("seen").write_text("+1 1:1 3:1\n-1 2:1\n-1\n", encoding="utf-8")

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        return stop.value.code, *capsys.readouterr()

    assert run("fit", "a1a", "--output", "m")[0] == 0
    warning = (
        "warning: a1a.t: 2 of 5 values ignored, for the model was fitted to indices from 1 to 3; the first is that of "
        "index 4 in data row 1\n"
    )
    for command in (["predict", "m", "--proba"], ["evaluate", "m", "--json"]):
        code, out, err = run(command[0], "m", "a1a.t", command[2])
        assert (code, err) == (0, warning)
        assert out.replace("a1a.t", "seen") == run(command[0], "m", "seen", command[2])[1]


@pytest.mark.parametrize("name", ["t.txt", "t.svm", "t.svm.gz"])
def test_labels_of_libsvm_text_may_be_words(name, capsys):
    rows = "# note\nspam 1:0.5 # note\nham 2:1\n\nZoë\t3:2\n" * 4
    Path(name).write_bytes((gzip.compress if name.endswith("gz") else bytes)(rows.encode()))
    table = read_array(Path(name), None)
    assert table.labels.tolist() == ["spam", "ham", "Zoë"] * 4
    np.testing.assert_array_equal(table.features.toarray(), np.tile(np.diag([0.5, 1, 2]), (4, 1)))
    for command in (["fit", name, "--output", "m"], ["evaluate", "m", name], ["predict", "m", name]):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(command)
        assert stop.value.code == 0
    assert set(capsys.readouterr().out.split()[-12:]) == {"spam", "ham", "Zoë"}


@pytest.mark.parametrize(
    "text, line", [("spam 1:1\n1 1:1\n", 1), ("1 1:1\nspam 1:1\n", 2), ("\nspam 1:1\nham 1:x\n", 3)]
)
def test_labels_of_two_kinds_and_features_that_are_no_numbers_are_refused(text, line):
    Path("t.svm").write_text(text, encoding="utf-8")
    with refused(f"t.svm, line {line}: could not convert string to float: "):
        read_array(Path("t.svm"), None)


def test_indices_from_0_for_a_model_that_counts_from_1_are_refused():
    Path("t.svm").write_text("1 1:1\n0 0:1\n", encoding="utf-8")
    with refused("t.svm, data row 2: index 0; the model counts columns from 1, for no row that it was fitted to has"):
        read_array(Path("t.svm"), None, features=5, first_index=1)
    Path("t.svm").write_text("1 0:0 3:1\n0 4:1\n", encoding="utf-8")  # what the message recommends
    assert read_array(Path("t.svm"), None).first_index == 0
    Path("t.svm").write_text("1 1:1\n0 5:1\n", encoding="utf-8")
    table = read_array(Path("t.svm"), None, features=5, first_index=0)
    assert (
        "1 of 2 values ignored, for the model was fitted to indices from 0 to 4; the first is that" in table.remarks[0]
    )


@pytest.mark.parametrize("index", [10**7 + 1, 2 * 10**9])
def test_an_index_too_large_for_dense_coefficients_is_refused(index):
    Path("t.svm").write_text(f"1 1:1\n0 2:1 {index}:1\n", encoding="utf-8")
    with refused(f"t.svm, data row 2: index {index}; expected at most 10000000"):
        read_array(Path("t.svm"), None)
    assert read_array(Path("t.svm"), None, features=5, first_index=1).features.shape == (2, 5)


def test_the_largest_index_is_read(monkeypatch):
    monkeypatch.setattr(_array_table, "MOST_FEATURES", 100)
    for least, largest in ((0, 99), (1, 100)):
        Path("t.svm").write_text(f"1 {least}:1\n0 {largest}:1\n", encoding="utf-8")
        assert read_array(Path("t.svm"), None).features.shape == (2, 100)
        Path("t.svm").write_text(f"1 {least}:1\n0 {largest + 1}:1\n", encoding="utf-8")
        with refused(f"t.svm, data row 2: index {largest + 1}; expected at most {largest}"):
            read_array(Path("t.svm"), None)


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**62, 2**62), (10**12, 2), (2**70, 1), (-1, 8)])
def test_headers_that_tell_of_more_than_there_is_are_refused(shape):
    forged = header(shape) + bytes(64)
    Path("t.npy").write_bytes(forged)
    with refused("t.npy is not .npy, is damaged"):
        read_array(Path("t.npy"), "0")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile("t.npz", "w", method) as archive:
            archive.writestr("X.npy", forged)
        with refused("t.npz is not .npz, is damaged"):
            read_array(Path("t.npz"), None)


def test_what_unpacks_to_far_more_than_its_size_is_refused(monkeypatch):
    monkeypatch.setattr(_file_format, "_FREE", 10**5)
    expected = "MB or more from 0.0 MB; expected at most 0 MB, or 100 times its size; unpack it first if that is right"
    np.savez_compressed("t.npz", X=np.zeros((10**5, 2)), y=Y)
    with refused("t.npz: X unpacks to 2 " + expected):
        read_array(Path("t.npz"), None)
    Path("t.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 10**5))
    with refused("t.csv.gz unpacks to 0 " + expected):
        read_frame(Path("t.csv.gz"))
    Path("t.svm.gz").write_bytes(gzip.compress(b"1 1:1\n" * 10**5))
    with refused("t.svm.gz unpacks to 0 " + expected):
        read_array(Path("t.svm.gz"), None)
    pd.DataFrame({"a": np.zeros(10**6)}).to_parquet("t.parquet")
    with refused("t.parquet unpacks to 8 " + expected):
        read_frame(Path("t.parquet"))


def test_a_lack_of_memory_is_one_line(monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 7.28 TiB")

    Path("t.csv").write_bytes(content("csv"))
    monkeypatch.setattr(pd, "read_csv", fail)
    with pytest.raises(SystemExit) as stop:
        softgrad.cli.main(["fit", "t.csv", "--target", "y"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: out of memory: Unable to allocate 7.28 TiB; take fewer rows or columns\n"
