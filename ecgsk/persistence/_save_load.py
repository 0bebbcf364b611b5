"""Save, load and describe whole models."""

import os
import warnings
from collections.abc import Iterable
from inspect import signature

import safetensors.numpy
from sklearn.exceptions import InconsistentVersionWarning

from ecgsk._core.public import public
from ecgsk._core.tensor_store import TensorStore, loading, saving
from ecgsk.persistence import _types
from ecgsk.persistence._audit import Audit
from ecgsk.persistence._compact import tidy
from ecgsk.persistence._container import FORMAT, Container, read_container
from ecgsk.persistence._description import description, versions
from ecgsk.persistence._errors import ModelFileError, ModelVersionWarning
from ecgsk.persistence._parts import parts, skeleton

_BY_PICKLE = (
    "joblib.dump keeps what pickle can; its files run code when they are read, so read only your "
    "own"
)


@public("ecgsk")
def save(estimator, path: str | os.PathLike, *, about: str = "") -> str:
    """Write a model to one file that runs no code when it is read.

    Parameters
    ----------
    estimator : estimator
        Fitted or not: the classifiers and the pre-trainer of ecgsk, transformers, EBMs, those of
        scikit-learn, and what is composed of them (Pipeline, FeatureUnion, calibration, thresholds,
        stacking, searches).
    path : path-like
        Where to; by custom it ends in ``.ecgsk``. What is there is replaced when the new file is
        whole.
    about : str, default=""
        What a reader should know: data, licence, figures. `describe` shows it.

    Returns
    -------
    str
        SHA-256 of the content, 64 hexadecimal digits: tell it to whoever gets the file, for the
        ``sha256`` of `load`.

    Raises
    ------
    TypeError
        When ``estimator`` is none.
    ModelFileError
        When it holds something that such a file cannot keep, such as recordings, tables, lambdas
        or boosted trees that split categories; the message says where.

    Warns
    -----
    UserWarning
        When it holds types that `load` will only take as ``trusted``.

    Notes
    -----
    The file is a zip archive of a description (JSON), the model without its networks (skops) and
    the networks' tensors (safetensors). Weights that an estimator reads from a file are in it.
    What only a training needs is left out: optimisers, the study of a search, the cache
    (``memory``) of a Pipeline. Predictions after `load` are the same bit for bit on the same
    machine with the same versions; what the versions were is in the file.

    pickle and joblib keep models as well, and more kinds of them, but reading such a file runs
    whatever code is in it. They are fine for copies within one program, for workers, and for files
    that nobody else could have written.

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
            f"estimator={estimator!r:.100} is no estimator; give an object with get_params, such "
            "as a classifier or a Pipeline."
        )
    if not isinstance(about, str):
        raise TypeError(f"about={about!r:.100} has to be text.")
    from skops.io import dumps

    store = TensorStore()
    try:
        with saving(store):
            copy = skeleton(estimator)
            model = tidy(dumps(copy))
        audit = Audit(model)
    except RecursionError as error:
        raise ModelFileError(
            f"{type(estimator).__name__} cannot be saved: a part of it holds the whole. "
            f"{_BY_PICKLE}."
        ) from error
    except (TypeError, ValueError) as error:
        raise ModelFileError(
            f"{type(estimator).__name__} cannot be saved: {error}. {_BY_PICKLE}."
        ) from error
    if audit.unknown:
        names = sorted(".".join(pair) for pair in audit.unknown)
        warnings.warn(
            f"{os.fspath(path)} holds types that ecgsk does not know, and will have to be loaded "
            f"with trusted={names}.",
            stacklevel=2,
        )
    said = {"format": FORMAT, **description(copy, about)}
    return Container(said, model, safetensors.numpy.save(store.flat())).write(path)


@public("ecgsk")
def load(path: str | os.PathLike, *, trusted: Iterable[str] = (), sha256: str | None = None):
    """Read a model that `save` wrote; nothing in the file is run.

    Parameters
    ----------
    path : path-like
        Of the file.
    trusted : iterable of str, default=()
        Full names of further types that the file may hold, such as
        ``["my_package.MyTransformer"]``: their modules are imported, and their code builds them.
        Name only what you have looked at. `describe` says which types a file asks for.
    sha256 : str or None, default=None
        What `save` returned. A file that someone else could have replaced is then refused.

    Returns
    -------
    estimator
        As it was saved, with networks on the device that they were on, or on the CPU where that
        is not here.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ModelFileError
        When the file is none of `save`, cut off, changed, of a newer version of ecgsk, not the one
        of ``sha256``, or holds types that are neither known nor trusted.

    Warns
    -----
    ModelVersionWarning
        When what is in the file is of scikit-learn or interpret, and they have another version
        here.

    Notes
    -----
    Only types on a list of ecgsk are ever imported: its own, the EBM, and those of scikit-learn
    that answer with NumPy. Forests, neighbours, support vector machines and one-hot encoders have
    to be ``trusted``: their compiled code follows the numbers in a file without a check. Arrays and
    networks are as large as the file has content for them. A file can still hold a model that
    answers wrongly: know where it comes from.

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
    container = read_container(path)
    if sha256 is not None and container.sha256 != str(sha256).lower():
        raise ModelFileError(
            f"{os.fspath(path)} has the SHA-256 {container.sha256}, not {sha256!s:.80}: it is "
            "another file than the one meant. Get the right one."
        )
    audit = _audit(path, container, pairs)
    if audit.unknown:
        names = sorted(".".join(pair) for pair in audit.unknown)
        raise ModelFileError(
            f"{os.fspath(path)} holds types that ecgsk does not know: {', '.join(names)[:1000]}. "
            "Loading them runs their code. If you know and trust them, say "
            f"load(path, trusted={names!s:.1000})."
        )
    _compare_versions(path, container.description, audit)
    from skops.io import loads

    names = [".".join(pair) for pair in audit.types]
    try:
        store = TensorStore(safetensors.numpy.load(container.tensors))
        with loading(store), warnings.catch_warnings():
            # Said once, above, for all of its parts.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            model = loads(audit.model, trusted=names)
        if store.not_built():
            raise ValueError(f"nothing asks for the tensors {', '.join(store.not_built())}")
        _add_new_parameters(model)
    except MemoryError:
        raise
    # Whatever a type makes of a state that is not its own.
    except Exception as error:
        raise _cannot_be_built(path, container.description, error) from error
    return model


@public("ecgsk.persistence")
def describe(path: str | os.PathLike) -> dict:
    """Return what a model's file says of itself, without building the model.

    Parameters
    ----------
    path : path-like
        Of a file that `save` wrote.

    Returns
    -------
    dict
        ``format``; ``sha256`` of the content, which has been compared; ``model``, the classes
        of the model and of what it holds; ``about``; ``saved``, the date in UTC; ``versions`` that
        it was saved with; ``classes``, ``label_names``, ``n_features`` (of what is given to
        ``predict``: leads for recordings), ``n_samples``, ``sampling_rate`` (Hz) and ``leads``,
        None where unknown; ``types`` in the file, and ``to_trust``, those of them that `load`
        takes as ``trusted`` only.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ModelFileError
        When it is none of `save`, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import LogisticRegression
    >>> from ecgsk.persistence import describe, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(LogisticRegression(), f"{folder}/model.ecgsk", about="Not fitted.")
    ...     said = describe(f"{folder}/model.ecgsk")
    >>> said["model"], said["about"], said["to_trust"]
    ('LogisticRegression', 'Not fitted.', [])
    """
    container = read_container(path)
    audit = _audit(path, container)
    return {
        **container.description,
        "types": sorted(".".join(pair) for pair in audit.types),
        "to_trust": sorted(".".join(pair) for pair in audit.unknown),
    }


def _pairs(trusted: Iterable[str]) -> set[tuple[str, str]]:
    if isinstance(trusted, str) or not isinstance(trusted, Iterable):
        raise TypeError(
            f"trusted={trusted!r} has to be a list of full names of types, such as "
            "['my_package.MyTransformer']."
        )
    pairs = set()
    for name in trusted:
        if not isinstance(name, str) or "." not in name:
            raise TypeError(
                f"trusted holds {name!r}; give the full name of a type, such as "
                "'my_package.MyTransformer'."
            )
        pairs.add(tuple(name.rsplit(".", 1)))
    return pairs


def _audit(path, container: Container, trusted=frozenset()) -> Audit:
    try:
        return Audit(container.model, trusted)
    # Fields that are of another type than those that skops writes.
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelFileError(
            f"{os.fspath(path)} is no file that ecgsk.save wrote, and is not loaded: {error}. Do "
            "not use it unless you know who made it, and why."
        ) from error


def _compare_versions(path, said: dict, audit: Audit) -> None:
    saved, here = said.get("versions"), versions()
    if not isinstance(saved, dict):
        return
    holds = {
        "sklearn": any(module.startswith("sklearn.") for module, _ in audit.types),
        "interpret": bool(audit.types & _types.GLASS_BOXES),
    }
    differ = [
        f"{name} {saved[name]!s:.20} (here {here.get(name)})"
        for name, asked in holds.items()
        if asked and name in saved and saved[name] != here.get(name)
    ]
    if differ:
        warnings.warn(
            f"{os.fspath(path)} was saved with {' and '.join(differ)}: its answers may differ. "
            "Compare some with those of before, install the versions it was saved with, or fit and "
            "save it anew.",
            ModelVersionWarning,
            stacklevel=3,
        )


def _add_new_parameters(model) -> None:
    """Give estimators of ecgsk the parameters that they did not have when they were saved."""
    for part in parts(model):
        if type(part).__module__.partition(".")[0] == "ecgsk":
            for name, parameter in signature(type(part)).parameters.items():
                if parameter.default is not parameter.empty:
                    vars(part).setdefault(name, parameter.default)


def _cannot_be_built(path, said: dict, error: Exception) -> ModelFileError:
    saved = said.get("versions")
    return ModelFileError(
        f"{os.fspath(path)} cannot be built: {type(error).__name__}: {error!s:.500}. It is damaged "
        f"or was saved with versions too far from those here (saved with {saved!s:.300}; here are "
        f"{versions()})."
    )
