"""A table that is written while it grows, and goes on where a killed process has left it."""

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecgsk._core.files import replacing, write_file
from ecgsk._core.optional import import_optional

# A killed process loses at most so much of what it has written, s.
_CHECKPOINT = 0.25
# Bytes of CSV that are turned to Parquet together.
_BLOCK = 16 << 20


class Output:
    """The result of a run, line by line.

    Lines are on disk before ``FILE.state.json`` says so; a run that goes on cuts off what is after
    that. The state is removed when the result is whole.

    Parameters
    ----------
    path : path-like
        Ends in ``.csv`` or ``.parquet``. The latter is written as CSV beside it and turned at the
        end.
    columns : sequence of str
        The first line.
    identity : dict of str to str
        What the result depends on, by the names that a user knows it by: a run goes on from one of
        the same identity alone.
    overwrite : bool, default=False
        Start anew, whatever is there.

    Raises
    ------
    ValueError
        For another ending of ``path``, and when the result is there already or is that of another
        run.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        columns: Sequence[str],
        identity: dict[str, str],
        *,
        overwrite: bool = False,
    ):
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".parquet"):
            raise ValueError(f"--out {os.fspath(path)!r} has to end in .csv or .parquet.")
        self._columns = list(columns)
        self._identity = identity
        self._state = Path(f"{self.path}.state.json")
        self._csv = self.path
        if self.path.suffix == ".parquet":
            _parquet()  # is missed now, not in an hour
            self._csv = Path(f"{self.path}.partial.csv")
        # Bytes, records and failures: one object, so that Ctrl-C cannot come between them.
        self._done = (0, 0, 0)
        state = None if overwrite else self._earlier()
        self._file = open(self._csv, "r+b" if self._csv.exists() else "w+b")
        try:
            _lock(self._file, self.path)
            self._go_on(state)
        except BaseException:
            self._file.close()
            raise

    @property
    def n_records(self) -> int:
        """Lines that are there."""
        return self._done[1]

    @property
    def n_failed(self) -> int:
        """Those of them without an answer."""
        return self._done[2]

    def _earlier(self) -> dict | None:
        """Return the state of an interrupted run of the same identity, if there is one."""
        if not self._state.exists():
            if self.path.exists() and self.path.stat().st_size:
                raise ValueError(
                    f"--out {os.fspath(self.path)!r} is there already, and is not that of an "
                    "interrupted run. Name another, or give --overwrite."
                )
            return None
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            before = dict(state["identity"])
            _ = [int(state[name]) for name in ("bytes", "records", "failed")]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self._state} cannot be read ({error}). Give --overwrite to start anew."
            ) from error
        if not state["records"]:
            return None
        names = [*before, *(name for name in self._identity if name not in before)]
        differ = [name for name in names if before.get(name) != self._identity.get(name)]
        if differ:
            raise ValueError(
                f"--out {os.fspath(self.path)!r} was begun with other {', '.join(differ)}, and "
                "is not finished. Repeat the command it was begun with, name another file, or "
                "give --overwrite."
            )
        return state

    def _go_on(self, state: dict | None) -> None:
        size = self._file.seek(0, os.SEEK_END)
        there = 0 if state is None else state["bytes"]
        if size < there:
            raise ValueError(
                f"{self._csv} is shorter than the run that was interrupted had left it. Give "
                "--overwrite to start anew."
            )
        if state is not None:
            self._done = (there, state["records"], state["failed"])
        else:
            self._keep()  # before anything of another run is cut off
        self._file.seek(there)
        self._file.truncate()
        if there == 0:
            self._add(_as_csv([self._columns]), 0, 0)
        self._checkpoint()

    def write(self, rows: Iterable[Sequence[str]], n_failed: int) -> None:
        """Add lines.

        Parameters
        ----------
        rows : iterable of sequence of str
            A text for each column.
        n_failed : int
            How many of them have no answer.
        """
        rows = list(rows)
        self._add(_as_csv(rows), len(rows), n_failed)
        if time.monotonic() - self._kept > _CHECKPOINT:
            self._checkpoint()

    def _add(self, content: bytes, n_records: int, n_failed: int) -> None:
        self._file.write(content)
        self._file.flush()
        _, records, failed = self._done
        self._done = (self._file.tell(), records + n_records, failed + n_failed)

    def _checkpoint(self) -> None:
        os.fsync(self._file.fileno())
        self._keep()
        self._kept = time.monotonic()

    def _keep(self) -> None:
        n_bytes, records, failed = self._done
        state = {
            "identity": self._identity,
            "bytes": n_bytes,
            "records": records,
            "failed": failed,
        }
        write_file(self._state, json.dumps(state, indent=1).encode(), sync=True)

    def pause(self) -> None:
        """Keep what is there, to go on later."""
        if not self._file.closed:
            with self._file:
                self._checkpoint()

    def finish(self) -> None:
        """Make the result whole."""
        self.pause()
        if self._csv != self.path:
            with replacing(self.path) as temporary:
                _to_parquet(self._csv, temporary, self._columns)
            self._csv.unlink()
        self._state.unlink()


def _as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # Names of files need not be text: such bytes are shown as they are written in Python.
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def _lock(file, path: Path) -> None:
    """Keep a second run from writing the same result; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"--out {os.fspath(path)!r} is being written by another run.") from None
    except OSError:
        return  # some file systems have no locks


def _parquet():
    return import_optional("pyarrow.parquet", extra="parquet", purpose="Writing .parquet")


def _to_parquet(source: Path, target: Path, columns: Sequence[str]) -> None:
    """Write a CSV file as Parquet, a block at a time."""
    parquet = _parquet()
    import pyarrow
    from pyarrow import csv as arrow_csv

    # Types are said, not guessed: a record may be called 7, and the first block be all errors.
    types = {
        name: pyarrow.float64() if name.startswith("probability") else pyarrow.string()
        for name in columns
    }
    with (
        arrow_csv.open_csv(
            source,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=[""]),
        ) as reader,
        parquet.ParquetWriter(target, pyarrow.schema(types.items())) as writer,
    ):
        for block in reader:
            writer.write_batch(block)
