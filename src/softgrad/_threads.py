"""How many threads a call may use."""

from softgrad import _core, _validation


def get_num_threads() -> int:
    """Return the largest number of threads that a call may use.

    At first that is the environment variable ``SOFTGRAD_NUM_THREADS``, or else the number of CPUs that
    this process may use. OpenMP's own limit (``OMP_NUM_THREADS``, threadpoolctl) applies as well.
    Results do not depend on it, bit for bit.

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
        At least 1. Small calls use one thread whatever the limit, and so do forked
        processes, where OpenMP could wait for threads that the fork did not copy.

    Raises
    ------
    TypeError
        If `n` is no integer.
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
