"""Labels, their number, order and names survive every meta-estimator of scikit-learn."""

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ecgsk
from ecgsk import OptunaSearchCV, ProbabilityTransformer
from ecgsk._cli.predictor import Predictor
from ecgsk._core.columns import columns_of
from ecgsk.inspection import make_report
from tests._models import recordings, small_models
from tests._stand_ins import OddName, StandIn, Wrapper, WrapperWithClasses

GRID = {"sharpness": [0.5, 2.0]}


def step(name="same"):
    return FunctionTransformer(spread, kw_args={"name": name})


def spread(X, name=None):
    return np.asarray(X).std(axis=2)


ANY = {
    "itself": lambda model: model,
    "grid": lambda model: GridSearchCV(model, GRID, cv=2),
    "randomized": lambda model: RandomizedSearchCV(model, GRID, n_iter=1, cv=2, random_state=0),
    "optuna": lambda model: OptunaSearchCV(
        model, {"sharpness": [0.5, 2.0]}, n_trials=2, cv=2, random_state=0
    ),
    "pipeline": lambda model: make_pipeline(FunctionTransformer(), model),
    "grid of pipeline": lambda model: GridSearchCV(
        make_pipeline(FunctionTransformer(), model), {}, cv=2
    ),
    "pipeline of grid": lambda model: make_pipeline(
        FunctionTransformer(), GridSearchCV(model, {}, cv=2)
    ),
    "wrapper": Wrapper,
    "wrapper with classes": WrapperWithClasses,
    "wrapper with an odd name": OddName,
    "wrappers": lambda model: Wrapper(WrapperWithClasses(GridSearchCV(model, {}, cv=2))),
}
CLASSES = {
    "halving": lambda model: HalvingGridSearchCV(model, GRID, cv=2, random_state=0),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "calibrated, one": lambda model: CalibratedClassifierCV(model, cv=2, ensemble=False),
    "voting": lambda model: VotingClassifier([("a", model), ("b", model)], voting="soft"),
    "stacking": lambda model: StackingClassifier([("a", model)], LogisticRegression(), cv=2),
    "bagging": lambda model: make_pipeline(
        step(), BaggingClassifier(LogisticRegression(), 3, random_state=0)
    ),
    "one against the rest": OneVsRestClassifier,
    "grid of calibrated": lambda model: GridSearchCV(CalibratedClassifierCV(model, cv=2), {}, cv=2),
}
BINARY = {
    "fixed threshold": lambda model: FixedThresholdClassifier(model, threshold=0.3, pos_label="no"),
    "tuned threshold": lambda model: TunedThresholdClassifierCV(
        model, cv=2, thresholds=3, scoring="accuracy"
    ),
    "fixed of tuned": lambda model: FixedThresholdClassifier(
        TunedThresholdClassifierCV(model, cv=2, thresholds=3, scoring="accuracy"), threshold=0.4
    ),
}
LABELS = {
    "one against the rest": OneVsRestClassifier,
    "one for each": MultiOutputClassifier,
    "chain": lambda model: ClassifierChain(model, order=None),
    "chain in reverse": lambda model: ClassifierChain(model, order="random", random_state=1),
    "forest": lambda model: make_pipeline(step(), RandomForestClassifier(5, random_state=0)),
    "perceptron": lambda model: make_pipeline(step(), MLPClassifier(4, max_iter=3, random_state=0)),
    "grid of one for each": lambda model: GridSearchCV(MultiOutputClassifier(model), {}, cv=2),
}
# ClassifierChain adds a column to X, so that it cannot read recordings.
TABLES = ("chain", "chain in reverse")

random = np.random.default_rng(0)
Y = random.integers(2, size=(60, 3))
X = random.normal(scale=1 + 2 * Y[:, :, None], size=(60, 3, 20)).astype(np.float32)
NEW = random.normal(size=(10, 3, 20)).astype(np.float32)

# Kind: target, the table's names for plain arrays, position of its first column in predict_proba.
KINDS = {
    "integers": (Y[:, 0], ["class_1"], 1),
    "text": (np.array(["no", "yes"])[Y[:, 0]], ["yes"], 1),
    "bools": (Y[:, 0].astype(bool), ["class_True"], 1),
    "floats": (Y[:, 0] + 1.0, ["class_2.0"], 1),
    "three": (np.array(["SR", "AFIB", "AFL"])[Y[:, :2].sum(axis=1)], ["AFIB", "AFL", "SR"], 0),
    "two labels": (Y[:, :2], ["label_0", "label_1"], 0),
    "three labels": (Y, ["label_0", "label_1", "label_2"], 0),
}
NAMES = ["LVH", "AFIB", "MI"]


def cases():
    for kind in KINDS:
        wrappers = ANY | (LABELS if "labels" in kind else CLASSES)
        if kind == "text":
            wrappers = wrappers | BINARY
        for name in wrappers:
            yield pytest.param(kind, wrappers[name], name in TABLES, id=f"{kind}-{name}")


def own_columns(model, records, first):
    """Return what ``predict_proba`` itself has for each column of the table."""
    answer = model.predict_proba(records)
    if isinstance(answer, list):
        return np.stack([of_label[:, 1] for of_label in answer], axis=1)
    return answer[:, first:]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def containers(target):
    yield target, None
    yield pd.DataFrame(target, columns=NAMES[: target.shape[1]]), NAMES[: target.shape[1]]
    if importlib.util.find_spec("polars") is not None:
        import polars

        names = NAMES[: target.shape[1]]
        yield polars.DataFrame(target, schema=names), names


@pytest.mark.parametrize(("kind", "wrap", "of_tables"), list(cases()))
def test_columns_are_those_of_the_wrapped_model(kind, wrap, of_tables):
    target, names, first = KINDS[kind]
    records, new = (spread(X), spread(NEW)) if of_tables else (X, NEW)
    model = wrap(LogisticRegression() if of_tables else StandIn())
    fitted = clone(model).fit(records, target)
    expected = own_columns(fitted, new, first)
    assert expected.shape == (10, len(names))

    frozen = ProbabilityTransformer(FrozenEstimator(fitted)).fit(records)
    given = ProbabilityTransformer(model, cv=2, random_state=0).fit(records, target)
    for table in (frozen.transform(new), given.transform(new)):
        assert list(table.columns) == names and all(type(name) is str for name in table)
        np.testing.assert_allclose(table, expected, atol=1e-12)
    assert list(given.fit_transform(records, target).columns) == names
    shown = Predictor(fitted)
    assert len(shown.columns) == len(names)
    np.testing.assert_allclose(np.array(shown.predict(new))[:, :-1].astype(float), expected)

    if "labels" not in kind:
        return
    # A network in pipelines, searches and a user's wrappers keeps its names; others never had any.
    for diagnoses, known in containers(target):
        step = ProbabilityTransformer(model, cv=2, random_state=0)
        table = step.fit_transform(records, diagnoses=diagnoses)
        assert list(table.columns) == (known or names)
        np.testing.assert_allclose(step.transform(new), expected, atol=1e-12)
        table = ProbabilityTransformer(model, cv=2).fit(records, diagnoses).transform(new)
        assert list(table.columns) == (known or names)
        if wrap in ANY.values() and isinstance(diagnoses, pd.DataFrame):
            again = FrozenEstimator(clone(model).fit(records, diagnoses))
            table = ProbabilityTransformer(again).transform(new)
            assert list(table.columns) == known == columns_of(again).names
            np.testing.assert_allclose(table, expected, atol=1e-12)


class Answers(ClassifierMixin, BaseEstimator):
    """Returns what it is given, for any recording."""

    def __init__(self, row, classes=(0, 1), multilabel=None, labels=None, decides=None):
        self.row = row
        self.classes = classes
        self.multilabel = multilabel
        self.labels = labels
        self.decides = decides

    def fit(self, X, y=None):
        self.fitted_ = True
        if self.classes is not None:
            self.classes_ = np.asarray(self.classes)
        if self.multilabel is not None:
            self.multilabel_ = self.multilabel
        if self.labels is not None:
            self.label_names_ = self.labels
        return self

    def predict_proba(self, X):
        if callable(self.row):
            return self.row(X)
        return np.tile(np.asarray(self.row, dtype=float), (len(X), 1))

    def predict(self, X):
        return np.asarray(self.classes)[self.predict_proba(X).argmax(axis=1)]


REFUSED = {
    "independent labels as two classes": (Answers([0.9, 0.8]), "do not add up to 1"),
    "independent labels as three classes": (
        Answers([0.9, 0.8, 0.1], classes=[0, 1, 2]),
        "do not add up to 1",
    ),
    "one column for two classes": (Answers([0.9]), r"returned shape \(32, 1\).*\(n_records, 2\)"),
    "three columns for two classes": (Answers([0.2, 0.3, 0.5]), r"shape \(32, 3\).*classes 0, 1"),
    "three columns for two labels": (
        Answers([0.2, 0.3, 0.5], multilabel=True, labels=["A", "B"]),
        "shape .60, 3.*the 2 labels A, B",
    ),
    "one dimension": (Answers(lambda X: np.full(len(X), 0.5)), r"shape \(32,\)"),
    "three dimensions": (Answers(lambda X: np.full((2, len(X), 2), 0.5)), r"shape \(2, 32, 2\)"),
    "a list for classes": (Answers(lambda X: [np.full((len(X), 2), 0.5)] * 2), "list of 2 arrays"),
    "a list for other labels": (
        Answers(lambda X: [np.full((len(X), 2), 0.5)] * 3, multilabel=True),
        "list of 3 arrays.*2 labels",
    ),
    "no classes": (Answers([0.4, 0.6], classes=None), "Answers has no classes_"),
    "no classes in a wrapper": (OddName(Answers([0.4, 0.6], classes=None)), "OddName has no"),
    "other names than labels": (
        Answers([0.4, 0.6], multilabel=True, labels=["A"]),
        "1 label_names_ for 2 labels",
    ),
    "one name twice": (Answers([0.4, 0.6], multilabel=True, labels=["A", "A"]), "has A twice"),
}


@pytest.mark.parametrize(("model", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("frozen", [True, False])
def test_columns_that_are_not_known_are_refused(model, said, frozen):
    y = Y[:, :2] if model.get_params().get("multilabel") else Y[:, 0]
    step = ProbabilityTransformer(FrozenEstimator(model.fit(X, y)) if frozen else model)
    with pytest.raises(ValueError, match=said):
        step.fit(X, y).transform(X)


def test_wrappers_that_contradict_their_model_are_refused():
    inner = StandIn().fit(X, pd.DataFrame(Y[:, :2], columns=["LVH", "MI"]))
    outer = WrapperWithClasses(inner)
    outer.estimator_, outer.classes_ = inner, np.array(["no", "yes"])
    with pytest.raises(ValueError, match="classes_ .*no.*yes.*StandIn.* 2 labels LVH, MI"):
        ProbabilityTransformer(FrozenEstimator(outer)).fit(X)
    outer.multilabel_ = True
    outer.label_names_ = ["A", "B"]
    assert list(ProbabilityTransformer(FrozenEstimator(outer)).transform(X)) == ["A", "B"]


def test_stacking_of_labels_is_refused():
    model = StackingClassifier(
        [("forest", RandomForestClassifier(2))], RandomForestClassifier(2), cv=2
    ).fit(spread(X), Y)
    with pytest.raises(ValueError, match="label is absent.*MultiOutputClassifier"):
        ProbabilityTransformer(FrozenEstimator(model)).fit(spread(X))


def test_values_of_labels_have_to_be_0_and_1():
    text = np.array(["no", "yes"])[Y]
    model = RandomForestClassifier(2, random_state=0).fit(spread(X), text)
    with pytest.raises(ValueError, match="values .'no', 'yes'. of label_0.*Fit it on 0 and 1"):
        ProbabilityTransformer(FrozenEstimator(model)).transform(spread(X))


def test_names_of_the_user_decide_where_nothing_else_does():
    for names in (["A", "B"], np.array(["A", "B"])):
        for model in (Answers([0.4, 0.7], classes=None), Answers([0.4, 0.7])):
            step = ProbabilityTransformer(FrozenEstimator(model.fit(X)), feature_names=names)
            table = step.fit(X).transform(X)
            assert list(table.columns) == ["A", "B"] and table.iloc[0].tolist() == [0.4, 0.7]
    known = LogisticRegression().fit(spread(X), Y[:, 0])
    with pytest.raises(ValueError, match="2 names, but there are 1 columns"):
        ProbabilityTransformer(FrozenEstimator(known), feature_names=["A", "B"]).fit(spread(X))


class AsTheyCame(StandIn):
    """A user's classifier whose classes are in the order in which they came."""

    wrong = False

    def fit(self, X, y):
        super().fit(X, y)
        self._order = np.argsort(np.unique(y, return_index=True)[1])
        if not self.wrong:
            self.classes_ = self.classes_[self._order]
        return self

    def predict_proba(self, X):
        return super().predict_proba(X)[:, self._order]

    def predict(self, X):
        return np.sort(self.classes_)[super().predict_proba(X).argmax(axis=1)]


class SortsOnlyClasses(AsTheyCame):
    wrong = True


CAME = np.array(["SR", "AFL", "AFIB"])[Y[:, :2].sum(axis=1)]


@pytest.mark.parametrize("wrap", [ANY["itself"], ANY["grid"], Wrapper, WrapperWithClasses])
def test_columns_follow_classes_that_are_not_sorted(wrap):
    step = ProbabilityTransformer(wrap(AsTheyCame()), cv=3, random_state=0)
    table = step.fit_transform(X, CAME)
    sort = ProbabilityTransformer(wrap(StandIn()), cv=3, random_state=0)
    expected = sort.fit_transform(X, CAME)
    assert list(table.columns) != list(expected.columns)
    pd.testing.assert_frame_equal(table[list(expected)], expected)
    pd.testing.assert_frame_equal(step.transform(NEW)[list(expected)], sort.transform(NEW))


@pytest.mark.parametrize("wrap", [ANY["itself"], ANY["grid"], Wrapper, WrapperWithClasses])
@pytest.mark.parametrize("frozen", [True, False])
def test_columns_in_another_order_than_classes_are_refused(wrap, frozen):
    model = wrap(SortsOnlyClasses())
    for y in (CAME, np.array(["yes", "no"])[Y[:, 0] ^ Y[0, 0]]):
        given = FrozenEstimator(clone(model).fit(X, y)) if frozen else model
        with pytest.raises(ValueError, match="predicts .* where column . .* classes_.*is"):
            ProbabilityTransformer(given).fit(X, y)


@pytest.mark.parametrize("labels", [["a", "b", "rare"], [True, False, 7], [1.0, 2.0, 9.0]])
def test_a_class_that_a_fold_lacks_keeps_its_column(labels):
    labels = np.array(labels) if not isinstance(labels[0], bool) else np.array([0, 1, 7])
    y = labels[Y[:, 0]]
    y[0] = labels[2]
    for wrap in (ANY["itself"], CLASSES["voting"], ANY["grid"]):
        table = ProbabilityTransformer(wrap(AsTheyCame()), cv=3).fit_transform(X, y)
        np.testing.assert_allclose(table.sum(axis=1), 1)
        rare = [name for name in table if str(labels[2]) in name]
        assert table.shape[1] == 3 and table.loc[0, rare[0]] == 0


def test_one_label_in_a_table_keeps_its_name():
    one = pd.DataFrame({"LVH": Y[:, 0]})
    for model in (StandIn(), MultiOutputClassifier(StandIn()), GridSearchCV(StandIn(), {}, cv=2)):
        table = ProbabilityTransformer(model, cv=2, random_state=0)
        values = table.fit_transform(X, one)
        assert list(values.columns) == ["LVH"]
        plain = ProbabilityTransformer(StandIn(), cv=2, random_state=0)
        np.testing.assert_allclose(
            table.transform(X)["LVH"], plain.fit(X, Y[:, 0]).transform(X)["class_1"]
        )
    fitted = FrozenEstimator(MultiOutputClassifier(StandIn()).fit(X, one))
    assert list(ProbabilityTransformer(fitted).transform(X)) == ["label_0"]


def test_the_classifiers_order_of_names_counts():
    class Sorts(StandIn):
        def fit(self, X, y):
            return super().fit(X, y[sorted(y.columns)])

    diagnoses = pd.DataFrame(Y, columns=NAMES)
    table = ProbabilityTransformer(Sorts(), cv=2).fit(X, diagnoses).transform(NEW)
    expected = ProbabilityTransformer(StandIn(), cv=2).fit(X, diagnoses).transform(NEW)
    pd.testing.assert_frame_equal(table[NAMES], expected)


@pytest.mark.parametrize("wrap", [ANY["grid of pipeline"], ANY["wrapper with classes"]])
def test_a_wrapped_network_keeps_its_labels(tmp_path, wrap):
    records, y = recordings(24)
    labels = pd.DataFrame({"SLOW": 1 - y, "FAST": y})
    network = small_models()["mtecg"].set_params(max_epochs=1)
    fitted = wrap(network).fit(records, labels)
    for model in (FrozenEstimator(fitted), FrozenEstimator(make_pipeline(fitted))):
        table = ProbabilityTransformer(model).fit(records).transform(records)
        assert list(table.columns) == ["SLOW", "FAST"]
        np.testing.assert_array_equal(table, fitted.predict_proba(records))
    if isinstance(fitted, GridSearchCV):
        ecgsk.save(fitted, tmp_path / "model.ecgsk")
        assert ecgsk.persistence.describe(tmp_path / "model.ecgsk")["label_names"] == list(table)
        student = clone(network).set_params(distillation=ecgsk.estimators.Distillation(fitted))
        with pytest.raises(
            ValueError, match="teacher predicts labels SLOW, FAST; y has labels A, B"
        ):
            student.fit(records, labels.set_axis(["A", "B"], axis=1))
    with pytest.raises(ValueError, match="2 labels; a report needs two classes"):
        make_report(tmp_path / "report.html", fitted, np.zeros((2, 12, 1000)), data="zeros")
