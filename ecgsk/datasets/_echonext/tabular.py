"""Which column of *_tabular_features.npy is which: settled by comparing with the table.

The data set's README puts the age last, the code of the mini-model second. Whatever order was
shipped, each column is an affine function (standardized) of one column of the table wherever the
table has a value.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk.datasets._echonext.covariates import sexes_of
from ecgsk.datasets._echonext.files import numbers, read_tabular
from ecgsk.datasets._echonext.layout import SPLITS, TABULAR_ORDERS, tabular_name

_NAMES = TABULAR_ORDERS["readme"]
_LEAST_CORRELATION = 0.999
# Between two orders that both pass; affine functions correlate to 1 but for rounding errors.
_CLEARLY_BETTER = 1e-6
_WITHOUT = "Load without them: tabular=False."


def settle_order(
    tabular: np.ndarray, table: pd.DataFrame, split: str, folder: Path, file: Path, csv: Path
) -> list[str]:
    """Return the names of the 7 columns of ``tabular``, the array of a split.

    ``table`` has the rows of all splits, in ``csv``; their arrays are in ``folder``.
    """
    rows = table[table["split"] == split]
    raw = _raw(rows, csv)
    orders, correlation = _orders(tabular, raw)
    if len(orders) > 1:
        # A few records can fit by chance or all be of one sex; the other splits tell.
        pooled = _pooled(tabular, raw, table, split, folder, csv)
        more, _ = _orders(*pooled)
        orders = [order for order in more if order in orders] or orders
    if not orders:
        best = correlation.argmax(axis=1)
        found = ", ".join(
            f"{column}: {_NAMES[k]} ({correlation[column, k]:.3f})" for column, k in enumerate(best)
        )
        raise ValueError(
            f"the columns of {file} fit no order of {', '.join(_NAMES)} in {csv}: each has to "
            f"correlate above {_LEAST_CORRELATION} with one of them. The best for each is {found}. "
            "Rows in another order than the table's look like this, and so do files of different "
            f"versions. {_WITHOUT}"
        )
    if len(orders) > 1:
        open_columns = [
            f"{column} ({' or '.join(sorted({_NAMES[order[column]] for order in orders}))})"
            for column in range(len(_NAMES))
            if len({order[column] for order in orders}) > 1
        ]
        raise ValueError(
            f"which column of {file} is which cannot be told from {len(tabular)} records: "
            f"{', '.join(open_columns)}. {_WITHOUT}"
        )
    return [_NAMES[k] for k in orders[0]]


def check_finite_features(tabular: np.ndarray, names: list[str], file: Path) -> None:
    """Raise for NaN and infinite values."""
    bad = ~np.isfinite(tabular)
    if bad.any():
        column = int(np.flatnonzero(bad.any(axis=0))[0])
        rows = np.flatnonzero(bad[:, column])
        raise ValueError(
            f"{file} has {len(rows)} NaN or infinite values in column {column} ({names[column]}), "
            f"the first in row {rows[0]} (counted from 0), where EchoNext has filled missing ones. "
            "Copy it again and compare it with SHA256SUMS.txt, or take the values from metadata. "
            f"{_WITHOUT}"
        )


def _raw(rows: pd.DataFrame, csv: Path) -> np.ndarray:
    columns = {name: numbers(rows, name, csv) for name in _NAMES if name != "sex"}
    # Whether 1 is male or female makes no difference to a correlation.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the loader has warned of these values
        columns["sex"] = sexes_of(rows)
    return np.column_stack([columns[name] for name in _NAMES])


def _pooled(tabular, raw, table, split, folder, csv):
    features, values = [tabular], [raw]
    for other in SPLITS:
        file, rows = folder / tabular_name(other), table[table["split"] == other]
        if other == split or not file.is_file():
            continue
        try:
            more = read_tabular(file)
        except ValueError:
            continue
        if len(more) == len(rows):
            features.append(more)
            values.append(_raw(rows, csv))
    return np.concatenate(features), np.concatenate(values)


def _orders(tabular: np.ndarray, raw: np.ndarray) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Return the assignments of columns that fit, the better ones alone, and correlations."""
    n = len(_NAMES)
    fits, correlation = np.zeros((n, n), dtype=bool), np.zeros((n, n))
    for i in range(n):
        for k in range(n):
            known = np.isfinite(tabular[:, i]) & np.isfinite(raw[:, k])
            x, y = tabular[known, i], raw[known, k]
            flat = [len(values) == 0 or np.ptp(values) == 0 for values in (x, y)]
            if not any(flat):
                correlation[i, k] = abs(np.corrcoef(x, y)[0, 1])
            fits[i, k] = all(flat) or correlation[i, k] > _LEAST_CORRELATION
    orders = _assignments(fits)
    if len(orders) > 1:
        total = [sum(correlation[i, k] for i, k in enumerate(order)) for order in orders]
        pairs = zip(orders, total, strict=True)
        orders = [order for order, sum_ in pairs if sum_ > max(total) - _CLEARLY_BETTER]
    return orders, correlation


def _assignments(fits: np.ndarray, taken: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Return every way to give each column a name of its own."""
    if len(taken) == len(fits):
        return [taken]
    return [
        order
        for k in np.flatnonzero(fits[len(taken)])
        if k not in taken
        for order in _assignments(fits, (*taken, int(k)))
    ]
