"""A fitted model as an ONNX graph, for runtimes in other languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad
from softgrad._atomic_write import write_atomically
from softgrad.linear_model._formats._model_record import check_model

if TYPE_CHECKING:
    import os

    import onnx
    from numpy.typing import DTypeLike

    from softgrad._typing import Array
    from softgrad.linear_model._softmax_regression import SoftmaxRegression

# The first opset whose Softmax is along one axis; supported by runtimes since 2020.
_OPSET, _IR_VERSION = 13, 7


def to_onnx(
    model: SoftmaxRegression, path: str | os.PathLike[str] | None = None, *, dtype: DTypeLike = np.float32
) -> onnx.ModelProto:
    r"""Convert a fitted model to an ONNX graph.

    .. math:: \text{probabilities} = \operatorname{softmax}(X W^\top + b), \quad
              \text{label}_n = \text{classes}[\arg\max_k \text{probabilities}_{nk}]

    The input is ``X``, of shape (N, D) and `dtype`, for any N. The outputs are ``label``, of shape (N,), int64 for
    integer classes, otherwise strings, floats or booleans like the classes, and ``probabilities``, of shape (N, K)
    and `dtype`. W and b include the temperature.

    Parameters
    ----------
    model : SoftmaxRegression
        Fitted model.
    path : str or path, optional
        File to write, atomically; the suffix ``.onnx`` is usual.
    dtype : dtype, default numpy.float32
        Data type of the computation: numpy.float32 or numpy.float64.

    Returns
    -------
    onnx.ModelProto
        Graph of the operators Gemm, Softmax, ArgMax and Gather of the default opset 13.

    Raises
    ------
    ImportError
        If the package ``onnx`` is not installed.
    TypeError
        If `model` is not a SoftmaxRegression, `dtype` is neither of the two, or the classes are neither numbers nor
        strings.
    sklearn.exceptions.NotFittedError
        If `model` is not fitted.
    ValueError
        If a coefficient exceeds the range of `dtype`.
    OSError
        If the file cannot be written.

    Notes
    -----
    The graph has the accuracy of the runtime's Gemm and Softmax in `dtype`, which is lower than softgrad's: in
    float32 the rounding error of the logits is proportional to :math:`\sum_j |W_{kj} x_j|`, and the order of two
    classes with nearly equal probabilities may change. In float64 the probabilities agree with ``predict_proba``
    within about 1e-15.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx.reference import ReferenceEvaluator
    >>> from softgrad.linear_model import SoftmaxRegression, to_onnx
    >>> model = SoftmaxRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> session = ReferenceEvaluator(to_onnx(model))
    >>> label, probabilities = session.run(None, {"X": np.array([[2.0]], np.float32)})
    >>> label.tolist(), probabilities.shape
    (['yes'], (1, 2))
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper  # noqa: PLC0415
    except ImportError:
        raise ImportError('to_onnx needs the package onnx; write pip install "softgrad[onnx]"', name="onnx") from None
    check_model(model)
    W, b = (_in_range(part / model.temperature_, dtype) for part in (model.coef_, model.intercept_))
    classes = _label_values(model.classes_)
    element = helper.np_dtype_to_tensor_dtype(W.dtype)
    label = TensorProto.STRING if classes.dtype.kind == "O" else helper.np_dtype_to_tensor_dtype(classes.dtype)
    K, D = W.shape
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["X", "W", "b"], ["logits"], transB=1),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
            helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
            helper.make_node("Gather", ["classes", "index"], ["label"], axis=0),
        ],
        "softmax_regression",
        [helper.make_tensor_value_info("X", element, ["N", D])],
        [
            helper.make_tensor_value_info("label", label, ["N"]),
            helper.make_tensor_value_info("probabilities", element, ["N", K]),
        ],
        [numpy_helper.from_array(array, name) for array, name in ((W, "W"), (b, "b"), (classes, "classes"))],
    )
    proto = helper.make_model(
        graph,
        producer_name="softgrad",
        producer_version=softgrad.__version__,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(proto, full_check=True)
    if path is not None:
        write_atomically(path, proto.SerializeToString())
    return proto


def _in_range(values: Array, dtype: DTypeLike) -> Array:
    target = np.dtype(dtype)
    if target not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype={target}; expected numpy.float32 or numpy.float64")
    with np.errstate(over="ignore"):
        narrow: Array = values.astype(target)
    if not np.isfinite(narrow).all():
        raise ValueError(f"a coefficient of {np.abs(values).max():.1e} is beyond {target}; write dtype=numpy.float64")
    return narrow


def _label_values(classes: Array) -> Array:
    """Return the classes in a dtype that ONNX supports."""
    kind = classes.dtype.kind
    if kind in "iu":
        if classes.max() > np.iinfo(np.int64).max:
            raise TypeError(f"classes_ holds {classes.max()}; expected labels within int64")
        return classes.astype(np.int64)
    if kind == "b" or classes.dtype in (np.float32, np.float64):
        return classes
    if all(isinstance(name, str) for name in classes):
        return classes.astype(object)
    raise TypeError(
        f"classes_ has dtype {classes.dtype} and holds {classes[0]!r}; expected numbers or strings; "
        "fit with labels written as y.astype(str)"
    )
