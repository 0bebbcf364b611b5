"""Save and load complete models in one file that runs no code when it is loaded."""

from ecgsk.persistence._devices import set_device
from ecgsk.persistence._errors import ModelFileError, ModelVersionWarning
from ecgsk.persistence._save_load import describe, load, save

__all__ = ["ModelFileError", "ModelVersionWarning", "describe", "load", "save", "set_device"]
