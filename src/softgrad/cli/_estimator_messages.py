"""Messages of the estimator in the command's own terms: --max-iter 3 instead of max_iter=3."""

from __future__ import annotations

import re

_OPTIONS = {
    "C": "--C",
    "max_iter": "--max-iter",
    "tol": "--tol",
    "scoring": "--scoring",
    "solver": "--solver",
    "label_smoothing": "--label-smoothing",
    "class_weight": "--class-weight",
    "sample_weight": "--weight",
}
# Words for a user of the estimator, and those for a user of the command.
_WORDS = {
    "y holds one class only": "the label column holds one class only",
    ", or leave out the largest of Cs": "",
    "write a scorer (estimator, X, y, sample_weight), or leave sample_weight out": (
        "write another --scoring, such as accuracy, or leave out --weight"
    ),
}
# Quoted text, which may be a label, and parameters with or without a value.
_PARAMETER = re.compile(
    rf"""(?P<name>(?<![-\w])(?:{"|".join(_OPTIONS)})\b)(?:=(?P<quote>['"]?)(?P<value>[^\s'",;]+)(?P=quote))?"""
    r"""|'[^']*'|"[^"]*\""""
)


def in_terms_of_options(message: str) -> str:
    """Replace the names of parameters by those of the options."""
    for words, instead in _WORDS.items():
        message = message.replace(words, instead)
    return _PARAMETER.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    if found["name"] is None:
        return found[0]
    option = _OPTIONS[found["name"]]
    return option if found["value"] is None else f"{option} {found['value']}"
