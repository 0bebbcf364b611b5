"""Covariates of recordings in a table of the user, for the commands."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from ecgsk._core.record_names import match_names
from ecgsk._core.table_covariates import read_table_covariates
from ecgsk._core.user_tables import open_table
from ecgsk._formats.record_files import RecordFile

_STATE_CODING = "Give --sex-one-is female or --sex-one-is male, whichever 1 means there."


class CovariateTable:
    """A file of ``--table`` with covariates, whose rows are found as in `ecgsk.join_labels`.

    ``columns`` are the ``wanted`` covariates that the file has. ``sex_one_is`` is what 1 means in
    its column of the sex. Raises ValueError for a table without the column ``on``, which has the
    names of the recordings, and for rows that contradict each other or have no numbers.
    """

    def __init__(
        self,
        path: str,
        wanted: Sequence[str],
        files: Sequence[RecordFile],
        on: str = "record",
        sex_one_is: str | None = None,
    ):
        table = open_table(path, [on, *wanted], "--table ")
        key = table.find(on, "--table-on ")
        present = {str(name).casefold() for name in table.frame.columns}
        columns = {name: table.find(name, "") for name in wanted if name.casefold() in present}
        self.columns = list(columns)
        if wanted and not columns:
            raise ValueError(
                f"--table {path!r} has none of the covariates that MODEL reads, "
                f"{', '.join(wanted)}; its columns are "
                f"{', '.join(map(str, table.frame.columns))}. Rename its columns, or leave out "
                "--table."
            )
        names = table.identifiers(key, (record for _, record, _ in _recordings(files)))
        found = match_names(names, ((record, p) for _, record, p in _recordings(files)), {"suffix"})
        rows = np.array([row for several in found.rows.values() for row in several], dtype=int)
        values, _ = read_table_covariates(columns, table, rows, sex_one_is, _STATE_CODING)
        values = values.set_axis(rows, axis=0)
        self._values: dict[str, dict[str, float]] = {}
        self._unclear: dict[str, str] = {}
        for place, (shown, _, _) in enumerate(_recordings(files)):
            if several := found.rows.get(place):
                if len(values.loc[several].drop_duplicates()) > 1:
                    one, other = map(table.row_names, several[:2])
                    raise ValueError(
                        f"--table {path!r} has different covariates for the record "
                        f"{names[several[0]]!r} in {one} and {other}: keep the right one."
                    )
                of_row = values.loc[several[0]].to_dict()
                self._values[shown] = {k: v for k, v in of_row.items() if not np.isnan(v)}
            elif place in found.unclear:
                row, places = found.unclear[place]
                self._unclear[shown] = (
                    f"{table.row_names(row)} of --table, {names[row]!r}, fits "
                    f"{len(places)} recordings: write their folders or endings into it."
                )

    def of(self, shown: str) -> dict[str, float]:
        """Return the covariates of a recording by its name in the result.

        Raises ValueError if the table does not contain it, or it is unclear which row does.
        """
        if shown not in self._values:
            raise ValueError(
                self._unclear.get(shown)
                or f"--table has no row for the record {os.path.basename(shown)!r}."
            )
        return self._values[shown]


def _recordings(files: Sequence[RecordFile]) -> Iterator[tuple[str, str, str]]:
    """Yield the name in the result, its last part and the path of each recording."""
    for file in files:
        path = os.path.abspath(file.source.path)
        for shown in file.names:
            yield shown, os.path.basename(shown), path
