"""Training that goes on where it was killed."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch


def fingerprint(*parts) -> str:
    """Return a short hash that tells one fit from another.

    Parameters
    ----------
    *parts
        What the fit depends on. Arrays and records enter with their shape and the bytes of up to
        64 rows spread over them; everything else with its representation.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for part in parts:
        if hasattr(part, "shape") and len(getattr(part, "shape", ())) > 0:
            rows = np.unique(np.linspace(0, len(part) - 1, 64).astype(int))
            digest.update(repr(part.shape).encode())
            digest.update(np.ascontiguousarray(np.asarray(part[rows])).tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


class Checkpoint:
    """The state of a fit in one file, replaced as a whole after each epoch.

    Parameters
    ----------
    folder : path-like
        Where the file goes; made if it does not exist.
    identity : str
        `fingerprint` of the fit. Fits with other data or parameters use other files, so that a
        cross-validation can share one folder.
    """

    def __init__(self, folder, identity: str):
        self.path = Path(folder) / f"{identity}.ckpt"

    def save(self, state: dict, history: list) -> None:
        """Write tensors and plain values atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        torch.save({**state, "history": json.dumps(history)}, temporary)
        os.replace(temporary, self.path)

    def load(self) -> dict | None:
        """Return the state, or None where there is none.

        Raises
        ------
        ValueError
            When the file cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            state["history"] = json.loads(state["history"])
        except Exception as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot be read ({type(error).__name__}). "
                "Delete it to start the fit anew."
            ) from error
        return state

    def remove(self) -> None:
        """Delete the file: the fit is done."""
        self.path.unlink(missing_ok=True)
