import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from softgrad.linear_model import SoftmaxRegression


def overconfident(classes=3):
    """A model fitted to few rows of many columns, and rows that it has not seen."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 10))
    y = (X[:, :classes] + rng.gumbel(size=(400, classes))).argmax(axis=1)
    return SoftmaxRegression(C=1e3).fit(X[:60], y[:60]), X[60:], y[60:]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_temperature_minimises_the_loss(classes, kind):
    model, X, y = overconfident(classes)
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    target = 0.7 * np.eye(classes)[y] + 0.3 / classes if kind == "probabilities" else np.eye(classes)[y]
    logits = X @ model.coef_.T + model.intercept_

    def loss(temperature):
        return -np.sum(weight[:, None] * target * scipy.special.log_softmax(logits / temperature, axis=1))

    assert model.temperature_ == 1.0
    assert model.temperature_scale(X, y if kind == "labels" else target, weight) is model
    best = scipy.optimize.minimize_scalar(loss, bounds=(0.1, 100), options={"xatol": 1e-10})
    assert model.temperature_ > 1.5
    assert model.temperature_ == pytest.approx(best.x, rel=1e-5)
    # At the minimum the slope is zero: an error of 1e-5 above would show here.
    p = scipy.special.softmax(logits / model.temperature_, axis=1)
    terms = weight[:, None] * (p - target) * logits
    assert abs(terms.sum()) < 1e-10 * np.abs(terms).sum()


def test_temperature_divides_the_logits_and_leaves_the_predictions():
    model, X, y = overconfident()
    logits, predicted, score = model.decision_function(X), model.predict(X), model.score(X, y)
    model.temperature_scale(X, y)
    np.testing.assert_allclose(model.decision_function(X), logits / model.temperature_, rtol=1e-14)
    np.testing.assert_allclose(model.predict_proba(X), scipy.special.softmax(logits / model.temperature_, axis=1))
    np.testing.assert_allclose(
        model.predict_log_proba(X), scipy.special.log_softmax(logits / model.temperature_, axis=1)
    )
    np.testing.assert_array_equal(model.predict(X), predicted)
    assert model.score(X, y) == score
    again = model.temperature_
    assert model.temperature_scale(X, y).temperature_ == pytest.approx(again, rel=1e-12)
    assert model.fit(X, y).temperature_ == 1.0


def test_a_large_offset_of_the_logits_costs_no_digits():
    model, X, y = overconfident()
    expected = model.temperature_scale(X, y).temperature_
    model.intercept_ = model.intercept_ + 2.0**16
    assert model.temperature_scale(X, y).temperature_ == pytest.approx(expected, rel=1e-10)


def test_rows_without_a_mistake_have_the_least_temperature():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = SoftmaxRegression().fit(X, [0, 0, 1, 1])
    with pytest.warns(ConvergenceWarning, match=r"temperature_ is set to 0\.001, .* approach 0 and 1"):
        model.temperature_scale(X, [0, 0, 1, 1])
    assert model.temperature_ == 1e-3
    assert np.isfinite(model.predict_log_proba(X)).all()


def test_labels_that_contradict_the_model_have_the_largest():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = SoftmaxRegression().fit(X, [0, 0, 1, 1])
    with pytest.warns(ConvergenceWarning, match=r"temperature_ is set to 1000, .* become uniform"):
        model.temperature_scale(X, [1, 1, 0, 0])
    assert model.temperature_ == 1e3


@pytest.mark.parametrize(
    "target, message",
    [
        (
            lambda y: np.where(np.arange(len(y)) == 5, 9, y),
            r"y\[5\] is 9, which is not a class of this model; .*\[0, 1, 2\]",
        ),
        (lambda y: np.array(["a", "b", "c"])[y], r"y\[0\] is '[abc]', which is not a class"),
        (lambda y: np.full((len(y), 2), 0.5), "y has 2 columns; expected 3, one for every class"),
        (lambda y: y[:-1], "inconsistent numbers of samples"),
    ],
)
def test_bad_targets_are_refused(target, message):
    model, X, y = overconfident()
    with pytest.raises(ValueError, match=message):
        model.temperature_scale(X, target(y))
    assert model.temperature_ == 1.0


def test_calibration_needs_a_fit():
    with pytest.raises(NotFittedError):
        SoftmaxRegression().temperature_scale([[0.0]], [0])
