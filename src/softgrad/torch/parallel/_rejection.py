"""Errors in the arguments of a rank, which all ranks raise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch.compiler import is_compiling

from softgrad.torch import _shards

if TYPE_CHECKING:
    from collections.abc import Mapping


def reject_together(error: Exception, names: Mapping[str, str], statistics: int, first: Any, group: str) -> NoReturn:
    """Raise the error of the first rank that has one, on all ranks.

    names: what the arguments are called here, where the checks of the one-device function call them otherwise;
    statistics: how many numbers the other ranks expect; first: the first argument, without which nothing can be sent.
    """
    pattern = rf"\b({'|'.join(names)})\b"
    error = type(error)(re.sub(pattern, lambda match: names[match[0]], str(error)))
    if is_compiling() or not isinstance(first, torch.Tensor):
        raise error from None
    _shards.reject(error, statistics, first.device, group)
