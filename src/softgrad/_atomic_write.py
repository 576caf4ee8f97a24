"""Atomic writing of files; no other module writes files."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes of a file's name that its part bears; with what is added, names stay below the 255 that file systems allow.
_NAME_BYTES = 200


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: write a temporary file in the same folder, then rename it.

    An existing file is replaced and keeps its permissions; of a symbolic link, the target is replaced. The content is
    on disk before the name is. Any number of threads and processes may write to the same path at once: the last to
    finish wins. Temporary files are locked while they are written; unlocked ones, left by killed processes, are
    deleted.

    Parameters
    ----------
    path : str or path
        The file.
    content : bytes
        The content of the file.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` is not a regular file; nothing is changed in this case.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(pathlib.Path(folder, "note.txt"), b"whole")
    ...     pathlib.Path(folder, "note.txt").read_bytes()
    b'whole'
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(f"{path} is not a file; expected the name of a file to write, such as {path}.new")
    mode = _permissions(place)
    _clear_abandoned(place)
    with _locked_part(place, 0o666 if mode is None else 0o600) as (part, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(part, place)


@contextmanager
def _locked_part(place: Path, mode: int) -> Iterator[tuple[Path, int]]:
    """A new empty file beside `place`, locked by this descriptor; deleted at the end unless it was renamed."""
    while True:
        part = place.with_name(f"{_stem(place)}{secrets.token_hex(8)}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            if _lock(descriptor) is not False and part.exists():
                yield part, descriptor
                return
            # Another writer took it for abandoned before it was locked.
        finally:
            part.unlink(missing_ok=True)
            os.close(descriptor)


def _permissions(place: Path) -> int | None:
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        return None


def _clear_abandoned(place: Path) -> None:
    """Delete the temporary files of `place` that nobody is writing; those that cannot be deleted are harmless."""
    own = re.compile(re.escape(_stem(place)) + r"[0-9a-f]+\.part")
    with suppress(OSError):
        for name in filter(own.fullmatch, os.listdir(place.parent)):
            with suppress(OSError):
                _delete_unlocked(place.with_name(name))


def _delete_unlocked(part: Path) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor):
            part.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Whether this descriptor holds the file's lock now; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _stem(place: Path) -> str:
    return f".{os.fsdecode(os.fsencode(place.name)[:_NAME_BYTES])}."
