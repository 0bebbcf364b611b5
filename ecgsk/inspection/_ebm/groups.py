"""Groups of correlated predictors, and their joint importance."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ecgsk._core.checks import check_distinct
from ecgsk._core.frames import as_pandas
from ecgsk._core.public import public
from ecgsk.inspection._ebm.terms import check_binary_ebm

_METHODS = ("spearman", "pearson", "kendall")
# Two records always lie on a line.
_FEWEST_PAIRS = 3


@public("ecgsk.inspection")
def group_correlated(
    table, *, min_correlation: float = 0.7, method: str = "spearman"
) -> list[list[str]]:
    """Put predictors that are correlated with each other into groups.

    Parameters
    ----------
    table : DataFrame of shape (n_records, n_predictors)
        Numbers; columns of text with two values count as 0 and 1, with more they stay alone.
        Records in which either of two predictors is NaN are left out of their correlation.
    min_correlation : float, default=0.7
        Absolute correlation, above 0 and at most 1, that all predictors of a group have with each
        other at least.
    method : {"spearman", "pearson", "kendall"}, default="spearman"
        Of the correlation. Spearman's does not change between probabilities and logits.

    Returns
    -------
    list of list of str
        Names of the predictors of each group, in the order of the columns; every column is in one
        group. Constant columns are alone.

    Raises
    ------
    ValueError
        When ``min_correlation`` or ``method`` is not allowed, and names that stand there twice.
    TypeError
        When ``table`` is not a DataFrame.

    Notes
    -----
    Hierarchical clustering with complete linkage on ``1 - |rho|``: unlike with average or single
    linkage, no chain of neighbors joins predictors that have little to do with each other.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecgsk.inspection import group_correlated
    >>> LBBB = np.random.default_rng(0).normal(size=200)
    >>> table = pd.DataFrame({"LBBB": LBBB, "SR": LBBB[::-1], "IVCD": -(LBBB**3)})
    >>> group_correlated(table)
    [['LBBB', 'IVCD'], ['SR']]
    """
    table = _check_table(table)
    if not 0 < min_correlation <= 1:
        raise ValueError(f"min_correlation={min_correlation!r} has to be above 0 and at most 1.")
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is not allowed; use one of {', '.join(_METHODS)}.")
    names = [str(name) for name in table.columns]
    check_distinct(names, "table")
    if len(names) < 2:
        return [[name] for name in names]
    distance = 1 - _absolute_correlation(table, method)
    tree = linkage(squareform(distance, checks=False), method="complete")
    # Rounding errors must not separate predictors at the limit, such as copies at 1.
    numbers = fcluster(tree, 1 - min_correlation + 1e-9, criterion="distance")
    groups: dict[int, list[str]] = {}
    for name, number in zip(names, numbers, strict=True):
        groups.setdefault(number, []).append(name)
    return list(groups.values())


@public("ecgsk.inspection")
def group_importances(ebm, table, groups=None, *, min_correlation: float = 0.7) -> pd.DataFrame:
    """Return the importance that groups of predictors have together.

    Among correlated predictors an explainable boosting machine divides the credit arbitrarily:
    which of them comes first in each round, and the bag, decide it. Five ways of saying "bundle
    branch block" may each look unimportant though together they decide, and two may push in
    opposite directions and cancel, so that neither curve means what it seems to. The sum of
    their contributions does not depend on how it was divided. Curves and importances of single
    predictors in a group of several must not be read alone.

    Parameters
    ----------
    ebm : ExplainableBoostingClassifier
        Fitted on two classes; of a Pipeline its last step.
    table : DataFrame of shape (n_records, n_predictors)
        Records to average over, with the predictors that the model was fitted on.
    groups : list of list of str, mapping of str to list of str, or None, default=None
        Names of the predictors in each group; a mapping's keys name the groups. Predictors that
        are in none stay alone. None: `group_correlated` of ``table``.
    min_correlation : float, default=0.7
        Of `group_correlated`, where ``groups`` is None.

    Returns
    -------
    DataFrame
        A row for each group, the most important first, under its name or that of the member that
        is most important by itself, with the number of the others. ``joint`` is the mean absolute
        sum of its terms' contributions over the records, in log-odds; ``separate`` the sum of
        the mean absolute contributions of each; ``cancelling`` is ``1 - joint / separate``: 0
        where the terms always push in one direction, near 1 where they undo each other;
        ``members`` names the terms. A pair belongs to the group that holds both of its
        predictors; a pair between groups is a row of its own, "a & b".

    Raises
    ------
    ValueError
        When ``table`` lacks a predictor, or ``groups`` names one twice or one that is not there.
    TypeError
        When ``table`` is not a DataFrame or ``ebm`` not an ExplainableBoostingClassifier.

    See Also
    --------
    ebm_importances : Importances of single terms.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import group_importances
    >>> rng = np.random.default_rng(0)
    >>> block = rng.normal(size=300)
    >>> table = pd.DataFrame({"LBBB": block, "IVCD": block**3, "SR": rng.normal(size=300)})
    >>> ebm = ExplainableBoostingClassifier(
    ...     interactions=0, outer_bags=2, max_rounds=30, n_jobs=1, random_state=0
    ... ).fit(table, block > 0.5)
    >>> group_importances(ebm, table)["members"].iloc[0]
    'LBBB, IVCD'
    """
    check_binary_ebm(ebm)
    table = _check_table(table)
    names = list(ebm.feature_names_in_)
    columns = table.rename(columns=str)
    lacking = [name for name in names if name not in columns]
    if lacking or not len(table):
        raise ValueError(
            f"table has {len(table)} records and lacks {len(lacking)} of the model's predictors "
            f"({', '.join(lacking[:8])}). Give those it was fitted on: of a Pipeline "
            "pipeline[:-1].transform(X)."
        )
    columns = columns[names]
    if groups is None:
        groups = group_correlated(columns, min_correlation=min_correlation)
    given, of_predictor = groups_by_predictor(groups, names)
    contributions = np.asarray(ebm.eval_terms(columns), dtype=float)
    separate = np.abs(contributions).mean(axis=0)
    members: dict = {}
    for term, features in enumerate(ebm.term_features_):
        places = {of_predictor[names[feature]] for feature in features}
        key = places.pop() if len(places) == 1 else ebm.term_names_[term]
        members.setdefault(key, []).append(term)
    rows = []
    for key, terms in members.items():
        joint = float(np.abs(contributions[:, terms].sum(axis=1)).mean())
        alone = float(separate[terms].sum())
        first = ebm.term_names_[max(terms, key=separate.__getitem__)]
        name = given.get(key) or (f"{first} (+{len(terms) - 1})" if len(terms) > 1 else first)
        row = {
            "group": name,
            "joint": joint,
            "separate": alone,
            "cancelling": 1 - joint / alone if alone > 0 else 0.0,
            "members": ", ".join(ebm.term_names_[term] for term in terms),
        }
        rows.append(row)
    return (
        pd.DataFrame(rows).set_index("group").sort_values("joint", ascending=False, kind="stable")
    )


def _check_table(table) -> pd.DataFrame:
    table = as_pandas(table)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"table is a {type(table).__name__}; expected a DataFrame with named columns: of a "
            "Pipeline pipeline[:-1].transform(X)."
        )
    return table


def _absolute_correlation(table: pd.DataFrame, method: str) -> np.ndarray:
    numbers = pd.DataFrame(
        {place: _numbers(table.iloc[:, place]) for place in range(table.shape[1])}
    )
    rho = np.abs(numbers.corr(method=method, min_periods=_FEWEST_PAIRS).to_numpy())
    # A constant has no correlation: it goes along with nothing.
    rho = np.clip(np.nan_to_num(rho, nan=0.0), 0, 1)
    rho = (rho + rho.T) / 2
    np.fill_diagonal(rho, 1)
    return rho


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    codes, kinds = pd.factorize(column)
    if len(kinds) > 2:
        return np.zeros(len(column))
    return np.where(codes < 0, np.nan, codes)


def groups_by_predictor(groups, names) -> tuple[dict[int, str], dict[str, int]]:
    """Return names of the groups that have one, and the group of each predictor."""
    given = {}
    if isinstance(groups, Mapping):
        given = dict(enumerate(map(str, groups)))
        groups = list(groups.values())
    of_predictor: dict[str, int] = {}
    for number, group in enumerate(groups):
        for name in [group] if isinstance(group, str) else map(str, group):
            if name in of_predictor:
                raise ValueError(f"groups names {name!r} twice; put it into one group.")
            of_predictor[name] = number
    unknown = [name for name in of_predictor if name not in names]
    if unknown:
        raise ValueError(
            f"groups names {', '.join(unknown[:8])}, which the model has not; it has "
            f"{', '.join(names[:8])}{', ...' * (len(names) > 8)}."
        )
    for name in names:
        of_predictor.setdefault(name, len(of_predictor) + len(groups))
    return given, of_predictor
