"""The option --dask with and without an address, wherever it stands."""

from pathlib import Path

import pytest

from softgrad.cli._commands._dask_option import input_files, with_values
from softgrad.cli._dask._files import table_files, table_name
from tests.cli.refusal import assert_refused


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("t.csv --dask", "t.csv --dask=local"),
        ("--dask t.csv --target y", "--dask=local t.csv --target y"),
        ("--dask parts/*.csv", "--dask=local parts/*.csv"),
        ("--dask tcp://scheduler:8786 t.csv", "--dask=tcp://scheduler:8786 t.csv"),
        ("t.csv --dask scheduler:8786", "t.csv --dask=scheduler:8786"),
        ("--dask [::1]:8786 t.csv", "--dask=[::1]:8786 t.csv"),
        ("--dask --json t.csv", "--dask=local --json t.csv"),
        ("--dask=tls://s:1 t.csv", "--dask=tls://s:1 t.csv"),
        ("-- --dask t.csv", "-- --dask t.csv"),
        ("t.csv", "t.csv"),
    ],
)
def test_an_address_is_told_from_a_table(typed, expected):
    assert with_values(typed.split()) == expected.split()


def test_files_are_those_of_a_folder_or_pattern_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p/b.csv", "p/a.csv", "p/_SUCCESS", "p/.a.crc", "p/c/d.csv", "[x].csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert [path.name for path in table_files(Path("p"))] == ["a.csv", "b.csv"]
    assert [path.name for path in table_files(Path("**/?.csv"))] == ["a.csv", "b.csv", "d.csv"]
    assert [path.name for path in table_files(Path("[x].csv"))] == ["[x].csv"]
    with assert_refused("there is no file nowhere; write a file, a folder, or a pattern"):
        table_files(Path("nowhere"))
    with assert_refused("--dask=x; expected an address such as tcp://scheduler:8786"):
        input_files(Path("p"), "x")
    with assert_refused("there is no file p/*.csv; for the files of a folder or a pattern write --dask"):
        input_files(Path("p/*.csv"), None)


@pytest.mark.parametrize(
    "table, name",
    [("t.csv", "t"), ("t.csv.gz", "t"), ("parts/*.csv", "parts"), ("a/b.c/x?/*", "b.c"), ("*.csv", "model")],
)
def test_a_model_is_named_for_its_table(table, name):
    assert table_name(Path(table)) == name
