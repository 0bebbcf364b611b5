"""What scikit-learn's checks do not ask of estimators of recordings."""

import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from ecgsk import RecordArray
from ecgsk.estimators import EarlyStopping
from ecgsk.preprocessing import BandPass, Resample, Standardize
from tests._models import RATE, fit_until_killed, recordings, small_models
from tests._processes import DEAD, start

pytestmark = pytest.mark.parametrize("name", list(small_models()))
TESTS = Path(__file__).parents[1]


@pytest.fixture
def model(name):
    return small_models()[name]


@pytest.fixture
def data():
    return recordings()


def test_it_learns(model, data):
    X, y = data
    X_new, y_new = recordings(seed=1)
    assert model.fit(X, y).score(X_new, y_new) == 1.0
    assert [row["epoch"] for row in model.history_] == list(range(1, 9))
    assert model.history_[-1]["train_loss"] < 0.5 * model.history_[0]["train_loss"]


def test_a_seed_repeats_a_fit_bit_for_bit_and_spares_global_generators(model, data):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = model.fit(*data).predict_proba(data[0])
    second = clone(model).fit(*data).predict_proba(data[0])
    again = model.fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, again)
    other = clone(model).set_params(random_state=1).fit(*data).predict_proba(data[0])
    assert not np.array_equal(first, other)
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])


@pytest.mark.parametrize("kind", ["float64", "fortran", "memmap", "read-only", "list", "records"])
def test_any_container_has_the_same_predictions(model, data, kind, tmp_path):
    X, y = data
    expected = model.fit(X, y).predict_proba(X)
    if kind == "memmap":
        np.save(tmp_path / "x.npy", X)
        other = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "read-only":
        other = X.copy()
        other.flags.writeable = False
    else:
        other = {
            "float64": X.astype(np.float64),
            "fortran": np.asfortranarray(X),
            "list": X.tolist(),
            "records": RecordArray.wrap(X),
        }[kind]
    np.testing.assert_array_equal(model.predict_proba(other), expected)
    np.testing.assert_array_equal(clone(model).fit(other, y).predict_proba(other), expected)


def test_integers_are_values_in_millivolt(model, data):
    X, y = (1000 * data[0]).astype(np.int16), data[1]
    with pytest.warns(UserWarning, match="millivolt"):
        model.set_params(max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X.astype(np.float32)))


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [5, 9], [-1.0, 1.0]])
def test_binary_labels_of_any_type(model, data, labels):
    X, y = data[0], np.asarray(labels)[data[1]]
    model.fit(X, y)
    assert list(model.classes_) == sorted(labels)
    assert (model.predict(X) == y).all()
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert ((p[:, 1] > 0.5) == (y == model.classes_[1])).all()
    assert not model.multilabel_


def test_multiclass(model, data):
    X, y = data[0].copy(), data[1].copy()
    y[::4] = 2
    X[y == 2, 2] += 1
    labels = np.array(["c", "a", "b"])[y]
    model.set_params(max_epochs=20).fit(X, labels)
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.score(X, labels) > 0.9
    assert model.decision_function(X).shape == (48, 3)


@pytest.mark.parametrize("as_frame", [False, True])
def test_multilabel(model, data, as_frame):
    X, y = data
    Y = np.stack([y, 1 - y, np.zeros_like(y)], axis=1)
    model.set_params(max_epochs=20)
    model.fit(X, pd.DataFrame(Y, columns=["AFIB", "SR", "WPW"]) if as_frame else Y)
    p = model.predict_proba(X)
    assert p.shape == Y.shape and model.multilabel_
    assert (model.predict(X) == Y).all()
    # A label that never occurs is learned as such and harms nothing.
    assert p[:, 2].max() < 0.5
    assert getattr(model, "label_names_", None) == (["AFIB", "SR", "WPW"] if as_frame else None)


def test_one_class_is_no_task(model, data):
    with pytest.raises(ValueError, match="at least 2 classes; y holds 1 class"):
        model.fit(data[0], np.ones(48))


def test_a_single_record_can_be_predicted(model, data):
    X, y = data
    model.fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X[:1]), model.predict_proba(X)[:1], atol=1e-5)
    with pytest.raises(ValueError, match=r"X\[np\.newaxis\]|2 leads|features"):
        model.predict_proba(X[0])


def test_wrong_recordings_raise(model, data):
    X, y = data
    model.fit(X, y)
    with pytest.raises(ValueError, match="2 leads; expected 3"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="100 samples a record; expected 200.*Resample"):
        model.predict(X[..., ::2])
    broken = X.copy()
    broken[5, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 NaN.*record 5"):
        model.predict(broken)
    with pytest.raises(ValueError, match="1 NaN.*record 5"):
        clone(model).fit(broken, y)
    assert np.isfinite(model.set_params(missing="zero").predict_proba(broken)).all()


def test_leads_are_checked_and_named(model, data):
    X, y = data
    model.set_params(leads=["i", "LEAD II", "v1"], max_epochs=1).fit(X, y)
    assert model.lead_names_ == ["I", "II", "V1"]
    with pytest.raises(ValueError, match="3 leads; expected 2"):
        model.set_params(leads=["I", "II"]).fit(X, y)


def test_one_lead_may_have_two_or_three_dimensions(model, data):
    X, y = data[0][:, 1], data[1]
    flat = clone(model).fit(X, y)
    deep = clone(model).fit(X[:, np.newaxis], y)
    np.testing.assert_array_equal(flat.predict_proba(X), deep.predict_proba(X))
    np.testing.assert_array_equal(flat.predict_proba(X[:, np.newaxis]), deep.predict_proba(X))


def test_unfitted(model, data):
    with pytest.raises(NotFittedError):
        model.predict_proba(data[0])


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"device": "cuda:77"}, "cuda:77.*not available"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"precision": "half"}, "precision"),
        ({"sampling_rate": -1}, "sampling_rate"),
    ],
)
def test_wrong_parameters_are_named(model, data, params, said):
    with pytest.raises(ValueError, match=said):
        model.set_params(**params).fit(*data)


def test_bfloat16_keeps_fine_logits(model, data):
    X, y = data
    model.set_params(precision="bf16").fit(X, y)
    assert model.score(*recordings(seed=1)) > 0.9
    logits = model.decision_function(X).astype(np.float32)
    # A logit that went through bfloat16 ends in 16 bits of zero.
    assert (logits.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_allclose(
        logits, model.set_params(precision="float32").decision_function(X), atol=0.2
    )


def test_units_do_not_matter_to_what_is_learnt(model, data):
    X, y = data
    scaled = clone(model).fit(8 * X, y).predict_proba(8 * X)
    np.testing.assert_allclose(scaled, model.fit(X, y).predict_proba(X), atol=1e-3)


def test_recordings_larger_than_memory_stream_through_a_pipeline(model, data, tmp_path):
    X, y = np.tile(data[0], (20, 1, 1)), np.tile(data[1], 20)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    pipeline = make_pipeline(BandPass(1, 30, sampling_rate=RATE), model.set_params(max_epochs=1))
    expected = pipeline.fit(X, y).predict_proba(X)
    with sklearn.config_context(working_memory=1):
        assert isinstance(pipeline[:-1].transform(mapped), RecordArray)
        np.testing.assert_allclose(pipeline.predict_proba(mapped), expected, atol=1e-6)
        refitted = clone(pipeline).fit(mapped, y).predict_proba(mapped[:100])
    np.testing.assert_allclose(refitted, expected[:100], atol=1e-5)


def test_hdf5_is_read_a_batch_at_a_time(model, data, tmp_path):
    X, y = data
    expected = model.fit(X, y).predict_proba(X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("ecg", data=X.astype(np.float64))
        np.testing.assert_array_equal(model.predict_proba(stored), expected)
        # Training asks for records in any order, which h5py itself refuses.
        again = clone(model).fit(stored, y).predict_proba(stored)
        np.testing.assert_array_equal(again, expected)
        scores = cross_val_score(model, RecordArray.wrap(stored), y, cv=2)
    assert scores.min() > 0.9


def test_class_weight_changes_the_predictions(model, data):
    X, y = data
    X = np.random.default_rng(0).normal(scale=0.1, size=X.shape)  # nothing to learn but shares
    y = (np.arange(48) % 6 == 0).astype(int)
    model.set_params(max_epochs=5)
    plain = clone(model).fit(X, y).predict_proba(X)[:, 1].mean()
    balanced = clone(model).set_params(class_weight="balanced").fit(X, y)
    assert balanced.predict_proba(X)[:, 1].mean() > plain + 0.1
    Y = np.stack([y, 1 - y], axis=1)
    balanced = clone(model).set_params(class_weight="balanced").fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(balanced.mean(axis=0), 0.5, atol=0.15)
    with pytest.raises(ValueError, match="class_weight.*one dict"):
        model.set_params(class_weight={0: 1, 1: 2}).fit(X, Y)


def test_records_without_weight_are_as_if_left_out(model, data):
    X, y = data
    weight = np.ones(48)
    weight[40:] = 0
    wrong = y.copy()
    wrong[40:] = 7
    weighted = clone(model).fit(X, wrong, sample_weight=weight)
    assert list(weighted.classes_) == [0, 1]
    np.testing.assert_array_equal(
        weighted.predict_proba(X), clone(model).fit(X[:40], y[:40]).predict_proba(X)
    )


@pytest.fixture
def rows_of_splits(monkeypatch):
    """Return a list that receives the training and the validation rows of a fit."""
    from ecgsk.estimators import _classifier

    original, seen = _classifier.ECGDataset, []
    monkeypatch.setattr(
        _classifier, "ECGDataset", lambda *args: (seen.append(args[3]), original(*args))[1]
    )
    return seen


def test_early_stopping_keeps_the_best_epoch(model, data, rows_of_splits):
    X = data[0]
    y = np.random.default_rng(0).permutation(data[1])  # nothing to learn: the loss soon rises
    model.set_params(
        early_stopping=EarlyStopping(n_iter_no_change=3, validation_fraction=0.25, tol=0),
        max_epochs=60,
    ).fit(X, y)
    losses = [row["valid_loss"] for row in model.history_]
    valid = rows_of_splits[1]
    assert len(losses) < 60 and len(losses) - 1 - int(np.argmin(losses)) == 3
    kept = log_loss(y[valid], model.predict_proba(X[valid]))
    assert kept == pytest.approx(min(losses), abs=1e-5)


def test_early_stopping_splits_by_patient(model, data, rows_of_splits):
    groups = np.arange(48) // 3
    model.set_params(early_stopping=True, max_epochs=1).fit(*data, groups=groups)
    train, valid = (set(groups[rows]) for rows in rows_of_splits)
    assert train | valid == set(groups) and valid and not train & valid


def test_in_a_pipeline_and_searches(model, data):
    X, y = data
    pipeline = make_pipeline(Standardize(), model)
    grid = {f"{type(model).__name__.lower()}__max_epochs": [1, 8]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert list(search.best_params_.values()) == [8]
    scores = cross_val_score(
        model, RecordArray.wrap(X), y, groups=np.arange(48) // 4, cv=GroupKFold(2)
    )
    assert scores.min() > 0.9


def test_a_pipeline_resamples_what_the_network_gets(model, data):
    X, y = np.repeat(data[0], 5, axis=-1), data[1]
    pipeline = make_pipeline(Resample(5 * RATE, RATE), model).fit(X, y)
    assert pipeline[-1].n_samples_in_ == 200
    assert pipeline.score(X, y) == 1.0


@pytest.mark.slow
def test_pickles_load_in_a_fresh_process_and_are_small(model, data, tmp_path):
    X, y = data
    model.set_params(early_stopping=True).fit(X, y)
    expected = model.predict_proba(X)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", X)
    script = (
        "import pickle, numpy as np, sys; folder = sys.argv[1]\n"
        "model = pickle.load(open(folder + '/model.pkl', 'rb'))\n"
        "np.save(folder + '/p.npy', model.predict_proba(np.load(folder + '/x.npy')))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), expected)
    n_parameters = sum(p.numel() for p in model.net_.module_.parameters())
    assert (tmp_path / "model.pkl").stat().st_size < 4 * n_parameters + 40_000


def test_a_killed_fit_goes_on_and_ends_as_an_unbroken_one(model, data, tmp_path, name):
    X, y = data
    model.set_params(max_epochs=12, strategy__dropout=0.1)
    model.set_params(early_stopping=EarlyStopping(n_iter_no_change=40))
    killed = clone(model).set_params(checkpoint_dir=tmp_path)
    process = start(fit_until_killed, killed, 5, X, y)
    process.join()
    assert process.exitcode == DEAD
    (checkpoint,) = tmp_path.glob("*.ckpt")
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 5

    unbroken = clone(model).fit(X, y)
    epochs = []
    from ecgsk._training import Trainer

    original = Trainer.before_batch
    Trainer.before_batch = lambda self: (epochs.append(self.epoch), original(self))[1]
    try:
        resumed = clone(model).set_params(checkpoint_dir=tmp_path).fit(X, y)
    finally:
        Trainer.before_batch = original
    assert min(epochs) == 5, "the resumed fit began anew"
    np.testing.assert_array_equal(resumed.predict_proba(X), unbroken.predict_proba(X))
    assert len(resumed.history_) == len(unbroken.history_)
    assert not list(tmp_path.glob("*.ckpt"))


def test_other_data_do_not_meet_a_foreign_checkpoint(model, data, tmp_path):
    X, y = data
    model.set_params(max_epochs=2, checkpoint_dir=tmp_path)
    expected = clone(model).set_params(checkpoint_dir=None).fit(X[:40], y[:40]).predict_proba(X)
    model.fit(X, y)
    np.testing.assert_array_equal(model.fit(X[:40], y[:40]).predict_proba(X), expected)


def test_corrected_labels_do_not_meet_the_old_checkpoint(model, data, tmp_path, monkeypatch):
    X, y = data
    model.set_params(checkpoint_dir=tmp_path)
    from ecgsk._training import Trainer

    original = Trainer._stop_if_done

    def die(self):
        if self.epoch == 3:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_stop_if_done", die)
        with pytest.raises(KeyboardInterrupt):
            clone(model).fit(X, y)
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    corrected = y.copy()
    corrected[[3, 17, 31]] = 1 - corrected[[3, 17, 31]]
    fresh = clone(model).set_params(checkpoint_dir=None).fit(X, corrected)
    np.testing.assert_array_equal(
        clone(model).fit(X, corrected).predict_proba(X), fresh.predict_proba(X)
    )


def test_checkpoints_need_a_seed_and_a_folder(model, data, tmp_path):
    with pytest.raises(ValueError, match="random_state to be an int; got None"):
        clone(model).set_params(checkpoint_dir=tmp_path, random_state=None).fit(*data)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="checkpoint_dir=.*file"):
        model.set_params(checkpoint_dir=tmp_path / "file").fit(*data)


def test_a_loss_that_explodes_stops_the_fit(model, data):
    with pytest.raises(ValueError, match="no longer finite in epoch 1 .*Lower learning_rate"):
        model.set_params(learning_rate=1e30).fit(*data)
    assert not hasattr(model, "net_")


def test_one_absurd_record_does_not_spoil_the_others(model, data):
    X, y = data[0].copy(), data[1]
    X[5] *= 1e5
    assert model.fit(X, y).score(*recordings(seed=1)) > 0.9
    X[5, 0, 0] = 1e20  # a fill value
    with pytest.raises(ValueError, match="1 NaN or infinite samples .or beyond 1e9.*record 5"):
        model.fit(X, y)


def test_a_refit_that_fails_leaves_no_mixture(model, data):
    X, y = data
    model.fit(X, y)
    with pytest.raises(ValueError, match="not available"):
        model.set_params(device="cuda:77").fit(X, np.arange(48) % 4)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_refit_forgets_names(model, data):
    X, y = data
    findings = pd.DataFrame({"A": y, "B": 1 - y})
    model.set_params(leads=["I", "II", "V1"], max_epochs=1).fit(X, findings)
    model.set_params(leads=None).fit(X, y)
    assert not hasattr(model, "lead_names_") and not hasattr(model, "label_names_")
    frame = pd.DataFrame(X[:, 0]).add_prefix("t")
    model.fit(frame, y)
    assert len(model.feature_names_in_) == 200
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_precision_may_change_after_the_fit(model, data):
    X, y = data
    expected = model.fit(X, y).predict_proba(X)
    for precision in ("float64", "auto"):
        model.set_params(precision=precision)
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)


def test_the_error_for_a_single_recording_has_a_remedy(model, data):
    model.set_params(max_epochs=1).fit(*data)
    with pytest.raises(ValueError, match=r"2 dimension.*\(n_records, 3, 200\).*X\[np\.newaxis\]"):
        model.predict(data[0][0])


@pytest.mark.slow
def test_threads_that_fit_at_once_do_not_disturb_each_other(model, data):
    expected = clone(model).fit(*data).predict_proba(data[0])
    state = torch.get_rng_state()
    fits = Parallel(n_jobs=4, backend="threading")(
        delayed(clone(model).fit)(*data) for _ in range(4)
    )
    for fit in fits:
        np.testing.assert_array_equal(fit.predict_proba(data[0]), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_devices_may_be_torchs_own(model, data):
    model.set_params(max_epochs=1, device=torch.device("cpu")).fit(*data)
    assert model.device_ == model.set_params(device="cpu:0").fit(*data).device_ == "cpu"


def test_the_progress_bar_can_be_silent(model, data, capfd):
    model.set_params(max_epochs=1).fit(*data)
    assert capfd.readouterr() == ("", "")
    model.set_params(verbose=2).fit(*data)
    assert "scratch 1/1" in capfd.readouterr().err


def test_a_fit_is_gone_on_with_on_another_device_and_not_with_other_parameters(
    model, data, tmp_path, monkeypatch
):
    from ecgsk._training import Checkpoint

    monkeypatch.setattr(Checkpoint, "remove", lambda self: None)
    X, y = data
    model.set_params(max_epochs=1, checkpoint_dir=tmp_path)
    same = [{}, {"device": "cpu"}, {"device": "auto", "verbose": 1}]
    if "n_jobs" in model.get_params():
        same.append({"n_jobs": 2})
    for change in same:
        clone(model).set_params(**change).fit(X, y)
        assert len(list(tmp_path.glob("*.ckpt"))) == 1, change
    for n, change in enumerate(
        [{"learning_rate": 1e-3}, {"random_state": 1}, {"precision": "auto"}]
    ):
        clone(model).set_params(**change).fit(X, y)
        assert len(list(tmp_path.glob("*.ckpt"))) == n + 2, change
    model.fit(X, 1 - y)
    assert len(list(tmp_path.glob("*.ckpt"))) == 5
