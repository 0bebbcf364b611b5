"""A table that is written row by row and can be continued after an interruption."""

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecgsk._core.files import replacing, write_file
from ecgsk._core.optional import import_optional

# Most work that a killed process loses, s.
_CHECKPOINT = 0.25
# Bytes of CSV that are converted to Parquet together.
_BLOCK = 16 << 20


class OutputTable:
    """The result of a run, row by row; a Parquet file is written as CSV and converted at the end.

    ``FILE.state.json`` counts only rows that are on disk; a run that continues first removes what
    follows them. Only a run of the same ``identity``, by names for users, continues another.
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
            raise ValueError(f"--out {os.fspath(path)!r} must end in .csv or .parquet.")
        self._columns = list(columns)
        self._identity = identity
        self._state = Path(f"{self.path}.state.json")
        self._csv = self.path
        if self.path.suffix == ".parquet":
            _parquet()  # fails now, not after an hour
            self._csv = Path(f"{self.path}.partial.csv")
        # Bytes, records and failures: one tuple, so that Ctrl-C cannot change only some of them.
        self._done = (0, 0, 0)
        state = None if overwrite else self._interrupted_state()
        self._file = open(self._csv, "r+b" if self._csv.exists() else "w+b")
        try:
            _lock(self._file, self.path)
            self._continue(state)
        except BaseException:
            self._file.close()
            raise

    @property
    def n_records(self) -> int:
        """Rows that are written."""
        return self._done[1]

    @property
    def n_failed(self) -> int:
        """Rows without a prediction."""
        return self._done[2]

    def _interrupted_state(self) -> dict | None:
        """Return the state of an interrupted run of the same identity, if there is one."""
        if not self._state.exists():
            if self.path.exists() and self.path.stat().st_size:
                raise ValueError(
                    f"--out {os.fspath(self.path)!r} exists already and does not belong to an "
                    "interrupted run. Name another file, or give --overwrite."
                )
            return None
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            before = dict(state["identity"])
            _ = [int(state[name]) for name in ("bytes", "records", "failed")]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self._state} cannot be read ({error}). Give --overwrite to start again."
            ) from error
        if not state["records"]:
            return None
        names = [*before, *(name for name in self._identity if name not in before)]
        differ = [name for name in names if before.get(name) != self._identity.get(name)]
        if differ:
            raise ValueError(
                f"--out {os.fspath(self.path)!r} is the unfinished result of a run with other "
                f"{', '.join(differ)}. Repeat the command of that run, name another file, or give "
                "--overwrite."
            )
        return state

    def _continue(self, state: dict | None) -> None:
        size = self._file.seek(0, os.SEEK_END)
        there = 0 if state is None else state["bytes"]
        if size < there:
            raise ValueError(
                f"{self._csv} is shorter than the interrupted run left it. Give --overwrite to "
                "start again."
            )
        if state is not None:
            self._done = (there, state["records"], state["failed"])
        else:
            self._write_state()  # before removing anything of another run
        self._file.seek(there)
        self._file.truncate()
        if there == 0:
            self._add(_as_csv([self._columns]), 0, 0)
        self._checkpoint()

    def write(self, rows: Iterable[Sequence[str]], n_failed: int) -> None:
        """Add rows, with one text for each column; ``n_failed`` of them have no prediction."""
        rows = list(rows)
        self._add(_as_csv(rows), len(rows), n_failed)
        if time.monotonic() - self._checkpoint_time > _CHECKPOINT:
            self._checkpoint()

    def _add(self, content: bytes, n_records: int, n_failed: int) -> None:
        self._file.write(content)
        self._file.flush()
        _, records, failed = self._done
        self._done = (self._file.tell(), records + n_records, failed + n_failed)

    def _checkpoint(self) -> None:
        os.fsync(self._file.fileno())
        self._write_state()
        self._checkpoint_time = time.monotonic()

    def _write_state(self) -> None:
        n_bytes, records, failed = self._done
        state = {"identity": self._identity, "bytes": n_bytes, "records": records, "failed": failed}
        write_file(self._state, json.dumps(state, indent=1).encode(), sync=True)

    def pause(self) -> None:
        """Write the state, to continue later."""
        if not self._file.closed:
            with self._file:
                self._checkpoint()

    def finish(self) -> None:
        """Complete the result."""
        self.pause()
        if self._csv != self.path:
            with replacing(self.path) as temporary:
                _to_parquet(self._csv, temporary, self._columns)
            self._csv.unlink()
        self._state.unlink()


def _as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # Names of files may contain bytes that are not text: they are escaped as in Python.
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def _lock(file, path: Path) -> None:
    """Keep a second run from writing the same result; the lock ends with the process."""
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

    # Types are given because a record may be called 7, and the first block may be all errors.
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
