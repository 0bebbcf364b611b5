"""Weights that come with ecgsk, and the files that weights are kept in."""

from ecgsk.weights._ecgfounder_tasks import ECGFOUNDER_TASKS
from ecgsk.weights._file import SHIPPED, WeightFile, read_weights, write_weights
from ecgsk.weights._published import PUBLISHED, cache_folder, file_sha256, find_published

__all__ = [
    "ECGFOUNDER_TASKS",
    "PUBLISHED",
    "SHIPPED",
    "WeightFile",
    "cache_folder",
    "file_sha256",
    "find_published",
    "read_weights",
    "write_weights",
]
