"""A network in an ONNX file as a scikit-learn classifier."""

import os
from contextlib import suppress
from numbers import Integral

import numpy as np
from sklearn.base import ClassifierMixin

from ecgsk._core.carried import carried_leads, check_rate
from ecgsk._core.public import public
from ecgsk._core.records import RecordArray
from ecgsk._core.signal import STANDARD_LEADS, checked_ecg
from ecgsk._core.sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    being_displayed,
    check_own_params,
    fit_context,
)
from ecgsk._core.steps import keep_preprocessing, warn_of_preprocessing
from ecgsk.estimators._onnx_interface import ONNXInterface, check_shapes, find_interface
from ecgsk.estimators._onnx_metadata import LAYOUTS
from ecgsk.estimators._onnx_outputs import (
    ACTIVATIONS,
    check_targets,
    columns_of_parameters,
    probabilities_of,
)
from ecgsk.estimators._onnx_state import ONNXState
from ecgsk.estimators._strategies import POSITIVE
from ecgsk.estimators._weights_lookup import WeightsError
from ecgsk.estimators._weights_source import transformed
from ecgsk.preprocessing import SelectLeads

_FROM_COLUMNS = ("classes_", "label_names_", "multilabel_")
_FROM_FILE = (*_FROM_COLUMNS, "n_features_in_", "n_samples_in_", "sha256_")


@public("ecgsk")
class ONNXClassifier(ClassifierMixin, ONNXState):
    """Classifier that predicts with a network in an ONNX file, such as one of another group.

    Files that ``export`` of a network classifier wrote contain all that is needed:
    ``ONNXClassifier(path)`` takes the same recordings and returns the same probabilities. For
    other files the parameters state what the network reads and what it returns. Recordings are
    those of the other classifiers: mV, leads in standard order. Nothing is fitted. Needs the extra
    ``onnx``; computes on the CPU.

    Parameters
    ----------
    path : str or path-like
        ONNX file. It is read at the first use. Clones, and pickles after that, contain what was
        read; files of `ecgsk.save` always contain it.
    label_names : list of str or None, default=None
        Names of the outputs, in their order, if these are independent labels (multilabel).
    classes : list or None, default=None
        Classes of the outputs, in their order, if exactly one of them applies. A network with one
        output has two: the output is the probability of the second in this list. ``classes_`` and
        the columns of `predict_proba` are sorted, as those of scikit-learn.
    sampling_rate : float or None, default=None
        Sampling rate at which the network reads recordings, Hz. None is that in a file of
        ``export``. Recordings at another rate need a `ecgsk.preprocessing.Resample` in
        ``preprocessing``.
    seconds : float or None, default=None
        Length of a recording that the network reads. None is that of the network's input, where
        the file fixes it.
    leads : list of str or None, default=None
        Leads that the network reads, in its order. None is the standard twelve. Recordings of
        twelve leads in standard order, and those that carry the names of their leads, are
        rearranged by name, and missing limb leads are computed from I and II. Arrays of another
        number of leads have to be in the network's order.
    unit : str, default="mV"
        Unit that the network reads: "mV", "uV", "V", or a multiple such as "1e-4 V".
    input_layout : {"auto", "leads-samples", "samples-leads"}, default="auto"
        Order of the dimensions after the first, which is for records. ``"auto"`` finds the
        dimension that is as large as there are leads.
    preprocessing : transformer, list of transformers or None, default=None
        Transformers of `ecgsk.preprocessing` that recordings, in mV and with the leads of the
        network, go through before it. Those in a file of ``export`` follow.
    output : str or None, default=None
        Name of the output with the logits or probabilities; None if there is only one.
    activation : {"auto", "none", "sigmoid", "softmax"}, default="auto"
        The function that computes probabilities from the outputs: "sigmoid" or "softmax" for
        logits, "none" where the outputs are probabilities. ``"auto"`` works for files whose last
        operator is one of the two, and for those of ``export``.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    batch_size : int, default=32
        Records that are computed together, unless the file fixes their number.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted; ``0 ... n_labels - 1`` for labels.
    multilabel_ : bool
        Whether the outputs are independent labels.
    label_names_ : list of str
        Names of the labels, where they have names.
    n_features_in_ : int
        Leads of the recordings.
    n_samples_in_ : int or None
        Samples of a recording; None where the preprocessing takes any number.
    sha256_ : str
        SHA-256 of the file, 64 hexadecimal digits.

    See Also
    --------
    NetworkClassifier : A torch network of your own, which can be fitted.
    ProbabilityTransformer : Makes the probabilities predictors of another model.

    Notes
    -----
    Contradictions are errors: a number of names that is not the number of outputs,
    probabilities outside [0, 1], classes that do not add up to 1, an activation that the file
    applies already, and recordings of another length, or that carry another rate. A wrong unit,
    rate or order of leads that fits the network's input cannot be detected: compare some
    probabilities with those that the network's authors computed. `prepare` returns what the
    network reads.

    An ONNX file runs no code of its own. Files with operators that need another library, or with
    weights in other files, are refused. A crafted file can take much memory or time.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ecgsk import MTECGClassifier, ONNXClassifier, make_ecg
    >>> X = make_ecg(24, sampling_rate=100, random_state=0)
    >>> y = [0, 1] * 12
    >>> model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.export(f"{folder}/network.onnx")
    ...     again = ONNXClassifier(f"{folder}/network.onnx")
    ...     probabilities = again.predict_proba(X)
    >>> bool(np.allclose(probabilities, model.predict_proba(X), atol=1e-5))
    True

    A network of another group, in full:

    >>> vendor = ONNXClassifier(
    ...     "vendor.onnx",
    ...     ["AF", "LBBB"],
    ...     sampling_rate=400,
    ...     leads=["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"],
    ...     unit="uV",
    ...     activation="sigmoid",
    ... )
    """

    _parameter_constraints: dict = {
        "path": [str, os.PathLike],
        "label_names": ["array-like", None],
        "classes": ["array-like", None],
        "sampling_rate": [POSITIVE, None],
        "seconds": [POSITIVE, None],
        "leads": ["array-like", None],
        "unit": [str],
        "input_layout": [StrOptions({"auto", *LAYOUTS})],
        "preprocessing": [HasMethods("transform"), list, tuple, None],
        "output": [str, None],
        "activation": [StrOptions({"auto", *ACTIVATIONS})],
        "missing": [StrOptions({"error", "zero"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        path,
        label_names=None,
        *,
        classes=None,
        sampling_rate=None,
        seconds=None,
        leads=None,
        unit="mV",
        input_layout="auto",
        preprocessing=None,
        output=None,
        activation="auto",
        missing="error",
        batch_size=32,
    ):
        self.path = path
        self.label_names = label_names
        self.classes = classes
        self.sampling_rate = sampling_rate
        self.seconds = seconds
        self.leads = leads
        self.unit = unit
        self.input_layout = input_layout
        self.preprocessing = preprocessing
        self.output = output
        self.activation = activation
        self.missing = missing
        self.batch_size = batch_size

    # The file

    def _interface(self) -> ONNXInterface:
        """Return what the network reads and returns."""
        check_own_params(self)
        file = self._file()
        source = f"path={os.fspath(self.path)!r}"
        return find_interface(self.get_params(deep=False), file.description, source)

    def __getattr__(self, name):
        # Not properties: dir evaluates those, and listing attributes must not read the file.
        if name not in _FROM_FILE or "path" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            columns = columns_of_parameters(vars(self)) if name in _FROM_COLUMNS else None
            if columns is None:
                if being_displayed():
                    raise WeightsError("Files are not read for the display of an estimator.")
                if name == "sha256_":
                    return self._file().sha256
                interface = self._interface()
                columns = interface.columns
                if name == "n_features_in_":
                    return len(interface.array_leads or range(interface.shape[0]))
                if name == "n_samples_in_":
                    return interface.n_samples
        except Exception as error:
            raise WeightsError(
                f"{type(self).__name__}.{name} comes from path={os.fspath(self.path)!r}, which "
                f"cannot be used: {error}"
            ) from error
        if name == "multilabel_":
            return columns.multilabel
        if name == "classes_":
            return np.unique(columns.classes)
        if columns.label_names is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return columns.label_names

    def _recordings_taken(self) -> tuple:
        """Return the recordings that `known_input` describes."""
        interface = self._interface()
        leads = interface.array_leads
        n_leads = interface.shape[0] if leads is None else len(leads)
        rate, before = interface.sampling_rate, interface.preprocessed_by
        return rate, interface.seconds, leads, n_leads, before

    # Recordings

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Compare recordings and targets with what the network takes; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV.
        y : array-like of shape (n_records,) or (n_records, n_labels), default=None
            Classes, or an indicator matrix of the labels.

        Returns
        -------
        self : object
            The classifier.

        Raises
        ------
        ValueError
            For recordings that the network does not take, and targets that it does not have.
        """
        interface = self._interface()
        self._checked(X, interface)
        keep_preprocessing(self, X)
        if y is not None:
            check_targets(y, interface.columns)
        return self

    def _checked(self, X, interface: ONNXInterface):
        """Return valid recordings, and the names of their leads; None where unknown."""
        name = type(self).__name__
        stated = f"{name} takes recordings at {interface.sampling_rate:g} Hz"
        check_rate(X, interface.sampling_rate, stated, setting=None)
        if isinstance(X, (list, tuple)):
            with suppress(ValueError):  # of different lengths: `check_ecg` has the message
                X = np.asarray(X)
        names = carried_leads(X)
        if names is None and interface.array_leads is not None:
            shape = tuple(getattr(X, "shape", ()))
            in_standard_order = len(shape) == 3 and shape[1] == len(STANDARD_LEADS)
            # A network of few leads takes them alone, or out of the standard twelve.
            own = not in_standard_order or len(interface.array_leads) == len(STANDARD_LEADS)
            names = list(interface.array_leads if own else STANDARD_LEADS)
        n_leads = interface.shape[0] if names is None else len(names)
        X = checked_ecg(X, n_leads, interface.n_samples, missing=self.missing, leads=names)
        return X, names

    def _examine(self, X):
        """Return valid recordings before their preparation; warn of those that look wrong."""
        return self._checked(X, self._interface())[0]

    def _prepared(self, X, interface: ONNXInterface):
        """Return recordings in mV with the leads, rate and length that the network reads."""
        warn_of_preprocessing(self, X, stacklevel=3, expected=interface.preprocessed_by)
        X, names = self._checked(X, interface)
        steps = list(interface.steps)
        if interface.leads is not None and names != list(interface.leads):
            steps.insert(0, SelectLeads(interface.leads, input_leads=names))
        check_shapes(steps, X.shape[1:], interface.shape)
        return transformed(X, steps)

    def _inputs(self, X, interface: ONNXInterface, rows: slice) -> np.ndarray:
        """Return some recordings in the unit, the order and the type that the network reads."""
        x = X.read(range(rows.start, rows.stop)) if isinstance(X, RecordArray) else X[rows]
        if interface.samples_first:
            x = x.transpose(0, 2, 1)
        dtype = interface.input.dtype
        with np.errstate(over="ignore"):
            x = x * np.float32(interface.factor) if interface.factor != 1 else x
            x = np.ascontiguousarray(x, dtype=dtype)
        if not np.isfinite(x).all():
            raise ValueError(
                f"unit={self.unit!r} makes samples of the recordings too large for the network's "
                f"{dtype}. Correct unit, or leave out recordings of such amplitudes."
            )
        return x

    def prepare(self, X) -> np.ndarray:
        """Return what the network reads of recordings, to compare it with another implementation.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            Recordings, mV. All of them are read into memory.

        Returns
        -------
        ndarray of shape (n_records, n_leads, n_samples) or (n_records, n_samples, n_leads)
            In the unit, the layout and the type of the network's input.
        """
        interface = self._interface()
        X = self._prepared(X, interface)
        return self._inputs(X, interface, slice(0, len(X)))

    # Predictions

    def predict_proba(self, X) -> np.ndarray:
        """Return probabilities.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV; two dimensions read as one lead.

        Returns
        -------
        ndarray of shape (n_records, n_classes) or (n_records, n_labels)
            Probability of each class, in the order of ``classes_``, or of each label.

        Raises
        ------
        ImportError
            When the extra ``onnx`` is missing.
        FileNotFoundError
            When the file does not exist, and the classifier does not contain it.
        ValueError
            When the file and the parameters do not state how to use the network, recordings do
            not fit it, or its outputs are not what the parameters state.
        """
        interface = self._interface()
        X = self._prepared(X, interface)
        outputs = self._outputs(X, interface)
        return probabilities_of(outputs, interface.columns, interface.activation, interface.output)

    def _outputs(self, X, interface: ONNXInterface) -> np.ndarray:
        """Return the output of shape (n_records, n_columns), float64."""
        file, size = self._file(), interface.n_at_once or self.batch_size
        found = []
        for start in range(0, len(X), size):
            rows = slice(start, min(start + size, len(X)))
            x = self._inputs(X, interface, rows)
            n_records = len(x)
            if interface.n_at_once is not None and n_records < size:
                x = np.concatenate([x, np.repeat(x[-1:], size - n_records, axis=0)])
            values = np.asarray(file.compute({interface.input.name: x}, interface.output))
            if values.ndim not in (1, 2) or len(values) != len(x) or values.dtype.kind != "f":
                raise ValueError(
                    f"the output {interface.output!r} has shape {values.shape} for {len(x)} "
                    "records; expected (n_records, columns). Choose another with output, or export "
                    "the network again."
                )
            found.append(values.astype(np.float64).reshape(len(x), -1)[:n_records])
        outputs = np.concatenate(found)
        lost = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
        if len(lost):
            raise ValueError(
                f"The network's output is not finite for {len(lost)} of {len(X)} records; the "
                f"first is record {lost[0]}. Check its amplitude."
            )
        return outputs

    def predict(self, X) -> np.ndarray:
        """Return the likeliest class, or the labels with a probability above 0.5.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.

        Returns
        -------
        ndarray of shape (n_records,) or (n_records, n_labels)
            Classes, or 0 and 1.
        """
        probabilities = self.predict_proba(X)
        if self.multilabel_:
            return (probabilities > 0.5).astype(int)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        # Two dimensions read as one lead.
        tags.input_tags.two_d_array = self.leads is not None and np.size(self.leads) == 1
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.classifier_tags.multi_label = True
        tags.target_tags.required = False
        tags.target_tags.two_d_labels = True
        tags.requires_fit = False
        return tags
