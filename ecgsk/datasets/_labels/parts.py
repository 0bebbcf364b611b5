"""The parts of a Bunch of recordings: some of the recordings, and more columns."""

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.records import RecordArray


def cut(bunch: Bunch, places: np.ndarray) -> Bunch:
    """Return a Bunch with some of the recordings; a `RecordArray` is not read.

    Arrays and tables with a row for each recording are cut, and ``data`` if it is a list. Other
    lists belong to leads or labels.
    """
    n_records = len(bunch["data"])
    result = Bunch(**bunch)
    if len(places) == n_records:
        return result
    for name, part in bunch.items():
        if isinstance(part, (np.ndarray, RecordArray)) and part.ndim and len(part) == n_records:
            result[name] = part[places]
        elif isinstance(part, (pd.DataFrame, pd.Series)) and len(part) == n_records:
            part = part.iloc[places]
            named = any(name is not None for name in part.index.names)
            result[name] = part if named else part.reset_index(drop=True)
        elif name == "data" and isinstance(part, list):
            result[name] = [part[place] for place in places]
    return result


def add_columns(metadata: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    """Return metadata with the columns of a table, renamed where it has their names already."""
    taken = set(map(str, metadata.columns))
    names = []
    for name in columns.columns:
        new = str(name)
        while new in taken:
            new = f"{new}_table"
        taken.add(new)
        names.append(new)
    columns = columns.set_axis(names, axis=1).set_axis(metadata.index, axis=0)
    return pd.concat([metadata, columns], axis=1)
