"""The only place that touches scikit-learn's private names.

scikit-learn keeps parameter validation private but maintains no public equal; when a release
moves one of these, this file is what changes.
"""

import sys
from copy import deepcopy
from types import FrameType

import pandas as pd
from sklearn.base import _fit_context as fit_context
from sklearn.base import clone
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.metrics._scorer import _MultimetricScorer as MultimetricScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.model_selection._validation import _fit_and_score as fit_and_score
from sklearn.model_selection._validation import (
    _warn_or_raise_about_fit_failures as warn_about_failed_fits,
)
from sklearn.pipeline import FeatureUnion
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from sklearn.utils.validation import _check_y as check_y

from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public

# The second is the name of before scikit-learn 1.7.
_DISPLAY = ("sklearn.utils._repr_html", "sklearn.utils._estimator_html_repr")


@public("ecgsk.tabular")
class RowAlignedFeatureUnion(FeatureUnion):
    """A ``sklearn.pipeline.FeatureUnion`` that joins rows by position, not by index.

    scikit-learn lets pandas join tables by their index. If one transformer returns rows with an
    index of its own, pandas would combine the values of different records.

    Parameters
    ----------
    transformer_list : list of (str, transformer)
        As in ``sklearn.pipeline.FeatureUnion``.
    n_jobs : int or None, default=None
        Number of jobs that run in parallel.
    transformer_weights : dict or None, default=None
        Weight of each transformer, by its name.
    verbose : bool, default=False
        Whether to print the time that each transformer took to fit.
    verbose_feature_names_out : bool, default=True
        Whether to prefix the names of columns with the name of their transformer.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from ecgsk.tabular import RowAlignedFeatureUnion
    >>> reverse = FunctionTransformer(lambda X: X[::-1], feature_names_out="one-to-one")
    >>> same = FunctionTransformer(feature_names_out="one-to-one")
    >>> union = RowAlignedFeatureUnion([("a", same), ("b", reverse)])
    >>> union.set_output(transform="pandas").fit_transform(pd.DataFrame({"age": [60, 70]}))
       a__age  b__age
    0      60      70
    1      70      60
    """

    def _hstack(self, Xs):
        tables = [X for X in Xs if isinstance(X, pd.DataFrame)]
        if any(not X.index.equals(tables[0].index) for X in tables):
            Xs = [X.reset_index(drop=True) if isinstance(X, pd.DataFrame) else X for X in Xs]
        return super()._hstack(Xs)


def check_sample_weight(sample_weight, X, **options):
    """Return the weights of records, which may be on any device, as scikit-learn checks them."""
    return _check_sample_weight(on_host(sample_weight, "sample_weight"), X, **options)


def check_own_params(estimator) -> None:
    """Raise for parameters that an estimator's constraints do not allow."""
    estimator._validate_params()


def output_container(estimator) -> str | None:
    """Return the container that the user chose: "default", "pandas", "polars", or None."""
    own = getattr(estimator, "_sklearn_output_config", {}).get("transform")
    asked = _get_output_config("transform", estimator)["dense"]
    return None if own is None and asked == "default" else asked


def set_output_container(estimator, container: str) -> None:
    """Store what `output_container` returns: scikit-learn ties its own setter to column names."""
    estimator._sklearn_output_config = {"transform": container}


def tuned_label(model):
    """Return the class whose score a ``TunedThresholdClassifierCV`` compares; None for the second.

    It is the positive class of the metric.
    """
    return model._curve_scorer._get_pos_label()


def being_displayed() -> bool:
    """Return whether scikit-learn draws an estimator, or lists its attributes, at present.

    It asks Pipelines and transformers for attributes of what is in them, in the same way as a user
    would.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        listed = module == "sklearn.base" and frame.f_code.co_name == "__dir__"
        if listed or module.startswith(_DISPLAY):
            return True
        frame = frame.f_back
    return False


def clone_keeping(estimator, names: tuple[str, ...]):
    """Return a clone that shares the parameters ``names`` with the original.

    scikit-learn clones parameters that are estimators, which makes fitted ones unfitted.
    ``__sklearn_clone__`` is public, but the default it replaces has no public name.
    """
    params = estimator.get_params(deep=False)
    copy = type(estimator)(
        **{k: v if k in names else clone(v, safe=False) for k, v in params.items()}
    )
    for name in ("_metadata_request", "_sklearn_output_config"):
        if name in vars(estimator):
            setattr(copy, name, deepcopy(vars(estimator)[name]))
    return copy
