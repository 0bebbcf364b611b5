"""What every network classifier of ecgsk does alike."""

import os
import threading
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length

from ecgsk._core.checks import check_groups
from ecgsk._core.sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    check_is_fitted,
    check_sample_weight,
    fit_context,
)
from ecgsk._training import (
    BACKENDS,
    Distillation,
    ECGDataset,
    ECGNet,
    Trainer,
    TrainingStage,
    compiled,
    on_device,
    predict_logits,
    resolve_device,
    resolve_precision,
    seeded,
    write_onnx,
)
from ecgsk.estimators._recordings import ECGEstimator
from ecgsk.estimators._split import validation_split
from ecgsk.estimators._targets import class_weights, encode_targets, teacher_logits
from ecgsk.weights import as_json

# Threads that share an estimator make its engine once.
_ENGINES = threading.RLock()


class BaseECGClassifier(ClassifierMixin, ECGEstimator):
    """Composes a skorch net around a network.

    A subclass lists its parameters in ``__init__`` and says which network they mean
    (`_network`) and how it is fitted (`_stages`). Everything else is here.
    """

    _parameter_constraints: dict = {
        **ECGEstimator._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "augmentation": [HasMethods("bind"), None],
        "teacher": [HasMethods("predict_proba"), None],
        "distillation_temperature": [Interval(Real, 0, None, closed="neither")],
        "distillation_weight": [Interval(Real, 0, 1, closed="both")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "backend": [StrOptions(set(BACKENDS))],
    }
    _kept_by_clones = ("teacher",)
    _takes_any_length = False
    _learnt = ("net_", "lead_names_", "classes_", "label_names_", "multilabel_")

    def _network(self, n_leads: int, n_samples: int, n_outputs: int) -> tuple[type, dict]:
        """Return the network's class and its keyword arguments."""
        raise NotImplementedError(f"{type(self).__name__} has to define _network")

    def _stages(self) -> list[TrainingStage]:
        """Return the recipe."""
        raise NotImplementedError(f"{type(self).__name__} has to define _stages")

    def _look_at(self, X, rows: np.ndarray, weights: np.ndarray) -> None:
        """Learn what the network has to know of the training records before it is built."""

    def _start(self, network, targets, rows: np.ndarray, weights: np.ndarray) -> None:
        """Give the new network the weights it starts from."""

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
        with self._fresh():
            self._fit(X, y, sample_weight, groups)
        return self

    def _fit(self, X, y, sample_weight, groups) -> None:
        given, X = X, self._check_X(X, reset=True)
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

        seed = self._seed()
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
        teacher = None
        if self.teacher is not None:
            teacher = teacher_logits(self.teacher, given, targets)
        class_weight = class_weights(self.class_weight, targets, train)
        self._look_at(X, train, weights)
        with seeded(seed, self.device_), on_device(self.device_, self.batch_size):
            net = self._build_net(targets, X.shape, class_weight)
            self._start(net.module_, targets, train, weights)
            start = [value.cpu().numpy() for value in net.module_.state_dict().values()]
            known = [] if teacher is None else [teacher]
            checkpoint = self._checkpoint(X, targets.encoded, weights, train, *start, *known)
            run = Trainer(
                net,
                self._stages(),
                ECGDataset(X, targets.encoded, weights, train, teacher),
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

    def _build_net(self, targets, shape, class_weight) -> ECGNet:
        module, kwargs = self._network(shape[1], shape[2], targets.n_outputs)
        if class_weight is not None:
            class_weight = torch.as_tensor(class_weight, dtype=torch.float64)
            if self.device_ == "mps":
                class_weight = class_weight.float()
        distillation = None
        if self.teacher is not None:
            distillation = Distillation(targets.kind, self.distillation_temperature)
        augmentation = self.augmentation
        net = ECGNet(
            module,
            precision=resolve_precision(self.precision, self.device_, training=True),
            augmentation=None if augmentation is None else self._bind(augmentation),
            distillation=distillation,
            distillation_weight=self.distillation_weight,
            batch_size=self.batch_size,
            device=self.device_,
            criterion__kind=targets.kind,
            criterion__class_weights=class_weight,
            **{f"module__{name}": value for name, value in kwargs.items()},
        )
        return net.initialize()

    def _bind(self, augmentation):
        return augmentation.bind(self.sampling_rate)

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
        net, X = self._ready(X)
        logits = predict_logits(net, X, batch_size=self.batch_size, engine=self._engine(net, X))
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

    def _engine(self, net, X):
        if self.backend == "torch":
            return None
        # Weights that were changed in place need a new engine.
        version = sum(value._version for value in net.module_.state_dict().values())
        key = (self.backend, X.shape[1:], net.precision, version)
        with _ENGINES:
            in_use = vars(self).get("_engine_in_use")
            if in_use is not None and in_use[2] != os.getpid():
                raise RuntimeError(
                    f"backend={self.backend!r} has predicted in the process that this one was "
                    "forked from, and its threads did not come along. Start workers with spawn or "
                    "with joblib's loky, or set backend='torch'."
                )
            if in_use is None or in_use[0] is not net or in_use[1] != key:
                engine = compiled(self.backend, net.module_, X.shape[1:], net.precision)
                in_use = self._engine_in_use = (net, key, os.getpid(), engine)
        return in_use[3]

    def export(self, path, *, n_samples: int | None = None) -> None:
        """Write the network to an ONNX file, after its answers were compared with torch's.

        Needs the extra ``onnx``.

        Parameters
        ----------
        path : path-like
            Where to; by custom it ends in ``.onnx``.
        n_samples : int or None, default=None
            Samples of the recordings that the file will take, at the network's rate; None is
            what the network was fitted on.

        Raises
        ------
        ImportError
            Without the extra.
        ValueError
            For an n_samples that the network cannot read.
        RuntimeError
            When a logit differs by more than 1e-4 of the largest; then no file is written.

        Notes
        -----
        Input ``recordings`` (n_records, n_leads, n_samples), float32: after the preprocessing of
        the estimator, which `prepare` gives and which the file does not do. Outputs ``logits`` (one
        for binary targets) and ``features``. The file's metadata say, as JSON, what the logits
        mean, the sampling rate and the preprocessing.
        """
        check_is_fitted(self, "net_")
        n_leads, fitted_on = self._network_input()
        if n_samples not in (None, fitted_on) and not self._takes_any_length:
            raise ValueError(
                f"n_samples={n_samples!r} is not to be had: the network reads {fitted_on} samples."
            )
        about = {
            "classes": None if self.multilabel_ else self.classes_.tolist(),
            "label_names": list(getattr(self, "label_names_", [])) or None,
            "target": self._target_kind,
            "sampling_rate": self._network_rate(),
            "preprocessing": self._preprocessing(),
        }
        about = {key: as_json(value) for key, value in about.items()}
        write_onnx(path, self.net_.module_, (n_leads, n_samples or fitted_on), about)

    @property
    def _n_features_out(self) -> int:
        return self.net_.module_.head.in_features

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.two_d_labels = True
        return tags
