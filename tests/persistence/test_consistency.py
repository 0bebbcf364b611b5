import copy

import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk.persistence import ModelFileError, load, save
from ecgsk.tabular import GroupedEBMClassifier

random = np.random.default_rng(0)
X = pd.DataFrame(random.normal(size=(150, 3)), columns=["a", "b", "c"])
X["text"] = random.choice(["x", "y", "z"], 150)
Y = (X["a"] + X["b"] + random.normal(size=150) > 0).astype(int)


def fitted(kind=GroupedEBMClassifier, y=Y, **params):
    options = {"interactions": 2, "outer_bags": 2, "max_rounds": 20, "n_jobs": 1}
    return kind(**options | params).fit(X, y)


@pytest.fixture(scope="module")
def machines():
    three = pd.qcut(X["a"], 3, labels=False)
    return {
        "binary": fitted(),
        "interpret": fitted(ExplainableBoostingClassifier),
        "three": fitted(y=three, interactions=0),
    }


def with_nan(values, position=1):
    values = np.array(values, dtype=float)
    values.flat[position % values.size] = np.nan
    return values


def change(name, number, function):
    def apply(ebm):
        values = list(getattr(ebm, name))
        values[number] = function(values[number])
        setattr(ebm, name, values)

    return apply


def assign(name, function):
    return lambda ebm: setattr(ebm, name, function(getattr(ebm, name)))


def first_level(function):
    return change("bins_", 0, lambda levels: [function(levels[0]), *levels[1:]])


CHANGES = {
    "NaN in scores": (change("term_scores_", 0, with_nan), "term_scores_ of 'a' is not finite"),
    "infinite score": (change("term_scores_", 1, lambda s: s / 0.0), "not finite"),
    "short scores": (change("term_scores_", 0, lambda s: s[:-1]), "term_scores_ of 'a' has shape"),
    "scores missing": (assign("term_scores_", lambda v: v[:-1]), "term_scores_ has"),
    "scores swapped": (assign("term_scores_", lambda v: [v[3], *v[1:3], v[0], *v[4:]]), "shape"),
    "NaN in deviations": (change("standard_deviations_", 0, with_nan), "standard_deviations_"),
    "NaN in bagged scores": (change("bagged_scores_", 0, with_nan), "bagged_scores_"),
    "NaN in weights": (change("bin_weights_", 0, with_nan), "bin_weights_"),
    "negative weights": (change("bin_weights_", 0, lambda w: w - 1e9), "negative"),
    "NaN intercept": (assign("intercept_", with_nan), "intercept_ is not finite"),
    "long intercept": (assign("intercept_", lambda v: np.zeros(7)), "intercept_ has shape"),
    "unsorted edges": (first_level(lambda edges: edges[::-1].copy()), "do not increase"),
    "equal edges": (first_level(lambda edges: np.full_like(edges, 0.5)), "do not increase"),
    "NaN edge": (first_level(with_nan), "a bin edge of 'a' is not finite"),
    "edge removed": (first_level(lambda edges: edges[1:]), "shape"),
    "category removed": (
        change("bins_", 3, lambda levels: [{"x": 1, "y": 3}, *levels[1:]]),
        "not numbered from 1",
    ),
    "no bins": (change("bins_", 0, lambda levels: []), "no bins of 'a'"),
    "link": (assign("link_", lambda v: "identity"), "link_ is 'identity'"),
    "link parameter": (assign("link_param_", lambda v: 2.0), "link_param_ is 2.0"),
    "a name less": (assign("feature_names_in_", lambda v: v[:-1]), "feature_names_in_ has 3"),
    "a name twice": (assign("feature_names_in_", lambda v: ["a", *v[:-1]]), "a name twice"),
    "a type less": (assign("feature_types_in_", lambda v: v[1:]), "feature_types_in_ has 3"),
    "number of features": (assign("n_features_in_", lambda v: 9), "n_features_in_ is 9"),
    "unknown feature": (change("term_features_", 0, lambda t: (9,)), "has the features"),
    "other feature": (change("term_features_", 0, lambda t: (3,)), "shape"),
    "a class more": (assign("classes_", lambda v: np.arange(len(v) + 1)), "link_|intercept_|shape"),
    "attribute of another type": (assign("term_features_", lambda v: 3), "incomplete"),
}


@pytest.mark.parametrize("machine", ["binary", "interpret", "three"])
@pytest.mark.parametrize("kind", list(CHANGES))
def test_machines_that_were_altered_inside_are_refused(machines, tmp_path, machine, kind):
    altered = copy.deepcopy(machines[machine])
    apply, message = CHANGES[kind]
    with np.errstate(all="ignore"):
        apply(altered)
    save(make_pipeline(altered), tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match=rf"m\.ecgsk cannot be loaded: .*({message})"):
        load(tmp_path / "m.ecgsk")


@pytest.mark.parametrize("machine", ["binary", "interpret", "three"])
def test_machines_that_were_changed_as_intended_are_loaded(machines, tmp_path, machine):
    ebm = copy.deepcopy(machines[machine])
    changed = [ebm, copy.deepcopy(ebm).scale("b", 0.0)]
    changed.append(copy.deepcopy(ebm).remove_terms(["b"]))
    changed.append(copy.deepcopy(ebm).sweep())
    if machine == "binary":
        changed.append(copy.deepcopy(ebm).monotonize("a").remove_features(["b"]))
        changed.append(copy.deepcopy(ebm).reorder_classes([1, 0]))
    for number, each in enumerate(changed):
        save(each, tmp_path / f"{number}.ecgsk")
        again = load(tmp_path / f"{number}.ecgsk")
        np.testing.assert_array_equal(again.predict_proba(X), each.predict_proba(X))


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        (LogisticRegression(), "coef_"),
        (LogisticRegression(), "intercept_"),
        (GaussianNB(), "theta_"),
        (GaussianNB(), "var_"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_coefficients_that_are_not_finite_are_refused(tmp_path, model, attribute, nested):
    model = model.fit(X[["a", "b"]], Y)
    setattr(model, attribute, with_nan(getattr(model, attribute)))
    save(make_pipeline(StandardScaler(), model) if nested else model, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match=f"{attribute} of the .* is not finite"):
        load(tmp_path / "m.ecgsk")


def test_coefficients_inside_other_models_are_refused(tmp_path):
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X[["a", "b"]], Y)
    calibrated.calibrated_classifiers_[1].calibrators[0].a_ = float("nan")
    save(calibrated, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match="a_ of the _SigmoidCalibration is not finite"):
        load(tmp_path / "m.ecgsk")
    perceptron = MLPClassifier(max_iter=2).fit(X[["a", "b"]], Y)
    perceptron.coefs_[1][0, 0] = np.inf
    save(perceptron, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match="coefs_ of the MLPClassifier is not finite"):
        load(tmp_path / "m.ecgsk")


@pytest.mark.parametrize("attribute", ["mean_", "scale_", "var_"])
def test_scalers_with_a_lost_number_are_refused(tmp_path, attribute):
    table = X[["a", "b"]].assign(unknown=np.nan)
    scaler = StandardScaler().fit(table)
    save(scaler, tmp_path / "m.ecgsk")
    assert np.isnan(load(tmp_path / "m.ecgsk").scale_[2])
    setattr(scaler, attribute, with_nan(getattr(scaler, attribute)))
    save(scaler, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match="StandardScaler are not finite for the same columns"):
        load(tmp_path / "m.ecgsk")


@pytest.mark.parametrize("shape", [(1, 3), (3, 2)])
def test_coefficients_of_another_shape_are_refused(tmp_path, shape):
    model = LogisticRegression().fit(X[["a", "b"]], Y)
    model.coef_ = np.ones(shape)
    save(model, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match="coef_ of the LogisticRegression has shape"):
        load(tmp_path / "m.ecgsk")
