"""The Jacobian of softmax, as an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from softgrad import _softmax, _validation
from softgrad._linear_operators._curvature import Curvature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from softgrad._typing import Array


@final
class SoftmaxJacobian(Curvature):
    """J = Diag(p) − p pᵀ for every row of a batch of logits; made by `softmax_jacobian`."""

    def __init__(self, probs: Array, axis: int) -> None:
        super().__init__(probs, axis, None, None)


def softmax_jacobian(logits: ArrayLike, *, axis: int = -1) -> SoftmaxJacobian:
    r"""Jacobian of softmax, as an operator that stores the probabilities instead of a dense matrix.

    .. math:: J_{jk} = \frac{\partial p_j}{\partial z_k} = p_j (\delta_{jk} - p_k), \quad
        J = \operatorname{Diag}(p) - p p^\top

    J is a full matrix, not a diagonal one, because every probability depends on every logit.

    Parameters
    ----------
    logits : array_like, float16, bfloat16, float32 or float64
        Any shape and layout with C ≥ 1 classes along `axis`. Integers are converted to float64.
    axis : int
        The axis of the classes. The other axes are a batch: there is one matrix per row of logits.

    Returns
    -------
    SoftmaxJacobian
        Symmetric and positive semidefinite, of shape ``(..., C, C)``; float64 for float64 logits, otherwise
        float32. In ``J @ v``, ``v`` has the shape of `logits`, one vector per row, or one more axis at the end
        for K vectors per row; the result has the shape of ``v``, and the wider of the dtypes of J and ``v``.
        Other methods: ``J.T``, ``to_dense()``, ``diagonal()``, ``trace()``, ``eigvalsh()``, ``eigh()``, ``rank()``,
        ``null_space()``, ``sqrt()``, ``cholesky()``, ``pinv()``, ``solve(b, damping)``, ``logdet(damping)``,
        ``as_linear_operator()``. Factors, inverses and eigenvectors are operators too.

    Raises
    ------
    TypeError, ValueError
        As for `softmax`; also if there are no classes.

    Notes
    -----
    The probabilities are stored in the dtype of J, within 2 ULP; the ULPs below are those of this dtype, whatever the
    dtype of ``v``. ``J @ v`` is one native pass with an error of at most 4 ULP of
    :math:`p_j (|v_j - v_*| + \sum_i p_i |v_i - v_*|)`, where v_* is the entry of v at the most probable class: J 1 = 0
    holds exactly, and confident rows stay accurate. The diagonal, p_i Σ_{j≠i} p_j, is within 5 ULP. All other
    results are computed in float64 from the stored probabilities.

    A masked class, with a logit of −inf, has a zero row and column. NaN in a row of logits makes the results of that
    row NaN, except ``rank()``, an integer, which is 0.

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
