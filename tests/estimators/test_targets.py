import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import logit
from sklearn.utils.class_weight import compute_class_weight

from ecgsk._core.checks import check_groups
from ecgsk.estimators._split import validation_split
from ecgsk.estimators._targets import class_weights, encode_targets, prior_logits, teacher_logits


def encode(y, used=None):
    used = np.ones(len(y) if not sparse.issparse(y) else y.shape[0], bool) if used is None else used
    return encode_targets(y, used=used, estimator_name="Model")


@pytest.mark.parametrize(
    ("y", "kind", "classes", "encoded"),
    [
        (["b", "a", "b"], "binary", ["a", "b"], [1, 0, 1]),
        ([True, False, True], "binary", [False, True], [1, 0, 1]),
        ([2, 0, 7, 2], "multiclass", [0, 2, 7], [1, 0, 2, 1]),
        (np.array([[1, 0], [1, 1]]), "multilabel", [0, 1], [[1, 0], [1, 1]]),
        (sparse.csr_array([[1, 0, 0], [1, 1, 0]]), "multilabel", [0, 1, 2], [[1, 0, 0], [1, 1, 0]]),
    ],
)
def test_kinds_of_targets(y, kind, classes, encoded):
    targets = encode(y)
    assert targets.kind == kind
    assert list(targets.classes) == classes
    np.testing.assert_array_equal(targets.encoded, encoded)
    assert targets.n_outputs == (1 if kind == "binary" else len(classes))
    assert (targets.strata() is None) == (kind == "multilabel")


def test_columns_of_a_frame_name_the_labels():
    frame = pd.DataFrame({"NORM": [1, 0, 1], 2: [1, 1, 0]})
    assert encode(frame).label_names == ["NORM", "2"]
    assert encode(frame.to_numpy()).label_names is None


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "requires y to be passed"),
        ([1.5, 2.5, 0.1], "continuous"),
        ([[1, 2], [2, 0]], "multiclass-multioutput"),
        ([0, np.nan, 1.0], "NaN"),
        (["a", "a"], "y holds 1 class: .*a"),
    ],
)
def test_what_is_no_target(y, said):
    with pytest.raises(ValueError, match=said):
        encode_targets(y, used=np.ones(3 if y is None else len(y), bool), estimator_name="Model")


def test_classes_of_unused_records_do_not_exist():
    y = np.array(["a", "z", "b", "a"])
    targets = encode(y, used=np.array([True, False, True, True]))
    assert list(targets.classes) == ["a", "b"] and targets.kind == "binary"
    np.testing.assert_array_equal(targets.encoded[[0, 2, 3]], [0, 1, 0])
    # A loss may look up the class of a record without weight.
    assert targets.encoded[1] in (0, 1)


@pytest.mark.parametrize("weight", ["balanced", {"a": 1.0, "b": 3.0, "c": 0.5}])
def test_weights_of_classes_are_scikit_learns(weight):
    y = np.array(list("aaabbbbbcc"))
    rows = np.arange(1, 10)
    ours = class_weights(weight, encode(y), rows)
    expected = compute_class_weight(weight, classes=np.array(["a", "b", "c"]), y=y[rows])
    np.testing.assert_allclose(ours, expected)


def test_weights_of_labels():
    Y = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]])
    targets, rows = encode(Y), np.arange(4)
    assert class_weights(None, targets, rows) is None
    balanced = class_weights("balanced", targets, rows)
    np.testing.assert_allclose(balanced, [[4 / 6, 1, 1], [2, 1, 1]])
    given = class_weights([{1: 5}, {0: 2, 1: 3}, {}], targets, rows)
    np.testing.assert_allclose(given, [[1, 2, 1], [5, 3, 1]])
    with pytest.raises(ValueError, match="3 labels.*one dict"):
        class_weights([{1: 5}], targets, rows)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("grouped", [False, True])
def test_splits_partition_keep_shares_and_patients(n_classes, grouped):
    strata = np.arange(120) // 2 % n_classes
    groups = np.arange(120) // 2 if grouped else None
    train, valid = validation_split(120, fraction=0.2, strata=strata, groups=groups, seed=0)
    assert sorted([*train, *valid]) == list(range(120))
    assert len(valid) == pytest.approx(24, abs=4)
    shares = np.bincount(strata[valid]) / len(valid)
    np.testing.assert_allclose(shares, 1 / n_classes, atol=0.08)
    if grouped:
        assert not set(groups[train]) & set(groups[valid])


@pytest.mark.parametrize("seed", range(10))
def test_even_few_records_of_a_class_are_split_by_their_share(seed):
    strata = np.r_[np.zeros(35, int), np.ones(5, int)]
    _, valid = validation_split(40, fraction=0.2, strata=strata, groups=None, seed=seed)
    assert len(valid) == 8 and strata[valid].sum() == 1


def test_splits_follow_the_seed():
    splits = [
        validation_split(50, fraction=0.2, strata=None, groups=None, seed=seed)[1].tolist()
        for seed in (0, 0, 1)
    ]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_fraction_is_that_of_records_or_patients(fraction, grouped):
    strata = np.arange(200) // 4 % 2
    groups = np.arange(200) // 4 if grouped else None
    _, valid = validation_split(200, fraction=fraction, strata=strata, groups=groups, seed=1)
    assert len(valid) / 200 == pytest.approx(fraction, abs=0.02)


@pytest.mark.parametrize("groups", [None, np.r_[np.arange(40) // 2, 7]])
def test_a_rare_class_stays_for_training_whatever_the_seed(groups):
    strata = np.r_[np.zeros(40, int), 1]
    for seed in range(30):
        train, valid = validation_split(41, fraction=0.2, strata=strata, groups=groups, seed=seed)
        assert 40 in train and len(valid) >= 8
        if groups is not None:
            assert not set(groups[train]) & set(groups[valid])


def test_a_class_that_is_never_a_patients_highest_is_kept_as_well():
    groups, strata = np.repeat(np.arange(10), 2), np.tile([0, 1], 10)
    strata[groups > 1] = 1
    for seed in range(10):
        train, _ = validation_split(20, fraction=0.3, strata=strata, groups=groups, seed=seed)
        assert set(strata[train]) == {0, 1}


@pytest.mark.parametrize("groups", [np.ones(10), np.arange(10)])
def test_too_few_to_split(groups):
    with pytest.raises(ValueError, match="leaves too few.*early_stopping=False"):
        validation_split(10, fraction=0.99, strata=None, groups=groups, seed=0)


@pytest.mark.parametrize("values", [(0, 100), (-1, 1), (1, 2)])
def test_likelihoods_are_no_labels(values):
    Y = np.array(values)[np.arange(12).reshape(4, 3) % 2]
    with pytest.raises(ValueError, match=r"y holds the values \[.*has to hold 0 and 1.*\(y > 0\)"):
        encode(Y)


@pytest.mark.parametrize("weight", [{"a": -1, "b": 1}, {"a": 0, "b": 0}])
def test_weights_have_to_weigh(weight):
    with pytest.raises(ValueError, match="weights of 0 or more"):
        class_weights(weight, encode(["a", "b", "a"]), np.arange(3))


def test_patients():
    assert check_groups(None, 3) is None
    np.testing.assert_array_equal(check_groups(pd.Series([3, 3, 1], index=[9, 8, 7]), 3), [3, 3, 1])
    mixed = check_groups(np.array(["a", 1, "a"], dtype=object), 3)
    assert mixed[0] == mixed[2] != mixed[1]
    with pytest.raises(ValueError, match=r"shape \(2, 1\); expected \(2,\)"):
        check_groups([[1], [2]], 2)
    for unknown in ([1, np.nan, 2], np.array(["a", None, "b"], dtype=object)):
        with pytest.raises(ValueError, match="missing for 1 of 3 records, the first is record 1"):
            check_groups(unknown, 3)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 1, 1], [logit(0.75)]),
        ([2, 0, 2, 1], np.log([0.25, 0.25, 0.5])),
        # Labels that never or always occur count as half a record against it.
        ([[0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 1, 0]], logit([0.125, 0.875, 0.25])),
    ],
)
def test_a_head_starts_from_the_shares_of_the_classes(y, expected):
    start = prior_logits(encode(np.array(y)), np.arange(4), np.ones(4))
    np.testing.assert_allclose(start, expected)


def test_a_head_starts_from_the_weights_of_the_records_that_are_used():
    y = np.array([0, 1, 1, 1, 0])
    weights = np.array([9.0, 2.0, 1.0, 4.0, 1.0])
    start = prior_logits(encode(y), np.arange(1, 5), weights)
    np.testing.assert_allclose(start, [logit(7 / 8)])


class Teacher:
    """Answers with given probabilities."""

    classes_ = np.array([0, 1])

    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities)

    def predict_proba(self, X):
        return self.probabilities


def test_a_teacher_may_be_very_sure():
    p = np.array([1e-5, 1 - 1e-5, 1e-3, 0.4])
    both = np.column_stack([1 - p, p])
    found = teacher_logits(Teacher(both), None, encode([0, 1, 1, 0]))
    np.testing.assert_allclose(found, logit(p))
    labels = encode(np.array([[0, 1], [1, 0], [0, 0], [1, 1]]))
    of_labels = Teacher(both)
    of_labels.multilabel_ = True
    np.testing.assert_allclose(teacher_logits(of_labels, None, labels), logit(both))
    with pytest.raises(ValueError, match="teacher predicts classes 0, 1; y has labels 0, 1"):
        teacher_logits(Teacher(both), None, labels)
    three = Teacher([[1e-5, 0.3, 0.7 - 1e-5]] * 3)
    three.classes_ = np.arange(3)
    found = teacher_logits(three, None, encode([0, 1, 2]))
    np.testing.assert_allclose(found, np.log(three.probabilities))


def test_a_teacher_that_excludes_a_class_has_finite_logits():
    found = teacher_logits(Teacher([[1.0, 0.0], [0.0, 1.0]]), None, encode([0, 1]))
    assert found == pytest.approx([-13.8, 13.8], abs=0.1)
