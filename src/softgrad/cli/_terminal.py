"""Text on its way to a terminal: what the terminal cannot write, and what would command it."""

from __future__ import annotations

import codecs
import sys
import unicodedata

# Instead of what an encoding lacks. Anything else is written as an escape, which tells names apart.
_LETTERS = {
    "\u00a0": " ",
    "−": "-",
    "–": "-",
    "─": "-",
    "…": "...",
    "·": "*",
    "∘": "*",
    "Σ": "sum ",
    "ᵀ": "^T",
    "²": "^2",
    "≠": "!=",
    "±": "+-",
    "∂": "d",
    "δ": "d",
    "∞": "inf",
    "’": "'",
}
_HANDLER = "softgrad.letters"


def never_fail_to_write() -> None:
    """Let stdout and stderr write any text in any encoding, with other letters if need be."""
    codecs.register_error(_HANDLER, _other_letters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _other_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    letters = (_LETTERS.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in lacking)
    return "".join(letters), error.end


def can_write(text: str) -> bool:
    """Whether stdout's encoding has every letter; data is not to be changed on the way."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def visible(text: object, *, lines: bool = False) -> str:
    """The text without control characters, which a terminal or a browser would obey; line ends stay if asked."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) == "Cc" and not (lines and letter == "\n") else letter
        for letter in str(text)
    )


def say(message: object) -> None:
    """Print one line on stderr."""
    print(visible(message), file=sys.stderr, flush=True)
