"""The only place that imports packages of the extras."""

from importlib import import_module


def import_optional(name: str, *, extra: str, purpose: str):
    """Import a package that an extra of ecgsk brings.

    Parameters
    ----------
    name : str
        Name of the module.
    extra : str
        The extra in ``setup.py`` that has it.
    purpose : str
        Its purpose, for the message.

    Raises
    ------
    ImportError
        With the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {name}, which is not installed: "
            f'pip install "ecgsk[{extra}]".'
        ) from error
