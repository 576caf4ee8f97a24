"""A model's description of tables is refused as a whole if any part of it cannot have been written by softgrad."""

import copy

import pytest

from softgrad.cli._errors import CommandError
from softgrad.cli._saved_model import SavedModel, open_model
from softgrad.cli._tables._feature_encoding import ColumnEncoding, FeatureEncoding
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._formats._model_file import load_with_table, save_with_table

COLUMNS = (ColumnEncoding("age", None, 2.5), ColumnEncoding("pet", ("cat", "dog"), "cat"))


@pytest.fixture
def path(tmp_path):
    encoding = FeatureEncoding(COLUMNS, ReadOptions(missing=("?",)))
    model = SoftmaxRegression().fit(encoding.transform(_rows()), ["no", "yes", "no", "yes"])
    SavedModel(model, encoding, "owner").save(tmp_path / "m")
    return tmp_path / "m"


def _rows():
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0], "pet": ["cat", "dog", "cat", "cat"]})


def test_what_was_written_is_read(path):
    saved = open_model(path)
    assert saved.encoding == FeatureEncoding(COLUMNS, ReadOptions(missing=("?",)))
    assert (saved.target, saved.first_index) == ("owner", None)


@pytest.mark.parametrize(
    "place, value, message",
    [
        (("target",), 3, "target is 3; expected null or a string"),
        (("first_index",), 2, "first_index is 2; expected null, 0 or 1"),
        (("first_index",), True, "first_index is True"),
        (("encoding",), [], r"encoding is \[\]; expected an object"),
        (("encoding", "columns"), {"age": 1}, "encoding is .*; expected an object with a list of columns"),
        (("encoding", "columns"), [], r"give the features \[\]; expected those of the model"),
        (("encoding", "decimal"), ";", "decimal is ';'; expected null or one of"),
        (("encoding", "thousands"), ["."], "thousands is .*; expected null or one of"),
        (("encoding", "columns", 0, "verbatim"), 1, "verbatim of column 'age' is 1; expected true or false"),
        (("encoding", "columns", 0), "age", "a column is 'age'; expected an object with a name"),
        (("encoding", "columns", 0, "name"), 7, "a column is .*; expected an object with a name"),
        (("encoding", "columns", 0, "name"), "size", "give the features .*; expected those of the model"),
        (("encoding", "columns", 0, "fill"), "much", "fill of column 'age' is 'much'; expected null or a finite"),
        (("encoding", "columns", 0, "fill"), 10**400, "int too large"),
        (("encoding", "columns", 0, "categories"), ["1"], "fill of column 'age' is 2.5; expected null or one of its"),
        (
            ("encoding", "columns", 1, "categories"),
            ["cat", 3],
            r"categories of column 'pet' are .*; expected different",
        ),
        (("encoding", "columns", 1, "categories"), ["dog", "cat"], "expected different strings in order"),
        (("encoding", "columns", 1, "categories"), ["cat", "cat"], "expected different strings in order"),
        (("encoding", "columns", 1, "categories"), [], "expected different strings in order"),
        (("encoding", "columns", 1, "categories"), "ab", "expected different strings in order"),
        (("encoding", "columns", 1, "fill"), "cow", "fill of column 'pet' is 'cow'; expected null or one of its"),
        (("encoding", "header"), "yes", "header is 'yes'; expected true or false"),
        (("encoding", "missing"), "?", r"missing is '\?'; expected a list of strings"),
        (("encoding", "missing"), [None], r"missing is \[None\]; expected a list of strings"),
        (("encoding", "header"), KeyError, "its description of tables lacks 'header'"),
        (("encoding", "columns", 1, "fill"), KeyError, "its description of tables lacks 'fill'"),
        (("target",), KeyError, "its description of tables lacks 'target'"),
    ],
)
def test_what_cannot_have_been_written_is_refused(path, place, value, message):
    model, table = load_with_table(path)
    changed = part = copy.deepcopy(table)
    for key in place[:-1]:
        part = part[key]
    if value is KeyError:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    save_with_table(model, path, changed)
    with pytest.raises(
        CommandError, match=f"m cannot be used: .*{message}" if message != "cannot be used" else message
    ):
        open_model(path)
