"""The only place that imports the packages of extras."""

from importlib import import_module
from types import ModuleType


def import_optional(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a package that an extra brings, or say how to get it.

    Parameters
    ----------
    name : str
        Module to import, for example ``"huggingface_hub"``.
    extra : str
        The extra of ecgsk that installs it.
    purpose : str
        What needs it, in words that end the sentence "... is needed to".

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        When the package is missing; the message holds the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is needed to {purpose} and is not installed. "
            f"Install it with: pip install 'ecgsk[{extra}]'"
        ) from error
