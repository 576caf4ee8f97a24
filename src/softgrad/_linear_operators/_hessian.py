"""The Hessian of the cross-entropy with respect to the logits, as an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from softgrad import _cross_entropy, _softmax
from softgrad._closed_forms import ZLoss
from softgrad._linear_operators._curvature import Curvature
from softgrad._linear_operators._jacobian import probabilities
from softgrad._loss_spec import shows_loss_options

if TYPE_CHECKING:
    from typing import Unpack

    from numpy.typing import ArrayLike

    from softgrad._loss_spec import LossOptions
    from softgrad._typing import Array


@final
class CrossEntropyHessian(Curvature):
    """a·(Diag(p) − p pᵀ) + b·p pᵀ for every row of a batch of logits; made by `cross_entropy_hessian`."""

    def __init__(self, probs: Array, axis: int, a: Array, b: Array) -> None:
        super().__init__(probs, axis, a, b)


@shows_loss_options
def cross_entropy_hessian(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> CrossEntropyHessian:
    r"""Hessian of the cross-entropy with respect to the logits, as an operator.

    .. math:: H = (M + 2 \zeta \operatorname{lse}(z)) (\operatorname{Diag}(p) - p p^\top) + 2 \zeta\, p p^\top,
        \quad M = \sum_j y_j

    for each row of logits; there are no entries between different rows. H depends on the targets only through
    their sum: for one-hot y without z-loss, H is the Jacobian of softmax.

    Parameters
    ----------
    logits, target, axis, weight, ignore_index, label_smoothing, z_loss, reduction
        As for `cross_entropy`. "mean" divides the matrix of every row as it divides the loss; with "none" every
        row has the Hessian of its own loss.

    Returns
    -------
    CrossEntropyHessian
        Symmetric, of shape ``(..., C, C)``; float64 for float64 logits, otherwise float32. It has the methods of
        `softmax_jacobian`: ``H @ v``, ``diagonal()``, ``eigh()``, ``solve(b, damping)`` and so on.
        ``as_linear_operator()`` is the Hessian of the reduced loss with respect to all logits.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `cross_entropy`.

    Notes
    -----
    Accuracy as for `softmax_jacobian`. H is positive semidefinite if a = M + 2ζ lse(z) ≥ 0, and with a z-loss and
    a > 0 positive definite on the classes that are not masked. Ignored rows have the zero matrix. The operator stores
    the probabilities and two numbers per row; `cross_entropy_hvp` computes a single product H v without them, in one
    pass.

    References
    ----------
    Böhning, "Multinomial logistic regression algorithm", Ann. Inst. Statist. Math. 44, 1992, eq. 2.4.

    Examples
    --------
    >>> import softgrad as sg
    >>> H = sg.cross_entropy_hessian([[2.0, 1.0, 0.0]], [[0.5, 0.0, 1.0]], reduction="sum")
    >>> H.trace()  # M (1 − Σ p²), M = 1.5
    array([0.73418541])
    >>> H.rank(), H.eigvalsh()
    (array([2]), array([[0.        , 0.17782995, 0.55635546]]))
    >>> H.solve([[0.1, 0.2, 0.3]], damping=0.1)
    array([[1.77499724, 1.88420647, 2.34079629]])
    """
    loss = _cross_entropy.checked("cross_entropy_hessian", logits, target, axis, weight, options)
    z, targets, spec = loss.logits, loss.targets, loss.spec
    axis, z_loss = targets.axis, ZLoss(spec)
    probs = probabilities(z, axis)
    batch = z.shape[:axis] + z.shape[axis + 1 :]
    mass, kept = targets.mass(spec), targets.kept(spec)
    a = np.ones(batch) if mass is None else mass
    if z_loss:
        a = a + z_loss.slope(_softmax.logsumexp(z.astype(np.float64), axis=axis))
    b = np.full(batch, z_loss.curvature)
    divisor = sum(targets.denominator(spec)) or np.nan  # the mean over nothing
    a, b = a / divisor, b / divisor
    if kept is not None:
        a, b = np.where(kept, a, 0), np.where(kept, b, 0)
        probs[np.broadcast_to(np.expand_dims(~kept, axis), probs.shape)] = 0
    return CrossEntropyHessian(probs, axis, np.ascontiguousarray(a), np.ascontiguousarray(b))
