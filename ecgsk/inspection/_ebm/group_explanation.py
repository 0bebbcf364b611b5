"""Contributions to one patient's probability, summed over groups of correlated predictors."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ecgsk._core.public import public
from ecgsk.inspection._ebm.groups import groups_by_predictor
from ecgsk.inspection._ebm.local import RecordExplanation, check_explanation


@public("ecgsk.inspection")
def group_explanation(explanation: RecordExplanation, groups) -> RecordExplanation:
    """Sum the contributions to one patient's probability over groups of correlated predictors.

    Dozens of correlated predictors each contribute a little, so that an explanation term by term
    ends in "60 other terms". Their sum does not depend on how the machine divided the credit among
    them.

    Parameters
    ----------
    explanation : RecordExplanation
        From `explain_record`.
    groups : list of list of str, or mapping of str to list of str
        Names of the predictors in each group, as `group_correlated` returns them. The others
        stay alone, as do pairs.

    Returns
    -------
    RecordExplanation
        Its ``table`` has a row for each group, under its name or that of the member that
        contributes most, with the number of the others. ``value`` is that member's; ``low`` and
        ``high`` are NaN for groups of several, whose spread between copies is not that of their
        members. ``members`` names the terms.

    Raises
    ------
    TypeError
        When ``explanation`` does not come from `explain_record`.
    ValueError
        When a predictor is named twice or is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import explain_record, group_explanation
    >>> X = np.random.default_rng(0).random((300, 3))
    >>> ebm = ExplainableBoostingClassifier(
    ...     ["LBBB", "IVCD", "SR"], interactions=0, outer_bags=2, max_rounds=30, n_jobs=1
    ... ).fit(X, X[:, 0] > 0.6)
    >>> explanation = explain_record(ebm, [0.9, 0.1, 0.5])
    >>> list(group_explanation(explanation, [["LBBB", "IVCD"], ["SR"]]).table.index)
    ['LBBB (+1)', 'SR']
    """
    check_explanation(explanation)
    table = explanation.table
    terms = [str(term) for term in table.index]
    given, of_term = groups_by_predictor(groups, terms)
    rows = []
    for number in dict.fromkeys(of_term[term] for term in terms):
        # The explanation is sorted: the first member contributes most.
        places = [place for place, term in enumerate(terms) if of_term[term] == number]
        part = table.iloc[places]
        several = len(part) > 1
        name = terms[places[0]] + (f" (+{len(part) - 1})" if several else "")
        rows.append(
            {
                "term": given.get(number, name),
                "value": part["value"].iloc[0],
                "contribution": float(part["contribution"].sum()),
                "low": np.nan if several else part["low"].iloc[0],
                "high": np.nan if several else part["high"].iloc[0],
                "members": ", ".join(terms[place] for place in places),
            }
        )
    grouped = pd.DataFrame(rows).set_index("term")
    order = np.argsort(-grouped["contribution"].abs().to_numpy(), kind="stable")
    return replace(explanation, table=grouped.iloc[order])
