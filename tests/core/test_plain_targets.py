"""Targets in every container become plain arrays, and a network fitted on them can be saved."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import ecgsk
from ecgsk._core.targets import plain_target
from tests._models import recordings, small_models

NUMBERS = np.array([0, 1, 1, 0])
TEXT = np.array(["no", "yes", "yes", "no"])
PYARROW = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow")
POLARS = pytest.mark.skipif(importlib.util.find_spec("polars") is None, reason="needs polars")

TEXTS = {
    "array": lambda: TEXT,
    "objects": lambda: TEXT.astype(object),
    "list": lambda: TEXT.tolist(),
    "list of numpy.str_": lambda: list(TEXT),
    "series": lambda: pd.Series(TEXT, index=[7, 7, 3, 1]),
    "series of objects": lambda: pd.Series(TEXT.astype(object)),
    "index": lambda: pd.Index(TEXT),
    "categories": lambda: pd.Series(pd.Categorical(TEXT, categories=["yes", "no", "unused"])),
    "categorical": lambda: pd.Categorical(TEXT),
    "string": lambda: pd.Series(TEXT, dtype="string[python]"),
    "pyarrow": pytest.param(lambda: pd.Series(TEXT, dtype="string[pyarrow]"), marks=PYARROW),
    "polars": pytest.param(lambda: pytest.importorskip("polars").Series(TEXT), marks=POLARS),
}
OTHERS = [
    (NUMBERS.astype(object), np.int64),
    (pd.Series(NUMBERS, dtype="Int64"), np.int64),
    (pd.Series(NUMBERS, dtype="Int8"), np.int8),
    (pd.Series(NUMBERS).astype("category"), np.int64),
    (pd.Series(NUMBERS.astype(bool), dtype="boolean"), np.bool_),
    (NUMBERS.astype(bool).astype(object), np.bool_),
    (pd.Series(NUMBERS, dtype="Float64"), np.float64),
    ([0, 1.0, np.float32(1), 0], np.float64),
    (NUMBERS.astype(np.uint8), np.uint8),
]


@pytest.mark.parametrize("make", TEXTS.values())
def test_text_becomes_numpy_text(make):
    values, names = plain_target(make())
    assert type(values) is np.ndarray and values.dtype.kind == "U" and names is None
    np.testing.assert_array_equal(values, TEXT)


@pytest.mark.parametrize(("labels", "dtype"), OTHERS)
def test_numbers_and_bools_keep_their_kind(labels, dtype):
    values, _ = plain_target(labels)
    assert type(values) is np.ndarray and values.dtype == dtype
    np.testing.assert_array_equal(values, NUMBERS)


@pytest.mark.parametrize(
    "dtype",
    ["int64", "Int64", "boolean", "bool", "category", object, "Float64"]
    + [pytest.param("int64[pyarrow]", marks=PYARROW)],
)
def test_tables_of_labels_keep_their_names(dtype):
    table = pd.DataFrame({"AFIB": NUMBERS, 7: 1 - NUMBERS}).astype(dtype)
    values, names = plain_target(table)
    assert type(values) is np.ndarray and values.dtype.kind in "biuf"
    np.testing.assert_array_equal(values, table.to_numpy().astype(float))
    assert names == ["AFIB", "7"] and all(type(name) is str for name in names)


@pytest.mark.parametrize(
    ("labels", "first"),
    [
        (np.array([0, 1, np.nan, 1]), "record 2"),
        (["no", "yes", None], "record 2"),
        (["no", np.nan, "yes"], "record 1"),
        (pd.Series(["no", None]), "record 1"),
        (pd.Categorical([None, "no"]), "record 0"),
        (pd.Series([0, pd.NA], dtype="Int64"), "record 1"),
        (np.ma.masked_array([0, 1, 1], [False, True, False]), "record 1"),
        (np.array([[0, 1], [1, np.nan]]), "record 1 in column 1"),
        (pd.DataFrame({"A": [0, 1], "B": pd.Series([1, pd.NA], dtype="Int64")}), "record 1"),
    ],
)
def test_missing_labels_are_refused_by_name(labels, first):
    name = r"diagnoses\['B'\]" if isinstance(labels, pd.DataFrame) else "diagnoses"
    with pytest.raises(ValueError, match=f"^{name} contains NaN.*first in {first}.*Leave"):
        plain_target(labels, "diagnoses")


def test_columns_of_the_same_name_are_refused():
    for columns in (["A", "A"], [1, "1"]):
        with pytest.raises(ValueError, match="twice"):
            plain_target(pd.DataFrame(np.zeros((2, 2)), columns=columns))


def test_text_and_numbers_together_are_refused():
    with pytest.raises(ValueError, match="'a' and 1.*all labels text"):
        plain_target(["a", 1, "b"])


def test_other_targets_stay_as_they_are():
    for other in (None, sparse.csr_array(np.eye(2)), np.zeros((2, 2, 2))):
        assert plain_target(other)[0] is other


@pytest.mark.parametrize("kind", ["series", "categories", "objects", "string"])
def test_a_network_of_text_classes_is_saved(tmp_path, kind):
    X, y = recordings(16)
    labels = {
        "series": pd.Series,
        "categories": pd.Categorical,
        "objects": lambda values: values.astype(object),
        "string": lambda values: pd.Series(values, dtype="string[python]"),
    }[kind](np.array(["no", "yes"])[y])
    model = small_models()["mtecg"].set_params(max_epochs=1).fit(X, labels)
    assert model.classes_.dtype == np.dtype("<U3")
    ecgsk.save(model, tmp_path / "model.ecgsk")
    again = ecgsk.load(tmp_path / "model.ecgsk")
    assert again.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
