"""LibSVM text, whole and broken."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import softgrad.cli
from softgrad.cli._tables import _libsvm
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._file_format import detect_format
from tests.cli.refusal import assert_refused


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def text(name, content):
    Path(name).write_text(content, encoding="utf-8")
    return Path(name)


def test_libsvm_text_stays_sparse_and_counts_columns_as_the_fit_did():
    table = text("t.svm", "1 1:0.5 100000:1\n2\n0 2:4 # note\n")
    found = read_array(table, None)
    assert scipy.sparse.issparse(found.features)
    assert (found.features.shape, found.features.nnz, found.first_index) == ((3, 100000), 3, 1)
    later = read_array(text("l.svm", "0 3:7\n"), None, features=5, first_index=1)
    assert later.features.toarray().tolist() == [[0, 0, 7, 0, 0]]
    later = read_array(text("l.svm", "0 3:7\n"), None, features=5, first_index=0)
    assert later.features.toarray().tolist() == [[0, 0, 0, 7, 0]]
    with assert_refused("l.svm, data row 1: index 0; the model counts columns from 1"):
        read_array(text("l.svm", "0 0:7\n"), None, features=5, first_index=1)


@pytest.mark.parametrize("name", ["t.svm", "heart_scale", "t.svm.gz"])
@pytest.mark.parametrize("label", ["1", "spam"])
def test_a_byte_order_mark_is_no_part_of_the_first_label(name, label):
    content = f"{label} 1:0.5 2:1\n{label} 1:2\n".encode("utf-8-sig")
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert detect_format(Path(name)) == "libsvm"
    found = read_array(Path(name), None)
    assert [str(value) for value in found.labels.tolist()] == [label, label]
    assert found.features.toarray().tolist() == [[0.5, 1], [2, 0]]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "t.svm holds 0 rows of 0 features"),
        ("# note\n", "t.svm holds 0 rows"),
        ("1\n2\n", "t.svm holds 2 rows of 0 features"),
        ("1 1:1\n2 1:x\n3 1:1\n", "t.svm, line 2: could not convert string to float: 'x'; expected LibSVM text"),
        ("a,b,y\n1,2,3\n", "t.svm, line 1: could not convert string to float: 'a,b,y'"),
        ("1 1:2\n" * 999 + "1 1\n" + "1 1:2\n" * 500, "t.svm, line 1000: "),
        ("1 1:1\n2 3:1 2:1\n", "t.svm, line 2: "),
        ("1 1:1\n2 -1:1\n", "t.svm, line 2: "),
        ("1 99999999999:1\n", "t.svm, line 1: "),
        ("1 1:1\n2 1:nan\n", "t.svm, data row 2 holds nan; expected finite numbers"),
        ("1 1:1\n2\n1 1:1 2:inf\n", "t.svm, data row 3 holds inf"),
        ("0.5 1:1\n", "t.svm, label, data row 1: 0.5 is a measurement"),
        ("nan 1:1\n", "t.svm, label, data row 1: nan is a measurement"),
    ],
)
def test_broken_libsvm_text_is_refused_by_line(content, message):
    with assert_refused(message):
        read_array(text("t.svm", content), None)


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
        "warning: 2 of 5 values ignored, because the model knows indices 1 to 3 only; the first one is "
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
    with assert_refused(f"t.svm, line {line}: could not convert string to float: "):
        read_array(Path("t.svm"), None)


def test_indices_from_0_for_a_model_that_counts_from_1_are_refused():
    Path("t.svm").write_text("1 1:1\n0 0:1\n", encoding="utf-8")
    with assert_refused("t.svm, data row 2: index 0; the model counts columns from 1, because no training row"):
        read_array(Path("t.svm"), None, features=5, first_index=1)
    Path("t.svm").write_text("1 0:0 3:1\n0 4:1\n", encoding="utf-8")  # what the message recommends
    assert read_array(Path("t.svm"), None).first_index == 0
    Path("t.svm").write_text("1 1:1\n0 5:1\n", encoding="utf-8")
    table = read_array(Path("t.svm"), None, features=5, first_index=0)
    assert "1 of 2 values ignored, because the model knows indices 0 to 4 only; the first one is" in table.warnings[0]


@pytest.mark.parametrize("index", [10**7 + 1, 2 * 10**9])
def test_an_index_too_large_for_dense_coefficients_is_refused(index):
    Path("t.svm").write_text(f"1 1:1\n0 2:1 {index}:1\n", encoding="utf-8")
    with assert_refused(f"t.svm, data row 2: index {index}; expected at most 10000000"):
        read_array(Path("t.svm"), None)
    assert read_array(Path("t.svm"), None, features=5, first_index=1).features.shape == (2, 5)


def test_the_largest_index_is_read(monkeypatch):
    monkeypatch.setattr(_libsvm, "MOST_FEATURES", 100)
    for least, largest in ((0, 99), (1, 100)):
        Path("t.svm").write_text(f"1 {least}:1\n0 {largest}:1\n", encoding="utf-8")
        assert read_array(Path("t.svm"), None).features.shape == (2, 100)
        Path("t.svm").write_text(f"1 {least}:1\n0 {largest + 1}:1\n", encoding="utf-8")
        with assert_refused(f"t.svm, data row 2: index {largest + 1}; expected at most {largest}"):
            read_array(Path("t.svm"), None)
