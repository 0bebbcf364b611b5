"""The model of a command: loaded without running code, unless the user allows it."""

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable

from ecgsk._core.file_formats import is_safetensors
from ecgsk._core.fitted import is_network, parts_in_order


def load_model(
    path: str | os.PathLike,
    *,
    allow_pickle: bool = False,
    trusted: Iterable[str] = (),
    device: str | None = None,
):
    """Return the fitted classifier in a file of `ecgsk.persistence.save`, or of joblib or pickle.

    ``device`` is where its networks compute; None leaves it as it was saved.

    Raises FileNotFoundError, or ValueError for a pickle without permission, a file that cannot be
    loaded, one that does not contain a classifier, and a ``device`` that is not available.
    """
    from ecgsk.persistence import load, set_device

    kind = kind_of(path, "MODEL")
    if kind == "pickle" and allow_pickle:
        model = _from_pickle(path)
    elif kind == "pickle":
        raise ValueError(
            f"MODEL={os.fspath(path)!r} was not written by ecgsk.save. If it is a file of joblib "
            "or pickle from people you trust, --allow-pickle loads it, which runs any code in it; "
            "'ecgsk convert' then makes a file that runs none."
        )
    elif kind in ("weights", "checkpoint"):
        raise ValueError(
            f"MODEL={os.fspath(path)!r} contains only the weights of a network. Make a model: "
            f"ecgsk convert {os.fspath(path)} -o model.ecgsk."
        )
    else:
        model = load(path, trusted=trusted, device=device)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"MODEL={os.fspath(path)!r} contains a {type(model).__name__} without predict_proba. "
            "Save a fitted classifier of recordings."
        )
    if kind == "pickle" and device is not None:
        set_device(model, device)
    return model


def move_networks(model) -> list[str]:
    """Move the networks of a fitted model to where they predict, and return these devices.

    ValueError for a device that is missing, or whose memory does not suffice.
    """
    # A user's own estimator may keep what it has fitted where nobody finds it.
    networks = [p for p in parts_in_order(model) if is_network(p) and p.__sklearn_is_fitted__()]
    try:
        return sorted({network._placed_net().device for network in networks})
    except RuntimeError as error:
        raise ValueError(
            f"a network of MODEL cannot be moved to its device. --device cpu computes without it. "
            f"torch's error: {error}"
        ) from error


def kind_of(path: str | os.PathLike, argument: str = "FILE") -> str:
    """Return "model", "weights", "checkpoint" (of ``torch.save``), or "pickle" for anything else.

    The first bytes decide, and in archives the names of their members. Raises FileNotFoundError or
    ValueError, with the name of the command's argument, for what is not a file with content.
    """
    shown = f"{argument}={os.fspath(path)!r}"
    if not os.path.exists(path):
        raise FileNotFoundError(f"{shown} does not exist. Give the path of a file.")
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "not a regular file"
        order = ", which comes before RECORDS" if argument == "MODEL" else ""
        raise ValueError(f"{shown} is {kind}. Give a file of ecgsk.save{order}.")
    if not os.path.getsize(path):
        raise ValueError(f"{shown} is empty. Copy it again from where it was saved.")
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
        return "model"  # its loader reports the damage
    return "checkpoint" if any(name.endswith("/data.pkl") for name in names) else "model"


def _from_pickle(path):
    import joblib

    try:
        return joblib.load(path)
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, ImportError,
            pickle.UnpicklingError, struct.error, zlib.error) as error:  # fmt: skip
        raise ValueError(
            f"MODEL={os.fspath(path)!r} is not a file of joblib or pickle that this version "
            f"can load ({type(error).__name__}: {error}). Save the fitted model with ecgsk.save."
        ) from None
