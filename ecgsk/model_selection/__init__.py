"""Splitters and parameter search for ECG estimators. This package does not import torch."""

from ecgsk.model_selection._multilabel_split import MultilabelStratifiedGroupKFold
from ecgsk.model_selection._ptbxl_folds import PTBXLFolds
from ecgsk.model_selection._search import OptunaSearchCV
from ecgsk.model_selection._space import search_space

__all__ = ["MultilabelStratifiedGroupKFold", "OptunaSearchCV", "PTBXLFolds", "search_space"]
