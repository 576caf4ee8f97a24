"""The Jacobian of softmax, as an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from softgrad import _softmax, _validation
from softgrad._linear_operators._curvature import Curvature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]


@final
class SoftmaxJacobian(Curvature):
    """J = Diag(p) − p pᵀ for every row of a batch of logits; made by `softmax_jacobian`."""

    def __init__(self, probs: Array, axis: int) -> None:
        super().__init__(probs, axis, None, None)


def softmax_jacobian(logits: ArrayLike, *, axis: int = -1) -> SoftmaxJacobian:
    r"""Jacobian of softmax, as an operator that holds the probabilities and never a dense matrix.

    .. math:: J_{jk} = \frac{\partial p_j}{\partial z_k} = p_j (\delta_{jk} - p_k), \quad
        J = \operatorname{Diag}(p) - p p^\top

    j and k need not be equal: every probability depends on every logit.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout with C ≥ 1 classes along `axis`. Integers are taken as float64.
    axis : int
        The classes. The other axes are a batch: one matrix for each row of logits.

    Returns
    -------
    SoftmaxJacobian
        Symmetric and positive semidefinite, of shape ``(..., C, C)``; float64 for float64 logits, else
        float32. ``J @ v`` takes ``v`` of the shape of `logits`, one vector for each row, or with a last axis
        of K more, and gives the wider of the two dtypes; vectors that it returns have the same
        layout. Further: ``J.T``, ``to_dense()``, ``diagonal()``, ``trace()``, ``eigvalsh()``, ``eigh()``, ``rank()``,
        ``null_space()``, ``sqrt()``, ``cholesky()``, ``pinv()``, ``solve(b, damping)``, ``logdet(damping)``,
        ``as_linear_operator()``. Factors, inverses and eigenvectors are operators themselves.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`; also if there are no classes.

    Notes
    -----
    The probabilities are held in the dtype of J, within 2 ULP; what follows is in units of that dtype, whatever
    that of ``v`` is. ``J @ v`` is one native pass, within 4 ULP of :math:`p_j (|v_j - v_*| + \sum_i p_i |v_i - v_*|)`,
    v_* the entry of the most probable class: J 1 = 0 holds exactly, and a confident row keeps its digits. The
    diagonal is p_i Σ_{j≠i} p_j, within 5 ULP. All else is computed in float64 from those probabilities.

    A mask, −inf, is a probability of zero: a zero row and column. NaN in a row of logits makes that row's results NaN
    (but ``rank()``, an integer: 0).

    Examples
    --------
    >>> import softgrad as sg
    >>> J = sg.softmax_jacobian([2.0, 1.0, 0.0])
    >>> J @ [1.0, 0.0, -1.0]
    array([ 0.28258745, -0.14077036, -0.14181709])
    >>> J.to_dense()
    array([[ 0.22269543, -0.1628034 , -0.05989202],
           [-0.1628034 ,  0.18483645, -0.02203304],
           [-0.05989202, -0.02203304,  0.08192507]])
    >>> sg.softmax_jacobian([40.0, 0.0, 0.0]).diagonal()  # not 1 − 1 = 0
    array([8.49670851e-18, 4.24835426e-18, 4.24835426e-18])
    """
    z, _ = _validation.logits(logits, "softmax_jacobian")
    axis = _validation.class_axis(axis, z.ndim)
    _validation.class_count(z.shape, axis)
    return SoftmaxJacobian(probabilities(z, axis), axis)


def probabilities(z: Array, axis: int) -> Array:
    """Softmax, of half precision in float32."""
    return np.asarray(_softmax.softmax(z if z.dtype.itemsize > 2 else z.astype(np.float32), axis=axis))
