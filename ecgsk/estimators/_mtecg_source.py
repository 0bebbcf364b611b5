"""Estimators that start from weights, or answer with them as they are."""

import os
from dataclasses import replace

import torch

from ecgsk._compat import check_is_fitted, set_output_container
from ecgsk._signal import STANDARD_LEADS, lead_name
from ecgsk.estimators._mtecg_network import check_size, load_tensors, rate_of
from ecgsk.training import ECGNet, resolve_device, resolve_precision, seeded
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
        "scale_",
    )

    @classmethod
    def from_pretrained(cls, name="ptbxl", *, sampling_rate=None, **params):
        """Return an estimator that answers without a fit.

        Parameters
        ----------
        name : str or path-like, default="ptbxl"
            Weights that come with ecgsk, or a file that ``save_weights`` wrote.
        sampling_rate : float or None, default=None
            Of the recordings to come, Hz. None: their number of samples tells 100 Hz from 500 Hz,
            because the weights take recordings of a known length.
        **params
            Other parameters of the estimator.

        Returns
        -------
        estimator
            With ``weights=name``. The preprocessing that the weights were trained with is part of
            it: give recordings in mV as they come from the file.

        Raises
        ------
        FileNotFoundError
            When there are no such weights.
        ValueError
            When the file does not hold what the estimator needs.
        """
        estimator = cls(weights=name, sampling_rate=sampling_rate, **params)
        estimator._loaded()
        return estimator

    def _start_source(self) -> tuple[str, WeightFile] | None:
        """Return the parameter that names weights to start from, and the weights."""
        if self.weights is None:
            return None
        source = read_weights(self.weights, kind=self._weights_kind)
        return f"weights={os.fspath(self.weights)!r}", source

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
        check_size(self, named[1].network, named[0])
        # What recordings to come need to know of the weights; tensors are in the net.
        self._source = replace(named[1], tensors={})

    def _prepare(self, X):
        source = self._source
        if source is None:
            return X
        name = "the network"
        n_leads = source.network["n_leads"]
        rearranged = self.leads is not None and n_leads == len(STANDARD_LEADS)
        if not rearranged and X.shape[1] != n_leads:
            raise ValueError(
                f"X has {X.shape[1]} leads; {name} takes {n_leads}. Where those are the twelve, "
                "name the leads of X with leads=[...]: missing limb leads are computed from I and "
                "II."
            )
        rate = rate_of(self.sampling_rate, X.shape[2], source, name)
        for step in source.steps(rate, self.leads):
            X = set_output_plain(step).transform(X)
        return X

    def _network_rate(self) -> float:
        """Return the sampling rate at which the network reads recordings, Hz."""
        return self.sampling_rate if self._source is None else self._source.sampling_rate

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
        check_size(self, source.network, named)
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
        network, rate = source.network, self.sampling_rate
        return {
            "_n_dims_in": 3,
            "_source": replace(source, tensors={}),
            "device_": device,
            "n_features_in_": network["n_leads"] if self.leads is None else len(self.leads),
            "n_samples_in_": None if rate is None else round(source.seconds * rate),
            "net_": net,
            "scale_": network["input_scale"],
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
        net, source = self.net_, self._source
        before = [(type(step).__name__, step.get_params()) for step in preprocessing or []]
        lengthening = [name for name, _ in before if name in ("Resample", "CropPad")]
        if lengthening:
            raise ValueError(
                f"preprocessing holds {', '.join(lengthening)}, which change the number of "
                "samples: weights resample by themselves, and take records of one length. Leave "
                "them out."
            )
        if source is not None:
            before += source.preprocessing
        elif self.leads is not None and check_leads(self.leads):
            # Whoever reads the file gives the standard leads, or names theirs.
            before.append(("SelectLeads", {"leads": self.lead_names_, "input_leads": None}))
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
