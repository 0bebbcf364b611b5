"""Patients reach every split inside a classifier, or are refused."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    RandomizedSearchCV,
    StratifiedGroupKFold,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder

from ecgsk import OptunaSearchCV, ProbabilityTransformer, make_lef_classifier
from ecgsk.tabular import GroupedEBMClassifier
from tests._models import recordings, small_models
from tests._stand_ins import Wrapper

N = 48
PATIENT = np.arange(N) // 2
Y = np.random.default_rng(1).integers(2, size=N // 2)[PATIENT]
X = np.column_stack([PATIENT, np.random.default_rng(0).normal(size=N)]).astype(float)
SPLITS = list(GroupKFold(3).split(X, Y, PATIENT))
LEAKS: list = []


class Spy(ClassifierMixin, BaseEstimator):
    """Notes where it predicts for a patient that it was fitted on."""

    def __init__(self, unused=0):
        self.unused = unused

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.known_ = set(X[:, 0])
        return self

    def predict_proba(self, X):
        LEAKS.extend(self.known_ & set(X[:, 0]))
        p = 1 / (1 + np.exp(-X[:, 1]))
        return np.stack([1 - p, p], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class StopsEarly(Spy):
    """Holds records out, of other patients only if it has groups."""

    def fit(self, X, y, groups=None):
        super().fit(X, y)
        if groups is None:
            LEAKS.append("early stopping")
        else:
            assert len(groups) == len(X)
        return self


class HandsOn(Wrapper):
    """A user's wrapper that takes groups, or everything."""

    def fit(self, X, y, groups=None):
        self.estimator_ = clone(self.estimator).fit(X, y, groups=groups)
        self.classes_ = self.estimator_.classes_
        return self


class SwallowsAll(Wrapper):
    def fit(self, X, y, **params):
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self


def fixed_threshold(model, cv):
    return FixedThresholdClassifier(CalibratedClassifierCV(model, cv=cv))


def one_trial(model, cv):
    name = next(name for name in model.get_params() if name.endswith("unused"))
    return OptunaSearchCV(model, {name: [0]}, n_trials=1, cv=cv, scoring="accuracy")


WITH_CV = {
    "calibrated": lambda model, cv: CalibratedClassifierCV(model, cv=cv),
    "calibrated, one": lambda model, cv: CalibratedClassifierCV(model, cv=cv, ensemble=False),
    "grid": lambda model, cv: GridSearchCV(model, {}, cv=cv, scoring="roc_auc"),
    "randomized": lambda model, cv: RandomizedSearchCV(model, {}, n_iter=1, cv=cv),
    "optuna": lambda model, cv: one_trial(model, cv),
    "tuned": lambda model, cv: TunedThresholdClassifierCV(model, cv=cv, thresholds=2),
    "stacking": lambda model, cv: StackingClassifier([("a", model)], Spy(), cv=cv),
    "in a Pipeline": lambda model, cv: make_pipeline(
        StandardScaler().set_fit_request(sample_weight=False)
        if sklearn.get_config()["enable_metadata_routing"]
        else StandardScaler(),
        CalibratedClassifierCV(model, cv=cv),
    ),
    "in a threshold": fixed_threshold,
    "in a vote": lambda model, cv: VotingClassifier(
        [("a", CalibratedClassifierCV(model, cv=cv))], voting="soft"
    ),
    "in a user's wrapper": lambda model, cv: Wrapper(CalibratedClassifierCV(model, cv=cv)),
    "in a search": lambda model, cv: GridSearchCV(
        CalibratedClassifierCV(model, cv=cv), {}, cv=GroupKFold(2), scoring="roc_auc"
    ),
    "search in a calibration": lambda model, cv: CalibratedClassifierCV(
        GridSearchCV(model, {}, cv=cv, scoring="roc_auc"), cv=GroupKFold(2)
    ),
}
WITHOUT_CV = {
    "vote": lambda model: VotingClassifier([("a", model)], voting="soft"),
    "bagging": lambda model: BaggingClassifier(model, 2),
    "one against the rest": OneVsRestClassifier,
    "fixed": FixedThresholdClassifier,
    "grid": lambda model: GridSearchCV(model, {}, cv=GroupKFold(2), scoring="roc_auc"),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=GroupKFold(2)),
    "Pipelines": lambda model: make_pipeline(make_pipeline(model)),
    "user's wrapper": Wrapper,
    "user's wrapper that hands on": HandsOn,
    "user's wrapper that swallows": SwallowsAll,
    "stacking": lambda model: StackingClassifier([("a", model)], Spy(), cv="prefit"),
}
CV = {
    "3": 3,
    "KFold": KFold(3, shuffle=True, random_state=0),
    "GroupKFold": GroupKFold(3),
    "StratifiedGroupKFold": StratifiedGroupKFold(3),
    "GroupShuffleSplit": GroupShuffleSplit(2, test_size=0.3, random_state=0),
    "splits": SPLITS,
    "wrong splits": list(KFold(3, shuffle=True, random_state=0).split(X)),
}
REFUSAL = "groups was given, but .*(GroupKFold|leave groups out)"


@pytest.fixture(params=[False, True], ids=["plain", "routing"])
def routing(request):
    with sklearn.config_context(enable_metadata_routing=request.param):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            LEAKS.clear()
            yield request.param


def fits(model, method="fit", y=Y) -> bool:
    """Return whether a step fits with groups; no split may have a patient on both sides."""
    step = ProbabilityTransformer(model, cv=2, random_state=0)
    try:
        if method == "fit":
            # What it predicts for the records it was fitted on after that is not a leak.
            step._check_order = lambda X: None
        getattr(step, method)(X, y, groups=PATIENT)
    except UnsetMetadataPassedError:
        return False
    except ValueError as error:
        assert str(error).startswith("groups was given, but"), error
        assert "GroupKFold" in str(error) and "enable_metadata_routing" in str(error)
        return False
    assert not LEAKS
    return True


@pytest.mark.parametrize("cv", CV.values(), ids=CV)
@pytest.mark.parametrize("wrap", WITH_CV.values(), ids=WITH_CV)
def test_no_split_inside_has_a_patient_on_both_sides(routing, wrap, cv):
    fitted = fits(wrap(Spy(), cv))
    by_groups = type(cv).__name__.startswith(("Group", "StratifiedGroup"))
    nested = wrap in (WITH_CV["in a search"], WITH_CV["search in a calibration"])
    if by_groups and routing:
        # scikit-learn itself has no way for groups into these.
        closed = ("stacking", "calibrated, one", "in a user's wrapper")
        assert fitted == (wrap not in [WITH_CV[name] for name in closed])
    elif by_groups:
        assert fitted == (wrap in (WITH_CV["grid"], WITH_CV["randomized"], WITH_CV["optuna"]))
    elif cv is SPLITS and not nested:
        assert fitted
    else:
        assert not fitted


@pytest.mark.parametrize("wrap", WITHOUT_CV.values(), ids=WITHOUT_CV)
def test_parts_that_take_groups_get_them(routing, wrap):
    model = StopsEarly()
    if routing:
        assert not fits(wrap(model)) or wrap in (
            WITHOUT_CV["stacking"],
            WITHOUT_CV["user's wrapper that hands on"],
        )
        LEAKS.clear()
        model.set_fit_request(groups=True)
    if wrap is WITHOUT_CV["stacking"]:
        return
    fitted = fits(wrap(model))
    users = ("user's wrapper", "user's wrapper that swallows")
    if routing:
        assert fitted == (wrap not in [WITHOUT_CV[name] for name in users])
    else:
        assert fitted == (
            wrap in [WITHOUT_CV[n] for n in ("Pipelines", "user's wrapper that hands on")]
        )


def test_labels_and_chains(routing):
    both = np.column_stack([Y, 1 - Y])
    model = StopsEarly()
    if routing:
        model.set_fit_request(groups=True)
    assert fits(MultiOutputClassifier(model), y=both)
    assert fits(ClassifierChain(model), y=both) == routing
    assert not fits(ClassifierChain(Spy(), cv=3), y=both)
    assert fits(ClassifierChain(Spy()), y=both)


def test_other_splits_inside_are_found(routing):
    assert not fits(LogisticRegressionCV(cv=3))
    assert not fits(make_pipeline(TargetEncoder(cv=3), Spy()))
    union = FeatureUnion([("a", TargetEncoder(cv=3)), ("b", FunctionTransformer())])
    assert not fits(make_pipeline(union, Spy()))


def test_splits_over_frozen_models_leak_nothing(routing):
    frozen = FrozenEstimator(StopsEarly().fit(X, Y, groups=PATIENT))
    for wrap in ("calibrated", "tuned", "stacking"):
        ProbabilityTransformer(WITH_CV[wrap](frozen, 3)).fit(X, Y, groups=PATIENT)


def test_a_patient_of_one_record_needs_no_groups(routing):
    step = ProbabilityTransformer(CalibratedClassifierCV(LogisticRegression(), cv=3), cv=2)
    step.fit_transform(X, Y, groups=np.arange(N))
    step.fit_transform(X, Y)


def test_splits_of_all_records_are_refused_out_of_fold(routing):
    model = CalibratedClassifierCV(Spy(), cv=SPLITS)
    assert fits(model) and not fits(model, "fit_transform")
    predefined = CalibratedClassifierCV(Spy(), cv=PredefinedSplit(PATIENT % 3))
    assert fits(predefined) and not fits(predefined, "fit_transform")
    assert not fits(CalibratedClassifierCV(Spy(), cv=PredefinedSplit(np.arange(N) % 3)))


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=0), CV["wrong splits"]])
def test_the_folds_of_the_table_itself_are_checked(cv):
    with pytest.raises(ValueError, match="fold 0 of cv=.* patients on both sides, for example"):
        ProbabilityTransformer(LogisticRegression(), cv=cv).fit_transform(X, Y, groups=PATIENT)


def test_networks_need_patients_for_early_stopping_only(routing):
    records, y = recordings(24)
    network = small_models()["mtecg"].set_params(max_epochs=1)
    step = ProbabilityTransformer(VotingClassifier([("a", network)], voting="soft"), cv=2)
    step.fit(records, y, groups=np.arange(24) // 2)
    network.set_params(early_stopping=True)
    with pytest.raises((ValueError, UnsetMetadataPassedError), match="groups"):
        step.fit(records, y, groups=np.arange(24) // 2)


def test_a_search_refuses_groups_that_it_cannot_hand_on():
    search = one_trial
    with pytest.raises(ValueError, match="OptunaSearchCV splits with cv=3, which ignores groups"):
        search(Spy(), 3).fit(X, Y, groups=PATIENT)
    with pytest.raises(ValueError, match="CalibratedClassifierCV splits with cv=3"):
        search(CalibratedClassifierCV(Spy(), cv=3), GroupKFold(2)).fit(X, Y, groups=PATIENT)
    with pytest.raises(ValueError, match="does not hand them on to StopsEarly"):
        search(StopsEarly(), GroupKFold(2)).fit(X, Y, groups=PATIENT)
    with pytest.raises(ValueError, match="on both sides"):
        search(Spy(), CV["wrong splits"]).fit(X, Y, groups=PATIENT)
    LEAKS.clear()
    pipeline = make_pipeline(StopsEarly())
    search(pipeline, GroupKFold(2)).fit(X, Y, groups=PATIENT, stopsearly__groups=PATIENT)
    assert not LEAKS


WEIGHT = np.linspace(0.5, 1.5, N)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), make_pipeline(LogisticRegression())),
        GridSearchCV(LogisticRegression(), {}, cv=2),
        GridSearchCV(make_pipeline(LogisticRegression()), {}, cv=2),
        VotingClassifier([("a", LogisticRegression())], voting="soft"),
        StackingClassifier([("a", LogisticRegression())], LogisticRegression(), cv=2),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
    ],
)
def test_weights_reach_the_classifier(model):
    step = ProbabilityTransformer(model, cv=2)
    weighted = step.fit(X, Y, sample_weight=WEIGHT**8).transform(X)
    assert not np.allclose(weighted, step.fit(X, Y).transform(X))


@pytest.mark.parametrize(
    "model",
    [
        StopsEarly(),
        make_pipeline(StandardScaler(), StopsEarly()),
        GridSearchCV(StopsEarly(), {}, cv=2),
        VotingClassifier([("a", LogisticRegression()), ("b", StopsEarly())], voting="soft"),
        CalibratedClassifierCV(StopsEarly(), cv=2),
        CalibratedClassifierCV(make_pipeline(LogisticRegression()), cv=2),
        OneVsRestClassifier(LogisticRegression()),
        TunedThresholdClassifierCV(LogisticRegression(), cv=2),
        Wrapper(LogisticRegression()),
        SwallowsAll(LogisticRegression()),
    ],
)
def test_weights_that_would_be_lost_are_refused(model):
    with pytest.raises(ValueError, match="sample_weight was given.*does not take it.*Leave it out"):
        ProbabilityTransformer(model, cv=2).fit(X, Y, sample_weight=WEIGHT)


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        for model in (OneVsRestClassifier(inner), FixedThresholdClassifier(inner)):
            ProbabilityTransformer(model).fit(X, Y, sample_weight=WEIGHT)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            model = OneVsRestClassifier(LogisticRegression())
            ProbabilityTransformer(model).fit(X, Y, sample_weight=WEIGHT)


def test_the_lef_classifier_requests_groups_for_nested_parts():
    glass_box = GroupedEBMClassifier(outer_bags=2, interactions=0, max_rounds=10, n_jobs=1)
    make = {"extractor": StandardScaler()}
    with pytest.warns(UserWarning, match="CalibratedClassifierCV splits with cv=3.*GroupKFold"):
        make_lef_classifier(**make, classifier=CalibratedClassifierCV(glass_box, cv=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_lef_classifier(
            **make, classifier=CalibratedClassifierCV(clone(glass_box), cv=GroupKFold(2))
        )
    with sklearn.config_context(enable_metadata_routing=True):
        model[0].set_fit_request(sample_weight=False)
        model.fit(X, Y, groups=PATIENT)
        with pytest.raises(ValueError, match="groups"):
            model.fit(X, Y)
