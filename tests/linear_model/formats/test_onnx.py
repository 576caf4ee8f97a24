"""The graph against predict and predict_proba, by the specification's own evaluator and by a runtime."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError

from softgrad.linear_model import SoftmaxRegression, to_onnx

X, Y = load_iris(return_X_y=True)


def by_reference(proto, x):
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    return ReferenceEvaluator(proto).run(["label", "probabilities"], {"X": x})


def by_runtime(proto, x):
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["label", "probabilities"], {"X": x})


RUNS = [by_reference, pytest.param(by_runtime, marks=pytest.mark.needs("onnxruntime"))]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "names",
    [["setosa", "versicolor", "é\n"], [3, 5, 8], [-1.5, 0.0, 2.0], [False, True, True]],
    ids=["text", "int64", "float64", "bool"],
)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 3e-6), (np.float64, 1e-14)])
def test_the_graph_predicts_as_the_model(run, names, dtype, tolerance):
    names = np.array(names)
    labels = names[Y] if names.dtype.kind != "f" else Y.astype(np.float64)
    model = SoftmaxRegression(C=10.0, tol=1e-3).fit(X, labels)
    label, probabilities = run(to_onnx(model, dtype=dtype), X.astype(dtype))
    np.testing.assert_array_equal(np.array(label), model.predict(X))
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=tolerance * 10, atol=tolerance)


@pytest.mark.parametrize("run", RUNS)
def test_images_of_ten_classes_and_any_number_of_rows(run):
    images, digits = load_digits(return_X_y=True)
    model = SoftmaxRegression(C=0.01, tol=1e-3).fit(images, digits)
    proto = to_onnx(model)
    for rows in (1, 7, len(images)):
        label, probabilities = run(proto, images[:rows].astype(np.float32))
        assert label.dtype == np.int64
        np.testing.assert_array_equal(label, model.predict(images[:rows]))
        np.testing.assert_allclose(probabilities, model.predict_proba(images[:rows]), atol=1e-5)


def test_a_temperature_is_part_of_the_graph():
    model = SoftmaxRegression(C=100.0, tol=1e-3).fit(X[::2], Y[::2])
    before = model.predict_proba(X)
    model.temperature_scale(X[1::2], Y[1::2])
    assert np.abs(model.predict_proba(X) - before).max() > 1e-3
    _, probabilities = by_reference(to_onnx(model, dtype=np.float64), X)
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-13)


def test_the_graph_is_what_the_docs_say(tmp_path):
    model = SoftmaxRegression().fit(X, Y)
    proto = to_onnx(model, tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx") == proto
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert {node.op_type for node in proto.graph.node} == {"Gemm", "Softmax", "ArgMax", "Gather"}
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 13)]
    assert proto.producer_name == "softgrad"
    (given,) = proto.graph.input
    assert given.name == "X"
    assert [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim] == ["N", 4]
    assert [output.name for output in proto.graph.output] == ["label", "probabilities"]
    onnx.checker.check_model(proto, full_check=True)


def test_what_is_no_fitted_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match="model is a list; expected a SoftmaxRegression"):
        to_onnx([])
    with pytest.raises(NotFittedError):
        to_onnx(SoftmaxRegression(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_a_graph_cannot_hold_is_refused():
    model = SoftmaxRegression().fit(X, Y)
    with pytest.raises(TypeError, match=r"dtype=float16; expected numpy\.float32 or numpy\.float64"):
        to_onnx(model, dtype=np.float16)
    model.coef_[0, 0] = -1e39
    with pytest.raises(ValueError, match=r"a coefficient of 1\.0e\+39 is beyond float32; write dtype=numpy\.float64"):
        to_onnx(model)
    to_onnx(model, dtype=np.float64)
    wide = SoftmaxRegression().fit(X, np.array([0, 1, 2**63], np.uint64)[Y])
    with pytest.raises(TypeError, match="classes_ holds 9223372036854775808; expected labels within int64"):
        to_onnx(wide)
    odd = SoftmaxRegression().fit(X, Y)
    odd.classes_ = np.array([("a",), 1, 2], object)
    with pytest.raises(TypeError, match="classes_ has dtype object and holds"):
        to_onnx(odd)


def test_a_missing_package_is_named_with_its_extra():
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from softgrad.linear_model import SoftmaxRegression, to_onnx\n"
        "to_onnx(SoftmaxRegression().fit([[0.0], [1.0]], [0, 1]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.endswith('ImportError: to_onnx needs the package onnx; write pip install "softgrad[onnx]"\n')
