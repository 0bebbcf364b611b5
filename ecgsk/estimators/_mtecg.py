"""MTECG as a scikit-learn classifier."""

import os
from dataclasses import replace
from numbers import Real

from sklearn.frozen import FrozenEstimator

from ecgsk._core.fitted import unwrap
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import HasMethods, Interval, StrOptions
from ecgsk._training import signal_scale
from ecgsk.estimators._classifier import BaseECGClassifier
from ecgsk.estimators._fit_context import FitContext, StartingWeights
from ecgsk.estimators._mtecg_size import MTECGSize, as_mtecg_reads, check_mtecg_size, mtecg_size_of
from ecgsk.estimators._recordings import rate_of_recordings
from ecgsk.estimators._strategies import POSITIVE
from ecgsk.networks import MTECG, MTECG_PRESETS
from ecgsk.weights import SHIPPED, read_weights

# What a classifier takes over from the network that it starts from.
_OF_THE_ENCODER = (
    "n_leads",
    "n_samples",
    "patch_size",
    "width",
    "depth",
    "n_heads",
    "mlp_ratio",
    "input_scale",
)


@public("ecgsk")
class MTECGClassifier(BaseECGClassifier):
    """Transformer over segments of the 12-lead ECG.

    It learns from a random start, from the encoder of a masked pre-training (``pretrained``), or
    predicts with a classifier that was trained before (``weights``). Binary, multiclass
    and multilabel targets. From a random start the network takes recordings of any number of
    leads and samples, but those to predict must have as many as those it was fitted on.

    Parameters
    ----------
    preset : {"ti_12_25", "compact", "small", "nano"}, MTECGSize or dict, default=None
        Size of the network. None is the size of ``pretrained`` or ``weights``, else
        ``"ti_12_25"``, the published one; see `ecgsk.estimators.MTECGSize`, which sets single
        numbers, and of which a dict is the arguments.
    pretrained : MTECGPretrainer, path-like, "ptbxl" or None, default=None
        Encoder that `fit` starts from: a fitted pre-trainer (a clone keeps it as it is), a file
        of ``save_weights``, or the encoder that comes with ecgsk, pre-trained without labels.
        Its preprocessing and scale come with it; the head is new.
    weights : path-like, "ptbxl" or None, default=None
        A trained classifier: a file of ``save_weights``, or the classifier of the 71 statements
        of PTB-XL that comes with ecgsk. It predicts without `fit`, on recordings in mV as they
        come from the file: the preprocessing is part of it. `fit` fine-tunes it; the head is
        kept where the labels have the same names.
    pooling : {"cls", "mean"}, default=None
        Whether the head reads the class token or the mean of the segments' tokens. None is that
        of ``weights`` or ``pretrained``, else ``"cls"``.
    sampling_rate : float or None, default=500
        Of the recordings, Hz. Weights resample to the rate that they need. None is the rate that a
        `RecordArray` carries. For arrays, which cannot carry it, None with weights derives 100 or
        500 Hz from the number of samples. Recordings that carry another rate are refused.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. None takes any number of leads; twelve are
        the standard ones. With weights it means the standard twelve, and other orders are
        rearranged by name. Recordings that carry other leads, or another order, are refused.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    strategy : {"full", "linear_probe", "post_training"} or object, default="full"
        ``"full"`` trains all weights (`ecgsk.estimators.FullTraining`). ``"linear_probe"`` trains
        the head alone (`ecgsk.estimators.LinearProbe`). ``"post_training"`` trains the head first,
        then all weights with stochastic depth, dropout and a rate that falls to a low one
        (`ecgsk.estimators.PostTraining`). These objects hold the numbers of each; a search reaches
        them as ``strategy__dropout`` and so on.
    max_epochs : int, default=30
        Passes over the training records in which all weights learn.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction.
    learning_rate : float, default=5e-4
        Peak rate of AdamW; it grows linearly over the first tenth of the steps and falls by half
        a cosine after that.
    layer_decay : float or "auto", default="auto"
        The rate of a block is this factor times that of the next deeper one, so that early layers
        keep what pre-training taught them. ``"auto"`` is 0.75 with ``pretrained`` or ``weights``
        and 1 from a random start.
    weight_decay : float, default=0.05
        Of matrices; biases, normalization, class token and positions have none.
    weight_averaging : float, default=0.0
        Memory of an exponential mean of the weights over the steps, which takes their place at
        the end (and is what early stopping judges): 0.999 remembers some thousand steps. 0 is off.
    head_init : {"random", "prior"}, default="random"
        ``"prior"`` starts the head with the log-odds of the classes in the training records and
        weights of next to nothing, so that the first steps need not learn how rare labels are.
    augmentation : ECGAugmentation or None, default=None
        Random changes of the training recordings.
    distillation : Distillation or None, default=None
        A fitted classifier from which the network learns besides the labels, see
        `ecgsk.estimators.Distillation`.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of classes in the loss, as in scikit-learn; for multilabel targets a list of
        ``{0: weight, 1: weight}``. Weights shift the probabilities: calibrate them afterwards.
    early_stopping : bool or EarlyStopping, default=False
        Whether to set records aside, to end a training stage when their loss no longer falls, and
        to keep the weights of its best epoch. True means `ecgsk.estimators.EarlyStopping` with its
        defaults.
    device : str or torch.device, default="auto"
        ``"auto"`` takes cuda, mps or cpu, the first there is; or a torch device.
    precision : {"auto", "float32", "tf32", "bf16", "float64"}, default="auto"
        ``"auto"`` trains in bfloat16 autocast where the hardware multiplies it and predicts in
        float32, so that a model predicts alike everywhere. ``"float32"`` is never rounded to TF32
        (ten bits after the point), as PyTorch's convolutions on a GPU are by default; ``"tf32"``
        allows that in training, not in prediction. ``"float64"`` is slow and makes results
        independent of the order of sums.
    compile : bool, default=False
        Whether training computes the network's features through ``torch.compile``, see Notes.
        Predictions are never compiled, so that a model predicts alike on every machine; on the CPU
        ``backend`` makes them faster.
    backend : {"torch", "openvino", "onnxruntime"}, default="torch"
        What predictions are computed with; the others (extra ``onnx``) run on the CPU. Fits use
        torch. openvino is the fastest on many processors, most of all with ``precision="bf16"``.
    checkpoint_dir : path-like, default=None
        Folder in which the state is written after each epoch. The same fit on the same data goes
        on from there after it was killed; the file is removed when the fit ends. Needs
        ``random_state`` to be an int.
    random_state : int, RandomState instance or None, default=None
        An int makes a fit repeat bit for bit on CPU. Global generators stay as they are.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; ``0 ... n_labels - 1`` for multilabel targets.
    multilabel_ : bool
        Whether the target was an indicator matrix.
    label_names_ : list of str
        Labels of a multilabel target that was a DataFrame.
    n_features_in_ : int
        Leads of the recordings seen in `fit` (samples, where they had two dimensions).
    n_samples_in_ : int
        Samples of the recordings seen in `fit`.
    scale_ : float
        Median standard deviation of the training recordings, by which the network divides:
        recordings in mV and standardized ones are learned alike.
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
    ecgsk.tabular.ProbabilityTransformer : Makes its probabilities a step of a Pipeline.

    ecgsk.MTECGPretrainer : Pre-trains the encoder on recordings without labels.

    Notes
    -----
    With ``compile=True`` torch translates the network into code for the device, once for each
    training stage that runs it. That takes a minute or more the first time; torch keeps the code in
    a folder (``TORCHINDUCTOR_CACHE_DIR``) for later fits. It pays where a fit takes much longer
    than that, which on the CPU is rare. Only batches of full size are compiled, not the smaller
    last one of an epoch, and not the records of early stopping. Results are equal to those without
    it up to rounding, unless the strategy has dropout or stochastic depth: compiled code may draw
    other random numbers. Set ``torch._inductor.config.fallback_random = True`` to draw the same.
    Code for the CPU needs a C++ compiler, and code for GPUs also Triton; without them the fit
    raises RuntimeError. A fit with ``checkpoint_dir`` continues with another value of ``compile``.

    References
    ----------
    Zhou Y, Diao X, Huo Y, Liu Y, Fan X, Zhao W. Masked transformer for electrocardiogram
    classification. arXiv:2309.07136: layer decay and stochastic depth in fine-tuning.
    Distillation with temperature 2 and weight 0.7: the group's GitHub repository
    fwaiaccount/MTECG-SPEED-TR.

    Examples
    --------
    >>> from ecgsk import MTECGClassifier, make_ecg
    >>> import numpy as np
    >>> X = make_ecg(40, sampling_rate=100, heart_rate=np.repeat([60, 120], 20), random_state=0)
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> model = MTECGClassifier("nano", sampling_rate=100, max_epochs=2, random_state=0)
    >>> model.fit(X, y).predict_proba(X).shape
    (40, 2)
    """

    _parameter_constraints: dict = {
        **BaseECGClassifier._parameter_constraints,
        "preset": [StrOptions(set(MTECG_PRESETS)), MTECGSize, dict, None],
        "sampling_rate": [POSITIVE, None],
        "pretrained": [str, os.PathLike, HasMethods("to_weights"), FrozenEstimator, None],
        "weights": [str, os.PathLike, None],
        "pooling": [StrOptions({"cls", "mean"}), None],
        "layer_decay": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"})],
    }
    _kept_by_clones = ("pretrained",)
    _short_forms = {**BaseECGClassifier._short_forms, "preset": mtecg_size_of}
    _weights_kind = "mtecg-classifier"
    _default_weights = "ptbxl"
    _module_class = MTECG
    _from_weights_names = (*BaseECGClassifier._from_weights_names, "scale_")

    def __init__(
        self,
        preset=None,
        *,
        pretrained=None,
        weights=None,
        pooling=None,
        sampling_rate=500,
        leads=None,
        missing="error",
        strategy="full",
        max_epochs=30,
        batch_size=32,
        learning_rate=5e-4,
        layer_decay="auto",
        weight_decay=0.05,
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
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.pretrained = pretrained
        self.weights = weights
        self.pooling = pooling
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
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _start(self) -> StartingWeights | None:
        if self.pretrained is None:
            return super()._start()
        if self.weights is not None:
            raise ValueError(
                f"weights={self.weights!r} and pretrained were both set: a fit starts from one. "
                "Leave the other at None."
            )
        source = unwrap(self.pretrained)
        if hasattr(source, "to_weights"):
            return StartingWeights("pretrained", source.to_weights())
        # A file may be of either kind: both hold an encoder.
        kind = "mtecg-pretrainer" if source in SHIPPED else None
        return StartingWeights(
            "pretrained", read_weights(source, kind=kind, parameter="pretrained")
        )

    def _check_options(self) -> None:
        check_mtecg_size(self._option("preset"))
        super()._check_options()

    def _check_network(self, network, source) -> None:
        self._option("preset").check(network, source)

    def _attributes_of(self, weights) -> dict:
        return {**super()._attributes_of(weights), "scale_": weights.network["input_scale"]}

    def _prepare(self, X):
        return as_mtecg_reads(X, self._source, rate_of_recordings(self, X), self.leads)

    def _training_numbers(self, strategy, pretrained):
        numbers = super()._training_numbers(strategy, pretrained)
        if self.layer_decay == "auto":
            return replace(numbers, layer_decay=0.75 if pretrained else 1.0)
        return numbers

    def _network(self, fit: FitContext) -> tuple[type, dict]:
        n_leads, n_samples = fit.X.shape[1:]
        network = {"n_leads": n_leads, "n_samples": n_samples}
        pooling = "cls"
        if fit.start is None:
            network |= self._option("preset").arguments(self._network_rate())
            network["input_scale"] = signal_scale(fit.X, fit.rows, fit.weights)
        else:
            before = fit.start.file.network
            network = {k: v for k, v in before.items() if k in _OF_THE_ENCODER}
            pooling = before.get("pooling", pooling)
        self.scale_ = network["input_scale"]
        pooling = self.pooling or pooling
        return MTECG, {**network, "n_outputs": fit.n_outputs, "pooling": pooling}
