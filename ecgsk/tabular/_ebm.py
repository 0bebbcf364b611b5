"""An explainable boosting machine with bags by patient."""

import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ecgsk._core.checks import check_groups
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_n_features
from ecgsk.tabular._patient_bags import patient_bags


@public("ecgsk.tabular")
class GroupedEBMClassifier(ExplainableBoostingClassifier):
    """An explainable boosting machine that keeps the records of a patient together.

    The machine is the mean of copies, each trained on a bag of the records and stopped when its
    predictions of the held-out part of the bag no longer improve. interpret draws that part record
    by record: patients with several records are then in both parts, and training continues while
    the machine memorizes patients. Here ``fit`` takes ``groups``.

    In contrast to interpret, it refuses a single class, complex numbers, no records, an array with
    another number of columns than in ``fit``, and a DataFrame without one of them; and classes that
    are floats, such as 0.0 and 1.0, stay numbers instead of becoming text. Everything else is
    interpret's ``ExplainableBoostingClassifier``; see its documentation for the parameters.

    Parameters
    ----------
    feature_names, feature_types, max_bins, max_interaction_bins : optional
        Names and types of the columns, and numbers of bins.
    interactions, exclude : optional
        Pairs of predictors with a term of their own, and excluded terms. By interpret's default
        there are three times as many pairs as predictors, which take most of the training time.
    validation_size : float, default=0.15
        Share of the patients (records, without ``groups``) held out of each bag, or their number
        where it is 1 or more.
    outer_bags, inner_bags : int, default=14 and 0
        Copies of the machine, and bags within each.
    learning_rate, greedy_ratio, cyclic_progress, smoothing_rounds, interaction_smoothing_rounds, \
            max_rounds, early_stopping_rounds, early_stopping_tolerance, callback : optional
        Training of the copies, and when it stops.
    min_samples_leaf, min_hessian, reg_alpha, reg_lambda, max_delta_step, gain_scale, \
            min_cat_samples, cat_smooth, missing, max_leaves, monotone_constraints : optional
        Limits of each boosting step.
    objective : str, default="log_loss"
        The loss.
    n_jobs : int, default=-2
        Copies that are trained at the same time.
    random_state : int or None, default=42
        Random seed of the bags.

    See Also
    --------
    interpret.glassbox.ExplainableBoostingClassifier : Also takes ``sample_weight``, which is
        removed here because a weight of 2 does not have the same effect as two records.

    References
    ----------
    H. Nori et al., "InterpretML: A unified framework for machine learning interpretability",
    arXiv:1909.09223, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.tabular import GroupedEBMClassifier
    >>> X = np.random.default_rng(0).random((200, 3))
    >>> ebm = GroupedEBMClassifier(
    ...     ["LBBB", "AFIB", "SR"], interactions=0, outer_bags=2, max_rounds=20, n_jobs=1
    ... )
    >>> ebm.fit(X, X[:, 0] > 0.5, groups=np.arange(200) // 4).term_names_
    ['LBBB', 'AFIB', 'SR']
    """

    def fit(self, X, y, *, groups=None, bags=None, init_score=None):
        """Fit the machine.

        Parameters
        ----------
        X : array-like of shape (n_records, n_predictors)
            The columns of a DataFrame name the terms; NaN is a value of its own.
        y : array-like of shape (n_records,)
            Classes, two or more.
        groups : array-like of shape (n_records,), default=None
            Patients. None counts every record as a patient of its own.
        bags : ndarray of shape (n_records, outer_bags), default=None
            Instead of ``groups``: 1 for the training records of a copy, -1 for those held out, 0
            for neither. See `patient_bags`.
        init_score : array-like of shape (n_records,), default=None
            Log-odds to start from.

        Returns
        -------
        self : object
            The fitted machine.

        Raises
        ------
        ValueError
            For one class, groups together with bags, and too few patients to hold some out.
        """
        X = self._check_table(X, reset=True)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = _as_classes(column_or_1d(y, warn=True))
        check_classification_targets(y)
        check_consistent_length(X, y)
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError(
                f"y contains only one class, {classes.tolist()[0]!r}. Give records of two classes."
            )
        if groups is not None:
            if bags is not None:
                raise ValueError("groups and bags were both given; give one of them.")
            bags = patient_bags(
                y,
                check_groups(groups, len(y)),
                n_bags=self.outer_bags,
                validation_size=self.validation_size,
                random_state=self.random_state,
            )
        return super().fit(X, y, bags=bags, init_score=init_score)

    def predict_proba(self, X, init_score=None):
        """Return probabilities.

        Parameters
        ----------
        X, init_score
            See `fit`.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            In the order of ``classes_``.
        """
        return super().predict_proba(self._check_table(X, reset=False), init_score)

    def predict(self, X, init_score=None):
        """Return the most likely class.

        Parameters
        ----------
        X, init_score
            See `fit`.

        Returns
        -------
        ndarray of shape (n_records,)
            Classes.
        """
        return super().predict(self._check_table(X, reset=False), init_score)

    def decision_function(self, X, init_score=None):
        """Return log-odds of the second class, or logits of all where there are more.

        Parameters
        ----------
        X, init_score
            See `fit`.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_classes)
            Sums of the terms.
        """
        return super().decision_function(self._check_table(X, reset=False), init_score)

    def _check_table(self, X, *, reset: bool):
        if not reset and not hasattr(self, "classes_"):
            return X  # interpret raises NotFittedError
        if isinstance(X, pd.DataFrame):
            # Its columns may contain text; interpret finds them by name.
            if 0 in X.shape:
                raise ValueError(
                    f"X has {len(X)} records and {X.shape[1]} columns; give at least one of each."
                )
            if reset:
                self._columns = None if self.feature_names is not None else list(X.columns)
            else:
                self._check_columns(X)
            return X
        if reset:
            self._columns = None
        if sparse.issparse(X):
            raise ValueError("X is sparse; expected a dense table: use X.toarray().")
        X = check_array(
            X, dtype=None, ensure_all_finite="allow-nan", input_name="X", estimator=self
        )
        if not reset:
            check_n_features(self, X, reset=False)
        return X

    def _check_columns(self, X: pd.DataFrame) -> None:
        # Where a name is missing, interpret uses all columns by place, with a warning.
        columns = getattr(self, "_columns", None) or []
        missing = [name for name in columns if name not in X.columns]
        if missing:
            raise ValueError(
                f"X lacks {', '.join(map(str, missing[:8]))}{', ...' * (len(missing) > 8)} of the "
                f"{len(columns)} columns that the machine was fitted on. Give all of them, in any "
                "order, with NaN for unknown values."
            )

    def __sklearn_tags__(self):
        # interpret's own tags do not have the types that scikit-learn expects.
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def _as_classes(y):
    """Return whole numbers as integers; interpret turns floats into the texts "0.0" and "1.0"."""
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        return y.astype(np.int64)
    return y
