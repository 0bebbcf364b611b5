"""Description of a model, which can be read without loading the model."""

import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ecgsk._core.columns import columns_of
from ecgsk._core.fitted import named_parts
from ecgsk._core.model_input import known_input
from ecgsk._version import __version__

_PACKAGES = {
    "interpret": "interpret-core",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "torch": "torch",
}
_MAX_DEPTH = 12


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that predictions depend on."""
    found = {"ecgsk": __version__, "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe_model(estimator, about: str) -> dict:
    """Return the description of a model, as JSON values; ``about`` is the user's text."""
    known = known_input(estimator)
    return {
        "about": about,
        "model": outline(estimator),
        "saved": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "n_features": _as_json_values(_attribute(estimator, "n_features_in_")),
        "classes": _as_json_values(_attribute(estimator, "classes_")),
        "label_names": _label_names(estimator),
        "sampling_rate": _as_json_values(known.sampling_rate),
        "seconds": _as_json_values(known.seconds),
        "leads": _as_json_values(known.leads),
        "n_samples": known.n_samples,
        "preprocessing": _as_json_values(known.preprocessing),
    }


def outline(estimator, depth: int = 0) -> str:
    """Return the classes of a model and of its parts, as ``"Pipeline(Scaler, Classifier)"``."""
    named = named_parts(estimator) if depth < _MAX_DEPTH else []
    inner = ", ".join(outline(part, depth + 1) for _, part in named)
    name = type(estimator).__name__
    return f"{name}({inner})" if inner else name


def _label_names(estimator) -> list[str] | None:
    try:
        columns = columns_of(estimator)
    except (AttributeError, ValueError, OSError):  # as from `_attribute`
        return None
    return columns.names if columns.multilabel else None


def _attribute(estimator, name: str):
    # Properties of meta-estimators raise various errors.
    try:
        return getattr(estimator, name, None)
    except (AttributeError, ValueError, OSError):
        return None


def _as_json_values(value):
    """Return JSON values of a scalar, an array or a list; None for other types."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): _as_json_values(item) for name, item in value.items()}
    if not isinstance(value, (list, tuple)):
        return None
    return [_as_json_values(item) for item in value]
