"""The one message of the forward pass: where a shard lies, the statistics of its rows, and any error.

An error travels instead of being raised, because the other ranks would wait for this one; all ranks raise it together.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import torch

from softgrad.torch._shards._group import all_gather
from softgrad.torch._shards._place import Place

if TYPE_CHECKING:
    from torch import Tensor

# A header of numbers and text, then the statistics of the rows.
_NUMBERS, _TEXT_BYTES = 8, 512
HEADER = _NUMBERS + _TEXT_BYTES // 8
_ERRORS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
REJECTED = _ERRORS  # the exceptions that can travel
_ODD = 0x1E3779B97F4A7C15  # products with it wrap around in 64 bits
_NAMES = {"rows": "numbers of rows", "options": "options of the loss", "labels": "labels in target"}


class Header(NamedTuple):
    """The facts about a shard, and what is wrong with its arguments, if anything."""

    place: Place
    rows: int = 0
    labels: int = 0  # checksums of what all ranks must have in common
    options: int = 0
    error: Exception | None = None
    is_final: bool = False  # the error does not depend on where the shard lies

    def packed(self) -> Tensor:
        """The header as float64 numbers."""
        packed = torch.zeros(HEADER, dtype=torch.float64)
        kind = -1 if self.error is None else _kind(self.error)
        facts = [*self.place, self.rows, self.labels, self.options, kind, self.is_final]
        packed[:_NUMBERS] = torch.tensor(facts, dtype=torch.float64)
        if self.error is not None:
            text = str(self.error).encode()[:_TEXT_BYTES]
            packed[_NUMBERS:].view(torch.uint8)[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        return packed

    @classmethod
    def unpacked(cls, packed: Tensor) -> Header:
        """The reverse."""
        *place, rows, labels, options, kind, is_final = map(int, packed[:_NUMBERS].tolist())
        error = None
        if kind >= 0:
            text = bytes(packed[_NUMBERS:].view(torch.uint8).tolist()).rstrip(b"\0").decode(errors="ignore")
            error = _ERRORS[kind](text)
        return cls(Place(*place), rows, labels, options, error, bool(is_final))


def _kind(error: Exception) -> int:
    exact = [i for i, kind in enumerate(_ERRORS) if type(error) is kind]
    return (exact or [i for i, kind in enumerate(_ERRORS) if isinstance(error, kind)])[0]


def message(header: Header, statistics: Tensor) -> Tensor:
    """The message of a rank; statistics: of shape (rows, fields)."""
    return torch.cat([header.packed().to(statistics.device), statistics.flatten()])


def headers(gathered: Tensor) -> list[Header]:
    """The headers of the messages of all ranks."""
    return [Header.unpacked(packed) for packed in gathered[:, :HEADER].cpu()]


def statistics(gathered: Tensor, fields: int) -> Tensor:
    """The statistics in the messages of all ranks, of shape (ranks, rows, fields)."""
    return gathered[:, HEADER:].reshape(len(gathered), -1, fields)


def checksum(labels: Tensor) -> int:
    """A number that differs between different labels, but for an unlikely chance; class probabilities have 0."""
    if labels.is_floating_point():
        return 0
    factors = (2 * torch.arange(labels.numel(), device=labels.device) + 1) * _ODD
    return int((labels.flatten() * factors).sum()) % 2**52


def key(*options: Any) -> int:
    """The same for options."""
    return zlib.crc32(repr(options).encode())


def require_agreement(found: list[Header]) -> None:
    """Raise ValueError if the ranks differ in what they must have in common."""
    for name in ("rows", "options", "labels"):
        values = [getattr(header, name) for header in found]
        odd = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if odd is not None:
            seen = f": {values[odd]} and {values[0]}" if name == "rows" else ""
            raise ValueError(f"ranks {odd} and 0 have different {_NAMES[name]}{seen}; expected the same on all ranks")


def raise_first(found: list[Header]) -> None:
    """Raise the error of the lowest rank that has one."""
    for rank, header in enumerate(found):
        if header.error is not None:
            raise type(header.error)(f"rank {rank}: {header.error}")


def exchange(header: Header, device: torch.device, group: str) -> list[Header]:
    """The headers of all ranks, without statistics. Raises the error of a rank's arguments, if there is one."""
    found = headers(all_gather(header.packed().to(device), group))
    if any(header.is_final for header in found):
        raise_first(found)
    return found


def reject(error: Exception, statistics: int, device: torch.device, group: str) -> NoReturn:
    """Tell the other ranks of an error in the arguments of this one, and raise that of the lowest rank with all.

    statistics: how many numbers follow the header in the message that they expect.
    """
    header = Header(Place(0, -1, -1), error=error, is_final=True)
    nothing = torch.zeros(statistics, dtype=torch.float64, device=device)
    raise_first(headers(all_gather(message(header, nothing), group)))
    raise error
