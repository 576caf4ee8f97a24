"""Arrays of a worker: in its memory, or in files that are mapped while they are read."""

from __future__ import annotations

import math
import os
import tempfile
import threading
import weakref
from mmap import MADV_DONTNEED, mmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from distributed import WorkerPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from distributed import Worker

    from softgrad._typing import Array

# The part of a worker's memory for blocks, and for blocks and the rest of the process, about 250 MB; further blocks are
# written to files. Dask itself writes its results to files from 60 % on, and pauses the worker at 80 %.
_OF_BLOCKS, _OF_ALL = 0.25, 0.5

_COPIED_BYTES = 1 << 22  # of arrays that are written in another layout

Arrays = dict[str, "Array"]


class _Place(NamedTuple):
    """Where an array lies in a file, in C order."""

    path: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def map(self) -> Array:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        return np.asarray(np.memmap(self.path, self.dtype, "r", self.offset, self.shape))


class InMemory:
    """Arrays in memory."""

    is_stored = False

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.bytes = sum(array.nbytes for array in arrays.values())
        weakref.finalize(self, _room.release, self.bytes)

    def read(self) -> Arrays:
        """Return the arrays."""
        return self._arrays

    def __reduce__(self) -> tuple[object, ...]:
        return store, (self._arrays,)

    def __sizeof__(self) -> int:
        """Return the size by which Dask judges a worker's memory."""
        return self.bytes


class Stored:
    """Arrays in a file of the worker's own, or in the file whose memory map they were given as.

    Dask restarts a worker whose memory grows, and counts mapped files as memory; so they are mapped for every read.
    """

    is_stored = True

    def __init__(self, arrays: Arrays, directory: str | None) -> None:
        self._places = {name: place for name, array in arrays.items() if (place := _place_in_file(array))}
        own = {name: array for name, array in arrays.items() if name not in self._places}
        self._own = frozenset(own)
        self.bytes = sum(array.nbytes for array in own.values())
        if own:
            self._places |= self._write(own, directory)
        for name in arrays.keys() - self._own:
            _forget(arrays[name])

    def _write(self, arrays: Arrays, directory: str | None) -> dict[str, _Place]:
        file, path = tempfile.mkstemp(prefix="softgrad-", dir=directory)
        weakref.finalize(self, _remove, path)
        places = {}
        with open(file, "wb") as stream:
            for name, array in arrays.items():
                stream.write(bytes(-stream.tell() % 64))
                places[name] = _Place(path, stream.tell(), array.dtype, array.shape)
                for part in _parts(array):
                    np.ascontiguousarray(part).tofile(stream)
        return places

    def read(self) -> Arrays:
        """Map the arrays; they are unmapped when the last reference to them is gone."""
        return {name: place.map() for name, place in self._places.items()}

    def __reduce__(self) -> tuple[object, ...]:
        # Another worker may not see this file: its content travels. A file of the user's is named.
        own = {name: np.array(array) for name, array in self.read().items() if name in self._own}
        return _restored, (own, {name: place for name, place in self._places.items() if name not in self._own})

    def __sizeof__(self) -> int:
        """Return the size by which Dask judges a worker's memory."""
        return 1000


def store(arrays: Arrays) -> InMemory | Stored:
    """Keep arrays in memory as long as this worker's share lasts, and in a file from then on.

    Arrays that are mapped from a file stay there.
    """
    mapped = any(_place_in_file(array) for array in arrays.values())
    if not mapped and _room.take(sum(array.nbytes for array in arrays.values())):
        return InMemory(arrays)
    return Stored(arrays, _room.directory)


def _restored(own: Arrays, places: Mapping[str, _Place]) -> InMemory | Stored:
    return store({**own, **{name: place.map() for name, place in places.items()}})


def _place_in_file(array: Array) -> _Place | None:
    """Return the place of an array in C order that is mapped from a file, or None."""
    mapped = _mapped(array)
    if mapped is None or mapped.filename is None or mapped.mode == "c" or not array.flags.c_contiguous:
        return None
    offset = mapped.offset + _address(array) - _address(mapped)
    return _Place(os.path.abspath(mapped.filename), offset, array.dtype, array.shape)


def _mapped(array: Array) -> np.memmap[Any, Any] | None:
    """Return the whole map that an array is a part of, or None."""
    mapped: np.memmap[Any, Any] | None = None
    base: object = array
    while isinstance(base, np.ndarray):
        mapped = base if isinstance(base, np.memmap) else mapped
        base = base.base
    return mapped if isinstance(base, mmap) else None


def _forget(array: Array) -> None:
    """Free the memory of a map, which Dask may hold for a while; what is used again is read again."""
    mapped = _mapped(array)
    if mapped is not None and isinstance(mapped.base, mmap):
        mapped.base.madvise(MADV_DONTNEED)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _parts(array: Array) -> Iterator[Array]:
    """Yield the rows of an array in parts, of which copies take little memory."""
    rows = max(1, _COPIED_BYTES // max(1, array[:1].nbytes))
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


class _Room:
    """The memory that the blocks of this process may take, and the directory for further ones."""

    def __init__(self) -> None:
        self.directory: str | None = None
        self._limit: float = math.inf
        self._process: Callable[[], float] = float  # bytes of this process now
        self._lock = threading.RLock()  # finalizers may run within `take`
        self._taken = 0

    def enter(self, worker: Worker) -> None:
        limit = worker.memory_manager.memory_limit
        self._process = worker.monitor.get_process_memory
        self._limit = limit or math.inf
        self.directory = worker.local_directory

    def take(self, size: int) -> bool:
        with self._lock:
            # The process grows, by modules that it imports and by memory that it does not return.
            if self._taken + size > _OF_BLOCKS * self._limit or self._process() + size > _OF_ALL * self._limit:
                return False
            self._taken += size
            return True

    def release(self, size: int) -> None:
        with self._lock:
            self._taken -= size


_room = _Room()


class MakeRoom(WorkerPlugin):  # type: ignore[misc]  # Dask has no type hints
    """Tells every worker, as it starts, where its blocks go: they may arrive outside of a task."""

    name = "softgrad"

    def setup(self, worker: Worker) -> None:
        """Read the limits of a worker."""
        _room.enter(worker)
