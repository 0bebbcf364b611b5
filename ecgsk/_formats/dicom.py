"""DICOM waveforms: objects of 12-lead, general and ambulatory ECG, read by pydicom."""

import re
import warnings
import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np

from ecgsk._core.limb_leads import contradiction
from ecgsk._core.optional import import_optional
from ecgsk._core.record_error import RecordError
from ecgsk._formats.dicom_dataset import DICOMFile
from ecgsk._formats.dicom_statements import statements_of
from ecgsk._formats.dicom_waveform import MultiplexGroup, is_average_heartbeat, read_group
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.limits import check_file, check_signal
from ecgsk._formats.stored import ReadOptions, StoredECG, WholeFileFormat

# Files without the preamble of 128 bytes begin with an element of group 2, or with one of those of
# group 8 that may be the first: its length, or a text with its value representation and length.
_FIRST_ELEMENT = re.compile(
    rb"\x02\0\0\0UL|\x08\0(?:\0\0(?:UL)?\x04\0"
    rb"|[\x05\x08\x12\x16\x18]\0(?:[A-Z]{2}.\0|.\0\0\0)[ -~]{4})",
    re.DOTALL,
)

# DICOMDIR, the list of the files on a medium, which is on each medium next to these.
_DIRECTORY, _META = b"1.2.840.10008.1.3.10", 512


class DICOM(WholeFileFormat):
    """Objects of DICOM with waveforms of ECGs.

    Where a file contains several recordings, the first original one of more than two seconds that
    has the wanted leads is read; average heartbeats are not read.
    """

    name = "DICOM"
    endings = (".dcm", ".dicom")
    in_processes = True

    def recognizes(self, path: str, beginning: bytes) -> bool:
        if _DIRECTORY in beginning[:_META]:
            return False
        return beginning[128:132] == b"DICM" or _FIRST_ELEMENT.match(beginning) is not None

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        check_file(path)
        import_optional("pydicom", extra="formats", purpose="Reading DICOM")
        try:
            with warnings.catch_warnings():
                # They are of values that are not used, or an error follows.
                warnings.simplefilter("ignore")
                return self._decode(path, options)
        except MemoryError:
            raise RecordError(path, "it does not fit into memory") from None
        except ValueError as error:
            raise RecordError(path, str(error).rstrip(".")) from error
        except (Exception, RecursionError) as error:  # pydicom's, of foreign bytes
            reason = f"{type(error).__name__}: {error}".rstrip(".")
            raise RecordError(path, f"it cannot be decoded ({reason})") from error

    def _decode(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        file = DICOMFile(path)
        items = file.items(file.dataset, "WaveformSequence")
        if not items:
            raise ValueError(f"it contains {file.content()}, and no waveform")
        chosen, doubts = _recording(file, items, options.wanted)
        leads = _leads(chosen)
        n_samples, rate = chosen[0].signal.shape[1], chosen[0].sampling_rate
        check_signal(len(leads), n_samples, rate)
        signal = chosen[0].signal if len(chosen) == 1 else _join(chosen, leads)
        ecg = StoredECG(
            path=path,
            format=self.name,
            leads=leads,
            sampling_rate=rate,
            n_samples=n_samples,
            states=statements_of(file),
            crc=zlib.crc32(signal.data),
            resolutions=tuple(step for group in chosen for step in group.resolutions),
            doubts=tuple(dict.fromkeys(chain(doubts, *(group.doubts for group in chosen)))),
        )
        return ecg, signal


def _recording(
    file: DICOMFile, items: Sequence, wanted: Sequence[str]
) -> tuple[list[MultiplexGroup], tuple[str, ...]]:
    """Return the groups to read, and doubts.

    A group that cannot be read is an error where it comes before them, because it might have been
    the recording.
    """
    groups: list[MultiplexGroup] = []
    failed: tuple[int, ValueError] | None = None
    for place, item in enumerate(items, 1):
        try:
            if not is_average_heartbeat(item):
                groups.append(read_group(file, item, place))
        except ValueError as error:
            failed = failed or (place, error)
    if not groups:
        raise (
            failed[1]
            if failed
            else ValueError("it contains an average heartbeat only, and no recording")
        )
    try:
        chosen, doubts = _choose(groups, wanted)
    except ValueError:
        if failed:
            raise failed[1] from None
        raise
    if failed and failed[0] < chosen[-1].place:
        raise failed[1]
    return chosen, doubts


def _choose(
    groups: Sequence[MultiplexGroup], wanted: Sequence[str]
) -> tuple[list[MultiplexGroup], tuple[str, ...]]:
    """Return the group that has the wanted leads, or those that have them together, and doubts.

    If no lead is wanted in particular, they are those of the most leads.
    """
    simultaneous: dict[tuple, list[MultiplexGroup]] = {}
    for group in groups:
        time = group.sampling_rate, group.signal.shape[1], group.start or 0.0
        simultaneous.setdefault(time, []).append(group)
    fullest = max(simultaneous.values(), key=lambda part: len(set(_leads(part))))
    wanted = wanted or tuple(dict.fromkeys(_leads(fullest)))
    if not wanted:
        raise ValueError("it contains no lead whose amplitude is known")
    alone = [group for group in groups if not _missing([group], wanted)]
    if alone:
        chosen = min(alone, key=lambda group: (group.is_short, group.is_derived))
        doubt = f"it contains {len(alone)} recordings, and multiplex group {chosen.place} is read"
        return [chosen], (doubt,) * (len(alone) > 1)
    together = [part for part in simultaneous.values() if not _missing(part, wanted)]
    if together:
        untimed = any(group.start is None for group in together[0])
        doubt = "its leads are in several multiplex groups that do not state when they begin"
        return together[0], (doubt,) * untimed
    if not _missing(groups, wanted):
        raise ValueError(
            "its leads were not recorded at the same time: " + "; ".join(map(str, groups))
        )
    for group in groups:
        for lead, problem in group.problems.items():
            if lead in wanted or "," in lead:
                raise ValueError(problem)
    raise ValueError(_missing(fullest, wanted))


def _leads(groups: Sequence[MultiplexGroup]) -> tuple[str, ...]:
    return tuple(lead for group in groups for lead in group.leads)


def _missing(groups: Sequence[MultiplexGroup], wanted: Sequence[str]) -> str:
    """Return why groups together do not have the wanted leads, or an empty text."""
    try:
        plan_leads(_leads(groups), tuple(wanted))
    except ValueError as error:
        return str(error)
    return ""


def _join(groups: Sequence[MultiplexGroup], leads: tuple[str, ...]) -> np.ndarray:
    signal = np.concatenate([group.signal for group in groups])
    centered = np.nan_to_num(signal - np.nanmean(signal, axis=1, keepdims=True))
    gram = (centered @ centered.T).astype(np.float64) / signal.shape[1]
    if contradiction(gram, np.diagonal(gram) == 0, leads):
        raise ValueError(
            f"its {len(groups)} multiplex groups were not recorded at the same time: the limb "
            "leads of one group contradict those of another"
        )
    return signal
