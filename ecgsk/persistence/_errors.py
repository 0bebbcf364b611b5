"""Errors and warnings about model files."""

from ecgsk._core.public import public


@public("ecgsk.persistence")
class ModelFileError(ValueError):
    """A file is not a model of ecgsk, is damaged, or contains types that are not trusted."""


@public("ecgsk.persistence")
class ModelVersionWarning(UserWarning):
    """A model was saved with other versions of scikit-learn or interpret."""
