"""What every estimator that takes recordings does alike: it checks them and settles how to run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.records import is_lazy
from ecgsk._core.signal import check_ecg, lead_name
from ecgsk._core.sklearn_compat import (
    Interval,
    StrOptions,
    check_feature_names,
    check_is_fitted,
    check_n_features,
    check_own_params,
    clone_keeping,
    validate_data,
)
from ecgsk._core.tensor_store import being_loaded, being_saved
from ecgsk._training import (
    PRECISIONS,
    Checkpoint,
    predict_features,
    resolve_precision,
)
from ecgsk.estimators._plain_state import from_plain, to_plain


class ECGEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the estimators around a network.

    It owns the parameters that concern recordings, devices and checkpoints, remembers the shape
    of the recordings seen in ``fit``, and gives embeddings. A subclass says how wide they are
    (`_n_features_out`).
    """

    _parameter_constraints: dict = {
        "leads": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "checkpoint_dir": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # Parameters that are fitted models: a clone uses the very same ones.
    _kept_by_clones: tuple[str, ...] = ()
    # What a fit learns and later calls rely on.
    _learnt: tuple[str, ...] = ("net_", "lead_names_")

    @contextmanager
    def _fresh(self) -> Iterator[None]:
        """Drop what an earlier fit learnt, and what this one has learnt if it fails.

        An estimator that kept half of either would answer with one's network for another's
        classes.
        """
        self._drop()
        self._check_before_fit()
        try:
            yield
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        for name in (*self._learnt, "_engine_in_use"):
            vars(self).pop(name, None)

    def _check_before_fit(self) -> None:
        """Raise for parameters that do not go together."""
        if self.checkpoint_dir is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"checkpoint_dir needs random_state to be an int; got {self.random_state!r}. A fit "
                "that does not repeat cannot go on where it was killed."
            )

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _checkpoint(self, *parts) -> Checkpoint | None:
        """Return the file of a fit that depends on the parts and on the parameters."""
        if self.checkpoint_dir is None:
            return None
        incidental = {"backend", "checkpoint_dir", "device", "distributed", "n_jobs", "verbose"}
        incidental |= {*self._kept_by_clones}
        own = {k: v for k, v in self.get_params(deep=False).items() if k not in incidental}
        return Checkpoint(self.checkpoint_dir, fingerprint(*parts, own))

    def _prepare(self, X):
        """Turn valid recordings into what the network takes."""
        return X

    def _check_X(self, X, *, reset: bool, part: tuple[int, int] | None = None):
        """Return what the network takes, and note or compare the recordings' shape.

        Of records on disk, a process that fits together with others checks its part: (number,
        count).
        """
        if not reset:
            X = self._as_seen_in_fit(X)
        n_leads = None if self.leads is None else len(self.leads)
        n_samples = None
        if not reset and self._n_dims_in == 3:
            n_leads = self.n_features_in_
            # Weights know how long a recording has to be, and what to say if it is not.
            n_samples = None if getattr(self, "_source", None) else self.n_samples_in_
        if len(getattr(X, "shape", ())) == 3:
            X = check_ecg(X, n_leads=n_leads, n_samples=n_samples, missing=self.missing)
            check_n_features(self, X, reset=reset)
            check_feature_names(self, X, reset=reset)
            n_dims = 3
        else:
            with np.errstate(over="ignore"):
                X = validate_data(
                    self, X, reset=reset, dtype=np.float32, allow_nd=True, ensure_all_finite=False
                )
            n_dims = X.ndim
            X = check_ecg(X, n_leads=n_leads, n_samples=n_samples, missing=self.missing)
        if reset:
            self._n_dims_in, self.n_samples_in_ = n_dims, X.shape[2]
            if self.leads is not None:
                self.lead_names_ = [lead_name(lead) for lead in self.leads]
            if is_lazy(X):
                # An error in the last record should come now, not hours into the fit.
                number, count = part or (0, 1)
                for start in range(256 * number, len(X), 256 * count):
                    X.read(np.arange(start, min(start + 256, len(X))))
        return self._prepare(X)

    def _as_seen_in_fit(self, X):
        """Give one lead the number of dimensions that it had in fit."""
        n_dims = len(getattr(X, "shape", ()))
        if n_dims != 3 and self._n_dims_in == 3 and self.n_features_in_ > 1 and n_dims:
            raise ValueError(
                f"X has {n_dims} dimension(s) and shape {tuple(X.shape)}; expected (n_records, "
                f"{self.n_features_in_}, {self.n_samples_in_}) as in fit. "
                "Give a single recording as X[np.newaxis]."
            )
        if n_dims == 2 and self._n_dims_in == 3 and self.n_features_in_ == 1:
            return np.asarray(X)[:, np.newaxis, :]
        if n_dims == 3 and self._n_dims_in == 2 and X.shape[1] == 1:
            return np.asarray(X)[:, 0, :]
        return X

    def _ready(self, X):
        """Return the net, set for prediction, and recordings that it takes."""
        check_is_fitted(self, "net_")
        check_own_params(self)  # weights answer without a fit, which would look at them
        X = self._check_X(X, reset=False)
        net = self.net_
        net.precision = resolve_precision(self.precision, net.device, training=False)
        return net, X

    def transform(self, X) -> np.ndarray:
        """Return embeddings: what the network makes of whole recordings before its head.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records, width)
            float32.
        """
        net, X = self._ready(X)
        return predict_features(
            net,
            X,
            width=self._n_features_out,
            batch_size=self.batch_size,
            engine=self._engine(net, X),
        )

    def _engine(self, net, X):
        """Return what answers in the place of torch; None is torch itself."""
        return None

    def __sklearn_clone__(self):
        return clone_keeping(self, self._kept_by_clones)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        state = super().__getstate__()
        # Engines belong to a process and are made anew where they are needed.
        state = {name: value for name, value in state.items() if name != "_engine_in_use"}
        store = being_saved()
        return state if store is None else to_plain(self, state, store)

    def __setstate__(self, state):
        store = being_loaded()
        super().__setstate__(state if store is None else from_plain(self, state, store))
        if "net_" in state:
            # skorch falls back to a device that is here.
            self.device_ = self.net_.device
