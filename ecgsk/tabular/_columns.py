"""What is known of a patient beside the recording."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from ecgsk._core.checks import check_distinct
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_is_fitted, fit_context, output_container, validate_data
from ecgsk.tabular._numbers import as_numbers


@public("ecgsk.tabular")
class TableColumns(TransformerMixin, BaseEstimator):
    """Take columns, such as age and sex, from the table that travels with recordings.

    Beside a `ProbabilityTransformer` in a ``sklearn.pipeline.FeatureUnion`` it puts them next to
    the probabilities. Recordings carry their table as ``RecordArray.wrap(X, table=DataFrame)``.

    Parameters
    ----------
    columns : list of str or None, default=None
        Names of the columns, numbers all of them. None takes all.

    Attributes
    ----------
    columns_ : list of str
        The columns taken.

    Notes
    -----
    pandas joins the parts of a ``FeatureUnion`` by their index. Rows are numbered from 0 here, as a
    `ProbabilityTransformer` numbers them; beside a transformer whose rows have another index they
    would meet other patients. `ecgsk.make_lef_classifier` joins by place.

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
        """Note the columns; nothing is learnt.

        Parameters
        ----------
        X : RecordArray with a table, DataFrame, or array-like of shape (n_records, n_columns)
            Where the columns are.
        y, diagnoses, groups, **others : ignored
            Here because a ``FeatureUnion`` hands all of its transformers what one of them takes.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            When X has no table, or the table lacks a column, has it twice or holds text in it.
        """
        table = self._table_of(X, reset=True)
        self.columns_ = list(table.columns if self.columns is None else self.columns)
        self._numbers(table)
        return self

    def transform(self, X):
        """Return the columns.

        Parameters
        ----------
        X : RecordArray with a table, DataFrame, or array-like of shape (n_records, n_columns)
            Where the columns are.

        Returns
        -------
        DataFrame of shape (n_records, n_columns)
            float64, NaN where unknown; an ndarray after ``set_output(transform="default")``.
        """
        check_is_fitted(self)
        table = self._table_of(X, reset=False)
        numbers = self._numbers(table)
        if output_container(self) is not None:
            return numbers
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(numbers, columns=self.columns_, index=index)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored
            Here for scikit-learn's sake.

        Returns
        -------
        ndarray of str
            One for each column.
        """
        check_is_fitted(self)
        return np.asarray(self.columns_, dtype=object)

    def _table_of(self, X, *, reset: bool) -> pd.DataFrame:
        if hasattr(X, "table") and len(getattr(X, "shape", ())) == 3:
            X = X.table
        elif len(getattr(X, "shape", ())) == 3:
            X = None
        if X is None:
            wanted = "a table" if self.columns is None else ", ".join(map(str, self.columns))
            raise ValueError(
                f"X is recordings alone, but {wanted} is needed beside them: give "
                "RecordArray.wrap(X, table=DataFrame), with a row for each record."
            )
        if isinstance(X, pd.DataFrame):
            return X
        X = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def _numbers(self, table: pd.DataFrame) -> np.ndarray:
        lacking = [name for name in self.columns_ if name not in table.columns]
        if lacking:
            has = ", ".join(map(str, list(table.columns)[:8])) or "none"
            raise ValueError(
                f"columns={self.columns_} asks for {', '.join(map(str, lacking))}, which the table "
                f"of the recordings lacks; it has {has}. Add them, or ask for others."
            )
        table = table[self.columns_]
        check_distinct(table.columns, f"columns={self.columns_} or the table of the recordings")
        columns = {name: as_numbers(table[name]) for name in table}
        text = [name for name, values in columns.items() if values is None]
        if text:
            raise ValueError(
                f"{', '.join(map(str, text))} of the table hold text or other values that are no "
                f"numbers, for example {table[text[0]].dropna().tolist()[:1]}; code them as "
                "numbers, for example sex as 0 and 1."
            )
        numbers = np.column_stack([np.empty((len(table), 0)), *columns.values()])
        if np.isinf(numbers).any():
            bad = ", ".join(str(c) for c in table.columns[np.isinf(numbers).any(axis=0)])
            raise ValueError(f"{bad} of the table hold infinity; use NaN for what is unknown.")
        return numbers

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
