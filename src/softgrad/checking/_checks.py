"""The public checks, one for each kind of function."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np

from softgrad._loss_spec import loss_spec, shows_loss_options
from softgrad.checking import _reference
from softgrad.checking._setting import Setting, Target
from softgrad.checking._stages import run_stages
from softgrad.checking._user_function import UserFunction

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions
    from softgrad.checking._reference import Reference
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


def _documented(check: _Check) -> _Check:
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


@_documented
def check_softmax(fn: Callable[..., object], *, batched: bool = True) -> Report:
    r"""Check a softmax, which returns the probabilities of every row.

    .. math:: p_j = \frac{e^{z_j}}{\sum_i e^{z_i}}

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C).

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.checking import check_softmax
    >>> check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).cause
    'no maximum subtracted'
    """
    return _check(_reference.SOFTMAX, fn, batched=batched)


@_documented
def check_log_softmax(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check a log-softmax, which returns the logarithms of the probabilities of every row.

    .. math:: \log p_j = z_j - \log \sum_i e^{z_i}

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C).

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax
    >>> check_log_softmax(lambda z: np.log(sg.softmax(z))).cause
    'logarithm of an underflowed probability'
    """
    return _check(_reference.LOG_SOFTMAX, fn, batched=batched, from_logits=from_logits)


@_documented
def check_softmax_jacobian(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the Jacobian of softmax.

    .. math:: J_{jk} = \frac{\partial p_j}{\partial z_k} = p_j (\delta_{jk} - p_k)

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C, C), with the axes
        row, output j and logit k; or a linear operator, such as a result of `softgrad.softmax_jacobian`.

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_softmax_jacobian
    >>> def diagonal(z):
    ...     p = sg.softmax(z)
    ...     return p * (1 - p)
    >>> check_softmax_jacobian(diagonal).cause
    'only the diagonal'
    """
    return _check(_reference.SOFTMAX_JACOBIAN, fn, batched=batched, from_logits=from_logits)


@_documented
def check_log_softmax_jacobian(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the Jacobian of log-softmax, which is not symmetric.

    .. math:: L_{jk} = \frac{\partial \log p_j}{\partial z_k} = \delta_{jk} - p_k

    Parameters
    ----------
    fn : callable
        ``fn(z)`` takes a float64 array of shape (B, C) and returns an array of shape (B, C, C), with the axes
        row, output j and logit k; or a linear operator, such as a result of `softgrad.softmax_jacobian`.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax_jacobian
    >>> check_log_softmax_jacobian(lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, None, :]).passed
    True
    >>> check_log_softmax_jacobian(lambda z: np.eye(z.shape[1]) - sg.softmax(z)[:, :, None]).cause
    'log-softmax Jacobian transposed'
    """
    return _check(_reference.LOG_SOFTMAX_JACOBIAN, fn, batched=batched, from_logits=from_logits)


@_documented
def check_softmax_vjp(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the vector-Jacobian product of softmax, which is its backward pass.

    .. math:: (J^\top v)_k = p_k \Bigl(v_k - \sum_j p_j v_j\Bigr)

    Parameters
    ----------
    fn : callable
        ``fn(z, v)`` takes the logits z and the upstream gradient v, float64 arrays of shape (B, C), and returns an
        array of shape (B, C).

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_softmax_vjp
    >>> check_softmax_vjp(lambda z, v: v * sg.softmax(z) * (1 - sg.softmax(z))).cause
    'elementwise product where a VJP is needed'
    """
    return _check(_reference.SOFTMAX_VJP, fn, batched=batched, from_logits=from_logits)


@_documented
def check_log_softmax_vjp(fn: Callable[..., object], *, batched: bool = True, from_logits: bool = True) -> Report:
    r"""Check the vector-Jacobian product of log-softmax, which is its backward pass.

    .. math:: (L^\top v)_k = v_k - p_k \sum_j v_j

    Parameters
    ----------
    fn : callable
        ``fn(z, v)`` takes the logits z and the upstream gradient v, float64 arrays of shape (B, C), and returns an
        array of shape (B, C).

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_log_softmax_vjp
    >>> check_log_softmax_vjp(lambda z, v: v - (sg.softmax(z) * v).sum(axis=1, keepdims=True)).cause
    'log-softmax Jacobian transposed'
    """
    return _check(_reference.LOG_SOFTMAX_VJP, fn, batched=batched, from_logits=from_logits)


@_documented
def check_cross_entropy(
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Report:
    r"""Check the value of the cross-entropy of logits.

    .. math:: \ell = -\sum_j y_j \log p_j

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns the loss: one number, or
        an array of shape (B,) for the reduction "none".

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy
    >>> report = check_cross_entropy(lambda z, y: -(y * np.log(sg.softmax(z) + 1e-7)).sum())
    >>> report.cause
    'log(p + eps)'
    >>> report.explanation.partition(".")[0]
    'A constant of 1e-07 is added to p inside the logarithm'
    """
    given: dict[str, Any] = {
        "batched": batched,
        "from_logits": from_logits,
        "target": target,
        "weight": weight,
        **options,
    }
    return _check(_reference.CROSS_ENTROPY, fn, **given)


@_documented
def check_cross_entropy_grad(
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Report:
    r"""Check the gradient of the cross-entropy with respect to the logits.

    .. math:: \frac{\partial \ell}{\partial z_k} = p_k \sum_j y_j - y_k

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns the gradient of the
        reduced loss, of shape (B, C); or a tuple (loss, gradient), of which the loss is checked first. For the
        reduction "none", each row is the gradient of its own loss, as for "sum".

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy_grad
    >>> report = check_cross_entropy_grad(lambda z, y: sg.softmax(z) - y)
    >>> report.cause
    'p − y where Σy ≠ 1'
    >>> print(report.advice)
        def cross_entropy_grad(z, y):
            e = np.exp(z - z.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return p * y.sum(axis=1, keepdims=True) - y
    if every target sums to one, check with target="one-hot" or "probabilities" (--target one-hot)
    >>> check_cross_entropy_grad(lambda z, y: sg.softmax(z) - y, target="one-hot").passed
    True
    """
    given: dict[str, Any] = {
        "batched": batched,
        "from_logits": from_logits,
        "target": target,
        "weight": weight,
        **options,
    }
    return _check(_reference.CROSS_ENTROPY_GRAD, fn, **given)


@_documented
def check_cross_entropy_hessian(
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Report:
    r"""Check the Hessian of the cross-entropy with respect to the logits.

    .. math:: H_{jk} = \frac{\partial^2 \ell}{\partial z_j \, \partial z_k} = p_j (\delta_{jk} - p_k) \sum_i y_i

    Parameters
    ----------
    fn : callable
        ``fn(z, target)`` takes a float64 array of shape (B, C) and the target, and returns an array of shape
        (B, C, C), one block per row; the blocks between different rows are zero and omitted. A linear operator is
        accepted too, as for `check_softmax_jacobian`.

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy_hessian
    >>> def boosting(z, labels):
    ...     p = sg.softmax(z)
    ...     return 2 * p * (1 - p)
    >>> check_cross_entropy_hessian(boosting, target="index").cause
    '2p(1 − p) as the diagonal'
    """
    given: dict[str, Any] = {
        "batched": batched,
        "from_logits": from_logits,
        "target": target,
        "weight": weight,
        **options,
    }
    return _check(_reference.CROSS_ENTROPY_HESSIAN, fn, **given)


@_documented
def check_cross_entropy_hvp(
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Report:
    r"""Check the product of the Hessian of the cross-entropy with a vector.

    .. math:: (H v)_k = p_k \Bigl(v_k - \sum_j p_j v_j\Bigr) \sum_i y_i

    Parameters
    ----------
    fn : callable
        ``fn(z, target, v)`` takes a float64 array of shape (B, C), the target, and a float64 array of shape (B, C),
        and returns the product for every row, of shape (B, C).

    Examples
    --------
    >>> import softgrad as sg
    >>> from softgrad.checking import check_cross_entropy_hvp
    >>> def diagonal_only(z, y, v):
    ...     p = sg.softmax(z)
    ...     return p * (1 - p) * v
    >>> check_cross_entropy_hvp(diagonal_only, target="one-hot").cause
    'elementwise product where the matrix is needed'
    """
    given: dict[str, Any] = {
        "batched": batched,
        "from_logits": from_logits,
        "target": target,
        "weight": weight,
        **options,
    }
    return _check(_reference.CROSS_ENTROPY_HVP, fn, **given)


@_documented
def check_linear_cross_entropy_grad(
    fn: Callable[..., object],
    *,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> Report:
    r"""Check the gradients of the cross-entropy of a linear layer, z = x Wᵀ + bias.

    .. math::
        \nabla_x = G W, \quad \nabla_W = G^\top x, \quad \nabla_b = \sum_n G_n, \quad
        G_{nk} = p_{nk} \sum_j y_{nj} - y_{nk}

    Parameters
    ----------
    fn : callable
        ``fn(x, W, bias, target)`` takes float64 arrays of the shapes (B, D), (C, D) and (C,) and the target, and
        returns the gradients of the reduced loss in a tuple (dx, dW, dbias), each of the shape of its argument. For
        the reduction "none" they are those of the sum.

    Examples
    --------
    >>> import numpy as np
    >>> import softgrad as sg
    >>> from softgrad.checking import check_linear_cross_entropy_grad
    >>> def backward(x, W, bias, labels):
    ...     g = sg.softmax(x @ W.T + bias)
    ...     g[np.arange(len(x)), labels] -= 1
    ...     return g @ W, x.T @ g, g.sum(axis=0)
    >>> check_linear_cross_entropy_grad(backward, target="index").cause
    'dW: transposed'
    """
    given: dict[str, Any] = {"target": target, "weight": weight, **options}
    return _check(_reference.LINEAR_CROSS_ENTROPY_GRAD, fn, has_head=True, **given)


def _check(
    reference: Reference,
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    has_head: bool = False,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Any,
) -> Report:
    if not callable(fn):
        hint = "; pass the function itself, not its result" if hasattr(fn, "__array__") else ""
        raise TypeError(f"fn is a {type(fn).__name__}; expected a function{hint}")
    if not (isinstance(target, str) and target in get_args(Target)):
        raise ValueError(f"target={target!r}; expected 'weighted', 'probabilities', 'one-hot' or 'index'")
    if not batched and "reduction" in options:
        raise ValueError(
            f"reduction={options['reduction']!r} for a function of one vector (batched=False, --single): it has one "
            "loss; leave the reduction out"
        )
    default = "sum" if batched else "none"
    spec = loss_spec(f"check_{reference.kind.replace('-', '_')}", {"reduction": default, **options})
    if spec.ignore_index is not None and target != "index":
        raise ValueError(
            f"ignore_index={spec.ignore_index} needs class indices; expected target='index' (--target index)"
        )
    if spec.z_loss and not from_logits:
        raise ValueError(
            f"z_loss={spec.z_loss:g} needs the logits, but the function takes p (from_logits=False, "
            "--from-probabilities); leave one of them out"
        )
    setting = Setting(
        target=target,
        spec=spec,
        class_weight=None if weight is None else _class_weight(weight),
        batched=batched,
        from_logits=from_logits,
        has_head=has_head,
    )
    return run_stages(UserFunction(fn, _name(fn), reference, setting))


def _class_weight(weight: ArrayLike) -> tuple[float, ...]:
    values = np.asarray(weight, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"weight={weight!r}; expected one positive number for every class, at least two")
    return tuple(values.tolist())


def _name(fn: Callable[..., object]) -> str:
    name: str = getattr(fn, "__name__", type(fn).__name__)
    return "the function" if name == "<lambda>" else name
