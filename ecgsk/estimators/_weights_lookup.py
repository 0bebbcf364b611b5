"""Attributes that an estimator has from its weights instead of from a fit."""

import os

from ecgsk._core.sklearn_compat import being_displayed
from ecgsk._training import resolve_precision
from ecgsk.estimators._device_in_use import device_for_prediction
from ecgsk.estimators._known_weights import known_weights
from ecgsk.estimators._weights_source import net_for_prediction


class WeightsError(AttributeError):
    """An attribute comes from weights that cannot be read."""


def load_weights(estimator, *, header_only: bool = False) -> dict:
    """Return the attributes that weights have; they are read once for each setting.

    With ``header_only`` no tensors are read, and ``net_`` may be missing.
    """
    weights = estimator.weights
    key = (os.fspath(weights), estimator.sampling_rate, str(estimator.leads))
    found, attributes = vars(estimator).get("_from_weights", (None, {}))
    if found == key and (header_only or "net_" in attributes):
        return attributes
    source = known_weights(weights, estimator._weights_kind) if header_only else None
    if source is None:
        if being_displayed():
            raise WeightsError("Weights are not read for the display of an estimator.")
        source = estimator._read_weights(header_only=header_only)
    attributes = estimator._attributes_of(source)
    if not header_only:
        named = f"weights={os.fspath(weights)!r}"
        estimator._check_network(source.network, named)
        attributes["net_"] = net_for_prediction(
            estimator,
            source.network,
            source.tensors,
            precision=resolve_precision(estimator.precision, "cpu", training=False),
            batch_size=estimator.batch_size,
            source=named,
        )
    estimator._from_weights = (key, attributes)
    return attributes


def attributes_for(estimator, name: str) -> dict:
    """Return attributes with the named one among them, if the weights have it at all.

    WeightsError when the weights cannot be read, or their device is not there.
    """
    try:
        if name == "device_":
            return {name: device_for_prediction(estimator)}
        return load_weights(estimator, header_only=name != "net_")
    except Exception as error:
        raise WeightsError(
            f"{type(estimator).__name__}.{name} comes from weights="
            f"{os.fspath(estimator.weights)!r}, which cannot be used: {error}"
        ) from error
