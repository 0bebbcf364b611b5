"""What the MTECG estimators share: the size of the network, and how weights read recordings."""

from numbers import Integral

from sklearn.base import BaseEstimator

from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Interval, StrOptions
from ecgsk.estimators._weights_source import rate_of, transformed
from ecgsk.networks import MTECG_PRESETS
from ecgsk.weights import WeightFile

_DEFAULT_PRESET = "ti_12_25"
_NUMBERS = ("patch_size", "width", "depth", "n_heads")
_NUMBER = [Interval(Integral, 1, None, closed="left"), None]
# Rates that the length of a ten-second recording can mean, Hz.
_RATES = (100, 500)


@public("ecgsk.estimators")
class MTECGSize(BaseEstimator):
    """Size of an MTECG network.

    For the ``preset`` parameter of the MTECG estimators, where ``"nano"`` means
    ``MTECGSize("nano")`` and a dict is the arguments of this class. A search reaches the numbers as
    ``preset__width`` and so on.

    Parameters
    ----------
    preset : {"ti_12_25", "compact", "small", "nano"}, default=None
        Has the numbers that are None below. None is the size of the weights that the estimator
        starts from, else ``"ti_12_25"``, the published one: width 192, depth 12, 3 heads, segments
        of 0.05 s (25 samples at 500 Hz), 5.4 million parameters. ``"compact"`` (192, 6, 3, 0.1 s)
        is that of the shipped weights; ``"small"`` (96, 4, 3, 0.2 s) trains quickly on a CPU;
        ``"nano"`` (32, 2, 2, 0.2 s) is for tests.
    patch_size : int, default=None
        Samples of a segment. None: the preset's duration at the estimator's sampling rate; in
        pre-training at most half a recording.
    width, depth, n_heads : int, default=None
        Size of a token, blocks, attention heads of a block.

    Examples
    --------
    >>> from ecgsk import MTECGClassifier
    >>> from ecgsk.estimators import MTECGSize
    >>> model = MTECGClassifier(MTECGSize("nano", width=64))
    >>> model.set_params(preset__depth=3).preset
    MTECGSize(depth=3, preset='nano', width=64)
    """

    _parameter_constraints: dict = {
        "preset": [StrOptions(set(MTECG_PRESETS)), None],
        **dict.fromkeys(_NUMBERS, _NUMBER),
    }

    def __init__(self, preset=None, *, patch_size=None, width=None, depth=None, n_heads=None):
        self.preset = preset
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.n_heads = n_heads

    def arguments(self, sampling_rate: float, longest: int | None = None) -> dict:
        """Return the size as arguments of `ecgsk.networks.MTECG`.

        Parameters
        ----------
        sampling_rate : float
            Of the recordings, Hz.
        longest : int or None, default=None
            Samples that a segment of a preset's duration is cut down to; a ``patch_size`` that was
            set stays.
        """
        size = dict(MTECG_PRESETS[self.preset or _DEFAULT_PRESET])
        patch_size = max(1, round(size.pop("patch_duration") * sampling_rate))
        size["patch_size"] = patch_size if longest is None else max(1, min(patch_size, longest))
        for name in size:
            own = getattr(self, name)
            size[name] = size[name] if own is None else own
        return size

    def check(self, network: dict, source: str) -> None:
        """Raise ValueError if the weights that an estimator starts from have another size.

        Parameters
        ----------
        network : dict
            Arguments of the weights' network.
        source : str
            The parameter that named the weights, for the message.
        """
        wanted = {name: getattr(self, name) for name in _NUMBERS}
        if self.preset is not None:
            preset = MTECG_PRESETS[self.preset]
            wanted |= {k: preset[k] for k in ("width", "depth", "n_heads") if wanted[k] is None}
        wrong = {k: v for k, v in wanted.items() if v is not None and v != network[k]}
        if wrong:
            differs = ", ".join(f"{name}={value}" for name, value in wrong.items())
            has = ", ".join(f"{name}={network[name]}" for name in wrong)
            raise ValueError(
                f"{differs} does not fit {source}, whose network has {has}. Leave preset at None: "
                f"the size comes with {source}."
            )


def mtecg_size_of(value):
    """Return the `MTECGSize` that a parameter means, or the value itself."""
    if value is None or isinstance(value, str):
        return MTECGSize(value)
    if isinstance(value, dict) and set(value) <= {"preset", *_NUMBERS}:
        return MTECGSize(**value)
    return value


def check_mtecg_size(size) -> None:
    """Raise ValueError for a dict that is not the arguments of `MTECGSize`."""
    if not isinstance(size, MTECGSize):
        raise ValueError(
            f"preset={size!r} is not allowed: a dict may have the keys preset, "
            f"{', '.join(_NUMBERS)}. Leave out the others."
        )


def as_mtecg_reads(
    X, weights: WeightFile | None, sampling_rate: float | None, leads: list[str] | None
):
    """Return recordings X, mV, as the network of weights reads them; without weights, as they are.

    None as ``sampling_rate``, Hz, derives it from the length of the recordings.
    """
    if weights is None:
        return X
    n_leads = weights.network["n_leads"]
    rearranged = leads is not None and n_leads == len(STANDARD_LEADS)
    if not rearranged and X.shape[1] != n_leads:
        raise ValueError(
            f"X has {X.shape[1]} leads; the network takes {n_leads}. Where those are the twelve, "
            "name the leads of X with leads=[...]: missing limb leads are computed from I and "
            "II."
        )
    rate = rate_of(sampling_rate, X.shape[2], weights, rates=_RATES)
    return transformed(X, weights.steps(rate, leads))
