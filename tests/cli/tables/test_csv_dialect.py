"""How CSV is written: separators, encodings, R's header; what is found, what has to be said, what is refused."""

import re
from pathlib import Path

import pandas as pd
import pytest

import softgrad.cli
from softgrad.cli._errors import CommandError
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import ReadOptions, read_options
from tests.cli.refusal import assert_refused

FRAME = pd.DataFrame({"größe": [1, 2, 30], "b": [0.5, 1.25, -3], "name": ["Zoë", "x, y; z", "|"]})


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(content, **options):
    Path("t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_named_table(Path("t.csv"), ReadOptions(**options))


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("row_names", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_separators_byte_order_marks_and_names_of_rows_are_found(sep, row_names, encoding):
    text = FRAME.to_csv(sep=sep, index=row_names)
    found = read(text.removeprefix(sep if row_names else "").encode(encoding))
    pd.testing.assert_frame_equal(found.frame, FRAME)
    assert len(found.warnings) == row_names
    assert not row_names or "the header has one field less than the rows" in found.warnings[0]


@pytest.mark.parametrize("sep", [";", "\t", " ", "^", "\x01"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman", "utf-16-le"])
def test_separators_and_encodings_can_be_said(sep, encoding):
    content = FRAME.to_csv(sep=sep, index=False).encode(encoding)
    pd.testing.assert_frame_equal(read(content, sep=sep, encoding=encoding).frame, FRAME)


def test_runs_of_blanks_separate_where_nothing_else_does():
    assert read("  a   b\n 1  x\n10 \t y \n").frame.to_dict("list") == {"a": [1, 10], "b": ["x", "y"]}
    assert read('"a" "b"\n"r 1" 1 x\n"r 2" 10 y\n').frame.to_dict("list") == {"a": [1, 10], "b": ["x", "y"]}
    assert read("a\tb\n1  \tx\n10\t \ty\n2 z\n").frame.to_dict("list") == {"a": [1, 10, 2], "b": ["x", "y", "z"]}
    assert read("a b\nx y z\n").frame.columns.tolist() == ["a", "b"]
    assert read("long name\nx\n").frame.columns.tolist() == ["long name"]


@pytest.mark.parametrize("lines", ["1,5;2,5;p\n2,5;3,5;q\n", "a,b;c,d;y\n1,5;2,5;p\n"])
def test_two_possible_separators_have_to_be_said(lines):
    with assert_refused("t.csv: ',' and ';' may separate the fields; write --sep \",\" or --sep \";\""):
        read(lines, header=False)
    assert read(lines, header=False, sep=";").frame.shape == (2, 3)
    assert read(lines, header=False, decimal=",").frame.shape == (2, 3)


def test_a_separator_is_not_taken_from_single_lines():
    assert read('a,b|c\n1,"2;3"\n2,x|y|z\n').frame.columns.tolist() == ["a", "b|c"]
    assert read("a;b\n1;2,5,7\n3;4\n").frame.columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a,b\n1,2\n\xe9,3\n", "t.csv, line 3, byte 0xe9, is not UTF-8; write --encoding with the file's"),
        (b"a,b\n1,\xe9\n" + b"1,2\n" * 50000, "t.csv, line 2, byte 0xe9, is not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 50000 + b"1,\xe9\n", "t.csv, line 50002, byte 0xe9, is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "t.csv holds zero bytes; expected utf-8 text; for UTF-16 write --encoding"),
        (b"a;b\n1;2\n3;4;5\n", "t.csv: line 3 has 3 fields, the first one 2, separated by ';'; write --sep if"),
        (b"a;b\n1;2;3\n1;2;4\n", "the header has one field less than the rows, whose first fields are no"),
        (b"a,b\n1,2,3\n4,5\n", "t.csv: line 2 has 3 fields, the first one 2"),
        (b"a;b\n1;'2\n3;\"4\n", 't.csv: a quote (") that opens in row 3 is never closed'),
        (b"a\n" + b"x" * 2**25, "the first line"),
        (b"x" * 2**25, "t.csv: the first line is longer than 33554432 bytes"),
        (b"x," * 30001 + b"y\n", "t.csv has 30002 columns; expected at most 30000 and the target; write wider"),
    ],
)
def test_unreadable_text_is_refused_in_the_commands_words(content, message):
    if message == "the first line":
        assert read(content).frame.shape == (1, 1)
        return
    with assert_refused(message) as caught:
        read(content)
    assert not re.search(r"index_col|tokenizing|C error|codec|dtype|\n", str(caught.value))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "sep, line", [(";", "sep=;"), (",", '"sep=,"'), ("\t", "SEP=\t"), ("\t", "sep=\\t"), ("^", "sep=^")]
)
def test_the_separator_that_excel_writes_above_the_header_is_taken(sep, line, encoding):
    for end in ("\n", "\r\n"):
        text = line + end + FRAME.to_csv(sep=sep, index=False, lineterminator=end)
        for options in ({}, {"sep": sep}, {"sep": sep, "skip_lines": 1}):
            pd.testing.assert_frame_equal(read(text.encode(encoding), **options).frame, FRAME)
    assert read("sep=;\na,b\n1,2\n", sep=",").frame.to_dict("list") == {"a": [1], "b": [2]}
    with assert_refused("t.csv: line 4 has 3 fields, the first one 2, separated by ';'"):
        read("sep=;\na;b\n1;2\n3;4;5\n")


@pytest.mark.parametrize(
    "lines, count",
    [
        ("Sales\n", 1),
        ("Sales of 2020\n\nby, me\n", 3),
        ("Sales, by month\n", 1),
        ("Sales;;;\n", 1),
        (";;;\nSales;;;\n", 2),
        ("# from, x, y, z, w\n", 1),
        ("# a;b;c\n", 1),
        ("# a;b;c;d\n# more\n", 2),
    ],
)
def test_lines_above_the_header_are_named_and_left_out_on_request(lines, count):
    table = "a;b;c;y\n1;2;3;p\n3;4;5;q\n"
    for encoding in ("utf-8", "utf-16"):
        content = (lines + table).encode(encoding)
        shown = re.escape(repr(lines.partition("\n")[0]))
        with pytest.raises(
            CommandError, match=f"begin below line {count}, not with {shown}; write --skip-lines {count} "
        ):
            read(content)
        for header in (True, False):
            expected = read(table, header=header).frame
            pd.testing.assert_frame_equal(read(content, skip_lines=count, header=header).frame, expected)


@pytest.mark.parametrize(
    "lines",
    [
        "# a, b, c\n1,2,3\n4,5,6\n",
        "a,b\n1,x;y;z\n2,p;q;r\n",
        "a\nr,1\ns,2\n",
        "a,b,c\n1,2,3\n4\n5\n",
        "a\n1\n2\n",
        "a,b,c\n1,,\n2,,\n",
    ],
)
def test_other_first_lines_are_headers(lines):
    names = lines.partition("\n")[0].split(",")
    assert read(lines).frame.columns.tolist() == [name.strip() for name in names]
    pd.testing.assert_frame_equal(read(lines, skip_lines=0).frame, read(lines).frame)


def test_a_title_is_taken_for_a_header_where_the_user_says_so():
    assert read("Title\na;b;y\n1;2;p\n", skip_lines=0).frame.columns.tolist() == ["Title"]
    with assert_refused('a quote (") that opens in row 4'):
        read('Title\na;b;y\n1;2;p\n1;"2\n', skip_lines=1)


def test_more_lines_than_there_are_cannot_be_left_out():
    for count in (3, 10**9):
        with assert_refused(f"--skip-lines {count}: t.csv has 3 lines; expected a table below them"):
            read("a,y\n1,p\n2,q\n", skip_lines=count)


def test_commands_leave_lines_out(capsys):
    Path("t.csv").write_text("Title\na,y\n" + "1,p\n2,q\n" * 9, encoding="utf-8")
    for command in (
        ["fit", "t.csv", "--target", "y", "--output", "m"],
        ["predict", "m", "t.csv"],
        ["evaluate", "m", "t.csv"],
    ):
        for more, code in (([], 2), (["--skip-lines", "1"], 0)):
            with pytest.raises(SystemExit) as stop:
                softgrad.cli.main([*command, *more])
            assert stop.value.code == code, capsys.readouterr().err


def test_numbers_with_zeros_before_them_are_found_in_every_layout():
    for text in ("a,b\n007,x\n,y\n", "a,b\nr1,007,x\nr2, 010 ,y\n", '"a" b\n 007  x\n"010" y\n'):
        assert read(text).padded == {"a": "007"}
    assert read("007,x\n010,y\n", header=False).padded == {"0": "007"}
    assert read("a\n007\nx\n").padded == read("a\n0\n10\n").padded == {}


def test_rows_that_end_with_a_separator_have_no_names():
    found = read("a,b\n1,2,\n3,4,\n")
    assert (found.frame.to_dict("list"), found.warnings) == ({"a": [1, 3], "b": [2, 4]}, [])


@pytest.mark.parametrize(
    "given, message",
    [
        ({"sep": "||"}, "--sep '||'; expected one character, such as ';' or '|', or tab or space"),
        ({"sep": ""}, "--sep ''; expected one character"),
        ({"sep": "x"}, "--sep 'x'; expected one character"),
        ({"thousands": "x"}, "--thousands 'x'; expected one of ',' '.' ' ' \"'\" '_'"),
        ({"thousands": "."}, "--thousands '.' is also the decimal mark"),
        ({"thousands": ",", "decimal": ","}, "--thousands ',' is also the decimal mark"),
        ({"encoding": "utf-9"}, "--encoding 'utf-9' is unknown; expected utf-8, cp1252, utf-16"),
        ({"encoding": "base64"}, "--encoding 'base64' is unknown"),
    ],
)
def test_wrong_options_are_refused(given, message):
    with assert_refused(message):
        read_options(None, **dict.fromkeys(("sep", "decimal", "thousands", "encoding", "skip_lines")) | given)


def test_options_may_be_names():
    named = [read_options(None, name, None, None, None, None).sep for name in ("tab", "\\t", "space", ";")]
    assert named == ["\t", "\t", " ", ";"]
    assert read_options(None, None, None, "\u00a0", "UTF8", None).thousands == " "
