"""Contributions to the probability that an explainable boosting machine returns for one patient."""

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from ecgsk._core.frames import as_pandas
from ecgsk._core.public import public
from ecgsk._core.results import TableResult
from ecgsk.inspection._ebm.terms import DEVIATIONS, bagged, check_binary_ebm, deviation


@public("ecgsk.inspection")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class RecordExplanation(TableResult):
    """What terms, or groups of terms, contribute to the probability of one patient.

    Attributes
    ----------
    table : DataFrame
        A row for each term or group, the largest contribution first; columns ``value``,
        ``contribution`` (log-odds), ``low`` and ``high``, for groups also ``members``.
    intercept : float
        Log-odds where every term contributes nothing.
    log_odds : float
        Of the patient: the intercept plus all contributions.
    positive_class : object
        The class that the log-odds and the probability belong to.
    """

    intercept: float
    log_odds: float
    positive_class: object

    @property
    def probability(self) -> float:
        """Probability of ``positive_class``."""
        return float(expit(self.log_odds))


@public("ecgsk.inspection")
def explain_record(ebm, row) -> RecordExplanation:
    """Return what each term contributes to the probability of one patient.

    Parameters
    ----------
    ebm : ExplainableBoostingClassifier
        Fitted on two classes; of a Pipeline its last step.
    row : DataFrame of one row, Series, or array-like of shape (n_predictors,)
        The patient's predictors: of a Pipeline ``pipeline[:-1].transform(X[:1])``. Columns of a
        DataFrame and the index of a Series go by their names, in any order; arrays by their order
        in training. NaN where unknown.

    Returns
    -------
    RecordExplanation
        Its ``table`` has a row for each term, under its name, the largest contribution first.
        ``value`` is the predictor's value, for a pair both as text; ``contribution`` is in
        log-odds, positive where it supports ``ebm.classes_[1]``; ``low`` and ``high`` are the
        contribution minus and plus 1.96 standard deviations between the model's bagged copies, NaN
        with one copy. ``intercept`` plus all contributions is ``log_odds``, the model's decision.

    Raises
    ------
    ValueError
        When there is more than one row, a predictor is missing, or the model has more than two
        classes.
    TypeError
        When the model is not an ExplainableBoostingClassifier.

    See Also
    --------
    ExplanationDisplay : Draws it.
    group_explanation : Sums the contributions of correlated predictors.

    Notes
    -----
    The explanation is exact: the model is this sum. It explains the model and not the patient's
    heart; correlated predictors share credit arbitrarily.

    Examples
    --------
    >>> import numpy as np
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import explain_record
    >>> X = np.random.default_rng(0).random((300, 2))
    >>> ebm = ExplainableBoostingClassifier(
    ...     ["LBBB", "SR"], interactions=0, outer_bags=3, max_rounds=30, n_jobs=1, random_state=0
    ... ).fit(X, X[:, 0] > 0.6)
    >>> explanation = explain_record(ebm, [0.9, 0.1])
    >>> list(explanation.table.index), explanation.probability > 0.5
    (['LBBB', 'SR'], True)
    """
    check_binary_ebm(ebm)
    row = _as_row(ebm, row)
    contribution = np.asarray(ebm.eval_terms(row), dtype=float)[0]
    spread = _spread_of_contributions(ebm, row)
    table = pd.DataFrame(
        {
            "value": pd.Series(
                [_value(ebm, row, i) for i in range(len(contribution))], dtype=object
            ),
            "contribution": contribution,
            "low": contribution - DEVIATIONS * spread,
            "high": contribution + DEVIATIONS * spread,
        }
    ).set_index(pd.Index(list(ebm.term_names_), name="term"))
    order = np.argsort(-np.abs(contribution), kind="stable")
    intercept = float(np.ravel(ebm.intercept_)[0])
    return RecordExplanation(
        table=table.iloc[order],
        intercept=intercept,
        log_odds=intercept + float(contribution.sum()),
        positive_class=np.asarray(ebm.classes_)[1:].tolist()[0],
    )


def check_explanation(explanation) -> None:
    """Raise unless this comes from `explain_record` or `group_explanation`."""
    if not isinstance(explanation, RecordExplanation):
        raise TypeError(
            f"explanation is a {type(explanation).__name__}; expected a RecordExplanation. Give "
            "what explain_record or group_explanation returned."
        )


def _spread_of_contributions(ebm, row) -> np.ndarray:
    # A copy of the model whose bins score their own numbers shows the bins of the row.
    numbered = copy.copy(ebm)
    numbered.term_scores_ = [
        np.arange(np.size(scores), dtype=float).reshape(np.shape(scores))
        for scores in ebm.term_scores_
    ]
    bins = np.asarray(numbered.eval_terms(row))[0].astype(int)
    spread = np.full(len(bins), np.nan)
    for term, bin_ in enumerate(bins):
        copies = bagged(ebm, term)
        if copies is not None:
            scores, weights = copies
            spread[term] = deviation(scores.reshape(len(scores), -1)[:, bin_], weights)
    return spread


def _as_row(ebm, row) -> pd.DataFrame:
    """Return one row with the predictors of the training, in their order."""
    names, row = list(ebm.feature_names_in_), as_pandas(row)
    if isinstance(row, pd.Series) and not set(map(str, row.index)) & set(names):
        row = row.to_numpy()
    if isinstance(row, (pd.DataFrame, pd.Series)):
        frame = row if isinstance(row, pd.DataFrame) else _frame(row.index, row)
        frame = frame.rename(columns=str)
        lacking = [name for name in names if name not in frame.columns]
        if lacking:
            raise ValueError(
                f"row lacks {len(lacking)} of the model's predictors: {', '.join(lacking[:8])}. "
                "Give all of them, NaN where unknown: of a Pipeline "
                "pipeline[:-1].transform(X[:1])."
            )
        frame = frame[names]
    else:
        values = np.asarray(row, dtype=object if _has_text(row) else None)
        if values.ndim == 2 and len(values) == 1:
            values = values[0]
        if values.shape != (len(names),):
            raise ValueError(
                f"row has shape {values.shape}; expected ({len(names)},), one value for each "
                f"predictor of the model: {', '.join(names[:8])}{', ...' * (len(names) > 8)}."
            )
        frame = _frame(names, values)
    if len(frame) != 1:
        raise ValueError(
            f"row has {len(frame)} records; expected one. Give table.iloc[[0]] for the first."
        )
    return frame


def _has_text(row) -> bool:
    return any(isinstance(value, str) for value in np.asarray(row, dtype=object).ravel())


def _frame(names, values) -> pd.DataFrame:
    # Column by column, so that a text among numbers does not turn them into text.
    return pd.DataFrame({name: [value] for name, value in zip(names, values, strict=True)})


def _value(ebm, row, term: int):
    values = [row.iloc[0, feature] for feature in ebm.term_features_[term]]
    return values[0] if len(values) == 1 else " & ".join(map(show_value, values))


def show_value(value) -> str:
    """Return the text of a predictor's value."""
    if value is None or value != value:
        return "missing"
    if isinstance(value, (bool, np.bool_)) or not np.issubdtype(type(value), np.number):
        return str(value)
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
