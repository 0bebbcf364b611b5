import os
import pickle
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ecgsk
from ecgsk import MTECGClassifier, ProbabilityTransformer, RecordArray, make_lef_classifier
from ecgsk.preprocessing import Standardize
from tests._processes import DEAD, die, start

SHAPE = (2, 30)
Y = np.arange(24) % 2


class Network(ClassifierMixin, BaseEstimator):
    """Answers without a fit, and notes the number of records of each call in a file."""

    def __init__(self, log, gain=1.0, n_jobs=None):
        self.log = log
        self.gain = gain
        self.n_jobs = n_jobs

    @property
    def classes_(self):
        return np.array([0, 1])

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        with open(self.log, "a") as file:
            file.write(f"{len(X)}\n")
        p = 1 / (1 + np.exp(-self.gain * np.asarray(X)[:, 0, 0].astype(float)))
        return np.stack([1 - p, p], axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags


class ReadsAge(Network):
    def predict_proba(self, X):
        p = X.table["age"].to_numpy() / 200
        super().predict_proba(X)
        return np.stack([1 - p, p], axis=1)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)


@pytest.fixture
def network(tmp_path):
    return Network(tmp_path / "log")


@pytest.fixture
def step(network, tmp_path):
    return ProbabilityTransformer(network, memory=tmp_path / "memory")


def computed(network) -> list[int]:
    return [int(line) for line in network.log.read_text().split()] if network.log.exists() else []


def files(folder) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def same_as_without(step, X):
    plain = clone(step).set_params(memory=None)
    np.testing.assert_array_equal(step.transform(X), plain.transform(X))


def test_each_recording_is_computed_once(step, X, network):
    first = step.fit_transform(X)
    for rows in (slice(None), slice(5), np.random.default_rng(1).permutation(24), [3, 3, 7]):
        table = clone(step).fit(X).transform(X[rows])
        np.testing.assert_array_equal(table, first.to_numpy()[rows])
    assert computed(network) == [24]
    same_as_without(step, X)


def test_duplicates_in_a_call_are_computed_once(step, X, network):
    twice = np.concatenate([X[:4], X[2:6], X[:1]])
    table = step.transform(twice).to_numpy()
    assert computed(network) == [6]
    np.testing.assert_array_equal(table[[2, 3, 0]], table[[4, 5, 8]])
    same_as_without(step, twice)


@pytest.mark.parametrize("kind", ["Fortran", "list", "float32 view", "strided"])
def test_the_layout_of_an_array_does_not_count(step, X, network, kind):
    step.transform(X)
    layouts = {
        "Fortran": np.asfortranarray(X),
        "list": list(X),
        "float32 view": X.view(),
        "strided": np.repeat(X, 2, axis=2)[:, :, ::2],
    }
    step.transform(layouts[kind])
    assert computed(network) == [24]


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.__setitem__((5, 1, 29), np.nextafter(X[5, 1, 29], np.float32(9))),
        lambda X: X.__setitem__(5, X[5, ::-1].copy()),
        lambda X: X.__setitem__(5, -X[5]),
    ],
)
def test_a_changed_recording_is_another(step, X, network, change):
    step.transform(X)
    change(X)
    step.transform(X)
    assert computed(network) == [24, 1]
    same_as_without(step, X)


def test_the_shape_counts(tmp_path, X, network):
    step = ProbabilityTransformer(network, memory=tmp_path)
    step.transform(X)
    step.transform(X.reshape(24, 1, 60))
    assert computed(network) == [24, 24]


def test_a_search_in_two_processes_computes_each_recording_once(step, X, network):
    step.transform(X)  # so that two processes do not compute the same at the same time
    model = make_pipeline(step, LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 10.0]}
    found = GridSearchCV(model, grid, cv=4, n_jobs=2).fit(X, Y)
    assert computed(network) == [24]
    plain = model.set_params(probabilitytransformer__memory=None)
    expected = GridSearchCV(plain, grid, cv=4).fit(X, Y)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )


def test_without_memory_a_search_computes_again(X, network):
    model = make_pipeline(ProbabilityTransformer(network), LogisticRegression())
    cross_val_predict(model, X, Y, cv=4)
    assert sum(computed(network)) == 4 * 24


@pytest.mark.parametrize(
    ("params", "n_calls"),
    [({"gain": 2.0}, 2), ({"gain": 1.0}, 1), ({"n_jobs": 3}, 1)],
)
def test_parameters_with_an_effect_make_another_classifier(step, X, network, params, n_calls):
    step.transform(X)
    again = clone(step)
    again.estimator.set_params(**params)
    same_as_without(again, X)
    assert len(computed(network)) == n_calls + 1


def test_a_classifier_fitted_on_other_data_is_another(tmp_path, X):
    flat = X.reshape(24, -1)
    tables = []
    for y in (Y, 1 - Y, Y):
        model = FrozenEstimator(LogisticRegression().fit(flat, y))
        step = ProbabilityTransformer(model, memory=tmp_path)
        tables.append(step.transform(flat).to_numpy())
        same_as_without(step, flat)
    assert not np.allclose(tables[0], tables[1])
    assert len(files(tmp_path)) == 2


def test_changed_code_makes_another_classifier(tmp_path, X):
    log = tmp_path / "log"

    def of_gain(gain):
        def predict_proba(self, X):
            p = gain * np.abs(np.tanh(np.asarray(X)[:, 0, 0]))
            return np.stack([1 - p, p], axis=1)

        return type("Network", (Network,), {"predict_proba": predict_proba})(log)

    for gain in (0.5, 0.25, 0.5):
        same_as_without(ProbabilityTransformer(of_gain(gain), memory=tmp_path), X)


def test_other_weights_are_another_network(tmp_path):
    X = ecgsk.make_ecg(6, sampling_rate=100, random_state=0)
    y = [0, 1] * 3
    paths = []
    for seed in range(2):
        model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=seed)
        paths.append(tmp_path / f"{seed}.safetensors")
        model.fit(X, y).save_weights(paths[-1])
    shutil.copy(paths[0], tmp_path / "copy.safetensors")
    tables = []
    for path in (paths[0], paths[1], tmp_path / "copy.safetensors"):
        network = MTECGClassifier(weights=path, sampling_rate=100, verbose=len(tables))
        step = ProbabilityTransformer(network, memory=tmp_path / "memory")
        tables.append(step.transform(X).to_numpy())
        same_as_without(step, X)
    assert not np.array_equal(tables[0], tables[1])
    assert len(files(tmp_path / "memory")) == 2
    # Another file under the same name, in the middle of a session.
    shutil.copy(paths[1], paths[0])
    same_as_without(
        ProbabilityTransformer(
            MTECGClassifier(weights=paths[0], sampling_rate=100), memory=tmp_path / "memory"
        ),
        X,
    )
    # Weights that were changed in place.
    network.net_.module_.head.bias.data += 1.0
    step = ProbabilityTransformer(FrozenEstimator(network), memory=tmp_path / "memory")
    assert not np.array_equal(step.transform(X), tables[2])


def test_float64_recordings_are_those_that_the_network_reads(tmp_path, monkeypatch):
    X = ecgsk.make_ecg(3, sampling_rate=100, random_state=0)
    calls = []
    original = MTECGClassifier.predict_proba
    monkeypatch.setattr(
        MTECGClassifier, "predict_proba", lambda self, X: calls.append(len(X)) or original(self, X)
    )
    network = make_pipeline(Standardize(), MTECGClassifier.from_pretrained(sampling_rate=100))
    step = ProbabilityTransformer(FrozenEstimator(network), memory=tmp_path)
    np.testing.assert_array_equal(step.transform(X), step.transform(X.astype(np.float64)))
    np.testing.assert_array_equal(step.transform(RecordArray.wrap(X)), step.transform(X))
    assert calls == [3]


def test_for_other_classifiers_float64_is_not_rounded(step, X, network):
    step.transform(X)
    step.transform(X.astype(np.float64) + 1e-12)
    assert computed(network) == [24, 24]


def test_recordings_on_disk_are_read_once(step, network, X):
    reads = []

    def read(rows):
        reads.extend(rows)
        return X[rows]

    records = RecordArray(read, X.shape)
    first = step.transform(records[:20]).to_numpy()
    assert sorted(reads) == list(range(20))
    np.testing.assert_array_equal(step.transform(records).to_numpy()[:20], first)
    assert computed(network) == [20, 4]


def test_blocks_of_recordings_are_joined_in_order(tmp_path, network):
    records = np.random.default_rng(0).normal(size=(5, 12, 1 << 18)).astype(np.float32)
    step = ProbabilityTransformer(network, memory=tmp_path)
    same_as_without(step, RecordArray.wrap(records))
    assert sum(computed(network)[:-1]) == 5 < sum(computed(network))
    assert len(computed(network)) > 2


@pytest.mark.parametrize("reads_table", [True, False])
def test_the_row_of_the_table_counts_where_it_may_be_read(tmp_path, X, reads_table):
    kind = ReadsAge if reads_table else Network
    step = ProbabilityTransformer(kind(tmp_path / "log"), memory=tmp_path)
    table = pd.DataFrame({"age": np.arange(24.0), "sex": ["f", "m"] * 12})
    older = table.assign(age=table["age"].where(table["age"] != 7, 80.0))
    for each in (table, table, older):
        same_as_without(step, RecordArray.wrap(X, table=each))


def test_a_network_does_not_read_the_table(tmp_path):
    X = ecgsk.make_ecg(3, sampling_rate=100, random_state=0)
    step = ProbabilityTransformer(
        MTECGClassifier.from_pretrained(sampling_rate=100), memory=tmp_path
    )
    for age in (50.0, 60.0):
        step.transform(RecordArray.wrap(X, table=pd.DataFrame({"age": [age] * 3})))
    assert len(files(tmp_path)) == 1


def test_the_sampling_rate_and_leads_of_recordings_count(step, X, network):
    for about in ({"sampling_rate": 100}, {"sampling_rate": 200}, {"leads": ["I", "II"]}, {}):
        step.transform(RecordArray.wrap(X, **about))
    assert computed(network) == [24] * 4


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "foreign", "swapped", "text"])
def test_damaged_files_are_computed_again(step, X, network, tmp_path, damage):
    expected = step.transform(X)
    (path,) = files(tmp_path / "memory")
    content = path.read_bytes()
    if damage == "flipped":
        for position in range(0, len(content), 97):
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            np.testing.assert_array_equal(step.transform(X), expected)
            assert len(computed(network)) > 1
            for other in files(tmp_path / "memory"):
                other.unlink()
    elif damage == "swapped":  # rows of one classifier in the folder of another
        other = clone(step)
        other.estimator.set_params(gain=3.0)
        other.transform(X)
        (theirs,) = set(files(tmp_path / "memory")) - {path}
        path.write_bytes(theirs.read_bytes())
    else:
        other = {"cut": content[:-7], "empty": b"", "foreign": pickle.dumps(die), "text": b"x" * 99}
        path.write_bytes(other[damage])
    np.testing.assert_array_equal(step.transform(X), expected)
    assert len(computed(network)) > 1
    n_calls = len(computed(network))
    np.testing.assert_array_equal(step.transform(X), expected)
    assert len(computed(network)) == n_calls


def test_the_folder_may_be_deleted_at_any_time(tmp_path, X, network):
    class Deleting(Network):
        def predict_proba(self, X):
            shutil.rmtree(tmp_path / "memory", ignore_errors=True)
            return super().predict_proba(X)

    step = ProbabilityTransformer(Deleting(tmp_path / "log"), memory=tmp_path / "memory")
    for rows in (slice(10), slice(5, 24), slice(None)):
        same_as_without(step, X[rows])


def test_the_oldest_files_go_first(tmp_path, network, X):
    step = ProbabilityTransformer(network, memory=tmp_path, memory_limit=3000)
    parts = [X + number for number in range(6)]
    for part in parts:
        step.transform(part)
        assert sum(path.stat().st_size for path in files(tmp_path / "ecgsk-probabilities")) <= 3000
    n_calls = len(computed(network))
    step.transform(parts[-1])
    assert len(computed(network)) == n_calls
    step.transform(parts[0])
    assert len(computed(network)) == n_calls + 1


def test_rows_that_exceed_the_limit_are_not_stored(tmp_path, network, X):
    step = ProbabilityTransformer(network, memory=tmp_path, memory_limit=100)
    same_as_without(step, X)
    assert not files(tmp_path / "ecgsk-probabilities")


def test_many_small_calls_leave_few_files(step, network, tmp_path, X):
    many = np.concatenate([X + number for number in range(6)])
    for record in many:
        step.transform(record[np.newaxis])
    assert len(files(tmp_path / "memory")) < 70
    same_as_without(step, many)
    assert sum(computed(network)) == 2 * len(many)


def transform_in_parts(step, X, seed):
    for row in np.random.default_rng(seed).permutation(len(X)):
        step.transform(X[row : row + 1])


def test_processes_share_a_folder(step, X, network):
    processes = [start(transform_in_parts, step, X, seed) for seed in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    n_calls = len(computed(network))
    assert len(X) <= n_calls <= 2 * len(X)
    same_as_without(step, X)
    assert len(computed(network)) == n_calls + 1


def die_while_writing(step, X):
    os.replace = lambda *paths: die()
    step.transform(X)


def test_a_killed_writer_leaves_nothing_wrong(step, X, network, tmp_path):
    process = start(die_while_writing, step, X)
    process.join()
    assert process.exitcode == DEAD
    (left,) = files(tmp_path / "memory")
    same_as_without(step, X)
    assert computed(network) == [24, 24, 24]
    # Its temporary file goes once it is old.
    os.utime(left, (0, 0))
    step.transform(X + 1)
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_warned_of(step, X, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "memory")

    monkeypatch.setattr("ecgsk._core.row_store.write_file", full)
    with pytest.warns(UserWarning, match="No space left"):
        same_as_without(step, X)


def test_a_file_instead_of_a_folder_is_refused(network, X, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; give the path of a folder"):
        ProbabilityTransformer(network, memory=tmp_path / "file").transform(X)


@pytest.mark.parametrize("memory", [3, b"bytes"])
def test_other_types_are_refused(network, X, memory):
    with pytest.raises((TypeError, ValueError), match="memory"):
        ProbabilityTransformer(network, memory=memory).transform(X)
    with pytest.raises(ValueError, match="memory"):
        ProbabilityTransformer(network, memory=memory).fit(X)


def test_a_joblib_memory_gives_its_folder(network, X, tmp_path):
    for _ in range(2):
        memory = joblib.Memory(tmp_path / "joblib", verbose=0)
        ProbabilityTransformer(network, memory=memory).transform(X)
    ProbabilityTransformer(network, memory=joblib.Memory(None)).transform(X)
    assert computed(network) == [24, 24]


def test_a_home_folder_is_expanded(network, X, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    ProbabilityTransformer(network, memory="~/memory").transform(X)
    assert files(tmp_path / "memory")


def test_a_step_that_reads_all_recordings_is_refused(tmp_path, network, X):
    relative = FunctionTransformer(lambda X: X - X.mean(axis=0))
    model = FrozenEstimator(make_pipeline(relative, network))
    with pytest.raises(ValueError, match="for one recording alone"):
        ProbabilityTransformer(model, memory=tmp_path).transform(X)
    ProbabilityTransformer(model, memory=tmp_path).transform(X[:1])
    assert not files(tmp_path / "ecgsk-probabilities")
    own = FunctionTransformer(lambda X: X - X.mean(axis=2, keepdims=True))
    model = FrozenEstimator(make_pipeline(own, network))
    same_as_without(ProbabilityTransformer(model, memory=tmp_path), X)
    assert files(tmp_path / "ecgsk-probabilities")


def test_a_classifier_that_cannot_be_compared_is_refused(step, X):
    step.estimator.gain = (number for number in "abc")
    with pytest.raises(TypeError, match=r"cannot be compared: .*memory=None"):
        step.transform(X)


def test_a_classifier_that_is_fitted_does_not_use_the_memory(tmp_path, X):
    step = ProbabilityTransformer(LogisticRegression(), memory=tmp_path, cv=2)
    step.fit_transform(X.reshape(24, -1), Y)
    step.transform(X.reshape(24, -1))
    assert not files(tmp_path)


def test_values_that_are_not_finite_are_not_kept(tmp_path, network, X):
    X[3, 0, 0] = np.nan
    step = ProbabilityTransformer(network, memory=tmp_path)
    for _ in range(2):
        assert np.flatnonzero(np.isnan(step.transform(X).to_numpy()[:, 0])).tolist() == [3]
    assert computed(network) == [24, 1]


def test_errors_are_those_without_memory(step, network, X):
    with pytest.raises(ValueError, match="minimum of 1|at least|0 record"):
        ProbabilityTransformer(
            FrozenEstimator(LogisticRegression().fit(X.reshape(24, -1), Y)), memory=step.memory
        ).transform(X.reshape(24, -1)[:0])


def test_tables_are_computed_as_they_are(tmp_path, X):
    table = pd.DataFrame(X.reshape(24, -1)).rename(columns=str)
    step = ProbabilityTransformer(
        FrozenEstimator(LogisticRegression().fit(table, Y)), memory=tmp_path
    )
    same_as_without(step, table)
    assert not files(tmp_path)


def test_nothing_is_read_or_written_before_a_prediction(step, tmp_path, X):
    step.memory = tmp_path / "memory"
    pickle.loads(pickle.dumps(clone(step)))
    repr(step), step._repr_html_(), step.get_params(), step.fit(X)
    assert not (tmp_path / "memory").exists()


def test_a_saved_model_does_not_name_the_folder(tmp_path):
    model = make_lef_classifier(classifier="logistic", memory=tmp_path / "secret-folder")
    ecgsk.save(model, tmp_path / "model.ecgsk")
    assert b"secret-folder" not in (tmp_path / "model.ecgsk").read_bytes()
    assert ecgsk.load(tmp_path / "model.ecgsk")["predictors"].memory is None


def shipped(first=None, **params):
    network = MTECGClassifier.from_pretrained(sampling_rate=100, **params)
    return network if first is None else FrozenEstimator(make_pipeline(first, network))


@pytest.mark.parametrize("first", [None, Standardize()])
@pytest.mark.parametrize("lazy", [False, True])
def test_doubts_about_recordings_are_warned_of_under_their_numbers(tmp_path, first, lazy):
    X = ecgsk.make_ecg(6, sampling_rate=100, random_state=0)
    X[4] *= 1000  # microvolt
    records = RecordArray.wrap(X) if lazy else X
    step = ProbabilityTransformer(shipped(first), memory=tmp_path)
    step.transform(X[:3])
    for _ in range(2):  # computed, then from the memory
        with pytest.warns(ecgsk.ECGQualityWarning, match="record 4") as caught:
            step.transform(records)
        assert len([w for w in caught if w.category is ecgsk.ECGQualityWarning]) == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_errors_name_the_record_as_without_memory(tmp_path, lazy):
    X = ecgsk.make_ecg(6, sampling_rate=100, random_state=0)
    step = ProbabilityTransformer(shipped(), memory=tmp_path)
    step.transform(X)
    damaged = X.copy()
    damaged[4, 3, 7] = np.nan
    for records in (damaged, X[:, :5], X[:, :, :300]):
        records = RecordArray.wrap(records) if lazy else records
        with pytest.raises(ValueError) as expected:
            clone(step).set_params(memory=None).transform(records)
        with pytest.raises(ValueError) as found:
            step.transform(records)
        assert str(found.value).splitlines() == str(expected.value).splitlines()
    zero = ProbabilityTransformer(shipped(missing="zero"), memory=tmp_path)
    same_as_without(zero, RecordArray.wrap(damaged) if lazy else damaged)


def test_a_rate_that_contradicts_the_network_is_refused_from_the_memory_too(tmp_path):
    X = ecgsk.make_ecg(3, sampling_rate=100, random_state=0)
    step = ProbabilityTransformer(shipped(), memory=tmp_path)
    step.transform(RecordArray.wrap(X, sampling_rate=100))
    with pytest.raises(ValueError, match="carries sampling_rate=500"):
        step.transform(RecordArray.wrap(X, sampling_rate=500))
