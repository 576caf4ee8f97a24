"""The number of threads that a call may use."""

from __future__ import annotations

import math
import os
import warnings

from softgrad import _core, _validation
from softgrad._cpu_quota import cpu_quota

_MOST = 2**31 - 1  # of the native limit


def get_num_threads() -> int:
    """Return the largest number of threads that a call may use.

    The default is the environment variable ``SOFTGRAD_NUM_THREADS``. If it is not set, it is the number of CPUs on
    which the calling thread may run (its affinity), at most the CPU quota of the container, rounded up, and at
    most ``OMP_NUM_THREADS``. A value of ``SOFTGRAD_NUM_THREADS`` that is not an integer from 1 to 2³¹ - 1 is
    ignored with a warning.

    Results are bitwise identical for every number of threads.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.get_num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_num_threads(n: int | None) -> None:
    """Set the largest number of threads that a call may use.

    Parameters
    ----------
    n : int or None
        At least 1; None for the default, see `get_num_threads`. Small calls always use one thread. Calls that run at
        the same time, in several Python threads, divide this number.

    Raises
    ------
    TypeError
        If `n` is neither an integer nor None.
    ValueError
        If `n` is not from 1 to 2³¹ - 1.

    Notes
    -----
    The calling thread does the work, and other threads take part of it if and when the system runs them. On a
    busy machine a call therefore takes about as long as with one thread. A forked process starts threads of its own.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.set_num_threads(1)
    >>> sg.get_num_threads()
    1
    >>> sg.set_num_threads(None)
    """
    _core.set_num_threads(_default() if n is None else _validation.threads(n))


def _default() -> int:
    """The value of SOFTGRAD_NUM_THREADS; 0, the native default, if it is not set or invalid."""
    return _thread_count(os.environ.get("SOFTGRAD_NUM_THREADS", ""))


def _thread_count(text: str) -> int:
    """The integer from 1 to `_MOST` that a text holds; 0 for any other text."""
    text = text.strip()
    # Python refuses to convert thousands of digits.
    number = int(text) if text.isdecimal() and len(text) <= 100 else 0
    return number if number <= _MOST else 0


def _cpu_limit() -> int:
    """The largest default: the CPU quota and OMP_NUM_THREADS, whose first number is for the outermost loops."""
    limits = [_MOST]
    if quota := cpu_quota():
        limits.append(math.ceil(quota))
    if openmp := _thread_count(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]):
        limits.append(openmp)
    return min(limits)


def _start() -> None:
    """Set the default, and warn about an invalid SOFTGRAD_NUM_THREADS."""
    _core.set_cpu_limit(_cpu_limit())
    set_num_threads(None)
    text = os.environ.get("SOFTGRAD_NUM_THREADS", "")
    if text.strip() and not _default():
        warnings.warn(
            f"SOFTGRAD_NUM_THREADS={text!r}; expected a positive integer, such as 4; the default is used instead, "
            f"{_core.num_threads()}",
            RuntimeWarning,
            stacklevel=4,  # the import of softgrad
        )


_start()
