"""One explainable boosting machine from several."""

from collections.abc import Sequence
from copy import deepcopy

from interpret.glassbox import ExplainableBoostingClassifier
from interpret.glassbox import merge_ebms as merge_plain
from sklearn.utils.validation import check_is_fitted

from ecgsk._core.public import public
from ecgsk.tabular._ebm import GroupedEBMClassifier


@public("ecgsk.tabular")
def merge_ebms(models: Sequence) -> GroupedEBMClassifier:
    """Return one machine from several that were fitted on the same columns and classes.

    It has the bags of all, for example of one machine for each hospital. interpret's function of
    this name refuses `GroupedEBMClassifier`, because it compares the names of classes.

    Parameters
    ----------
    models : sequence of GroupedEBMClassifier or ExplainableBoostingClassifier
        Fitted machines; they are not changed.

    Returns
    -------
    GroupedEBMClassifier
        With the parameters of the first one.

    Raises
    ------
    TypeError
        For other models.
    ValueError
        For no models, other columns or classes, and machines whose bags are gone after
        ``monotonize``.

    See Also
    --------
    interpret.glassbox.merge_ebms : Does the work.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.tabular import GroupedEBMClassifier, merge_ebms
    >>> X = np.random.default_rng(0).random((200, 3))
    >>> here, there = (
    ...     GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=20, n_jobs=1).fit(
    ...         X[rows], X[rows, 0] > 0.5
    ...     )
    ...     for rows in (slice(100), slice(100, 200))
    ... )
    >>> len(merge_ebms([here, there]).bagged_scores_[0])
    4
    """
    models = list(models)
    if not models:
        raise ValueError("models is empty; give at least one fitted machine.")
    copies = []
    for number, model in enumerate(models):
        if type(model) not in (GroupedEBMClassifier, ExplainableBoostingClassifier):
            raise TypeError(
                f"models[{number}] is a {type(model).__name__}; give fitted GroupedEBMClassifier."
            )
        check_is_fitted(model, "has_fitted_")
        if model.bagged_intercept_ is None:
            raise ValueError(
                f"models[{number}] was changed by monotonize and has no bags. Merge first, and "
                "use monotonize on the result."
            )
        # A copy, because merging changes scores of several classes in place.
        copy = ExplainableBoostingClassifier.__new__(ExplainableBoostingClassifier)
        copy.__dict__.update(deepcopy(vars(model)))
        copies.append(copy)
    merged = GroupedEBMClassifier(**models[0].get_params())
    merged.__dict__.update(vars(merge_plain(copies)))
    columns = [vars(model)["_columns"] for model in models if "_columns" in vars(model)]
    if columns:
        merged._columns = columns[0]
    return merged
