"""Whether labels that are no classes raise an error on every device."""

from __future__ import annotations

import os
import warnings

_VALUES = {"": False, "0": False, "1": True}
_is_on = False


def get_check_labels() -> bool:
    """Return whether labels that are no classes raise an error on every device.

    The default is the environment variable ``SOFTGRAD_CHECK_LABELS``, 1 or 0; False if it is not set. Another value is
    ignored with a warning.

    Examples
    --------
    >>> import softgrad.torch
    >>> softgrad.torch.get_check_labels()
    False
    """
    return _is_on


def set_check_labels(check: bool | None) -> None:
    """Set whether labels that are no classes raise an error on every device.

    On the CPU they always do. On other devices the loss and the gradient of such a row are NaN by default, because the
    host would have to wait for the device to see the label.

    Parameters
    ----------
    check : bool or None
        True: IndexError, as on the CPU; every loss and every derivative then waits for the device, and cannot be
        captured in a CUDA graph. None: the default, see `get_check_labels`.

    Raises
    ------
    TypeError
        If `check` is neither a bool nor None.

    Examples
    --------
    >>> import softgrad.torch
    >>> softgrad.torch.set_check_labels(True)
    >>> softgrad.torch.get_check_labels()
    True
    >>> softgrad.torch.set_check_labels(None)
    """
    global _is_on  # noqa: PLW0603
    if check is not None and not isinstance(check, bool):
        raise TypeError(f"check={check!r}; expected True, False or None")
    _is_on = _default() if check is None else check


def _default() -> bool:
    """The value of SOFTGRAD_CHECK_LABELS; False if it is not set or invalid."""
    return _VALUES.get(_text().strip(), False)


def _text() -> str:
    return os.environ.get("SOFTGRAD_CHECK_LABELS", "")


def _start() -> None:
    """Set the default, and warn about an invalid SOFTGRAD_CHECK_LABELS."""
    set_check_labels(None)
    if _text().strip() not in _VALUES:
        warnings.warn(
            f"SOFTGRAD_CHECK_LABELS={_text()!r}; expected 1 or 0; the default is used instead, 0",
            RuntimeWarning,
            stacklevel=2,
        )


_start()
