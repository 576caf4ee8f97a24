"""Checking the description of tables in a model file before it is used."""

from __future__ import annotations

import math
from typing import Any

from softgrad.cli._tables._read_options import DECIMALS, THOUSANDS


def check_table_record(record: dict[str, Any], features: list[str]) -> None:
    """Raise ValueError or KeyError unless `SavedModel.save` could have written it for a model with these features."""
    target, first_index, encoding = record["target"], record["first_index"], record["encoding"]
    if not (target is None or isinstance(target, str)):
        raise ValueError(f"target is {target!r:.60}; expected null or a string")
    if first_index is not None and (type(first_index) is not int or first_index not in (0, 1)):
        raise ValueError(f"first_index is {first_index!r:.60}; expected null, 0 or 1")
    if encoding is None:
        return
    if not isinstance(encoding, dict) or not isinstance(encoding["columns"], list):
        raise ValueError(f"encoding is {encoding!r:.60}; expected an object with a list of columns")
    if not isinstance(encoding["header"], bool):
        raise ValueError(f"header is {encoding['header']!r:.60}; expected true or false")
    if not _are_strings(encoding["missing"]):
        raise ValueError(f"missing is {encoding['missing']!r:.60}; expected a list of strings")
    for name, expected in (("decimal", DECIMALS), ("thousands", THOUSANDS)):
        if encoding[name] not in (None, *expected):
            raise ValueError(f"{name} is {encoding[name]!r:.60}; expected null or one of {' '.join(expected)!r}")
    given = [feature for column in encoding["columns"] for feature in _features(column)]
    if given != features:
        raise ValueError(f"its columns give the features {given!r:.60}; expected those of the model, {features!r:.60}")


def _features(column: Any) -> list[str]:
    """Return the features of a column."""
    if not isinstance(column, dict) or not isinstance(column["name"], str):
        raise ValueError(f"a column is {column!r:.60}; expected an object with a name")
    name, categories, fill = column["name"], column["categories"], column["fill"]
    if not isinstance(column["verbatim"], bool):
        raise ValueError(f"verbatim of column {name!r} is {column['verbatim']!r:.60}; expected true or false")
    if categories is None:
        if not (fill is None or (type(fill) in (int, float) and math.isfinite(float(fill)))):
            raise ValueError(f"fill of column {name!r} is {fill!r:.60}; expected null or a finite number")
        return [name]
    if not _are_strings(categories) or not categories or sorted(set(categories)) != categories:
        raise ValueError(f"categories of column {name!r} are {categories!r:.60}; expected different strings in order")
    if not (fill is None or fill in categories):
        raise ValueError(f"fill of column {name!r} is {fill!r:.60}; expected null or one of its categories")
    return [f"{name}={category}" for category in categories]


def _are_strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
