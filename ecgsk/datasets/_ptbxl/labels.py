"""The statements of PTB-XL and the six tasks of its benchmark."""

from collections.abc import Iterable

# Superclass, subclass and the diagnostic statements of the subclass (scp_statements.csv).
_DIAGNOSES = {
    "CD": {
        "CLBBB": "CLBBB",
        "CRBBB": "CRBBB",
        "ILBBB": "ILBBB",
        "IRBBB": "IRBBB",
        "IVCD": "IVCD",
        "LAFB/LPFB": "LAFB LPFB",
        "WPW": "WPW",
        "_AVB": "1AVB 2AVB 3AVB",
    },
    "HYP": {
        "LAO/LAE": "LAO/LAE",
        "LVH": "LVH",
        "RAO/RAE": "RAO/RAE",
        "RVH": "RVH",
        "SEHYP": "SEHYP",
    },
    "MI": {
        "AMI": "ALMI AMI ASMI INJAL INJAS INJLA",
        "IMI": "ILMI IMI INJIL INJIN IPLMI IPMI",
        "LMI": "LMI",
        "PMI": "PMI",
    },
    "NORM": {"NORM": "NORM"},
    "STTC": {
        "ISCA": "ISCAL ISCAN ISCAS ISCLA",
        "ISCI": "ISCIL ISCIN",
        "ISC_": "ISC_",
        "NST_": "NST_",
        "STTC": "ANEUR DIG EL LNGQT NDT",
    },
}

_SUBCLASS = {
    code: subclass
    for subclasses in _DIAGNOSES.values()
    for subclass, codes in subclasses.items()
    for code in codes.split()
}
_SUPERCLASS = {
    code: superclass
    for superclass, subclasses in _DIAGNOSES.items()
    for codes in subclasses.values()
    for code in codes.split()
}
_FORM = (
    "ABQRS DIG HVOLT INVT LNGQT LOWT LPR LVOLT NDT NST_ NT_ PAC PRC(S) PVC QWAVE STD_ STE_ TAB_ "
    "VCLVH"
).split()
_RHYTHM = "AFIB AFLT BIGU PACE PSVT SARRH SBRAD SR STACH SVARR SVTAC TRIGU".split()

# Task: statement -> label.
_LABEL_OF = {
    "all": {code: code for code in (*_SUBCLASS, *_FORM, *_RHYTHM)},
    "diagnostic": {code: code for code in _SUBCLASS},
    "subdiagnostic": _SUBCLASS,
    "superdiagnostic": _SUPERCLASS,
    "form": {code: code for code in _FORM},
    "rhythm": {code: code for code in _RHYTHM},
}

PTBXL_TASKS: dict[str, tuple[str, ...]] = {
    task: tuple(sorted(set(labels.values()))) for task, labels in _LABEL_OF.items()
}
"""Labels of each PTB-XL task, in the column order of the benchmark (sorted by character code)."""


def labels_of(statements: Iterable[str], task: str) -> list[str]:
    """Return a record's labels in a task, sorted; statements foreign to the task add none."""
    label_of = _LABEL_OF[task]
    return sorted({label_of[code] for code in statements if code in label_of})


def is_statement(code: str) -> bool:
    """Tell whether PTB-XL knows a statement."""
    return code in _LABEL_OF["all"]
