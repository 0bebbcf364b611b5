"""Ages and sexes of EchoNext, as every loader gives them."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core.covariates import OVER_89, read_age, read_covariates, read_sexes
from ecgsk.datasets._echonext.files import numbers
from ecgsk.datasets._echonext.layout import CSV


def covariates_of(rows: pd.DataFrame, file: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ages and sexes of the rows of the table, and whose age is only known to be above 89.

    The data set writes 90 for all ages above 89. ValueError for text that is not an age.
    """
    doubtful = [read_age(value).doubt != "" for value in rows["age_at_ecg"]]
    numbers(rows[doubtful], "age_at_ecg", file)
    covariates, _ = read_covariates(
        rows["age_at_ecg"], rows["sex"], _names(rows), one_is="male", source=CSV, stacklevel=5
    )
    return covariates, covariates["age"].to_numpy() >= OVER_89


def sexes_of(rows: pd.DataFrame) -> np.ndarray:
    """Return 0 for male, 1 for female and NaN for unknown; 1 is male in the table."""
    return read_sexes(rows["sex"], _names(rows), one_is="male", source=CSV, stacklevel=5)


def _names(rows: pd.DataFrame) -> list[str]:
    return [f"ecg_key {key}" for key in rows["ecg_key"]]
