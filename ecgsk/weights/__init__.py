"""Weights that come with ecgsk, and the files that weights are kept in."""

from ecgsk.weights._file import SHIPPED, WeightFile, read_weights, write_weights

__all__ = ["SHIPPED", "WeightFile", "read_weights", "write_weights"]
