"""The sections that the docstrings of all checks share."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar

from softgrad._loss_spec import shows_loss_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._report import Report

    _Check = TypeVar("_Check", bound=Callable[..., Report])

_BATCHED = """\
batched : bool
    Whether `fn` takes a batch, as above. If False, it takes one vector, of shape (C,), with the target or v of that
    row, and returns the result without the axis of the rows.
"""
_FROM_LOGITS = """\
from_logits : bool
    Whether the first argument of `fn` is z. If False, it is p = softmax(z); derivatives are still those with respect
    to z. Large logits, whose probabilities are 0, are then not tried.
"""
_TARGET = """\
target : {"weighted", "probabilities", "one-hot", "index"}
    The second argument of `fn`: a float64 array of shape (B, C), whose rows are positive and do not sum to one
    ("weighted"), are positive and sum to one ("probabilities"), or have one 1 ("one-hot"); or class indices, an int64
    array of shape (B,) ("index").
"""
_OPTIONS = """\
weight : array-like, optional
    Class weights w that `fn` uses, of shape (C,). `fn` is then called with C classes only.
ignore_index : int, optional
    Class index that `fn` ignores; only for class indices.
label_smoothing : float
    Label smoothing ε of `fn`, as in `softgrad.cross_entropy`.
z_loss : float
    Factor ζ of the term ζ lse(z)² in the loss of every row.
reduction : {"sum", "mean", "none"}
    Reduction of the losses of the rows; "mean" divides their sum by B, or by the summed weights of the labels.

"""
_RETURNS = """\
Returns
-------
Report
    The verdict, the mistake if it is known, an example, and the code to write instead.

Raises
------
TypeError
    If `fn` is not callable. Exceptions raised by `fn` are not propagated, but part of the report.
"""
_RAISES = """\
ValueError
    If an option has none of the values above, or the options exclude each other.
"""
_NOTES = """
Notes
-----
`fn` is called about 15 times with at most six rows, in stages: shape and dtype, value or derivative, logits of ±1e3.
The check ends at the first stage that fails. `fn` may return an array of NumPy, torch or JAX, or an object with a
method ``to_dense()``.

The tolerance is 1e-9 times the magnitude of the terms in float64, and 2e-5 in float32 (5e-4 at ±1e3). A mistake is
named only if it reproduces every result of `fn` to this tolerance and no other known mistake does. For a wrong result
the report also lists the properties of the exact result that it violates.

"""
_PLAIN = """\
Without options the check expects the plain cross-entropy: for a function with label smoothing, class weights or a
z-loss the verdict is "wrong: unknown cause".

"""
_SECTIONS = {"batched": _BATCHED, "from_logits": _FROM_LOGITS, "target": _TARGET}


def documented(check: _Check) -> _Check:
    """Show the options of the loss, and insert the sections that all docstrings share before the examples."""
    signature = inspect.signature(check)
    text, title, examples = inspect.cleandoc(check.__doc__ or "").partition("Examples\n")
    text = text.rstrip() + "\n" + "".join(part for name, part in _SECTIONS.items() if name in signature.parameters)
    if "target" in signature.parameters:
        text += f"{_OPTIONS}{_RETURNS}{_RAISES}{_NOTES}{_PLAIN}"
        shows_loss_options(check)
        shown = inspect.signature(check)
        parameters = [p.replace(default="sum") if p.name == "reduction" else p for p in shown.parameters.values()]
        check.__signature__ = shown.replace(parameters=parameters)  # type: ignore[attr-defined]
    else:
        text += f"\n{_RETURNS}{_NOTES}"
    check.__doc__ = text + title + examples
    return check
