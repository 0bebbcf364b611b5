"""What every network classifier of ecgsk does alike."""

import os
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state

from ecgsk._checks import check_groups
from ecgsk._compat import (
    Interval,
    StrOptions,
    check_feature_names,
    check_is_fitted,
    check_n_features,
    check_sample_weight,
    fit_context,
    validate_data,
)
from ecgsk._records import is_lazy
from ecgsk._signal import check_ecg, lead_name
from ecgsk.estimators._split import validation_split
from ecgsk.estimators._targets import class_weights, encode_targets
from ecgsk.training import (
    PRECISIONS,
    Checkpoint,
    ECGDataset,
    ECGNet,
    Phase,
    Run,
    fingerprint,
    predict_logits,
    resolve_device,
    resolve_precision,
    seeded,
)


class BaseECGClassifier(ClassifierMixin, BaseEstimator):
    """Composes a skorch net around a network.

    A subclass lists its parameters in ``__init__`` and says which network they mean
    (`_network`) and how it is fitted (`_phases`). Everything else is here.
    """

    _parameter_constraints: dict = {
        "leads": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "checkpoint_dir": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _network(self, n_leads: int, n_samples: int, n_outputs: int) -> tuple[type, dict]:
        """Return the network's class and its keyword arguments."""
        raise NotImplementedError(f"{type(self).__name__} has to define _network")

    def _phases(self) -> list[Phase]:
        """Return the recipe."""
        raise NotImplementedError(f"{type(self).__name__} has to define _phases")

    def _look_at(self, X, rows: np.ndarray, weights: np.ndarray) -> None:
        """Learn what the network has to know of the training records before it is built."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Fit the network.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV, leads in standard order; two dimensions read as one lead. What is
            larger than memory (memory maps, h5py, zarr, `ecgsk.RecordArray`) is checked once and
            then read a batch at a time.
        y : array-like of shape (n_records,) or (n_records, n_labels)
            Classes of any type, or an indicator matrix of 0 and 1 (a DataFrame's columns become
            the labels' names).
        sample_weight : array-like of shape (n_records,), default=None
            Weight of each record in the loss; records of weight 0 are left out.
        groups : array-like of shape (n_records,), default=None
            Patients. The split of early stopping keeps the records of one together.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For recordings that are no ECG (see `ecgsk.check_ecg`), targets of fewer than two
            classes, and devices that are not there.
        """
        # A refit that fails must not leave the old network under new labels.
        for name in ("net_", "label_names_", "lead_names_"):
            vars(self).pop(name, None)
        if self.checkpoint_dir is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"checkpoint_dir needs random_state to be an int; got {self.random_state!r}. A fit "
                "that does not repeat cannot go on where it was killed."
            )
        X = self._check_X(X, reset=True)
        check_consistent_length(X, y)
        groups = check_groups(groups, len(X))
        weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("sample_weight is zero for all records: nothing to learn from.")
        targets = encode_targets(y, used=weights > 0, estimator_name=type(self).__name__)
        self.classes_ = targets.classes
        if targets.label_names is not None:
            self.label_names_ = targets.label_names
        self.multilabel_ = targets.kind == "multilabel"
        self._target_kind, self._target_dtype = targets.kind, targets.dtype
        self.device_ = resolve_device(self.device)

        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        train = np.flatnonzero(weights > 0)
        valid = None
        if self.early_stopping:
            strata = targets.strata()
            kept, held = validation_split(
                len(train),
                fraction=self.validation_fraction,
                strata=None if strata is None else strata[train],
                groups=None if groups is None else groups[train],
                seed=seed,
            )
            train, valid = train[kept], train[held]
        checkpoint = None
        if self.checkpoint_dir is not None:
            identity = (X, targets.encoded, weights, train, self._identity())
            checkpoint = Checkpoint(self.checkpoint_dir, fingerprint(*identity))

        class_weight = class_weights(self.class_weight, targets, train)
        self._look_at(X, train, weights)
        with seeded(seed, self.device_):
            net = self._build_net(targets, X.shape, class_weight)
            run = Run(
                net,
                self._phases(),
                ECGDataset(X, targets.encoded, weights, train),
                None if valid is None else ECGDataset(X, targets.encoded, weights, valid),
                n_iter_no_change=self.n_iter_no_change,
                tol=self.tol,
                generator=torch.Generator().manual_seed(seed),
                checkpoint=checkpoint,
                verbose=int(self.verbose),
            )
            self.history_ = run.execute()
        net.trim_for_prediction()
        self.net_ = net
        return self

    def _build_net(self, targets, shape, class_weight) -> ECGNet:
        module, kwargs = self._network(shape[1], shape[2], targets.n_outputs)
        if class_weight is not None:
            class_weight = torch.as_tensor(class_weight, dtype=torch.float64)
            if self.device_ == "mps":
                class_weight = class_weight.float()
        net = ECGNet(
            module,
            precision=resolve_precision(self.precision, self.device_, training=True),
            batch_size=self.batch_size,
            device=self.device_,
            criterion__kind=targets.kind,
            criterion__class_weights=class_weight,
            **{f"module__{name}": value for name, value in kwargs.items()},
        )
        return net.initialize()

    def _identity(self) -> dict:
        """Return the parameters that decide what a fit results in."""
        incidental = {"checkpoint_dir", "verbose", "device"}
        return {k: v for k, v in self.get_params().items() if k not in incidental}

    def _check_X(self, X, *, reset: bool):
        """Return valid recordings in three dimensions, and note or compare their shape."""
        if not reset:
            X = self._as_seen_in_fit(X)
        n_leads = None if self.leads is None else len(self.leads)
        n_samples = None
        if not reset and self._n_dims_in == 3:
            n_leads, n_samples = self.n_features_in_, self.n_samples_in_
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
                for start in range(0, len(X), 256):
                    X.read(np.arange(start, min(start + 256, len(X))))
        return X

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

    def decision_function(self, X) -> np.ndarray:
        """Return the network's logits.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records,), (n_records, n_classes) or (n_records, n_labels)
            For binary, multiclass and multilabel targets.
        """
        check_is_fitted(self, "net_")
        X = self._check_X(X, reset=False)
        self.net_.precision = resolve_precision(self.precision, self.net_.device, training=False)
        logits = predict_logits(self.net_, X, batch_size=self.batch_size)
        lost = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(lost):
            raise ValueError(
                f"The network has no finite answer for {len(lost)} of {len(X)} records, the first "
                f"is record {lost[0]}: look at its amplitude."
            )
        return logits[:, 0] if self._target_kind == "binary" else logits

    def predict_proba(self, X) -> np.ndarray:
        """Return probabilities.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records, n_classes) or (n_records, n_labels)
            Probability of each class, in the order of ``classes_``; for multilabel targets of
            each label being present.
        """
        logits = self.decision_function(X)
        if self._target_kind == "binary":
            return np.stack([expit(-logits), expit(logits)], axis=1)
        return softmax(logits, axis=1) if self._target_kind == "multiclass" else expit(logits)

    def predict(self, X) -> np.ndarray:
        """Return the likeliest class, or the labels with a probability above 0.5.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_labels)
            Of the type that ``y`` had.
        """
        logits = self.decision_function(X)
        if self._target_kind == "multilabel":
            return (logits > 0).astype(self._target_dtype)
        if self._target_kind == "binary":
            return self.classes_[(logits > 0).astype(int)]
        return self.classes_[logits.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.classifier_tags.multi_label = True
        tags.target_tags.two_d_labels = True
        return tags

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" in state:
            # skorch falls back to a device that is here.
            self.device_ = self.net_.device
