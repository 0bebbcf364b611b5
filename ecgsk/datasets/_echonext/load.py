"""EchoNext in its documented layout."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.files import expanded
from ecgsk._core.public import public
from ecgsk._core.records import RecordArray, batches
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Interval, StrOptions, validate_params
from ecgsk.datasets._echonext.covariates import covariates_of
from ecgsk.datasets._echonext.files import (
    check_rows,
    check_waveforms,
    find_file,
    read_csv,
    read_tabular,
)
from ecgsk.datasets._echonext.layout import (
    CSV,
    MICROVOLT_PER_COUNT,
    N_SAMPLES,
    PREPROCESSING,
    SAMPLING_RATE,
    SPLITS,
    TRUTH,
    tabular_name,
    waveform_name,
)
from ecgsk.datasets._echonext.reader import EchoNextReader
from ecgsk.datasets._echonext.tabular import check_finite_features, settle_order
from ecgsk.datasets._echonext.target import (
    make_target,
    parse_target,
    read_ejection_fraction,
)
from ecgsk.datasets._reading import RecordsLeftOutWarning, keep_places, read_all

_NO_SPLIT = (
    "split='no_split' holds earlier recordings of the patients of val and test: a model that has "
    "learned from them knows the people it is tested on. If you need them for something that "
    "neither trains nor selects a model, such as the course of a patient or a description of the "
    "data, give allow_no_split=True."
)

_NOT_FINITE = "it has samples that are NaN or infinite"

_DESCR = """\
EchoNext: ECGs with structural heart disease confirmed by echocardiography
--------------------------------------------------------------------------
{kind}
Source: P. Elias, J. Finer, PhysioNet, doi 10.13026/3ykd-bf14 (1.1.0); T. J. Poterucha et al.,
Nature (2025), doi 10.1038/s41586-025-09227-0.
License: PhysioNet Restricted Health Data License 1.5.0; the data must not be passed on.
Split {split}: {n_records} records of 12 leads and 2500 samples at 250 Hz, in {unit}.
Target {target}; missing_ef={missing_ef!r}. Left out: {no_target} without a target.
"""


@public("ecgsk")
@validate_params(
    {
        "path": [str, os.PathLike],
        "split": [StrOptions(set(SPLITS))],
        "target": [str, list, tuple],
        "missing_ef": [StrOptions({"infer", "drop", "error"})],
        "microvolt_per_count": [Interval(Real, 0, None, closed="neither"), None],
        "tabular": ["boolean"],
        "lazy": ["boolean"],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
        "allow_no_split": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_echonext(
    path: str | os.PathLike,
    *,
    split: str,
    target: str | Sequence[str] = "lvef<=45",
    missing_ef: str = "infer",
    microvolt_per_count: float | None = MICROVOLT_PER_COUNT,
    tabular: bool = True,
    lazy: bool = True,
    on_error: str = "warn",
    n_jobs: int | None = None,
    allow_no_split: bool = False,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray | RecordArray, np.ndarray]:
    """Load a split of EchoNext, 100,000 ECGs with the ejection fraction.

    The data are restricted and were not at hand: this function is built to their documented
    layout and was tested on synthetic files alone (`make_echonext`). What it relies on it checks,
    and it stops where the files are not as documented.

    Parameters
    ----------
    path : path
        The folder that holds ``echonext_metadata_100k.csv``, ``EchoNext_{split}_waveforms.npy``
        and ``EchoNext_{split}_tabular_features.npy``. The files of one split are enough.
    split : {"train", "val", "test", "no_split"}
        Part of the data set. "train" has several of a patient; "val" and "test" the latest of each.
        "no_split" needs ``allow_no_split=True``.
    target : str or list of str, default="lvef<=45"
        What ``target`` is 1 for:

        - ``"lvef<=45"``, or any other cut-off of the left ventricular ejection fraction in
          percent, with ``<=`` or ``<``;
        - ``"mild"`` (50 at most), ``"moderate"`` (40), ``"severe"`` (30): at least so severe, by
          the usual grades. The cut-offs of the ECGPD-LEF paper are not known to us; others take
          its "moderate" to be the flag of 45;
        - one of `ECHONEXT_FLAGS`, such as ``"shd_moderate_or_greater_flag"``;
        - a list of them, or ``"flags"`` for all twelve: a column for each.
    missing_ef : {"infer", "drop", "error"}, default="infer"
        For cut-offs, what to do with records without ``lvef_value``, which the data set has only
        where the echocardiogram came within a year. "infer" takes what ``lvef_lte_45_flag``
        implies: a low flag is positive for every cut-off from 45 on, the other negative for every
        cut-off up to 45, and for other cut-offs such records are left out. With the default
        target every record has the published flag. "drop" leaves them out, "error" refuses them.
    microvolt_per_count : float or None, default=4.88
        The files hold z-scores of each lead: the mean and deviation of `ECHONEXT_SCALING`, in
        counts, are undone, and a count is taken for so many microvolt. The data set states no
        unit; 4.88 is the usual one of the recorder's system, and an inference. None leaves the
        z-scores, in which the relative amplitude of leads is lost.
    tabular : bool, default=True
        Whether to load the standardized features. The order of their columns is contested between
        the data set's README and the authors' code: it is settled by comparing with the table.
    lazy : bool, default=True
        Whether ``data`` is a `RecordArray` that reads the file when it is needed. It carries
        ``sampling_rate``, ``lead_names`` and ``covariates``, which an array cannot. False needs
        120 kB a record, 8.7 GB for the training split: that is why this loader, unlike the
        others, is lazy by default.
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out recordings with samples that are not finite, which are found with
        ``lazy=False``, or to stop at the first. Files that are not as documented always stop.
    n_jobs : int or None, default=None
        Number of threads that read with ``lazy=False``, as in joblib.
    allow_no_split : bool, default=False
        Whether to load "no_split", which shares patients with "val" and "test".
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` alone.

    Returns
    -------
    Bunch
        data : RecordArray or ndarray of shape (n_records, 12, 2500)
            float32, mV, leads in the order of `STANDARD_LEADS`, 250 Hz, 10 s. Baseline and
            outliers have been removed by the authors: medians over 0.2 and 0.6 s, clipped at the
            0.1 and 99.9 percentiles of a lead. With ``lazy=True`` NaN would be read as it is:
            `check_ecg` and every estimator refuse it. Its attribute ``table`` is ``covariates``.
        target : ndarray of shape (n_records,) or (n_records, n_flags)
            0 or 1.
        target_names : list of str
            Meaning of 1, a name for each column.
        groups : ndarray of shape (n_records,)
            Patients, for splitters that keep a patient's records together.
        ejection_fraction : ndarray of shape (n_records,)
            Percent, NaN where missing.
        metadata : DataFrame
            The rows of the table in the order of ``data``, index 0 to n_records - 1.
        tabular : DataFrame or None
            The file's values in its order, columns named: standardized age, rates and intervals,
            and ``sex`` as the file codes it (documented as 1 male, 0 female).
        covariates : DataFrame
            ``age`` (years, 90 at most) and ``sex`` (0 male, 1 female), NaN where unknown: the codes
            of `load_ptbxl`, `load_wfdb` and `make_lef_cohort`, not those of ``metadata`` and
            ``tabular``.
        age_over_89 : ndarray of bool of shape (n_records,)
            Whose age is 90, as the data set writes for all ages over 89.
        sampling_rate : int
            Hz.
        lead_names : list of str
            The second axis of ``data``.
        split : str
            As given.
        left_out : Bunch
            Records of the split that were left out, counted by reason: ``no_target``.
        unreadable : list of (str, str)
            File and reason of each other record that was left out, see ``on_error``.
        synthetic : bool
            Whether `make_echonext` made the files.
        DESCR : str
            Source, license and counts.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        When the folder holds no such file, with what it holds and where else they are.
    ValueError
        For a parameter that is not allowed, for files that are cut short, of another shape or
        type, or that do not fit together, for a table that lacks columns or has values that the
        documentation does not know, for features whose order cannot be settled, and when no
        record has a target.

    Warns
    -----
    UserWarning
        When ``lvef_value`` and its flag contradict each other, with the count: the value is
        taken, except for "lvef<=45", where the flag is. When patients of "train" are in "val" or
        "test". When ages or sexes cannot be right; they count as unknown.
    RecordsLeftOutWarning
        When recordings were left out because samples are not finite.

    See Also
    --------
    make_echonext : Makes synthetic data in this layout.

    References
    ----------
    .. [1] P. Elias and J. Finer, "EchoNext: a dataset for detecting echocardiogram-confirmed
       structural heart disease from ECGs", PhysioNet, 2025, doi 10.13026/3ykd-bf14.
    .. [2] T. J. Poterucha et al., "Detecting structural heart disease from electrocardiograms
       using AI", Nature, 2025, doi 10.1038/s41586-025-09227-0.
    .. [3] Constants and preprocessing: github.com/PierreElias/IntroECG, "7-EchoNext Minimodel".

    Examples
    --------
    >>> import tempfile
    >>> from ecgsk.datasets import load_echonext, make_echonext
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = make_echonext(folder, 60, random_state=0)
    ...     ecgs = load_echonext(folder, split="train", target="lvef<=40", lazy=False)
    >>> ecgs.data.shape[1:], ecgs.target_names, ecgs.synthetic
    ((12, 2500), ['lvef<=40'], True)
    >>> list(ecgs.data.shape[:1]) == [len(ecgs.target)] == [len(ecgs.covariates)]
    True
    """
    if split == "no_split" and not allow_no_split:
        raise ValueError(_NO_SPLIT)
    wanted = parse_target(target)
    path = expanded(path)
    csv, file = find_file(path, CSV), find_file(path, waveform_name(split))
    waveforms = check_waveforms(file)
    table = read_csv(csv)
    check_rows(file, waveforms.shape[0], csv, table["split"], split)
    _warn_of_shared_patients(table, csv)
    rows = table[table["split"] == split].reset_index(drop=True)
    features = _load_tabular(path, csv, table, split) if tabular else None
    ef = read_ejection_fraction(rows, csv)
    labels, known = make_target(rows, ef, wanted, missing_ef, csv)
    covariates, over_89 = covariates_of(rows, csv)
    kept = np.flatnonzero(known)
    if not len(kept):
        raise ValueError(
            f"none of the {len(rows)} records of split {split!r} has a target for "
            f"target={target!r} with missing_ef={missing_ef!r}. Use another, or missing_ef='infer'."
        )

    unreadable: list[tuple[str, str]] = []
    reader = EchoNextReader(waveforms, None if known.all() else kept, microvolt_per_count)
    records = RecordArray(
        reader,
        (len(kept), len(STANDARD_LEADS), N_SAMPLES),
        table=covariates.iloc[kept].reset_index(drop=True),
        sampling_rate=SAMPLING_RATE,
        leads=STANDARD_LEADS,
        preprocessing=PREPROCESSING,
    )
    data: RecordArray | np.ndarray = records
    if not lazy:
        signals = read_all(records, n_jobs)
        finite = _finite(signals)
        keys = rows["ecg_key"].iloc[kept[~finite]]
        unreadable = [(str(file), f"ecg_key {key}: {_NOT_FINITE}") for key in keys]
        _leave_out(unreadable, len(kept), on_error)
        data = np.asarray(keep_places(signals, np.flatnonzero(finite).tolist()))
        kept = kept[finite]
    covariates = covariates.iloc[kept].reset_index(drop=True)
    labels = labels[kept]
    if return_X_y:
        return data, labels
    metadata = rows.iloc[kept].reset_index(drop=True)
    left_out = Bunch(no_target=len(rows) - len(kept) - len(unreadable))
    synthetic = (path / TRUTH).exists()
    return Bunch(
        data=data,
        target=labels,
        target_names=wanted.names,
        groups=metadata["patient_key"].to_numpy(),
        ejection_fraction=ef[kept],
        metadata=metadata,
        tabular=None if features is None else features.iloc[kept].reset_index(drop=True),
        covariates=covariates,
        age_over_89=over_89[kept],
        sampling_rate=SAMPLING_RATE,
        lead_names=list(STANDARD_LEADS),
        split=split,
        left_out=left_out,
        unreadable=unreadable,
        synthetic=synthetic,
        DESCR=_DESCR.format(
            kind="SYNTHETIC files in the layout of it, by make_echonext."
            if synthetic
            else "Read by the documented layout; ecgsk was tested on synthetic files alone.",
            split=split,
            n_records=len(kept),
            unit="standard deviations of each lead"
            if microvolt_per_count is None
            else f"mV if a count is {microvolt_per_count:g} microvolt",
            target=", ".join(wanted.names),
            missing_ef=missing_ef,
            **left_out,
        ),
    )


def _finite(data: np.ndarray) -> np.ndarray:
    finite = np.empty(len(data), dtype=bool)
    for part in batches(len(data), data.shape[1:]):
        finite[part] = np.isfinite(data[part]).all(axis=(1, 2))
    return finite


def _leave_out(unreadable: list[tuple[str, str]], n_records: int, on_error: str) -> None:
    if not unreadable:
        return
    first = ": ".join(unreadable[0])
    if on_error == "raise" or len(unreadable) == n_records:
        raise ValueError(f"{first}. Leave such records out with on_error='warn'.")
    warnings.warn(
        f"{len(unreadable)} of {n_records} records were left out. The first: {first}",
        RecordsLeftOutWarning,
        stacklevel=4,
    )


def _load_tabular(path: Path, csv: Path, table: pd.DataFrame, split: str) -> pd.DataFrame:
    file = find_file(path, tabular_name(split))
    features = read_tabular(file)
    check_rows(file, len(features), csv, table["split"], split)
    names = settle_order(features, table, split, path, file, csv)
    check_finite_features(features, names, file)
    return pd.DataFrame(features, columns=names)


def _warn_of_shared_patients(table: pd.DataFrame, csv: Path) -> None:
    """Warn when the split that models learn from shares patients with those that judge them."""
    patients = {name: table["patient_key"][table["split"] == name] for name in SPLITS}
    judged = pd.concat([patients["val"], patients["test"]])
    shared = patients["train"][patients["train"].isin(judged)].nunique()
    if shared:
        warnings.warn(
            f"{shared} patients of split 'train' are in 'val' or 'test' of {csv} as well, where "
            "the data set promises none. Scores on them would be too high.",
            UserWarning,
            stacklevel=4,
        )
