"""Stateless transformers from ECG arrays to ECG arrays."""

from ecgsk.preprocessing._ecgfounder import ECGFounderPreprocessor
from ecgsk.preprocessing._filters import BandPass, MedianBaseline, Notch
from ecgsk.preprocessing._resample import Resample
from ecgsk.preprocessing._scale import Standardize
from ecgsk.preprocessing._shape import CropPad, SelectLeads

__all__ = [
    "BandPass",
    "CropPad",
    "ECGFounderPreprocessor",
    "MedianBaseline",
    "Notch",
    "Resample",
    "SelectLeads",
    "Standardize",
]
