"""Estimators that start from weights, or answer with them as they are."""

import os
from dataclasses import replace

import numpy as np
import torch

from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._core.sklearn_compat import check_is_fitted, set_output_container
from ecgsk._training import ECGNet, resolve_device, resolve_precision, seeded
from ecgsk.estimators._targets import prior_logits
from ecgsk.networks import start_head
from ecgsk.weights import WeightFile, read_weights, write_weights


class FromWeights:
    """Adds ``weights`` to an estimator: it then answers without ``fit``.

    What weights tell of an estimator is looked up as if a fit had learnt it, so that parameters
    stay verbatim and a clone, which has nothing but parameters, answers alike.
    """

    _weights_kind: str
    _net_class = ECGNet
    _module_class: type
    _told_by_weights: tuple[str, ...] = (
        "_n_dims_in",
        "_source",
        "device_",
        "n_features_in_",
        "n_samples_in_",
        "net_",
    )

    def _read_weights(self) -> WeightFile:
        """Return what the parameter ``weights`` names."""
        return read_weights(self.weights, kind=self._weights_kind)

    def _check_network(self, network: dict, source: str) -> None:
        """Raise if the parameters ask for another network than that of the weights."""
        raise NotImplementedError(f"{type(self).__name__} has to define _check_network")

    def _samples_of(self, source: WeightFile) -> int | None:
        """Return how many samples recordings have to have, where that is known before any came."""
        raise NotImplementedError(f"{type(self).__name__} has to define _samples_of")

    def _start_source(self) -> tuple[str, WeightFile] | None:
        """Return the parameter that names weights to start from, and the weights."""
        if self.weights is None:
            return None
        return f"weights={os.fspath(self.weights)!r}", self._read_weights()

    def _check_before_fit(self) -> None:
        super()._check_before_fit()
        named = self._starts_from = self._start_source()
        if named is None:
            self._source = None
            if self.sampling_rate is None:
                raise ValueError(
                    "sampling_rate=None is for weights that know their rate: give the recordings' "
                    "rate in Hz."
                )
            return
        self._check_network(named[1].network, named[0])
        # What recordings to come need to know of the weights; tensors are in the net.
        self._source = replace(named[1], tensors={})

    def _network_rate(self) -> float:
        """Return the sampling rate at which the network reads recordings, Hz."""
        return self.sampling_rate if self._source is None else self._source.sampling_rate

    def _preprocessing(self) -> list[tuple[str, dict]]:
        """Return what recordings go through inside the estimator, as a weight file keeps it."""
        if self._source is not None:
            return self._source.preprocessing
        if self.leads is not None and check_leads(self.leads):
            # Whoever reads the file gives the standard leads, or names theirs.
            return [("SelectLeads", {"leads": self.lead_names_, "input_leads": None})]
        return []

    def _loaded(self) -> dict:
        """Return what the weights tell; they are read once for each setting."""
        key = (os.fspath(self.weights), str(self.device), self.sampling_rate, str(self.leads))
        cached = vars(self).get("_from_weights")
        if cached is None or cached[0] != key:
            _, source = self._start_source()
            cached = (key, self._tell(source))
            self._from_weights = cached
        return cached[1]

    def _tell(self, source: WeightFile) -> dict:
        device = resolve_device(self.device)
        named = f"weights={os.fspath(self.weights)!r}"
        self._check_network(source.network, named)
        with seeded(0, device):  # the weights to be overwritten draw from a generator of their own
            net = self._net_class(
                self._module_class,
                precision=resolve_precision(self.precision, device, training=False),
                batch_size=self.batch_size,
                device=device,
                criterion=torch.nn.Module,  # an estimator that is only asked has no loss
                **{f"module__{name}": value for name, value in source.network.items()},
            ).initialize()
        load_tensors(net.module_, source.tensors, source=named)
        net.trim_for_prediction()
        n_leads = source.network["n_leads"]
        return {
            "_n_dims_in": 3,
            "_source": replace(source, tensors={}),
            "device_": device,
            "n_features_in_": n_leads if self.leads is None else len(self.leads),
            "n_samples_in_": self._samples_of(source),
            "net_": net,
        }

    def prepare(self, X):
        """Return what the network reads of recordings: after the preprocessing of the weights.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records, n_leads, n_samples), or RecordArray
            float32, mV, at the network's sampling rate; X itself where the weights ask for
            nothing.
        """
        check_is_fitted(self, "net_")
        return self._check_X(X, reset=False)

    def __getattr__(self, name):
        # A fit's own results are complete: what it did not learn is not to be had from the file.
        told_here = name in type(self)._told_by_weights and "net_" not in vars(self)
        if told_here and vars(self).get("weights") is not None:
            told = self._loaded()
            if name in told:
                return told[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_from_weights" in state:
            told = self._from_weights[1]
            told["device_"] = told["net_"].device

    def __sklearn_is_fitted__(self) -> bool:
        return self.weights is not None or "net_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.weights is None
        return tags

    def to_weights(self, preprocessing=None, about: dict | None = None) -> WeightFile:
        """Return the fitted network with what has to be known to use it.

        Parameters
        ----------
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``, in
            their order; whoever loads the weights then gives recordings as they were before.
        about : dict, default=None
            Anything that JSON can hold: data, licence, figures.

        Returns
        -------
        WeightFile
            For `ecgsk.weights.write_weights`.
        """
        net = self.net_
        before = [(type(step).__name__, step.get_params()) for step in preprocessing or []]
        lengthening = [name for name, _ in before if name in ("Resample", "CropPad")]
        if lengthening:
            raise ValueError(
                f"preprocessing holds {', '.join(lengthening)}, which change the number of "
                "samples: weights resample by themselves, and take records of one length. Leave "
                "them out."
            )
        before += self._preprocessing()
        return WeightFile(
            kind=self._weights_kind,
            network=net.get_params_for("module"),
            tensors={k: v.float().cpu().numpy() for k, v in net.module_.state_dict().items()},
            sampling_rate=self._network_rate(),
            preprocessing=before,
            about=about or {},
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
            Anything that JSON can hold: data, licence, figures.
        dtype : {"float32", "float16"}, default="float32"
            float16 takes half the space.
        """
        write_weights(path, self.to_weights(preprocessing, about), dtype=dtype)


class ClassifierFromWeights(FromWeights):
    """Adds what weights tell of classes, and a head that is kept where it fits."""

    _told_by_weights = (
        *FromWeights._told_by_weights,
        "_target_dtype",
        "_target_kind",
        "classes_",
        "label_names_",
        "multilabel_",
    )

    def _start(self, network, targets, rows, weights) -> None:
        named, self._starts_from = self._starts_from, None
        keeps_head = False
        if named is not None:
            source = named[1]
            tensors = encoder_tensors(source)
            keeps_head = bool(source.label_names) and source.label_names == targets.label_names
            if keeps_head:
                tensors |= {k: v for k, v in source.tensors.items() if k.startswith("head.")}
            load_tensors(network, tensors, source=named[0], without=("head.",))
        if self.head_init == "prior" and not keeps_head:
            start_head(network.head, prior_logits(targets, rows, weights))

    def _bind(self, augmentation):
        return augmentation.bind(self._network_rate())

    def _tell(self, source) -> dict:
        multilabel = source.label_names is not None
        classes = np.arange(len(source.label_names)) if multilabel else np.array(source.classes)
        told = super()._tell(source) | {
            "_target_dtype": np.dtype(int) if multilabel else classes.dtype,
            "_target_kind": "multilabel" if multilabel else _kind_of(classes),
            "classes_": classes,
            "multilabel_": multilabel,
        }
        return told | ({"label_names_": list(source.label_names)} if multilabel else {})

    def to_weights(self, preprocessing=None, about: dict | None = None) -> WeightFile:
        """Return the fitted network with what has to be known to use it.

        Parameters
        ----------
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``.
        about : dict, default=None
            Anything that JSON can hold: data, licence, figures.

        Returns
        -------
        WeightFile
            For `ecgsk.weights.write_weights`.
        """
        check_is_fitted(self, "net_")
        weights = super().to_weights(preprocessing, about)
        if self.multilabel_:
            default = [f"label_{i}" for i in range(len(self.classes_))]
            return replace(weights, label_names=getattr(self, "label_names_", default))
        return replace(weights, classes=self.classes_.tolist())


def _kind_of(classes) -> str:
    return "binary" if len(classes) == 2 else "multiclass"


def encoder_tensors(weights: WeightFile) -> dict:
    """Return the tensors of the encoder by the names of its own module, without a head."""
    tensors = weights.tensors
    if weights.kind == "mtecg-pretrainer":
        prefix = "encoder."
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return {name: value for name, value in tensors.items() if not name.startswith("head.")}


def load_tensors(module: torch.nn.Module, tensors: dict, *, source, without=()) -> None:
    """Give a module its weights; all of them have to be there, and no others.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    tensors : dict of str to ndarray
        Its state.
    source : str
        Where they come from, for the message.
    without : tuple of str
        Beginnings of names that may be missing.

    Raises
    ------
    ValueError
        Listing what is missing, unexpected or of another shape.
    """
    own = module.state_dict()
    missing = [k for k in own if k not in tensors and not k.startswith(tuple(without))]
    unexpected = [k for k in tensors if k not in own]
    shapes = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in tensors.items()
        if k in own and tuple(v.shape) != tuple(own[k].shape)
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            f"{source} does not match the network. Missing: {missing or 'none'}; unexpected: "
            f"{unexpected or 'none'}; of another shape: {shapes or 'none'}."
        )
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(torch.from_numpy(np.asarray(value)))


def rate_of(
    sampling_rate,
    n_samples: int,
    weights: WeightFile,
    source: str,
    *,
    rates: tuple[int, ...],
    tolerance: float = 0.0,
) -> float:
    """Return the recordings' sampling rate, and make sure that they are as long as they must be.

    Parameters
    ----------
    sampling_rate : float or None
        As the user gave it; None lets the length tell.
    n_samples : int
        Of the recordings.
    weights : WeightFile
        What is to read them.
    source : str
        Name of the weights, for the message.
    rates : tuple of int
        Rates in Hz that a length alone is allowed to tell.
    tolerance : float, default=0.0
        Seconds that a recording may be shorter or longer.
    """
    seconds = weights.seconds
    if sampling_rate is None:
        for rate in rates:
            if n_samples == rate * seconds:
                return rate
        raise ValueError(
            f"X has {n_samples} samples a record; {source} takes {seconds:g} s, which would be "
            f"{' or '.join(f'{rate * seconds:g} at {rate} Hz' for rate in rates)}. Give "
            f"sampling_rate, and bring records to {seconds:g} s with ecgsk.preprocessing.CropPad."
        )
    if abs(n_samples - round(seconds * sampling_rate)) > tolerance * sampling_rate:
        said = n_samples / sampling_rate
        other = next((r for r in rates if n_samples == r * seconds), None)
        hint = f" If the recordings have {other} Hz, say sampling_rate={other}." if other else ""
        raise ValueError(
            f"X has {n_samples} samples a record, {said:g} s at sampling_rate="
            f"{sampling_rate:g} Hz; {source} takes {seconds:g} s.{hint} Otherwise bring them to "
            f"{round(seconds * sampling_rate)} samples with ecgsk.preprocessing.CropPad."
        )
    return sampling_rate


def check_leads(leads) -> bool:
    """Tell whether leads are the standard twelve in another order; refuse what is neither.

    A file does not say which leads a network reads where they are not the twelve.
    """
    names = [lead_name(lead) for lead in leads]
    if sorted(names) != sorted(STANDARD_LEADS):
        raise ValueError(
            f"leads={names} are not the standard twelve: weight files are for those. Keep a model "
            "of other leads with pickle or joblib."
        )
    return names != list(STANDARD_LEADS)


def set_output_plain(step):
    """Return a transformer that gives arrays whatever scikit-learn's configuration says."""
    set_output_container(step, "default")
    return step
