import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    cross_validate,
)

from ecgsk import RecordArray
from ecgsk.datasets._ptbxl.labels import PTBXL_TASKS, labels_of
from ecgsk.datasets._ptbxl.table import read_table
from ecgsk.model_selection import MultilabelStratifiedGroupKFold, PTBXLFolds


def random_case(seed: int):
    """Return labels and patients of any size; labels run in patients, as diagnoses do."""
    random = np.random.default_rng(seed)
    n_records, n_labels = int(random.integers(30, 300)), int(random.integers(2, 16))
    n_patients = int(random.integers(12, n_records))
    patient = np.sort(random.integers(n_patients, size=n_records))
    share = 10 ** random.uniform(-2, 0, n_labels)
    of_patient = random.random((n_patients, n_labels)) < share
    y = of_patient[patient] ^ (random.random((n_records, n_labels)) < 0.1 * share)
    order = random.permutation(n_records)
    return y[order].astype(int), np.unique(patient, return_inverse=True)[1][order]


def folds_of(splitter, y, groups=None):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* of fewer patients than n_splits")
        return list(splitter.split(np.zeros(len(y)), y, groups))


def fold_numbers(splitter, y, groups=None):
    fold = np.full(len(y), -1)
    for number, (_, test) in enumerate(folds_of(splitter, y, groups)):
        fold[test] = number
    return fold


def held(y, folds):
    """Return how many records with each label each fold tests on."""
    return np.array([y[test].sum(axis=0) for _, test in folds])


def deviation(y, groups, folds):
    """Return how far folds are from equal shares of labels that patients enough have."""
    patients = np.array([len(np.unique(groups[column == 1])) for column in y.T])
    y = y[:, patients >= 2 * len(folds)]
    return np.abs(held(y, folds) / y.sum(axis=0) - 1 / len(folds)).mean() if y.size else 0.0


def total_of_squares(y, folds):
    with_size = np.column_stack([np.where(2 * y.sum(axis=0) > len(y), 1 - y, y), np.ones(len(y))])
    total = np.maximum(with_size.sum(axis=0), 1)
    return (((held(with_size, folds) - total / len(folds)) / total) ** 2).sum()


@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_what_holds_for_any_labels_and_patients(n_splits):
    ours, theirs = [], []
    for seed in range(70):
        y, groups = random_case(100 * n_splits + seed)
        shuffled = {"shuffle": True, "random_state": seed} if seed % 2 else {}
        splitter = MultilabelStratifiedGroupKFold(n_splits, **shuffled)
        folds = folds_of(splitter, y, groups)
        assert len(folds) == splitter.get_n_splits() == n_splits
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(y)))
        for train, test in folds:
            assert len(test) and (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
            np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(y)))
            assert len(train) + len(test) == len(y)
            assert not np.intersect1d(groups[train], groups[test]).size
        # It repeats, whatever the patients are called and in whatever order their names are.
        names = np.random.default_rng(seed).permutation(10_000)[groups]
        for name, other in (("number", names), ("text", [f"patient {name}" for name in names])):
            again = folds_of(splitter, y, other)
            for (_, test), (_, same) in zip(folds, again, strict=True):
                np.testing.assert_array_equal(test, same, err_msg=name)
        ours.append(deviation(y, groups, folds))
        theirs.append(deviation(y, groups, folds_of(GroupKFold(n_splits), y, groups)))
    ours, theirs = np.array(ours), np.array(theirs)
    assert (ours <= theirs).mean() > 0.9
    assert ours.mean() < 0.35 * theirs.mean()


@pytest.mark.parametrize("seed", range(20))
def test_no_move_of_one_patient_would_make_the_folds_more_alike(seed):
    y, groups = random_case(seed)
    fold = fold_numbers(MultilabelStratifiedGroupKFold(3), y, groups)

    def total(fold):
        return total_of_squares(y, [(None, np.flatnonzero(fold == k)) for k in range(3)])

    least = total(fold)
    for patient in np.unique(groups)[:40]:
        for to in range(3):
            assert total(np.where(groups == patient, to, fold)) > least - 1e-8


def test_patients_with_one_record_and_one_label_are_dealt_out_evenly():
    # Nothing stands in the way here: as even as whole numbers allow.
    for seed in range(20):
        random = np.random.default_rng(seed)
        y = np.eye(8, dtype=int)[
            random.choice(8, 200, p=np.array([1, 1, 2, 2, 4, 10, 20, 60]) / 100)
        ]
        counts = held(y, folds_of(MultilabelStratifiedGroupKFold(5), y, np.arange(200)))
        assert (counts >= y.sum(axis=0) // 5).all()
        assert (counts <= -(-y.sum(axis=0) // 5)).all()
        sizes = counts.sum(axis=1)
        assert sizes.max() - sizes.min() <= 5


def test_rare_labels_are_in_every_fold_where_patients_have_one_label_each():
    for seed in range(30):
        random = np.random.default_rng(seed)
        # Labels of 5 patients and more, who have one to six records of the label.
        of_patient = np.repeat(np.arange(6), [5, 6, 8, 12, 30, 100])
        records = random.integers(1, 7, len(of_patient))
        groups = random.permutation(np.repeat(np.arange(len(of_patient)), records))
        y = np.eye(6, dtype=int)[of_patient[groups]]
        assert (held(y, folds_of(MultilabelStratifiedGroupKFold(5), y, groups)) > 0).all()


def test_classes_in_a_column_are_stratified_as_well():
    random = np.random.default_rng(0)
    groups = random.integers(120, size=400)
    of_patient = random.choice(["low", "normal", "high"], size=120, p=[0.1, 0.7, 0.2])
    y = of_patient[groups]
    one_hot = (y[:, np.newaxis] == np.unique(y)).astype(int)
    ours, theirs = (
        deviation(one_hot, groups, folds_of(kind(5), y, groups))
        for kind in (MultilabelStratifiedGroupKFold, StratifiedGroupKFold)
    )
    assert ours <= theirs
    # The same question in any form has the same folds.
    low = (y == "low").astype(int)
    splitter = MultilabelStratifiedGroupKFold(5)
    expected = fold_numbers(splitter, low, groups)
    for form in (low[:, np.newaxis], low.astype(bool), low.astype(float), 1 - low, pd.Series(low)):
        np.testing.assert_array_equal(fold_numbers(splitter, form, groups), expected)


def test_labels_in_any_container_have_the_same_folds():
    y, groups = random_case(3)
    y = y[:, :2]
    splitter = MultilabelStratifiedGroupKFold(4, shuffle=True, random_state=0)
    expected = fold_numbers(splitter, y, groups)
    for form in (y.tolist(), y.astype(bool), y.astype(float), sparse.csr_array(y), pd.DataFrame(y)):
        fold = np.full(len(y), -1)
        for number, (_, test) in enumerate(splitter.split(None, form, pd.Series(groups))):
            fold[test] = number
        np.testing.assert_array_equal(fold, expected)


def test_shuffling_repeats_by_its_seed():
    y, groups = random_case(7)

    def numbers(**params):
        return fold_numbers(MultilabelStratifiedGroupKFold(3, **params), y, groups)

    once = numbers(shuffle=True, random_state=0)
    np.testing.assert_array_equal(once, numbers(shuffle=True, random_state=0))
    assert (once != numbers(shuffle=True, random_state=1)).any()
    assert (once != numbers()).any()
    generator = MultilabelStratifiedGroupKFold(
        3, shuffle=True, random_state=np.random.RandomState(0)
    )
    first, second = (fold_numbers(generator, y, groups) for _ in range(2))
    assert (first != second).any()
    plain = MultilabelStratifiedGroupKFold(3)
    again = pickle.loads(pickle.dumps(plain))
    np.testing.assert_array_equal(fold_numbers(again, y, groups), numbers())
    said = "MultilabelStratifiedGroupKFold(n_splits=3, random_state=None, shuffle=False)"
    assert repr(again) == repr(plain) == said


def test_one_warning_names_labels_with_few_patients():
    y = np.zeros((60, 12), dtype=int)
    for label in range(12):
        y[: label + 1, label] = 1
    frame = pd.DataFrame(y, columns=[f"L{k}" for k in range(12)])
    with pytest.warns(UserWarning, match="labels have fewer") as caught:
        list(MultilabelStratifiedGroupKFold(10).split(frame, frame, np.arange(60)))
    assert len(caught) == 1 and caught[0].filename == __file__
    message = str(caught[0].message)
    assert message.startswith("9 of 12 labels have fewer patients than n_splits=10")
    assert "L0 (1), L1 (2)" in message and "L7 (8), ..." in message and "L8" not in message
    with pytest.warns(UserWarning, match=r"1 of 2 labels.*some folds: yes \(1\)\."):
        list(MultilabelStratifiedGroupKFold(2).split(None, ["no"] * 9 + ["yes"], range(10)))
    # Three records of one patient are one patient.
    with pytest.warns(UserWarning, match=r"L2 \(1\)"):
        list(MultilabelStratifiedGroupKFold(2).split(None, frame, np.arange(60) // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(MultilabelStratifiedGroupKFold(5).split(None, frame.iloc[:, 4:], np.arange(60)))


@pytest.mark.parametrize(
    ("y", "groups", "said"),
    [
        (np.eye(4), [0, 0, 1, 1], "n_splits=3 is more than the 2 groups"),
        ([0, 1], [0, 1], "more than the 2 groups"),
        ([], [], "more than the 0 groups"),
        (np.eye(4), None, "groups=None is not allowed; give the patient of each record"),
        (2 * np.eye(4), None, "y holds the values .0.0, 2.0.*0 and 1"),
        ([[0, 1], [1, np.nan], [0, 1], [1, 1]], None, "y is NaN for 1 of 4.*record 1"),
        ([0, 1, None, 1], None, "y is NaN for 1 of 4.*record 2"),
        ([0.1, 0.2, 0.3, 0.5], None, "'continuous' is not allowed; give one column of classes"),
        (None, None, "y=None is not allowed; give the labels"),
        (np.eye(4), [0, 1, 2], r"groups has shape \(3,\)"),
        (np.eye(4), [0, 1, 2, None], "groups is missing for 1 of 4"),
    ],
)
def test_invalid_data_raises(y, groups, said):
    with pytest.raises(ValueError, match=said):
        list(MultilabelStratifiedGroupKFold(3).split(None, y, groups))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"n_splits": 1}, "n_splits"),
        ({"n_splits": 2.5}, "n_splits"),
        ({"shuffle": "yes"}, "shuffle"),
        ({"random_state": 0}, "no effect while shuffle=False"),
    ],
)
def test_invalid_parameters_raise(params, said):
    with pytest.raises(ValueError, match=said):
        MultilabelStratifiedGroupKFold(**params)


def test_as_many_records_as_labels():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(MultilabelStratifiedGroupKFold(2).split(np.zeros(3), np.eye(4)))


@pytest.mark.parametrize("routing", [False, True])
def test_searches_hand_it_the_patients(routing):
    y, groups = random_case(11)
    y = y[:, y.sum(axis=0).argmax()]
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    with sklearn.config_context(enable_metadata_routing=routing):
        splitter = MultilabelStratifiedGroupKFold(3)
        search = GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=splitter)
        given = {"params": {"groups": groups}} if routing else {"groups": groups}
        found = cross_validate(
            LogisticRegression(), X, y, cv=splitter, return_indices=True, **given
        )
        assert clone(search).fit(X, y, groups=groups).n_splits_ == 3
    expected = folds_of(splitter, y, groups)
    for test, (_, other) in zip(found["indices"]["test"], expected, strict=True):
        np.testing.assert_array_equal(test, other)


@pytest.fixture(scope="module")
def ptbxl(ptbxl_path):
    table, statements, _ = read_table(ptbxl_path, range(1, 10), 100)
    of_record = [labels_of(codes, "all") for codes in statements]
    y = np.array([[name in row for name in PTBXL_TASKS["all"]] for row in of_record]).astype(int)
    return y, table["patient_id"].to_numpy(), table["strat_fold"].to_numpy()


@pytest.mark.real_data
def test_ptbxl_is_split_better_than_by_patient_alone_and_than_by_its_own_folds(ptbxl):
    y, groups, own = ptbxl
    for n_splits in (5, 9):
        folds = folds_of(MultilabelStratifiedGroupKFold(n_splits), y, groups)
        enough = np.array([len(np.unique(groups[column == 1])) >= n_splits for column in y.T])
        assert (held(y, folds)[:, enough] > 0).all()
        by_patient = folds_of(GroupKFold(n_splits), y, groups)
        assert deviation(y, groups, folds) < 0.3 * deviation(y, groups, by_patient)
        sizes = np.array([len(test) for _, test in folds])
        assert np.ptp(sizes) < 0.01 * len(y) / n_splits
    predefined = [(None, np.flatnonzero(own == k)) for k in range(1, 10)]
    assert deviation(y, groups, folds) < 0.3 * deviation(y, groups, predefined)


@pytest.mark.real_data
def test_ptbxl_comes_with_folds_of_patients(ptbxl):
    y, groups, own = ptbxl
    splits = list(PTBXLFolds(own, test=range(1, 10), train=range(1, 10)).split(y, y, groups))
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(len(y)))


FOLD = np.array([3, 10, 9, 1, 8, 9, 2, 10, 4, 5, 6, 7])


def ptbxl_splits(**params):
    splits = PTBXLFolds(FOLD, **params).split(np.zeros((12, 2)))
    return [(FOLD[train].tolist(), set(FOLD[test].tolist())) for train, test in splits]


def test_the_splits_of_ptbxl():
    assert ptbxl_splits() == [([3, 1, 8, 2, 4, 5, 6, 7], {9})]
    assert ptbxl_splits(test=10) == [([3, 1, 8, 2, 4, 5, 6, 7], {10})]
    assert ptbxl_splits(test=[10], train=range(1, 10)) == [
        ([3, 9, 1, 8, 9, 2, 4, 5, 6, 7], {10}),
    ]
    each = ptbxl_splits(test=range(1, 9))
    assert [test for _, test in each] == [{k} for k in range(1, 9)]
    assert all(sorted(train + list(test)) == list(range(1, 9)) for train, test in each)


def test_fold_10_is_used_where_it_is_named_alone():
    for params in ({}, {"test": range(1, 9)}, {"test": range(1, 10), "train": range(1, 10)}):
        for train, test in ptbxl_splits(**params):
            assert 10 not in train and 10 not in test
    assert ptbxl_splits(test=np.array([10])) == ptbxl_splits(test=10)


def test_the_folds_of_ptbxl_are_a_splitter():
    splitter = PTBXLFolds(FOLD, test=(9, 8))
    assert splitter.fold is FOLD and splitter.get_n_splits() == 2
    assert repr(splitter).startswith("PTBXLFolds(fold=array([ 3, 10")
    again = pickle.loads(pickle.dumps(splitter))
    X, y = RecordArray.wrap(np.zeros((12, 1, 4), dtype=np.float32)), np.arange(12) % 2
    for one, other in zip(splitter.split(X, y), again.split(X, y), strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    with sklearn.config_context(enable_metadata_routing=True):
        # Patients may be routed beside it, to an estimator that takes them or to none.
        found = cross_validate(
            LogisticRegression(),
            np.zeros((12, 2)),
            y,
            cv=splitter,
            params={"groups": np.arange(12)},
        )
        inner = LeaveOneGroupOut().set_split_request(groups="fold")
        search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=inner)
        nested = cross_validate(
            search,
            np.zeros((12, 2)),
            np.arange(12) % 2,
            cv=PTBXLFolds(FOLD),
            params={"fold": FOLD, "groups": np.arange(12)},
            return_estimator=True,
        )
    assert len(found["test_score"]) == 2
    assert nested["estimator"][0].n_splits_ == 8


@pytest.mark.parametrize(
    ("params", "X", "groups", "said"),
    [
        ({"fold": FOLD}, np.zeros(5), None, "fold has 12 records, but X has 5.*outermost"),
        ({"fold": FOLD - 1}, np.zeros(12), None, "values .0, 1.*a number from 1 to 10"),
        ({"fold": [1.0, np.nan]}, np.zeros(2), None, "a number from 1 to 10"),
        ({"fold": [[1, 9]]}, np.zeros(1), None, r"shape \(1, 2\)"),
        ({"fold": FOLD, "test": 11}, np.zeros(12), None, "test=11 is not allowed"),
        ({"fold": FOLD, "test": ()}, np.zeros(12), None, r"test=\(\) is not allowed"),
        ({"fold": FOLD, "test": "9"}, np.zeros(12), None, "test='9' is not allowed"),
        ({"fold": FOLD, "test": [9, 9]}, np.zeros(12), None, "has a fold twice"),
        ({"fold": FOLD, "train": True}, np.zeros(12), None, "train=True is not allowed"),
        ({"fold": FOLD, "train": 9}, np.zeros(12), None, "0 training and 2 test records"),
        ({"fold": [1, 2, 8]}, np.zeros(3), None, "0 test records.*: 1, 2, 8"),
        ({"fold": FOLD}, np.zeros(12), np.arange(12) // 4, "2 patients in groups.*fold 9"),
        ({"fold": FOLD}, np.zeros(12), np.arange(3), "groups has shape"),
    ],
)
def test_invalid_folds_raise(params, X, groups, said):
    with pytest.raises(ValueError, match=said):
        list(PTBXLFolds(**params).split(X, None, groups))


def test_among_folds_with_as_few_of_a_label_the_smallest_gets_a_patient():
    """Both labels leave a choice that only the numbers of records decide."""
    records, first, second = [4, 4, 4, 4, 2, 4, 2], [0, 3, 0, 4, 2, 2, 1], [0, 0, 0, 4, 0, 0, 0]
    groups = np.repeat(np.arange(7), records)
    place = np.concatenate([np.arange(n) for n in records])
    y = np.column_stack([place < np.repeat(first, records), place < np.repeat(second, records)])
    folds = folds_of(MultilabelStratifiedGroupKFold(3), y.astype(int), groups)
    assert [len(test) for _, test in folds] == [8, 8, 8]


def test_there_may_be_as_many_folds_as_patients():
    y, groups = np.arange(12)[:, np.newaxis] % 2, np.arange(12) // 3
    folds = folds_of(MultilabelStratifiedGroupKFold(4), np.hstack([y, 1 - y]), groups)
    assert sorted(groups[test].tolist() for _, test in folds) == [[k] * 3 for k in range(4)]
    with pytest.raises(ValueError, match="n_splits=5 is more than the 4 groups"):
        folds_of(MultilabelStratifiedGroupKFold(5), np.hstack([y, 1 - y]), groups)
