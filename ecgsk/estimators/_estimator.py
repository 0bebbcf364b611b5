"""What every estimator around a network does alike: recordings, device, weights and state."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from numbers import Integral, Real
from pickle import PicklingError

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from ecgsk._core.content import content_digest
from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    check_is_fitted,
    check_own_params,
)
from ecgsk._training import (
    PRECISIONS,
    Checkpoint,
    ECGNet,
    predict_features,
    resolve_device,
    resolve_precision,
)
from ecgsk._training.memory import clear_failed_frames
from ecgsk.estimators._device_in_use import place
from ecgsk.estimators._estimator_state import EstimatorState
from ecgsk.estimators._fit_context import FitContext, StartingWeights
from ecgsk.estimators._options import check_option
from ecgsk.estimators._recordings import check_recordings
from ecgsk.estimators._weights_lookup import attributes_for, load_weights
from ecgsk.estimators._weights_source import are_rearranged, as_kept_in_files
from ecgsk.weights import WeightFile, read_weights, write_weights


class ECGEstimator(
    EstimatorState, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base of the estimators around a network.

    It checks recordings, remembers their shape, and computes embeddings. An estimator that has a
    parameter ``weights`` predicts with them without a fit: what a fit would have learned is looked
    up in the weights, so that parameters stay verbatim and a clone predicts alike.

    A subclass defines

    - ``_network(fit)``: the network's class and arguments, from a `FitContext`;
    - ``_prepare(X)``, where the network reads something else than the recordings;

    and, if it has ``weights``,

    - ``_weights_kind``, ``_module_class``: the kind of weight files and the network's class;
    - ``_check_network(network, source)``: raises if the parameters contradict the weights;
    - ``_attributes_of(weights)``, where weights have more attributes than those here.
    """

    _parameter_constraints: dict = {
        "leads": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "augmentation": [HasMethods("bind"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "compile": ["boolean"],
        "checkpoint_dir": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _weights_kind: str
    _default_weights: str | None = None
    _net_class = ECGNet
    _module_class: type[torch.nn.Module]
    # Attributes that weights have in the place of a fit.
    _from_weights_names: tuple[str, ...] = (
        "_n_dims_in",
        "_shape_read",
        "_source",
        "device_",
        "n_features_in_",
        "n_samples_in_",
        "net_",
    )
    _learned: tuple[str, ...] = (
        "_device_loaded", "_engine_in_use", "_n_dims_in", "_rate_in", "_shape_read", "_source"
    )  # fmt: skip

    @classmethod
    def from_pretrained(cls, name=None, *, sampling_rate=None, **params):
        """Return an estimator that predicts without a fit.

        Parameters
        ----------
        name : str, path-like or None, default=None
            Named weights, or a file of ``save_weights``. None is ``"ptbxl"`` for MTECG, which
            comes with ecgsk, and ``"12-lead"`` for ECGFounder, which is fetched at the first use.
        sampling_rate : float or None, default=None
            Of the recordings to come, Hz. None is the rate that a `RecordArray` carries. That of
            arrays is derived from their number of samples, because the weights take recordings of
            a known length.
        **params
            Other parameters of the estimator.

        Returns
        -------
        estimator
            With ``weights=name``. The preprocessing that the weights were trained with is part of
            it: pass recordings in mV as they come from the file.

        Raises
        ------
        FileNotFoundError
            When there are no such weights, or they cannot be fetched.
        ValueError
            When the file is damaged, or does not hold what the estimator needs.
        """
        name = cls._default_weights if name is None else name
        estimator = cls(weights=name, sampling_rate=sampling_rate, **params)
        if str(estimator.device) != "auto":  # to count GPUs would keep forks from using them
            resolve_device(estimator.device)  # an error comes now and not at the first prediction
        load_weights(estimator)
        return estimator

    # A fit

    @contextmanager
    def _new_fit(self) -> Iterator[StartingWeights | None]:
        """Drop what an earlier fit learned, and what this one has learned if it fails.

        An estimator that kept half of either would predict with one's network for another's
        classes. Yields the weights that the fit starts from, or None.
        """
        self._forget()
        try:
            yield self._starting_point()
        except BaseException as error:
            self._forget()
            clear_failed_frames(error)
            raise
        self.__dict__.pop("_from_weights", None)

    def _forget(self) -> None:
        for name in list(vars(self)):
            if name in self._learned or (name.endswith("_") and not name.startswith("_")):
                delattr(self, name)

    def _starting_point(self) -> StartingWeights | None:
        """Check parameters that depend on each other, and read the weights of the fit."""
        self._check_options()
        if self.checkpoint_dir is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"checkpoint_dir needs random_state to be an int; got {self.random_state!r}. A fit "
                "that does not repeat cannot go on where it was killed."
            )
        start = self._start()
        self._source = None
        if start is not None:
            self._check_network(start.file.network, start.parameter)
            # For the recordings of predictions; the tensors are in the net.
            self._source = replace(start.file, tensors={})
        return start

    def _start(self) -> StartingWeights | None:
        """Return the weights that a fit starts from."""
        if self.weights is None:
            return None
        return StartingWeights(f"weights={os.fspath(self.weights)!r}", self._read_weights())

    def _check_options(self) -> None:
        """Raise for wrong numbers in the objects among the parameters."""
        # `get_params` would take a tenth of the time of a small network's prediction.
        for name, value in list(vars(self).items()):
            if name in self._short_forms or hasattr(value, "_parameter_constraints"):
                check_option(self._option(name))

    def _option(self, name: str):
        """Return the object that a parameter means."""
        value = getattr(self, name)
        return self._short_forms[name](value) if name in self._short_forms else value

    def _network(self, fit: FitContext) -> tuple[type, dict]:
        """Return the network's class and its keyword arguments."""
        raise NotImplementedError(f"{type(self).__name__} has to define _network")

    def _new_net(self, fit: FitContext, **options) -> ECGNet:
        """Return the net of a fit, with new weights, on the CPU.

        There a seed draws the same weights for every device.
        """
        module, arguments = self._network(fit)
        return self._net_class(
            module,
            precision=resolve_precision(self.precision, self.device_, training=True),
            compile_features=self.compile,
            augmentation=self.augmentation and self.augmentation.bind(self._network_rate()),
            batch_size=int(self.batch_size),  # torch refuses integers of NumPy
            device="cpu",
            **options,
            **{f"module__{name}": value for name, value in arguments.items()},
        ).initialize()

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _checkpoint(self, *parts) -> Checkpoint | None:
        """Return the file of a fit that depends on the parts and on the parameters."""
        if self.checkpoint_dir is None:
            return None
        incidental = {"backend", "checkpoint_dir", "compile", "device", "distributed", "n_jobs"}
        incidental |= {*self._kept_by_clones, "distillation", "verbose"}
        own = {k: self._option(k) for k in self.get_params(deep=False) if k not in incidental}
        if "weights" in own:  # the start holds their content
            own["weights"] = own["weights"] is not None
        own = {k: v.item() if isinstance(v, np.generic) else v for k, v in own.items()}
        settings: dict | str = own
        # Representations of objects and functions may name their place in memory.
        with suppress(TypeError, PicklingError):
            settings = content_digest(own, anywhere=True).hex()
        return Checkpoint(self.checkpoint_dir, fingerprint(*parts, settings))

    # Recordings

    def _prepare(self, X):
        """Turn valid recordings into what the network reads."""
        return X

    def _steps(self, n_samples: int, rate: float) -> list:
        """Return the transformers from the recordings to what the network reads."""
        return [] if self._source is None else self._source.steps(rate, self.leads)

    def _check_X(self, X, *, reset: bool, part: tuple[int, int] | None = None):
        """Return what the network reads, and remember or compare the recordings' shape."""
        X = self._prepare(check_recordings(self, X, reset=reset, part=part))
        if reset:
            self._shape_read = tuple(X.shape[1:])
        return X

    def _examine(self, X):
        """Return valid recordings before their preparation; warn of those that look wrong."""
        self._fitted_net()
        return check_recordings(self, X, reset=False)

    def _fitted_net(self) -> ECGNet:
        """Return the net of the fit or of the weights; NotFittedError without either."""
        check_is_fitted(self)
        if "net_" not in vars(self):
            load_weights(self)
        return self.net_

    def _placed_net(self) -> ECGNet:
        """Return the net, on the device that the parameter ``device`` names now."""
        net = self._fitted_net()
        place(self, net)
        if "device_" in vars(self):
            self.device_ = net.device
        return net

    def _ready(self, X):
        """Return the net, set for prediction, and what it reads of recordings."""
        check_is_fitted(self)
        check_own_params(self)  # without a fit, nothing has checked them
        self._check_options()
        net = self._placed_net()
        X = self._check_X(X, reset=False)
        net.precision = resolve_precision(self.precision, net.device, training=False)
        return net, X

    def prepare(self, X):
        """Return what the network reads of recordings: after the estimator's own preprocessing.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records, n_leads, n_samples), or RecordArray
            float32, mV, at the network's sampling rate; X itself where nothing is to be done.
        """
        self._fitted_net()
        return self._check_X(X, reset=False)

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
            width=self._embedding_width(),
            batch_size=self.batch_size,
            engine=self._engine(net, X),
        )

    def _embedding_width(self) -> int:
        """Return the number of values that `transform` computes for a recording."""
        return self.net_.module_.head.in_features

    def _engine(self, net, X):
        """Return what computes in the place of torch; None is torch itself."""
        return None

    # Weights

    def _read_weights(self, *, header_only: bool = False) -> WeightFile:
        """Return what the parameter ``weights`` names, without tensors if they are not needed."""
        return read_weights(self.weights, kind=self._weights_kind, header_only=header_only)

    def _attributes_of(self, weights: WeightFile) -> dict:
        """Return the attributes that an estimator has from weights, without ``net_``."""
        n_leads = weights.network["n_leads"]
        rate, n_samples = self.sampling_rate, weights.network.get("n_samples", weights.n_samples)
        fixed = rate is not None and not self._takes_any_length(weights.network)
        return {
            "_n_dims_in": 3,
            "_shape_read": (n_leads, n_samples),
            "_source": replace(weights, tensors={}),
            "n_features_in_": n_leads if self.leads is None else len(self.leads),
            "n_samples_in_": round(weights.seconds * rate) if fixed else None,
        }

    def _check_network(self, network: dict, source: str) -> None:
        """Raise if the parameters contradict the network of the weights."""

    @staticmethod
    def _takes_any_length(network: dict) -> bool:
        return "n_samples" not in network

    def __getattr__(self, name):
        own = vars(self)
        # Not a property: dir evaluates those, and listing attributes must not read weights.
        if name == "_n_features_out" and ("net_" in own or own.get("weights") is not None):
            return self._embedding_width()
        has_weights = own.get("weights") is not None and "net_" not in own
        # A fit's own results are complete: what it did not learn does not come from the file.
        if has_weights and name in type(self)._from_weights_names:
            attributes = attributes_for(self, name)
            if name in attributes:
                return attributes[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _network_rate(self) -> float:
        """Return the sampling rate at which the network reads recordings, Hz."""
        if self._source is not None:
            return self._source.sampling_rate
        return vars(self).get("_rate_in", self.sampling_rate)

    def _preprocessing(self) -> list[tuple[str, dict]]:
        """Return what recordings go through inside the estimator, as a weight file keeps it."""
        if self._source is not None:
            return self._source.preprocessing
        if self.leads is not None and are_rearranged(self.leads):
            # Whoever reads the file passes the standard leads, or names theirs.
            return [("SelectLeads", {"leads": self.lead_names_, "input_leads": None})]
        return []

    def to_weights(self, preprocessing=None, about: dict | None = None) -> WeightFile:
        """Return the fitted network with what has to be known to use it.

        Parameters
        ----------
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``, in
            their order; whoever loads the weights then passes recordings as they were before.
        about : dict, default=None
            Anything that JSON can hold: data, license, figures.

        Returns
        -------
        WeightFile
            For `ecgsk.weights.write_weights`.
        """
        net = self._fitted_net()
        network = net.get_params_for("module")
        return WeightFile(
            kind=self._weights_kind,
            network=network,
            tensors={k: v.float().cpu().numpy() for k, v in net.module_.state_dict().items()},
            sampling_rate=self._network_rate(),
            preprocessing=as_kept_in_files(preprocessing) + self._preprocessing(),
            about=about or {},
            n_samples=self._shape_read[1] if self._takes_any_length(network) else None,
        )

    def save_weights(self, path, *, preprocessing=None, about=None, dtype="float32") -> None:
        """Write the fitted network to one safetensors file, which cannot run code when read.

        Parameters
        ----------
        path : path-like
            Where to; by custom it ends in ``.safetensors``.
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``; they
            travel with the weights.
        about : dict, default=None
            Anything that JSON can hold: data, license, figures.
        dtype : {"float32", "float16"}, default="float32"
            float16 takes half the space.
        """
        write_weights(path, self.to_weights(preprocessing, about), dtype=dtype)
