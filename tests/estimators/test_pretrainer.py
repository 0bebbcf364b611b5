"""Masked pre-training as a scikit-learn transformer."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from ecgsk import ECGAugmentation, MTECGClassifier, MTECGPretrainer, RecordArray
from ecgsk.preprocessing import BandPass
from tests._models import RATE, fit_until_killed
from tests._processes import DEAD, start

TESTS = Path(__file__).parents[1]


def waves(n_records=48, n_samples=200, seed=0):
    """Return three leads with a wave each, whose phase and rate the seen segments tell."""
    random = np.random.default_rng(seed)
    t = np.arange(n_samples) / RATE
    rate = random.uniform(2, 4, (n_records, 1, 1))
    phase = random.uniform(0, 2 * np.pi, (n_records, 1, 1)) + np.arange(3)[:, None]
    wave = 0.3 * np.sin(2 * np.pi * rate * t + phase)
    return (wave + random.normal(0, 0.01, wave.shape)).astype(np.float32)


def small(**params):
    return MTECGPretrainer(
        **{
            "preset": {"preset": "nano", "patch_size": 10},
            "decoder_width": 32,
            "decoder_heads": 2,
            "sampling_rate": RATE,
            "max_epochs": 3,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "precision": "float32",
            "random_state": 0,
            **params,
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return small(max_epochs=60, learning_rate=1e-2).fit(waves(200))


@pytest.mark.slow
def test_it_learns_to_fill_what_it_has_not_seen(fitted):
    X = waves(seed=1)
    # Predicting zero costs the variance, 1 in units of scale_.
    assert fitted.score(X) > -0.1
    filled, mask = fitted.reconstruct(X, return_mask=True)
    assert filled.shape == X.shape and mask.mean() == pytest.approx(0.5)
    seen = np.broadcast_to(~mask[:, None], X.shape)
    np.testing.assert_array_equal(filled[seen], X[seen])
    errors = (filled - X)[~seen]
    assert 0 < errors.std() < 0.75 * X[~seen].std()
    assert fitted.history_[-1]["train_loss"] < 0.2 * fitted.history_[0]["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["raw", "normalized"])
def test_other_targets_come_back_in_millivolt(target):
    X = waves(200)
    model = small(target=target, max_epochs=50, learning_rate=1e-2).fit(X)
    filled, mask = model.reconstruct(X, return_mask=True)
    hidden = np.broadcast_to(mask[:, None], X.shape)
    assert (filled - X)[hidden].std() < 0.8 * X[hidden].std()


def test_what_is_filled_does_not_depend_on_what_is_hidden(fitted):
    X = waves(seed=2)
    filled, mask = fitted.reconstruct(X, return_mask=True)
    other = np.where(mask[:, None], X + 1.0, X).astype(np.float32)
    np.testing.assert_allclose(fitted.reconstruct(other), filled, atol=1e-6)


def test_score_has_the_same_masks_for_any_batches(fitted):
    X = waves(seed=3)
    assert fitted.score(X) == fitted.score(X)
    again = pickle.loads(pickle.dumps(fitted)).set_params(batch_size=5)
    assert again.score(X) == pytest.approx(fitted.score(X), rel=1e-5)
    np.testing.assert_allclose(again.reconstruct(X), fitted.reconstruct(X), atol=1e-5)


def test_embeddings_are_a_table_for_any_classifier(fitted):
    X = waves()
    table = fitted.transform(X)
    assert table.shape == (48, 32) and table.dtype == np.float32
    np.testing.assert_allclose(fitted.transform(X[:1]), table[:1], atol=1e-5)
    names = fitted.get_feature_names_out()
    assert list(names[:2]) == ["mtecgpretrainer0", "mtecgpretrainer1"] and len(names) == 32
    y = np.arange(48) % 2
    pipeline = make_pipeline(small(), LogisticRegression()).set_output(transform="pandas")
    assert pipeline.fit(X, y).predict_proba(X).shape == (48, 2)
    assert list(pipeline[:-1].transform(X).columns) == list(names)


def test_a_seed_repeats_it_and_spares_global_generators():
    X, state = waves(), torch.get_rng_state()
    augmentation = ECGAugmentation()
    first = small(augmentation=augmentation).fit(X)
    second = clone(first).fit(X)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert torch.equal(state, torch.get_rng_state())
    assert not np.array_equal(small(random_state=1).fit(X).transform(X), first.transform(X))


def test_a_search_over_the_masking_ratio():
    grid = {"mask_ratio": [0.25, 0.75]}
    search = GridSearchCV(small(max_epochs=2), grid, cv=KFold(2)).fit(waves())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert (search.cv_results_["mean_test_score"] < 0).all()


@pytest.mark.parametrize(("ratio", "n_masked"), [(0.05, 1), (0.5, 10), (0.75, 15), (0.999, 19)])
def test_the_ratio_is_what_is_masked(ratio, n_masked):
    X = waves(8)
    model = small(mask_ratio=ratio, max_epochs=1).fit(X)
    _, mask = model.reconstruct(X, return_mask=True)
    assert (mask.sum(axis=1) == 10 * n_masked).all()


def test_recordings_larger_than_memory_are_read_a_batch_at_a_time(tmp_path):
    X = np.tile(waves(), (20, 1, 1))
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    largest = []

    def read(rows):
        largest.append(len(rows))
        return X[rows]

    pipeline = make_pipeline(BandPass(0.5, 30, sampling_rate=RATE), small(max_epochs=1))
    expected = pipeline.fit(X).transform(X[:100])
    with sklearn.config_context(working_memory=1):
        np.testing.assert_allclose(
            clone(pipeline).fit(mapped).transform(mapped)[:100], expected, atol=1e-5
        )
    records = RecordArray(read, X.shape)
    np.testing.assert_allclose(clone(pipeline).fit(records).transform(X[:100]), expected, atol=1e-5)
    assert max(largest) <= 512


def test_a_killed_pretraining_goes_on_to_the_same_end(tmp_path):
    X, model = waves(), small(max_epochs=8, augmentation=ECGAugmentation())
    killed = clone(model).set_params(checkpoint_dir=tmp_path)
    process = start(fit_until_killed, killed, 3, X)
    process.join()
    assert process.exitcode == DEAD
    (checkpoint,) = tmp_path.glob("*.ckpt")
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 3
    unbroken = clone(model).fit(X)
    resumed = clone(model).set_params(checkpoint_dir=tmp_path).fit(X)
    np.testing.assert_array_equal(resumed.transform(X), unbroken.transform(X))
    losses = [[row["train_loss"] for row in m.history_] for m in (resumed, unbroken)]
    assert losses[0] == losses[1]
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.slow
def test_pretraining_helps_where_labels_are_few(fitted):
    """The encoder that learned waves tells fast from slow ones from a few labels."""
    random = np.random.default_rng(5)
    t = np.arange(200) / RATE

    def labeled(n):
        y = np.arange(n) % 2
        rate = np.where(y, 3.2, 2.8)[:, None, None]
        phase = random.uniform(0, 2 * np.pi, (n, 1, 1)) + np.arange(3)[:, None]
        wave = 0.3 * np.sin(2 * np.pi * rate * t + phase)
        return (wave + random.normal(0, 0.01, wave.shape)).astype(np.float32), y

    X, y = labeled(24)
    X_new, y_new = labeled(200)
    common = {"sampling_rate": RATE, "max_epochs": 20, "learning_rate": 3e-3, "random_state": 0}
    tuned = MTECGClassifier(pretrained=fitted, pooling="mean", **common).fit(X, y)
    scratch = MTECGClassifier({"preset": "nano", "patch_size": 10}, pooling="mean", **common).fit(
        X, y
    )
    assert tuned.score(X_new, y_new) > scratch.score(X_new, y_new) + 0.2
    assert tuned.scale_ == fitted.scale_
    assert [row["stage"] for row in tuned.history_][0] == "fine-tuning"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio"),
        ({"target": "fluctuated"}, "target"),
        ({"decoder_heads": 5}, "decoder_heads"),
        ({"preset": {"preset": "nano", "patch_size": 200}}, "masking needs two"),
        ({"preset": {"size": 5}}, "may have the keys preset, patch_size"),
        ({"preset": {"depth": 0}}, "'depth' parameter of MTECGSize"),
        ({"sampling_rate": None}, "sampling_rate=None"),
        ({"checkpoint_dir": "x", "random_state": None}, "random_state to be an int"),
    ],
)
def test_wrong_parameters_are_named(params, said):
    with pytest.raises(ValueError, match=said):
        small(**params).fit(waves())


def test_wrong_recordings_raise(fitted):
    X = waves()
    with pytest.raises(NotFittedError):
        small().transform(X)
    with pytest.raises(ValueError, match="2 leads; expected 3"):
        fitted.transform(X[:, :2])
    with pytest.raises(ValueError, match="100 samples a record; expected 200"):
        fitted.reconstruct(X[..., :100])
    X[3, 1, 7] = np.nan
    with pytest.raises(ValueError, match="1 NaN.*record 3"):
        fitted.score(X)


def test_a_failed_refit_leaves_nothing_behind():
    model = small(max_epochs=1).fit(waves())
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((4, 3, 200), np.nan, dtype=np.float32))
    with pytest.raises(NotFittedError):
        model.transform(waves())
