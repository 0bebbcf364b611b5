"""What the MTECG estimators share: the size of the network, and weights to start from."""

from numbers import Integral

from ecgsk._core.fitted import unwrap
from ecgsk._core.sklearn_compat import Interval, StrOptions, check_is_fitted
from ecgsk.networks import MTECG_PRESETS
from ecgsk.weights import SHIPPED, WeightFile, read_weights

DEFAULT_PRESET = "ti_12_25"
SIZE_CONSTRAINTS = {
    "preset": [StrOptions(set(MTECG_PRESETS)), None],
    "patch_size": [Interval(Integral, 1, None, closed="left"), None],
    "width": [Interval(Integral, 1, None, closed="left"), None],
    "depth": [Interval(Integral, 1, None, closed="left"), None],
    "n_heads": [Interval(Integral, 1, None, closed="left"), None],
}


def network_size(estimator, longest: int | None = None) -> dict:
    """Return the size of the network that an estimator's parameters mean.

    Parameters
    ----------
    estimator : estimator
        With ``preset``, ``patch_size``, ``width``, ``depth``, ``n_heads``, ``sampling_rate``.
    longest : int or None, default=None
        Samples that a segment of a preset's duration is cut down to; one that the user chose
        stays.

    Returns
    -------
    dict
        ``patch_size``, ``width``, ``depth``, ``n_heads``.
    """
    size = dict(MTECG_PRESETS[estimator.preset or DEFAULT_PRESET])
    patch_size = max(1, round(size.pop("patch_duration") * estimator.sampling_rate))
    size["patch_size"] = patch_size if longest is None else max(1, min(patch_size, longest))
    for name in size:
        given = getattr(estimator, name)
        size[name] = size[name] if given is None else given
    return size


def check_size(estimator, network: dict, source: str) -> None:
    """Raise if an estimator asks for another network than the weights it starts from have.

    Parameters
    ----------
    estimator : estimator
        Parameters that are None ask for nothing.
    network : dict
        Arguments of the weights' network.
    source : str
        The parameter that named the weights, for the message.
    """
    asked = {name: getattr(estimator, name) for name in ("patch_size", "width", "depth", "n_heads")}
    if estimator.preset is not None:
        preset = MTECG_PRESETS[estimator.preset]
        asked |= {k: preset[k] for k in ("width", "depth", "n_heads") if asked[k] is None}
    wrong = {k: v for k, v in asked.items() if v is not None and v != network[k]}
    if wrong:
        said = ", ".join(f"{name}={value}" for name, value in wrong.items())
        has = ", ".join(f"{name}={network[name]}" for name in wrong)
        raise ValueError(
            f"{said} does not fit {source}, whose network has {has}. Leave preset, patch_size, "
            f"width, depth and n_heads at None: they come with {source}."
        )


def as_weights(source, *, kind: str) -> WeightFile:
    """Return weights from a file, from those shipped, or from a fitted estimator.

    Parameters
    ----------
    source : path-like, str or estimator
        A file, a name, or a fitted `MTECGPretrainer` (also in a ``FrozenEstimator``).
    kind : str
        Which of the shipped files is meant by a name.
    """
    source = unwrap(source)
    if hasattr(source, "to_weights"):
        check_is_fitted(source, "net_")
        return source.to_weights()
    # A file may be of either kind: both hold an encoder.
    return read_weights(source, kind=kind if source in SHIPPED else None, parameter="pretrained")
