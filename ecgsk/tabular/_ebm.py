"""An explainable boosting machine whose bags know of patients."""

import math
from numbers import Integral, Real

import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import (
    ClassifierTags,
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets

from ecgsk._core.checks import check_groups
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import check_n_features


@public("ecgsk.tabular")
class GroupedEBMClassifier(ExplainableBoostingClassifier):
    """An explainable boosting machine that keeps the records of a patient together.

    The machine grows copies of itself on bags of the records and stops each when the part of the
    bag that is held out is told no better. interpret draws that part record by record: where a
    patient has several, it holds other records of the patients learnt from, and growing goes on
    while the machine learns patients by heart. Here ``fit`` takes ``groups``.

    It also refuses what interpret lets pass: a single class, complex numbers, no records, an array
    of another number of columns than in ``fit``, a DataFrame that lacks one of them; and classes
    that are floats, such as 0.0 and 1.0, come back as numbers instead of text. Everything else is
    interpret's ``ExplainableBoostingClassifier``, whose documentation says more of the parameters.

    Parameters
    ----------
    feature_names, feature_types, max_bins, max_interaction_bins : optional
        What the columns are called, what they are, and into how many steps they are cut.
    interactions, exclude : optional
        Pairs of predictors that get a term of their own, and terms that do not. By interpret's
        default the pairs are three times as many as the predictors, which costs most of the time.
    validation_size : float, default=0.15
        Share of the patients (records, without ``groups``) held out of each bag; from 1 on, their
        number.
    outer_bags, inner_bags : int, default=14 and 0
        Copies of the machine, whose mean answers.
    learning_rate, greedy_ratio, cyclic_progress, smoothing_rounds, interaction_smoothing_rounds, \
            max_rounds, early_stopping_rounds, early_stopping_tolerance, callback : optional
        How the copies grow, and when they stop.
    min_samples_leaf, min_hessian, reg_alpha, reg_lambda, max_delta_step, gain_scale, \
            min_cat_samples, cat_smooth, missing, max_leaves, monotone_constraints : optional
        What a step may be.
    objective : str, default="log_loss"
        What is made small.
    n_jobs : int, default=-2
        Copies that grow at once.
    random_state : int or None, default=42
        Draws the bags.

    See Also
    --------
    interpret.glassbox.ExplainableBoostingClassifier : Also takes ``sample_weight``, which is left
        out here because a weight of 2 is not what two records are to it.

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
            A DataFrame's columns give the terms their names; NaN is a value of its own.
        y : array-like of shape (n_records,)
            Classes, two or more.
        groups : array-like of shape (n_records,), default=None
            Patients. None counts every record as a patient of its own.
        bags : ndarray of shape (n_records, outer_bags), default=None
            1 for records that a copy learns from, -1 for those that stop it, 0 for neither.
            Instead of ``groups``: `patient_bags` makes them.
        init_score : array-like of shape (n_records,), default=None
            Log-odds to start from.

        Returns
        -------
        self : object
            The fitted machine.

        Raises
        ------
        ValueError
            For one class, groups together with bags, and patients too few to hold some out.
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
                f"y holds one class only, {classes.tolist()[0]!r}: there is nothing to tell apart. "
                "Give records of two classes."
            )
        if groups is not None:
            if bags is not None:
                raise ValueError("groups and bags were both given; bags say it all. Give one.")
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
        X : array-like of shape (n_records, n_predictors)
            As in ``fit``.
        init_score : array-like of shape (n_records,), default=None
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records, n_classes)
            In the order of ``classes_``.
        """
        return super().predict_proba(self._check_table(X, reset=False), init_score)

    def predict(self, X, init_score=None):
        """Return the likeliest class.

        Parameters
        ----------
        X : array-like of shape (n_records, n_predictors)
            As in ``fit``.
        init_score : array-like of shape (n_records,), default=None
            As in ``fit``.

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
        X : array-like of shape (n_records, n_predictors)
            As in ``fit``.
        init_score : array-like of shape (n_records,), default=None
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_classes)
            Sums of the terms.
        """
        return super().decision_function(self._check_table(X, reset=False), init_score)

    def _check_table(self, X, *, reset: bool):
        if not reset and not hasattr(self, "classes_"):
            return X  # interpret says that it is not fitted
        if isinstance(X, pd.DataFrame):
            # Its columns may be text; interpret finds them by their names.
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
            raise ValueError("X is sparse; a table of probabilities is dense: use X.toarray().")
        X = check_array(
            X, dtype=None, ensure_all_finite="allow-nan", input_name="X", estimator=self
        )
        if not reset:
            check_n_features(self, X, reset=False)
        return X

    def _check_columns(self, X: pd.DataFrame) -> None:
        # Where a name is not there interpret goes by the places of all columns, with a warning.
        lacking = [name for name in getattr(self, "_columns", None) or () if name not in X.columns]
        if lacking:
            raise ValueError(
                f"X lacks {', '.join(map(str, lacking[:8]))}{', ...' * (len(lacking) > 8)} of the "
                f"{len(self._columns)} columns that the machine was fitted on. Give all of them, "
                "in any order, NaN where unknown."
            )

    def __sklearn_tags__(self):
        # Those of interpret are of classes that scikit-learn does not know.
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def _as_classes(y):
    """Return whole numbers as integers, of which interpret would make the texts "0.0" and "1.0"."""
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        return y.astype(np.int64)
    return y


@public("ecgsk.tabular")
def patient_bags(
    y, groups, *, n_bags: int = 14, validation_size: float = 0.15, random_state=None
) -> np.ndarray:
    """Draw the bags of an explainable boosting machine by patient.

    Each bag holds out a share of the patients of each class, with all of their records.

    Parameters
    ----------
    y : array-like of shape (n_records,)
        Classes. A patient counts for the rarest of them, by patients, that a record of hers has.
    groups : array-like of shape (n_records,)
        Patients.
    n_bags : int, default=14
        Copies of the machine: its ``outer_bags``.
    validation_size : float, default=0.15
        Share of the patients that is held out; from 1 on, their number.
    random_state : int, RandomState instance or None, default=None
        Seeds the draw.

    Returns
    -------
    ndarray of int8 of shape (n_records, n_bags)
        1 for records to learn from and -1 for those held out, as the ``bags`` of
        ``ExplainableBoostingClassifier.fit``.

    Raises
    ------
    ValueError
        When the records of a class are all of one patient, who cannot be on both sides, and for
        numbers that are not allowed.

    Examples
    --------
    >>> from ecgsk.tabular import patient_bags
    >>> bags = patient_bags([0, 0, 1, 1, 0, 1], list("aabbcd"), n_bags=2, random_state=0)
    >>> bags.shape, bool((bags[0] == bags[1]).all())
    ((6, 2), True)
    """
    if not isinstance(validation_size, Real) or not 0 <= validation_size < np.inf:
        raise ValueError(
            f"validation_size={validation_size!r} is not allowed; give a share of the patients "
            "below 1, for example 0.15, or their number."
        )
    if not isinstance(n_bags, Integral) or n_bags < 1:
        raise ValueError(f"n_bags={n_bags!r} has to be an integer of at least 1.")
    y = np.unique(np.asarray(y), return_inverse=True)[1]
    if not len(y):
        raise ValueError("y holds no records; give at least two patients.")
    groups = check_groups(groups, len(y))
    patients, patient = np.unique(groups, return_inverse=True)
    # Counted for the rarest, so that no bag puts all patients of a class on one side.
    of_class = np.array([len(np.unique(patient[y == k])) for k in range(y.max() + 1)])
    rarity = np.argsort(np.argsort(-of_class, kind="stable"))
    kind = np.zeros(len(patients), dtype=int)
    np.maximum.at(kind, patient, rarity[y])
    if not validation_size:
        return np.ones((len(y), n_bags), dtype=np.int8)
    share = validation_size if validation_size < 1 else validation_size / len(patients)
    random = check_random_state(random_state)
    bags = np.ones((len(y), n_bags), dtype=np.int8)
    few = int(of_class.min())
    if few < 2 or share >= 1:
        raise ValueError(
            f"groups has {len(patients)} patients, and {few} with a record of one of the classes; "
            f"validation_size={validation_size!r} needs some to learn from and some to hold out. "
            "Give more patients, or validation_size=0 and outer_bags=1 to hold none out."
        )
    for bag in range(n_bags):
        for of_kind in (np.flatnonzero(kind == k) for k in range(y.max() + 1)):
            size = min(math.ceil(share * len(of_kind)), len(of_kind) - 1)
            if size > 0:
                held = random.choice(of_kind, size, replace=False)
                bags[np.isin(patient, held), bag] = -1
    return bags
