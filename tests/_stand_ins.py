"""Classifiers of recordings that learn in a millisecond, and wrappers as users write them."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone


class StandIn(ClassifierMixin, BaseEstimator):
    """Classify recordings (three dimensions) by the distance of their leads' spread to its mean.

    Answers as ecgsk's networks do: ``multilabel_``, ``label_names_``, and a column for each class
    or label.
    """

    def __init__(self, sharpness=1.0):
        self.sharpness = sharpness

    def fit(self, X, y, sample_weight=None):
        names = [str(name) for name in y.columns] if hasattr(y, "columns") else None
        spread, y = self._spread(X), np.asarray(y)
        self.multilabel_ = y.ndim == 2
        if names is not None and self.multilabel_:
            self.label_names_ = names
        columns = y.T if self.multilabel_ else [y]
        self.classes_ = np.arange(len(columns)) if self.multilabel_ else np.unique(y)
        values = [np.arange(2)] * len(columns) if self.multilabel_ else [self.classes_]
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        self.centers_ = [
            np.stack([self._center(spread, weight * (column == value)) for value in of_column])
            for column, of_column in zip(columns, values, strict=True)
        ]
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X):
        spread = self._spread(X)
        found = []
        for centers in self.centers_:
            closeness = -self.sharpness * ((spread[:, None] - centers) ** 2).sum(axis=2)
            closeness = np.exp(closeness - closeness.max(axis=1, keepdims=True))
            found.append(closeness / closeness.sum(axis=1, keepdims=True))
        return np.stack([p[:, 1] for p in found], axis=1) if self.multilabel_ else found[0]

    def predict(self, X):
        p = self.predict_proba(X)
        return (p > 0.5).astype(int) if self.multilabel_ else self.classes_[p.argmax(axis=1)]

    @staticmethod
    def _center(spread, weight):
        return weight @ spread / weight.sum() if weight.any() else np.full(spread.shape[1], 9.0)

    @staticmethod
    def _spread(X):
        X = np.asarray(X)
        assert X.ndim == 3
        return X.std(axis=2)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.classifier_tags.multi_label = True
        return tags


class Wrapper(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A user's meta-estimator: it fits a clone and hands on its answers."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.estimator_.predict_proba(X)

    def predict(self, X):
        return self.estimator_.predict(X)


class WrapperWithClasses(Wrapper):
    """As `Wrapper`, with ``classes_`` of its own."""

    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self


class OddName(Wrapper):
    """As `Wrapper`, with the fitted clone under a name of its own."""

    def fit(self, X, y):
        self.tuned_model_ = clone(self.estimator).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.tuned_model_.predict_proba(X)

    def predict(self, X):
        return self.tuned_model_.predict(X)
