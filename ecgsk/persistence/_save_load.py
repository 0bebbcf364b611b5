"""Save, load and describe whole models."""

import os
import warnings
from collections.abc import Iterable
from copy import copy as shallow_copy
from inspect import signature

import safetensors.numpy
from sklearn.exceptions import InconsistentVersionWarning

from ecgsk import preprocessing as transformers
from ecgsk._core.public import public
from ecgsk._core.steps import as_named_steps
from ecgsk._core.tensor_store import TensorStore, loading, saving
from ecgsk.persistence import _types
from ecgsk.persistence._audit import Audit
from ecgsk.persistence._compact import deduplicate
from ecgsk.persistence._consistency import check_consistency
from ecgsk.persistence._container import FORMAT, Container, read_container
from ecgsk.persistence._description import describe_model, versions
from ecgsk.persistence._devices import name_of_device, with_device
from ecgsk.persistence._errors import ModelFileError, ModelVersionWarning
from ecgsk.persistence._parts import copy_for_saving, parts

_USE_PICKLE = (
    "joblib.dump can store more types, but loading its files runs code, so load only your own files"
)


@public("ecgsk")
def save(estimator, path: str | os.PathLike, *, about: str = "", preprocessing=None) -> str:
    """Save a model to one file that runs no code when it is loaded.

    Parameters
    ----------
    estimator : estimator
        Fitted or unfitted estimator: those of ecgsk, most of scikit-learn, explainable boosting
        machines, and combinations of them (pipelines, calibration, thresholds, stacking, searches).
    path : path-like
        Path of the file, usually with the suffix ``.ecgsk``. An existing file is replaced after
        the new file is complete.
    about : str, default=""
        Notes for users of the file, such as data, license and performance. `describe` returns them.
    preprocessing : list of transformers or of (str, dict), or None, default=None
        Transformers of `ecgsk.preprocessing`, or their names and parameters, that the training
        recordings had gone through before they reached the model, which are not steps of it.
        ``ecgsk predict`` and ``ecgsk report`` apply them to recordings; in Python, apply them
        before the model. An empty list means that they were raw. None takes what a `RecordArray`
        carried in ``fit``, as that of `load_echonext` does; arrays carry nothing.

    Returns
    -------
    str
        SHA-256 of the content, 64 hexadecimal digits. Give it to users of the file, for the
        parameter ``sha256`` of `load`.

    Raises
    ------
    TypeError
        If ``estimator`` is not an estimator.
    ModelFileError
        If the model contains something that cannot be stored, such as recordings, tables, lambda
        functions, boosted trees with categorical splits, or tensors and networks of torch outside
        the classifiers of ecgsk. The message names the place.

    Warns
    -----
    UserWarning
        If the model contains types that `load` only accepts in ``trusted``.

    Notes
    -----
    The file is a zip archive of a description (JSON), the model without its networks (skops) and
    the tensors of the networks (safetensors). It includes weights that an estimator reads from a
    file. It does not include what only training needs: optimizers, the study of a search, and the
    cache (``memory``) of a Pipeline. After `load`, predictions are bit-for-bit the same on the same
    machine with the same versions; the file contains the versions.

    pickle and joblib can store models, too, and support more types, but loading such a file runs
    any code in it. Use them for copies within one program, for worker processes, and for files that
    nobody else could have written.

    Examples
    --------
    >>> import tempfile, ecgsk
    >>> from ecgsk.persistence import describe, load, save
    >>> X = ecgsk.make_ecg(24, sampling_rate=100, random_state=0)
    >>> y = [0, 1] * 12
    >>> model = ecgsk.MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sha256 = save(model.fit(X, y), f"{folder}/slow-or-fast.ecgsk", about="A toy.")
    ...     again = load(f"{folder}/slow-or-fast.ecgsk", sha256=sha256)
    ...     print(describe(f"{folder}/slow-or-fast.ecgsk")["model"])
    MTECGClassifier
    >>> bool((again.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        raise TypeError(
            f"estimator={estimator!r:.100} is not an estimator; give an object with get_params, "
            "such as a classifier or a Pipeline."
        )
    if not isinstance(about, str):
        raise TypeError(f"about={about!r:.100} is not allowed; give a str.")
    if preprocessing is not None:
        preprocessing = _named_steps(preprocessing)
    from skops.io import dumps

    store = TensorStore()
    try:
        with saving(store):
            copy = copy_for_saving(estimator)
            if preprocessing is not None:
                copy = copy if copy is not estimator else shallow_copy(estimator)
                vars(copy)["preprocessed_by_"] = preprocessing
            model = deduplicate(dumps(copy))
        audit = Audit(model)
    except RecursionError as error:
        raise ModelFileError(
            f"{type(estimator).__name__} cannot be saved: a part of it contains the whole model. "
            f"{_USE_PICKLE}."
        ) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"{type(estimator).__name__} cannot be saved: {error}. {_USE_PICKLE}."
        ) from error
    if audit.unknown:
        names = sorted(".".join(pair) for pair in audit.unknown)
        warnings.warn(
            f"{os.fspath(path)} contains types that ecgsk does not know. To load it, use "
            f"trusted={names}.",
            stacklevel=2,
        )
    description = {"format": FORMAT, **describe_model(copy, about)}
    return Container(description, model, safetensors.numpy.save(store.flat())).write(path)


@public("ecgsk")
def load(
    path: str | os.PathLike, *, trusted: Iterable[str] = (), sha256: str | None = None, device=None
):
    """Load a model from a file of `save`, without running code from the file.

    Parameters
    ----------
    path : path-like
        Path of the file.
    trusted : iterable of str, default=()
        Full names of further types that the file may contain, such as
        ``["my_package.MyTransformer"]``. Loading imports their modules and runs their code, so
        list only types whose code you trust. `describe` returns the types in a file.
    sha256 : str or None, default=None
        Return value of `save`. A file with other content raises an error.
    device : str, torch.device or None, default=None
        Device on which the networks in the model predict, see `set_device`; ``"auto"`` is the
        fastest one here. None leaves the parameter ``device`` of each network as it was saved. If
        it names a device that is not available here, the network predicts on another number of the
        same kind or on the CPU, with a warning.

    Returns
    -------
    estimator
        The saved model. Its networks are on the CPU until they predict.

    Raises
    ------
    ValueError
        If ``device`` is not available, before the file is read.
    FileNotFoundError
        If the file does not exist.
    ModelFileError
        If the file is not from `save`, is incomplete or changed, needs a newer version of ecgsk,
        does not match ``sha256``, contains types that are neither known nor trusted, or a model
        whose numbers contradict each other or are not finite.

    Warns
    -----
    ModelVersionWarning
        If the file contains objects of scikit-learn or interpret, and was saved with another
        version of them.

    Notes
    -----
    Only types on a list of ecgsk are imported: estimators of ecgsk, explainable boosting machines,
    and types of scikit-learn that compute with NumPy. Forests, nearest neighbors, support vector
    machines and one-hot encoders must be ``trusted``, because their compiled code does not check
    indices from a file. Arrays and networks are not larger than the file's content. A file can
    still contain a model that predicts wrongly, so use files from sources that you know.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from ecgsk.persistence import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(LogisticRegression(C=0.5), f"{folder}/model.ecgsk")
    ...     load(f"{folder}/model.ecgsk")
    LogisticRegression(C=0.5)
    """
    pairs = _pairs(trusted)
    name = None if device is None else name_of_device(device)
    container = read_container(path)
    if sha256 is not None and container.sha256 != str(sha256).lower():
        raise ModelFileError(
            f"{os.fspath(path)} has the SHA-256 {container.sha256} instead of "
            f"sha256={sha256!s:.80}. Get the right file, or correct sha256."
        )
    audit = _audit(path, container, pairs)
    if audit.unknown:
        names = sorted(".".join(pair) for pair in audit.unknown)
        raise ModelFileError(
            f"{os.fspath(path)} contains types that ecgsk does not know: "
            f"{', '.join(names)[:1000]}. Loading them runs their code. If you trust them, use "
            f"load(path, trusted={names!s:.1000})."
        )
    _compare_versions(path, container.description, audit)
    from skops.io import loads

    names = [".".join(pair) for pair in audit.types]
    try:
        store = TensorStore(safetensors.numpy.load(container.tensors))
        with loading(store), warnings.catch_warnings():
            # _compare_versions gives one warning for all parts of the model.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            model = loads(audit.model, trusted=names)
        if store.not_built():
            raise ValueError(f"the tensors {', '.join(store.not_built())} are not used")
        _add_new_parameters(model)
        check_consistency(model)
    except MemoryError:
        raise
    # A type may raise any error for a state that does not belong to it.
    except Exception as error:
        raise _cannot_be_loaded(path, container.description, error) from error
    return model if name is None else with_device(model, name)


@public("ecgsk.persistence")
def describe(path: str | os.PathLike) -> dict:
    """Return the description of a model file, without loading the model.

    Parameters
    ----------
    path : path-like
        Path of a file from `save`.

    Returns
    -------
    dict
        - ``format``: format of the file;
        - ``sha256``: checksum of the content, which was checked;
        - ``model``: classes of the model and of its parts;
        - ``about``: notes from `save`;
        - ``saved``: date and time in UTC;
        - ``versions``: versions of the packages with which it was saved;
        - ``classes``; ``label_names`` of the columns of ``predict_proba``, None unless the model
          is multilabel;
        - ``n_features`` of the input (leads for recordings), and ``sampling_rate`` (Hz),
          ``seconds``, ``n_samples`` and ``leads`` (names) of its recordings, None if unknown;
        - ``preprocessing``: name and parameters of the transformers that recordings have to go
          through before the model, see `save`; None if unknown;
        - ``types``: types in the file;
        - ``to_trust``: types that `load` only accepts in ``trusted``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ModelFileError
        If the file is not from `save`, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from ecgsk.persistence import describe, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(LogisticRegression(), f"{folder}/model.ecgsk", about="Not fitted.")
    ...     description = describe(f"{folder}/model.ecgsk")
    >>> description["model"], description["about"], description["to_trust"]
    ('LogisticRegression', 'Not fitted.', [])
    """
    container = read_container(path)
    audit = _audit(path, container)
    return {
        **container.description,
        "types": sorted(".".join(pair) for pair in audit.types),
        "to_trust": sorted(".".join(pair) for pair in audit.unknown),
    }


def _named_steps(preprocessing) -> list[tuple[str, dict]]:
    named = as_named_steps(preprocessing)
    unknown = [name for name, _ in named if name not in transformers.__all__]
    if unknown:
        raise ValueError(
            f"preprocessing contains {', '.join(unknown)}; only transformers of "
            "ecgsk.preprocessing can be kept with a model. Make others steps of a Pipeline."
        )
    return named


def _pairs(trusted: Iterable[str]) -> set[tuple[str, str]]:
    if isinstance(trusted, str) or not isinstance(trusted, Iterable):
        raise TypeError(
            f"trusted={trusted!r} is not allowed; give a list with the full name of each type, "
            "such as ['my_package.MyTransformer']."
        )
    pairs = set()
    for name in trusted:
        if not isinstance(name, str) or "." not in name:
            raise TypeError(
                f"trusted has {name!r}; give the full name of each type, such as "
                "'my_package.MyTransformer'."
            )
        module, _, name = name.rpartition(".")
        pairs.add((module, name))
    return pairs


def _audit(path, container: Container, trusted=frozenset()) -> Audit:
    try:
        return Audit(container.model, trusted)
    # The last three are from fields of other types than those that skops writes.
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelFileError(
            f"{os.fspath(path)} is not loaded, because ecgsk.save does not write such a file: "
            f"{error}. The file may be malicious; check where it is from."
        ) from error


def _compare_versions(path, description: dict, audit: Audit) -> None:
    saved, here = description.get("versions"), versions()
    if not isinstance(saved, dict):
        return
    contains = {
        "sklearn": any(module.startswith("sklearn.") for module, _ in audit.types),
        "interpret": bool(audit.types & _types.GLASS_BOXES),
    }
    differ = [
        f"{name} {saved[name]!s:.20} (now {here.get(name)})"
        for name, present in contains.items()
        if present and name in saved and saved[name] != here.get(name)
    ]
    if differ:
        warnings.warn(
            f"{os.fspath(path)} was saved with {' and '.join(differ)}, so predictions may differ. "
            "Compare predictions with earlier ones, install the versions of the file, or fit and "
            "save the model again.",
            ModelVersionWarning,
            stacklevel=3,
        )


def _add_new_parameters(model) -> None:
    """Set parameters of ecgsk's estimators that did not exist when the model was saved."""
    for part in parts(model):
        if type(part).__module__.partition(".")[0] == "ecgsk":
            for name, parameter in signature(type(part)).parameters.items():
                if parameter.default is not parameter.empty:
                    vars(part).setdefault(name, parameter.default)


def _cannot_be_loaded(path, description: dict, error: Exception) -> ModelFileError:
    saved = description.get("versions")
    return ModelFileError(
        f"{os.fspath(path)} cannot be loaded: {type(error).__name__}: {error!s:.500}. The file is "
        f"damaged, or its versions are too different (saved with {saved!s:.300}; now {versions()})."
    )
