"""Parameters of 0.1.0, in states that were saved then, become those of this version.

Whole files of 0.1.0 are read in tests/persistence.
"""

import pytest
from sklearn.dummy import DummyClassifier

from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer

OLD = {
    "strategy": "full",
    "head_epochs": 30,
    "head_learning_rate": 5e-3,
    "head_weight_decay": 0.1,
    "final_learning_rate": "auto",
    "stochastic_depth": "auto",
    "stochastic_depth_rule": "linear",
    "dropout": "auto",
    "teacher": None,
    "distillation_temperature": 2.0,
    "distillation_weight": 0.7,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "n_iter_no_change": 10,
    "tol": 1e-4,
}
SIZE = {"preset": "nano", "patch_size": None, "width": None, "depth": None, "n_heads": None}
TEACHER = DummyClassifier()


def restored(cls, **changes):
    """Return an estimator whose state is one of 0.1.0."""
    estimator = cls.__new__(cls)
    size = {"preset": "nano"} if cls is ECGFounderClassifier else SIZE
    options = {} if cls is MTECGPretrainer else OLD
    common = {k: v for k, v in cls().get_params(deep=False).items() if k not in (*OLD, *SIZE)}
    common.pop("distillation", None)
    estimator.__setstate__({**common, **size, **options, "_starts_from": None, **changes})
    return estimator


@pytest.mark.parametrize("cls", [MTECGClassifier, ECGFounderClassifier, MTECGPretrainer])
def test_defaults_stay_defaults(cls):
    model = restored(cls)
    assert repr(model) == repr(cls("nano"))
    assert set(vars(model)) == set(cls().get_params(deep=False))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stochastic_depth": 0.2}, {"strategy__stochastic_depth": 0.2, "strategy__dropout": 0.0}),
        (
            {"strategy": "post_training", "head_epochs": 5, "final_learning_rate": 0.0},
            {
                "strategy__head_epochs": 5,
                "strategy__final_learning_rate": 0.0,
                "strategy__dropout": 0.05,
                "strategy__stochastic_depth": 0.3,
            },
        ),
        (
            {"strategy": "linear_probe", "head_epochs": 5, "head_weight_decay": 0.0},
            {"strategy__max_epochs": 5, "strategy__weight_decay": 0.0},
        ),
        ({"early_stopping": True, "tol": 0.5}, {"early_stopping__tol": 0.5}),
        ({"early_stopping": True}, {"early_stopping": True}),
        ({"tol": 0.5}, {"early_stopping": False}),
        (
            {"teacher": TEACHER, "distillation_weight": 0.4},
            {"distillation__teacher": TEACHER, "distillation__weight": 0.4},
        ),
    ],
)
@pytest.mark.parametrize("cls", [MTECGClassifier, ECGFounderClassifier])
def test_numbers_move_into_objects(cls, changes, expected):
    params = restored(cls, **changes).get_params()
    assert {name: params[name] for name in expected} == expected


def test_sizes_move_into_an_object():
    for cls in (MTECGClassifier, MTECGPretrainer):
        model = restored(cls, width=16, n_heads=4)
        assert repr(model.preset) == "MTECGSize(n_heads=4, preset='nano', width=16)"


def test_states_of_this_version_stay_as_they_are():
    state = MTECGClassifier("nano", strategy="post_training").__getstate__()
    model = MTECGClassifier.__new__(MTECGClassifier)
    model.__setstate__(dict(state))
    assert vars(model) == state
