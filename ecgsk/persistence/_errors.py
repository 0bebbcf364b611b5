"""What can be wrong with a model's file."""

from ecgsk._core.public import public


@public("ecgsk.persistence")
class ModelFileError(ValueError):
    """A file is no model of ecgsk, or is damaged, or holds what is not trusted."""


@public("ecgsk.persistence")
class ModelVersionWarning(UserWarning):
    """A model was saved with other versions of scikit-learn or interpret than those here."""
