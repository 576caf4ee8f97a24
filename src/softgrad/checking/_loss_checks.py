"""The checks of the cross-entropy, and of its derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softgrad.checking import _reference
from softgrad.checking._docstrings import documented
from softgrad.checking._run_check import run_check

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions
    from softgrad.checking._report import Report
    from softgrad.checking._setting import Target


@documented
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
    return run_check(
        _reference.CROSS_ENTROPY,
        fn,
        batched=batched,
        from_logits=from_logits,
        target=target,
        weight=weight,
        **options,
    )


@documented
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
    return run_check(
        _reference.CROSS_ENTROPY_GRAD,
        fn,
        batched=batched,
        from_logits=from_logits,
        target=target,
        weight=weight,
        **options,
    )


@documented
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
    return run_check(
        _reference.CROSS_ENTROPY_HESSIAN,
        fn,
        batched=batched,
        from_logits=from_logits,
        target=target,
        weight=weight,
        **options,
    )


@documented
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
    return run_check(
        _reference.CROSS_ENTROPY_HVP,
        fn,
        batched=batched,
        from_logits=from_logits,
        target=target,
        weight=weight,
        **options,
    )


@documented
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
    return run_check(_reference.LINEAR_CROSS_ENTROPY_GRAD, fn, has_head=True, target=target, weight=weight, **options)
