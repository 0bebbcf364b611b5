"""Recordings from files and made-up ones, as arrays."""

from ecgsk.datasets._code15.load import load_code15
from ecgsk.datasets._convert import convert_to_wfdb
from ecgsk.datasets._ecg import load_ecg
from ecgsk.datasets._echonext.layout import ECHONEXT_FLAGS, ECHONEXT_SCALING
from ecgsk.datasets._echonext.load import load_echonext
from ecgsk.datasets._labels.join import join_labels
from ecgsk.datasets._ptbxl.labels import PTBXL_TASKS
from ecgsk.datasets._ptbxl.load import load_ptbxl
from ecgsk.datasets._ptbxl.statements import PTBXL_STATEMENTS
from ecgsk.datasets._reading import RecordsLeftOutWarning
from ecgsk.datasets._synthetic.ecg import make_ecg
from ecgsk.datasets._synthetic.echonext import make_echonext
from ecgsk.datasets._synthetic.lef_cohort import make_lef_cohort
from ecgsk.datasets._wfdb import load_wfdb

__all__ = [
    "ECHONEXT_FLAGS",
    "ECHONEXT_SCALING",
    "PTBXL_STATEMENTS",
    "PTBXL_TASKS",
    "RecordsLeftOutWarning",
    "convert_to_wfdb",
    "join_labels",
    "load_code15",
    "load_ecg",
    "load_echonext",
    "load_ptbxl",
    "load_wfdb",
    "make_ecg",
    "make_echonext",
    "make_lef_cohort",
]
