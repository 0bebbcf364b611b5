"""The six limb leads are redundant: a wrong order of the leads shows in their contradictions."""

import itertools
import operator
from functools import cache
from typing import NamedTuple

import numpy as np

# Limb leads as combinations of I and II (Einthoven and Goldberger).
_LIMB = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
# Largest difference between a limb lead and what follows from others, relative to the lead and to
# all limb leads. Recordings of three databases reach 0.046; two exchanged leads start at 0.075.
_LARGEST_MISFIT = 0.06
_LARGEST_SHARE = 0.02
# Root of the share of the variance that the equations leave over, which no order of the leads
# changes. It is up to 0.0087 in recordings as they were made, and 0.0083 or more after filters that
# are not linear, such as a running median. Then the limb leads contradict each other as well.
_LARGEST_REMAINDER = 0.008
# After such filters another order has to fit better; none had less than 0.52 of the true order's
# misfit. Noise has a misfit above the last limit.
_FITS_BETTER = 0.4
_LARGEST_AFTER_FILTERS = 1.2

# Orders in which other files have the twelve leads, "-" for the opposite sign.
_ORDERS_ELSEWHERE = (
    "I II V1 V2 V3 V4 V5 V6 III aVR aVL aVF",
    "I II V1 V2 V3 V4 V5 V6 aVF aVL aVR III",
    "I II III V1 V2 V3 V4 V5 V6 aVR aVL aVF",
    "I II III V1 V2 V3 V4 V5 V6 aVF aVL aVR",
    "V1 V2 V3 V4 V5 V6 I II III aVR aVL aVF",
    "V6 V5 V4 V3 V2 V1 aVF aVL aVR III II I",
    "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6",
    "aVR aVL aVF V1 V2 V3 V4 V5 V6 I II III",
    "aVF aVL aVR I II III V1 V2 V3 V4 V5 V6",
    "aVL I -aVR II aVF III V1 V2 V3 V4 V5 V6",
)


class _Orders(NamedTuple):
    """Orders that recordings may have in truth; each has the equations of its limb leads."""

    texts: list[str]
    lead: np.ndarray  # (n_orders, n_equations, n_leads): a limb lead
    others: np.ndarray  # what follows for it from other leads


def contradiction(gram: np.ndarray, flat: np.ndarray, leads: tuple[str, ...]) -> str:
    """Return how limb leads contradict each other and which order would fit, or an empty text.

    ``gram`` (n_leads, n_leads) holds the mean products of the leads without their means.
    """
    live = tuple("" if dead else lead for lead, dead in zip(leads, flat, strict=True))
    lead, others = _equations(live)
    if not len(lead):
        return ""
    misfit = _misfits(gram, lead[None], others[None])[0]
    if misfit <= _LARGEST_MISFIT:
        return ""
    orders = _other_orders(live)
    misfits = _misfits(gram, orders.lead, orders.others)
    # The first of those that fit equally well is the simplest.
    best = int(np.argmax(misfits <= max(misfits.min() * 1.05, _LARGEST_MISFIT)))
    explained = misfits[best] < _FITS_BETTER * misfit
    if not explained and misfit < _LARGEST_AFTER_FILTERS and _are_filtered(gram, live, len(lead)):
        return ""
    message = (
        "the limb leads contradict each other (II = I + III, aVR = -(I + II) / 2, aVL = (I - III) "
        f"/ 2, aVF = (II + III) / 2; off by {misfit:.0%})"
    )
    return f"{message}; it looks as if {orders.texts[best]}" if explained else message


def is_one_recording(x: np.ndarray) -> bool:
    """Return whether the rows of x (12, n_samples) are the standard leads of one recording."""
    centered = x - x.mean(axis=1, keepdims=True)
    gram = (centered @ centered.T).astype(np.float64) / x.shape[1]
    lead, others = _equations(("I", "II", *list(_LIMB)[2:], *("",) * (len(x) - len(_LIMB))))
    power = np.diagonal(gram)[: len(_LIMB)]
    if not np.isfinite(gram).all() or not (power > 0).all():
        return False
    return bool(_misfits(gram, lead[None], others[None])[0] <= _LARGEST_MISFIT)


def _are_filtered(gram: np.ndarray, leads: tuple[str, ...], n_equations: int) -> bool:
    """Return whether leads of any order fulfill no linear equations."""
    places = [i for i, lead in enumerate(leads) if lead]
    scale = np.sqrt(np.diagonal(gram)[places])
    shares = np.linalg.eigvalsh(gram[np.ix_(places, places)] / np.outer(scale, scale))
    remainder = shares[:n_equations].clip(0).sum() / len(places)
    return bool(np.sqrt(remainder) > _LARGEST_REMAINDER)


def _misfits(gram: np.ndarray, lead: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the largest misfit among the equations of each order, 0 where all are small."""
    of_leads = np.diagonal(gram)
    predicted = others @ gram
    size_predicted = (predicted * others).sum(axis=-1)
    size_lead = (lead * lead) @ of_leads
    residual = size_lead + size_predicted - 2 * (predicted * lead).sum(axis=-1)
    size = np.maximum(size_lead, size_predicted)
    relative = residual / np.where(size > 0, size, 1.0)
    everything = size_lead.sum(axis=1, keepdims=True)
    relative[residual <= _LARGEST_SHARE**2 * everything] = 0.0
    return np.sqrt(relative.max(axis=1).clip(0))


@cache
def _equations(leads: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the limb leads that follow from two others, and how: (n_equations, n_leads) each."""
    at = {lead: i for i, lead in enumerate(leads) if lead in _LIMB}
    lead, others = [], []
    for name in list(at)[2:]:
        pairs = itertools.combinations([other for other in at if other != name], 2)
        basis = next((p for p in pairs if abs(np.linalg.det([_LIMB[n] for n in p])) > 0.1), None)
        if basis is not None:
            weights = np.zeros(len(leads))
            basis_of_plane = np.array([_LIMB[other] for other in basis]).T
            weights[[at[other] for other in basis]] = np.linalg.solve(basis_of_plane, _LIMB[name])
            lead.append(np.eye(len(leads))[at[name]])
            others.append(weights)
    return np.array(lead), np.array(others)


@cache
def _other_orders(leads: tuple[str, ...]) -> _Orders:
    """Return orders and signs of the leads that would be mistakes, the likeliest first."""
    lead, others = _equations(leads)
    n = len(leads)
    limb = [i for i, name in enumerate(leads) if name in _LIMB]
    # (text, place of each expected lead among those that were given, sign)
    found: list[tuple[str, list[int], np.ndarray]] = []
    for i in limb:
        sign = np.ones(n)
        sign[i] = -1
        found.append((f"lead {leads[i]} has the opposite sign", list(range(n)), sign))
    for i, j in itertools.combinations(range(n), 2):
        if leads[i] and leads[j] and (i in limb or j in limb):
            place = list(range(n))
            place[i], place[j] = j, i
            found.append((f"{leads[i]} and {leads[j]} are exchanged", place, np.ones(n)))
    for order in _ORDERS_ELSEWHERE:
        names = order.replace("-", "").split()
        if set(names) == set(leads):
            sign = np.array([-1.0 if f"-{name}" in order.split() else 1.0 for name in leads])
            place = [names.index(name) for name in leads]
            found.append((f"the leads are in the order {order}", place, sign))
    moved = sorted(itertools.permutations(limb), key=lambda to: sum(map(operator.ne, to, limb)))
    for places in moved:
        place = list(range(n))
        for i, j in zip(limb, places, strict=True):
            place[i] = j
        given = " ".join(leads[limb[places.index(i)]] for i in limb)
        found.append((f"the limb leads are in the order {given}", place, np.ones(n)))

    def moved_weights(weights, place, sign):
        result = np.zeros_like(weights)
        result[:, place] = weights * sign
        return result

    return _Orders(
        [text for text, _, _ in found],
        np.stack([moved_weights(lead, place, sign) for _, place, sign in found]),
        np.stack([moved_weights(others, place, sign) for _, place, sign in found]),
    )
