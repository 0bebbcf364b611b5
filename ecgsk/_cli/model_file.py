"""The model that a command is given: read without running code, unless the user allows it."""

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable

from ecgsk._core.file_formats import is_safetensors


def load_model(path: str | os.PathLike, *, allow_pickle: bool = False, trusted: Iterable[str] = ()):
    """Return the fitted classifier that a file holds.

    Parameters
    ----------
    path : path-like
        Of a file of `ecgsk.persistence.save`, or of one of joblib or pickle.
    allow_pickle : bool, default=False
        Whether to load files of joblib and pickle, which runs whatever code is in them.
    trusted : iterable of str, default=()
        See `ecgsk.persistence.load`.

    Returns
    -------
    estimator
        With ``predict_proba``.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file cannot be loaded, is a pickle and those are not allowed, or holds no
        classifier.

    Examples
    --------
    >>> from ecgsk._cli.model_file import load_model
    >>> load_model("nowhere.ecgsk")
    Traceback (most recent call last):
        ...
    FileNotFoundError: MODEL='nowhere.ecgsk' does not exist.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"MODEL={os.fspath(path)!r} does not exist.")
    kind = kind_of(path)
    if kind == "pickle" and allow_pickle:
        model = _from_pickle(path)
    elif kind == "pickle":
        raise ValueError(
            f"MODEL={os.fspath(path)!r} was not written by ecgsk.save. If it is a file of joblib "
            "or pickle from people you trust, --allow-pickle loads it, which runs whatever code is "
            "in it; 'ecgsk convert' then makes a file of it that runs none."
        )
    elif kind in ("weights", "checkpoint"):
        raise ValueError(
            f"MODEL={os.fspath(path)!r} holds the weights of a network alone. Make a model of it: "
            f"ecgsk convert {os.fspath(path)} -o model.ecgsk."
        )
    else:
        from ecgsk.persistence import load

        model = load(path, trusted=trusted)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"MODEL={os.fspath(path)!r} holds a {type(model).__name__} without predict_proba. Save "
            "a fitted classifier of recordings."
        )
    return model


def kind_of(path: str | os.PathLike) -> str:
    """Tell what a file is by its first bytes, and by the names in it where it is an archive.

    Parameters
    ----------
    path : path-like
        Of the file.

    Returns
    -------
    {"model", "weights", "checkpoint", "pickle"}
        A file of ``ecgsk.save``; safetensors; a save of torch; anything else, which is for pickle
        to read if at all.

    Raises
    ------
    OSError
        When the file cannot be opened, or is a folder.
    """
    if is_safetensors(path):
        return "weights"
    with open(path, "rb") as file:
        start = file.read(2)
    if start != b"PK":
        return "pickle"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "model"  # whose loader says that it is damaged
    return "checkpoint" if any(name.endswith("/data.pkl") for name in names) else "model"


def _from_pickle(path):
    import joblib

    try:
        return joblib.load(path)
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, ImportError,
            pickle.UnpicklingError, struct.error, zlib.error) as error:  # fmt: skip
        raise ValueError(
            f"MODEL={os.fspath(path)!r} is no file of joblib or pickle that this version can load "
            f"({type(error).__name__}: {error}). Save the fitted model with ecgsk.save."
        ) from None
