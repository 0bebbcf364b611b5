"""What the columns of scikit-learn's classifiers mean."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from ecgsk._core.columns import UnknownColumnsError, columns_of

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X > 0).astype(int)


@pytest.mark.parametrize(
    ("model", "target", "multilabel", "names"),
    [
        (LogisticRegression(), np.array(["no", "yes"])[Y[:, 0]], False, ["no", "yes"]),
        (LogisticRegression(), Y.sum(axis=1), False, ["0", "1", "2", "3"]),
        (RandomForestClassifier(5), Y, True, ["label_0", "label_1", "label_2"]),
        (MLPClassifier(max_iter=2), Y, True, ["label_0", "label_1", "label_2"]),
        (MLPClassifier(max_iter=2), Y[:, 0], False, ["0", "1"]),
        (MultiOutputClassifier(DummyClassifier()), Y[:, :2], True, ["label_0", "label_1"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_columns_have_the_names_of_labels_or_classes(model, target, multilabel, names):
    for fitted in (model.fit(X, target), make_pipeline(model), FrozenEstimator(model)):
        columns = columns_of(fitted)
        assert columns.multilabel is multilabel and columns.names == names
        assert all(type(name) is str for name in columns.names)
        assert columns.table(fitted.predict_proba(X)).shape == (40, len(names))
    model.label_names_ = ["LVH", "AFIB", "SR"][: len(names)]
    assert columns_of(model).names == (model.label_names_ if multilabel else names)


@pytest.mark.parametrize("model", [object(), LogisticRegression(), make_pipeline(MLPClassifier())])
def test_the_columns_of_a_classifier_without_classes_are_not_known(model):
    with pytest.raises(UnknownColumnsError, match="has no classes_.*Set what fits"):
        columns_of(model)


def test_a_label_that_never_occurs_is_a_column_of_zeros():
    target = Y.copy()
    target[:, 1] = 0
    forest = RandomForestClassifier(5, random_state=0).fit(X, target)
    table = columns_of(forest).table(forest.predict_proba(X))
    assert not table[:, 1].any() and table[:, 0].any()
