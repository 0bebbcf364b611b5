"""Which recordings a fitted model takes: their sampling rate, length and leads."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ecgsk._core.fitted import parts_in_order
from ecgsk._core.signal import STANDARD_LEADS, lead_name


class KnownInput(NamedTuple):
    """What is known of the recordings that a model takes; None for what is not."""

    sampling_rate: float | None  # Hz
    seconds: float | None  # length of a recording
    leads: tuple[str, ...] | None  # names in the model's order
    n_leads: int | None
    preprocessing: list[tuple[str, dict]] | None  # of the recordings, before the model
    missing: str  # "zero" where a part of the model replaces NaN by 0 mV, otherwise "error"

    @property
    def n_samples(self) -> int | None:
        """Samples of a recording at the model's sampling rate."""
        if self.sampling_rate is None or self.seconds is None:
            return None
        return round(self.seconds * self.sampling_rate)


def known_input(model, *, sampling_rate: float | None = None) -> KnownInput:
    """Return what the parts of a model know of its recordings; the first part that knows decides.

    A given ``sampling_rate``, Hz, comes before that of the parts.
    """
    parts = list(parts_in_order(model))
    rate = sampling_rate or _first(parts, _rate_of)
    leads = [found for found in map(_leads_of, parts) if found is not None]
    names, n_leads = leads[0] if leads else (None, None)
    if names is None:
        # The first part may know only how many there are, and the network behind it their names.
        names = next((others for others, n in leads if others and n == n_leads), None)
    return KnownInput(
        sampling_rate=rate,
        seconds=_first(parts, lambda part: _seconds_of(part, rate)),
        leads=names,
        n_leads=n_leads,
        preprocessing=_first(parts, _preprocessing_of),
        missing="zero" if any(vars(p).get("missing") == "zero" for p in parts) else "error",
    )


def _first(parts: Sequence, read: Callable):
    return next((value for value in map(read, parts) if value is not None), None)


def _taken(part) -> tuple | None:
    """Return what a part states itself.

    It is the rate (Hz), seconds, leads, their number, and what recordings go through before.
    """
    return part._recordings_taken() if hasattr(type(part), "_recordings_taken") else None


def _rate_of(part) -> float | None:
    if (taken := _taken(part)) is not None:
        return taken[0]
    rate = vars(part).get("sampling_rate")
    # Weights bring their own rate where the user left it open.
    source = getattr(part, "_source", None) if rate is None else None
    if source is None:
        return vars(part).get("_rate_in") if rate is None else rate
    return source.sampling_rate


def _preprocessing_of(part) -> list[tuple[str, dict]] | None:
    known = vars(part).get("preprocessed_by_")
    taken = _taken(part) if known is None else None
    return known if taken is None else taken[4]


def _seconds_of(part, rate: float | None) -> float | None:
    if (taken := _taken(part)) is not None:
        return taken[1]
    source = getattr(part, "_source", None)
    if source is not None:
        return float(source.seconds)
    n_samples, rate = getattr(part, "n_samples_in_", None), _rate_of(part) or rate
    return None if n_samples is None or rate is None else n_samples / rate


def _leads_of(part) -> tuple[tuple[str, ...] | None, int] | None:
    if (taken := _taken(part)) is not None:
        return taken[2:4]
    if hasattr(part, "input_leads"):  # SelectLeads, whose leads are those of its output
        names = part.input_leads
        if names is None and part.leads is None:
            return None
        names = STANDARD_LEADS if names is None else names
    elif not hasattr(part, "n_samples_in_") and getattr(part, "_source", None) is None:
        return None
    else:
        names = getattr(part, "leads", None)
        n_leads = 1 if getattr(part, "_n_dims_in", 3) == 2 else part.n_features_in_
        if names is None:
            names = vars(part).get("lead_names_")
        if names is None and n_leads == len(STANDARD_LEADS):
            names = STANDARD_LEADS
        if names is None and hasattr(part, "_wanted_leads"):
            names = part._wanted_leads()
        if names is None:
            return None, n_leads
    return tuple(lead_name(name) for name in names), len(names)
