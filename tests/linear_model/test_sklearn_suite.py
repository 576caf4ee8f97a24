"""scikit-learn's own tests of logistic regression, as its wheel ships them, run on softmax regression.

Two shims take the place of LogisticRegression and LogisticRegressionCV. They translate what the docstring of
SoftmaxRegression states of two classes: half of C, and one row of coefficients, the difference of ours.
"""

import inspect
import itertools

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin

from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV

theirs = pytest.importorskip(
    "sklearn.linear_model.tests.test_logistic", reason="this scikit-learn ships without its tests"
)

SOLVERS = {"lbfgs": "lbfgs", "newton-cg": "newton-cg", "newton-cholesky": "newton", "sag": "auto", "saga": "auto"}
RUN = [
    "test_predict_2_classes",
    "test_predict_3_classes",
    "test_logistic_glmnet",
    "test_inconsistent_input",
    "test_write_parameters",
    "test_multinomial_logistic_regression_string_inputs",
    "test_logistic_regression_solvers",
    "test_logistic_regression_solvers_multiclass",
    "test_logistic_regression_solvers_multiclass_unpenalized",
    "test_logistic_cv_sparse",
    "test_logistic_regressioncv_class_weights",
    "test_logistic_regression_sample_weights",
    "test_logistic_regression_solver_class_weights",
    "test_logistic_regression_class_weights",
    "test_logistic_regression_cv_refit",
    "test_warm_start",
    "test_warm_start_converge_LR",
    "test_c_inf_no_warning",
    "test_multinomial_identifiability_on_iris",
    "test_sample_weight_not_modified",
    "test_large_sparse_matrix",
    "test_single_feature_newton_cg",
]
OTHER_PENALTY, OTHER_SOLVER = "penalties other than L2", "solvers that softgrad does not have, or their warnings"
OTHER_LAYOUT, PRIVATE = "the attributes' layout with l1_ratios, or before 1.8", "private functions of scikit-learn"
OTHER_FEATURE = "what SoftmaxRegression does not offer: sparse coefficients, array API, callbacks, metadata routing"
OTHER_RULE = "rules that softgrad states otherwise"
LEFT_OUT = {
    "test_check_solver_option": OTHER_SOLVER,
    "test_elasticnet_l1_ratio_err_helpful": OTHER_PENALTY,
    "test_sparsify": OTHER_FEATURE,
    "test_nan": OTHER_RULE,  # the text of the error; ours names the place
    "test_consistency_path": PRIVATE,
    "test_logistic_regression_path_convergence_fail": PRIVATE,
    "test_liblinear_dual_random_state": OTHER_SOLVER,
    "test_logistic_cv": OTHER_LAYOUT,
    "test_logistic_cv_refit_false_non_elasticnet": OTHER_LAYOUT,
    "test_logistic_cv_mock_scorer": OTHER_LAYOUT,
    "test_logistic_cv_multinomial_score": PRIVATE,
    "test_multinomial_cv_iris": OTHER_LAYOUT,
    "test_logistic_cv_folds_with_classes_missing": OTHER_RULE,  # a class without rows is no class of a fit
    "test_sample_and_class_weight_equivalence_liblinear": OTHER_SOLVER,
    "test_liblinear_decision_function_zero": OTHER_SOLVER,
    "test_logreg_intercept_scaling_zero": OTHER_SOLVER,
    "test_logreg_l1": OTHER_PENALTY,
    "test_logreg_predict_proba_multinomial": PRIVATE,
    "test_max_iter": OTHER_SOLVER,  # the texts of its warnings
    "test_n_iter": OTHER_LAYOUT,
    "test_warm_start_newton_solver": OTHER_RULE,  # that two steps of one iteration are one of two
    "test_saga_vs_liblinear": OTHER_SOLVER,
    "test_dtype_match": OTHER_RULE,  # coefficients of float32 rows are float64
    "test_elastic_net_coeffs": OTHER_PENALTY,
    "test_elastic_net_l1_l2_equivalence": OTHER_PENALTY,
    "test_elastic_net_vs_l1_l2": OTHER_PENALTY,
    "test_LogisticRegression_elastic_net_objective": OTHER_PENALTY,
    "test_LogisticRegressionCV_GridSearchCV_elastic_net": OTHER_PENALTY,
    "test_LogisticRegressionCV_no_refit": OTHER_LAYOUT,
    "test_LogisticRegressionCV_elasticnet_attribute_shapes": OTHER_LAYOUT,
    "test_LogisticRegressionCV_on_folds": OTHER_LAYOUT,
    "test_l1_ratio_non_elasticnet": OTHER_PENALTY,
    "test_elastic_net_versus_sgd": OTHER_PENALTY,
    "test_logistic_regression_path_coefs_multinomial": PRIVATE,
    "test_logistic_regression_path_init_coefs": PRIVATE,
    "test_penalty_none": OTHER_PENALTY,  # the argument penalty=None
    "test_logisticregression_liblinear_sample_weight": OTHER_SOLVER,
    "test_scores_attribute_layout_elasticnet": OTHER_LAYOUT,
    "test_liblinear_with_large_values": OTHER_SOLVER,
    "test_liblinear_not_stuck": OTHER_SOLVER,
    "test_lr_cv_scores_differ_when_sample_weight_is_requested": OTHER_FEATURE,
    "test_lr_cv_scores_without_enabling_metadata_routing": OTHER_FEATURE,
    "test_zero_max_iter": OTHER_RULE,  # max_iter is at least 1
    "test_passing_params_without_enabling_metadata_routing": OTHER_FEATURE,
    "test_newton_cholesky_fallback_to_lbfgs": OTHER_SOLVER,
    "test_liblinear_multiclass_raises": OTHER_SOLVER,
    "test_penalty_deprecated": OTHER_PENALTY,
    "test_logisticregressioncv_warns_with_use_legacy_attributes": OTHER_LAYOUT,
    "test_l1_ratio_None_deprecated": OTHER_PENALTY,
    "test_logisticregression_warns_with_n_jobs": OTHER_FEATURE,
    "test_logistic_regression_array_api_compliance": OTHER_FEATURE,
    "test_lr_penalty_l1ratio_incompatible": OTHER_PENALTY,
    "test_lr_scoring_warns": OTHER_LAYOUT,
    "test_get_default_scorer": PRIVATE,
    "test_logistic_regression_array_api_warm_start": OTHER_FEATURE,
    "test_logistic_regression_callback_support": OTHER_FEATURE,
    "test_logistic_regression_callback_fitted_estimator": OTHER_FEATURE,
    "test_logistic_regression_callback_support_warning": OTHER_FEATURE,
}


# Not theirs, which bounds another thing in every solver; this is below all that their comparisons allow for.
TOL = 1e-10


class Shim(ClassifierMixin, BaseEstimator):
    def _adopt(self, model):
        """Attributes as scikit-learn has them; predictions read the coefficients that a user may have written to."""
        self.model_, self.classes_ = model, model.classes_
        self.coef_, self.intercept_ = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            self.coef_, self.intercept_ = np.diff(model.coef_, axis=0), np.diff(model.intercept_)
        return self

    def _current(self):
        if len(self.classes_) == 2:
            zero, half = np.zeros_like(self.coef_), np.zeros(1)
            self.model_.coef_ = np.vstack([zero, self.coef_])
            self.model_.intercept_ = np.concatenate([half, self.intercept_])
        return self.model_

    def decision_function(self, X):
        return self._current().decision_function(X)

    def predict(self, X):
        return self._current().predict(X)

    def predict_proba(self, X):
        return self._current().predict_proba(X)


class LogisticRegression(Shim):
    def __init__(
        self, C=1.0, tol=1e-4, fit_intercept=True, class_weight=None, random_state=None, solver="lbfgs", max_iter=1000,
        warm_start=False, l1_ratio=0,
    ):  # fmt: skip
        vars(self).update({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    def fit(self, X, y, sample_weight=None):
        assert self.l1_ratio == 0
        model = self.model_ if self.warm_start and hasattr(self, "model_") else SoftmaxRegression()
        model.set_params(
            C=self.C / 2 if len(np.unique(y)) == 2 else self.C,
            tol=TOL,
            fit_intercept=self.fit_intercept,
            class_weight=self.class_weight,
            solver=SOLVERS[self.solver],
            max_iter=self.max_iter,
            warm_start=self.warm_start,
        )
        return self._adopt(model.fit(X, y, sample_weight))


class LogisticRegressionCV(Shim):
    def __init__(
        self, Cs=10, fit_intercept=True, cv=None, scoring=None, solver="lbfgs", tol=1e-4, max_iter=1000,
        class_weight=None, refit=True, random_state=None, use_legacy_attributes=False, l1_ratios=(0,),
    ):  # fmt: skip
        vars(self).update({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    def fit(self, X, y, sample_weight=None):
        assert tuple(self.l1_ratios) == (0,)
        Cs = np.logspace(-4, 4, self.Cs) if np.ndim(self.Cs) == 0 else np.array(self.Cs)
        halved = 2 if len(np.unique(y)) == 2 else 1
        model = SoftmaxRegressionCV(
            Cs / halved,
            fit_intercept=self.fit_intercept,
            cv=self.cv,
            scoring=None if self.scoring == "neg_log_loss" else self.scoring,
            solver=SOLVERS[self.solver],
            tol=TOL,
            max_iter=self.max_iter,
            class_weight=self.class_weight,
            refit=self.refit,
        ).fit(X, y, sample_weight)
        self.C_, self.Cs_, self.scores_ = model.C_ * halved, Cs, model.scores_
        return self._adopt(model)


def parameter_sets(function):
    """The arguments that pytest would call a test with, those of solvers that softgrad lacks left out."""
    sets = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names = [n.strip() for n in mark.args[0].split(",")] if isinstance(mark.args[0], str) else mark.args[0]
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            sets.append([dict(zip(names, row, strict=True)) for row in rows])
    for combination in itertools.product(*sets):
        arguments = {name: value for part in combination for name, value in part.items()}
        if arguments.get("solver", "lbfgs") in ("lbfgs", "newton-cg", "newton-cholesky") and not arguments.get(
            "l1_ratio"
        ):
            yield arguments


def cases():
    for name in RUN:
        function = getattr(theirs, name, None)
        if function is not None:
            for i, arguments in enumerate(parameter_sets(function)):
                yield pytest.param(function, arguments, id=f"{name}-{i}")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # from scikit-learn's own functions that its tests call
@pytest.mark.parametrize("function, arguments", list(cases()))
def test_scikit_learn(monkeypatch, function, arguments):
    monkeypatch.setattr(theirs, "LogisticRegression", LogisticRegression)
    monkeypatch.setattr(theirs, "LogisticRegressionCV", LogisticRegressionCV)
    monkeypatch.setattr(theirs, "SOLVERS", ("lbfgs", "newton-cg", "newton-cholesky"))
    if "global_random_seed" in inspect.signature(function).parameters:
        arguments = {**arguments, "global_random_seed": 42}
    function(**arguments)


def test_every_test_is_run_or_left_out_for_a_reason():
    if not sklearn.__version__.startswith("1.9."):
        pytest.skip(f"the lists are those of scikit-learn 1.9, this is {sklearn.__version__}")
    found = {name for name, value in vars(theirs).items() if name.startswith("test_") and inspect.isfunction(value)}
    assert not set(RUN) & LEFT_OUT.keys()
    assert found == set(RUN) | LEFT_OUT.keys()


def test_most_of_the_suite_was_found():
    assert len(list(cases())) >= 50
