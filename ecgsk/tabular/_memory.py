"""Probabilities of a classifier that learns nothing, kept in a folder for each recording."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from pickle import PicklingError

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ecgsk._core.columns import Columns
from ecgsk._core.content import computing_versions, content_digest
from ecgsk._core.fitted import parts_in_order
from ecgsk._core.records import RecordArray, batches, is_lazy
from ecgsk._core.row_store import KEY_SIZE, RowStore
from ecgsk._core.signal_doubts import without_doubts
from ecgsk.tabular._columns import TableColumns

_FOLDER = "ecgsk-probabilities"


def memory_folder(memory) -> Path | None:
    """Return the folder of a parameter ``memory``, or None without one.

    Raises ValueError for a file in the place of the folder, and TypeError for other types.
    """
    location = getattr(memory, "location", memory)  # of a joblib.Memory
    if location is None:
        return None
    if not isinstance(location, (str, os.PathLike)):
        raise TypeError(
            f"memory={memory!r} is not allowed; give the path of a folder, a joblib.Memory or None."
        )
    folder = Path(location).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"memory={os.fspath(location)!r} is a file; give the path of a folder.")
    return folder


def remembered_probabilities(
    classifier, X, folder: Path, limit: int, columns: Columns
) -> np.ndarray:
    """Return ``predict_proba`` of a classifier that is used as it is, with these ``columns``.

    Recordings in an array that are stored for this classifier are not computed again; others are
    computed and stored. Other input, such as a DataFrame, is only computed.
    """
    records = _as_records(X)
    if records is None or not len(records):
        return columns.table(classifier.predict_proba(X))
    model, store = _KnownModel(classifier, columns), RowStore(folder / _FOLDER, limit)
    records, examined = _examined(classifier, records)
    failure = None
    parts = []
    for block in _blocks(records):
        keys = model.keys(block)
        rows = store.get(model.name, keys)
        missing: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in rows:
                missing.setdefault(key, position)
        if missing:
            # The recordings of a part have other numbers than those that the user knows.
            with without_doubts() if examined else nullcontext():
                computed = model.compute(_take(block, list(missing.values())))
            rows.update(zip(missing, computed, strict=True))
            # What is not finite may have been an accident.
            kept = np.isfinite(computed).all(axis=1) & model.is_certain(len(missing))
            kept_keys = [key for key, keep in zip(missing, kept, strict=True) if keep]
            try:
                if kept_keys:
                    store.put(model.name, kept_keys, computed[kept])
            except OSError as error:
                failure = error
        parts.append(np.stack([rows[key] for key in keys]))
    if failure is not None:
        warnings.warn(
            f"memory: probabilities were computed, but cannot be stored: {failure}. They will be "
            "computed again. Free space, or choose another folder.",
            stacklevel=4,
        )
    return np.concatenate(parts)


def _examined(classifier, records):
    """Return recordings after all of them were examined, and whether they were.

    Recordings on disk are examined as they are read. Warnings and errors occur as without memory,
    whether or not probabilities are stored.
    """
    for part in parts_in_order(classifier):
        if hasattr(part, "_examine"):
            checked = part._examine(records)
            return checked if isinstance(checked, RecordArray) else records, True
        if hasattr(part, "transform") and not hasattr(part, "predict_proba"):
            break
    return records, False


class _KnownModel:
    """A classifier, and what its answer for a recording depends on."""

    def __init__(self, classifier, columns: Columns):
        self.classifier = classifier
        self.columns = columns
        try:
            self.name = content_digest(classifier, computing_versions()).hex()[:32]
        except (TypeError, PicklingError) as error:
            raise TypeError(
                f"memory cannot be used with this {type(classifier).__name__}, whose content "
                f"cannot be compared: {error}. Set memory=None."
            ) from error
        parts = list(parts_in_order(classifier))
        self._reads_float32 = all(map(_reads_float32, parts))
        # A class of the user's may read the table of the recordings.
        self._reads_table = not self._reads_float32 or any(
            isinstance(part, TableColumns) for part in parts
        )
        # A FunctionTransformer, for example, may read the mean of the recordings that it is given.
        self._may_read_others = any(
            hasattr(part, "transform")
            and not hasattr(part, "predict_proba")
            and not _is_of_ecgsk(part)
            for part in parts
        )

    def keys(self, records) -> list[bytes]:
        """Return a key for the content of each recording that the classifier reads."""
        values, rows = records, [b""] * len(records)
        about = [getattr(records, name, None) for name in ("sampling_rate", "leads")]
        if isinstance(records, RecordArray):
            values = np.asarray(records)
            if self._reads_table and records.table is not None:
                rows = _digests_of_rows(records.table)
        if self._reads_float32:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32, copy=False)
        start = hashlib.blake2b(digest_size=KEY_SIZE)
        start.update(content_digest(values.dtype.str, values.shape[1:], *about))
        keys = []
        for value, row in zip(values, rows, strict=True):
            key = start.copy()
            key.update(row)
            key.update(np.ascontiguousarray(value).data)
            keys.append(key.digest())
        return keys

    def compute(self, records) -> np.ndarray:
        """Return the classifier's probabilities; ValueError if they depend on other recordings."""
        together = self._probabilities(records)
        if self._may_read_others and len(records) > 1:
            alone = self._probabilities(_take(records, [0]))
            if not np.allclose(alone[0], together[0], rtol=1e-3, atol=1e-5, equal_nan=True):
                raise ValueError(
                    "memory cannot be used with this classifier: for one recording alone it "
                    f"returns {alone[0][:3].tolist()}, and together with others "
                    f"{together[0][:3].tolist()}. Remove the step that reads all recordings "
                    "at once, or set memory=None."
                )
        return together

    def is_certain(self, n_records: int) -> bool:
        """Return whether probabilities of so many recordings may be stored."""
        return n_records > 1 or not self._may_read_others

    def _probabilities(self, records) -> np.ndarray:
        return self.columns.table(self.classifier.predict_proba(records))


def _as_records(X) -> np.ndarray | RecordArray | None:
    """Return recordings as an array of numbers, or None for other input."""
    if is_lazy(X):
        return X if isinstance(X, RecordArray) else RecordArray.wrap(X)
    if isinstance(X, (list, tuple)):
        try:
            X = np.asarray(X)
        except ValueError:
            return None  # the classifier has the better message
    if not isinstance(X, np.ndarray) or isinstance(X, np.ma.MaskedArray):
        return None
    return X if X.ndim in (2, 3) and X.dtype.kind in "fiub" else None


def _blocks(records) -> Iterator[np.ndarray | RecordArray]:
    """Yield the recordings in blocks that are in memory."""
    size = next(batches(len(records), records.shape[1:])).stop
    # The last digits of a network may depend on its batches, whose size is often a power of two.
    size = 1 << (size.bit_length() - 1) if size < len(records) else size
    for start in range(0, len(records), size):
        block = records[start : start + size]
        if isinstance(block, RecordArray):
            block = _wrap(np.asarray(block), block)
        yield block


def _take(records, positions: list[int]):
    if positions == list(range(len(records))):
        return records
    return records[np.asarray(positions)]


def _wrap(values: np.ndarray, records: RecordArray) -> RecordArray:
    rate, leads = records.sampling_rate, records.leads
    return RecordArray.wrap(values, table=records.table, sampling_rate=rate, leads=leads)


def _digests_of_rows(table: pd.DataFrame) -> list[bytes]:
    names = list(table.columns)
    rows = table.astype(object).to_numpy().tolist()
    return [content_digest(names, row) for row in rows]


def _is_of_ecgsk(part) -> bool:
    return type(part).__module__.partition(".")[0] == "ecgsk"


def _reads_float32(part) -> bool:
    """Return whether a part reads recordings only after they became float32."""
    return _is_of_ecgsk(part) or type(part) in (FrozenEstimator, Pipeline, FeatureUnion)
