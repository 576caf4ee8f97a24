import hashlib
import json
import os
import struct

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import softgrad
from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV, load_model, save_model

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(scope="module")
def model():
    return SoftmaxRegression(C=3.0, tol=1e-2, max_iter=500).fit(X, NAMES[Y])


@pytest.fixture
def path(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def contents(path):
    """The arrays and the header, as any reader of safetensors finds them."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not iterable
        return tensors, json.loads(file.metadata()["softgrad"])


def checksum(tensors, record):
    """The checksum as the docs state it, written out again."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.name} {tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()


def with_changes(path, record=None, **tensors):
    """The same file with other contents, under a checksum that fits; None leaves a part out."""
    before, header = contents(path)
    del header["sha256"]
    merged = {name: value for name, value in (before | tensors).items() if value is not None}
    header = {name: value for name, value in (header | (record or {})).items() if value is not None or name == "table"}
    save_file(merged, path, metadata={"softgrad": json.dumps(header | {"sha256": checksum(merged, header)})})


def assert_same(loaded, model):
    kept = {name: value for name, value in vars(model).items() if name not in ("_training", "_past_batches")}
    kept["history_"] = [step._replace(seconds=np.nan) for step in model.history_]
    assert vars(loaded).keys() == kept.keys()
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
        assert isinstance(value, type(getattr(loaded, name))), name


def test_a_loaded_model_is_the_saved_one(model, path):
    loaded = load_model(path)
    assert_same(loaded, model)
    assert type(loaded.history_[0]) is type(model.history_[0])
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.score(X, NAMES[Y]) == model.score(X, NAMES[Y])
    assert loaded.coef_.flags.writeable == model.coef_.flags.writeable


def test_every_option_and_the_temperature_are_kept(tmp_path):
    options = {
        "C": np.inf, "fit_intercept": False, "class_weight": {"setosa": 2.0, "versicolor": 1, "virginica": 0.5},
        "label_smoothing": 0.1, "solver": "lbfgs", "tol": 1e-3, "max_iter": 400, "warm_start": True, "n_threads": 1,
        "verbose": 0,
    }  # fmt: skip
    fitted = SoftmaxRegression(**options).fit(X, NAMES[Y])
    assert fitted.get_params() == options
    fitted.temperature_scale(X[::3], NAMES[Y][::3])
    assert fitted.temperature_ != 1
    save_model(fitted, tmp_path / "m")
    assert_same(load_model(tmp_path / "m"), fitted)
    assert load_model(tmp_path / "m").get_params() == options


def test_equal_models_make_equal_files(model, path):
    save_model(model, path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()
    save_model(load_model(path), path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_equal_fits_make_equal_files(model, path):
    again = SoftmaxRegression(C=3.0, tol=1e-2, max_iter=500).fit(X, NAMES[Y])
    assert [step.seconds for step in again.history_] != [step.seconds for step in model.history_]
    save_model(again, path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_a_file_of_an_earlier_softgrad_is_read_without_its_seconds(model, path):
    with_changes(path, {"history": [[*step] for step in model.history_]})
    assert_same(load_model(path), model)


def test_the_file_is_what_the_docs_say(model, path):
    tensors, record = contents(path)
    assert tensors.keys() == {"coef", "intercept"}
    np.testing.assert_array_equal(tensors["coef"], model.coef_)
    np.testing.assert_array_equal(tensors["intercept"], model.intercept_)
    assert record["format"] == "softgrad.linear_model.SoftmaxRegression"
    assert (record["format_version"], record["softgrad_version"]) == (1, softgrad.__version__)
    assert record["classes"] == {"dtype": "str", "values": NAMES.tolist()}
    assert record.pop("sha256") == checksum(tensors, record)


def test_coefficients_in_another_memory_order_are_saved_as_they_are(model, tmp_path):
    fitted = SoftmaxRegression().fit(X, Y)
    values = fitted.coef_.copy()
    fitted.coef_ = np.asfortranarray(values)
    save_model(fitted, tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").coef_, values)


@pytest.mark.parametrize(
    "names",
    [
        [False, True, True],
        np.array([10, 20, 300], np.int16),
        np.array([0, 1, 2**64 - 1], np.uint64),
        [0.0, 1.0, 3.0],
        np.array(["a", "b\ud800", "é"]),
        np.array(["a", "b", "c"], "U9"),
    ],
    ids=["bool", "int16", "uint64", "float64", "surrogate", "wide"],
)
def test_classes_come_back(tmp_path, names):
    fitted = SoftmaxRegression().fit(X, np.array(names)[Y])
    save_model(fitted, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.classes_.dtype.kind == np.array(names).dtype.kind
    assert loaded.classes_.dtype.kind == "U" or loaded.classes_.dtype == np.array(names).dtype
    np.testing.assert_array_equal(loaded.classes_, fitted.classes_)


def test_names_of_dtype_object_become_strings(tmp_path):
    fitted = SoftmaxRegression().fit(X, np.array(["a", "bb", "é"], object)[Y])
    save_model(fitted, tmp_path / "m")
    assert load_model(tmp_path / "m").predict(X[:1]) == ["a"]
    assert load_model(tmp_path / "m").classes_.tolist() == ["a", "bb", "é"]


def test_feature_names_are_kept(tmp_path):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "größe"])
    save_model(SoftmaxRegression().fit(frame, Y), tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c", "größe"]
    loaded.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename(columns={"a": "z"}))


def test_only_fitted_models_are_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(SoftmaxRegression(), tmp_path / "m")
    with pytest.raises(TypeError, match=r"model is a LogisticRegression; expected a SoftmaxRegression$"):
        save_model(LogisticRegression(), tmp_path / "m")
    searched = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, tol=1e-2).fit(X, Y)
    with pytest.raises(TypeError, match=r"a SoftmaxRegressionCV; expected a .*; write model\.best_estimator_"):
        save_model(searched, tmp_path / "m")
    assert not list(tmp_path.iterdir())
    save_model(searched.best_estimator_, tmp_path / "m")
    assert load_model(tmp_path / "m").C == searched.C_


@pytest.mark.parametrize("name", ["a\0", ("a", "b")], ids=["trailing zero", "tuple"])
def test_class_names_that_would_not_come_back_are_refused(tmp_path, name):
    fitted = SoftmaxRegression().fit(X, Y)
    fitted.classes_ = np.empty(3, object)
    fitted.classes_[:] = [name, "x", "y"]
    with pytest.raises(TypeError, match="classes_ has dtype object and holds"):
        save_model(fitted, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_options_that_a_file_cannot_hold_are_refused(tmp_path):
    fitted = SoftmaxRegression().fit(X, Y)
    fitted.class_weight = [1, 2, 3]
    with pytest.raises(TypeError, match=r"class_weight is \[1, 2, 3\], of type list; expected None, a number"):
        save_model(fitted, tmp_path / "m")


def test_a_failure_to_write_leaves_the_former_file(model, path, monkeypatch):
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(SoftmaxRegression().fit(X, Y), path)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    assert path.read_bytes() == before


def test_files_that_cannot_be_read_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        load_model(tmp_path)


HEADER = b'{"__metadata__":{"softgrad":"%s"}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04",
        bytes(100),
        b"\xff" * 100,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 10**8 + 1) + b"{" + b" " * 100,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", len(HEADER % b"{")) + HEADER % b"{",
        struct.pack("<Q", len(HEADER % b"[1]")) + HEADER % b"[1]",
        struct.pack("<Q", len(HEADER % (b"[" * 10**5))) + HEADER % (b"[" * 10**5),
    ],
    ids=["empty", "text", "zip", "zeros", "ones", "huge", "too long", "no tensors", "no JSON", "list", "deep"],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"m (is damaged, or was not written by save_model|does not contain a softmax regression)"
    ):
        load_model(tmp_path / "m")


def test_other_safetensors_are_refused(tmp_path):
    for metadata in (None, {"format": "pt"}, {"softgrad": '{"format": "other"}'}):
        save_file({"weight": X}, tmp_path / "m", metadata=metadata)
        with pytest.raises(
            ValueError, match="m does not contain a softmax regression; expected a file written by save_model"
        ):
            load_model(tmp_path / "m")


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.safetensors (is damaged|does not contain a softmax regression)"):
            load_model(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_model(path)


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_every_changed_byte_is_noticed_or_harmless(model, path, flip):
    """Harmless: white space of JSON, the case of its exponents, digits beyond those of float64."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
        try:
            loaded = load_model(path)
        except ValueError:
            continue
        assert position < start  # no coefficient changes unnoticed
        assert_same(loaded, model)


@pytest.mark.parametrize(
    "record, tensors, message",
    [
        (
            {"format_version": 2},
            {},
            "format version 2 comes from a later softgrad; this one reads 1; write pip install",
        ),
        ({"format_version": "one"}, {}, "cannot be used"),
        ({"format_version": None}, {}, "cannot be used: it lacks 'format_version'"),
        ({}, {"coef": None}, "cannot be used: it lacks 'coef'"),
        ({"results": None}, {}, "cannot be used: it lacks 'results'"),
        ({"results": {}}, {}, "cannot be used: it lacks 'n_iter_'"),
        ({"options": {"colour": 1}}, {}, "this softgrad has no option 'colour'"),
        ({"options": 5}, {}, "cannot be used"),
        ({}, {"coef": np.zeros(4)}, r"coef has shape \(4,\) and dtype float64; expected two axes of float64"),
        ({}, {"coef": np.zeros((3, 4), np.float32)}, "dtype float32"),
        ({}, {"coef": np.full((3, 4), np.nan)}, "not finite"),
        ({}, {"intercept": np.full(3, np.inf)}, "not finite"),
        ({}, {"coef": np.zeros((2, 4))}, r"shapes \(2, 4\) and \(3,\); expected \(K, D\) and \(K,\)"),
        ({"classes": {"dtype": "str", "values": ["a", "b"]}}, {}, "classes holds 2 values of 'str'; expected 3"),
        ({"classes": {"dtype": "str", "values": ["a", "b", "b"]}}, {}, "classes holds a label twice"),
        ({"classes": {"dtype": "int64", "values": ["a", "b", "c"]}}, {}, "cannot be used"),
        ({"classes": {"dtype": "int8", "values": [1, 2, 300]}}, {}, "cannot be used"),
        ({"classes": {"dtype": "float64", "values": ["1", "2", "3"]}}, {}, "classes holds 3 values of 'float64'"),
        ({"classes": {"dtype": "object", "values": [1, 2, 3]}}, {}, "classes holds 3 values of 'object'"),
        ({"classes": {"dtype": "U999999999", "values": [1, 2, 3]}}, {}, "cannot be used"),
        ({"classes": {"dtype": "str", "values": [1, 2, 3]}}, {}, "classes holds 3 values of 'str'"),
        ({"feature_names": ["a"]}, {}, "feature_names holds 1 entries; expected 4 strings"),
        ({"feature_names": [1, 2, 3, 4]}, {}, "feature_names holds 4 entries; expected 4 strings"),
        ({"history": [[1, 2]]}, {}, "cannot be used"),
        ({"history": 3}, {}, "cannot be used"),
        ({"history": []}, {}, r"n_iter_ is \d+; expected 0, the length of history"),
        ({"history": [[1, 2, "3"]]}, {}, r"history\[0\] is \[1, 2, '3'\]; expected three finite numbers"),
        ({"history": [[1, 2, 10**400]]}, {}, r"history\[0\] is 10+; expected null, a number"),
        ({"history": [[1, 2, {"float": "nan"}]]}, {}, r"history\[0\] is .*; expected three finite numbers"),
        ({"format_version": True}, {}, "format_version is True; expected 1"),
        ({"format_version": 0}, {}, "format_version is 0; expected 1"),
        ({"table": "rows"}, {}, "table is 'rows'; expected null or an object"),
        ({}, {"coef": np.zeros((1, 4)), "intercept": np.zeros(1)}, "at least two classes"),
        ({}, {"coef": np.zeros((3, 0))}, "at least two classes and one column"),
        ({}, {"more": np.zeros(1)}, "it holds the arrays coef, intercept, more; expected coef and intercept alone"),
        ({"classes": {"dtype": "str", "values": ["a", "c", "b"]}}, {}, "classes are not in ascending order"),
        ({"classes": {"dtype": "int64", "values": [3, 2, 1]}}, {}, "classes are not in ascending order"),
        ({"classes": {"dtype": "str", "values": ["a", "b", "c\0"]}}, {}, "classes holds 3 values of 'str'"),
        ({"classes": {"dtype": "str", "values": ["a", "b", 3]}}, {}, "classes holds 3 values of 'str'"),
        ({"classes": {"dtype": "float64", "values": "abc"}}, {}, "classes is .*; expected an object with dtype and"),
        ({"classes": {"dtype": "uint64", "values": [1, 2, 10**400]}}, {}, "cannot be used"),
        ({"classes": {"dtype": "datetime64[D]", "values": [1, 2, 3]}}, {}, "classes holds 3 values"),
        ({"classes": {"dtype": "int64", "values": [[1], [2], [3]]}}, {}, "classes holds 3 values"),
        ({"classes": {"dtype": {}, "values": [1, 2, 3]}}, {}, "cannot be used"),
        ({"feature_names": "abcd"}, {}, "feature_names is 'abcd'; expected 4 strings"),
        ({"feature_names": ["a", "b", "c", None]}, {}, "feature_names holds 4 entries; expected 4 strings"),
        ({"feature_names": 4}, {}, "feature_names is 4; expected 4 strings"),
    ],
)
def test_unusable_contents_are_refused(path, record, tensors, message):
    with_changes(path, record, **tensors)
    with pytest.raises(ValueError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_iter_", 1.5), ("n_iter_", -1), ("n_iter_", True), ("converged_", 1), ("solver_", None), ("solver_", "best"),
        ("loss_", "low"), ("loss_", False), ("n_passes_", -1.0), ("gradient_norm_", -1.0),
        ("temperature_", 0), ("temperature_", -1.0),
    ],
)  # fmt: skip
def test_results_of_another_kind_are_refused(path, name, value):
    results = contents(path)[1]["results"]
    with_changes(path, {"results": results | {name: value}})
    with pytest.raises(ValueError, match=rf"cannot be used: {name} is {value!r}; expected"):
        load_model(path)


@pytest.mark.parametrize("name", ["loss_", "objective_", "temperature_", "n_passes_", "gradient_norm_", "n_iter_"])
@pytest.mark.parametrize("value", [10**400, {"float": "inf"}, {"float": "1.0"}, {"float": "nan"}, [1.0], {"pairs": 3}])
def test_results_that_are_no_finite_numbers_are_refused(path, name, value):
    results = contents(path)[1]["results"]
    with_changes(path, {"results": results | {name: value}})
    with pytest.raises(ValueError, match=rf"^.*cannot be used: {name} is .{{1,60}}; expected"):
        load_model(path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("C", 0), ("C", "1"), ("C", 10**400), ("C", {"float": "-inf"}), ("tol", -1.0), ("max_iter", 0),
        ("verbose", None),
        ("fit_intercept", 1), ("warm_start", "no"), ("solver", "best"), ("label_smoothing", 1.0), ("n_threads", 0),
        ("class_weight", "heavy"), ("class_weight", {"pairs": [["a", -1]]}), ("class_weight", {"pairs": [["a"]]}),
        ("class_weight", {"pairs": [[{"pairs": []}, 1]]}), ("class_weight", {"pairs": [["a", "b"]]}),
        ("class_weight", [1, 2, 3]),
    ],
)  # fmt: skip
def test_options_that_fit_refuses_are_refused(path, name, value):
    options = contents(path)[1]["options"]
    with_changes(path, {"options": options | {name: value}})
    with pytest.raises(ValueError, match=rf"cannot be used: {name}.*; expected"):
        load_model(path)


@pytest.mark.parametrize("name, value", [("tol", -1.0), ("temperature_", 0.0), ("classes_", NAMES[::-1])])
def test_what_could_not_be_read_is_not_written(path, name, value):
    fitted = SoftmaxRegression().fit(X, NAMES[Y])
    setattr(fitted, name, value)
    with pytest.raises(ValueError, match=f"this model cannot be saved: {name.strip('_')}"):
        save_model(fitted, path)
    load_model(path)


def test_unchanged_contents_are_accepted(path, model):
    """The tests above fail for what they change, not for how they write it."""
    with_changes(path)
    assert_same(load_model(path), model)
