"""ECGFounder as a scikit-learn classifier."""

import os
from dataclasses import replace
from numbers import Integral

from ecgsk import preprocessing as steps
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import StrOptions
from ecgsk.estimators._classifier import BaseECGClassifier
from ecgsk.estimators._fit_context import FitContext
from ecgsk.estimators._recordings import check_carried, rate_of_recordings
from ecgsk.estimators._strategies import NOT_NEGATIVE, POSITIVE, PostTraining
from ecgsk.estimators._weights_source import rate_of, transformed
from ecgsk.networks import NET1D_PRESETS, Net1D
from ecgsk.weights import ECGFOUNDER_KIND, ECGFOUNDER_RATE, read_ecgfounder

# Rates that the length of a ten-second recording can mean, Hz.
_RATES = (100, 250, 500, 1000)
_PREPROCESSOR = "ECGFounderPreprocessor"
_AUTO = StrOptions({"auto"})


@public("ecgsk")
class ECGFounderClassifier(BaseECGClassifier):
    """ECGFounder: a convolutional foundation model of the ECG, used as it is or fine-tuned.

    With ``weights="12-lead"`` it predicts, without a fit, the probabilities of the 150 statements
    that it was trained on; `fit` replaces the head and fine-tunes, by default all weights. Binary,
    multiclass and multilabel targets. Pass recordings in mV as they come from the file: the
    preprocessing of the published code is part of the estimator.

    Parameters
    ----------
    preset : {"12-lead", "1-lead", "small", "nano"} or dict, default=None
        Size of the network. None is that of ``weights``, else ``"12-lead"``: Net1D of 30.7
        million parameters. ``"1-lead"`` is as large and reads lead I alone. ``"small"`` (0.6
        million) trains on a CPU; ``"nano"`` is for tests. A dict is arguments of
        `ecgsk.networks.Net1D` that set its size, such as
        ``{"widths": (32, 64), "depths": (1, 1)}``.
    weights : {"12-lead", "1-lead"}, path-like or None, default=None
        Weights to predict with and to fine-tune: the published ones, fetched once from their hub
        repository (extra ``hub``); a file of them that you have (``.pth``); or a file of
        ``save_weights``. None starts at random.
    preprocessing : {"filtered", "unfiltered", "none"}, default=None
        What recordings go through, see `ecgsk.preprocessing.ECGFounderPreprocessor`. None is that
        of a file of ``save_weights``, else ``"filtered"``. ``"none"`` passes recordings to the
        network as they are: at its rate, standardized.
    mains_frequency : float, None or "auto", default="auto"
        Frequency of the notch, Hz; None leaves it out. ``"auto"`` is that of a file of
        ``save_weights``, else 50.
    sampling_rate : float or None, default=500
        Of the recordings, Hz; they are resampled to the network's 500 Hz. None is the rate that a
        `RecordArray` carries. For arrays, which cannot carry it, None with weights derives 100,
        250, 500 or 1000 Hz from the number of samples of ten-second recordings. Recordings that
        carry another rate, or other ``leads``, are refused.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. With weights None means the standard
        twelve, and other orders are rearranged by name. A one-lead network takes lead I of them.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction. Published fine-tuning took 256.
    learning_rate : float or "auto", default="auto"
        Peak rate of AdamW; it grows linearly over the first tenth of the steps and falls by half
        a cosine after that. ``"auto"`` is 1e-4 for fine-tuning, as published, 5e-4 for
        post-training (second-hand) and 1e-3 from a random start.
    layer_decay : float, default=1.0
        The rate of a block is this factor times that of the next deeper one.
    weight_decay : float or "auto", default="auto"
        Of kernels and matrices. ``"auto"`` is 1e-5 for fine-tuning, as published, and 0.05
        otherwise (second-hand for post-training).
    augmentation : ECGAugmentation or None, default=None
        Random changes of the training recordings, after the preprocessing: noise is then in
        standard deviations, not in mV.
    n_jobs : int or None, default=None
        Workers of the preprocessing; None is 1, -1 is all cores.
    missing, strategy, max_epochs, weight_averaging, head_init, distillation, class_weight
        As `MTECGClassifier` takes them.
    early_stopping, device, precision, compile, backend, checkpoint_dir, random_state, verbose
        As `MTECGClassifier` takes them.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; ``0 ... n_labels - 1`` for multilabel targets, and so for the published
        weights.
    multilabel_ : bool
        Whether the target was an indicator matrix.
    label_names_ : list of str
        Labels of a multilabel target that was a DataFrame; with the published weights the 150
        statements, `ecgsk.weights.ECGFOUNDER_TASKS`.
    n_features_in_ : int
        Leads of the recordings seen in `fit` (samples, where they had two dimensions).
    n_samples_in_ : int
        Samples of the recordings seen in `fit`.
    lead_names_ : list of str
        The leads in standard spelling, where ``leads`` is set or the recordings carry them.
    device_ : str
        The device in use.
    history_ : list of dict
        A row for each epoch: ``stage``, ``epoch``, ``train_loss``, ``valid_loss``, ``dur`` (s).
    net_ : ECGNet
        The fitted skorch net; ``net_.module_`` is the torch module.

    See Also
    --------
    ecgsk.preprocessing.ECGFounderPreprocessor : What recordings go through.

    ecgsk.tabular.ProbabilityTransformer : Makes its probabilities a step of a Pipeline.

    Notes
    -----
    The published weights are those of the GitHub repository PKUDigitalHealth/ECGFounder (code
    MIT); see their model card for what they may be used for. They are read without running code
    from the file.

    References
    ----------
    Li J, Aguirre A, Moura J, et al. An electrocardiogram foundation model built on over 10
    million recordings. NEJM AI 2(7), 2025; arXiv:2410.04133.

    Zhou Y, Yang Y, Fan X, Zhao W. Bridging performance gaps for foundation models: a
    post-training strategy for ECGFounder. arXiv:2509.12991v1 (its second version has another base
    model and other figures).

    Examples
    --------
    >>> from ecgsk import ECGFounderClassifier, make_ecg
    >>> import numpy as np
    >>> X = make_ecg(40, sampling_rate=100, heart_rate=np.repeat([60, 120], 20), random_state=0)
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> model = ECGFounderClassifier("nano", sampling_rate=100, max_epochs=2, random_state=0)
    >>> model.fit(X, y).predict_proba(X).shape
    (40, 2)
    """

    _parameter_constraints: dict = {
        **BaseECGClassifier._parameter_constraints,
        "preset": [StrOptions(set(NET1D_PRESETS)), dict, None],
        "weights": [str, os.PathLike, None],
        "preprocessing": [StrOptions({"filtered", "unfiltered", "none"}), None],
        "mains_frequency": [POSITIVE, _AUTO, None],
        "sampling_rate": [POSITIVE, None],
        "learning_rate": [POSITIVE, _AUTO],
        "weight_decay": [NOT_NEGATIVE, _AUTO],
        "n_jobs": [Integral, None],
    }
    _weights_kind = ECGFOUNDER_KIND
    _default_weights = "12-lead"
    _module_class = Net1D

    def __init__(
        self,
        preset=None,
        *,
        weights=None,
        preprocessing=None,
        mains_frequency="auto",
        sampling_rate=500,
        leads=None,
        missing="error",
        strategy="full",
        max_epochs=30,
        batch_size=32,
        learning_rate="auto",
        layer_decay=1.0,
        weight_decay="auto",
        weight_averaging=0.0,
        head_init="random",
        augmentation=None,
        distillation=None,
        class_weight=None,
        early_stopping=False,
        device="auto",
        precision="auto",
        compile=False,
        backend="torch",
        n_jobs=None,
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.weights = weights
        self.preprocessing = preprocessing
        self.mains_frequency = mains_frequency
        self.sampling_rate = sampling_rate
        self.leads = leads
        self.missing = missing
        self.strategy = strategy
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.head_init = head_init
        self.augmentation = augmentation
        self.distillation = distillation
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.device = device
        self.precision = precision
        self.compile = compile
        self.backend = backend
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _read_weights(self, *, header_only=False):
        return read_ecgfounder(self.weights, header_only=header_only)

    def _check_options(self) -> None:
        sizes = NET1D_PRESETS["12-lead"]
        if isinstance(self.preset, dict) and not set(self.preset) <= set(sizes):
            raise ValueError(
                f"preset={self.preset!r} is not allowed: a dict may have the keys "
                f"{', '.join(sizes)}. Leave out the others."
            )
        super()._check_options()

    def _check_network(self, network, source) -> None:
        if self.preset is None:
            return
        named = isinstance(self.preset, str)
        wanted = dict(NET1D_PRESETS[self.preset] if named else self.preset)
        if self.preset in ("12-lead", "1-lead"):
            wanted["n_leads"] = 12 if self.preset == "12-lead" else 1
        wrong = {k: v for k, v in wanted.items() if _plain(v) != _plain(network[k])}
        if wrong:
            has = ", ".join(f"{name}={_plain(network[name])}" for name in wrong)
            raise ValueError(
                f"preset={self.preset!r} does not fit {source}, whose network has {has}. Leave "
                "preset at None: it comes with weights."
            )

    def _training_numbers(self, strategy, pretrained):
        auto = {"learning_rate": 1e-3, "weight_decay": 0.05}
        if isinstance(strategy, PostTraining):
            auto["learning_rate"] = 5e-4
        elif pretrained:
            auto = {"learning_rate": 1e-4, "weight_decay": 1e-5}
        numbers = super()._training_numbers(strategy, pretrained)
        return replace(numbers, **{k: v for k, v in auto.items() if getattr(self, k) == "auto"})

    def _wanted_leads(self) -> tuple[str, ...] | None:
        """Return the leads that the network reads, where they have names."""
        n_leads = None if self._source is None else self._source.network["n_leads"]
        if n_leads == 1 or self.preset == "1-lead":
            return ("I",)
        return STANDARD_LEADS if n_leads == len(STANDARD_LEADS) else None

    def _examine(self, X):
        check_carried(self, X, reset=False)
        return super()._examine(self._lead_taken(X))

    def _check_X(self, X, *, reset):
        check_carried(self, X, reset=reset)
        return super()._check_X(self._lead_taken(X), reset=reset)

    def _lead_taken(self, X):
        """Return lead I of twelve for a network of one lead, otherwise X."""
        shape = getattr(X, "shape", ())
        # By the contract the first of twelve leads is lead I.
        takes_first = len(shape) == 3 and shape[1] == len(STANDARD_LEADS) and self.leads is None
        if takes_first and self._wanted_leads() == ("I",):
            return transformed(X, [steps.SelectLeads(["I"])])
        return X

    def _prepare(self, X):
        wanted = self._wanted_leads()
        if wanted is not None and self.leads is None and X.shape[1] != len(wanted):
            raise ValueError(
                f"X has {X.shape[1]} leads; the network takes {len(wanted)}: {', '.join(wanted)}. "
                "Name the leads of X with leads=[...]: missing limb leads are computed from I and "
                "II."
            )
        return transformed(X, self._steps(X.shape[2], rate_of_recordings(self, X)))

    def _steps(self, n_samples: int, rate: float | None) -> list:
        """Return the transformers from the user's recordings to what the network takes."""
        wanted, source = self._wanted_leads(), self._source
        before = []
        if wanted is not None and self.leads is not None:
            before.append(steps.SelectLeads(wanted, input_leads=self.leads))
        variant, mains = self._variant()
        if self.preprocessing == "none":
            return before
        if source is not None:
            rate = rate_of(
                rate, n_samples, source, rates=_RATES, tolerance=0.0 if variant == "none" else 0.1
            )
            own = [(name, params) for name, params in source.preprocessing if name != _PREPROCESSOR]
            # Other filters were made for the network's rate.
            resampled = variant == "none" or any(name != "SelectLeads" for name, _ in own)
            if resampled and rate != source.sampling_rate:
                before.append(steps.Resample(rate, source.sampling_rate))
                rate = source.sampling_rate
            before += [getattr(steps, name)(**params) for name, params in own]
        if variant != "none":
            assert rate is not None  # a fit without weights has one
            before.append(
                steps.ECGFounderPreprocessor(
                    variant, sampling_rate=rate, mains_frequency=mains, n_jobs=self.n_jobs
                )
            )
        return before

    def _variant(self) -> tuple[str, float | None]:
        """Return the preprocessing and the frequency of its notch."""
        own: dict = {"variant": "filtered"}
        if self._source is not None:
            own = dict(self._source.preprocessing).get(_PREPROCESSOR, {"variant": "none"})
        variant = self.preprocessing or own["variant"]
        mains = self.mains_frequency
        return variant, own.get("mains_frequency", 50.0) if mains == "auto" else mains

    def _network_rate(self) -> float:
        if self._source is not None or self._variant()[0] == "none":
            return super()._network_rate()
        return ECGFOUNDER_RATE

    def _network(self, fit: FitContext) -> tuple[type, dict]:
        if fit.start is not None:
            network = fit.start.file.network
        else:
            named = isinstance(self.preset, str)
            own = NET1D_PRESETS[self.preset] if named else self.preset or {}
            network = {"n_leads": fit.X.shape[1], **NET1D_PRESETS["12-lead"], **own}
        return Net1D, {**network, "n_outputs": fit.n_outputs}

    def _preprocessing(self):
        source, before = self._source, []
        if source is not None:
            before = [step for step in source.preprocessing if step[0] != _PREPROCESSOR]
        elif self._wanted_leads() is None:
            before = super()._preprocessing()
        variant, mains = self._variant()
        if variant != "none":
            before.append((_PREPROCESSOR, {"variant": variant, "mains_frequency": mains}))
        return before


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value
