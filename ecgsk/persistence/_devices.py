"""On which device the networks in a model predict."""

from typing import Any

from ecgsk._core.fitted import is_network
from ecgsk._core.public import public
from ecgsk.persistence._parts import parts


@public("ecgsk")
def set_device(model, device):
    """Set the device of all networks in a model, wherever they are in it.

    ``model.set_params(step__estimator__device=...)`` reaches the parameters of a Pipeline or a
    search, but not the networks that were fitted from them, such as those of the folds of a
    calibration. This function reaches both.

    Parameters
    ----------
    model : estimator
        Fitted or unfitted, such as one that was loaded with pickle or joblib; `load` has a
        parameter for it. It is changed in place. A model without networks stays as it is.
    device : str or torch.device
        Device such as ``"cpu"``, ``"cuda:1"`` or ``"mps"``; ``"auto"`` is the fastest one of the
        machine on which the model predicts. It becomes the parameter ``device`` of all network
        estimators of ecgsk in the model.

    Returns
    -------
    estimator
        The model itself. Its networks move when they predict.

    Raises
    ------
    ValueError
        If the device is not available. The message names the devices that are.
    TypeError
        If ``model`` is not an estimator.

    Examples
    --------
    >>> import ecgsk
    >>> from sklearn.pipeline import make_pipeline
    >>> from ecgsk.preprocessing import BandPass
    >>> network = ecgsk.MTECGClassifier(weights="ptbxl", device="cuda:1")
    >>> model = make_pipeline(BandPass(0.5, 40, sampling_rate=100), network)
    >>> ecgsk.set_device(model, "cpu")[-1].device
    'cpu'
    """
    if isinstance(model, type) or not (hasattr(model, "get_params") or hasattr(model, "predict")):
        raise TypeError(
            f"model={model!r:.100} is not an estimator; give a classifier, a Pipeline or the like. "
            "For a file, use ecgsk.load(path, device=...)."
        )
    return with_device(model, name_of_device(device))


def name_of_device(device) -> str:
    """Return the name of a device; ValueError for one that is not available."""
    # Not at the top: it imports torch, which takes seconds, for models of tables as well.
    from ecgsk._training import resolve_device

    name = str(device)
    if name != "auto":
        resolve_device(name)
    return name


def with_device(model, name: str) -> Any:
    """Return a model after the device of its networks was set."""
    for part in parts(model):
        if is_network(part):
            part.set_params(device=name)
    return model
