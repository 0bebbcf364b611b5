"""An explainable boosting machine with bags by patient."""

import warnings

import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ecgsk._core.checks import check_distinct, check_groups
from ecgsk._core.frames import as_pandas
from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_n_features
from ecgsk.tabular._patient_bags import patient_bags

# What interpret keeps of each column for its plots.
_OF_COLUMNS = ("histogram_edges_", "histogram_weights_", "unique_val_counts_")


@public("ecgsk.tabular")
class GroupedEBMClassifier(ExplainableBoostingClassifier):
    """An explainable boosting machine that keeps the records of a patient together.

    The machine is the mean of copies, each trained on a bag of the records and stopped when its
    predictions of the held-out part of the bag no longer improve. interpret draws that part record
    by record: patients with several records are then in both parts, and training continues while
    the machine memorizes patients. Here ``fit`` takes ``groups``.

    In contrast to interpret, it finds the columns of DataFrames of polars, pyarrow and other
    libraries by name, too, in any order. It refuses a single class, too few records of a class,
    complex numbers, no records, an array with another number of columns than in ``fit``, and a
    DataFrame without one of them. Classes that are floats, such as 0.0 and 1.0, stay numbers
    instead of becoming text. Everything else is interpret's ``ExplainableBoostingClassifier``; see
    its documentation for the parameters and for ``monotonize``, ``scale`` and ``remove_features``.

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
    merge_ebms : One machine from several.
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
        X : DataFrame of any library or array-like of shape (n_records, n_predictors)
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
            For one class, groups together with bags, and too few records or patients of a class
            to hold some out.
        """
        X = self._check_table(X, reset=True)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = _as_classes(column_or_1d(on_host(y, "y"), warn=True))
        check_classification_targets(y)
        check_consistent_length(X, y)
        classes, counts = np.unique(y, return_counts=True)
        if len(classes) < 2:
            raise ValueError(
                f"y contains only one class, {classes.tolist()[0]!r}. Give records of two classes."
            )
        if groups is not None:
            if bags is not None:
                raise ValueError("groups and bags were both given; give one of them.")
            groups = check_groups(groups, len(y))
        elif bags is None and self._may_hold_out_one_class(counts):
            if counts.min() < 2:
                few = ", ".join(
                    f"{n} of {c!r}" for c, n in zip(classes.tolist(), counts, strict=True)
                )
                raise ValueError(
                    f"y has {few}: the machine needs at least 2 records of each class, one to "
                    "train on and one to hold out. Give more records, or validation_size=0 and "
                    "outer_bags=1 to hold none out."
                )
            groups = np.arange(len(y))
        if groups is not None:
            bags = patient_bags(
                y,
                groups,
                n_bags=self.outer_bags,
                validation_size=self.validation_size,
                random_state=self.random_state,
            )
        super().fit(X, y, bags=bags, init_score=init_score)
        return self

    def _may_hold_out_one_class(self, counts: np.ndarray) -> bool:
        """Return whether interpret's own bags could hold out records of one class only.

        The loss of such records falls for ever: training would end after ``max_rounds``.
        """
        size = self.validation_size
        share = size if size < 1 else size / counts.sum()
        return 0 < share < 1 and share * counts.min() < 1

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

    def eval_terms(self, X):
        """Return what each term adds to the log-odds.

        Parameters
        ----------
        X
            See `fit`.

        Returns
        -------
        ndarray of shape (n_records, n_terms) or (n_records, n_terms, n_classes)
            The terms of `decision_function`, without the intercept.
        """
        return super().eval_terms(self._check_table(X, reset=False))

    def explain_local(self, X, y=None, name=None, init_score=None):
        """Return interpret's explanation of the predictions for records.

        Parameters
        ----------
        X, init_score
            See `fit`.
        y : array-like of shape (n_records,), default=None
            Classes, for comparison.
        name : str, default=None
            Name of the explanation.

        Returns
        -------
        interpret.api.base.ExplanationMixin
            For ``interpret.show``.
        """
        return super().explain_local(self._check_table(X, reset=False), y, name, init_score)

    def predict_with_uncertainty(self, X, init_score=None):
        """Return the mean and the standard deviation of the bags' log-odds.

        Parameters
        ----------
        X, init_score
            See `fit`.

        Returns
        -------
        ndarray of shape (n_records, 2)
            Means and standard deviations.
        """
        if hasattr(self, "classes_") and self.bagged_intercept_ is None:
            raise ValueError(
                "The machine was changed by monotonize and has no bags, whose differences are the "
                "uncertainty. Use predict_proba, or the machine before the change."
            )
        return super().predict_with_uncertainty(self._check_table(X, reset=False), init_score)

    def scale(self, term, factor):
        """Multiply the scores of a term, also after ``monotonize``.

        Parameters
        ----------
        term : str or int
            Name or number of the term.
        factor : float
            0 takes the term out of predictions.

        Returns
        -------
        self : object
            The changed machine.
        """
        number = self.term_names_.index(term) if term in self.term_names_ else term
        if isinstance(number, str) or self.bagged_scores_[number] is not None:
            return super().scale(term, factor)
        self.term_scores_[number] *= factor
        return self

    def remove_features(self, features):
        """Remove columns and their terms; predictions no longer need the columns.

        Parameters
        ----------
        features : list of str, int or bool
            Names, numbers or a mask of the columns.

        Returns
        -------
        self : object
            The changed machine.
        """
        # A merged machine has no histograms of columns, which interpret needs here.
        lacking = [name for name in _OF_COLUMNS if not hasattr(self, name)]
        for name in lacking:
            setattr(self, name, [0] * len(self.bins_))
        names = list(self.feature_names_in_)
        super().remove_features(features)
        for name in lacking:
            delattr(self, name)
        # interpret leaves the terms with the numbers that their columns had before.
        number_of = {name: number for number, name in enumerate(self.feature_names_in_)}
        self.term_features_ = [
            tuple(number_of[names[number]] for number in term) for term in self.term_features_
        ]
        return self

    def _check_table(self, X, *, reset: bool):
        if not reset and not hasattr(self, "classes_"):
            return X  # interpret raises NotFittedError
        X = as_pandas(X)
        if isinstance(X, pd.DataFrame):
            # Its columns may contain text; interpret finds them by name.
            if 0 in X.shape:
                raise ValueError(
                    f"X has {len(X)} records and {X.shape[1]} columns; give at least one of each."
                )
            X = X.set_axis(list(map(str, X.columns)), axis=1)
            check_distinct(X.columns, "X")
            if not reset:
                return self._with_columns_of_fit(X)
            columns = self._features_by_column(list(X.columns))
            self._columns = columns
            return X.rename(columns=columns)
        if reset:
            self.__dict__.pop("_columns", None)
        if sparse.issparse(X):
            raise ValueError("X is sparse; expected a dense table: use X.toarray().")
        X = check_array(
            on_host(X), dtype=None, ensure_all_finite="allow-nan", input_name="X", estimator=self
        )
        if not reset:
            check_n_features(self, X, reset=False)
        return X

    def _features_by_column(self, columns: list[str]) -> dict[str, str]:
        """Return the name of the feature that each column of a DataFrame is."""
        names = columns if self.feature_names is None else list(map(str, self.feature_names))
        if set(names) <= set(columns) or len(names) != len(columns):
            return dict(zip(columns, columns, strict=True))
        return dict(zip(columns, names, strict=True))

    def _with_columns_of_fit(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return a DataFrame whose columns have the names of the features."""
        features = [
            name
            for name, kind in zip(self.feature_names_in_, self.feature_types_in_, strict=True)
            if kind != "ignore"
        ]
        columns = getattr(self, "_columns", None)
        if columns is None and self.feature_names is None:
            # Fitted on an array without names.
            check_n_features(self, X, reset=False)
            if set(features) <= set(X.columns):
                return X
            warnings.warn(
                f"X has feature names, but {type(self).__name__} was fitted without feature names: "
                "the columns are used in the order of X.",
                stacklevel=4,
            )
            return X.set_axis(self.feature_names_in_, axis=1)
        # Models of ecgsk 0.1.0 have a list.
        columns = columns if isinstance(columns, dict) else {}
        X = X.rename(columns=columns)
        # interpret would use all columns by place.
        of_feature = {feature: column for column, feature in columns.items()}
        missing = [of_feature.get(name, name) for name in features if name not in X.columns]
        if missing:
            raise ValueError(
                f"X lacks {', '.join(missing[:8])}{', ...' * (len(missing) > 8)} of the "
                f"{len(features)} columns that the machine was fitted on. Give all of them, in any "
                "order, with NaN for unknown values."
            )
        return X

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
