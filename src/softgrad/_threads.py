"""The number of threads that a call may use."""

import os
import warnings

from softgrad import _core, _validation

_MOST = 2**31 - 1  # of the native limit


def get_num_threads() -> int:
    """Return the largest number of threads that a call may use.

    The default is the environment variable ``SOFTGRAD_NUM_THREADS`` or, if it is not set, the number of CPUs
    that this process may use. A value that is not an integer from 1 to 2³¹ - 1 is ignored with a warning.
    OpenMP's own limit (``OMP_NUM_THREADS``, threadpoolctl) applies as well.
    Results are bitwise identical for every number of threads.

    Examples
    --------
    >>> import softgrad as sg
    >>> sg.get_num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the largest number of threads that a call may use.

    Parameters
    ----------
    n : int
        At least 1. Small calls always use one thread, and so do forked processes, in which OpenMP
        could wait for threads that the fork did not copy.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import softgrad as sg
    >>> before = sg.get_num_threads()
    >>> sg.set_num_threads(1)
    >>> sg.get_num_threads()
    1
    >>> sg.set_num_threads(before)
    """
    _core.set_num_threads(_validation.threads(n))


def _check_environment() -> None:
    """Warn about an invalid SOFTGRAD_NUM_THREADS, and allow one thread per CPU instead."""
    text = os.environ.get("SOFTGRAD_NUM_THREADS", "")
    if not text.strip() or (text.strip().isdecimal() and 1 <= int(text) <= _MOST):
        return
    _core.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    warnings.warn(
        f"SOFTGRAD_NUM_THREADS={text!r}; expected a positive integer, such as 4; {_core.num_threads()} threads are "
        "used, one for each CPU",
        RuntimeWarning,
        stacklevel=4,  # the import of softgrad
    )


_check_environment()
