"""Weights that come with ecgsk, and files that keep weights.

Downloaded weights, and conversions of them, are kept in the folder that the environment variable
``ECGSK_CACHE`` names; without it, in ``ecgsk`` in the user's cache folder (``XDG_CACHE_HOME``, or
``~/.cache``).
"""

# What is not in __all__ is for other packages of ecgsk.
from ecgsk.weights._ecgfounder_checkpoint import (  # noqa: F401
    ECGFOUNDER_KIND,
    ECGFOUNDER_RATE,
    convert_checkpoint,
    published_header,
    read_ecgfounder,
)
from ecgsk.weights._ecgfounder_tasks import ECGFOUNDER_TASKS
from ecgsk.weights._file import SHIPPED, WeightFile, as_json, read_weights, write_weights  # noqa: F401
from ecgsk.weights._published import PUBLISHED  # noqa: F401

__all__ = ["ECGFOUNDER_TASKS", "WeightFile", "read_weights", "write_weights"]
