"""What every network classifier of ecgsk does alike: targets, training and predictions."""

import os
import threading
from dataclasses import replace
from numbers import Real

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length

from ecgsk._core.checks import check_groups
from ecgsk._core.host_arrays import on_host
from ecgsk._core.sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
)
from ecgsk._training import (
    BACKENDS,
    DistillationLoss,
    ECGDataset,
    ECGNet,
    Trainer,
    compiled,
    on_device,
    predict_logits,
    resolve_device,
    seeded,
    write_onnx,
)
from ecgsk.estimators._estimator import ECGEstimator
from ecgsk.estimators._fit_context import FitContext
from ecgsk.estimators._onnx_metadata import statements_of
from ecgsk.estimators._options import Distillation, EarlyStopping, early_stopping_of
from ecgsk.estimators._split import validation_split
from ecgsk.estimators._strategies import (
    EPOCHS,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    STRATEGIES,
    LinearProbe,
    TrainingNumbers,
    around,
    strategy_of,
)
from ecgsk.estimators._targets import (
    class_weights,
    encode_targets,
    teacher_logits,
    teaching_identity,
)
from ecgsk.estimators._weights_source import start_classifier

# Threads that share an estimator build its engine once.
_ENGINES = threading.RLock()


class BaseECGClassifier(ClassifierMixin, ECGEstimator):
    """Base of the classifiers around a network.

    The network is a torch module with ``features(x)``, what its head reads, and ``head``, a linear
    layer with one logit for binary targets and one for each class or label otherwise. It may have
    ``layer_of(parameter_name)`` and ``n_layers`` for layer decay, ``no_weight_decay``, names of
    parameters without it, and `ecgsk.networks.StochasticDepth` modules.

    A subclass lists its parameters in ``__init__`` and defines the methods listed in
    `ECGEstimator`, and ``_training_numbers`` where parameters can be "auto".
    """

    _parameter_constraints: dict = {
        **ECGEstimator._parameter_constraints,
        "strategy": [StrOptions(set(STRATEGIES)), HasMethods("stages")],
        "max_epochs": [EPOCHS],
        "learning_rate": [POSITIVE],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [NOT_NEGATIVE],
        "weight_averaging": [SHARE],
        "head_init": [StrOptions({"random", "prior"})],
        "distillation": [Distillation, None],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean", EarlyStopping],
        "backend": [StrOptions(set(BACKENDS))],
    }
    _short_forms = {"strategy": strategy_of, "early_stopping": early_stopping_of}
    _from_weights_names = (
        *ECGEstimator._from_weights_names,
        "_target_dtype",
        "_target_kind",
        "classes_",
        "label_names_",
        "multilabel_",
    )
    _learned = (*ECGEstimator._learned, "_target_dtype", "_target_kind")

    def _training_numbers(self, strategy, pretrained: bool) -> TrainingNumbers:
        """Return the numbers that a strategy starts from."""
        return TrainingNumbers(
            max_epochs=self.max_epochs,
            learning_rate=self.learning_rate,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
            weight_averaging=self.weight_averaging,
            pretrained=pretrained,
        )

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Fit the network.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV, leads in standard order; two dimensions read as one lead. What is
            larger than memory (memory maps, h5py, zarr, `ecgsk.RecordArray`) is checked once and
            then read a batch at a time. Where filters or resampling prepare recordings as they
            are read, the results are kept until the fit ends: in memory up to scikit-learn's
            ``working_memory``, otherwise in a temporary file (in the folder TMPDIR) that takes
            at most half of the free disk.
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
        with self._new_fit() as start:
            self._fit(X, y, sample_weight, groups, start)
        return self

    def _fit(self, X, y, sample_weight, groups, start) -> None:
        strategy = self._option("strategy")
        stages = strategy.stages(self._training_numbers(strategy, start is not None))
        original, X = X, self._check_X(X, reset=True)
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
        train, valid = np.flatnonzero(weights > 0), None
        early_stopping = self._option("early_stopping")
        patience = {}
        if early_stopping:
            strata = targets.strata()
            kept, held = validation_split(
                len(train),
                fraction=early_stopping.validation_fraction,
                strata=None if strata is None else strata[train],
                groups=None if groups is None else groups[train],
                seed=seed,
            )
            train, valid = train[kept], train[held]
            patience = {n: getattr(early_stopping, n) for n in ("n_iter_no_change", "tol")}
        soft: list = []
        if self.distillation is not None:
            soft = [teacher_logits(self.distillation.teacher, original, targets)]
        class_weight = class_weights(self.class_weight, targets, train)
        fit = FitContext(X, train, weights, start, targets)
        # Whoever waits for a GPU holds back no fit on another device.
        with on_device(self.device_, self.batch_size), seeded(seed, self.device_):
            net = self._build_net(fit, class_weight)
            start_classifier(net.module_, start, targets, train, weights, head_init=self.head_init)
            # The checkpoint belongs to this start, which is the same for all devices.
            begin = [value.numpy() for value in net.module_.state_dict().values()]
            net.move_to(self.device_)
            in_checkpoint = soft if self.checkpoint_dir is not None else []
            taught = [teaching_identity(self.distillation, logits) for logits in in_checkpoint]
            parts = (X, targets.encoded, weights, train, *begin, *taught)
            trainer = Trainer(
                net,
                stages,
                ECGDataset(X, targets.encoded, weights, train, *soft),
                None if valid is None else ECGDataset(X, targets.encoded, weights, valid),
                **patience,
                generator=torch.Generator().manual_seed(seed),
                checkpoint=self._checkpoint(*parts),
                verbose=int(self.verbose),
            )
            self.history_ = trainer.execute()
        net.trim_for_prediction()
        self.net_ = net

    def _build_net(self, fit: FitContext, class_weight) -> ECGNet:
        if class_weight is not None:
            is_double = self.precision == "float64"
            dtype = torch.float64 if is_double else torch.float32  # MPS has no other
            class_weight = torch.as_tensor(class_weight, dtype=dtype)
        options = {"criterion__kind": fit.kind, "criterion__class_weights": class_weight}
        if self.distillation is not None:
            loss = DistillationLoss(fit.kind, self.distillation.temperature)
            options |= {"distillation": loss, "distillation_weight": self.distillation.weight}
        return self._new_net(fit, **options)

    def _search_space(self) -> dict:
        """Return what is worth searching: rates within a decade of the present ones."""
        from optuna.distributions import FloatDistribution

        strategy = self._option("strategy")
        own: dict = getattr(strategy, "_search_space", dict)()
        space = {f"strategy__{name}": values for name, values in own.items()}
        if isinstance(strategy, LinearProbe):
            return space
        pretrained = any(
            getattr(self, name, None) is not None for name in ("pretrained", "weights")
        )
        numbers = self._training_numbers(strategy, pretrained)
        final = getattr(strategy, "final_learning_rate", 0.0)
        space["learning_rate"] = around(numbers.learning_rate, final)
        if numbers.weight_decay:
            space["weight_decay"] = around(numbers.weight_decay)
        if pretrained:
            space["layer_decay"] = FloatDistribution(0.5, 1.0)
        return space

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
                f"The network's output is not finite for {len(lost)} of {len(X)} records; the "
                f"first is record {lost[0]}. Check its amplitude."
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

    def score(self, X, y, sample_weight=None) -> float:
        """Return the accuracy, for multilabel targets the share of records with all labels right.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.
        y : array-like of shape (n_records,) or (n_records, n_labels)
            True classes or labels.
        sample_weight : array-like of shape (n_records,), default=None
            Weight of each record.

        Returns
        -------
        float
            From 0 to 1.
        """
        return super().score(X, on_host(y, "y"), on_host(sample_weight, "sample_weight"))

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
        """Write the network to an ONNX file, after its outputs were compared with torch's.

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
        the estimator, which `prepare` does and the file does not. Outputs ``logits`` (one
        for binary targets) and ``features``. The file's metadata hold, as JSON, what the logits
        mean, the sampling rate and the preprocessing. `ONNXClassifier` applies all of it: it takes
        the same recordings as this estimator.
        """
        net = self._fitted_net()
        n_leads, fitted_on = self._shape_read
        any_length = self._takes_any_length(net.get_params_for("module"))
        if n_samples not in (None, fitted_on) and not any_length:
            raise ValueError(
                f"n_samples={n_samples!r} is not allowed: the network reads {fitted_on} samples. "
                "Leave n_samples at None."
            )
        write_onnx(path, net.module_, (n_leads, n_samples or fitted_on), statements_of(self))

    def _attributes_of(self, weights) -> dict:
        names = weights.label_names
        multilabel = names is not None
        classes = np.arange(len(names)) if multilabel else np.array(weights.classes)
        kind = "multilabel" if multilabel else "binary" if len(classes) == 2 else "multiclass"
        return {
            **super()._attributes_of(weights),
            "_target_dtype": np.dtype(int) if multilabel else classes.dtype,
            "_target_kind": kind,
            "classes_": classes,
            "multilabel_": multilabel,
            **({"label_names_": list(names)} if multilabel else {}),
        }

    def to_weights(self, preprocessing=None, about: dict | None = None):
        """Return the fitted network with what has to be known to use it.

        Parameters
        ----------
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``; what
            the estimator itself does is added.
        about : dict, default=None
            Anything that JSON can hold: data, license, figures.

        Returns
        -------
        WeightFile
            For `ecgsk.weights.write_weights`.
        """
        weights = super().to_weights(preprocessing, about)
        if self.multilabel_:
            default = [f"label_{i}" for i in range(len(self.classes_))]
            return replace(weights, label_names=getattr(self, "label_names_", default))
        return replace(weights, classes=self.classes_.tolist())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.two_d_labels = True
        return tags
