"""Cross-validation and search of ECG estimators; nothing here knows of torch."""

from ecgsk.model_selection._multilabel_split import MultilabelStratifiedGroupKFold
from ecgsk.model_selection._ptbxl_folds import PTBXLFolds
from ecgsk.model_selection._search import OptunaSearchCV
from ecgsk.model_selection._space import search_space

__all__ = ["MultilabelStratifiedGroupKFold", "OptunaSearchCV", "PTBXLFolds", "search_space"]
