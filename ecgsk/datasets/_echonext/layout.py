"""What the files of EchoNext are called and hold, as documented."""

import pandas as pd

from ecgsk._core.signal import STANDARD_LEADS

SPLITS = ("train", "val", "test", "no_split")
CSV = "echonext_metadata_100k.csv"
# Written by make_echonext alone: what is told apart from patients by it.
TRUTH = "synthetic_truth.csv"
SAMPLING_RATE = 250
N_SAMPLES = 2500
MICROVOLT_PER_COUNT = 4.88

ECHONEXT_FLAGS = (
    "lvef_lte_45_flag",
    "lvwt_gte_13_flag",
    "aortic_stenosis_moderate_or_greater_flag",
    "aortic_regurgitation_moderate_or_greater_flag",
    "mitral_regurgitation_moderate_or_greater_flag",
    "tricuspid_regurgitation_moderate_or_greater_flag",
    "pulmonary_regurgitation_moderate_or_greater_flag",
    "rv_systolic_dysfunction_moderate_or_greater_flag",
    "pericardial_effusion_moderate_large_flag",
    "pasp_gte_45_flag",
    "tr_max_gte_32_flag",
    "shd_moderate_or_greater_flag",
)

# Low and high clip, mean and standard deviation of each lead: the mini-model's
# waveform_normalization_params.json.
_SCALING = (
    (-140, 287, 5.438903, 32.428324),
    (-206, 297, 4.386144, 31.372624),
    (-324, 236, -0.882852, 30.155475),
    (-247, 118.5, -4.901228, 28.126380),
    (-153, 270, 3.179303, 27.097712),
    (-249, 245.5, 1.718962, 26.148743),
    (-369, 219, -4.385368, 37.739211),
    (-522, 297, -1.499179, 52.792504),
    (-554, 366, -0.239010, 56.751389),
    (-411, 450, 3.622169, 49.902239),
    (-290, 451, 5.396824, 45.001427),
    (-209, 396, 5.660982, 39.066061),
)
ECHONEXT_SCALING = pd.DataFrame(
    _SCALING,
    index=pd.Index(STANDARD_LEADS, name="lead"),
    columns=["low", "high", "mean", "std"],
    dtype=float,
)

_INTERVALS = ("ventricular_rate", "atrial_rate", "pr_interval", "qrs_duration", "qt_corrected")
# The columns of *_tabular_features.npy by the data set's README and by the mini-model's code.
TABULAR_ORDERS = {
    "readme": ("sex", *_INTERVALS, "age_at_ecg"),
    "code": ("sex", "age_at_ecg", *_INTERVALS),
}
# Mean and scale; sex is 0 or 1 as it is.
TABULAR_SCALING = {
    "age_at_ecg": (61.269679, 16.008829),
    "ventricular_rate": (83.379000, 20.388718),
    "atrial_rate": (89.227182, 44.435356),
    "pr_interval": (142.880842, 57.740987),
    "qrs_duration": (94.809258, 21.872022),
    "qt_corrected": (452.879667, 40.091473),
}

VALUES = (
    "aortic_stenosis_value",
    "aortic_regurgitation_value",
    "mitral_regurgitation_value",
    "tricuspid_regurgitation_value",
    "pulmonary_regurgitation_value",
    "rv_systolic_function_value",
    "pericardial_effusion_value",
    "ivs_measurement",
    "lvpw_measurement",
    "pasp_value",
    "tr_max_velocity_value",
    "lvef_value",
)
COLUMNS = (
    "ecg_key",
    "patient_key",
    "acquisition_year",
    "location_setting",
    "race_ethnicity",
    "most_recent_ecg",
    *TABULAR_ORDERS["readme"],
    *VALUES,
    *ECHONEXT_FLAGS,
    "split",
)


def waveform_name(split: str) -> str:
    """Return the name of a split's recordings."""
    return f"EchoNext_{split}_waveforms.npy"


def tabular_name(split: str) -> str:
    """Return the name of the file of a split's standardized features."""
    return f"EchoNext_{split}_tabular_features.npy"


DATA_NAMES = (CSV, *map(waveform_name, SPLITS), *map(tabular_name, SPLITS))

# What the authors did to the baseline of the recordings.
PREPROCESSING = [("MedianBaseline", {"window": (0.2, 0.6), "sampling_rate": SAMPLING_RATE})]
