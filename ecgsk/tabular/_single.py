"""A classifier that uses a single predictor."""

from numbers import Integral

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ecgsk._core.log_odds import log_odds
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import StrOptions, check_is_fitted, fit_context, validate_data


@public("ecgsk")
class SinglePredictorClassifier(ClassifierMixin, BaseEstimator):
    """Classify by one column of a table, without training.

    A network's probability of an anterior infarct, or one minus that of a normal ECG, already ranks
    patients by low ejection fraction. With a given ``predictor`` and ``direction``, ``fit`` learns
    only the names of the classes.

    Parameters
    ----------
    predictor : str, int or "best"
        Name or number of the column. "best" takes the one that ranks the records of ``fit`` best;
        then no column may contain NaN.
    direction : {"higher", "lower", "auto"}, default="auto"
        Whether high or low values indicate the second class. "auto" learns it in ``fit``.
    scale : {"logit", "probability"}, default="logit"
        Content of the column, see `ProbabilityTransformer`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Class labels; the predictor indicates ``classes_[1]``.
    predictor_ : str or int
        The column: its name where X has names.
    direction_ : {"higher", "lower"}
        The direction in use.
    n_features_in_ : int
        Number of columns of X.

    See Also
    --------
    screen_predictors : All columns at once, with intervals.

    Notes
    -----
    The probability is that of the finding, not of the target: it ranks records, but is not
    calibrated, so 0.5 is not a useful threshold. `ecgsk.metrics.choose_threshold` finds one.

    References
    ----------
    Y. Zhou et al., arXiv:2603.28532, 2026: predictors used directly as scores.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecgsk.tabular import SinglePredictorClassifier
    >>> table = pd.DataFrame({"NORM": [2.0, -1.0, 3.0, -2.0], "ASMI": [-4.0, 1.0, -3.0, -5.0]})
    >>> low_ef = [0, 1, 0, 1]
    >>> alone = SinglePredictorClassifier("NORM", direction="lower").fit(table, low_ef)
    >>> alone.predict_proba(table)[:, 1].round(2)
    array([0.12, 0.73, 0.05, 0.88])
    """

    _parameter_constraints: dict = {
        "predictor": [str, Integral],
        "direction": [StrOptions({"higher", "lower", "auto"})],
        "scale": [StrOptions({"logit", "probability"})],
    }

    def __init__(self, predictor, *, direction="auto", scale="logit"):
        self.predictor = predictor
        self.direction = direction
        self.scale = scale

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Learn the classes, and the predictor and its direction where they are not given.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_records, n_predictors)
            NaN is allowed in columns that are not used.
        y : array-like of shape (n_records,)
            Two classes.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            For an unknown column, NaN in it, values that ``scale`` does not allow, and a number of
            classes other than two.
        """
        X, y = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        check_classification_targets(y)
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            # scikit-learn's checks expect the first words.
            raise ValueError(
                f"Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}: y has {len(self.classes_)} class(es); expected two."
            )
        if self.predictor == "best" and not self._is_a_name("best"):
            numbers = range(X.shape[1])
            areas = [roc_auc_score(y, self._values(X, number)) for number in numbers]
            self._number = int(np.argmax(np.abs(np.asarray(areas) - 0.5)))
        else:
            self._number = self._position()
        values = self._values(X, self._number)
        names = getattr(self, "feature_names_in_", None)
        self.predictor_ = self._number if names is None else str(names[self._number])
        self.direction_ = self.direction
        if self.direction == "auto":
            self.direction_ = "higher" if roc_auc_score(y, values) >= 0.5 else "lower"
        return self

    def decision_function(self, X) -> np.ndarray:
        """Return the log-odds of the predictor, with the sign that indicates the second class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_records, n_predictors)
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records,)
            Higher values mean that the second class is more likely.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        if self.predictor == "best":
            # As in fit, no column may contain NaN.
            for number in range(X.shape[1]):
                self._values(X, number)
        values = self._values(X, self._number)
        if self.scale == "probability":
            values = log_odds(values)
        return values if self.direction_ == "higher" else -values

    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities, or one minus them where low values indicate the class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_records, n_predictors)
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records, 2)
            In the order of ``classes_``.
        """
        logits = self.decision_function(X)
        return np.stack([expit(-logits), expit(logits)], axis=1)

    def predict(self, X) -> np.ndarray:
        """Return the more likely class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_records, n_predictors)
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records,)
            Classes.
        """
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]

    def _is_a_name(self, name) -> bool:
        return name in list(getattr(self, "feature_names_in_", []))

    def _position(self) -> int:
        names = list(getattr(self, "feature_names_in_", []))
        if isinstance(self.predictor, str):
            if self.predictor in names:
                return names.index(self.predictor)
            allowed = ", ".join(map(str, names[:8])) or "no names: X is not a DataFrame"
        else:
            if 0 <= self.predictor < self.n_features_in_:
                return int(self.predictor)
            allowed = f"0 to {self.n_features_in_ - 1}"
        raise ValueError(
            f"predictor={self.predictor!r} is not a column of X, which has {allowed}"
            f"{', ...' if len(names) > 8 else ''}. Use one of its columns, or 'best'."
        )

    def _values(self, X: np.ndarray, number: int) -> np.ndarray:
        values = X[:, number]
        names = getattr(self, "feature_names_in_", None)
        name = f"column {number}" if names is None else names[number]
        if not np.isfinite(values).all():
            raise ValueError(
                f"X has {np.sum(~np.isfinite(values))} NaN or infinite values in {name}, the "
                f"first in record {np.flatnonzero(~np.isfinite(values))[0]}. Remove those records, "
                "or impute the values first."
            )
        if self.scale == "probability" and not ((values >= 0) & (values <= 1)).all():
            raise ValueError(
                f"X has values from {values.min():.3g} to {values.max():.3g} in {name}, but "
                "scale='probability' allows 0 to 1. Use scale='logit' for log-odds."
            )
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # Its accuracy depends on column 0 of scikit-learn's test data.
        tags.classifier_tags.poor_score = True
        return tags
