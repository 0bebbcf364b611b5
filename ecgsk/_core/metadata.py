"""How patients and weights reach every part of a nested estimator that is fitted."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import PredefinedSplit
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from ecgsk._core.fitted import named_parts
from ecgsk._core.host_arrays import on_host
from ecgsk._core.sklearn_compat import BaseSearchCV, GroupsConsumerMixin

# Splits that were made in advance.
_FIXED = (PredefinedSplit, list, tuple)
_ROUTING = "sklearn.set_config(enable_metadata_routing=True)"
_REMEDY = (
    f"Use cv=GroupKFold() with {_ROUTING}, and set_fit_request(groups=True) on estimators that "
    "take groups; or give cv a list of splits by patient, where it is fitted once on all records. "
    "If each record is a patient of its own, leave groups out."
)


def fit_arguments(estimator, *, groups=None, sample_weight=None) -> dict:
    """Return the arguments with which ``fit`` hands these on to all parts that take them.

    Raises ValueError for a ``sample_weight`` that nothing takes, which would be lost.
    """
    found: dict = {}
    if groups is not None:
        found |= dict.fromkeys(_keys(estimator, "groups"), groups)
    if sample_weight is not None:
        keys = _keys(estimator, "sample_weight")
        if not keys:
            raise ValueError(
                f"sample_weight was given, but the fit of {_outline(estimator)} does not take it, "
                f"or does not hand it on. Leave it out, use a classifier that takes it, or use "
                f"{_ROUTING} with set_fit_request(sample_weight=True)."
            )
        found |= dict.fromkeys(keys, sample_weight)
    return found


def check_groups_arrive(estimator, groups, given: Iterable[str] = (), *, folds=False) -> None:
    """Raise ValueError where a split inside an estimator would not get the patients.

    ``given`` are the arguments that its ``fit`` gets. With ``folds`` it is also fitted on a part of
    the records, for which splits that were made for all of them are wrong. If no patient has two
    records, every split is right.
    """
    if groups is None:
        return
    groups = pd.factorize(np.asarray(on_host(groups, "groups")))[0]
    if len(np.unique(groups)) == len(groups):
        return
    problem = next(_problems(estimator, groups, set(given), folds), None)
    if problem is not None:
        raise ValueError(
            f"groups was given, but {problem}. Records of a patient would be on both sides. "
            f"{_REMEDY}"
        )


def check_folds(folds, groups, cv) -> None:
    """Raise ValueError if a patient has records on both sides of a fold."""
    if groups is None:
        return
    groups = np.asarray(on_host(groups, "groups"))
    for number, (train, test) in enumerate(folds):
        both = set(groups[train].tolist()) & set(groups[test].tolist())
        if both:
            raise ValueError(
                f"groups was given, but fold {number} of cv={cv!r:.60} has {len(both)} patients on "
                f"both sides, for example {sorted(both, key=str)[0]!r}. Use cv=GroupKFold(), or "
                "another splitter that uses groups."
            )


def splits_without_groups(estimator) -> Iterator[str]:
    """Yield the splits inside an estimator that groups would not change."""
    if not _is_fitted(estimator):
        return
    cv = _own_cv(estimator)
    if cv is not None and not isinstance(cv, _FIXED) and not _splits_by_groups(cv):
        yield f"{type(estimator).__name__} splits with cv={cv!r:.60}"
    for _, part in _parts(estimator):
        yield from splits_without_groups(part)


def _is_fitted(estimator) -> bool:
    """Return whether the ``fit`` of an estimator in another one does anything."""
    return hasattr(estimator, "fit") and not isinstance(estimator, FrozenEstimator)


def _parts(estimator) -> list[tuple[str | None, Any]]:
    return [(name, part) for name, part in named_parts(estimator) if _is_fitted(part)]


def _router(estimator) -> MetadataRouter | None:
    """Return how an estimator routes metadata to its parts, or None if it does not."""
    if not get_config()["enable_metadata_routing"]:
        return None
    try:
        routing = get_routing_for_object(estimator)
    except NotImplementedError:  # as of AdaBoostClassifier
        return None
    return routing if isinstance(routing, MetadataRouter) else None


def _keys(estimator, name: str) -> list[str]:
    """Return the names of ``fit``'s arguments by which metadata reach all parts that take them."""
    if not _is_fitted(estimator):
        return []
    router = _router(estimator)
    if router is not None:
        wanted = router.consumes("fit", [name]) or any(_undecided(estimator, name))
        return [name] if wanted else []
    if isinstance(estimator, Pipeline):
        # Other steps may use folds of patients as well; weights are for the last one.
        steps = estimator.steps if name == "groups" else estimator.steps[-1:]
        return [f"{step}__{key}" for step, part in steps for key in _keys(part, name)]
    inner = [_keys(part, name) for _, part in _parts(estimator)]
    if isinstance(estimator, BaseSearchCV):
        # It keeps groups for its splitter, and hands on everything else.
        keys = [key for part in inner for key in part if key != "groups"]
        return ["groups", *keys] if name == "groups" else keys
    if isinstance(estimator, CalibratedClassifierCV) and name == "sample_weight":
        # It would use weights that the classifier does not take for the calibration alone.
        first = estimator.estimator
        alone = first is None or isinstance(first, FrozenEstimator)
        return [name] if alone or has_fit_parameter(first, name) else []
    if has_fit_parameter(estimator, name):
        return [name]
    if isinstance(estimator, (CalibratedClassifierCV, MultiOutputClassifier)):
        return sum(inner, [])
    together = isinstance(estimator, FeatureUnion) and name == "groups"
    together |= isinstance(estimator, (StackingClassifier, VotingClassifier)) and name != "groups"
    return [name] if together and inner and all(name in part for part in inner) else []


def _undecided(estimator, name: str) -> Iterator[bool]:
    """Yield for each nested part that takes metadata whether its request is not decided."""
    for _, part in _parts(estimator):
        if _router(part) is not None:
            yield from _undecided(part, name)
        elif _uses(part, name):
            yield part.get_metadata_routing().fit.requests.get(name) is None


def _uses(estimator, name: str) -> bool:
    """Return whether ``fit`` takes metadata, and they make a difference."""
    if not has_fit_parameter(estimator, name):
        return False
    if name != "groups":
        return True
    if hasattr(estimator, "early_stopping"):
        # A network needs the patients for the split of early stopping only.
        return estimator.early_stopping is not False
    return get_tags(estimator).requires_fit


def _problems(estimator, groups, given: set[str], folds: bool) -> Iterator[str]:
    """Yield where groups do not arrive, if ``fit`` gets the arguments ``given``."""
    if not _is_fitted(estimator):
        return
    name = type(estimator).__name__
    routed = _router(estimator) is not None
    cv = _own_cv(estimator)
    own = not routed and has_fit_parameter(estimator, "groups")
    if own and type(estimator).__module__.startswith("ecgsk"):
        return  # it looks after its own parts
    if isinstance(cv, _FIXED):
        yield from _problems_of_fixed(name, cv, groups, folds)
    elif cv is not None and not _splits_by_groups(cv):
        yield f"{name} splits with cv={cv!r:.60}, which ignores groups"
    elif cv is not None and not _hands_to_splitter(estimator, given):
        yield f"{name} does not hand them to its cv={cv!r:.60}"
    if own:
        return
    for step, part in _parts(estimator):
        if routed:
            inner = {"groups"}
            unreached = False  # scikit-learn raises an error for a request that is not decided
        elif isinstance(estimator, Pipeline):
            inner = {key.removeprefix(f"{step}__") for key in given if key.startswith(f"{step}__")}
            unreached = "groups" not in inner
        elif isinstance(estimator, BaseSearchCV):
            inner = given - {"groups"}
            unreached = True
        elif isinstance(estimator, (CalibratedClassifierCV, MultiOutputClassifier, FeatureUnion)):
            inner, unreached = given, "groups" not in given
        else:
            inner, unreached = set(), True
        if unreached and _uses(part, "groups"):
            yield f"{name} does not hand them on to {type(part).__name__}, whose fit takes them"
        else:
            yield from _problems(part, groups, inner, folds or cv is not None)


def _own_cv(estimator):
    """Return the parameter ``cv`` by which ``fit`` splits; None if it does not split.

    The folds of None are those of 5.
    """
    cv = estimator.get_params(deep=False).get("cv", "prefit")
    if isinstance(cv, str) or (cv is None and isinstance(estimator, ClassifierChain)):
        return None
    if isinstance(estimator, StackingClassifier):
        split = [part for _, part in estimator.estimators if _is_fitted(part)]
    else:
        split = _parts(estimator)
    if named_parts(estimator) and not split:
        return None  # only frozen models, whose answers do not depend on the folds
    return 5 if cv is None else cv


def _splits_by_groups(cv) -> bool:
    if np.isscalar(cv):
        return False
    # A splitter of the user's may use them.
    known = type(cv).__module__.startswith("sklearn.")
    return isinstance(cv, GroupsConsumerMixin) or not known


def _hands_to_splitter(estimator, given: set[str]) -> bool:
    if "groups" not in given:
        return False
    if isinstance(estimator, CalibratedClassifierCV) and estimator.ensemble is False:
        return False  # it calls cross_val_predict without them
    router = _router(estimator)
    if router is not None:
        return any(name == "splitter" for name, _ in router)
    return isinstance(estimator, BaseSearchCV) or has_fit_parameter(estimator, "groups")


def _problems_of_fixed(name: str, cv, groups, folds: bool) -> Iterator[str]:
    if folds:
        yield (
            f"the splits in cv of {name} are for all records, while out-of-fold probabilities need "
            "fits on a part of them"
        )
        return
    for number, (train, test) in enumerate(cv.split() if isinstance(cv, PredefinedSplit) else cv):
        if len(np.intersect1d(groups[np.asarray(train)], groups[np.asarray(test)])):
            yield f"split {number} in cv of {name} does not keep patients together"
            return


def _outline(estimator) -> str:
    inner = [type(part).__name__ for _, part in named_parts(estimator)]
    return type(estimator).__name__ + (f"({', '.join(inner)})" if inner else "")
