"""Columns of a patient table, such as age and sex, as predictors."""

import warnings

import numpy as np
import pandas as pd

from ecgsk._core.checks import check_distinct
from ecgsk._core.frames import as_pandas
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_is_fitted, fit_context, validate_data
from ecgsk._core.steps import keep_preprocessing
from ecgsk.tabular._numbers import as_numbers
from ecgsk.tabular._table_transformer import TableTransformer

# Values as far outside of the training records' range as this share of it are not reported: the
# range of a fold or a small cohort is narrower than that of its population.
_MARGIN = 0.1
# Columns of whole numbers with at most so many values are codes, if each occurs often enough.
_MOST_CODES, _RECORDS_PER_CODE = 10, 10


@public("ecgsk.tabular")
class CovariateWarning(UserWarning):
    """A covariate of a record is unlike those of the training records."""


@public("ecgsk.tabular")
class TableColumns(TableTransformer):
    """Select columns, such as age and sex, of the table that belongs to recordings.

    In a ``sklearn.pipeline.FeatureUnion`` with a `ProbabilityTransformer` it adds them to the
    probabilities. ``RecordArray.wrap(X, table=DataFrame)`` joins recordings with their table.

    Parameters
    ----------
    columns : list of str or None, default=None
        Names of the columns, which have to contain numbers, or texts that mean yes (1) and no (0),
        such as the decisions of another program. None selects all.

    Attributes
    ----------
    columns_ : list of str
        The selected columns.
    minimum_, maximum_ : ndarray of shape (n_columns,)
        Range of the training records; NaN if all their values are missing.
    codes_ : list of list of float or None
        The values of columns that contain codes, such as sex: whole numbers with at most 10
        different values for at least 10 times as many records. None for other columns.
    has_missing_ : ndarray of shape (n_columns,)
        Whether a training record had no value.
    preprocessed_by_ : list of (str, dict) or None
        What the recordings of fit had gone through, see `RecordArray`.

    Notes
    -----
    `transform` warns of values that are unlike those of the training records, see
    `unlike_training`; it does not change them.

    pandas joins the parts of a ``FeatureUnion`` by their index. `TableColumns` and
    `ProbabilityTransformer` number rows from 0. Together with a transformer whose rows have another
    index, a row could combine several patients. `ecgsk.make_lef_classifier` joins rows by place.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecgsk import RecordArray
    >>> from ecgsk.tabular import TableColumns
    >>> patients = pd.DataFrame({"age": [61.0, 48.0], "sex": [0, 1], "site": ["A", "B"]})
    >>> X = RecordArray.wrap(np.zeros((2, 12, 1000)), table=patients)
    >>> TableColumns(["age", "sex"]).fit_transform(X)
        age  sex
    0  61.0  0.0
    1  48.0  1.0
    """

    _parameter_constraints: dict = {"columns": ["array-like", None]}

    def __init__(self, columns=None):
        self.columns = columns

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, diagnoses=None, groups=None, **others):
        """Store the names of the columns, and the range of their values.

        Parameters
        ----------
        X : RecordArray with a table, DataFrame, or array-like of shape (n_records, n_columns)
            Contains the columns.
        y, diagnoses, groups, **others : ignored
            A ``FeatureUnion`` passes all parameters to each of its transformers.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            When X has no table, or a column is missing, exists twice or contains text.
        """
        table = self._table_of(X, reset=True)
        names = table.columns if self.columns is None else self.columns
        # scikit-learn does not accept numpy.str_ next to str.
        self.columns_ = [str(name) if isinstance(name, str) else name for name in names]
        keep_preprocessing(self, X)
        numbers = self._numbers(table)
        self.has_missing_ = np.isnan(numbers).any(axis=0)
        known = [column[~np.isnan(column)] for column in numbers.T]
        self.minimum_ = np.array([values.min(initial=np.inf) for values in known])
        self.maximum_ = np.array([values.max(initial=-np.inf) for values in known])
        empty = np.array([not len(values) for values in known], dtype=bool)
        self.minimum_[empty] = self.maximum_[empty] = np.nan
        self.codes_ = [_codes(values) for values in known]
        return self

    def transform(self, X):
        """Return the columns.

        Parameters
        ----------
        X : RecordArray with a table, DataFrame, or array-like of shape (n_records, n_columns)
            Contains the columns.

        Returns
        -------
        DataFrame of shape (n_records, n_columns)
            float64, NaN where unknown; an ndarray after ``set_output(transform="default")``.

        Warns
        -----
        CovariateWarning
            If values are unlike those of the training records, with the first record.
        """
        check_is_fitted(self)
        numbers = self._numbers(self._table_of(X, reset=False))
        found = self._unlike_training(numbers)
        if len(found):
            first = found.iloc[0]
            warnings.warn(
                f"{first['column']} of record {first['record']} is "
                f"{_in_words(first['value'])}, but {first['training']}"
                f"{f' ({len(found)} such values in all)' if len(found) > 1 else ''}. Check the "
                "table and its units; unlike_training(X) returns all of them.",
                CovariateWarning,
                stacklevel=2,
            )
        return self._to_table(numbers, X)

    def unlike_training(self, X) -> pd.DataFrame:
        """Return the values that are unlike those of the training records.

        These are values outside of the training records' range by more than a tenth of it,
        negative values if they had none, codes that did not occur in them, and missing values if
        they had none.

        Parameters
        ----------
        X : RecordArray with a table, DataFrame, or array-like of shape (n_records, n_columns)
            Contains the columns.

        Returns
        -------
        DataFrame
            A row for each such value: ``record`` (its position in X), ``column``, ``value``, and
            ``training``, what the training records had, in words. It has no rows for a
            transformer from a file of version 0.1.0, which did not store the ranges.

        Examples
        --------
        >>> import pandas as pd
        >>> from ecgsk.tabular import TableColumns
        >>> columns = TableColumns(["age"]).fit(pd.DataFrame({"age": [18.0, 45.0, 90.0]}))
        >>> columns.unlike_training(pd.DataFrame({"age": [50.0, 300.0]}))
           record column  value                      training
        0       1    age  300.0  training had values of 18 to 90
        """
        check_is_fitted(self)
        return self._unlike_training(self._numbers(self._table_of(X, reset=False)))

    def _unlike_training(self, numbers: np.ndarray) -> pd.DataFrame:
        rows = []
        for i, column in enumerate(numbers.T):
            # Files of version 0.1.0 contain no ranges.
            if hasattr(self, "codes_"):
                for record in np.flatnonzero(self._is_unlike(i, column)):
                    value = column[record]
                    rows.append((record, self.columns_[i], value, self._training(i, value)))
        rows.sort(key=lambda row: row[0])
        return pd.DataFrame(rows, columns=["record", "column", "value", "training"])

    def _is_unlike(self, number: int, column: np.ndarray) -> np.ndarray:
        missing = np.isnan(column)
        low, high, codes = self.minimum_[number], self.maximum_[number], self.codes_[number]
        margin = _MARGIN * (high - low)
        least = max(low - margin, 0.0) if low >= 0 else low - margin
        outside = (column < least) | (column > high + margin)
        if codes is not None:
            outside = ~missing & ~np.isin(column, codes)
        elif np.isnan(low):
            outside = ~missing
        return outside | (missing & (not self.has_missing_[number]))

    def _training(self, number: int, value: float) -> str:
        codes, low = self.codes_[number], self.minimum_[number]
        if np.isnan(value):
            return "training had no missing values"
        if np.isnan(low):
            return "training had only missing values"
        if codes is not None:
            return f"training had the codes {', '.join(map(_in_words, codes))}"
        return f"training had values of {_in_words(low)} to {_in_words(self.maximum_[number])}"

    def _column_names(self) -> list:
        return self.columns_

    def _table_of(self, X, *, reset: bool) -> pd.DataFrame:
        if hasattr(X, "table") and len(getattr(X, "shape", ())) == 3:
            X = X.table
        elif len(getattr(X, "shape", ())) == 3:
            X = None
        if X is None:
            wanted = "a table" if self.columns is None else ", ".join(map(str, self.columns))
            raise ValueError(
                f"X contains only recordings, but {wanted} is needed, too: give "
                "RecordArray.wrap(X, table=DataFrame), with a row for each record."
            )
        X = as_pandas(X)
        if isinstance(X, pd.DataFrame):
            return X
        X = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def _numbers(self, table: pd.DataFrame) -> np.ndarray:
        missing = [name for name in self.columns_ if name not in table.columns]
        if missing:
            has = ", ".join(map(str, list(table.columns)[:8])) or "no columns"
            raise ValueError(
                f"columns={self.columns_} contains {', '.join(map(str, missing))}, but the table "
                f"of the recordings has {has}. Add the columns, or select others."
            )
        table = table[self.columns_]
        check_distinct(table.columns, f"columns={self.columns_} or the table of the recordings")
        columns = {name: as_numbers(table[name]) for name in table}
        numeric = [values for values in columns.values() if values is not None]
        if len(numeric) < len(columns):
            text = [name for name, values in columns.items() if values is None]
            raise ValueError(
                f"the columns {', '.join(map(str, text))} of the table contain text or other "
                f"values, for example {table[text[0]].dropna().tolist()[:1]}; code them as "
                "numbers, for example sex as 0 and 1. Only yes and no are understood."
            )
        numbers = np.column_stack([np.empty((len(table), 0)), *numeric])
        if np.isinf(numbers).any():
            bad = ", ".join(str(c) for c in table.columns[np.isinf(numbers).any(axis=0)])
            raise ValueError(f"{bad} of the table contain infinity; use NaN for unknown values.")
        return numbers

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags


def _codes(values: np.ndarray) -> list[float] | None:
    """Return the different values of a column if they are codes."""
    found = np.unique(values)
    few = 0 < len(found) <= min(_MOST_CODES, len(values) / _RECORDS_PER_CODE)
    return found.tolist() if few and (found % 1 == 0).all() else None


def _in_words(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:g}"
