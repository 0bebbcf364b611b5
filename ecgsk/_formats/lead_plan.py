"""Wanted leads from those that a file contains, among them the limb leads that follow from I, II.

Einthoven's and Goldberger's equations: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2,
aVF = II - I / 2.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecgsk._core.signal import lead_indices, lead_name

# Factors of I and II.
_DERIVED = {
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}


@dataclass(frozen=True)
class LeadPlan:
    """How the wanted leads come from stored ones.

    ``needed`` are the stored leads to read, in the spelling of the file; ``derived`` those of the
    wanted that are computed.
    """

    needed: tuple[str, ...]
    derived: tuple[str, ...]
    _rows: tuple[int, ...]  # of each wanted lead among the needed; -1 where it is derived
    _factors: tuple[tuple[float, float] | None, ...]
    _limb_rows: tuple[int, int]  # of I and II among the needed

    def apply(self, signal: np.ndarray) -> np.ndarray:
        """Return the wanted leads from the needed ones, (n_leads, n_samples)."""
        if not self.derived:
            return signal if self._rows == tuple(range(len(signal))) else signal[list(self._rows)]
        out = np.empty((len(self._rows), signal.shape[1]), dtype=signal.dtype)
        first, second = (signal[row] for row in self._limb_rows)
        for place, (row, factors) in enumerate(zip(self._rows, self._factors, strict=True)):
            if factors is None:
                out[place] = signal[row]
            else:
                out[place] = factors[0] * first + factors[1] * second
        return out


@lru_cache(maxsize=1024)
def plan_leads(stored: tuple[str, ...], wanted: tuple[str, ...]) -> LeadPlan:
    """Return how ``wanted`` leads come from the ``stored`` ones, in any spelling.

    Raises ValueError for leads that are neither stored nor follow from I and II.
    """
    names = [lead_name(name) for name in stored]
    limb = names.count("I") == names.count("II") == 1
    derived = tuple(lead for lead in wanted if limb and lead in _DERIVED and lead not in names)
    direct = [lead for lead in wanted if lead not in derived]
    sources = direct + [lead for lead in ("I", "II") if derived and lead not in direct]
    indices = lead_indices(stored, sources)
    place = {lead: i for i, lead in enumerate(sources)}
    return LeadPlan(
        needed=tuple(stored[i] for i in indices),
        derived=derived,
        _rows=tuple(place.get(lead, -1) for lead in wanted),
        _factors=tuple(_DERIVED[lead] if lead in derived else None for lead in wanted),
        _limb_rows=(place.get("I", -1), place.get("II", -1)),
    )
