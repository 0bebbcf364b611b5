"""What recordings have to be like for a model, and whether one of them is."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgsk._core.fitted import parts_in_order
from ecgsk._core.model_input import known_input
from ecgsk._core.signal import STANDARD_LEADS, check_ecg, lead_name
from ecgsk._core.signal_doubts import ECGQualityWarning
from ecgsk.tabular import TableColumns


@dataclass(frozen=True)
class ModelInput:
    """The recordings that a model takes."""

    sampling_rate: float  # Hz
    seconds: float  # length of a recording
    leads: tuple[str, ...] | None  # in the model's order; None without names
    n_leads: int
    missing: str = "error"  # "zero" where a part of the model replaces NaN by 0 mV
    table: bool = False  # whether the model also reads the age and sex of the patient

    @property
    def n_samples(self) -> int:
        """Samples of a recording at the model's sampling rate."""
        return round(self.seconds * self.sampling_rate)

    def check(self, signal: np.ndarray) -> str:
        """Return warnings about a recording's signal quality, joined, before a batch is predicted.

        Raises ValueError for recordings that the model does not take, see `ecgsk.check_ecg`.
        """
        if not np.isfinite(signal).any():
            raise ValueError("no sample of it is a number.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_ecg(signal[np.newaxis], n_leads=self.n_leads, n_samples=self.n_samples,
                      missing=self.missing)  # fmt: skip
        found = [w.message for w in caught if issubclass(w.category, ECGQualityWarning)]
        return " ".join(str(message) for message in found)


def find_model_input(
    model,
    *,
    sampling_rate: float | None = None,
    seconds: float | None = None,
    leads: Sequence[str] | None = None,
) -> ModelInput:
    """Return the recordings that a model takes, from the arguments first and then from its parts.

    A model without any leads takes the 12 standard leads. Raises ValueError when neither contains
    the sampling rate or the length.
    """
    known = known_input(model, sampling_rate=sampling_rate)
    seconds = seconds or known.seconds
    if known.sampling_rate is None:
        raise ValueError("the sampling rate that MODEL takes is not in it: give --model-rate.")
    if seconds is None:
        raise ValueError("the length of recordings that MODEL takes is not in it: give --seconds.")
    names, n_leads = known.leads, known.n_leads
    if leads is not None:
        names, n_leads = tuple(lead_name(lead) for lead in leads), len(leads)
    elif n_leads is None:
        names, n_leads = STANDARD_LEADS, len(STANDARD_LEADS)
    return ModelInput(
        sampling_rate=known.sampling_rate,
        seconds=float(seconds),
        leads=names,
        n_leads=n_leads,
        missing=known.missing,
        table=any(isinstance(part, TableColumns) for part in parts_in_order(model)),
    )
