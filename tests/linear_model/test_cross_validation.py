import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, LeaveOneOut, StratifiedKFold

from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV
from softgrad.linear_model._problem import _design_matrix
from tests.overlapping import overlapping

CS = [1e-3, 0.1, 10.0]


def rows():
    X, y = overlapping()
    return X / [1.0, 20.0, 0.05], y


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_a_fit_to_every_fold(scoring, weighted):
    X, y = rows()
    weight = np.random.default_rng(0).uniform(0.1, 2, len(y)) if weighted else np.ones(len(y))
    folds = list(StratifiedKFold(3).split(X, y))
    model = SoftmaxRegressionCV(CS[::-1], cv=folds, scoring=scoring, tol=1e-7).fit(X, y, weight)
    assert model.Cs_.tolist() == CS
    assert model.scores_.shape == model.n_iter_.shape == (3, 3)
    assert model.coefs_path_.shape == (3, 3, 3, 3)
    for fold, (training, held_out) in enumerate(folds):
        for i, C in enumerate(CS):
            alone = SoftmaxRegression(C=C, tol=1e-7).fit(X[training], y[training], weight[training])
            np.testing.assert_allclose(model.coefs_path_[fold, i], alone.coef_, rtol=1e-2, atol=1e-4)
            if scoring == "accuracy":
                expected = accuracy_score(y[held_out], alone.predict(X[held_out]), sample_weight=weight[held_out])
            else:
                expected = -log_loss(y[held_out], alone.predict_proba(X[held_out]), sample_weight=weight[held_out])
            assert model.scores_[fold, i] == pytest.approx(expected, rel=1e-4)
    assert CS.index(model.C_) == model.scores_.mean(axis=0).argmax()
    whole = SoftmaxRegression(C=model.C_, tol=1e-7).fit(X, y, weight)
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))
    assert model.best_estimator_.summary().C == model.C_


def test_default_path_and_folds():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegressionCV().fit(X, y)
    np.testing.assert_allclose(model.Cs_, np.logspace(-4, 4, 10))
    assert model.scores_.shape == (5, 10)
    assert model.best_estimator_.converged_
    assert model.score(X, y) > 0.95


def test_warm_starts_save_iterations():
    X, y = load_iris(return_X_y=True)
    folds = list(StratifiedKFold(3).split(X, y))
    path = np.logspace(-1, 1, 9)
    warm = SoftmaxRegressionCV(path, cv=folds).fit(X, y).n_iter_.sum()
    cold = sum(SoftmaxRegression(C=C).fit(X[rows], y[rows]).n_iter_ for rows, _ in folds for C in path)
    assert warm < cold


def test_without_refit_the_folds_are_averaged():
    X, y = rows()
    model = SoftmaxRegressionCV(CS, cv=4, refit=False).fit(X, y)
    best = CS.index(model.C_)
    np.testing.assert_allclose(model.coef_, model.coefs_path_[:, best].mean(axis=0))
    np.testing.assert_allclose(model.intercept_, model.intercepts_path_[:, best].mean(axis=0))
    assert model.predict(X).shape == y.shape
    assert not hasattr(model, "best_estimator_")


def test_ties_go_to_the_stronger_penalty():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegressionCV([0.5, 1.0], cv=3, scoring=lambda *_, **__: 0.25).fit(X, y)
    assert model.C_ == 0.5


def test_probabilities_and_options_reach_the_folds():
    X, y = rows()
    soft = 0.8 * np.eye(3)[y] + 0.2 / 3
    model = SoftmaxRegressionCV(CS, fit_intercept=False, tol=1e-7).fit(X, soft)
    smooth = SoftmaxRegressionCV(CS, fit_intercept=False, label_smoothing=0.2, tol=1e-7, cv=KFold(5)).fit(X, y)
    np.testing.assert_allclose(model.coefs_path_, smooth.coefs_path_, atol=1e-3)
    assert not np.allclose(model.scores_, smooth.scores_)  # scores are of the targets as given
    np.testing.assert_array_equal(model.intercept_, 0.0)
    balanced = SoftmaxRegressionCV([1.0], class_weight="balanced").fit(X[:250], y[:250])
    plain = SoftmaxRegression(class_weight="balanced").fit(X[:250], y[:250])
    np.testing.assert_array_equal(balanced.coef_, plain.coef_)


def test_sparse_rows_and_frames():
    X, y = load_iris(return_X_y=True)
    dense = SoftmaxRegressionCV(CS).fit(X, y)
    sparse = SoftmaxRegressionCV(CS).fit(scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(sparse.scores_, dense.scores_, atol=1e-4)
    named = SoftmaxRegressionCV(CS).fit(pd.DataFrame(X, columns=list("abcd")), np.array(["x", "y", "z"])[y])
    assert named.feature_names_in_.tolist() == named.best_estimator_.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(named.scores_, dense.scores_)


def test_fits_that_did_not_converge_are_counted_in_one_warning():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning) as caught:
        SoftmaxRegressionCV(CS, cv=2, max_iter=1, refit=False).fit(X, y)
    assert len(caught) == 1
    assert str(caught[0].message).startswith("6 of 6 fits of the folds did not converge; raise max_iter")


def test_classes_that_a_fold_lacks():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(
        ValueError, match=r"^fold 0 holds out every row of class 0, .*; use fewer folds, stratified ones"
    ):
        SoftmaxRegressionCV(CS, cv=KFold(3)).fit(X, y)  # sorted by class
    model = SoftmaxRegressionCV(CS, cv=KFold(3), scoring="accuracy", refit=False).fit(X, y)
    assert model.scores_.max() == 0.0
    assert np.isneginf(model.intercepts_path_).sum() == 9


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"Cs": []}, ValueError, r"Cs=\[\]; expected an integer above 0, or a list"),
        ({"Cs": 0}, ValueError, "Cs=0"),
        ({"Cs": [1.0, -1.0]}, ValueError, r"C=-1\.0; expected a number above 0"),
        ({"Cs": "all"}, ValueError, "Cs='all'"),
        ({"cv": 1}, ValueError, "k-fold"),
        ({"cv": []}, ValueError, r"cv=\[\] yields no folds; expected at least one \(training, held-out\) pair"),
        ({"scoring": "nonsense"}, ValueError, "nonsense"),
        (
            {"scoring": lambda *_, **__: np.nan},
            ValueError,
            "every score of fold 0 is NaN; choose other folds or another scoring",
        ),
        ({"refit": "yes"}, TypeError, "refit='yes'; expected True or False"),
        ({"solver": "sag"}, ValueError, "solver='sag'"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        SoftmaxRegressionCV(**{"Cs": CS, **options}).fit(*load_iris(return_X_y=True))


def with_a_rare_class():
    """Rows of three classes, the third in the first fold of `KFold(3)` alone."""
    X, y = rows()
    keep = np.flatnonzero(y < 2)[:60]
    rare = np.flatnonzero(y == 2)[:2]
    order = np.concatenate([keep[:5], rare, keep[5:58]])
    return X[order], y[order]


@pytest.mark.parametrize(
    "scoring, metric",
    [
        ("neg_log_loss", lambda y, p: -log_loss(y, p, labels=[0, 1, 2])),
        ("neg_brier_score", lambda y, p: -brier_score_loss(y, p, labels=[0, 1, 2])),
        ("accuracy", lambda y, p: accuracy_score(y, p.argmax(axis=1))),
    ],
)
def test_scorers_are_told_of_classes_that_a_fold_lacks(scoring, metric):
    X, y = with_a_rare_class()
    model = SoftmaxRegressionCV([1.0], cv=KFold(3), scoring=scoring, refit=False).fit(X, y)
    for fold, (training, held_out) in enumerate(KFold(3).split(X)):
        alone = SoftmaxRegression().fit(X[training], y[training])
        probabilities = np.zeros((len(held_out), 3))
        probabilities[:, alone.classes_] = alone.predict_proba(X[held_out])
        assert model.scores_[fold, 0] == pytest.approx(metric(y[held_out], probabilities), rel=1e-3)


@pytest.mark.parametrize("names", [[0, 1], ["no", "yes"]])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "neg_brier_score", "accuracy"])
def test_leaving_one_row_out_scores_two_classes(scoring, names):
    X, y = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 2
    model = SoftmaxRegressionCV([1.0], cv=LeaveOneOut(), scoring=scoring, refit=False).fit(X, np.array(names)[y])
    assert model.scores_.shape == (12, 1)
    assert np.isfinite(model.scores_).all()


def test_area_under_the_curve():
    X, y = rows()
    scores = SoftmaxRegressionCV([1.0], cv=3, scoring="roc_auc_ovr", refit=False).fit(X, y).scores_
    for score, (training, held_out) in zip(scores[:, 0], StratifiedKFold(3).split(X, y), strict=True):
        alone = SoftmaxRegression().fit(X[training], y[training])
        expected = roc_auc_score(y[held_out], alone.predict_proba(X[held_out]), multi_class="ovr")
        assert score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "scoring, reason",
    [
        ("roc_auc_ovr", ""),
        ("average_precision", r" \(y should be a 1d array.*instead\)"),
        (lambda model, X, y: np.mean(y) if 0 in y else np.nan, ""),
    ],
)
@pytest.mark.filterwarnings("ignore:Only one class is present:UserWarning")
def test_a_score_without_a_value_names_the_fold_and_the_class_that_it_lacks(scoring, reason):
    X, y = rows()
    y = np.where(np.arange(len(y)) * 3 < 2 * len(y), np.arange(len(y)) % 3, 2)  # the last fold holds out class 2 only
    with pytest.raises(
        ValueError, match=rf"has no value for fold 2, .* lack class 0 and 1 more{reason}; choose fewer folds"
    ):
        SoftmaxRegressionCV([1.0], cv=KFold(3), scoring=scoring).fit(X, y)


def test_a_c_whose_score_is_nan_is_not_chosen():
    X, y = rows()

    def finite_for_small_c(estimator, X, y):
        return -estimator.C if estimator.C < 5 else np.nan

    with pytest.warns(UserWarning, match=r"^1 of 3 values of C, first 10, have a score of NaN and are not chosen"):
        model = SoftmaxRegressionCV(CS, scoring=finite_for_small_c, refit=False).fit(X, y)
    assert model.C_ == 1e-3
    calls = []

    def alternating(estimator, X, y):
        calls.append(1)
        return np.nan if len(calls) % 2 else 1.0

    with pytest.raises(ValueError, match=r"^a score of every C is NaN; choose other folds or another scoring"):
        SoftmaxRegressionCV(CS, cv=2, scoring=alternating, refit=False).fit(X, y)


def test_errors_of_a_scorer_that_lacks_no_class_are_its_own():
    X, y = rows()
    with pytest.raises(ValueError, match=r"^multi_class must be in"):
        SoftmaxRegressionCV([1.0], scoring="roc_auc").fit(X, y)


def test_plain_callables_get_weights_if_fit_was_given_some():
    X, y = rows()
    weight = np.random.default_rng(0).uniform(0.1, 2, len(y))
    seen = []

    def plain(estimator, X, y):
        return np.mean(estimator.predict(X) == y)

    def weighted(estimator, X, y, sample_weight=None):
        seen.append(sample_weight)
        return np.average(estimator.predict(X) == y, weights=sample_weight)

    for scoring in (plain, weighted, make_scorer(lambda y, p: np.mean(y == p))):
        found = SoftmaxRegressionCV(CS, scoring=scoring, refit=False).fit(X, y)
        expected = SoftmaxRegressionCV(CS, scoring="accuracy", refit=False).fit(X, y)
        np.testing.assert_allclose(found.scores_, expected.scores_)
    assert all(value is None for value in seen)
    found = SoftmaxRegressionCV(CS, scoring=weighted, refit=False).fit(X, y, weight)
    expected = SoftmaxRegressionCV(CS, scoring="accuracy", refit=False).fit(X, y, weight)
    np.testing.assert_allclose(found.scores_, expected.scores_)
    for scoring in (plain, make_scorer(lambda y, p: np.mean(y == p))):
        with pytest.raises(
            TypeError, match=r"takes no sample_weight, which fit was given; write a scorer \(estimator, X"
        ):
            SoftmaxRegressionCV(CS, scoring=scoring).fit(X, y, weight)


def test_what_is_no_scorer_is_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match=r"scoring=\['accuracy'\]; expected None, the name of a scorer, or a callable"):
        SoftmaxRegressionCV(CS, scoring=["accuracy"]).fit(X, y)
    with pytest.raises(TypeError, match=r"returned \{'high': 1\}; expected a number"):
        SoftmaxRegressionCV(CS, scoring=lambda *_: {"high": 1}).fit(X, y)


def test_groups_reach_the_splitter():
    X, y = rows()
    groups = np.arange(len(y)) % 4
    for cv in (LeaveOneGroupOut(), GroupKFold(4)):
        by_group = SoftmaxRegressionCV([1.0], cv=cv, refit=False).fit(X, y, groups=groups)
        by_hand = SoftmaxRegressionCV([1.0], cv=list(cv.split(X, y, groups)), refit=False).fit(X, y)
        np.testing.assert_array_equal(by_group.scores_, by_hand.scores_)
    with pytest.raises(ValueError, match="groups"):
        SoftmaxRegressionCV([1.0], cv=LeaveOneGroupOut()).fit(X, y)


def test_errors_of_a_fold_speak_of_the_fold():
    X, y = load_iris(return_X_y=True)
    lone = np.where(np.arange(150) == 70, 7, y)
    with (
        pytest.warns(UserWarning, match="least populated"),
        pytest.raises(ValueError, match=r"^fold \d holds out .* 7"),
    ):
        SoftmaxRegressionCV([1.0]).fit(X, lone)
    with pytest.raises(ValueError, match=r"^the training rows of fold 0: y holds one class only, 1; .*use other folds"):
        SoftmaxRegressionCV([1.0], cv=KFold(2)).fit(X[:100], y[:100])


def test_rows_of_weight_zero_are_left_out_of_the_scores():
    X, y = rows()
    weight = (np.arange(len(y)) % 5 > 0).astype(float)
    strange = np.where(weight > 0, y, 9)
    folds = list(KFold(3).split(X))
    for scoring in (None, "neg_log_loss"):
        with_them = SoftmaxRegressionCV([1.0], cv=folds, scoring=scoring).fit(X, strange, weight)
        without = SoftmaxRegressionCV([1.0], cv=folds, scoring=scoring).fit(X, y, weight)
        np.testing.assert_array_equal(with_them.scores_, without.scores_)
        assert with_them.classes_.tolist() == [0, 1, 2]


def test_the_path_validates_its_rows_once(monkeypatch):
    X, y = rows()
    calls = []
    validate = _design_matrix.validate_data
    monkeypatch.setattr(_design_matrix, "validate_data", lambda *a, **k: calls.append(1) or validate(*a, **k))
    SoftmaxRegressionCV(CS, cv=4, refit=False).fit(X, y)
    assert len(calls) == 1
