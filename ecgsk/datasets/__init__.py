"""Recordings from files and made-up ones, as arrays."""

from ecgsk.datasets._echonext import load_echonext
from ecgsk.datasets._echonext_layout import ECHONEXT_FLAGS, ECHONEXT_SCALING
from ecgsk.datasets._make_ecg import make_ecg
from ecgsk.datasets._make_echonext import make_echonext
from ecgsk.datasets._make_lef_cohort import make_lef_cohort
from ecgsk.datasets._ptbxl import load_ptbxl
from ecgsk.datasets._ptbxl_labels import PTBXL_TASKS
from ecgsk.datasets._ptbxl_statements import PTBXL_STATEMENTS
from ecgsk.datasets._wfdb import load_wfdb
from ecgsk.datasets._wfdb_signal import RecordsLeftOutWarning

__all__ = [
    "ECHONEXT_FLAGS",
    "ECHONEXT_SCALING",
    "PTBXL_STATEMENTS",
    "PTBXL_TASKS",
    "RecordsLeftOutWarning",
    "load_echonext",
    "load_ptbxl",
    "load_wfdb",
    "make_ecg",
    "make_echonext",
    "make_lef_cohort",
]
