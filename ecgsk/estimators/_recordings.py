"""Recordings that an estimator is fitted on, and those that it is applied to."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from ecgsk._core.carried import (
    SET_RATE,
    carried_leads,
    carried_rate,
    check_leads,
    check_rate,
    meaning_of_none,
)
from ecgsk._core.number_values import check_values
from ecgsk._core.records import RecordArray, is_lazy
from ecgsk._core.signal import STANDARD_LEADS, checked_ecg, lead_name
from ecgsk._core.signal_doubts import warn_of_length
from ecgsk._core.sklearn_compat import check_feature_names, check_n_features, validate_data
from ecgsk._core.steps import keep_preprocessing, warn_of_preprocessing

# The typical standard deviation of recordings is 0.15 mV, and 1 after standardization.
_LARGEST_SCALE_IN_MILLIVOLT = 0.6


def check_recordings(estimator, X, *, reset: bool, part: tuple[int, int] | None = None):
    """Return valid recordings of shape (n_records, n_leads, n_samples).

    In a fit (``reset``) the estimator gets ``n_features_in_``, ``n_samples_in_`` and the like. Of
    records on disk, a process that fits together with others checks its ``part``: (number, count).
    """
    check_carried(estimator, X, reset=reset)
    X = check_values(X)
    if isinstance(X, (list, tuple)):
        with suppress(ValueError):  # recordings of different lengths: `check_ecg` has the message
            X = np.asarray(X) if np.ndim(X) == 3 else X
    if not reset:
        X = _with_dimensions_of_fit(estimator, X)
    n_leads = None if estimator.leads is None else len(estimator.leads)
    n_samples = None
    if not reset and estimator._n_dims_in == 3:
        n_leads = estimator.n_features_in_
        # With weights, _prepare checks the length and has the better message.
        n_samples = None if getattr(estimator, "_source", None) else estimator.n_samples_in_
    source = getattr(estimator, "_source", None)
    check = partial(checked_ecg, n_leads=n_leads, n_samples=n_samples, missing=estimator.missing,
                    leads=estimator.leads, standardized=not _expects_millivolt(source))  # fmt: skip
    n_dims = 3
    if len(getattr(X, "shape", ())) == 3:
        X = check(X)
        check_n_features(estimator, X, reset=reset)
        check_feature_names(estimator, X, reset=reset)
    else:
        options = {"dtype": np.float32, "allow_nd": True, "ensure_all_finite": False}
        with np.errstate(over="ignore"):
            X = validate_data(estimator, X, reset=reset, **options)
        n_dims = X.ndim
        X = check(X)
    if (reset or source is not None) and getattr(X, "sampling_rate", None) is None:
        warn_of_length(X.shape[2], estimator.sampling_rate, stacklevel=6)
    if reset:
        estimator._n_dims_in, estimator.n_samples_in_ = n_dims, X.shape[2]
        rate = estimator._rate_in = rate_of_recordings(estimator, X)
        if rate is None and estimator._source is None:
            raise ValueError(
                "sampling_rate=None is for weights, which have a rate, and for a RecordArray that "
                "carries one: set the recordings' rate in Hz."
            )
        leads = carried_leads(X) if estimator.leads is None else estimator.leads
        if leads is not None:
            estimator.lead_names_ = [lead_name(lead) for lead in leads]
        if is_lazy(X):
            # An error in the last record should come now, not hours into the fit.
            number, count = part or (0, 1)
            for start in range(256 * number, len(X), 256 * count):
                X.read(np.arange(start, min(start + 256, len(X))))
    return X


def _expects_millivolt(source) -> bool:
    """Return whether weights are known to have learned recordings in mV."""
    scale = None if source is None else source.network.get("input_scale")
    return scale is not None and scale < _LARGEST_SCALE_IN_MILLIVOLT


def rate_of_recordings(estimator, X) -> float | None:
    """Return the sampling rate of recordings, Hz; None where nothing states it."""
    rate = estimator.sampling_rate
    if rate is None:
        rate = carried_rate(X)
    if rate is None and estimator._source is None:
        rate = vars(estimator).get("_rate_in")
    return rate


def check_carried(estimator, X, *, reset: bool) -> None:
    """Raise ValueError where recordings carry another rate, or other leads, than expected.

    A network with weights resamples and rearranges recordings as its parameters state. One that
    was fitted without weights takes recordings like those of the fit.
    """
    if reset:
        keep_preprocessing(estimator, X)
    else:
        warn_of_preprocessing(estimator, X, stacklevel=3)
    if not isinstance(X, RecordArray):
        return
    name, source = type(estimator).__name__, getattr(estimator, "_source", None)
    rate, stated = estimator.sampling_rate, f"{name} has sampling_rate={estimator.sampling_rate}"
    leads, stated_leads = _leads_taken(estimator, X), f"{name} has leads={estimator.leads}"
    if estimator.leads is None:
        stated_leads += meaning_of_none(leads)
    settable = reset or source is not None
    if not settable:
        rate = vars(estimator).get("_rate_in", rate)
        stated = f"{name} was fitted on recordings at {rate:g} Hz"
        if "lead_names_" in vars(estimator):
            leads = estimator.lead_names_
            stated_leads = f"{name} was fitted on {', '.join(leads)}"
    check_rate(X, rate, stated, setting=SET_RATE if settable else None)
    check_leads(X, leads, stated_leads, setting="set_params(leads={})" if settable else None)


def _leads_taken(estimator, X: RecordArray) -> Sequence[str] | None:
    """Return the leads that recordings have to have, in their order; None for any."""
    if estimator.leads is not None:
        return estimator.leads
    is_standard = X.shape[1] == len(STANDARD_LEADS)
    if not is_standard and hasattr(estimator, "_wanted_leads"):
        return estimator._wanted_leads()
    source = getattr(estimator, "_source", None)
    if source is not None:
        return source.leads
    return STANDARD_LEADS if is_standard else None


def _with_dimensions_of_fit(estimator, X):
    """Return one lead with the number of dimensions that it had in fit."""
    n_dims, in_fit = len(getattr(X, "shape", ())), estimator._n_dims_in
    if n_dims not in (0, 3) and in_fit == 3 and estimator.n_features_in_ > 1:
        known = estimator.n_samples_in_
        raise ValueError(
            f"X has {n_dims} dimension(s) and shape {tuple(X.shape)}; expected (n_records, "
            f"{estimator.n_features_in_}, {'n_samples' if known is None else known}). "
            "Pass a single recording as X[np.newaxis]."
        )
    if n_dims == 2 and in_fit == 3 and estimator.n_features_in_ == 1:
        return np.asarray(X)[:, np.newaxis, :]
    if n_dims == 3 and in_fit == 2 and X.shape[1] == 1:
        return np.asarray(X)[:, 0, :]
    return X
