"""CODE-15 in its official layout."""

import os
import warnings
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.covariates import read_covariates
from ecgsk._core.files import expanded
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.records import RecordArray, batches
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Interval, StrOptions, validate_params
from ecgsk._formats.tracings import CODE_RATE, CODE_SAMPLES
from ecgsk.datasets._code15.parts import ExamReader, Place, find_exams
from ecgsk.datasets._code15.table import LABELS, read_exams
from ecgsk.datasets._reading import RecordsLeftOutWarning, keep_places, read_all

_DESCR = """\
CODE-15%: a large scale annotated dataset of 12-lead ECGs
---------------------------------------------------------
Source: A. H. Ribeiro et al., Zenodo (2021), doi 10.5281/zenodo.4916206.
License: CC BY 4.0.
{n_records} exams of {n_patients} patients, 12 leads and {n_samples} samples at 400 Hz, in mV;
{n_shorter} are shorter, with zeros before and after. 6 labels.
Left out: {not_found} exams whose file or number was not found, {unreadable} unreadable,
{shorter} shorter ones.
"""


@public("ecgsk")
@validate_params(
    {
        "path": [str, os.PathLike],
        "n_samples": [Interval(Integral, 1, CODE_SAMPLES, closed="both")],
        "shorter": [StrOptions({"pad", "leave_out"})],
        "lazy": ["boolean"],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_code15(
    path: str | os.PathLike,
    *,
    n_samples: int = 4000,
    shorter: str = "pad",
    lazy: bool = True,
    on_error: str = "warn",
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray | RecordArray, np.ndarray]:
    """Load CODE-15, or as much of it as there is.

    345,779 exams of 233,770 patients of the Telehealth Network of Minas Gerais, Brazil [1]_, with
    six labels. Needs the extra ``formats`` (h5py).

    Parameters
    ----------
    path : path
        The folder that holds ``exams.csv`` and ``exams_part0.hdf5`` to ``exams_part17.hdf5``, or
        the table in it. Some of the parts are enough; the exams of others are left out.
    n_samples : int, default=4000
        Samples of each exam, 1 to 4096, from its middle. 4000 are 10 s. 4096 are what the files
        hold: exams of 10.24 s, and shorter ones with zeros before and after.
    shorter : {"pad", "leave_out"}, default="pad"
        Whether exams with fewer than ``n_samples`` recorded samples, such as those of 7 s, get
        zeros before and after, as in the files, or are left out.
    lazy : bool, default=True
        Whether ``data`` is a `RecordArray` that reads the files when they are needed. All exams
        take 66 GB. The array carries ``sampling_rate``, ``lead_names`` and ``covariates``.
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out exams that were not found, are empty, or have samples that are NaN or
        infinite, or to stop at the first. With ``lazy=True`` only the ends of each exam are read,
        so that NaN are found when models read them.
    n_jobs : int or None, default=None
        Number of threads that read with ``lazy=False``, as in joblib.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` alone.

    Returns
    -------
    Bunch
        data : RecordArray, or ndarray of shape (n_records, 12, n_samples)
            float32, mV (see Notes), leads in the order of `STANDARD_LEADS`, 400 Hz.
        target : ndarray of shape (n_records, 6)
            1 where the exam has the label.
        target_names : list of str
            ``1dAVb`` (first-degree atrioventricular block), ``RBBB`` and ``LBBB`` (right and left
            bundle branch block), ``SB`` and ``ST`` (sinus bradycardia and tachycardia), ``AF``
            (atrial fibrillation).
        groups : ndarray of shape (n_records,)
            ``patient_id``, for splitters that keep a patient's exams together.
        metadata : DataFrame
            The rows of ``exams.csv``, index ``exam_id``, with the values of the file. ``death``
            and ``timey`` are empty for exams without follow-up. An exam without any of the six
            labels need not be normal: see ``normal_ecg``.
        covariates : DataFrame
            ``age`` (years) and ``sex`` (0 male, 1 female), NaN where unknown. The table of
            ``data`` with ``lazy=True``.
        age_over_89 : ndarray of bool of shape (n_records,)
            True where the age is known only to be over 89; False for all in this data set.
        n_recorded : ndarray of shape (n_records,)
            Samples that were recorded, at most 4096; those of ``data`` around them are 0.
        sampling_rate : int
            400 Hz.
        lead_names : list of str
            The second axis of ``data``.
        left_out : Bunch
            Exams that were left out, counted by reason: ``not_found`` (no such file, or no such
            exam in it), ``unreadable`` (malformed files, exams of zeros alone, rows of the table
            that cannot be understood) and ``shorter``.
        unreadable : list of (str, str)
            File and reason of each exam counted in ``not_found`` or ``unreadable``.
        DESCR : str
            Source, license and counts.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        When there is no ``exams.csv`` in the folder.
    ImportError
        When h5py is missing.
    ValueError
        For a parameter that is not allowed, a table without the needed columns, when no exam is
        left, and with ``on_error="raise"`` at the first exam that cannot be read.

    Warns
    -----
    RecordsLeftOutWarning
        When exams were left out, with counts and the first example.
    UserWarning
        When exams have zeros before and after. When ages or sexes cannot be right; they count as
        unknown.

    Notes
    -----
    The authors document the order of the leads, 400 Hz, and "the scale 1e-4V: so if the signal is
    in V it should be multiplied by 1000", which contradicts itself. The second part is mV, and the
    samples are taken as such, as in the PhysioNet Challenge 2025. Users of the data report about
    twice the amplitudes of other data sets. Compare amplitudes before you mix data sets, and scale
    them if a model needs it.

    If the limb leads of a file contradict the documented order by the equations of Einthoven and
    Goldberger, its exams are left out.

    References
    ----------
    .. [1] A. H. Ribeiro et al., "CODE-15%: a large scale annotated dataset of 12-lead ECGs",
       Zenodo, 2021, doi 10.5281/zenodo.4916206.
    .. [2] A. H. Ribeiro et al., "Automatic diagnosis of the 12-lead ECG using a deep neural
       network", Nature Communications 11, 1760, 2020.

    Examples
    --------
    >>> from ecgsk import load_code15
    >>> load_code15("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: path='no-such-folder' contains no exams.csv. ...
    """
    csv, table, labels, failures = read_exams(expanded(path))
    folder = str(csv.parent.resolve())
    found = find_exams(folder, table.index.tolist(), table["trace_file"].astype(str).tolist())
    failures += [result for result in found if isinstance(result, RecordError)]
    if failures and on_error == "raise":
        raise failures[0]
    kept = [
        (row, place)
        for row, place in enumerate(found)
        if isinstance(place, Place) and (shorter == "pad" or place.stop - place.start >= n_samples)
    ]
    n_found = sum(isinstance(place, Place) for place in found)
    left_out = Bunch(
        not_found=sum(failure.missing for failure in failures),
        unreadable=sum(not failure.missing for failure in failures),
        shorter=n_found - len(kept),
    )
    if not kept:
        example = f". The first: {failures[0]}" if failures else ""
        raise ValueError(
            f"no exam is left to load: {left_out.not_found} were not found, {left_out.unreadable} "
            f"cannot be read, {left_out.shorter} are shorter than n_samples={n_samples}{example}"
        )
    rows = np.array([row for row, _ in kept])
    places = [place for _, place in kept]
    shape = (len(places), len(STANDARD_LEADS), n_samples)
    data: RecordArray | np.ndarray
    if not lazy:
        data = read_all(RecordArray(ExamReader(places, n_samples), shape), n_jobs)
        finite = _finite(data)
        for row in rows[~finite]:
            text = f"exam_id {table.index[row]} has samples that are NaN or infinite"
            failures.append(RecordError(found[row].file, text))
        if not finite.all() and on_error == "raise":
            raise failures[-1]
        left_out.unreadable += int((~finite).sum())
        chosen = np.flatnonzero(finite)
        data = np.asarray(keep_places(data, chosen.tolist()))
        rows, places = rows[chosen], [places[i] for i in chosen]
    n_recorded = np.array([place.stop - place.start for place in places])
    n_shorter = int((n_recorded < n_samples).sum())
    _warn(left_out, failures, len(rows), n_shorter, n_samples)
    metadata = table.iloc[rows]
    covariates, over_89 = _covariates(metadata)
    if lazy:
        data = RecordArray(
            ExamReader(places, n_samples),
            shape,
            table=covariates,
            sampling_rate=CODE_RATE,
            preprocessing=[],
            leads=STANDARD_LEADS,
        )
    if return_X_y:
        return data, labels[rows]
    return Bunch(
        data=data,
        target=labels[rows],
        target_names=list(LABELS),
        groups=metadata["patient_id"].to_numpy(),
        metadata=metadata,
        covariates=covariates,
        age_over_89=over_89,
        n_recorded=n_recorded,
        sampling_rate=int(CODE_RATE),
        lead_names=list(STANDARD_LEADS),
        left_out=left_out,
        unreadable=[(failure.file, failure.reason) for failure in failures],
        DESCR=_DESCR.format(
            n_records=len(rows),
            n_patients=metadata["patient_id"].nunique(),
            n_samples=n_samples,
            n_shorter=n_shorter,
            **left_out,
        ),
    )


def _finite(data: np.ndarray) -> np.ndarray:
    finite = np.empty(len(data), dtype=bool)
    for part in batches(len(data), data.shape[1:]):
        finite[part] = np.isfinite(data[part]).all(axis=(1, 2))
    return finite


def _covariates(metadata: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    unknown = pd.Series(np.nan, index=metadata.index)
    male = metadata.get("is_male", unknown).astype(str).str.strip().str.lower()
    return read_covariates(
        metadata.get("age", unknown),
        male.replace({"true": "male", "false": "female"}),
        [f"exam_id {exam_id}" for exam_id in metadata.index],
        one_is="male",
        source=f"the table of {len(metadata)} exams of CODE-15",
        stacklevel=stacklevel_of_user() + 1,
    )


def _warn(left_out: Bunch, failures, n_kept: int, n_shorter: int, n_samples: int) -> None:
    parts = [
        (left_out.not_found, "were not found"),
        (left_out.unreadable, "cannot be read"),
        (left_out.shorter, f"are shorter than n_samples={n_samples}"),
    ]
    listed = ", ".join(f"{count} {text}" for count, text in parts if count)
    if listed:
        example = f". The first: {failures[0]}" if failures else ""
        warnings.warn(
            f"{n_kept} exams were loaded; of the others, {listed}{example}",
            RecordsLeftOutWarning,
            stacklevel=stacklevel_of_user(),
        )
    if n_shorter:
        warnings.warn(
            f"{n_shorter} of {n_kept} exams are shorter than n_samples={n_samples} and have zeros "
            "before and after, as in the files. n_recorded has their lengths; "
            "shorter='leave_out' leaves them out.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
