"""Bad input: the kind of exception, a text that says what to write instead, and nothing written."""

import importlib.util
import re
import types

import numpy as np
import pytest

import softgrad as sg

Z = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def array_of(module, name="Tensor"):
    """An object that looks like another library's array."""
    return types.new_class(name, exec_body=lambda ns: ns.update(__module__=module))()


class Named:
    """Calls by their text, so that a failing one shows what it was."""

    def __init__(self, call, kind, *texts):
        self.call, self.kind, self.texts = call, kind, texts


BAD = {
    # logits
    "torch tensor": Named(lambda: sg.softmax(array_of("torch")), TypeError, "torch.Tensor", "or use softgrad.torch.softmax", "numpy(force=True)"),
    "jax array": Named(lambda: sg.cross_entropy(array_of("jaxlib._jax", "ArrayImpl"), [0]), TypeError, "jaxlib.ArrayImpl", "write numpy.asarray(logits)"),
    "jax direction": Named(lambda: sg.cross_entropy_hvp(Z, [0, 0], array_of("jax")), TypeError, "v is a jax.Tensor", "write numpy.asarray(v)"),
    "torch target": Named(lambda: sg.cross_entropy(Z, array_of("torch")), TypeError, "target is a torch.Tensor"),
    "masked array": Named(lambda: sg.softmax(np.ma.masked_equal(Z, 2)), TypeError, "filled(-numpy.inf)"),
    "complex": Named(lambda: sg.softmax(Z * 1j), TypeError, "complex128", "float64"),
    "text": Named(lambda: sg.log_softmax(["a", "b"]), TypeError, "logits has dtype <U1"),
    "objects": Named(lambda: sg.logsumexp([None, 1]), TypeError, "object"),
    "long double": Named(lambda: sg.softmax(Z.astype(np.longdouble)), TypeError, "expected float16, bfloat16, float32, float64"),
    "ragged": Named(lambda: sg.softmax([[1.0], [1.0, 2.0]]), ValueError, "logits is no array"),
    # axis
    "axis out of range": Named(lambda: sg.softmax(Z, axis=2), np.exceptions.AxisError, "axis 2", "dimension 2"),
    "axis of a scalar": Named(lambda: sg.softmax(1.0, axis=1), np.exceptions.AxisError, "axis 1"),
    "axis no integer": Named(lambda: sg.softmax(Z, axis=0.5), TypeError, "axis=0.5", "integer"),
    "axis twice": Named(lambda: sg.logsumexp(Z, axis=(1, -1)), ValueError, "axis=(1, -1)", "twice"),
    "tuple for cross_entropy": Named(lambda: sg.cross_entropy(Z, [0, 0], axis=(0, 1)), TypeError, "axis=(0, 1)"),
    "empty array, bad axis": Named(lambda: sg.softmax(np.ones((0, 3)), axis=5), np.exceptions.AxisError, "axis 5"),
    # out
    "out of another shape": Named(lambda: sg.softmax(Z, out=np.empty((3, 2))), ValueError, "(3, 2)", "(2, 3)", "numpy.empty"),
    "out of another dtype": Named(lambda: sg.softmax(Z, out=np.empty((2, 3), np.float32)), TypeError, "float32", "float64"),
    "out no array": Named(lambda: sg.cross_entropy_grad(Z, [0, 0], out=[1]), TypeError, "out is a list"),
    "out masked": Named(lambda: sg.softmax(Z, out=np.ma.empty_like(Z)), TypeError, "out is a masked array"),
    "out read-only": Named(lambda: sg.softmax(Z, out=np.broadcast_to(0.0, (2, 3))), ValueError, "read-only"),
    "out overlapping": Named(lambda: (lambda a: sg.softmax(a[:, 1:], out=a[:, :-1]))(np.ones((2, 4))), ValueError, "overlaps logits"),
    "out is the target": Named(lambda: (lambda q: sg.cross_entropy_grad(Z, q, out=q))(np.ones((2, 3))), ValueError, "out shares memory with target"),
    # target
    "label too large": Named(lambda: sg.cross_entropy(Z, [0, 3]), IndexError, "target[1] is 3", "from 0 to 2"),
    "label negative": Named(lambda: sg.cross_entropy_grad(Z, [-100, 0]), IndexError, "target[0] is -100", "ignore_index=-100"),
    "label beside an ignored one": Named(lambda: sg.cross_entropy(Z, [-1, 7], ignore_index=-1), IndexError, "target[1] is 7"),
    "label in several axes": Named(lambda: sg.cross_entropy(np.ones((2, 3, 4)), np.eye(2, 4, dtype=int) * 9, axis=1), IndexError, "target[0, 0] is 9"),
    "label beyond 64 bits": Named(lambda: sg.cross_entropy(Z, np.array([0, 2**63 + 1], np.uint64)), IndexError, "9223372036854775809"),
    "labels of another shape": Named(lambda: sg.cross_entropy(Z, [0, 1, 2]), ValueError, "(3,)", "(2, 3)", "(2,)"),
    "labels as one-hot integers": Named(lambda: sg.cross_entropy(Z, np.eye(2, 3, dtype=int)), ValueError, "astype(numpy.float64)"),
    "floating labels": Named(lambda: sg.cross_entropy(Z, [0.0, 1.0]), ValueError, "astype(numpy.int64)"),
    "boolean target": Named(lambda: sg.cross_entropy(Z, [True, False]), TypeError, "bool", "integer dtype"),
    "text target": Named(lambda: sg.cross_entropy(Z, ["a", "b"]), TypeError, "target has dtype"),
    "negative probability": Named(lambda: sg.cross_entropy(Z, [[0.5, 0.5, 0], [0, -0.25, 1]]), ValueError, "-0.25 for class 1 in row 1"),
    "infinite probability": Named(lambda: sg.cross_entropy(Z, np.float32([[0, 1, 0], [np.inf, 0, 0]])), ValueError, "inf for class 0 in row 1"),
    "no classes": Named(lambda: sg.cross_entropy(np.ones((2, 0)), [0, 0]), ValueError, "no classes along axis 1"),
    # options
    "weights of another number": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=[1, 2]), ValueError, "(2,)", "(3,)"),
    "weight negative": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=[1, -2, 1]), ValueError, "weight[1] is -2.0"),
    "weight NaN": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=[1, 1, np.nan]), ValueError, "weight[2] is nan"),
    "weight of text": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=["a", "b", "c"]), TypeError, "weight has dtype"),
    "smoothing above one": Named(lambda: sg.cross_entropy(Z, [0, 1], label_smoothing=1.5), ValueError, "label_smoothing=1.5", "0 to 1"),
    "smoothing NaN": Named(lambda: sg.cross_entropy(Z, [0, 1], label_smoothing=np.nan), ValueError, "label_smoothing=nan"),
    "smoothing of text": Named(lambda: sg.cross_entropy(Z, [0, 1], label_smoothing="0.1"), TypeError, "label_smoothing='0.1'"),
    "z_loss too large for a float": Named(lambda: sg.cross_entropy(Z, [0, 1], z_loss=10**400), TypeError, "z_loss=1000"),
    "weight too large": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=[1, 1e16, 1]), ValueError, "weight[1] is 1e+16", "1e+15"),
    "weight too small": Named(lambda: sg.cross_entropy(Z, [0, 1], weight=[1, 1, 1e-300]), ValueError, "weight[2] is 1e-300"),
    "reduction an array": Named(lambda: sg.cross_entropy(Z, [0, 1], reduction=np.ones(2)), ValueError, "expected 'mean'"),
    "scalar logits": Named(lambda: sg.cross_entropy(5.0, 0), ValueError, "logits is a scalar", "[logits]"),
    "masked target": Named(lambda: sg.cross_entropy(Z, np.ma.masked_equal([0, 1], 1)), TypeError, "target.filled"),
    "smoothing no number": Named(lambda: sg.cross_entropy(Z, [0, 1], label_smoothing="a"), TypeError, "label_smoothing='a'"),
    "z_loss negative": Named(lambda: sg.cross_entropy(Z, [0, 1], z_loss=-1), ValueError, "z_loss=-1"),
    "z_loss infinite": Named(lambda: sg.cross_entropy(Z, [0, 1], z_loss=np.inf), ValueError, "z_loss=inf"),
    "unknown reduction": Named(lambda: sg.cross_entropy(Z, [0, 1], reduction="average"), ValueError, "'average'", "'mean'"),
    "reduction no text": Named(lambda: sg.cross_entropy(Z, [0, 1], reduction=["mean"]), ValueError, "['mean']"),
    "ignore_index no integer": Named(lambda: sg.cross_entropy(Z, [0, 1], ignore_index=0.5), TypeError, "ignore_index=0.5"),
    "ignore_index beyond 64 bits": Named(lambda: sg.cross_entropy(Z, [0, 1], ignore_index=2**70), ValueError, "64-bit"),
    "ignore_index and probabilities": Named(lambda: sg.cross_entropy(Z, np.ones((2, 3)), ignore_index=0), ValueError, "ignore_index=0", "zeros instead"),
    # linear head
    "x a vector": Named(lambda: sg.linear_cross_entropy(np.ones(3), Z, [0]), ValueError, "x has shape (3,)", "two axes"),
    "W transposed": Named(lambda: sg.linear_cross_entropy(np.ones((4, 2)), Z, [0] * 4), ValueError, "(4, 2)", "W.T"),
    "x and W of two dtypes": Named(lambda: sg.linear_cross_entropy(np.ones((4, 3), np.float32), Z, [0] * 4), TypeError, "astype(x.dtype)"),
    "x in half precision": Named(lambda: sg.linear_cross_entropy(np.ones((4, 3), np.float16), Z, [0] * 4), TypeError, "x.astype(numpy.float32)"),
    "bias of another shape": Named(lambda: sg.linear_cross_entropy(np.ones((4, 3)), Z, [0] * 4, bias=[1.0]), ValueError, "bias has shape (1,)", "(2,)"),
    "bias of another dtype": Named(lambda: sg.linear_cross_entropy(np.ones((4, 3)), Z, [0] * 4, bias=np.ones(2, np.float32)), TypeError, "bias"),
    "no rows in W": Named(lambda: sg.linear_cross_entropy(np.ones((4, 3)), np.ones((0, 3)), [0] * 4), ValueError, "no classes"),
    "label of the linear head": Named(lambda: sg.linear_cross_entropy_value_and_grad(np.ones((4, 3)), Z, [0, 1, 2, 0]), IndexError, "target[2] is 2"),
    # threads
    "no thread": Named(lambda: sg.set_num_threads(0), ValueError, "n=0"),
    "half a thread": Named(lambda: sg.set_num_threads(0.5), TypeError, "n=0.5"),
    # v
    "v of another shape": Named(lambda: sg.cross_entropy_hvp(Z, [0, 0], np.ones(3)), ValueError, "v has shape (3,)", "(2, 3)", "one vector for each row"),
    "v of another dtype": Named(lambda: sg.cross_entropy_hvp(Z, [0, 0], np.ones((2, 3), np.float32)), TypeError, "v float32", "v.astype(logits.dtype)"),
    "v a tensor": Named(lambda: sg.cross_entropy_hvp(Z, [0, 0], array_of("torch")), TypeError, "v is a torch.Tensor", "v.numpy(force=True)"),
    "hvp into the logits": Named(lambda: (lambda z: sg.cross_entropy_hvp(z, [0, 0], np.ones((2, 3)), out=z))(Z.copy()), ValueError, "out shares memory with logits", "pass v itself"),
    "hvp into a part of v": Named(lambda: (lambda a: sg.cross_entropy_hvp(Z, [0, 0], a[:, 1:], out=a[:, :-1]))(np.ones((2, 4))), ValueError, "overlaps v", "pass v itself"),
    "hvp of a bad label": Named(lambda: sg.cross_entropy_hvp(Z, [0, 3], Z), IndexError, "target[1] is 3"),
    "V of another shape": Named(lambda: sg.linear_cross_entropy_hvp(Z, Z, [0, 0], np.ones((3, 3))), ValueError, "V has shape (3, 3)", "(2, 3), the shape of W"),
    "V for a bias that is not there": Named(lambda: sg.linear_cross_entropy_hvp(Z, Z, [0, 0], np.ones((2, 4))), ValueError, "V has shape (2, 4)"),
    "V without room for both": Named(lambda: sg.linear_cross_entropy_hvp(Z, Z, [0, 0], np.ones((2, 5)), bias=np.zeros(2)), ValueError, "(2, 4) with a last column for bias"),
    "V of another dtype": Named(lambda: sg.linear_cross_entropy_hvp(Z, Z, [0, 0], np.ones((2, 3), np.float32)), TypeError, "W has dtype float64 and V float32"),
    # operators
    "jacobian of a scalar": Named(lambda: sg.softmax_jacobian(1.0), ValueError, "logits is a scalar", "[logits]"),
    "jacobian without classes": Named(lambda: sg.log_softmax_jacobian(np.ones((2, 0))), ValueError, "(2, 0)", "no classes"),
    "jacobian along two axes": Named(lambda: sg.softmax_jacobian(Z, axis=(0, 1)), TypeError, "axis=(0, 1)", "integer"),
    "jacobian of a tensor": Named(lambda: sg.log_softmax_jacobian(array_of("torch")), TypeError, "torch.Tensor", "see softgrad.torch for tensors"),
    "hessian of bad probabilities": Named(lambda: sg.cross_entropy_hessian(Z, -Z), ValueError, "-1.0", "class 0 in row 0"),
    "operand of another shape": Named(lambda: sg.softmax_jacobian(Z) @ np.ones(3), ValueError, "v has shape (3,)", "(2, 3)", "(2, 3, K)"),
    "operand of text": Named(lambda: sg.softmax_jacobian(Z) @ ([["a"] * 3] * 2), TypeError, "v has dtype <U1"),
    "masked operand on the left": Named(lambda: np.ma.masked_equal(Z, 2) @ sg.softmax_jacobian(Z), TypeError, "masked array"),
    "operand on the left of another shape": Named(lambda: np.ones((3, 4)) @ sg.softmax_jacobian(Z[0]), ValueError, "left operand has shape (3, 4)", "(K, 3)"),
    "right side a tensor": Named(lambda: sg.log_softmax_jacobian(Z).solve(array_of("torch"), 1.0), TypeError, "see softgrad.torch for tensors"),
    "right side of another shape": Named(lambda: sg.softmax_jacobian(Z).solve(np.ones((3, 2)), 1.0), ValueError, "b has shape (3, 2)", "(2, 3)"),
    "no damping": Named(lambda: sg.softmax_jacobian(Z).solve(Z, 0.0), ValueError, "damping=0.0", "positive", "pinv() @ b"),
    "negative damping": Named(lambda: sg.log_softmax_jacobian(Z).logdet(-1), ValueError, "damping=-1", "positive"),
    "infinite damping": Named(lambda: sg.softmax_jacobian(Z).logdet(np.inf), ValueError, "damping=inf"),
    "damping no number": Named(lambda: sg.log_softmax_jacobian(Z).solve(Z, "a"), TypeError, "damping='a'", "a number"),
    "square root of an indefinite Hessian": Named(lambda: sg.cross_entropy_hessian(-5 * np.ones((1, 2)), [0], z_loss=2.0).sqrt(), ValueError, "sqrt() of an indefinite matrix", "row 0", "eigh()"),
    "Cholesky factor of an indefinite Hessian": Named(lambda: sg.cross_entropy_hessian(-5 * np.ones((1, 2)), [0], z_loss=2.0).cholesky(), ValueError, "cholesky() of an indefinite matrix"),
    "too little damping": Named(lambda: sg.cross_entropy_hessian(-5 * np.ones((1, 2)), [0], z_loss=2.0).solve(np.ones((1, 2)), 0.1), ValueError, "damping=0.1", "indefinite", "above"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_input(case):
    with pytest.raises(case.kind) as caught:
        case.call()
    for text in case.texts:
        assert text in str(caught.value)
    for name in re.findall(r"softgrad\.(\w+)", str(caught.value)):
        assert hasattr(sg, name) or importlib.util.find_spec(f"softgrad.{name}"), name


@pytest.mark.parametrize(
    "arguments",
    [
        dict(target=[0, 3]),
        dict(target=[0, 1], weight=[1, 1, -1]),
        dict(target=[0, 1], reduction="median"),
        dict(target=np.array([[1.0, 0, 0], [1, 0, -1]])),
        dict(target=[0, 1], label_smoothing=2),
        dict(target=[0, 1, 2]),
    ],
)
def test_nothing_is_written_before_the_input_is_known_to_be_good(arguments):
    out = np.full((2, 3), 7.0)
    for function in (sg.cross_entropy_grad, sg.cross_entropy_value_and_grad):
        with pytest.raises((ValueError, IndexError)):
            function(Z, out=out, **arguments)
        z = Z.copy()
        with pytest.raises((ValueError, IndexError)):
            function(z, out=z, **arguments)
        np.testing.assert_array_equal(z, Z)
    np.testing.assert_array_equal(out, 7.0)


def test_lists_and_numpy_scalars_are_fine():
    assert sg.cross_entropy([[1, 2, 3]], [np.int8(1)], label_smoothing=np.float32(0), z_loss=0) > 0
    assert sg.cross_entropy(Z, [0, 1], ignore_index=np.int64(5)) > 0
    assert sg.softmax(Z, axis=np.int64(0)).shape == (2, 3)
