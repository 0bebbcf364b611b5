"""Weights that come with ecgsk, and the files that weights are kept in."""

from ecgsk.weights._ecgfounder_tasks import ECGFOUNDER_TASKS
from ecgsk.weights._file import SHIPPED, WeightFile, as_json, read_weights, write_weights
from ecgsk.weights._published import PUBLISHED, Published, cache_folder, find_published
from ecgsk.weights._torch_file import read_torch_file

__all__ = [
    "ECGFOUNDER_TASKS",
    "PUBLISHED",
    "Published",
    "SHIPPED",
    "WeightFile",
    "as_json",
    "cache_folder",
    "find_published",
    "read_torch_file",
    "read_weights",
    "write_weights",
]
