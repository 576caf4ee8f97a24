"""Limits on the threads of BLAS and softgrad during fits, which may overlap in several threads."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

from softgrad import _core, get_num_threads, set_num_threads

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Limit BLAS to one thread and softgrad to `n_threads`, in the whole process until the block ends.

    If blocks overlap, the smallest of their limits applies; the original limits are restored when the last one ends.
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
    """The limits of the active blocks, which are counted because the numbers of threads are global to the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[_Block] = set()
        self._blas: Any = None
        self._unlimited = 0  # softgrad's threads outside all blocks
        self._is_default = False  # of these
        self._limited = 0  # the number set last

    def enter(self, block: _Block) -> None:
        with self._lock:
            if not self._active:
                # Idle workers of BLAS spin and slow those of softgrad: with 1797 x 64 rows on two busy cores an
                # evaluation took 66 ms, and 0.5 ms with BLAS on one thread. Products up to 20000 x 784 x 100 were
                # no faster with a second.
                self._blas = _libraries().limit(limits=1, user_api="blas")
                self._unlimited = self._limited = get_num_threads()
                self._is_default = _core.has_default_threads()
            self._active.add(block)
            self._set_threads()

    def leave(self, block: _Block) -> None:
        with self._lock:
            self._active.remove(block)
            self._set_threads()
            if not self._active:
                self._blas.restore_original_limits()

    def after_fork(self) -> None:
        """Drop the blocks of threads that do not exist in a forked child, where they would never end."""
        self._lock = threading.Lock()
        for block in list(self._active):
            if block.thread != threading.get_ident():
                self.leave(block)

    def _set_threads(self) -> None:
        if get_num_threads() != self._limited:  # set to another number by the user since
            self._unlimited, self._is_default = get_num_threads(), False
        self._limited = min((block.n_threads or self._unlimited for block in self._active), default=self._unlimited)
        set_num_threads(None if self._is_default and not self._active else self._limited)


@cache
def _libraries() -> ThreadpoolController:
    # Cached because the search takes 4 ms, longer than a small fit; NumPy and SciPy have loaded theirs by now.
    return ThreadpoolController()


_limits = _Limits()
os.register_at_fork(after_in_child=_limits.after_fork)
