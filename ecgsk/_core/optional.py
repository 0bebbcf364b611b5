"""The only place that imports packages of the extras."""

from importlib import import_module


def import_optional(name: str, *, extra: str, purpose: str):
    """Import a package of an extra of ecgsk; ImportError names how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {name}, which is not installed: "
            f'pip install "ecgsk[{extra}]".'
        ) from error
