"""The option --class-weight: "balanced", or a factor of the row weights for each label."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, Literal

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import BLANKS
from softgrad.cli._tables._column_names import name_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._typing import Array

ClassWeight = Literal["balanced"] | dict[str, float] | None


def parse_class_weight(given: Sequence[str]) -> ClassWeight:
    """Return the factors by label as typed, or "balanced"; None if the option is not given."""
    factors: dict[str, float] = {}
    for value in given:
        label, equals, factor = value.rpartition("=")
        label = label.strip(BLANKS)  # as in labels of tables
        if value == "balanced" and len(given) == 1:
            return "balanced"
        if value == "balanced":
            raise CommandError(f"--class-weight balanced stands by itself; leave out {_typed(given)}, or balanced")
        if not equals:
            raise CommandError(f"--class-weight {value}; expected balanced, or LABEL=FACTOR such as spam=5")
        if label in factors:
            raise CommandError(f"--class-weight {value}: label {label!r} has the factor {factors[label]:g} already")
        factors[label] = _factor(value, factor)
    return factors or None


def class_factors(weight: ClassWeight, classes: Array) -> dict[Any, float] | Literal["balanced"] | None:
    """Return the class_weight of the estimator for labels of these classes, as the table has them."""
    if not isinstance(weight, dict):
        return weight
    by_text = {str(label): label for label in classes.tolist()}
    for label in weight:
        if label not in by_text:
            near = difflib.get_close_matches(label, by_text, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            several = "; for several labels repeat --class-weight" if "=" in label else ""
            raise CommandError(
                f"--class-weight {label}={weight[label]:g}: no row has the label {label!r}{hint}; the labels: "
                f"{name_list(list(by_text))}{several}"
            )
    return {label: weight.get(text, 1.0) for text, label in by_text.items()}


def _factor(value: str, text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise CommandError(
            f"--class-weight {value}: the factor is {text!r}; expected a number above 0, such as 5 or 0.5"
        )
    return factor


def _typed(given: Sequence[str]) -> str:
    return " ".join(f"--class-weight {value}" for value in given if value != "balanced") or "one of them"
