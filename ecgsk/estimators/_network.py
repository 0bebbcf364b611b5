"""A torch network of the user's as a scikit-learn classifier."""

import os
from inspect import Parameter, signature

import torch
from torch import nn

from ecgsk._core.public import public
from ecgsk.estimators._classifier import BaseECGClassifier
from ecgsk.estimators._fit_context import FitContext
from ecgsk.estimators._mtecg_size import as_mtecg_reads
from ecgsk.estimators._recordings import rate_of_recordings
from ecgsk.estimators._strategies import POSITIVE

_FROM_DATA = ("n_leads", "n_samples", "n_outputs")


@public("ecgsk")
class NetworkClassifier(BaseECGClassifier):
    """Classifier around a torch network of your own.

    It fits, predicts and is saved like `MTECGClassifier`: binary, multiclass and multilabel
    targets, training strategies, early stopping by patient, checkpoints, embeddings.

    Parameters
    ----------
    network : class or callable
        Class of a ``torch.nn.Module``. It is called with ``n_leads``, ``n_samples`` and
        ``n_outputs``, which come from the data, and with ``network_params``. The module has
        ``features(x)``, which takes a tensor (n_records, n_leads, n_samples) in mV and returns a
        tensor (n_records, width), and ``head``, a ``torch.nn.Linear`` from width to n_outputs. Its
        ``forward``, if there is one, returns ``head(features(x))``.
    network_params : dict, default=None
        Other arguments of ``network``. A search reaches them as ``network__width`` and so on.
    weights : path-like or None, default=None
        File of ``save_weights``, from a classifier of the same network. It predicts without `fit`;
        `fit` fine-tunes it. The head is kept where the labels have the same names.
    sampling_rate : float or None, default=500
        Of the recordings, Hz. With ``weights``, recordings are resampled to the rate of the
        network. None is the rate that a `RecordArray` carries; for arrays with ``weights`` it
        derives 100 or 500 Hz from the number of samples. Recordings that carry another rate are
        refused.
    leads : list of str, default=None
        Names of the recordings' leads, in their order. None takes any number of leads; twelve are
        the standard ones. With ``weights`` it means the standard twelve, and other orders are
        rearranged by name. Recordings that carry other leads, or another order, are refused.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    strategy : {"full", "linear_probe", "post_training"} or strategy, default="full"
        How the network is trained, see `ecgsk.estimators.FullTraining`,
        `ecgsk.estimators.LinearProbe` and `ecgsk.estimators.PostTraining`. Stochastic depth needs
        `ecgsk.networks.StochasticDepth` modules in the network, dropout ``torch.nn.Dropout``
        modules. Where a strategy's rate is 0, the modules keep their own.
    max_epochs : int, default=30
        Passes over the training records in which all weights learn.
    batch_size : int, default=32
        Records of a step, and of a batch in prediction.
    learning_rate : float, default=1e-3
        Peak rate of AdamW. It grows linearly over the first tenth of the steps and then falls by
        half a cosine.
    layer_decay : float, default=1.0
        The rate of a layer is this factor times that of the next deeper one. Layers are the
        module's children in their order; a module with ``layer_of(parameter_name)`` and
        ``n_layers`` defines its own.
    weight_decay : float, default=0.05
        Of kernels and matrices. Biases have none, nor have the parameters that the module names in
        ``no_weight_decay``.
    weight_averaging : float, default=0.0
        Memory of an exponential mean of the weights over the steps, which replaces them at the
        end; 0 is off.
    head_init : {"random", "prior"}, default="random"
        ``"prior"`` starts the head with the log-odds of the classes in the training records.
    augmentation : ECGAugmentation or None, default=None
        Random changes of the training recordings.
    distillation : Distillation or None, default=None
        A teacher from which the network learns besides the labels.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of classes in the loss, as in scikit-learn; for multilabel targets a list of
        ``{0: weight, 1: weight}``.
    early_stopping : bool or EarlyStopping, default=False
        Whether to set records aside, to stop when their loss no longer falls, and to keep the
        weights of the best epoch.
    device : str or torch.device, default="auto"
        ``"auto"`` takes cuda, mps or cpu, the first that is there; or a torch device.
    precision : {"auto", "float32", "tf32", "bf16", "float64"}, default="auto"
        ``"auto"`` trains in bfloat16 autocast where the hardware has it, and predicts in float32.
        ``"tf32"`` trains in float32 and allows a GPU to round products to TF32.
    compile : bool, default=False
        Whether training runs ``features`` through ``torch.compile``; see Notes of
        `MTECGClassifier`. What torch cannot compile of it runs as it is.
    backend : {"torch", "openvino", "onnxruntime"}, default="torch"
        What predictions are computed with; the others need the extra ``onnx``.
    checkpoint_dir : path-like, default=None
        Folder in which the state is written after each epoch. The same fit on the same data
        continues from there after it was killed. Needs ``random_state`` to be an int.
    random_state : int, RandomState instance or None, default=None
        An int makes a fit repeat bit for bit on a CPU.
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
    lead_names_ : list of str
        The leads in standard spelling, where ``leads`` was set or the recordings carry them.
    device_ : str
        The device in use.
    history_ : list of dict
        A row for each epoch: ``stage``, ``epoch``, ``train_loss``, ``valid_loss``, ``dur`` (s).
    net_ : ECGNet
        The fitted skorch net; ``net_.module_`` is the torch module.

    See Also
    --------
    MTECGClassifier : A Transformer, with shipped weights.
    ECGFounderClassifier : A convolutional foundation model.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from ecgsk import NetworkClassifier, make_ecg
    >>> class Tiny(nn.Module):
    ...     def __init__(self, n_leads, n_samples, n_outputs, *, width=8):
    ...         super().__init__()
    ...         self.convolution = nn.Conv1d(n_leads, width, 9, stride=4)
    ...         self.head = nn.Linear(width, n_outputs)
    ...
    ...     def features(self, x):
    ...         return self.convolution(x).relu().mean(dim=2)
    >>> X = make_ecg(40, sampling_rate=100, heart_rate=np.repeat([60, 120], 20), random_state=0)
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> model = NetworkClassifier(Tiny, sampling_rate=100, max_epochs=2, random_state=0)
    >>> model.set_params(network__width=16).fit(X, y).predict_proba(X).shape
    (40, 2)
    """

    _parameter_constraints: dict = {
        **BaseECGClassifier._parameter_constraints,
        "network": [callable],
        "network_params": [dict, None],
        "sampling_rate": [POSITIVE, None],
        "weights": [str, os.PathLike, None],
    }
    _weights_kind = "network-classifier"

    def __init__(
        self,
        network,
        network_params=None,
        *,
        weights=None,
        sampling_rate=500,
        leads=None,
        missing="error",
        strategy="full",
        max_epochs=30,
        batch_size=32,
        learning_rate=1e-3,
        layer_decay=1.0,
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
        self.network = network
        self.network_params = network_params
        self.weights = weights
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

    def get_params(self, deep=True) -> dict:
        """Return the parameters, and with ``deep`` those of the network as ``network__name``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of the network and of objects among the parameters.
        """
        params = super().get_params(deep=deep)
        # Any value may have been set: only a fit checks it.
        if deep and isinstance(self.network_params, dict):
            params |= {f"network__{name}": value for name, value in self.network_params.items()}
        return params

    def set_params(self, **params) -> "NetworkClassifier":
        """Set parameters; ``network__name`` sets one of ``network_params``.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            For a name that the estimator or the network does not have.
        """
        start = "network__"
        own = {name: value for name, value in params.items() if not name.startswith(start)}
        super().set_params(**own)
        inner = {k.removeprefix(start): v for k, v in params.items() if k.startswith(start)}
        if inner:
            self._check_names(inner)
            # Another dict: a clone may share the present one.
            self.network_params = {**(self.network_params or {}), **inner}
        return self

    def _check_names(self, names) -> None:
        """Raise ValueError for arguments that the network does not take."""
        if isinstance(self.network, nn.Module):
            raise ValueError(
                f"network is an instance of {type(self.network).__name__}. Pass the class: each "
                "fit builds a new network, with network_params as its arguments."
            )
        taken = signature(self.network).parameters
        if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in taken.values()):
            return
        missing = [name for name in _FROM_DATA if name not in taken]
        if missing:
            raise ValueError(
                f"network={self.network!r} does not take {', '.join(missing)}. It has to take "
                "n_leads, n_samples and n_outputs by name; accept **kwargs to ignore some."
            )
        allowed = [name for name in taken if name not in _FROM_DATA]
        wrong = [str(name) for name in names if name not in allowed]
        if wrong:
            raise ValueError(
                f"network_params has {', '.join(wrong)}, but {self.network!r} takes "
                f"{', '.join(allowed) or 'no arguments'} besides {', '.join(_FROM_DATA)}."
            )

    def _check_options(self) -> None:
        self._check_names(self.network_params or {})
        super()._check_options()

    def _check_network(self, network, source) -> None:
        wrong = {k: v for k, v in (self.network_params or {}).items() if network.get(k) != v}
        if wrong:
            has = ", ".join(f"{name}={network.get(name)!r}" for name in wrong)
            raise ValueError(
                f"network_params={wrong!r} does not fit {source}, whose network has {has}. Leave "
                "network_params at None: they come with the weights."
            )

    @property
    def _module_class(self):
        return self.network

    def _prepare(self, X):
        return as_mtecg_reads(X, self._source, rate_of_recordings(self, X), self.leads)

    def _network(self, fit: FitContext) -> tuple[type, dict]:
        if fit.start is not None:
            return self.network, {**fit.start.file.network, "n_outputs": fit.n_outputs}
        shape = dict(zip(("n_leads", "n_samples"), fit.X.shape[1:], strict=True))
        return self.network, {**(self.network_params or {}), **shape, "n_outputs": fit.n_outputs}

    def _build_net(self, fit, class_weight):
        net = super()._build_net(fit, class_weight)
        check_module(net.module_, fit.X.shape[1:], fit.n_outputs)
        return net


def check_module(module: nn.Module, shape: tuple[int, int], n_outputs: int) -> None:
    """Raise unless a module has what a classifier trains and predicts with.

    ``shape`` is (n_leads, n_samples). TypeError without ``features`` or a linear ``head``,
    ValueError when they do not fit together, or ``forward`` computes something else.
    """
    name = type(module).__name__
    head, features_of = getattr(module, "head", None), getattr(module, "features", None)
    if not isinstance(head, nn.Linear) or not callable(features_of):
        raise TypeError(
            f"{name} needs a method features(x) and an attribute head, a torch.nn.Linear; got "
            f"head={head!r}."
        )
    if head.out_features != n_outputs:
        raise ValueError(
            f"{name}.head has {head.out_features} outputs; the task needs n_outputs={n_outputs}. "
            "Build it with the argument n_outputs."
        )
    was_training, weight = module.training, head.weight
    module.eval()
    with torch.no_grad():
        x = torch.linspace(-1, 1, 2 * shape[0] * shape[1], dtype=weight.dtype, device=weight.device)
        x = x.reshape(2, *shape)
        features = features_of(x)
        if tuple(features.shape) != (2, head.in_features):
            raise ValueError(
                f"{name}.features returns shape {tuple(features.shape)} for 2 records; expected "
                f"(2, {head.in_features}), what head reads."
            )
        has_forward = type(module).forward is not nn.Module.forward
        if has_forward and not torch.allclose(module(x), head(features), rtol=1e-4, atol=1e-5):
            raise ValueError(
                f"{name}.forward(x) is not head(features(x)), which is what is trained: it must "
                "return logits, without a sigmoid or softmax. Change forward, or leave it out."
            )
    module.train(was_training)
