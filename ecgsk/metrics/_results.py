"""What the evaluations return."""

from dataclasses import dataclass

from ecgsk._core.public import public
from ecgsk._core.results import ResampledResult


@public("ecgsk.metrics")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class BinaryEvaluation(ResampledResult):
    """Metrics of one detector, with bootstrap intervals.

    Attributes
    ----------
    table : DataFrame
        A row for each metric; columns ``value``, ``low`` and ``high``.
    n_records : int
        Records evaluated.
    n_positive : int
        Records that have the condition.
    n_patients : int or None
        Patients, who were drawn whole; None without groups.
    threshold : float or None
        Threshold of the decisions, None without.
    level : float
        Share of the resamples inside the intervals.
    n_resamples : int
        Resamples drawn.
    """

    n_positive: int
    threshold: float | None = None


@public("ecgsk.metrics")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class LabelEvaluation(ResampledResult):
    """Metrics of each label of a multilabel classifier, and their means.

    Attributes
    ----------
    table : DataFrame
        A row for each label, a column for each metric.
    macro : dict of str to float
        Means of AUROC, average precision and, with thresholds, F1 over the labels that have both
        classes.
    skipped : list
        Names of the labels that have one class and are in no mean.
    n_records : int
        Records evaluated.
    n_patients : int or None
        Patients, who were drawn whole; None without groups.
    level : float
        Share of the resamples inside the intervals.
    n_resamples : int
        Resamples drawn.
    """

    macro: dict[str, float]
    skipped: list


@public("ecgsk.metrics")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class SubgroupEvaluation(ResampledResult):
    """Metrics of a detector in each subgroup of patients.

    Attributes
    ----------
    table : DataFrame
        A row for each ``(variable, subgroup)``, a column for each metric.
    n_records : int
        Records evaluated.
    n_patients : int or None
        Patients, who were drawn whole; None without groups.
    threshold : float or None
        Threshold of the decisions, None without.
    n_not_ranked : int
        Subgroups without an AUROC: they hold one class only or are too small.
    n_too_small : int
        Subgroups that hold fewer records than ``min_records``.
    level : float
        Share of the resamples inside the intervals.
    n_resamples : int
        Resamples drawn.
    """

    threshold: float | None
    n_not_ranked: int
    n_too_small: int
