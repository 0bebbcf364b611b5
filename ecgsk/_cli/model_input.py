"""What recordings have to be like for a model, and whether one of them is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgsk import preprocessing as transformers
from ecgsk._core.fitted import parts_in_order
from ecgsk._core.model_input import known_input
from ecgsk._core.signal import STANDARD_LEADS, check_ecg, lead_name
from ecgsk._core.signal_doubts import find_doubts
from ecgsk.tabular import TableColumns

_AS_ECHONEXT = [("MedianBaseline", {"window": (0.2, 0.6), "sampling_rate": 250})]


@dataclass(frozen=True)
class ModelInput:
    """The recordings that a model takes."""

    sampling_rate: float  # Hz
    seconds: float  # length of a recording
    leads: tuple[str, ...] | None  # in the model's order; None without names
    n_leads: int
    missing: str = "error"  # "zero" where a part of the model replaces NaN by 0 mV
    covariates: tuple[TableColumns, ...] = ()  # parts of the model that read a table
    preprocessing: tuple = ()  # transformers of the recordings, before the model

    @property
    def n_samples(self) -> int:
        """Samples of a recording at the model's sampling rate."""
        return round(self.seconds * self.sampling_rate)

    @property
    def columns(self) -> list[str]:
        """Names of the covariates that the model reads."""
        return list(dict.fromkeys(name for part in self.covariates for name in part.columns_))

    def prepare(self, signal: np.ndarray) -> np.ndarray:
        """Return a recording after the preprocessing of the training recordings."""
        if not self.preprocessing:
            return signal
        X = check_ecg(signal[np.newaxis], n_leads=None, missing=self.missing, warn=False)
        for step in self.preprocessing:
            X = step.transform(X)
        return X[0]

    def check_covariates(self, values: dict[str, float], where: str) -> list[str]:
        """Return the doubts about covariates; ValueError if one is missing that training had."""
        doubts = []
        for part in self.covariates:
            table = pd.DataFrame([{name: values[name] for name in part.columns_}])
            for i, name in enumerate(part.columns_):
                # Files of version 0.1.0 do not contain whether values were missing.
                allowed = hasattr(part, "has_missing_") and part.has_missing_[i]
                if np.isnan(values[name]) and not allowed:
                    raise ValueError(
                        f"the model needs {name}; {where} has none. Add it there, or give it in "
                        "--table."
                    )
            for row in part.unlike_training(table).itertuples():
                doubts.append(f"covariate: its {row.column} is {row.value:g}, but {row.training}.")
        return doubts

    def check(self, signal: np.ndarray) -> list[str]:
        """Return the doubts about a recording's signal, before a batch is predicted.

        Raises ValueError for recordings that the model does not take, see `ecgsk.check_ecg`.
        """
        if not np.isfinite(signal).any():
            raise ValueError("no sample of it is a number.")
        X = check_ecg(signal[np.newaxis], n_leads=self.n_leads, n_samples=self.n_samples,
                      missing=self.missing, warn=False)  # fmt: skip
        return [f"{d.kind}: {d.message}." for d in find_doubts(np.asarray(X), self.leads)]


def find_model_input(
    model,
    *,
    sampling_rate: float | None = None,
    seconds: float | None = None,
    leads: Sequence[str] | None = None,
    remove_baseline: bool = False,
    preprocessed: bool = False,
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
        covariates=tuple(part for part in parts_in_order(model) if isinstance(part, TableColumns)),
        preprocessing=_steps(known, remove_baseline, preprocessed),
    )


def _steps(known, remove_baseline: bool, preprocessed: bool) -> tuple:
    """Return the transformers that recordings go through before the model."""
    stated = known.preprocessing
    if remove_baseline and preprocessed:
        raise ValueError("--remove-baseline and --preprocessed exclude each other: leave one out.")
    if remove_baseline:
        if stated is not None and [name for name, _ in stated] != ["MedianBaseline"]:
            raise ValueError(
                f"--remove-baseline contradicts MODEL, whose recordings went through "
                f"{in_words(stated)}, which is applied anyway. Leave it out."
            )
        stated = stated or _AS_ECHONEXT
    steps = []
    for name, params in [] if preprocessed else stated or []:
        if name not in transformers.__all__:
            raise ValueError(
                f"MODEL needs its recordings to go through {name}, which is not in "
                "ecgsk.preprocessing of this version. Update ecgsk."
            )
        rate = {"sampling_rate": known.sampling_rate} if "sampling_rate" in params else {}
        steps.append(getattr(transformers, name)(**{**params, **rate}))
    return tuple(steps)


def in_words(steps) -> str:
    """Return named steps, or transformers, as text; they are None where unknown."""
    if steps is None:
        return "nothing that is known"
    named = [step if isinstance(step, tuple) else (repr(step), None) for step in steps]
    texts = [name if params is None else f"{name}({params})" for name, params in named]
    return ", ".join(texts) or "nothing"
