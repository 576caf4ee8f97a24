"""The only place that writes a file: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under another name beside its place, then rename it: nobody ever finds half of it.

    A file of that name is replaced; a link keeps pointing where it points, and the file there is replaced. The content
    is on the disk before the name is.

    Parameters
    ----------
    path : str or path
        The file.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` is something else than a file; then nothing has changed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(pathlib.Path(folder, "note.txt"), b"whole")
    ...     pathlib.Path(folder, "note.txt").read_bytes()
    b'whole'
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(f"{path} is not a file; expected the name of a file to write, such as {path}.new")
    part = place.with_name(f".{place.name[:200]}.{os.getpid()}.part")
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
