"""ECGFounder as a scikit-learn classifier."""

import os
from dataclasses import replace
from numbers import Integral, Real

from ecgsk import preprocessing as steps
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Interval, StrOptions
from ecgsk.estimators._base import BaseECGClassifier
from ecgsk.estimators._ecgfounder_checkpoint import KIND, RATE, read_ecgfounder
from ecgsk.estimators._from_weights import (
    ClassifierFromWeights,
    rate_of,
    set_output_plain,
)
from ecgsk.estimators._strategy import STRATEGY_CONSTRAINTS, Strategy
from ecgsk.networks import NET1D_PRESETS, Net1D

# Rates at which ten-second recordings are told apart by their length alone.
_TOLD_BY_LENGTH = (100, 250, 500, 1000)
_PREPROCESSOR = "ECGFounderPreprocessor"
_AUTO = StrOptions({"auto"})


@public("ecgsk")
class ECGFounderClassifier(ClassifierFromWeights, Strategy, BaseECGClassifier):
    """ECGFounder: a convolutional foundation model of the ECG, asked as it is or fine-tuned.

    With ``weights="12-lead"`` it answers at once with the probabilities of the 150 statements
    that it was trained on; `fit` replaces the head and fine-tunes, by default all weights. Binary,
    multiclass and multilabel targets. Recordings are given in mV as they come from the file: the
    preprocessing of the published code is part of the estimator.

    Parameters
    ----------
    preset : {"12-lead", "1-lead", "small", "nano"}, default=None
        Size of the network. None is that of ``weights``, else ``"12-lead"``: Net1D of 30.7
        million parameters. ``"1-lead"`` is as large and reads lead I alone. ``"small"`` (0.6
        million) trains on a CPU; ``"nano"`` is for tests.
    weights : {"12-lead", "1-lead"}, path-like or None, default=None
        Weights to answer with and to fine-tune: the published ones, fetched once from their hub
        repository (extra ``hub``); a file of them that you have (``.pth``); or a file of
        ``save_weights``. None starts at random.
    preprocessing : {"filtered", "unfiltered", "none"}, default=None
        What recordings go through, see `ecgsk.preprocessing.ECGFounderPreprocessor`. None is that
        of a file of ``save_weights``, else ``"filtered"``. ``"none"`` gives recordings to the
        network as they are: at its rate, standardised.
    mains_frequency : float, None or "auto", default="auto"
        Frequency of the notch, Hz; None leaves it out. ``"auto"`` is that of a file of
        ``save_weights``, else 50.
    sampling_rate : float or None, default=500
        Of the recordings, Hz. An array cannot carry it; they are resampled to the network's 500
        Hz. None lets the number of samples of ten-second recordings tell 100, 250, 500 and 1000
        Hz apart.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. With weights None means the standard
        twelve, and other orders are rearranged by name. A one-lead network takes lead I of them.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    strategy : {"full", "linear_probe", "post_training"}, default="full"
        ``"full"`` trains all weights. ``"linear_probe"`` trains the head alone. ``"post_training"``
        trains the head first (preview linear probing), then all weights with stochastic depth,
        dropout and a rate that falls to ``final_learning_rate``.
    head_epochs : int, default=30
        Passes over the training records in which the head alone learns. Without augmentation the
        rest of the network is asked only once.
    head_learning_rate, head_weight_decay : float, default=5e-3, 0.1
        For these passes; second-hand, as all starting values of post-training are.
    max_epochs : int, default=30
        Passes over the training records in which all weights learn.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction. Published fine-tuning took 256.
    learning_rate : float or "auto", default="auto"
        Peak rate of AdamW; it grows linearly over the first tenth of the steps and falls by half
        a cosine after that. ``"auto"`` is 1e-4 for fine-tuning, as published, 5e-4 for
        post-training (second-hand) and 1e-3 from a random start.
    final_learning_rate : float or "auto", default="auto"
        Rate at which the cosine ends. ``"auto"`` is 1e-5 for post-training (second-hand) and 0
        otherwise.
    layer_decay : float, default=1.0
        The rate of a block is this factor times that of the next deeper one.
    weight_decay : float or "auto", default="auto"
        Of kernels and matrices. ``"auto"`` is 1e-5 for fine-tuning, as published, and 0.05
        otherwise (second-hand for post-training).
    stochastic_depth : float or "auto", default="auto"
        Probability that a record skips the branch of the deepest block while training. ``"auto"``
        is 0.3 for post-training (second-hand, and contested: another source says 0.5) and 0
        otherwise.
    stochastic_depth_rule : {"linear", "constant"}, default="linear"
        Whether that probability grows from 0 at the first block, or is the same everywhere.
    dropout : float or "auto", default="auto"
        Rate of dropout in front of convolutions. ``"auto"`` is 0.05 for post-training
        (second-hand) and 0 otherwise.
    weight_averaging : float, default=0.0
        Memory of an exponential mean of the weights over the steps, which takes their place at
        the end; 0 is off.
    head_init : {"random", "prior"}, default="random"
        ``"prior"`` starts the head with the log-odds of the classes in the training records.
    augmentation : ECGAugmentation or None, default=None
        Random changes of the training recordings, after the preprocessing: noise is then in
        standard deviations, not in mV.
    teacher : estimator or None, default=None
        A fitted classifier of the same task, from whose probabilities of the training records the
        network learns besides the labels. A clone keeps it as it is.
    distillation_temperature : float, default=2.0
        Softens the answers of teacher and network when they are compared.
    distillation_weight : float, default=0.7
        Share of the teacher in the loss, between 0 and 1; labels have the rest.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of classes in the loss, as in scikit-learn; for multilabel targets a list of
        ``{0: weight, 1: weight}``. Weights shift the probabilities: calibrate them afterwards.
    early_stopping : bool, default=False
        Whether to set records aside, to stop a stage when their loss no longer falls, and to keep
        the weights of its best epoch.
    validation_fraction : float, default=0.1
        Share of records (of patients, where ``groups`` are given to `fit`) set aside.
    n_iter_no_change : int, default=10
        Epochs without a better validation loss after which a stage stops.
    tol : float, default=1e-4
        Smallest fall of the validation loss that counts as better.
    device : str or torch.device, default="auto"
        ``"auto"`` takes cuda, mps or cpu, the first there is; or a torch device.
    precision : {"auto", "float32", "bf16", "float64"}, default="auto"
        ``"auto"`` trains in bfloat16 autocast where the hardware multiplies it and predicts in
        float32, so that a model answers alike everywhere.
    backend : {"torch", "openvino", "onnxruntime"}, default="torch"
        What predictions are computed with; the others (extra ``onnx``) run on the CPU. Fits use
        torch. openvino is the fastest on many processors, most of all with ``precision="bf16"``.
    n_jobs : int or None, default=None
        Workers of the preprocessing; None is 1, -1 is all cores.
    checkpoint_dir : path-like, default=None
        Folder in which the state is written after each epoch, from which the same fit goes on
        after a kill. Needs ``random_state`` to be an int.
    random_state : int, RandomState instance or None, default=None
        An int makes a fit repeat bit for bit on CPU. Global generators stay as they are.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

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
        The leads in standard spelling, where ``leads`` was given.
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
        **STRATEGY_CONSTRAINTS,
        "preset": [StrOptions(set(NET1D_PRESETS)), None],
        "weights": [str, os.PathLike, None],
        "preprocessing": [StrOptions({"filtered", "unfiltered", "none"}), None],
        "mains_frequency": [Interval(Real, 0, None, closed="neither"), _AUTO, None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), _AUTO],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, None, closed="left"), _AUTO],
        "n_jobs": [Integral, None],
    }
    _weights_kind = KIND
    _module_class = Net1D
    _takes_any_length = True
    _learnt = (
        *ClassifierFromWeights._told_by_weights,
        "_n_samples_read",
        "_starts_from",
        "lead_names_",
    )

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
        head_epochs=30,
        head_learning_rate=5e-3,
        head_weight_decay=0.1,
        max_epochs=30,
        batch_size=32,
        learning_rate="auto",
        final_learning_rate="auto",
        layer_decay=1.0,
        weight_decay="auto",
        stochastic_depth="auto",
        stochastic_depth_rule="linear",
        dropout="auto",
        weight_averaging=0.0,
        head_init="random",
        augmentation=None,
        teacher=None,
        distillation_temperature=2.0,
        distillation_weight=0.7,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        device="auto",
        precision="auto",
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
        self.head_epochs = head_epochs
        self.head_learning_rate = head_learning_rate
        self.head_weight_decay = head_weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.final_learning_rate = final_learning_rate
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.stochastic_depth = stochastic_depth
        self.stochastic_depth_rule = stochastic_depth_rule
        self.dropout = dropout
        self.weight_averaging = weight_averaging
        self.head_init = head_init
        self.augmentation = augmentation
        self.teacher = teacher
        self.distillation_temperature = distillation_temperature
        self.distillation_weight = distillation_weight
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.precision = precision
        self.backend = backend
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_pretrained(cls, name="12-lead", *, sampling_rate=None, **params):
        """Return an estimator that answers without a fit.

        Parameters
        ----------
        name : {"12-lead", "1-lead"} or path-like, default="12-lead"
            The published weights, fetched at the first use, or a file of them, or one of
            ``save_weights``.
        sampling_rate : float or None, default=None
            Of the recordings to come, Hz. None: the number of samples of ten-second recordings
            tells 100, 250, 500 and 1000 Hz apart.
        **params
            Other parameters of the estimator.

        Returns
        -------
        ECGFounderClassifier
            With ``weights=name``.

        Raises
        ------
        FileNotFoundError
            When there is no such file, or it cannot be fetched; it says where to put the file.
        ValueError
            When the file is cut off, changed, or not of this network.
        """
        estimator = cls(weights=name, sampling_rate=sampling_rate, **params)
        estimator._loaded()
        return estimator

    def _read_weights(self):
        return read_ecgfounder(self.weights)

    def _check_network(self, network, source) -> None:
        if self.preset is None:
            return
        asked = dict(NET1D_PRESETS[self.preset])
        if self.preset in ("12-lead", "1-lead"):
            asked["n_leads"] = 12 if self.preset == "12-lead" else 1
        wrong = {k: v for k, v in asked.items() if _plain(v) != _plain(network[k])}
        if wrong:
            has = ", ".join(f"{name}={_plain(network[name])}" for name in wrong)
            raise ValueError(
                f"preset={self.preset!r} does not fit {source}, whose network has {has}. Leave "
                "preset at None: it comes with weights."
            )

    def _samples_of(self, source) -> int | None:
        return None

    def _auto(self, name):
        value = getattr(self, name)
        fine_tunes = self.strategy == "full" and self.weights is not None
        if value == "auto" and name == "learning_rate":
            return 1e-4 if fine_tunes else 5e-4 if self.strategy == "post_training" else 1e-3
        if value == "auto" and name == "weight_decay":
            return 1e-5 if fine_tunes else 0.05
        return super()._auto(name)

    def _wanted_leads(self) -> tuple[str, ...] | None:
        """Return the leads that the network reads, where they have names."""
        n_leads = None if self._source is None else self._source.network["n_leads"]
        if n_leads == 1 or self.preset == "1-lead":
            return ("I",)
        return STANDARD_LEADS if n_leads == len(STANDARD_LEADS) else None

    def _check_X(self, X, *, reset):
        shape = getattr(X, "shape", ())
        # By the contract the first of twelve leads is lead I.
        takes_first = len(shape) == 3 and shape[1] == len(STANDARD_LEADS) and self.leads is None
        if takes_first and self._wanted_leads() == ("I",):
            X = set_output_plain(steps.SelectLeads(["I"])).transform(X)
        return super()._check_X(X, reset=reset)

    def _prepare(self, X):
        wanted = self._wanted_leads()
        if wanted is not None and self.leads is None and X.shape[1] != len(wanted):
            raise ValueError(
                f"X has {X.shape[1]} leads; the network takes {len(wanted)}: {', '.join(wanted)}. "
                "Name the leads of X with leads=[...]: missing limb leads are computed from I and "
                "II."
            )
        for step in self._steps(X.shape[2]):
            X = set_output_plain(step).transform(X)
        return X

    def _steps(self, n_samples: int) -> list:
        """Return the transformers from the user's recordings to what the network takes."""
        wanted, source = self._wanted_leads(), self._source
        before = []
        if wanted is not None and self.leads is not None:
            before.append(steps.SelectLeads(wanted, input_leads=self.leads))
        variant, mains = self._variant()
        if self.preprocessing == "none":
            return before
        rate = self.sampling_rate
        if source is not None:
            rate = rate_of(
                rate,
                n_samples,
                source,
                "the network",
                rates=_TOLD_BY_LENGTH,
                tolerance=0.0 if variant == "none" else 0.1,
            )
            own = [(name, params) for name, params in source.preprocessing if name != _PREPROCESSOR]
            # Other filters were made for the network's rate.
            resampled = variant == "none" or any(name != "SelectLeads" for name, _ in own)
            if resampled and rate != source.sampling_rate:
                before.append(steps.Resample(rate, source.sampling_rate))
                rate = source.sampling_rate
            before += [getattr(steps, name)(**params) for name, params in own]
        if variant != "none":
            before.append(
                steps.ECGFounderPreprocessor(
                    variant, sampling_rate=rate, mains_frequency=mains, n_jobs=self.n_jobs
                )
            )
        return before

    def _variant(self) -> tuple[str, float | None]:
        """Return the preprocessing and the frequency of its notch."""
        told = {"variant": "filtered"}
        if self._source is not None:
            told = dict(self._source.preprocessing).get(_PREPROCESSOR, {"variant": "none"})
        variant = self.preprocessing or told["variant"]
        mains = self.mains_frequency
        return variant, told.get("mains_frequency", 50.0) if mains == "auto" else mains

    def _network_rate(self) -> float:
        if self._source is not None:
            return self._source.sampling_rate
        return self.sampling_rate if self._variant()[0] == "none" else RATE

    def _look_at(self, X, rows, weights) -> None:
        self._n_samples_read = X.shape[2]

    def _network(self, n_leads, n_samples, n_outputs):
        if self._starts_from is None:
            network = {"n_leads": n_leads, **NET1D_PRESETS[self.preset or "12-lead"]}
        else:
            network = self._starts_from[1].network
        return Net1D, {**network, "n_outputs": n_outputs}

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

    def to_weights(self, preprocessing=None, about=None):
        """Return the fitted network with what has to be known to use it.

        Parameters
        ----------
        preprocessing : list of transformers, default=None
            Those of `ecgsk.preprocessing` that the recordings went through before ``fit``; what
            the estimator itself does is added.
        about : dict, default=None
            Anything that JSON can hold: data, licence, figures.

        Returns
        -------
        WeightFile
            For `ecgsk.weights.write_weights`.
        """
        weights = super().to_weights(preprocessing, about)
        return replace(weights, n_samples=self._network_input()[1])

    def _network_input(self):
        n_leads = self.net_.get_params_for("module")["n_leads"]
        return n_leads, vars(self).get("_n_samples_read") or self._source.n_samples


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value
