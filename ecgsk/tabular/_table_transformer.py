"""What the transformers of tables have in common."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from ecgsk._core.sklearn_compat import check_is_fitted, output_container


class TableTransformer(TransformerMixin, BaseEstimator):
    """Base of transformers that return a DataFrame unless ``set_output`` chose a container."""

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored
            For compatibility with scikit-learn.

        Returns
        -------
        ndarray of str
            One for each column.
        """
        check_is_fitted(self)
        return np.asarray(self._column_names(), dtype=object)

    def _column_names(self) -> list:
        raise NotImplementedError

    def _to_table(self, values: np.ndarray, X):
        if output_container(self) is not None:
            return values
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(values, columns=self._column_names(), index=index)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
