import os
import stat
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from softgrad.linear_model import SoftmaxRegression, load_model, save_model

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def model():
    return SoftmaxRegression(C=3.0, tol=1e-5, max_iter=500).fit(X, np.array(["setosa", "versicolor", "virginica"])[Y])


@pytest.fixture
def path(model, tmp_path):
    save_model(model, tmp_path / "model.npz")
    return tmp_path / "model.npz"


def with_arrays(path, **changes):
    """The same file with some arrays replaced, or left out where None."""
    with np.load(path) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_a_loaded_model_is_the_saved_one(model, path):
    loaded = load_model(path)
    assert vars(loaded).keys() == vars(model).keys()
    for name, value in vars(model).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
        assert type(getattr(loaded, name)) is type(value)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.score(X, model.classes_[Y]) == model.score(X, model.classes_[Y])


@pytest.mark.parametrize("names", [[False, True, True], np.array([10, 20, 300], np.int16), [0.0, 1.0, 3.0]])
def test_classes_keep_their_dtype(tmp_path, names):
    fitted = SoftmaxRegression().fit(X, np.array(names)[Y])
    save_model(fitted, tmp_path / "m")
    assert load_model(tmp_path / "m").classes_.dtype == fitted.classes_.dtype == np.array(names).dtype
    np.testing.assert_array_equal(load_model(tmp_path / "m").classes_, fitted.classes_)


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
    with pytest.raises(TypeError, match="model is a LogisticRegression; expected a SoftmaxRegression"):
        save_model(LogisticRegression(), tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\0", ("a", "b")], ids=["trailing zero", "tuple"])
def test_class_names_that_would_not_come_back_are_refused(tmp_path, name):
    fitted = SoftmaxRegression().fit(X, Y)
    fitted.classes_ = np.empty(3, object)
    fitted.classes_[:] = [name, "x", "y"]
    with pytest.raises(TypeError, match="classes_ has dtype object and holds"):
        save_model(fitted, tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
@pytest.mark.parametrize("step", ["savez", "replace"])
def test_nothing_half_written_remains(model, path, monkeypatch, step, error):
    before = path.read_bytes()

    def fail(file, *args, **kwargs):
        if step == "savez":
            file.write(b"half")
        raise error

    monkeypatch.setattr({"savez": np, "replace": os}[step], step, fail)
    for place in (path, path.with_name("new.npz")):
        with pytest.raises(type(error)):
            save_model(model, place)
    assert [file.name for file in path.parent.iterdir()] == ["model.npz"]
    assert path.read_bytes() == before


def test_places_that_cannot_hold_a_file_are_refused(model, tmp_path):
    with pytest.raises(OSError, match="no-such-folder"):
        save_model(model, tmp_path / "no-such-folder" / "m")
    with pytest.raises(OSError, match="is not a file; expected the name of a file to write"):
        save_model(model, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is not a file"):
        save_model(model, tmp_path / "pipe")
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_keeps_pointing_to_its_file(model, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "m")
    save_model(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_model(tmp_path / "there" / "m").n_features_in_ == 4


def test_the_file_has_the_permissions_of_any_new_file(path):
    (path.parent / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((path.parent / "other").stat().st_mode)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"m is damaged, or no file that save_model wrote|m holds no softmax regression"
    ):
        load_model(tmp_path / "m")


def test_other_files_of_numpy_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(
        ValueError, match=r"a\.npy is damaged, or no file that save_model wrote: not an archive of arrays"
    ):
        load_model(tmp_path / "a.npy")
    np.savez(tmp_path / "m.npz", weights=X)
    with pytest.raises(ValueError, match=r"m\.npz holds no softmax regression"):
        load_model(tmp_path / "m.npz")
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("note.txt", "hello")
    with pytest.raises(ValueError, match="z holds no softmax regression"):
        load_model(tmp_path / "z")


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.npz is damaged"):
            load_model(path)


def test_a_changed_byte_is_noticed_or_harmless(model, path):
    """Checksums cover the arrays; some bytes of the archive's own records carry no meaning."""
    whole = path.read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            loaded = load_model(path)
        except ValueError:
            noticed += 1
        else:
            np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert noticed > len(whole) / 7 / 2


def test_pickled_objects_are_never_loaded(path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the file ran code",)

    with_arrays(path, classes=np.array([Trap(), 1, 2], object))
    with pytest.raises(ValueError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format_version": 2}, "format version 2 comes from a later softgrad; this one reads 1"),
        ({"format_version": "one"}, "cannot be used"),
        ({"format_version": None}, "cannot be used: 'format_version'"),
        ({"coef": None}, "cannot be used: 'coef'"),
        ({"tol": None}, "cannot be used: 'tol'"),
        ({"loss": None}, "cannot be used: 'loss'"),
        ({"tol": [1.0, 2.0]}, "cannot be used"),
        ({"coef": np.zeros(4)}, r"coef has shape \(4,\) and dtype float64; expected two axes of float64"),
        ({"coef": np.zeros((3, 4), np.float32)}, "dtype float32"),
        ({"coef": np.full((3, 4), np.nan)}, "not finite"),
        ({"coef": np.zeros((2, 4))}, r"shapes \(2, 4\), \(3,\) and \(3,\)"),
        ({"intercept": np.zeros(2)}, r"shapes \(3, 4\), \(2,\) and \(3,\)"),
        ({"classes": ["a", "b"]}, r"shapes \(3, 4\), \(3,\) and \(2,\)"),
        ({"feature_names": ["a"]}, r"feature_names has shape \(1,\); expected \(4,\)"),
    ],
)
def test_unusable_contents_are_refused(path, changes, message):
    with_arrays(path, **changes)
    with pytest.raises(ValueError, match=message):
        load_model(path)
