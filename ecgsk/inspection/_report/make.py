"""A report of a model on a cohort, or on single patients, in one file."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from ecgsk._core.checks import check_groups
from ecgsk._core.columns import columns_of
from ecgsk._core.fitted import unwrap
from ecgsk._core.public import public
from ecgsk._core.records import RecordArray
from ecgsk._core.signal import STANDARD_LEADS, check_ecg
from ecgsk.inspection._class_probability import check_carried
from ecgsk.inspection._report.calls import Calls, as_number
from ecgsk.inspection._report.checks import (
    check_answers_differ,
    check_bins,
    check_by,
    check_leads,
    check_model,
    check_numbers,
    check_records,
    check_validation,
    check_y,
    names_of,
    threshold_of,
    warn_of_rate,
)
from ecgsk.inspection._report.page import Page, check_writable
from ecgsk.inspection._report.sections import (
    write_accuracy,
    write_cohort,
    write_glossary,
    write_leads,
    write_model,
    write_patient,
    write_predictors,
    write_subgroups,
)
from ecgsk.metrics import choose_threshold

_NOT_A_DEVICE = (
    "Research software, not a medical device. It must not be used to diagnose or treat anyone."
)
_SYNTHETIC = (
    "Synthetic data: no patients and no measured ejection fractions are behind these results. They "
    "show that the software works, not how well it would do on people."
)


@public("ecgsk")
def make_report(
    path: str | os.PathLike,
    model,
    X,
    y=None,
    *,
    data: str,
    groups=None,
    validation: tuple | None = None,
    threshold: float | None = None,
    records: Sequence[int] | None = None,
    record_names: Sequence[str] | None = None,
    by: pd.DataFrame | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    sampling_rate: float = 250.0,
    leads: Sequence[str] = STANDARD_LEADS,
    condition: str = "low ejection fraction",
    title: str | None = None,
    about: str | Mapping[str, str] | None = None,
    synthetic: bool = False,
    n_terms: int = 9,
    n_resamples: int = 1000,
    n_lead_records: int = 0,
    random_state: int = 0,
) -> Bunch:
    """Write one HTML file on the performance of a model on a cohort, with explanations.

    With ``y`` it holds a table of the cohort, metrics with intervals, ROC, precision-recall,
    calibration and decision curves, a table of thresholds, subgroups, and which predictors count.
    The ``records``, and without ``y`` all of them, get a part of their own: the
    probability, what the glass box makes it of, and the ECG with the spans that moved it.

    The file needs no network and no other file, holds no script, and prints on A4. Beneath each
    figure and table stands the call that made it.

    Parameters
    ----------
    path : path
        Of the file to write; one that is there is replaced.
    model : fitted classifier of recordings
        With the classes 0 and 1, or False and True, the second being the condition. Of a
        Pipeline that ends in an explainable boosting machine, as `ecgsk.make_lef_classifier`
        makes, the terms are shown, also where it is frozen or the best of a search; of others
        what can be.
    X : array-like of shape (n_records, n_leads, n_samples)
        Recordings, mV; a `RecordArray` where the model needs a table with them.
    y : array-like of shape (n_records,) or None, default=None
        0 and 1: who has the condition. None reports on patients without metrics.
    data : str
        The data, in words; shown at the top and in the captions.
    groups : array-like of shape (n_records,), default=None
        Patients, for intervals.
    validation : (X, y) or None, default=None
        Other records, from which thresholds are chosen; those that are reported on are refused.
        None shows fixed thresholds instead.
    threshold : float or None, default=None
        The probability from which on the model calls a record positive. None takes that of
        scikit-learn's ``FixedThresholdClassifier`` or ``TunedThresholdClassifierCV`` in the model;
        without them that of the greatest F1 on ``validation``; without it 0.5.
    records : sequence of int or None, default=None
        Records that get a part of their own, by their place in X. None: none with ``y``, all
        without, at most 20.
    record_names : sequence of str or None, default=None
        Of each record of X. None: "record 0", ...
    by : DataFrame or None, default=None
        What the cohort is described and divided by. None takes the table of X, in which a ``sex``
        of 0 and 1 is read as male and female.
    bins : mapping of str to sequence of float or None, default=None
        Where to cut numbers, as `ecgsk.metrics.evaluate_subgroups` takes it. None cuts an ``age``
        in numbers at 50, 65 and 80.
    sampling_rate : float, default=250.0
        Of X, Hz.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of X.
    condition : str, default="low ejection fraction"
        What ``y`` = 1 means, in words.
    title : str or None, default=None
        None makes one of the condition.
    about : str, mapping of str to str, or None, default=None
        For the model card: what the model was trained on, by whom, for what.
    synthetic : bool, default=False
        Whether the data are made up; the report then starts with a warning.
    n_terms : int, default=9
        Predictors shown.
    n_resamples : int, default=1000
        For intervals.
    n_lead_records : int, default=0
        Records on which the importance of leads is measured, with 61 predictions for each; 0
        leaves it out. They are the first ones, positive and negative in equal numbers as
        far as there are.
    random_state : int, default=0
        Seeds intervals and exchanges of leads; written into the calls.

    Returns
    -------
    Bunch
        ``path`` of the file; ``probability`` of each record; ``threshold`` and
        ``threshold_source``, how it was chosen; ``results``, what each call that the report shows
        returned, by the call's text; and ``variables``, what the names in the calls stand for.

    Raises
    ------
    ValueError
        For one class in ``y``, lengths that differ, records that are not there, a model of more
        than two classes or of classes such as 'low' and 'normal', numbers that are not allowed,
        ``validation`` that holds the records that are reported on, and a model whose own
        threshold is not a probability, if none is given.
    TypeError
        For a model without ``predict_proba``.
    OSError
        Where the file cannot be written, before the model predicts.

    Warns
    -----
    UserWarning
        When steps of the model name other sampling rates than ``sampling_rate``.

    Examples
    --------
    >>> from ecgsk import make_lef_cohort
    >>> from ecgsk.inspection import make_report
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> import tempfile
    >>> cohort = make_lef_cohort(60, random_state=0)
    >>> deviation = FunctionTransformer(lambda X: X.std(axis=2))
    >>> model = make_pipeline(deviation, LogisticRegression()).fit(cohort.data, cohort.target)
    >>> folder = tempfile.mkdtemp()
    >>> report = make_report(
    ...     f"{folder}/report.html", model, cohort.data, cohort.target, data="made-up records",
    ...     sampling_rate=100, synthetic=True, n_resamples=20,
    ... )
    >>> list(report.results)[1]
    'evaluate_binary(y, p, threshold=threshold, n_resamples=20, random_state=0)'
    """
    check_model(model)
    check_numbers(
        threshold=threshold, sampling_rate=sampling_rate, n_terms=n_terms, n_resamples=n_resamples,
        n_lead_records=n_lead_records, random_state=random_state,
    )  # fmt: skip
    if not isinstance(data, str) or not data.strip():
        raise ValueError(f"data is empty or not text: {data!r}; name the data in words.")
    if not isinstance(about, str | Mapping | None):
        raise ValueError(
            f'about is a {type(about).__name__}; give text, or a mapping such as {{"Trained on": '
            '"the train split"}.'
        )
    given = X
    X = X if isinstance(X, RecordArray) else check_ecg(X, n_leads=len(leads), warn=False)
    check_leads(X, leads)
    check_carried(X, sampling_rate, leads)
    y = check_y(y, len(X))
    groups = check_groups(groups, len(X))
    records = check_records(records, len(X), y)
    if record_names is None:
        record_names = [f"record {i}" for i in range(len(X))]
    record_names = [record_names] if isinstance(record_names, str) else list(record_names)
    if len(record_names) != len(X):
        raise ValueError(
            f"record_names has {len(record_names)} names for {len(X)} records; give one for each."
        )
    by = check_by(by, X)
    bins = check_bins(bins, by)
    if validation is not None:
        validation = check_validation(validation, given)
    check_writable(path)
    warn_of_rate(unwrap(model), sampling_rate)

    p, predictors = _predict(unwrap(model), X)
    y_val = p_val = None
    if validation is not None:
        X_val, y_val = validation
        p_val = _predict(unwrap(model), X_val)[0]
        check_answers_differ(p, p_val)
    chosen = "given"
    own_threshold = threshold_of(model, given=threshold is not None)
    if threshold is None and own_threshold is not None:
        chosen, threshold = "chosen when the model was made", own_threshold
    elif threshold is not None and own_threshold not in (None, threshold):
        chosen = f"given, instead of {own_threshold:.3f} of the model"
    elif threshold is None:
        chosen = "fixed" if p_val is None else "greatest F1 on the validation records"
        threshold = 0.5 if p_val is None else as_number(choose_threshold(y_val, p_val, rule="f1"))
    calls = Calls(
        model=model, X=X, y=y, p=p, groups=groups, y_val=y_val, p_val=p_val, threshold=threshold,
        by=by, bins=bins, predictors=predictors, leads=list(leads),
        ebm=_last(model),
    )  # fmt: skip
    settings = Bunch(
        data=data,
        condition=condition,
        chosen=chosen,
        sampling_rate=sampling_rate,
        n_terms=n_terms,
        n_resamples=n_resamples,
        random_state=random_state,
        names=[str(name) for name in record_names],
        shown=set(),
    )
    page = Page(title or f"{condition[:1].upper()}{condition[1:]} from the 12-lead ECG")
    if y is not None:
        write_cohort(page, calls, settings)
        write_accuracy(page, calls, settings)
        if by is not None and by.shape[1]:
            write_subgroups(page, calls, settings)
        write_predictors(page, calls, settings)
        if n_lead_records:
            calls.variables["shown"] = _some_of_each(y, n_lead_records)
            write_leads(page, calls, settings)
    for record in records:
        write_patient(page, calls, settings, record)
    write_glossary(page, settings)
    write_model(page, calls, settings, about, _versions())
    opening = [
        _NOT_A_DEVICE,
        *([_SYNTHETIC] if synthetic else []),
        f"Measured on: {str(data).strip().rstrip('.')}.",
    ]
    if y is None:
        opening.append("The condition of these records is not known, nor how often the model is "
                       "right on them.")  # fmt: skip
    page.write(path, opening=opening, footer=f"Made by ecgsk {version('ecgsk')}. {_NOT_A_DEVICE}")
    return Bunch(
        path=path,
        probability=p,
        threshold=threshold,
        threshold_source=chosen,
        results=calls.results,
        variables=calls.variables,
    )


def _predict(model, X):
    """Return the probabilities, and the table that the last step of the model reads."""
    columns = columns_of(model)
    if not isinstance(model, Pipeline) or len(model) < 2:
        return columns.table(model.predict_proba(X))[:, 1], None
    read = model[:-1].transform(X)
    p = columns.table(model[-1].predict_proba(read))[:, 1]
    table = read.toarray() if sparse.issparse(read) else read
    if not isinstance(table, pd.DataFrame):
        table = np.asarray(table)
        if table.ndim != 2:
            return p, None
        table = pd.DataFrame(table, columns=names_of(model, table.shape[1]))
    return p, table


def _last(model):
    """Return the step that reads the predictors, without what is around it."""
    model = unwrap(model)
    return unwrap(model[-1]) if isinstance(model, Pipeline) else model


def _some_of_each(y: np.ndarray, n_records: int) -> np.ndarray:
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    half = min(len(positive), max(1, n_records // 2))
    return np.sort(np.concatenate([positive[:half], negative[: n_records - half]]))


def _versions() -> dict[str, str]:
    packages = ("ecgsk", "scikit-learn", "interpret-core", "torch", "numpy")
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}
