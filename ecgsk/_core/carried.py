"""What recordings carry, their sampling rate and leads, against what parameters state."""

from collections.abc import Sequence
from math import isclose

from ecgsk._core.records import RecordArray
from ecgsk._core.signal import STANDARD_LEADS, lead_name

# Headers state rates with rounding errors. A thousandth changes no feature of an ECG.
_SAME_RATE = 1e-3
SET_RATE = "set_params(sampling_rate={})"


def carried_rate(X) -> float | None:
    """Return the sampling rate, Hz, that recordings carry; None for arrays and unknown rates."""
    return X.sampling_rate if isinstance(X, RecordArray) else None


def carried_leads(X) -> list[str] | None:
    """Return the leads that recordings carry, in standard spelling; None where unknown."""
    if not isinstance(X, RecordArray) or X.leads is None:
        return None
    return [lead_name(name) for name in X.leads]


def check_rate(
    X, sampling_rate: float | None, stated: str, *, setting: str | None, resample: bool = True
) -> None:
    """Raise ValueError for recordings that carry another sampling rate, Hz.

    ``stated`` completes "but ...". The remedies are ``setting``, with {} for the rate of X, and,
    with ``resample``, a transformer before.
    """
    carried = carried_rate(X)
    if carried is None or sampling_rate is None:
        return
    if isclose(carried, sampling_rate, rel_tol=_SAME_RATE):
        return
    remedies = [] if setting is None else [f"give {setting.format(f'{carried:g}')}"]
    remedies += [
        "resample the recordings before with "
        f"ecgsk.preprocessing.Resample({carried:g}, {sampling_rate:g})"
    ] * resample
    raise ValueError(
        f"X carries sampling_rate={carried:g} Hz, but {stated}. {_either(remedies)} If the rate of "
        "X is wrong, replace it: RecordArray.wrap(X, sampling_rate=...)."
    )


def check_leads(
    X, leads: Sequence[str] | None, stated: str, *, setting: str | None, select: bool = True
) -> None:
    """Raise ValueError for recordings that carry other leads, or the same in another order.

    ``stated``, ``setting`` and ``select`` are as in `check_rate`.
    """
    carried = carried_leads(X)
    if carried is None or leads is None:
        return
    wanted = [lead_name(name) for name in leads]
    if carried == wanted:
        return
    remedies = [] if setting is None else [f"give {setting.format(carried)}"]
    first = "" if wanted == list(STANDARD_LEADS) else f"{wanted}, "
    remedies += [
        "choose and rearrange them before with "
        f"ecgsk.preprocessing.SelectLeads({first}input_leads={carried})"
    ] * select
    raise ValueError(
        f"X carries the leads {', '.join(carried)}, but {stated}. {_either(remedies)} If the names "
        "of X are wrong, replace them: RecordArray.wrap(X, leads=...)."
    )


def meaning_of_none(leads: Sequence[str] | None) -> str:
    """Return what leads=None means, for messages."""
    if leads is None:
        return ""
    standard = tuple(leads) == STANDARD_LEADS
    return f", which means {'the standard twelve' if standard else ', '.join(leads)}"


def _either(remedies: list[str]) -> str:
    text = ", or ".join(remedies)
    return f"{text[:1].upper()}{text[1:]}."
