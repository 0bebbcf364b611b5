"""MTECG as a scikit-learn classifier."""

import os
from numbers import Real

from sklearn.frozen import FrozenEstimator

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import HasMethods, Interval, StrOptions
from ecgsk._training import signal_scale
from ecgsk.estimators._base import BaseECGClassifier
from ecgsk.estimators._from_weights import ClassifierFromWeights
from ecgsk.estimators._mtecg_network import SIZE_CONSTRAINTS, as_weights, network_size
from ecgsk.estimators._mtecg_source import MTECGFromWeights
from ecgsk.estimators._strategy import STRATEGY_CONSTRAINTS, Strategy
from ecgsk.networks import MTECG

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
class MTECGClassifier(MTECGFromWeights, ClassifierFromWeights, Strategy, BaseECGClassifier):
    """Transformer over segments of the 12-lead ECG.

    It learns from a random start, from the encoder of a masked pre-training (``pretrained``), or
    answers at once with a classifier that was trained before (``weights``). Binary, multiclass
    and multilabel targets. From a random start the network takes recordings of any number of
    leads and samples, but those to predict must have as many as those it was fitted on.

    Parameters
    ----------
    preset : {"ti_12_25", "compact", "small", "nano"}, default=None
        Size of the network. None is the size of ``pretrained`` or ``weights``, else
        ``"ti_12_25"``, the published one: width 192, depth 12, 3 heads, segments of 0.05 s (25
        samples at 500 Hz), 5.4 million parameters. ``"compact"`` (192, 6, 3, 0.1 s) is that of
        the shipped weights; ``"small"`` (96, 4, 3, 0.2 s) trains quickly on a CPU; ``"nano"``
        (32, 2, 2, 0.2 s) is for tests.
    pretrained : MTECGPretrainer, path-like, "ptbxl" or None, default=None
        Encoder that `fit` starts from: a fitted pre-trainer (a clone keeps it as it is), a file
        of ``save_weights``, or the encoder that comes with ecgsk, pre-trained without labels.
        Its preprocessing and scale come with it; the head is new.
    weights : path-like, "ptbxl" or None, default=None
        A trained classifier: a file of ``save_weights``, or the classifier of the 71 statements
        of PTB-XL that comes with ecgsk. It predicts without `fit`, on recordings in mV as they
        come from the file: the preprocessing is part of it. `fit` fine-tunes it; the head is
        kept where the labels have the same names.
    patch_size : int, default=None
        Samples of a segment. None: the preset's duration at ``sampling_rate``.
    width, depth, n_heads : int, default=None
        Size of a token, blocks, attention heads of a block. None: the preset's.
    pooling : {"cls", "mean"}, default=None
        Whether the head reads the class token or the mean of the segments' tokens. None is that
        of ``weights`` or ``pretrained``, else ``"cls"``.
    sampling_rate : float or None, default=500
        Of the recordings, Hz. An array cannot carry it. Weights resample to the rate that they
        need; with them, None lets the number of samples tell 100 Hz from 500 Hz.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. None takes any number of leads; with
        weights it means the standard twelve, and other orders are rearranged by name.
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
        For these passes. The starting values of post-training are second-hand: the paper's
        own are not known to us.
    max_epochs : int, default=30
        Passes over the training records in which all weights learn.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction.
    learning_rate : float, default=5e-4
        Peak rate of AdamW; it grows linearly over the first tenth of the steps and falls by half
        a cosine after that.
    final_learning_rate : float or "auto", default="auto"
        Rate at which the cosine ends. ``"auto"`` is 1e-5 for post-training (second-hand) and 0
        otherwise.
    layer_decay : float or "auto", default="auto"
        The rate of a block is this factor times that of the next deeper one, so that early layers
        keep what pre-training taught them. ``"auto"`` is 0.75 with ``pretrained`` or ``weights``
        and 1 from a random start.
    weight_decay : float, default=0.05
        Of matrices; biases, normalisation, class token and positions have none.
    stochastic_depth : float or "auto", default="auto"
        Probability that a record skips a branch of the deepest block while training. ``"auto"`` is
        0.3 for post-training (second-hand, and contested: another source says 0.5) and 0 otherwise.
    stochastic_depth_rule : {"linear", "constant"}, default="linear"
        Whether that probability grows from 0 at the first block, or is the same everywhere.
    dropout : float or "auto", default="auto"
        Rate of dropout. ``"auto"`` is 0.05 for post-training (second-hand) and 0 otherwise.
    weight_averaging : float, default=0.0
        Memory of an exponential mean of the weights over the steps, which takes their place at
        the end (and is what early stopping judges): 0.999 remembers some thousand steps. 0 is off.
    head_init : {"random", "prior"}, default="random"
        ``"prior"`` starts the head with the log-odds of the classes in the training records and
        weights of next to nothing, so that the first steps need not learn how rare labels are.
    augmentation : ECGAugmentation or None, default=None
        Random changes of the training recordings.
    teacher : estimator or None, default=None
        A fitted classifier of the same task, from whose probabilities of the training records the
        network learns besides the labels. It is asked once, before training. A clone keeps it as
        it is.
    distillation_temperature : float, default=2.0
        Softens the answers of teacher and network when they are compared.
    distillation_weight : float, default=0.7
        Share of the teacher in the loss, between 0 and 1; labels have the rest.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of classes in the loss, as in scikit-learn; for multilabel targets a list of
        ``{0: weight, 1: weight}``. Weights shift the probabilities: calibrate them afterwards.
    early_stopping : bool, default=False
        Whether to set records aside, to stop when their loss no longer falls, and to keep the
        weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of records (of patients, where ``groups`` are given to `fit`) set aside.
    n_iter_no_change : int, default=10
        Epochs without a better validation loss after which training stops.
    tol : float, default=1e-4
        Smallest fall of the validation loss that counts as better.
    device : str or torch.device, default="auto"
        ``"auto"`` takes cuda, mps or cpu, the first there is; or a torch device.
    precision : {"auto", "float32", "bf16", "float64"}, default="auto"
        ``"auto"`` trains in bfloat16 autocast where the hardware multiplies it and predicts in
        float32, so that a model answers alike everywhere. ``"float64"`` is slow and makes results
        independent of the order of sums.
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
        recordings in mV and standardised ones are learnt alike.
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
    ecgsk.tabular.ProbabilityTransformer : Makes its probabilities a step of a Pipeline.

    ecgsk.MTECGPretrainer : Pre-trains the encoder on recordings without labels.

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
        **SIZE_CONSTRAINTS,
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "pretrained": [str, os.PathLike, HasMethods("to_weights"), FrozenEstimator, None],
        "weights": [str, os.PathLike, None],
        "pooling": [StrOptions({"cls", "mean"}), None],
        **STRATEGY_CONSTRAINTS,
        "layer_decay": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"})],
    }
    _kept_by_clones = ("pretrained", "teacher")
    _weights_kind = "mtecg-classifier"
    _module_class = MTECG
    _told_by_weights = (*ClassifierFromWeights._told_by_weights, "scale_")
    _learnt = (*_told_by_weights, "_starts_from", "lead_names_")

    def __init__(
        self,
        preset=None,
        *,
        pretrained=None,
        weights=None,
        patch_size=None,
        width=None,
        depth=None,
        n_heads=None,
        pooling=None,
        sampling_rate=500,
        leads=None,
        missing="error",
        strategy="full",
        head_epochs=30,
        head_learning_rate=5e-3,
        head_weight_decay=0.1,
        max_epochs=30,
        batch_size=32,
        learning_rate=5e-4,
        final_learning_rate="auto",
        layer_decay="auto",
        weight_decay=0.05,
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
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.pretrained = pretrained
        self.weights = weights
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.n_heads = n_heads
        self.pooling = pooling
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
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _start_source(self):
        if self.pretrained is None:
            return super()._start_source()
        if self.weights is not None:
            raise ValueError(
                f"weights={self.weights!r} and pretrained were both given: a fit starts from one. "
                "Leave the other at None."
            )
        return "pretrained", as_weights(self.pretrained, kind="mtecg-pretrainer")

    def _look_at(self, X, rows, weights) -> None:
        if self._starts_from is None:
            self.scale_ = signal_scale(X, rows, weights)
        else:
            self.scale_ = self._starts_from[1].network["input_scale"]

    def _network(self, n_leads: int, n_samples: int, n_outputs: int) -> tuple[type, dict]:
        network = {"n_leads": n_leads, "n_samples": n_samples, "input_scale": self.scale_}
        pooling = "cls"
        if self._starts_from is None:
            network |= network_size(self)
        else:
            before = self._starts_from[1].network
            network = {k: v for k, v in before.items() if k in _OF_THE_ENCODER}
            pooling = before.get("pooling", pooling)
        return MTECG, {**network, "n_outputs": n_outputs, "pooling": self.pooling or pooling}

    def _network_input(self) -> tuple[int, int]:
        network = self.net_.get_params_for("module")
        return network["n_leads"], network["n_samples"]
