"""Checks of a report's arguments, before the model predicts anything."""

import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ecgsk._core.checks import check_distinct
from ecgsk._core.columns import UnknownColumnsError, columns_of
from ecgsk._core.decision import decision_rule
from ecgsk._core.host_arrays import on_host
from ecgsk._core.records import RecordArray

_MOST_PATIENTS = 20
_SEX = {0.0: "male", 1.0: "female"}
_AGE = [50, 65, 80]


def check_model(model) -> None:
    """Refuse models whose second class is not known to be the condition."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model is a {type(model).__name__} without predict_proba; give a fitted classifier."
        )
    try:
        columns = columns_of(model)
    except UnknownColumnsError as error:
        raise ValueError(
            f"model is a {type(model).__name__} without classes_: it is not fitted. Fit it first, "
            "on 0 and 1."
        ) from error
    classes = columns.classes
    if columns.multilabel or len(classes) != 2:
        kind = "labels" if columns.multilabel else "classes"
        raise ValueError(
            f"model has {len(classes)} {kind}; a report needs two classes. Fit it on whether the "
            "condition is present."
        )
    if [_as_number(value) for value in classes] != [0, 1]:
        # With 'low' and 'normal' the second class is the absence of the condition.
        raise ValueError(
            f"model has the classes {np.asarray(classes).tolist()}; which one is the condition is "
            "not known. Fit it on 0 and 1, where 1 means that the condition is present, "
            f"for example y == {np.asarray(classes).tolist()[0]!r}."
        )


def _as_number(value):
    # interpret makes the texts "0.0" and "1.0" of floats.
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def threshold_of(model, *, given: bool) -> float | None:
    """Return the probability of the condition from which on the model itself decides for it.

    None where it has no such threshold, or where one that is not a probability is not needed,
    because the user has ``given`` another.
    """
    rule = decision_rule(model)
    if rule is None or given and not rule.is_probability:
        return None
    if not rule.is_probability:
        raise ValueError(
            f"model decides for {rule.in_words}, which is not a probability. Give threshold, or "
            "use response_method='predict_proba' in the threshold classifier."
        )
    return rule.second_class_threshold


def check_y(y, n_records: int, name: str = "y"):
    """Return the truth as integers, or None."""
    if y is None:
        return None
    y = np.asarray(on_host(y, "y"))
    if y.shape != (n_records,):
        raise ValueError(f"{name} has shape {y.shape} for {n_records} records; give one for each.")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"{name} holds {np.unique(y)[:5].tolist()}; expected 0 and 1.")
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"{name} holds one class only ({int(y[0])}): nothing can be evaluated. Give records of "
            "both, or y=None for a report on patients."
        )
    return y.astype(int)


def check_validation(validation, X):
    """Return recordings and truth that thresholds are chosen on, which X may not be."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise ValueError(
            f"validation is a {type(validation).__name__}; give (X, y) of other records, for "
            "example validation=(val.data, val.target)."
        )
    X_val, y_val = validation
    if X_val is X:
        raise ValueError(_SAME)
    y_val = check_y(y_val, len(X_val), "validation")
    if y_val is None:
        raise ValueError("validation holds None for y; thresholds are chosen on known conditions.")
    return X_val, y_val


_SAME = (
    "validation holds the records that are reported on: thresholds chosen there would look better "
    "than they are. Give other records, or None for fixed thresholds."
)


def check_answers_differ(p, p_val) -> None:
    """Refuse validation records that are also reported on, in another array."""
    # With few records, or a coarse model, probabilities are alike by chance.
    fine = len(np.unique(p)) > len(p) / 2 and len(np.unique(p_val)) > 20
    if fine and np.isin(p_val, p).all():
        raise ValueError(_SAME)


def check_records(records, n_records: int, y) -> list[int]:
    """Return the records that get a part of their own."""
    if records is None:
        records = range(n_records) if y is None else ()
    records = list(records)
    for r in records:
        if isinstance(r, bool) or not isinstance(r, int | np.integer) or not 0 <= r < n_records:
            raise ValueError(f"records holds {r!r}; use places in X, from 0 to {n_records - 1}.")
    if len(records) > _MOST_PATIENTS:
        raise ValueError(
            f"{len(records)} records would get a part of their own; at most {_MOST_PATIENTS} may. "
            "Choose some with records=[...]."
        )
    return [int(record) for record in records]


def check_numbers(*, threshold, sampling_rate, n_terms, n_resamples, n_lead_records, random_state):
    """Refuse numbers that would be refused deep inside, minutes later, or not at all."""
    is_number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        raise ValueError(
            f"threshold={threshold!r} is not allowed; expected a probability from 0 to 1, or None."
        )
    if not isinstance(sampling_rate, Real) or not 0 < sampling_rate < np.inf:
        raise ValueError(f"sampling_rate={sampling_rate!r} has to be a positive number, Hz.")
    least = {"n_terms": (n_terms, 1), "n_resamples": (n_resamples, 0)}
    # The report shows it in calls, where a generator could not be read again.
    least |= {"random_state": (random_state, 0), "n_lead_records": (n_lead_records, 0)}
    for name, (value, smallest) in least.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < smallest:
            raise ValueError(f"{name}={value!r} has to be an integer of at least {smallest}.")
    if n_lead_records == 1:
        raise ValueError(
            "n_lead_records=1 is too few: an AUROC takes a record of either class. Use 2 or more, "
            "or 0 to leave the importance of leads out."
        )


def warn_of_rate(model, sampling_rate: float) -> None:
    """Warn where steps of the model have another sampling rate."""
    try:
        params = model.get_params()
    except (AttributeError, TypeError):
        return
    rates = {
        float(value)
        for name, value in params.items()
        if name.split("__")[-1] == "sampling_rate" and isinstance(value, Real)
    }
    if rates and not np.isclose(sorted(rates), sampling_rate).any():
        rates_of_steps = " and ".join(f"{rate:g}" for rate in sorted(rates))
        warnings.warn(
            f"sampling_rate={sampling_rate:g} Hz is given for X, but the steps of the model have "
            f"{rates_of_steps} Hz. If X has their rate, times and windows in the report are "
            "wrong: give sampling_rate.",
            stacklevel=3,
        )


def check_by(by, X) -> pd.DataFrame | None:
    """Return the covariates that describe the cohort: as given, or the table of X."""
    if by is None:
        by = _table_of(X)
    elif not isinstance(by, pd.DataFrame):
        raise ValueError(
            f"by is a {type(by).__name__}; give a DataFrame with a row for each record, for "
            'example pandas.DataFrame({"sex": sex, "age": age}).'
        )
    if by is None:
        return None
    if len(by) != len(X):
        raise ValueError(f"by has {len(by)} rows for {len(X)} records; give one for each.")
    check_distinct(by.columns, "by")
    return by


def check_bins(bins, by) -> dict | None:
    """Return where to cut which columns of ``by``."""
    if bins is None:
        # A column "age" of words, such as "65 and over", is a subgroup for each as it is.
        numeric = by is not None and "age" in by and pd.api.types.is_numeric_dtype(by["age"])
        return {"age": list(_AGE)} if numeric else None
    has = [] if by is None else list(by.columns)
    for name, edges in bins.items():
        if name not in has:
            raise ValueError(
                f"bins names {name!r}, but by holds {', '.join(map(str, has)) or 'no columns'}."
            )
        if isinstance(edges, str) or np.ndim(edges) != 1:
            raise ValueError(
                f"bins[{name!r}] is {edges!r}; it has to hold rising numbers, for example [40, 65]."
            )
    return {name: list(edges) for name, edges in bins.items()} or None


def check_leads(X, leads) -> None:
    """Refuse recordings of another number of leads than are named."""
    if isinstance(X, RecordArray) and X.shape[1] != len(leads):
        raise ValueError(
            f"X has {X.shape[1]} leads, but leads names {len(leads)}. Give the name of each lead."
        )


def names_of(model, n_columns: int) -> list[str]:
    """Return what the last step calls columns that come without names."""
    last = model[-1]
    while isinstance(last, Pipeline):
        last = last[0]
    names = getattr(last, "feature_names_in_", None)
    if names is None or len(names) != n_columns:
        return [f"x{i}" for i in range(n_columns)]
    return [str(name) for name in names]


def _table_of(X) -> pd.DataFrame | None:
    table = getattr(X, "table", None)
    if table is None or "sex" not in table or table.columns.has_duplicates:
        return table
    if pd.api.types.is_numeric_dtype(table["sex"]) and table["sex"].dropna().isin(_SEX).all():
        return table.assign(sex=table["sex"].map(_SEX))
    return table
