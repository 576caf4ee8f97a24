"""Text for the terminal: characters that it cannot encode, and control characters that it would obey."""

from __future__ import annotations

import codecs
import sys
import unicodedata

# Replacements where an encoding lacks a character. Others are escaped, so that names stay distinct.
_REPLACEMENTS = {
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
_HANDLER = "softgrad.replace"


def never_fail_to_write() -> None:
    """Let stdout and stderr write any text, with replacements where their encoding lacks a character."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    text = "".join(_REPLACEMENTS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return text, error.end


def can_write(text: str) -> bool:
    """Return whether stdout can encode the text as it is."""
    if sys.stdout is None:  # closed
        return True
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def visible(text: object, *, lines: bool = False) -> str:
    """Replace control characters, which a terminal or browser would obey; `lines` keeps newlines."""
    return "".join(
        "\ufffd" if unicodedata.category(character) == "Cc" and not (lines and character == "\n") else character
        for character in str(text)
    )


def say(message: object) -> None:
    """Print one line on stderr."""
    print(visible(message), file=sys.stderr, flush=True)
