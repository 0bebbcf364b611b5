"""Fingerprints of a search, so that a study never mixes the trials of two searches."""

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from ecgsk._core.content import content_digest
from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.records import RecordArray, batches, is_lazy

# Parameters that set where and how to compute, but do not change the result.
_WITHOUT_EFFECT = {
    "backend", "checkpoint_dir", "compile", "device", "memory", "memory_limit", "n_jobs", "verbose"
}  # fmt: skip
# Words in the names of parameters for files and folders that a fit writes.
_WRITTEN = {"cache", "checkpoint", "checkpoints", "log", "logs", "out", "output", "temp", "tmp"}
_MAX_FILES = 1000


class UnidentifiedError(ValueError):
    """A part of a search whose content cannot be compared with that of another search."""


def search_fingerprint(
    *, X, y, folds, params, space, scoring, estimator, strict: bool
) -> dict[str, str]:
    """Return fingerprints of all that a search's scores depend on, by names for error messages.

    Objects enter with their content: parameters, code of the user's functions and classes, bytes of
    files, and all that fitted parts have learned. With ``strict``, UnidentifiedError for what
    cannot be examined, and recordings on disk enter whole; otherwise by the names of their types,
    and by 64 of them.
    """
    content = _Content(strict)
    return {
        "data": content.of_data("X", X, y),
        "metadata": content.of_data(
            "the metadata of fit",
            *(part for name in sorted(params) for part in (name, params[name])),
        ),
        "folds": fingerprint(*(rows for fold in folds for rows in fold)),
        "space": content.of("param_distributions", space),
        "scoring": content.of("scoring", scoring),
        "estimator": content.of("estimator", estimator),
    }


class _Content:
    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def of(self, name: str, value) -> str:
        """Return the fingerprint of a parameter of the search."""
        return fingerprint(*self._parts(name, value))

    def of_data(self, name: str, *values) -> str:
        return fingerprint(*(part for value in values for part in self._data(name, value)))

    def _data(self, name: str, values) -> list:
        if values is None or isinstance(values, str):
            return [values]
        if is_lazy(values):
            records = RecordArray.wrap(values)
            table = self._data(name, records.table)
            known = ["recordings", records.sampling_rate, records.leads, *table]
            if not self.strict:
                return [*known, records]
            parts = batches(len(records), records.shape[1:])
            rows = (np.arange(part.start, part.stop) for part in parts)
            return [*known, records.shape, *(fingerprint(records.read(part)) for part in rows)]
        if isinstance(values, (pd.DataFrame, pd.Series)):
            names = list(getattr(values, "columns", [values.name if values.ndim == 1 else None]))
            kinds = [str(kind) for kind in np.atleast_1d(np.asarray(values.dtypes, dtype=object))]
            try:
                rows = pd.util.hash_pandas_object(values, index=False).to_numpy()
            except TypeError:  # cells such as lists
                return [names, kinds, *self._parts(name, values.to_numpy().tolist())]
            return [names, kinds, rows]
        if sparse.issparse(values):
            values = values.tocsr()
            return [values.shape, values.data, values.indices, values.indptr]
        try:
            values = np.asarray(values)
        except ValueError:  # lists of different lengths
            return self._parts(name, values)
        return self._parts(name, values.tolist()) if values.dtype == object else [values]

    def _parts(self, name: str, value) -> list:
        """Return the content of an object as parts that `fingerprint` reads completely."""
        # A text without a separator, such as "auto", may be the name of a folder by chance.
        if isinstance(value, os.PathLike) or (isinstance(value, str) and os.sep in value):
            folder = os.path.expanduser(value)
            if os.path.isdir(folder):
                return self._folder(name, folder)
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if type(value) in (list, tuple):
            parts = [type(value).__name__, len(value)]
            for i, item in enumerate(value):
                parts += self._parts(f"{name}[{i}]", item)
            return parts
        if isinstance(value, Mapping):
            items = sorted(value.items(), key=lambda item: (type(item[0]).__name__, repr(item[0])))
            parts = [type(value).__name__, len(value)]
            for key, item in items:
                parts += [*self._parts(name, key), *self._parts(f"{name}[{key!r}]", item)]
            return parts
        if hasattr(value, "get_params") and not isinstance(value, type):
            return self._estimator(name, value)
        return self._digest(name, value)

    def _estimator(self, name: str, estimator) -> list:
        if isinstance(estimator, FrozenEstimator):
            return ["frozen", *self._digest(name, estimator.estimator)]
        parts = self._digest(name, type(estimator))
        # Clones keep these settings; a request has a representation without its estimator.
        parts.append(repr(vars(estimator).get("_metadata_request")))
        parts.append(repr(vars(estimator).get("_sklearn_output_config")))
        kept = set(getattr(estimator, "_kept_by_clones", ()))
        for key, value in sorted(estimator.get_params(deep=False).items()):
            if key in _WITHOUT_EFFECT:
                continue
            if _WRITTEN & set(key.split("_")) and isinstance(value, (str, os.PathLike)):
                parts += [key, os.fspath(value)]
                continue
            place = f"{name}.{key}"
            fitted = key in kept and value is not None
            parts += [key, *(self._digest if fitted else self._parts)(place, value)]
        return parts

    def _digest(self, name: str, value) -> list:
        try:
            return [content_digest(value, files=True, anywhere=True)]
        except Exception as error:  # objects of others can fail in any way
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            if not self.strict:
                return [kind]
            raise UnidentifiedError(
                f"{name} has a {kind} whose content cannot be compared with that of another search "
                f"({type(error).__name__}: {error}), and storage would go on with scores of it. "
                "Leave storage out, or use an object that can be pickled."
            ) from error

    def _folder(self, name: str, folder: str) -> list:
        paths = (path for path in Path(folder).rglob("*") if path.is_file())
        files = list(islice(paths, _MAX_FILES + 1))
        if len(files) > _MAX_FILES:
            if not self.strict:
                return [folder]
            raise UnidentifiedError(
                f"{name}={folder!r} has more than {_MAX_FILES} files, too many to compare "
                "them with those of another search. Leave storage out, or use a smaller folder."
            )
        files.sort()
        named = [str(path.relative_to(folder)) for path in files]
        return ["folder", named, *(part for path in files for part in self._digest(name, path))]
