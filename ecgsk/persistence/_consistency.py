"""Whether the numbers of a loaded model fit together, so that it cannot predict wrongly later."""

import math

import numpy as np

from ecgsk.persistence._parts import parts

_LINKS = {1: ("monoclassification",), 2: ("logit",)}
_LINKS_OF_MORE_CLASSES = ("mlogit", "vlogit")
# What linear models, perceptrons, Bayes classifiers and calibrators of scikit-learn multiply with.
_COEFFICIENTS = (
    "a_",
    "b_",
    "beta_",
    "coef_",
    "coefs_",
    "intercept_",
    "intercepts_",
    "theta_",
    "y_thresholds_",
    "X_thresholds_",
)


def check_consistency(model) -> None:
    """Raise ValueError for a part whose numbers contradict each other or are not finite."""
    for part in parts(model):
        name = type(part).__name__
        attributes = vars(part)
        if "term_scores_" in attributes and "bins_" in attributes:
            try:
                _check_ebm(attributes)
            # Attributes may be missing, or of any type.
            except (AttributeError, IndexError, KeyError, TypeError) as error:
                raise ValueError(
                    f"the {name} is incomplete ({type(error).__name__}: {error})"
                ) from error
            except ValueError as error:
                raise ValueError(f"the {name} is inconsistent: {error}") from error
        elif type(part).__module__.startswith("sklearn."):
            _check_coefficients(name, attributes)


def _check_coefficients(name: str, attributes: dict) -> None:
    for attribute in _COEFFICIENTS:
        values = attributes.get(attribute)
        for array in values if isinstance(values, list) else [values]:
            if isinstance(array, (float, np.ndarray, np.floating)):
                _require_finite(f"{attribute} of the {name}", array)
    if "theta_" in attributes:
        _require_finite(f"var_ of the {name}", attributes.get("var_", 0.0))
    learned = [attributes.get(each) for each in ("mean_", "var_", "scale_")]
    arrays = [values for values in learned if isinstance(values, np.ndarray)]
    if len(arrays) == len(learned):
        # A scaler has NaN for columns that were never known.
        unknown = [np.isnan(values).tolist() for values in arrays]
        _require(
            unknown[0] == unknown[1] == unknown[2],
            f"mean_, var_ and scale_ of the {name} are not finite for the same columns",
        )
    coefficients, n_features = attributes.get("coef_"), attributes.get("n_features_in_")
    if isinstance(coefficients, np.ndarray) and n_features is not None:
        _require(
            coefficients.ndim > 0 and coefficients.shape[-1] == n_features,
            f"coef_ of the {name} has shape {np.shape(coefficients)} for {n_features} features",
        )
        classes = attributes.get("classes_")
        if isinstance(classes, np.ndarray) and coefficients.ndim == 2:
            n_rows = (1, 2) if len(classes) == 2 else (len(classes), _n_pairs(len(classes)))
            _require(
                len(coefficients) in n_rows,
                f"coef_ of the {name} has shape {coefficients.shape} for {len(classes)} classes",
            )


def _n_pairs(n_classes: int) -> int:
    return n_classes * (n_classes - 1) // 2


def _check_ebm(ebm: dict) -> None:
    """Compare the attributes of an explainable boosting machine with each other."""
    n_features = len(ebm["bins_"])
    for name in ("feature_names_in_", "feature_types_in_"):
        _require(
            len(ebm[name]) == n_features, f"{name} has {len(ebm[name])} entries for {n_features}"
        )
    _require(
        ebm["n_features_in_"] == n_features,
        f"n_features_in_ is {ebm['n_features_in_']!r}, but there are bins of {n_features}",
    )
    names = list(ebm["feature_names_in_"])
    _require(len(set(names)) == n_features, "feature_names_in_ has a name twice")
    for name, levels in zip(names, ebm["bins_"], strict=True):
        _require(len(levels) > 0, f"there are no bins of {name!r}")
        for level in levels:
            _check_bins(name, level)
    n_classes = len(ebm["classes_"]) if "classes_" in ebm else 0
    _check_link(ebm, n_classes)
    scores_shape = (n_classes,) if n_classes > 2 else ()
    _check_intercept(ebm["intercept_"], scores_shape or (1,), n_classes)
    terms = ebm["term_features_"]
    for name in ("term_names_", "term_scores_", "bin_weights_", "standard_deviations_"):
        _require(len(ebm[name]) == len(terms), f"{name} has {len(ebm[name])} of {len(terms)} terms")
    for number, term in enumerate(terms):
        _check_term(ebm, number, term, scores_shape, finite=n_classes != 1)


def _check_bins(feature: str, level) -> None:
    if isinstance(level, dict):
        numbers = sorted(set(level.values()))
        # Categories may share a bin; 0 is for missing values.
        _require(
            all(isinstance(key, str) for key in level)
            and numbers == list(range(1, len(numbers) + 1)),
            f"the categories of {feature!r} are not numbered from 1",
        )
        return
    _require(
        isinstance(level, np.ndarray) and level.ndim == 1 and level.dtype == np.float64,
        f"the bins of {feature!r} are not an array of numbers",
    )
    _require_finite(f"a bin edge of {feature!r}", level)
    _require((np.diff(level) > 0).all(), f"the bin edges of {feature!r} do not increase")


def _check_link(ebm: dict, n_classes: int) -> None:
    if not n_classes:
        return  # a regressor
    allowed = _LINKS.get(n_classes, _LINKS_OF_MORE_CLASSES)
    link = ebm["link_"]
    _require(link in allowed, f"link_ is {link!r}; expected {' or '.join(allowed)}")
    _require(math.isnan(ebm["link_param_"]), f"link_param_ is {ebm['link_param_']!r}")


def _check_intercept(intercept, shape: tuple, n_classes: int) -> None:
    if n_classes:
        found = np.shape(intercept)
        _require(found == shape, f"intercept_ has shape {found}; expected {shape}")
    if n_classes != 1:
        _require_finite("intercept_", intercept)


def _check_term(ebm: dict, number: int, term, of_class: tuple, *, finite: bool) -> None:
    name = ebm["term_names_"][number]
    _require(
        len(term) > 0 and all(0 <= feature < len(ebm["bins_"]) for feature in term),
        f"the term {name!r} has the features {term!r}",
    )
    shape = tuple(_n_bins(ebm["bins_"][feature], len(term)) for feature in term)
    arrays = {
        "term_scores_": (ebm["term_scores_"][number], shape + of_class),
        "standard_deviations_": (ebm["standard_deviations_"][number], shape + of_class),
        "bin_weights_": (ebm["bin_weights_"][number], shape),
    }
    bagged = ebm.get("bagged_scores_")
    if bagged is not None and bagged[number] is not None:
        n_bags = len(bagged[number])
        arrays["bagged_scores_"] = (bagged[number], (n_bags, *shape, *of_class))
    for attribute, (values, expected) in arrays.items():
        if values is None and attribute == "standard_deviations_":
            continue  # after monotonize
        _require(
            isinstance(values, np.ndarray) and values.shape == expected,
            f"{attribute} of {name!r} has shape {np.shape(values)}; its bins need {expected}",
        )
        if finite or attribute == "bin_weights_":
            _require_finite(f"{attribute} of {name!r}", values)
    _require((ebm["bin_weights_"][number] >= 0).all(), f"bin_weights_ of {name!r} are negative")


def _n_bins(levels, n_features: int) -> int:
    """Return the number of scores for a feature, with those of missing and of unseen values."""
    level = levels[min(n_features, len(levels)) - 1]
    return max(level.values(), default=0) + 2 if isinstance(level, dict) else len(level) + 3


def _require_finite(what: str, values) -> None:
    values = np.asarray(values)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        raise ValueError(f"{what} is not finite")


def _require(condition, message: str) -> None:
    if not condition:
        raise ValueError(message)
