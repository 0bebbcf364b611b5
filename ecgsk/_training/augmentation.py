"""Changes of recordings that leave the diagnosis as it is."""

from functools import partial
from numbers import Real

import torch
from sklearn.base import BaseEstimator

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import Interval, check_own_params

_SHARE = [Interval(Real, 0, 1, closed="left")]
_SIZE = [Interval(Real, 0, None, closed="left")]


@public("ecgsk")
class ECGAugmentation(BaseEstimator):
    """Random changes of the recordings of a batch, drawn again in each epoch.

    For the ``augmentation`` parameter of the network estimators; a search reaches its parameters
    as ``augmentation__shift`` and so on. Nothing is changed in prediction.

    Parameters
    ----------
    shift : float, default=0.5
        Largest displacement in time, s, drawn evenly in both directions. What enters is 0 mV.
    lead_drop : float, default=0.1
        Probability that a lead is set to 0 mV. One lead is always left.
    noise : float, default=0.1
        Largest deviation of white noise, in units of the record's own deviation; each record
        draws its own between 0 and it.
    amplitude : float, default=0.1
        Deviation of the logarithm of the factor that multiplies a whole record: 0.1 is about
        10 %. Leads keep their proportions.

    Examples
    --------
    >>> from ecgsk import ECGAugmentation, MTECGClassifier
    >>> model = MTECGClassifier(augmentation=ECGAugmentation(noise=0.0))
    >>> model.get_params()["augmentation__shift"]
    0.5
    """

    _parameter_constraints: dict = {
        "shift": _SIZE,
        "lead_drop": _SHARE,
        "noise": _SIZE,
        "amplitude": _SIZE,
    }

    def __init__(
        self,
        *,
        shift: float = 0.5,
        lead_drop: float = 0.1,
        noise: float = 0.1,
        amplitude: float = 0.1,
    ):
        self.shift = shift
        self.lead_drop = lead_drop
        self.noise = noise
        self.amplitude = amplitude

    def bind(self, sampling_rate: float):
        """Return a function from batch to batch.

        Parameters
        ----------
        sampling_rate : float
            Of the recordings, Hz.

        Returns
        -------
        callable
            Takes and returns a tensor of shape (n_records, n_leads, n_samples); draws from
            torch's global generator.

        Raises
        ------
        ValueError
            For parameters out of range.
        """
        check_own_params(self)
        return partial(augment, samples=sampling_rate, **self.get_params())


def augment(
    x: torch.Tensor,
    *,
    samples: float,
    shift: float,
    lead_drop: float,
    noise: float,
    amplitude: float,
) -> torch.Tensor:
    """Return changed records; see `ECGAugmentation`. ``samples`` are those of a second."""
    n_records, n_leads, n_samples = x.shape
    most = min(round(shift * samples), n_samples - 1)
    if most:
        offset = torch.randint(-most, most + 1, (n_records, 1, 1), device=x.device)
        position = torch.arange(n_samples, device=x.device) + offset
        inside = (position >= 0) & (position < n_samples)
        position = position.clamp(0, n_samples - 1).expand(-1, n_leads, -1)
        x = x.gather(2, position) * inside
    if noise:
        deviation = x.std(dim=(1, 2), keepdim=True) * noise
        deviation = deviation * torch.rand((n_records, 1, 1), dtype=torch.float32, device=x.device)
        x = x + torch.randn_like(x) * deviation
    if amplitude:
        x = x * (
            amplitude * torch.randn((n_records, 1, 1), dtype=torch.float32, device=x.device)
        ).exp().to(x.dtype)
    if lead_drop:
        kept = torch.rand((n_records, n_leads, 1), dtype=torch.float32, device=x.device)
        # The lead with the largest draw always stays.
        x = x * ((kept >= lead_drop) | (kept == kept.amax(dim=1, keepdim=True)))
    return x
