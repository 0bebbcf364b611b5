"""What recordings a model takes: their rate, length and leads, as its parts tell."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgsk._core.fitted import parts_in_order
from ecgsk._core.signal import STANDARD_LEADS, ECGQualityWarning, check_ecg, lead_name
from ecgsk.preprocessing import SelectLeads
from ecgsk.tabular import TableColumns


@dataclass(frozen=True)
class Intake:
    """What a model takes.

    Parameters
    ----------
    sampling_rate : float
        Hz.
    seconds : float
        Length of a recording, s.
    leads : tuple of str or None
        Their names in the model's order; None where the model was fitted without names.
    n_leads : int
        How many there are.
    missing : {"error", "zero"}
        Whether some part of the model reads NaN as 0 mV.
    table : bool
        Whether the model reads age and sex beside the recording.
    """

    sampling_rate: float
    seconds: float
    leads: tuple[str, ...] | None
    n_leads: int
    missing: str = "error"
    table: bool = False

    @property
    def n_samples(self) -> int:
        """Samples of a recording at the model's rate."""
        return round(self.seconds * self.sampling_rate)

    def look_at(self, signal: np.ndarray) -> str:
        """Check one recording before it is answered together with others.

        Parameters
        ----------
        signal : ndarray of shape (n_leads, n_samples)
            mV.

        Returns
        -------
        str
            What looks wrong but can be answered; empty if nothing does.

        Raises
        ------
        ValueError
            When it is no ECG that the model takes, see `ecgsk.check_ecg`.
        """
        if not np.isfinite(signal).any():
            raise ValueError("no sample of it is a number.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_ecg(signal[np.newaxis], n_leads=self.n_leads, n_samples=self.n_samples,
                      missing=self.missing)  # fmt: skip
        said = [w.message for w in caught if issubclass(w.category, ECGQualityWarning)]
        return " ".join(str(message) for message in said)


def intake_of(
    model,
    *,
    sampling_rate: float | None = None,
    seconds: float | None = None,
    leads: Sequence[str] | None = None,
) -> Intake:
    """Return what a fitted model takes; what is given here comes before what its parts tell.

    Parameters
    ----------
    model : estimator
        A classifier of recordings, or a Pipeline or other composition that begins with one.
    sampling_rate : float or None, default=None
        Hz.
    seconds : float or None, default=None
        Length of a recording, s.
    leads : sequence of str or None, default=None
        Names of the leads.

    Returns
    -------
    Intake
        Rate, length and leads.

    Raises
    ------
    ValueError
        When neither the model nor the arguments tell the rate or the length.

    Examples
    --------
    >>> from ecgsk._cli.predict_input import intake_of
    >>> from ecgsk import MTECGClassifier
    >>> taken = intake_of(MTECGClassifier(weights="ptbxl", sampling_rate=500))
    >>> taken.sampling_rate, taken.seconds, taken.n_samples, taken.n_leads
    (500, 10.0, 5000, 12)
    """
    parts = list(parts_in_order(model))
    rate = sampling_rate or _first(parts, _rate_of)
    if rate is None:
        raise ValueError("MODEL does not tell which sampling rate it takes: give --model-rate.")
    seconds = seconds or _first(parts, lambda part: _seconds_of(part, rate))
    if seconds is None:
        raise ValueError("MODEL does not tell how long recordings have to be: give --seconds.")
    told = [found for found in map(_leads_of, parts) if found is not None]
    names, n_leads = told[0] if told else (STANDARD_LEADS, len(STANDARD_LEADS))
    if names is None:
        # A step in front may know their number alone, and the network behind it their names.
        names = next((others for others, n in told if others and n == n_leads), None)
    if leads is not None:
        names, n_leads = tuple(lead_name(lead) for lead in leads), len(leads)
    return Intake(
        sampling_rate=rate,
        seconds=float(seconds),
        leads=names,
        n_leads=n_leads,
        missing="zero" if any(vars(p).get("missing") == "zero" for p in parts) else "error",
        table=any(isinstance(part, TableColumns) for part in parts),
    )


def _first(parts, ask):
    return next((value for value in map(ask, parts) if value is not None), None)


def _rate_of(part) -> float | None:
    rate = vars(part).get("sampling_rate")
    # Weights tell their own where the user left it open.
    source = getattr(part, "_source", None) if rate is None else None
    return rate if source is None else source.sampling_rate


def _seconds_of(part, rate: float) -> float | None:
    source = getattr(part, "_source", None)
    if source is not None:
        return source.seconds
    n_samples = getattr(part, "n_samples_in_", None)
    return None if n_samples is None else n_samples / (_rate_of(part) or rate)


def _leads_of(part) -> tuple[tuple[str, ...] | None, int] | None:
    if isinstance(part, SelectLeads):
        names = part.input_leads
        if names is None and part.leads is None:
            return None
        names = STANDARD_LEADS if names is None else names
    elif not hasattr(part, "n_samples_in_") and getattr(part, "_source", None) is None:
        return None
    else:
        names = getattr(part, "leads", None)
        n_leads = 1 if getattr(part, "_n_dims_in", 3) == 2 else part.n_features_in_
        if names is None and n_leads == len(STANDARD_LEADS):
            names = STANDARD_LEADS
        if names is None and hasattr(part, "_wanted_leads"):
            names = part._wanted_leads()
        if names is None:
            return None, n_leads
    return tuple(lead_name(name) for name in names), len(names)
