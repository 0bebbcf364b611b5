"""Recordings that are read when they are needed: arrays larger than memory."""

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import sklearn

from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.record_checks import (
    as_records,
    check_numbers,
    checked_leads,
    checked_rate,
    own_table,
    unmasked,
)
from ecgsk._core.steps import as_named_steps


@public("ecgsk")
class RecordArray:
    """ECG recordings on disk that behave like a float32 array of shape (records, leads, samples).

    Records are read when they are used. An integer gives one record as an array; a slice, a
    list, an index array or a mask gives another ``RecordArray`` over those records, so that
    cross-validation splits it without reading it. ``np.asarray`` reads everything.

    Parameters
    ----------
    read : callable
        ``read(indices)`` returns the records of an integer array of indices as float32 of shape
        ``(len(indices), n_leads, n_samples)``, mV. The indices are in ascending order without
        repeats, as h5py needs them, in whichever order records are used. Masked samples are NaN.
        It has to be picklable for use with several processes. While a GPU computes, a thread
        calls it for the next batch: never twice at a time, but not in the thread that created it.
    shape : tuple of (int, int, int)
        ``(n_records, n_leads, n_samples)``.
    table : DataFrame of n_records rows or None, default=None
        Metadata of each record, such as age and sex. It stays with the
        records through slicing, cross-validation and preprocessing, so that a step of a Pipeline
        can read it: see `ecgsk.tabular.TableColumns`. It is copied: sorting yours later does not
        move it. Its index is not used.
    sampling_rate : float or None, default=None
        Hz, where it is known and the same for all records.
    leads : sequence of str or None, default=None
        Name of each lead, in their order, where they are known and the same for all records.
    preprocessing : list of transformers or of (str, dict), or None, default=None
        Transformers of `ecgsk.preprocessing`, or their names and parameters, that the records went
        through before ``read`` returns them, such as those of EchoNext. Models that are fitted on
        them keep this: see `ecgsk.save`.

    Attributes
    ----------
    shape : tuple of (int, int, int)
        ``(n_records, n_leads, n_samples)``.
    dtype : numpy.dtype
        Always float32.
    table : DataFrame or None
        As given, of the same records in the same order.
    sampling_rate : float or None
        Hz.
    leads : tuple of str or None
        As given.
    preprocessing : list of (str, dict) or None
        Name and parameters of each transformer.

    Raises
    ------
    ValueError
        For a table with another number of rows, a rate that is not a positive number, and names
        of leads that are not one for each lead.

    Notes
    -----
    The rate and the leads stay with the records through slicing, cross-validation and
    preprocessing, as the table does. Estimators and transformers whose parameters contradict
    them raise ValueError. Arrays (``np.asarray``) cannot carry any of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk import RecordArray
    >>> def read(indices):
    ...     return np.ones((len(indices), 12, 1000), dtype="float32")
    >>> X = RecordArray(read, (30_000_000, 12, 1000))
    >>> X[::2].shape
    (15000000, 12, 1000)
    >>> np.asarray(X[:3]).shape
    (3, 12, 1000)
    >>> RecordArray(read, (5, 2, 1000), sampling_rate=100, leads=["I", "II"])[:3]
    RecordArray(shape=(3, 2, 1000), dtype=float32, sampling_rate=100, leads=('I', 'II'))
    """

    ndim = 3
    dtype = np.dtype(np.float32)
    # Pickles of version 0.1.0 have none of them.
    sampling_rate: float | None = None
    leads: tuple[str, ...] | None = None
    preprocessing: list | None = None

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, int, int],
        *,
        table=None,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
        preprocessing: Sequence | None = None,
        _indices: np.ndarray | range | None = None,
    ):
        self._read = read
        self._source_shape = tuple(int(size) for size in shape)
        self._indices = range(self._source_shape[0]) if _indices is None else _indices
        self.shape = (len(self._indices), *self._source_shape[1:])
        self.table = table if _indices is not None else own_table(table, len(self))
        self.sampling_rate = checked_rate(sampling_rate)
        self.leads = checked_leads(leads, self.shape[1])
        self.preprocessing = None if preprocessing is None else as_named_steps(preprocessing)

    @classmethod
    def wrap(
        cls,
        array,
        table=None,
        *,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
        preprocessing: Sequence | None = None,
    ) -> "RecordArray":
        """Wrap an array of shape (records, leads, samples), in memory or on disk.

        Parameters
        ----------
        array : ndarray, memory map, h5py or zarr array, or RecordArray
            Recordings, mV. A `RecordArray` keeps what it carries, except what is given here.
        table : DataFrame or None, default=None
            See `RecordArray`.
        sampling_rate : float or None, default=None
            Hz, see `RecordArray`.
        leads : sequence of str or None, default=None
            See `RecordArray`.
        preprocessing : list of transformers or of (str, dict), or None, default=None
            See `RecordArray`.
        """
        array = on_host(array, "array")
        shape = getattr(array, "shape", None)
        if shape is None or len(shape) != 3:
            was = f"is a {type(array).__name__}" if shape is None else f"has shape {tuple(shape)}"
            raise ValueError(f"array {was}; expected (n_records, n_leads, n_samples).")
        check_numbers(array, "array holds", "Convert it before.")
        carried = {"table": table, "sampling_rate": sampling_rate, "leads": leads,
                   "preprocessing": preprocessing}  # fmt: skip
        if isinstance(array, RecordArray):
            carried = {k: getattr(array, k) if v is None else v for k, v in carried.items()}
            return cls(array.read, shape, **carried)
        return cls(_ArrayReader(array), shape, **carried)

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes, if it were all read."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        known = "" if self.sampling_rate is None else f", sampling_rate={self.sampling_rate:g}"
        known += "" if self.leads is None else f", leads={self.leads}"
        return f"RecordArray(shape={self.shape}, dtype=float32{known})"

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        rest = ()
        if isinstance(key, tuple):
            key, *rest = key
            # scikit-learn indexes rows as array[rows, ...].
            rest = tuple(item for item in rest if item is not Ellipsis)
        is_integer = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
        if is_integer or np.ndim(key) == 0 and isinstance(key, np.ndarray):
            return self.read([key])[0][tuple(rest)]
        if key is Ellipsis:
            key = slice(None)
        if key is None or isinstance(key, (str, bool)) or np.ndim(key) > 1:
            raise IndexError(
                "A RecordArray is indexed by an integer, a slice, or a list, array or mask in one "
                "dimension."
            )
        if isinstance(key, slice) and isinstance(self._indices, range):
            rows = self._indices[key]
        else:
            rows = np.asarray(self._indices)[key]
        table = self.table
        if table is not None:
            # A mask that is a Series would be aligned by its index instead of its place.
            table = table.iloc[key if isinstance(key, slice) else np.asarray(key)]
        subset = RecordArray(
            self._read,
            self._source_shape,
            table=table,
            sampling_rate=self.sampling_rate,
            leads=self.leads,
            preprocessing=self.preprocessing,
            _indices=rows,
        )
        parts = (slice(None), *rest)
        return np.asarray(subset)[parts] if rest else subset

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("A RecordArray is read from its source: copy=False is not possible.")
        out = np.empty(self.shape, dtype=np.float32)
        for rows in batches(len(self), self.shape[1:]):
            out[rows] = self.read(np.arange(rows.start, rows.stop))
        return out if dtype is None else out.astype(dtype, copy=False)

    def read(self, rows) -> np.ndarray:
        """Read records into memory.

        Parameters
        ----------
        rows : array-like of int
            Positions in this array; negative ones count from the end.

        Returns
        -------
        ndarray of shape (len(rows), n_leads, n_samples)
            float32, mV.
        """
        rows = np.asarray(rows, dtype=np.intp)
        out_of_range = (rows < -len(self)) | (rows >= len(self))
        if out_of_range.any():
            raise IndexError(
                f"record {rows[out_of_range][0]} is out of range: there are {len(self)} records"
            )
        rows = np.where(rows < 0, rows + len(self), rows)
        if isinstance(self._indices, range):
            source_rows = self._indices.start + rows * self._indices.step
        else:
            source_rows = np.asarray(self._indices)[rows]
        if (np.diff(source_rows) > 0).all():
            return self._read_in_order(source_rows)
        # h5py refuses indices that are not sorted, or repeated, and files are faster in order.
        source_rows, places = np.unique(source_rows, return_inverse=True)
        return self._read_in_order(source_rows)[places]

    def _read_in_order(self, source_rows: np.ndarray) -> np.ndarray:
        expected = (len(source_rows), *self.shape[1:])
        return as_records(self._read(source_rows), expected, self._read)

    def map(
        self,
        function: Callable,
        shape: tuple[int, int],
        *,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
    ) -> "RecordArray":
        """Return a RecordArray that applies a function to each batch as it is read.

        Parameters
        ----------
        function : callable
            Takes and returns float32 arrays of shape ``(n, leads, samples)``; each record's
            result must depend on that record alone. A fit may keep it for further epochs.
        shape : tuple of (int, int)
            Leads and samples of the result.
        sampling_rate : float or None, default=None
            Of the result, Hz. None keeps the rate where the number of samples stays; otherwise
            it is unknown.
        leads : sequence of str or None, default=None
            Of the result. None keeps the names where the number of leads stays; otherwise they
            are unknown.
        """
        return self.read_by(
            _Mapped(self, function), shape, sampling_rate=sampling_rate, leads=leads
        )

    def read_by(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, int] | None = None,
        *,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
    ) -> "RecordArray":
        """Return a RecordArray of the same records that another function reads.

        Parameters
        ----------
        read : callable
            See `RecordArray`; its indices are positions in this array.
        shape : tuple of (int, int) or None, default=None
            Leads and samples of the result; None is those of this array.
        sampling_rate, leads
            As in `map`.
        """
        n_leads, n_samples = self.shape[1:] if shape is None else shape
        if sampling_rate is None and n_samples == self.shape[2]:
            sampling_rate = self.sampling_rate
        if leads is None and n_leads == self.shape[1]:
            leads = self.leads
        return RecordArray(
            read,
            (len(self), n_leads, n_samples),
            table=self.table,
            sampling_rate=sampling_rate,
            leads=leads,
            preprocessing=self.preprocessing,
        )


class _Mapped:
    def __init__(self, records: RecordArray, function: Callable):
        self.records = records
        self.function = function

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self.function(self.records.read(rows))


class _ArrayReader:
    """Reads rows of anything that slices like an array, without keeping mapped pages."""

    def __init__(self, array):
        self.array = array

    def __getstate__(self):
        # Workers open a mapped file themselves: NumPy would send them all that is in it.
        array = self.array
        if not isinstance(array, np.memmap) or array.mode != "r" or array.filename is None:
            return {"array": array}
        if not isinstance(array.base, mmap.mmap):
            return {"array": array}  # a part, which does not know where in the file it is
        order = "C" if array.flags.c_contiguous else "F"
        return {"file": (array.filename, array.dtype, "r", array.offset, array.shape, order)}

    def __setstate__(self, state):
        self.array = np.memmap(*state["file"]) if "file" in state else state["array"]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinite samples are refused where they are used
            if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
                records = unmasked(self.array[rows[0] : rows[0] + len(rows)])
            else:
                # A record is large enough to read alone.
                records = np.empty((len(rows), *self.array.shape[1:]), dtype=np.float32)
                for position, row in enumerate(rows):
                    records[position] = unmasked(self.array[int(row)])
        _release_pages(self.array)
        return records


def _release_pages(array) -> None:
    """Give back the pages of a memory map that were read, so that streaming stays small.

    A mapped file counts as resident memory page by page until the kernel needs the space. In the
    copy-on-write mode "c" the pages may hold changes that exist nowhere else, so it is left alone.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is None or array.mode not in ("r", "r+") or not hasattr(mmap, "MADV_DONTNEED"):
        return
    with suppress(AttributeError, OSError, ValueError):
        mapped.madvise(mmap.MADV_DONTNEED)


def is_lazy(X) -> bool:
    """Tell whether X is to be read a batch at a time.

    RecordArray, h5py and zarr arrays are; a NumPy memory map is once its float32 copy would
    exceed scikit-learn's ``working_memory``.
    """
    if isinstance(X, RecordArray):
        return True
    if isinstance(X, np.memmap):
        return X.ndim == 3 and X.size * 4 > sklearn.get_config()["working_memory"] * 2**20
    module = type(X).__module__.partition(".")[0]
    return module in ("h5py", "zarr") and len(getattr(X, "shape", ())) == 3


def is_prepared(X: RecordArray) -> bool:
    """Return whether a function of `RecordArray.map` changes records each time they are read."""
    read = X._read
    while not isinstance(read, _Mapped):
        # A check, or another reader in between, holds the records that it reads.
        records = getattr(read, "records", getattr(read, "__self__", None))
        if not isinstance(records, RecordArray):
            return False
        read = records._read
    return True


def batches(n_records: int, record_shape: tuple[int, ...], megabytes: int = 32) -> Iterator[slice]:
    """Yield slices over the records that are about so many megabytes of float32 each."""
    size = max(1, (megabytes << 18) // max(1, int(np.prod(record_shape))))
    for start in range(0, n_records, size):
        yield slice(start, min(start + size, n_records))
