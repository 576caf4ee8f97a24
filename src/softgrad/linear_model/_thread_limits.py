"""How many threads BLAS and softgrad use while fits run, also where fits overlap in several threads."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

from softgrad import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """BLAS on one thread, and softgrad on at most `n_threads`, in the whole process until the block ends.

    Where blocks overlap, the least of their limits holds, and what was before the first holds again after the last.
    """
    block = _Block(threading.get_ident(), n_threads)
    _limits.enter(block)
    try:
        yield
    finally:
        _limits.leave(block)


class _Block:
    def __init__(self, thread: int, n_threads: int | None) -> None:
        self.thread = thread
        self.n_threads = n_threads


class _Limits:
    """The limits of the blocks that run now; both numbers of threads belong to the process, so they are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[_Block] = set()
        self._blas: Any = None
        self._unlimited = 0  # softgrad's threads outside all blocks
        self._limited = 0  # those set last

    def enter(self, block: _Block) -> None:
        with self._lock:
            if not self._active:
                # Where every library keeps threads of its own, they spin against one another: 1797 x 64 rows took
                # 66 ms an evaluation on two busy cores, 0.5 ms with BLAS on one thread, and products up to
                # 20000 x 784 x 100 gained nothing from a second.
                self._blas = _libraries().limit(limits=1, user_api="blas")
                self._unlimited = self._limited = get_num_threads()
            self._active.add(block)
            self._set_threads()

    def leave(self, block: _Block) -> None:
        with self._lock:
            self._active.remove(block)
            self._set_threads()
            if not self._active:
                self._blas.restore_original_limits()

    def after_fork(self) -> None:
        """In the child, of whose threads only the one that forked is left: the blocks of the others never end."""
        self._lock = threading.Lock()
        for block in list(self._active):
            if block.thread != threading.get_ident():
                self.leave(block)

    def _set_threads(self) -> None:
        if get_num_threads() != self._limited:  # somebody set another number meanwhile
            self._unlimited = get_num_threads()
        self._limited = min((block.n_threads or self._unlimited for block in self._active), default=self._unlimited)
        set_num_threads(self._limited)


@cache
def _libraries() -> ThreadpoolController:
    # Finding them takes 4 ms, longer than a small fit; those of NumPy and SciPy, which a fit uses, are there by now.
    return ThreadpoolController()


_limits = _Limits()
os.register_at_fork(after_in_child=_limits.after_fork)
