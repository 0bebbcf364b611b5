"""Only the same search continues a study."""

import functools
import pickle
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from optuna.distributions import CategoricalDistribution
from optuna.storages import InMemoryStorage
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, fbeta_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ecgsk import OptunaSearchCV, RecordArray

X, Y = make_classification(60, 4, random_state=0)
# One for the folder of each test: a database would take most of the time.
STORAGES: defaultdict = defaultdict(InMemoryStorage)


class Model(ClassifierMixin, BaseEstimator):
    """Counts its fits and takes any parameter."""

    fits = 0

    def __init__(self, a=None, b=None, inner=None):
        self.a = a
        self.b = b
        self.inner = inner

    def fit(self, X, y):
        Model.fits += 1
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def run(tmp_path, model=None, space=None, data=(X, Y), fit=None, **params):
    """Fit a search that is stored, and return it with the number of its fits."""
    before = Model.fits
    found = OptunaSearchCV(
        Model() if model is None else model,
        {"b": [1, 2]} if space is None else space,
        **{"scoring": "accuracy", "cv": 2, "n_trials": 2, "refit": False, "random_state": 0}
        | params,
        storage=STORAGES[tmp_path],
    ).fit(*data, **(fit or {}))
    return found, Model.fits - before


def fitted(kind, seed=0):
    data, target = make_classification(80, 4, random_state=seed)
    return FrozenEstimator(kind().fit(data, target))


def small_forest():
    return RandomForestClassifier(3, random_state=0)


def closure(value):
    return lambda y, p: accuracy_score(y, p) * value


def with_default(value):
    def metric(y, p, factor=value):
        return accuracy_score(y, p) * factor

    return metric


class Callable:
    def __init__(self, value):
        self.value = value

    def __call__(self, estimator, X, y):
        return self.value


FIRST = FunctionTransformer(lambda X: X * 2)
SECOND = FunctionTransformer(lambda X: X * 3)
# What is changed, and two values of it; each is a set of parameters of `run`.
CHANGES = {
    "dict choices": [{"space": {"a": [{0: 1, 1: 1}, {0: 1, 1: n}]}} for n in (2, 100)],
    "tuple choices": [{"space": {"a": [(1, 2), (1, n)]}} for n in (3, 4)],
    "order of choices": [{"space": {"a": list(n)}} for n in ("xy", "yx")],
    "type of choices": [{"space": {"a": [n, 5]}} for n in (1, 1.0)],
    "estimator choices": [{"space": {"inner": [Model(a=n), None]}} for n in (1, 2)],
    "array choices": [{"space": {"a": [np.arange(3), np.arange(n)]}} for n in (4, 5)],
    "function choices": [{"space": {"a": [f, None]}} for f in (closure(1), closure(2))],
    "parameter": [{"model": Model(a=n)} for n in (1, 2)],
    "type of a parameter": [{"model": Model(a=n)} for n in (1, True)],
    "path": [{"model": Model(a=Path(n))} for n in ("a", "b")],
    "nested parameter": [{"model": Model(inner=Model(a={"k": [n]}))} for n in (1, 2)],
    "array": [{"model": Model(a=np.array([0.0, n]))} for n in (1, 2)],
    "seed of a generator": [{"model": Model(a=np.random.RandomState(n))} for n in (1, 2)],
    "class": [{"model": Model(a=n)} for n in (LogisticRegression, RandomForestClassifier)],
    "lambda": [{"model": Model(a=f)} for f in (FIRST, SECOND)],
    "partial": [{"model": Model(a=functools.partial(pow, n))} for n in (1, 2)],
    "frozen forest": [{"model": Model(inner=fitted(small_forest, n))} for n in (1, 2)],
    "frozen boosting": [
        {"model": Model(inner=fitted(lambda: HistGradientBoostingClassifier(max_iter=2), n))}
        for n in (1, 2)
    ],
    "frozen regression": [{"model": Model(inner=fitted(LogisticRegression, n))} for n in (1, 2)],
    "metric by closure": [{"scoring": make_scorer(closure(n))} for n in (1, 2)],
    "metric by default": [{"scoring": make_scorer(with_default(n))} for n in (1, 2)],
    "metric by arguments": [{"scoring": make_scorer(fbeta_score, beta=n)} for n in (1, 2)],
    "metric under one name": [
        {"scoring": make_scorer(lambda y, p: accuracy_score(y, p))},
        {"scoring": make_scorer(lambda y, p: f1_score(y, p))},
    ],
    "metric with state": [{"scoring": Callable(n)} for n in (1, 2)],
    "metrics of a dict": [
        {"scoring": {"m": make_scorer(closure(n))}, "refit": False} for n in (1, 2)
    ],
    "data": [{"data": (X + n, Y)} for n in (0, 1e-9)],
    "target": [{"data": (X, n)} for n in (Y, 1 - Y)],
    "folds": [{"cv": n} for n in (2, 3)],
}


def evaluated(code, name="metric", **variables):
    """Return what a program of the user defines."""
    space = {"__name__": "__main__", "BaseEstimator": BaseEstimator, "Model": Model, **variables}
    exec(code, space)
    return space[name]


METRIC = "def metric(estimator, X, y):\n    return "
OF_CLASS = (
    "class Own(Model):\n    factor = {}\n    {}\n    def score(self, X, y): return self.factor"
)


class Unnamed(Model):
    """Learns under a name that does not end in an underscore."""

    def fit(self, X, y):
        self.mean = X.mean()
        return super().fit(X, y)


CHANGES |= {
    "global number": [{"scoring": evaluated(METRIC + "K", K=n)} for n in (1, 2)],
    "global object": [{"scoring": evaluated(METRIC + "K.value", K=Callable(n))} for n in (1, 2)],
    "global partial": [
        {"scoring": evaluated(METRIC + "K(2)", K=functools.partial(pow, n))} for n in (1, 2)
    ],
    "global function": [
        {"scoring": evaluated(f"def K(): return {n}\n" + METRIC + "K()")} for n in (1, 2)
    ],
    "cached function": [
        {
            "scoring": evaluated(
                f"@functools.lru_cache\ndef K(): return {n}\n" + METRIC + "K()",
                functools=functools,
            )
        }
        for n in (1, 2)
    ],
    "class attribute": [
        {"model": evaluated(OF_CLASS.format(n, "pass"), "Own")(), "scoring": None} for n in (1, 2)
    ],
    "cached property": [
        {
            "model": evaluated(
                OF_CLASS.format(0, f"@cached\n    def b(self): return {n}"),
                "Own",
                cached=functools.cached_property,
            )()
        }
        for n in (1, 2)
    ],
    "frozen class without underscores": [
        {"model": Model(inner=fitted(Unnamed, n))} for n in (1, 2)
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_search_starts_anew_and_the_same_goes_on(tmp_path, change):
    first, second = CHANGES[change]
    _, n_fits = run(tmp_path, **first)
    assert n_fits > 0
    _, n_fits = run(tmp_path, **pickle_or_same(first))
    assert n_fits == 0
    _, n_fits = run(tmp_path, **second)
    assert n_fits > 0
    _, n_fits = run(tmp_path, **first)
    assert n_fits == 0


def pickle_or_same(value):
    try:
        return pickle.loads(pickle.dumps(value))
    except Exception:
        return value


@pytest.mark.parametrize("kind", [str, Path])
def test_files_are_identified_by_their_bytes(tmp_path, kind):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert run(tmp_path, Model(a=kind(path)))[1]
    assert not run(tmp_path, Model(a=kind(path)))[1]
    path.write_bytes(b"two")
    assert run(tmp_path, Model(a=kind(path)))[1]
    copy = tmp_path / "copy"
    copy.write_bytes(b"one")
    assert not run(tmp_path, Model(a=kind(copy)))[1]


def test_recordings_on_disk_are_identified_whole(tmp_path):
    records = np.random.default_rng(0).normal(size=(200, 1, 5)).astype("float32")
    y = np.arange(200) % 2
    assert run(tmp_path, data=(RecordArray.wrap(records), y))[1]
    assert not run(tmp_path, data=(RecordArray.wrap(records.copy()), y))[1]
    records[1, 0, 0] += 1
    assert run(tmp_path, data=(RecordArray.wrap(records), y))[1]


class Unreadable:
    def __deepcopy__(self, memo):
        return self

    def __reduce_ex__(self, protocol):
        raise TypeError("not today")


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"model": Model(inner=Model(a=[Unreadable()]))}, r"estimator.inner.a\[0\] has a .*Unrea"),
        ({"space": {"a": [Unreadable(), None]}}, "param_distributions.* has a .*Unreadable"),
        ({"scoring": make_scorer(closure(Unreadable()))}, "scoring.* has a .*_Scorer"),
    ],
)
def test_what_cannot_be_identified_is_refused_with_storage(tmp_path, params, place):
    with pytest.raises(ValueError, match=f"{place}.*Leave storage out"):
        run(tmp_path, **params)


def test_without_storage_anything_can_be_searched():
    class Metric:
        def __call__(self, estimator, X, y):
            return 1.0

        def __reduce_ex__(self, protocol):
            raise TypeError

    found = OptunaSearchCV(Model(), {"b": [1, 2]}, scoring=Metric(), cv=2, n_trials=2).fit(X, Y)
    assert found.best_score_ == 1


@pytest.mark.parametrize(
    "choices",
    [[1, 1.0], [0, 0.0], [1, True], [0, False, 0.0], [float("nan"), 1.0], [1.0, 1]],
)
@pytest.mark.parametrize("container", [list, CategoricalDistribution])
def test_choices_that_are_equal_are_all_tried(choices, container):
    found = OptunaSearchCV(
        Model(), {"a": container(choices)}, cv=2, n_trials=20, sampler="random",
        scoring="accuracy", random_state=0,
    ).fit(X, Y)  # fmt: skip
    tried = {repr(params["a"]) for params in found.cv_results_["params"]}
    assert tried == set(map(repr, choices))


PROGRAM = """
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from ecgsk import OptunaSearchCV
from sklearn.metrics import make_scorer, accuracy_score
X = np.random.default_rng(0).normal(size=(40, 3)); y = np.arange(40) % 2
found = OptunaSearchCV(
    LogisticRegression(), {"class_weight": [{0: 1, 1: 2}, {0: 1, 1: 3}], "C": [{*"a"}, 1.0][1:]},
    scoring=make_scorer(lambda t, p: accuracy_score(t, p) + len({"a", "b", "c"})), cv=2,
    n_trials=2, random_state=0, storage=sys.argv[1],
).fit(X, y)
print(found.study_.study_name)
"""


def test_other_processes_find_the_same_study(tmp_path):
    script = tmp_path / "search.py"
    script.write_text(PROGRAM)
    names = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(script), f"sqlite:///{tmp_path / 'a.db'}"],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        names.add(done.stdout.strip())
    assert len(names) == 1


def test_pipelines_are_examined_step_by_step(tmp_path):
    for step in (FIRST, SECOND):
        model = make_pipeline(step, Model())
        assert run(tmp_path, model, {"model__b": [1, 2]})[1]
        assert not run(tmp_path, model, {"model__b": [1, 2]})[1]


@pytest.mark.parametrize(
    "params",
    [
        lambda path: {"model": Model(a=Callable(str(path)))},
        lambda path: {"model": Model(a={"k": [path]})},
        lambda path: {"space": {"a": [path, None]}},
        lambda path: {"model": Model(a=path.parent)},
        lambda path: {"model": Model(a=str(path.parent))},
        lambda path: {"scoring": evaluated(METRIC + "len(K)", K=str(path))},
        lambda path: {"scoring": make_scorer(with_default(1), factor=Weight(path))},
    ],
)
def test_files_are_found_in_any_part(tmp_path, params):
    path = tmp_path / "files" / "weights"
    path.parent.mkdir()
    path.write_bytes(b"one")
    assert run(tmp_path, **params(path))[1]
    assert not run(tmp_path, **params(path))[1]
    path.write_bytes(b"two")
    assert run(tmp_path, **params(path))[1]


class Weight(float):
    """A number that knows its file."""

    def __new__(cls, path):
        self = super().__new__(cls, 1.0)
        self.path = path
        return self


def test_files_in_the_home_folder_and_folders_of_many_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for content in (b"one", b"two"):
        (tmp_path / "weights").write_bytes(content)
        assert run(tmp_path, Model(a="~/weights"))[1]
        assert not run(tmp_path, Model(a="~/weights"))[1]
    monkeypatch.setattr("ecgsk.model_selection._search_fingerprint._MAX_FILES", 1)
    (tmp_path / "files").mkdir()
    for name in "ab":
        (tmp_path / "files" / name).touch()
    with pytest.raises(ValueError, match="estimator.a=.* has more than 1 files"):
        run(tmp_path, Model(a=tmp_path / "files"))


def test_what_the_code_itself_changes_is_not_compared(tmp_path):
    calls = []
    log = evaluated("def metric(estimator, X, y):\n    K.append(1)\n    return 1.0", K=calls)
    assert run(tmp_path, scoring=log)[1] and calls
    assert not run(tmp_path, scoring=log)[1]

    class Counting(Model):
        fits_of_class: list = []
        count = 0

        def fit(self, X, y):
            Counting.fits_of_class.append(1)
            Counting.count += 1
            return super().fit(X, y)

    assert run(tmp_path, Counting())[1] and Counting.count
    assert not run(tmp_path, Counting())[1]


class Logging(Model):
    def __init__(self, log_file=None, b=None):
        super().__init__(b=b)
        self.log_file = log_file

    def fit(self, X, y):
        with open(self.log_file, "a") as file:
            file.write("fit")
        return super().fit(X, y)


def test_files_that_a_fit_writes_are_named_only(tmp_path):
    assert run(tmp_path, Logging(str(tmp_path / "log")))[1]
    assert not run(tmp_path, Logging(str(tmp_path / "log")))[1]


def test_modules_that_a_function_imports_are_compared(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    metric = evaluated(
        "def metric(estimator, X, y):\n    import weighting\n    return weighting.f()"
    )
    for n in (1, 22):
        (tmp_path / "weighting.py").write_text(f"def f(): return {n}\n")
        sys.modules.pop("weighting", None)
        assert run(tmp_path, scoring=metric)[1]
        assert not run(tmp_path, scoring=metric)[1]
    sys.modules.pop("weighting", None)


@pytest.mark.parametrize("cells", [[{1: 2}], [[1]], [(1,)]])
def test_tables_of_any_cells_are_metadata(tmp_path, cells):
    class Reading(Model):
        def fit(self, X, y, table=None):
            return super().fit(X, y)

    table = pd.DataFrame({"a": cells * len(Y)})
    assert run(tmp_path, Reading(), fit={"table": table})[1]
    assert not run(tmp_path, Reading(), fit={"table": table.copy()})[1]
    table.iat[3, 0] = {1: 3}
    assert run(tmp_path, Reading(), fit={"table": table})[1]


def test_metadata_requests_are_compared(tmp_path):
    before: set = set()
    with sklearn.config_context(enable_metadata_routing=True):
        for wanted in (True, False):
            model = LogisticRegression().set_fit_request(sample_weight=wanted)
            names = {
                OptunaSearchCV(
                    model, {"C": [1.0]}, n_trials=1, cv=2, storage=f"sqlite:///{tmp_path / 'a.db'}"
                ).fit(X, Y).study_.study_name
                for _ in range(2)
            }  # fmt: skip
            assert len(names) == 1
            assert names != before
            before = names
