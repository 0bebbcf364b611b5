"""What `TableColumns` learns of covariates, and what it reports of those of new records."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ecgsk import RecordArray, load
from ecgsk.persistence import save
from ecgsk.tabular import CovariateWarning, TableColumns

TRAINING = pd.DataFrame(
    {
        "age": np.linspace(20, 90, 60),
        "sex": np.arange(60) % 2,
        "bmi": [np.nan, *np.linspace(18, 40, 59)],
        "offset": np.linspace(-2, 2, 60),
    }
)


def row(**values):
    return pd.DataFrame([{"age": 50.0, "sex": 1, "bmi": 25.0, "offset": 0.0} | values])


def as_records(table):
    return RecordArray.wrap(np.zeros((len(table), 2, 10)), table=table)


@pytest.mark.parametrize("how", ["table", "records", "pickle", "file"])
@pytest.mark.parametrize(
    ("column", "value", "training"),
    [
        ("age", -1, "values of 20 to 90"),
        ("age", 300, "values of 20 to 90"),
        ("age", 0.05, "values of 20 to 90"),
        ("age", np.nan, "no missing values"),
        ("sex", 2, "the codes 0, 1"),
        ("sex", 0.5, "the codes 0, 1"),
        ("sex", np.nan, "no missing values"),
        ("bmi", 2500, "values of 18 to 40"),
        ("offset", -3, "values of -2 to 2"),
    ],
)
def test_values_unlike_training_are_reported(how, column, value, training, tmp_path):
    made = TableColumns(["age", "sex", "bmi", "offset"])
    made.fit(as_records(TRAINING) if how == "records" else TRAINING)
    if how == "pickle":
        made = pickle.loads(pickle.dumps(made))
    if how == "file":
        save(made, tmp_path / "x.ecgsk")
        made = load(tmp_path / "x.ecgsk")
    X = pd.concat([row(), row(**{column: value})])
    shown = "missing" if np.isnan(value) else f"{value:g}"
    with pytest.warns(CovariateWarning, match=rf"{column} of record 1 is {shown}, .*{training}"):
        table = made.transform(as_records(X) if how == "records" else X)
    assert len(table) == 2  # the values themselves stay as they are
    np.testing.assert_array_equal(table.iloc[1][column], value)
    found = made.unlike_training(X)
    assert found[["record", "column"]].values.tolist() == [[1, column]]


@pytest.mark.parametrize("values", [{"age": 18}, {"age": 96}, {"bmi": np.nan}, {"offset": -2.3}])
def test_values_like_those_of_training_are_not_reported(values):
    made = TableColumns().fit(TRAINING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.transform(pd.concat([TRAINING, row(**values)]))
        made.fit_transform(TRAINING)


def test_folds_of_a_cohort_are_not_reported():
    random = np.random.default_rng(0)
    for seed in range(20):
        n_records = 2000
        table = pd.DataFrame(
            {
                "age": random.normal(60, 15, n_records).clip(18, 90),
                "sex": random.integers(0, 2, n_records),
            }
        )
        test = random.permutation(n_records) < 400
        made = TableColumns().fit(table[~test])
        assert not len(made.unlike_training(table[test])), seed


def test_columns_of_one_value_or_none():
    table = pd.DataFrame({"same": [3.5] * 5, "empty": [np.nan] * 5})
    made = TableColumns().fit(table)
    assert not len(made.unlike_training(table))
    found = made.unlike_training(pd.DataFrame({"same": [4.0], "empty": [1.0]}))
    assert found["training"].tolist() == [
        "training had values of 3.5 to 3.5",
        "training had only missing values",
    ]
    assert clone(made).fit(table).codes_ == [None, None]


def test_files_without_ranges_transform_as_before():
    made = TableColumns(["age"]).fit(TRAINING)
    for name in ("codes_", "minimum_", "maximum_", "has_missing_"):
        delattr(made, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made.transform(row(age=300.0)).iloc[0, 0] == 300
