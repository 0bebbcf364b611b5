"""Parameters, clones and pickles of the estimators around a network."""

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from ecgsk._core.sklearn_compat import clone_keeping
from ecgsk._core.tensor_store import TensorStore, being_loaded, being_saved
from ecgsk.estimators._device_in_use import LoadedDevice
from ecgsk.estimators._old_states import with_present_names
from ecgsk.estimators._options import numbers_of_short_forms, objects_to_set
from ecgsk.estimators._plain_state import (
    as_path_here,
    as_pure_path,
    from_plain,
    to_plain,
    without_networks,
)

# All networks in a pickle, a file or a copy have one copy of it, and so know of each other.
_TOGETHER: list[str] = []


class EstimatorState(BaseEstimator):
    """What scikit-learn and pickle do with an estimator around a network."""

    # Parameters that are fitted models: a clone uses the very same ones.
    _kept_by_clones: tuple[str, ...] = ()
    # Parameters with a short form, such as a name, and what returns the object that is meant.
    _short_forms: dict[str, Callable] = {}
    # An estimator without this parameter never reads weights.
    weights: Any = None

    def get_params(self, deep=True):
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the numbers of objects among the parameters, such as
            ``strategy__dropout``; a short form has those of the object that it means.
        """
        params = super().get_params(deep)
        return params | (numbers_of_short_forms(params, self._short_forms) if deep else {})

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params
            Values by name, also ``strategy__dropout`` and the like: where ``strategy`` is a short
            form, the object that it means takes its place.
        """
        if "device" in params:
            self.__dict__.pop("_device_loaded", None)  # the user's choice for this machine
        return super().set_params(**params | objects_to_set(self, params, self._short_forms))

    def __sklearn_clone__(self):
        copy = clone_keeping(self, self._kept_by_clones)
        if "_device_loaded" in vars(self):
            copy._device_loaded = self._device_loaded
        return copy

    def __sklearn_is_fitted__(self) -> bool:
        return self.weights is not None or "net_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.requires_fit = self.weights is None
        return tags

    def __getstate__(self):
        state = super().__getstate__()
        # Engines belong to a process, and devices to a machine.
        here = ("_engine_in_use", "_device_loaded")
        state = {k: as_pure_path(v) for k, v in state.items() if k not in here}
        if self.__sklearn_is_fitted__():
            state["_loaded_together"] = _TOGETHER
        store = being_saved()
        if store is not None:
            return to_plain(self, state, store)
        store = TensorStore()
        state = without_networks(self, state, store)
        return {**state, "_tensors": store.flat()} if store.groups else state

    def __setstate__(self, state):
        state = dict(state)
        tensors = state.pop("_tensors", None)
        reported = state.pop("_loaded_together", [])
        # copy.copy copies no states, and a crafted file may hold anything.
        if reported is _TOGETHER or reported != []:
            reported = []
        state = from_plain(self, state, being_loaded() or TensorStore(tensors))
        state = {k: as_path_here(v) for k, v in with_present_names(state).items()}
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            self._device_loaded = LoadedDevice(str(self.device), reported)
        if "net_" in vars(self):
            self.device_ = self.net_.device
