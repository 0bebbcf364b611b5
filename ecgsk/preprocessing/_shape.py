"""Choice of leads and of a record's length."""

from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np

from ecgsk._core.carried import check_leads
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS, lead_indices, lead_name
from ecgsk._core.sklearn_compat import Interval, StrOptions
from ecgsk.preprocessing._base import SignalTransformer

# What the limb leads are of leads I and II, by the laws of Einthoven and of Goldberger.
_FROM_I_AND_II = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


@public("ecgsk.preprocessing")
class SelectLeads(SignalTransformer):
    """Choose leads by name, in the order wanted.

    Leads III, aVR, aVL and aVF that are wanted and absent are computed from I and II when both
    are there [1]_: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.

    Parameters
    ----------
    leads : sequence of str or None, default=None
        Leads wanted, in any spelling ("aVR", "AVR", "Lead avr"). None is `STANDARD_LEADS` where
        ``input_leads`` is given, and keeps the recordings as they are where it is not.
    input_leads : sequence of str or None, default=None
        Leads of the recordings, in their order. None is `STANDARD_LEADS`. A `RecordArray` that
        carries other leads, or another order, is refused.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    References
    ----------
    .. [1] P. Kligfield et al., "Recommendations for the standardization and interpretation of
       the electrocardiogram, part I", Circulation 115, 1306-1324, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.preprocessing import SelectLeads
    >>> X = np.array([[[0.5, 0.25], [1.0, 0.5]]])  # leads II and I
    >>> SelectLeads(["I", "II", "III"], input_leads=["II", "I"]).transform(X)
    array([[[ 1.  ,  0.5 ],
            [ 0.5 ,  0.25],
            [-0.5 , -0.25]]], dtype=float32)
    """

    _parameter_constraints = {"leads": ["array-like", None], "input_leads": ["array-like", None]}

    def __init__(
        self, leads: Sequence[str] | None = None, *, input_leads: Sequence[str] | None = None
    ):
        self.leads = leads
        self.input_leads = input_leads

    def _keeps_all(self) -> bool:
        return self.leads is None and self.input_leads is None

    def _check_carried(self, X):
        if self._keeps_all():
            return
        present = STANDARD_LEADS if self.input_leads is None else self.input_leads
        stated = (
            f"SelectLeads has input_leads={self.input_leads}"
            f"{', which means the standard twelve' if self.input_leads is None else ''}"
        )
        check_leads(X, present, stated, setting="set_params(input_leads={})", select=False)

    def _leads_out(self, leads):
        if self._keeps_all():
            return leads
        return self._wanted()

    def _wanted(self) -> list[str]:
        return [lead_name(lead) for lead in (STANDARD_LEADS if self.leads is None else self.leads)]

    def _plan(self, n_leads, n_samples):
        if self._keeps_all():
            recipes = [[(lead, 1.0)] for lead in range(n_leads)]
            return partial(_combine_leads, recipes=recipes), (n_leads, n_samples)
        present = STANDARD_LEADS if self.input_leads is None else self.input_leads
        present = [lead_name(name) for name in present]
        wanted = self._wanted()
        if len(present) != n_leads:
            named = "None, which means the twelve" if self.input_leads is None else f"{present}"
            raise ValueError(
                f"X has {n_leads} leads, but input_leads is {named}. Give input_leads the name "
                "of each lead of X, in their order."
            )
        if not wanted or len(set(wanted)) < len(wanted):
            raise ValueError(f"leads={wanted} must name at least one lead, and each only once.")
        recipes = _recipes(present, wanted)
        return partial(_combine_leads, recipes=recipes), (len(recipes), n_samples)


@public("ecgsk.preprocessing")
class CropPad(SignalTransformer):
    """Bring recordings to a number of samples: crop longer ones, pad shorter ones.

    Parameters
    ----------
    n_samples : int
        Samples a lead of the result.
    position : {"start", "center", "end"}, default="start"
        The part of a longer record that is kept, and where a shorter one stands in the result.
        For "center" an odd sample is cropped, or padded, at the end.
    pad_value : float, default=0.0
        Value of the padding, mV.

    Attributes
    ----------
    n_features_in_ : int
        Leads seen in fit (samples, for recordings in two dimensions).
    n_samples_in_ : int
        Samples a lead seen in fit.

    Examples
    --------
    >>> from ecgsk.preprocessing import CropPad
    >>> CropPad(2).transform([[1.0, 2.0, 3.0]])
    array([[1., 2.]], dtype=float32)
    >>> CropPad(5, position="end").transform([[1.0, 2.0, 3.0]])
    array([[0., 0., 1., 2., 3.]], dtype=float32)
    """

    _parameter_constraints = {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "position": [StrOptions({"start", "center", "end"})],
        "pad_value": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, n_samples: int, *, position: str = "start", pad_value: float = 0.0):
        self.n_samples = n_samples
        self.position = position
        self.pad_value = pad_value

    def _plan(self, n_leads, n_samples):
        surplus = n_samples - self.n_samples
        # Rounds towards zero, so that the odd sample is the last one cropped or padded.
        first = {"start": 0, "center": int(surplus / 2), "end": surplus}[self.position]
        function = partial(
            _crop_pad, first=first, n_samples=self.n_samples, pad_value=self.pad_value
        )
        return function, (n_leads, self.n_samples)


def _recipes(present, wanted):
    """Return for each wanted lead the (index, weight) pairs it is the sum of."""
    derivable = _FROM_I_AND_II if {"I", "II"} <= set(present) else {}
    weights = [
        {lead: 1.0}
        if lead in present or lead not in derivable
        else dict(zip(("I", "II"), derivable[lead], strict=True))
        for lead in wanted
    ]
    # One look-up names all missing leads in one message.
    needed = list(dict.fromkeys(name for recipe in weights for name in recipe))
    index = dict(zip(needed, lead_indices(present, needed), strict=True))
    return [[(index[name], weight) for name, weight in recipe.items()] for recipe in weights]


def _combine_leads(X, *, recipes):
    out = np.zeros((len(X), len(recipes), X.shape[2]), dtype=np.float32)
    for position, recipe in enumerate(recipes):
        for index, weight in recipe:
            out[:, position] += np.float32(weight) * X[:, index]
    return out


def _crop_pad(X, *, first, n_samples, pad_value):
    out = np.full((*X.shape[:2], n_samples), pad_value, dtype=np.float32)
    kept = X[..., max(first, 0) : max(first, 0) + n_samples]
    offset = max(-first, 0)
    out[..., offset : offset + kept.shape[2]] = kept
    return out
