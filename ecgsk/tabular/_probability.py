"""A transformer from recordings to a table of probabilities."""

import os
import warnings
from functools import partial
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags, indexable
from sklearn.utils.multiclass import type_of_target

from ecgsk._core.checks import check_distinct, check_groups, check_indicator
from ecgsk._core.columns import Columns, columns_of
from ecgsk._core.host_arrays import on_host
from ecgsk._core.log_odds import log_odds
from ecgsk._core.metadata import check_groups_arrive, fit_arguments
from ecgsk._core.public import public
from ecgsk._core.records import RecordArray, is_lazy
from ecgsk._core.sklearn_compat import (
    BaseSearchCV,
    HasMethods,
    Interval,
    StrOptions,
    check_is_fitted,
    fit_context,
    safe_indexing,
)
from ecgsk._core.steps import keep_preprocessing, warn_of_preprocessing
from ecgsk._core.targets import plain_target
from ecgsk.tabular._memory import memory_folder, remembered_probabilities
from ecgsk.tabular._out_of_fold import out_of_fold
from ecgsk.tabular._table_transformer import TableTransformer

# Records on which the order of a user's columns is compared with `predict`.
_ORDER_RECORDS = 32


@public("ecgsk")
class ProbabilityTransformer(MetaEstimatorMixin, TableTransformer):
    """Transform recordings to a table of a classifier's probabilities.

    The table has a named column for each label. Interpretable models, such as interpret's
    ``ExplainableBoostingClassifier`` or a logistic regression, can be trained on it.

    Probabilities of training records would be too good. Therefore `fit_transform`, which a Pipeline
    calls in its ``fit``, returns out-of-fold probabilities; `transform` uses the classifier that
    was fitted on all records. To use a fitted classifier as it is, wrap it in
    ``sklearn.frozen.FrozenEstimator``; then nothing is fitted and no targets are needed.

    Parameters
    ----------
    estimator : estimator with ``predict_proba``
        For example an `ecgsk.MTECGClassifier`, a Pipeline that ends in one, or any scikit-learn
        classifier. It is cloned and fitted unless it is frozen.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of `fit_transform`. An int means shuffled folds, by group where ``groups`` are given,
        and stratified for single-label targets.
    scale : {"probability", "logit"}, default="probability"
        "logit" is log(p / (1 - p)), where probabilities closer to 0 or 1 than 1.2e-7 are moved to
        that distance; values lie between -16 and 16.
    feature_names : list of str, default=None
        Names of the columns. None uses the first that exists: the columns of ``diagnoses`` or ``y``
        if it is a DataFrame, the ``label_names_`` of the estimator, the class labels. A classifier
        without ``classes_`` needs names, one for each column of its ``predict_proba``.
    n_jobs : int, default=None
        Folds that are fitted at the same time. Leave it at None for networks, which use all cores.
    random_state : int, RandomState instance or None, default=None
        Random seed of the folds when ``cv`` is an int.
    memory : str, path-like, joblib.Memory or None, default=None
        Folder in which the probabilities of a classifier that is used as it is are kept: a frozen
        one, or a network with ``weights``. Cross-validation, a search or an explanation behind it
        then computes each recording once. See the notes. Classifiers that are fitted do not use it.
    memory_limit : int, default=1073741824
        Size of the files in the folder, in bytes. The oldest files are deleted first.

    Attributes
    ----------
    estimator_ : estimator
        The classifier that `transform` uses.
    n_features_in_ : int
        That of the classifier.

    See Also
    --------
    sklearn.frozen.FrozenEstimator : Protects a fitted classifier from another fit.

    Notes
    -----
    The classifier may be nested in others, such as searches, calibrations, thresholds and
    ensembles, or in a wrapper of your own. The columns are those of its own ``classes_``, or
    ``multilabel_`` and ``label_names_``; otherwise those of the classifier that it wraps. If
    ``predict_proba`` returns anything else, an error says what.

    Patients: without metadata routing, ``groups`` reach the steps of Pipelines, the splitter of a
    search and classifiers whose ``fit`` takes them. With
    ``sklearn.set_config(enable_metadata_routing=True)`` they reach everything that requests them,
    also the ``cv=GroupKFold()`` of a calibration or a threshold. Where a part would split without
    them, ``fit`` raises an error.

    ``memory`` keeps the probabilities of each recording for exactly its samples (and its sampling
    rate, leads and row of the table, where it has them) and for exactly this classifier: its
    parameters, the content of its weights, the device, and the versions of ecgsk, torch and NumPy.
    The code of your own classes and functions counts as well, but not data that they read
    elsewhere. The classifier's answer for a recording must depend on this recording alone. Several
    processes may share the folder. It may be deleted at any time; damaged files are computed again.
    The files contain only numbers and run no code, but whoever may write to the folder can change
    probabilities. `ecgsk.save` leaves ``memory`` out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from ecgsk import ProbabilityTransformer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 4))
    >>> findings = (X[:, :2] > 0).astype(int)
    >>> from sklearn.neural_network import MLPClassifier
    >>> step = ProbabilityTransformer(
    ...     MLPClassifier(max_iter=20, random_state=0), feature_names=["LVH", "AFIB"], cv=3
    ... )
    >>> list(step.fit_transform(X, y=rng.integers(2, size=60), diagnoses=findings).columns)
    ['LVH', 'AFIB']
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "cv": [Interval(Integral, 2, None, closed="left"), "cv_object"],
        "scale": [StrOptions({"probability", "logit"})],
        "feature_names": ["array-like", None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "memory": [str, os.PathLike, HasMethods("cache"), None],
        "memory_limit": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator,
        *,
        cv=5,
        scale="probability",
        feature_names=None,
        n_jobs=None,
        random_state=None,
        memory=None,
        memory_limit=2**30,
    ):
        self.estimator = estimator
        self.cv = cv
        self.scale = scale
        self.feature_names = feature_names
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory
        self.memory_limit = memory_limit

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, diagnoses=None, groups=None, sample_weight=None):
        """Fit the classifier on all records, unless it is frozen.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV, or other input of the classifier.
        y : array-like of shape (n_records,), default=None
            Targets of the classifier where ``diagnoses`` is None.
        diagnoses : array-like of shape (n_records,) or (n_records, n_labels), default=None
            Targets of the classifier where they differ from the ``y`` of the Pipeline: the findings
            in the columns, while ``y`` is the target of the model that reads the table.
        groups : array-like of shape (n_records,), default=None
            Patients. Passed to all parts of the classifier that take them, see the notes.
        sample_weight : array-like of shape (n_records,), default=None
            Passed to the classifier's ``fit``.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            When the classifier has to be fitted and there are no targets, or labels are missing;
            when ``groups`` would not reach a split inside the classifier, or nothing takes
            ``sample_weight``; when the columns of ``predict_proba`` are not known.
        """
        keep_preprocessing(self, X)
        self._fit(X, y, diagnoses, groups, on_host(sample_weight, "sample_weight"))
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None, *, diagnoses=None, groups=None, sample_weight=None):
        """Fit the classifier and return out-of-fold probabilities of the same records.

        Parameters
        ----------
        X, y, diagnoses, groups, sample_weight
            See `fit`. The classifier of a fold is not trained on patients in that fold.

        Returns
        -------
        DataFrame of shape (n_records, n_columns)
            Probabilities or logits; an ndarray after ``set_output(transform="default")``. A binary
            classifier has one column, the probability of the second class.
        """
        keep_preprocessing(self, X)
        sample_weight = on_host(sample_weight, "sample_weight")
        X, target, groups = self._fit(X, y, diagnoses, groups, sample_weight, folds=True)
        if not self._needs_fit():
            return self.transform(X)
        table = np.empty((len(target), len(self._names)))
        for test, of_fold, probabilities in out_of_fold(
            self.estimator,
            X,
            target,
            cv=self.cv,
            groups=groups,
            sample_weight=sample_weight,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
            columns=partial(columns_of, **self._known_of_columns()),
        ):
            table[test] = self._select_columns(of_fold, probabilities)
        return self._to_table(table, X)

    def transform(self, X):
        """Return the probabilities of the classifier that was fitted on all records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV.

        Returns
        -------
        DataFrame of shape (n_records, n_columns)
            See `fit_transform`. Probabilities of the training records are too good; `fit_transform`
            returns out-of-fold ones.
        """
        check_is_fitted(self)
        warn_of_preprocessing(self, X, stacklevel=2)
        classifier, columns = self._classifier(), self._columns()
        folder = None if self._needs_fit() else memory_folder(self.memory)
        if folder is None:
            probabilities = columns.table(classifier.predict_proba(X))
        else:
            limit = self.memory_limit
            probabilities = remembered_probabilities(classifier, on_host(X), folder, limit, columns)
        return self._to_table(self._select_columns(columns, probabilities), X)

    def _fit(self, X, y, diagnoses, groups, sample_weight, *, folds=False):
        for name in ("_diagnosis_names", "_multilabel", "_n_labels", "estimator_"):
            self.__dict__.pop(name, None)
        if not self._needs_fit():
            if diagnoses is not None:
                warnings.warn(
                    f"diagnoses are ignored: {type(self.estimator).__name__} is used as it is. To "
                    "fine-tune on them, give a classifier that has to be fitted, such as "
                    "MTECGClassifier(pretrained='ptbxl').",
                    stacklevel=4,
                )
            if isinstance(self.estimator, FrozenEstimator):
                check_is_fitted(self.estimator)
            self.estimator_ = self.estimator
            self._names = self._column_names()
            self._copy_n_features()
            self._check_order(X)
            return X, None, None
        target = y if diagnoses is None else diagnoses
        if target is None:
            raise ValueError(
                f"{type(self).__name__} fits its estimator and requires y to be passed, but the "
                "target y is None. Give y or diagnoses, or wrap a fitted classifier in "
                "sklearn.frozen.FrozenEstimator."
            )
        name = "y" if diagnoses is None else "diagnoses"
        target, self._diagnosis_names = _as_labels(
            target, name, only_tables=_takes_only_tables(self.estimator)
        )
        X, target, sample_weight = indexable(_lazily(X), target, sample_weight)
        groups = check_groups(groups, len(target))
        self.estimator_ = clone(self.estimator)
        arguments = fit_arguments(self.estimator_, groups=groups, sample_weight=sample_weight)
        check_groups_arrive(self.estimator_, groups, arguments, folds=folds)
        self.estimator_.fit(X, target, **arguments)
        self._n_labels = np.shape(target)[1] if np.ndim(target) == 2 else 0
        self._copy_n_features()
        self._names = self._column_names()
        self._check_order(X)
        return X, target, groups

    def _copy_n_features(self) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def _needs_fit(self) -> bool:
        frozen = isinstance(self.estimator, FrozenEstimator)
        return not frozen and get_tags(self.estimator).requires_fit

    def _classifier(self):
        return self.estimator_ if hasattr(self, "estimator_") else self.estimator

    def _known_of_columns(self) -> dict:
        """Return what `columns_of` may need to know besides the classifier."""
        known: dict = {"names": [str(name) for name in _or_empty(self.feature_names)]}
        if "_n_labels" in vars(self):
            known["n_labels"] = self._n_labels
        elif "_multilabel" in vars(self):  # of version 0.1.0
            known["n_labels"] = len(self._names) if self._multilabel else 0
        return known

    def _columns(self) -> Columns:
        return columns_of(self._classifier(), **self._known_of_columns())

    def _column_names(self) -> list[str]:
        columns = self._columns()
        names = columns.names
        learned = list(getattr(self, "_diagnosis_names", []))
        if columns.label_names is not None and sorted(learned) == sorted(names):
            learned = names  # the classifier's order
        if not columns.multilabel:
            names = [str(c) if isinstance(c, str) else f"class_{c}" for c in columns.classes]
            names = names[1:] if len(names) == 2 else names
        n_columns = len(names)
        if self.feature_names is not None:
            names = [str(name) for name in self.feature_names]
        elif len(learned) == n_columns:
            names = learned
        if len(names) != n_columns:
            raise ValueError(
                f"feature_names has {len(names)} names, but there are {n_columns} columns: give "
                "one name for each."
            )
        check_distinct(names, "feature_names" if self.feature_names is not None else "the table")
        return names

    def _check_order(self, X) -> None:
        """Compare ``predict`` and ``predict_proba`` of a user's classifier on a few records."""
        classifier = self._classifier()
        columns = self._columns()
        if columns.multilabel or columns.is_known or not hasattr(classifier, "predict"):
            return
        n_records = len(X)
        some = safe_indexing(X, np.unique(np.linspace(0, n_records - 1, _ORDER_RECORDS, dtype=int)))
        columns.check_order(columns.table(classifier.predict_proba(some)), classifier.predict(some))

    def _select_columns(self, columns: Columns, probabilities: np.ndarray) -> np.ndarray:
        """Return the columns of the table from a classifier's probabilities."""
        own = self._columns()
        if not own.multilabel:
            # Where a fold lacks a class, its probability is 0.
            place = {value: i for i, value in enumerate(own.classes)}
            aligned = np.zeros((len(probabilities), len(place)))
            aligned[:, [place[value] for value in columns.classes]] = probabilities
            probabilities = aligned[:, 1:] if len(place) == 2 else aligned
        if self.scale == "logit":
            return log_odds(probabilities)
        return probabilities.astype(np.float64)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags.required = self._needs_fit()
        tags.requires_fit = self._needs_fit()
        return tags


def _as_labels(target, name: str, *, only_tables: bool):
    """Return one column of classes or a table of 0 and 1, and the names of its columns.

    A table of one column becomes a column of classes, unless the estimator takes ``only_tables``.
    """
    series_name = getattr(target, "name", None) if name == "diagnoses" else None
    target, names = plain_target(target, name)
    if names is None:
        names = [] if series_name is None else [str(series_name)]
    if sparse.issparse(target):
        target = target.toarray()
    kind = type_of_target(target, input_name=name)
    if np.ndim(target) == 2 and np.shape(target)[1] == 1 and not only_tables:
        target = np.ravel(target)
    elif kind == "multilabel-indicator" or (np.ndim(target) == 2 and kind == "binary"):
        check_indicator(np.asarray(target), name)
        if names:
            # A network learns the names.
            target = pd.DataFrame(target, columns=names)
    elif np.ndim(target) == 2:
        raise ValueError(
            f"{name} has shape {np.shape(target)} and is {kind}; give one column of "
            "classes, or a matrix of 0 and 1 with a column for each label."
        )
    return target, names


def _takes_only_tables(estimator) -> bool:
    """Return whether a classifier takes a matrix of labels even for one label."""
    if isinstance(estimator, Pipeline):
        return _takes_only_tables(estimator.steps[-1][1])
    if isinstance(estimator, BaseSearchCV):
        return _takes_only_tables(estimator.estimator)
    return not get_tags(estimator).target_tags.single_output


def _or_empty(names):
    return () if names is None else names


def _lazily(X):
    """Return recordings on disk so that they are read in batches."""
    X = on_host(X)
    return RecordArray.wrap(X) if is_lazy(X) and not isinstance(X, RecordArray) else X
