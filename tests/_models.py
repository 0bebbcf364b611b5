"""Small instances of the estimators, and recordings that they learn in a second."""

import numpy as np

from ecgsk import ECGFounderClassifier, MTECGClassifier
from tests._processes import die

RATE = 100


def small_models() -> dict:
    """Return an instance of each network estimator, quick enough for a test."""
    quick = {
        "sampling_rate": RATE,
        "max_epochs": 8,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "precision": "float32",
        "random_state": 0,
    }
    return {
        "mtecg": MTECGClassifier("nano", **quick),
        "ecgfounder": ECGFounderClassifier(
            "nano", preprocessing="none", **{**quick, "batch_size": 8}
        ),
    }


def recordings(n_records: int = 48, n_samples: int = 200, seed: int = 0):
    """Return three leads and binary targets: 1 has a fast wave in the second lead."""
    random = np.random.default_rng(seed)
    X = random.normal(scale=0.1, size=(n_records, 3, n_samples)).astype(np.float32)
    y = np.arange(n_records) % 2
    t = np.arange(n_samples) / RATE
    X[y == 1, 1] += 0.4 * np.sin(2 * np.pi * 5 * t).astype(np.float32)
    return X, y


def fit_until_killed(model, epoch: int, *data) -> None:
    """Fit, and die without a word in the second batch after so many epochs."""
    from ecgsk._training import Trainer

    before_batch, batches = Trainer.before_batch, []

    def dies(trainer):
        before_batch(trainer)
        if trainer.epoch == epoch:
            batches.append(trainer.step)
            if len(batches) == 2:
                die()

    Trainer.before_batch = dies
    model.fit(*data)
