"""Training that goes on where it was killed."""

import json
from os import PathLike

import torch

from ecgsk._core.files import expanded, replacing

# What a state consists of. It belongs to one version: a fit that was killed goes on with it.
_FORMAT = 2


class Checkpoint:
    """The state of a fit in one file, replaced as a whole after each epoch.

    The ``identity``, a fingerprint of data and parameters, is its name: folds of a cross-validation
    can share one folder. ValueError if the folder cannot be created.
    """

    def __init__(self, folder: str | PathLike, identity: str):
        self.path = expanded(folder) / f"{identity}.ckpt"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} cannot be created: {error}. Use another folder."
            ) from error

    def save(self, state: dict, history: list) -> None:
        """Write tensors and plain values atomically."""
        # torch reports a full disk as a RuntimeError.
        with replacing(self.path, errors=(RuntimeError,)) as temporary:
            torch.save({**state, "history": json.dumps(history), "format": _FORMAT}, temporary)

    def load(self) -> dict | None:
        """Return the state, or None if there is no file; ValueError if it cannot be read."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            state["history"] = json.loads(state["history"])
        except Exception as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot be read ({type(error).__name__}). "
                "Delete it to start the fit from the beginning."
            ) from error
        if state.get("format") != _FORMAT:
            raise ValueError(
                f"The checkpoint {self.path} is from another version of ecgsk. Go on with that "
                "version, or delete the file to start the fit from the beginning."
            )
        return state

    def remove(self) -> None:
        """Delete the file: the fit is done."""
        self.path.unlink(missing_ok=True)
