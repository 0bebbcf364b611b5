"""Cross-validation and search of ECG estimators; nothing here knows of torch."""

from ecgsk.model_selection._search import OptunaSearchCV
from ecgsk.model_selection._space import search_space

__all__ = ["OptunaSearchCV", "search_space"]
