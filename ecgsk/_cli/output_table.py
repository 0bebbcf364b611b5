"""A table that is written row by row and can be continued after an interruption."""

import errno
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ecgsk._cli.output_path import check_output
from ecgsk._core.files import LONGEST_START, replacing, temporary_files, write_file
from ecgsk._core.optional import import_optional

# Most work that a killed process loses, s.
_CHECKPOINT = 0.25
# Bytes of CSV that are converted to Parquet together.
_BLOCK = 16 << 20
_QUOTED = re.compile('[",\r\n]')
# Python's names of undecodable bytes are lone surrogates, which UTF-8 cannot encode.
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOOKS_ESCAPED = re.compile(r"\\ud[89a-f][0-9a-f]{2}")


class OutputTable:
    """The result of a run, row by row; a Parquet file is written as CSV and converted at the end.

    ``FILE.state.json`` counts only rows that are on disk; a run that continues first removes what
    follows them. Only a run of the same ``identity``, by names for users, continues another. A
    process that is killed at any time leaves what the same run continues from. As a context, an
    error leaves a state to continue from.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        columns: Sequence[str],
        identity: dict[str, str],
        *,
        overwrite: bool = False,
    ):
        self.path = check_output(path, (".csv", ".parquet"))
        self._columns = list(columns)
        self._identity = identity
        self._state = Path(f"{self.path}.state.json")
        self._csv = self.path
        if self.path.suffix.lower() == ".parquet":
            _parquet()  # fails now, not after an hour
            self._csv = Path(f"{self.path}.partial.csv")
        # Bytes, records, failures, doubts: a tuple, so that Ctrl-C cannot change only some.
        self._done: tuple[int, ...] = (0, 0, 0, 0)
        self._finished = False
        # Name and error of a row without a prediction.
        self.first_failed = ""
        self._file = _open_locked(self._csv, self.path)
        try:
            self._remove_temporary_files()
            self._continue(None if overwrite else self._interrupted_state())
        except BaseException:
            if not os.fstat(self._file).st_size and not os.path.exists(self._state):
                self._csv.unlink(missing_ok=True)  # it was created by the lock
            os.close(self._file)
            raise

    @property
    def n_records(self) -> int:
        """Rows that are written."""
        return self._done[1]

    @property
    def n_failed(self) -> int:
        """Rows without a prediction."""
        return self._done[2]

    @property
    def n_doubted(self) -> int:
        """Rows with a prediction and doubts about it."""
        return self._done[3]

    def __enter__(self) -> "OutputTable":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if not self._finished:
                # A full disk has an error already, and the state before it is still valid.
                with suppress(*[OSError] if error else []):
                    self._checkpoint()
        finally:
            os.close(self._file)

    def _remove_temporary_files(self) -> None:
        """Remove those of killed runs; the lock excludes that one is in use."""
        # The names of their temporary files are cut: those of a long name may be another run's.
        for path in {self.path, self._state}:
            if len(path.name) <= LONGEST_START:
                for file in temporary_files(path):
                    file.unlink(missing_ok=True)

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
            counts = [state[name] for name in ("bytes", "records", "failed", "doubted")]
            if not all(type(count) is int and count >= 0 for count in counts):
                raise ValueError(f"its counts are {counts}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{os.fspath(self._state)!r} cannot be read ({type(error).__name__}: {error}). "
                "Give --overwrite to start again."
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
        if state is not None:
            self._done = tuple(state[n] for n in ("bytes", "records", "failed", "doubted"))
            self.first_failed = str(state.get("first_failed", ""))
            self._finished = state.get("finished") is True and self.path.exists()
            if self._finished:
                return
        size = os.fstat(self._file).st_size
        if size < self._done[0]:
            raise ValueError(
                f"{os.fspath(self._csv)!r} is shorter than the interrupted run left it. Give "
                "--overwrite to start again."
            )
        if state is None:
            self._write_state()  # before removing anything of another run
        os.ftruncate(self._file, self._done[0])
        os.lseek(self._file, self._done[0], os.SEEK_SET)
        if state is None:
            self._add(_as_csv([self._columns]), 0, 0)
        self._checkpoint()

    def write(self, rows: Iterable[Sequence[str]], n_failed: int, n_doubted: int = 0) -> None:
        """Add rows, with one text for each column; the last is the error, of ``n_failed`` rows."""
        rows = list(rows)
        failed = (f"{row[0]!r}: {row[-1]}" for row in rows if row[-1])
        self.first_failed = self.first_failed or next(failed, "")
        self._add(_as_csv(rows), len(rows), n_failed, n_doubted)
        if time.monotonic() - self._checkpoint_time > _CHECKPOINT:
            self._checkpoint()

    def _add(self, content: bytes, n_records: int, n_failed: int, n_doubted: int = 0) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self._csv)) from error
        added = (len(content), n_records, n_failed, n_doubted)
        self._done = tuple(a + b for a, b in zip(self._done, added, strict=True))

    def _checkpoint(self) -> None:
        os.fsync(self._file)
        self._write_state()
        self._checkpoint_time = time.monotonic()

    def _write_state(self) -> None:
        n_bytes, records, failed, doubted = self._done
        state = {
            "identity": self._identity,
            "bytes": n_bytes,
            "records": records,
            "failed": failed,
            "doubted": doubted,
            "first_failed": self.first_failed,
            "finished": self._finished,
        }
        write_file(self._state, json.dumps(state, indent=1).encode(), sync=True)

    def finish(self) -> None:
        """Complete the result."""
        if not self._finished:
            self._checkpoint()
            if self._csv != self.path:
                self._convert()
            self._finished = True
            self._write_state()
        if self._csv != self.path:
            self._csv.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _convert(self) -> None:
        with replacing(self.path, sync=True) as temporary:
            try:
                _to_parquet(self._csv, temporary, self._columns)
            except ValueError as error:  # of pyarrow
                raise ValueError(
                    f"{os.fspath(self._csv)!r} contains all rows, but cannot be converted to "
                    f"Parquet ({error}). Rename it to use it as it is."
                ) from error


def _as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    # The csv module leaves a lone carriage return unquoted, which readers take for the row's end.
    lines = (",".join(_quoted(_as_unicode(cell)) for cell in row) + "\n" for row in rows)
    return "".join(lines).encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _as_unicode(text: str) -> str:
    r"""Escape bytes that are not text as in Python, by ``\udc80``, and backslashes by another.

    Text without such bytes, and without what looks like one of them, stays as it is. Two texts
    never become one.
    """
    if not (_SURROGATE.search(text) or _LOOKS_ESCAPED.search(text)):
        return text
    return text.replace("\\", r"\\").encode(errors="backslashreplace").decode()


def _open_locked(path: Path, shown: Path) -> int:
    """Open a file, or create it, so that no other run writes the same result.

    Nothing is read or changed before the lock, which ends with the process.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OSError(
                error.errno,
                f"--out {os.fspath(shown)!r} cannot be written ({error.strerror}). Name a file "
                "where you may write",
            ) from error
        try:
            _lock(file, shown)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(path)):
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # another run removed the file between the two calls


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"--out {os.fspath(path)!r} is being written by another run.") from None
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            return  # some file systems have no locks
        raise


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
