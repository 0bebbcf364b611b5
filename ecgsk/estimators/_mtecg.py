"""MTECG as a scikit-learn classifier."""

from numbers import Integral, Real

from ecgsk._compat import Interval, StrOptions
from ecgsk.estimators._base import BaseECGClassifier
from ecgsk.networks import MTECG, MTECG_PRESETS
from ecgsk.training import Phase, signal_scale


class MTECGClassifier(BaseECGClassifier):
    """Transformer over segments of the 12-lead ECG, trained from a random start.

    Binary, multiclass and multilabel targets. The network takes recordings of any number of leads
    and samples, but those to predict must have as many as those it was fitted on.

    Parameters
    ----------
    preset : {"ti_12_25", "small", "nano"}, default="ti_12_25"
        Size of the network. ``"ti_12_25"`` is the published one (width 192, depth 12, 3 heads,
        segments of 0.05 s: 25 samples at 500 Hz; 5.4 million parameters); ``"small"`` (96, 4, 3,
        0.2 s) trains on a CPU; ``"nano"`` (32, 2, 2, 0.2 s) is for tests.
    patch_size : int, default=None
        Samples of a segment. None: the preset's duration at ``sampling_rate``.
    width, depth, n_heads : int, default=None
        Size of a token, blocks, attention heads of a block. None: the preset's.
    pooling : {"cls", "mean"}, default="cls"
        Whether the head reads the class token or the mean of the segments' tokens.
    sampling_rate : float, default=500
        Of the recordings, Hz. An array cannot carry it.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. None takes any number of leads.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    max_epochs : int, default=30
        Passes over the training records.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction.
    learning_rate : float, default=5e-4
        Peak rate of AdamW; it grows linearly over the first tenth of the steps and falls by half
        a cosine after that.
    weight_decay : float, default=0.05
        Of matrices; biases, normalisation, class token and positions have none.
    stochastic_depth : float, default=0.0
        Probability that a record skips a branch of the deepest block while training; it grows
        linearly with depth.
    dropout : float, default=0.0
        Rate of dropout.
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
        A row for each epoch: ``phase``, ``epoch``, ``train_loss``, ``valid_loss``, ``dur`` (s).
    net_ : ECGNet
        The fitted skorch net; ``net_.module_`` is the torch module.

    See Also
    --------
    ecgsk.tabular.ProbabilityTransformer : Makes its probabilities a step of a Pipeline.

    References
    ----------
    Zhou Y, Diao X, Huo Y, Liu Y, Fan X, Zhao W. Masked transformer for electrocardiogram
    classification. arXiv:2309.07136.

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
        "preset": [StrOptions(set(MTECG_PRESETS))],
        "patch_size": [Interval(Integral, 1, None, closed="left"), None],
        "width": [Interval(Integral, 1, None, closed="left"), None],
        "depth": [Interval(Integral, 1, None, closed="left"), None],
        "n_heads": [Interval(Integral, 1, None, closed="left"), None],
        "pooling": [StrOptions({"cls", "mean"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "stochastic_depth": [Interval(Real, 0, 1, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        preset="ti_12_25",
        *,
        patch_size=None,
        width=None,
        depth=None,
        n_heads=None,
        pooling="cls",
        sampling_rate=500,
        leads=None,
        missing="error",
        max_epochs=30,
        batch_size=32,
        learning_rate=5e-4,
        weight_decay=0.05,
        stochastic_depth=0.0,
        dropout=0.0,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        device="auto",
        precision="auto",
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.n_heads = n_heads
        self.pooling = pooling
        self.sampling_rate = sampling_rate
        self.leads = leads
        self.missing = missing
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.stochastic_depth = stochastic_depth
        self.dropout = dropout
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _look_at(self, X, rows, weights) -> None:
        self.scale_ = signal_scale(X, rows, weights)

    def _network(self, n_leads: int, n_samples: int, n_outputs: int) -> tuple[type, dict]:
        size = dict(MTECG_PRESETS[self.preset])
        patch_size = max(1, round(size.pop("patch_duration") * self.sampling_rate))
        for name in size:
            given = getattr(self, name)
            size[name] = size[name] if given is None else given
        return MTECG, {
            "n_leads": n_leads,
            "n_samples": n_samples,
            "n_outputs": n_outputs,
            "patch_size": patch_size if self.patch_size is None else self.patch_size,
            "pooling": self.pooling,
            "input_scale": self.scale_,
            **size,
        }

    def _phases(self) -> list[Phase]:
        return [
            Phase(
                "scratch",
                epochs=self.max_epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                stochastic_depth=self.stochastic_depth,
                dropout=self.dropout,
            )
        ]
