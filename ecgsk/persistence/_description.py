"""What is said of a model without building it."""

import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ecgsk._core.fitted import named_parts
from ecgsk._version import __version__
from ecgsk.persistence._parts import parts

_PACKAGES = {
    "interpret": "interpret-core",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "torch": "torch",
}
# Attributes that answer what a user asks first, by what they are called in a description.
_FACTS = {
    "label_names": "label_names_",
    "sampling_rate": "sampling_rate",
    "leads": "lead_names_",
    "n_samples": "n_samples_in_",
}
_DEEPEST = 12


def versions() -> dict[str, str]:
    """Return the versions of what a model's answers depend on."""
    found = {"ecgsk": __version__, "python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def description(estimator, about: str) -> dict:
    """Return what a file says of the model in it: plain JSON.

    Parameters
    ----------
    estimator : estimator
        The model.
    about : str
        The user's own words.
    """
    said = {
        "about": about,
        "model": outline(estimator),
        "saved": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "n_features": _values(_told(estimator, "n_features_in_")),
        "classes": _values(_told(estimator, "classes_")),
    }
    inside = list(parts(estimator))
    for name, attribute in _FACTS.items():
        found = [_values(_told(part, attribute)) for part in inside]
        said[name] = next((value for value in found if value is not None), None)
    return said


def outline(estimator, depth: int = 0) -> str:
    """Return the classes of a model and of what it holds, as ``"Pipeline(Scaler, Classifier)"``."""
    inner = named_parts(estimator) if depth < _DEEPEST else []
    inner = [outline(part, depth + 1) for _, part in inner]
    name = type(estimator).__name__
    return f"{name}({', '.join(inner)})" if inner else name


def _told(estimator, name: str):
    # Composed estimators look further inside, and raise what they please.
    try:
        return getattr(estimator, name, None)
    except (AttributeError, ValueError, OSError):
        return None


def _values(value):
    """Return plain values of an array or a list; None for what has none."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return None
    return [_values(item) for item in value]
