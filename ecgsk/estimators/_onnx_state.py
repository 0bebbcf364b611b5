"""The file of an ONNX classifier, in its clones, in pickles and in saved models."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ecgsk._core.sklearn_compat import clone_keeping
from ecgsk._core.tensor_store import TensorStore, being_loaded, being_saved
from ecgsk.estimators._onnx_file import ONNXFile, onnx_file, read_onnx_file
from ecgsk.estimators._plain_state import as_path_here, as_pure_path


class ONNXState(BaseEstimator):
    """An estimator whose parameter ``path`` names an ONNX file, which is read once."""

    path: Any

    def _file(self) -> ONNXFile:
        """Return the file, which is read once for each path."""
        key = Path(os.fspath(self.path)).as_posix()
        loaded = vars(self).get("_loaded")
        if loaded is None or loaded[0] != key:
            loaded = self._loaded = (key, read_onnx_file(self.path))
        return loaded[1]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self):
        copy = clone_keeping(self, ())
        if "_loaded" in vars(self):
            copy._loaded = self._loaded
        return copy

    def _state_by_content(self) -> dict:
        """Return a state that is equal for equal content of the file, wherever it is."""
        state = {k: v for k, v in super().__getstate__().items() if k not in ("path", "_loaded")}
        return {**state, "sha256": self._file().sha256}

    def __getstate__(self):
        store = being_saved()
        if store is not None:
            self._file()  # it may not exist where the model is loaded
        state = {k: as_pure_path(v) for k, v in super().__getstate__().items()}
        loaded = state.pop("_loaded", None)
        if store is not None:
            state["path"] = os.fspath(state["path"])
        if loaded is not None:
            key, file = loaded
            content = file.content
            if store is not None:
                content = store.put(file, lambda: {"onnx": np.frombuffer(content, np.uint8)})
            state["_content"] = [key, content]
        return state

    def __setstate__(self, state):
        state = {k: as_path_here(v) for k, v in state.items()}
        loaded = state.pop("_content", None)
        super().__setstate__(state)
        if loaded is not None:
            key, content = loaded
            store = being_loaded() or TensorStore()
            source = f"path={os.fspath(self.path)!r}"
            if isinstance(content, str):
                file = store.build(
                    content, "onnx", lambda t: onnx_file(t["onnx"].tobytes(), source)
                )
            else:
                file = onnx_file(content, source)
            self._loaded = (key, file)
