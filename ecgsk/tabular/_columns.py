"""Columns of a patient table, such as age and sex, as predictors."""

import numpy as np
import pandas as pd

from ecgsk._core.checks import check_distinct
from ecgsk._core.frames import as_pandas
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_is_fitted, fit_context, validate_data
from ecgsk.tabular._numbers import as_numbers
from ecgsk.tabular._table_transformer import TableTransformer


@public("ecgsk.tabular")
class TableColumns(TableTransformer):
    """Select columns, such as age and sex, of the table that belongs to recordings.

    In a ``sklearn.pipeline.FeatureUnion`` with a `ProbabilityTransformer` it adds them to the
    probabilities. ``RecordArray.wrap(X, table=DataFrame)`` joins recordings with their table.

    Parameters
    ----------
    columns : list of str or None, default=None
        Names of the columns, which have to contain numbers. None selects all.

    Attributes
    ----------
    columns_ : list of str
        The selected columns.

    Notes
    -----
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
        """Store the names of the columns.

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
        self._numbers(table)
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
        """
        check_is_fitted(self)
        table = self._table_of(X, reset=False)
        return self._to_table(self._numbers(table), X)

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
                "numbers, for example sex as 0 and 1."
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
