"""Derivations by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from softgrad.derivation._cross_entropy import cross_entropy, cross_entropy_hessian
from softgrad.derivation._linear_head import linear_head
from softgrad.derivation._softmax import log_softmax, logsumexp, softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.derivation._derivation import Derivation

_MAKERS: dict[str, Callable[[], Derivation]] = {
    "softmax": softmax,
    "log-softmax": log_softmax,
    "logsumexp": logsumexp,
    "cross-entropy": cross_entropy,
    "cross-entropy-hessian": cross_entropy_hessian,
    "linear-head": linear_head,
}
NAMES = tuple(_MAKERS)


def derive(name: str) -> Derivation:
    r"""Derive a derivative, step by step, for any number n of classes.

    .. math:: \frac{\partial \sigma_j}{\partial z_k} = \sigma_j (\delta_{jk} - \sigma_k)

    is the result for "softmax"; the other derivations use it and the chain rule.

    Parameters
    ----------
    name : {"softmax", "log-softmax", "logsumexp", "cross-entropy", "cross-entropy-hessian", "linear-head"}
        Name of the derivation.

    Returns
    -------
    Derivation
        The derivation: ``steps`` lists the steps, ``verify()`` checks them, ``render(form)`` returns text, LaTeX or
        HTML. ``print`` shows the text, notebooks show the HTML.

    Raises
    ------
    TypeError
        If `name` is not a string.
    ValueError
        If there is no derivation of that name; the message lists the names.

    Notes
    -----
    Code computes every line from the previous line by one rule; no line is written by hand. n remains a symbol
    throughout.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, §6.2.2.3.

    Examples
    --------
    >>> from softgrad.derivation import derive
    >>> derivation = derive("softmax")
    >>> derivation.steps[1].rule
    'quotient rule'
    >>> derivation.verify().passed
    True
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}; expected a string, one of {', '.join(NAMES)}")
    if name not in _MAKERS:
        close = difflib.get_close_matches(name.lower().replace("_", "-"), NAMES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"no derivation is called {name!r}{hint}; expected one of {', '.join(NAMES)}")
    return _MAKERS[name]()
