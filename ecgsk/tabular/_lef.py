"""The Pipeline for low ejection fraction: probabilities of findings, then a classifier of them."""

import warnings
from collections.abc import Mapping, Sequence
from math import inf
from numbers import Integral, Real

from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import has_fit_parameter

from ecgsk._core.fitted import last_step, named_parts
from ecgsk._core.metadata import splits_without_groups
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import RowAlignedFeatureUnion
from ecgsk.tabular._columns import TableColumns
from ecgsk.tabular._probability import ProbabilityTransformer

_CLASSIFIERS = ("ebm", "logistic", "gradient_boosting")
_EXTRACTORS = ("mtecg", "ecgfounder")


@public("ecgsk")
def make_lef_classifier(
    extractor="mtecg",
    *,
    classifier="ebm",
    sampling_rate: float = 250.0,
    covariates: Sequence[str] = (),
    scale: str = "logit",
    cv=5,
    device: str = "auto",
    n_jobs: int | None = -1,
    memory=None,
    random_state=None,
) -> Pipeline:
    """Return a Pipeline that predicts low ejection fraction from ECG recordings.

    A network that was trained on ECG findings predicts their probabilities; an interpretable or
    another classifier is trained on these numbers. The result is scikit-learn's Pipeline: its steps
    can be inspected, replaced, searched and cross-validated.

    Parameters
    ----------
    extractor : {"mtecg", "ecgfounder"}, estimator, or mapping or sequence of them, \
            default="mtecg"
        Makes predictors from recordings. "mtecg" is the network in the package with the 71
        statements of PTB-XL; "ecgfounder" is the published one with 150, which is downloaded once.
        Also any classifier of recordings: a fitted one in ``sklearn.frozen.FrozenEstimator``, or
        one that ``fit`` trains on ``diagnoses``, with out-of-fold probabilities. A transformer
        without ``predict_proba`` is used as it is. The columns of several extractors are called
        ``name__column``, with the mapping's keys or the kinds as names.
    classifier : {"ebm", "logistic", "gradient_boosting"} or classifier, default="ebm"
        "ebm" is a `GroupedEBMClassifier` without interactions, with 8 bags and 256 bins,
        "logistic" an L2-penalized logistic regression after median imputation and standardization,
        "gradient_boosting" scikit-learn's ``HistGradientBoostingClassifier`` with a fixed number
        of trees (its early stopping would hold out other records of training patients).
    sampling_rate : float, default=250.0
        Of the recordings, Hz; EchoNext has 250. "mtecg" and "ecgfounder" resample to the rate of
        their networks. Ignored for other extractors.
    covariates : sequence of str, default=()
        Columns of the recordings' table that are predictors, too, for example ``["age", "sex"]``,
        or probabilities, measurements and decisions (yes and no) of another program. Recordings
        then have to be a `RecordArray` with a ``table``, as from `join_labels`.
    scale : {"logit", "probability"}, default="logit"
        Scale of the probabilities, see `ProbabilityTransformer`.
    cv : int, splitter or iterable, default=5
        Folds of extractors that are fitted.
    device : str, default="auto"
        Device of "mtecg" and "ecgfounder".
    n_jobs : int or None, default=-1
        CPU cores of the EBM.
    memory : str, path-like, joblib.Memory or None, default=None
        Folder in which extractors that are used as they are keep their probabilities, so that
        cross-validation and searches compute each recording once: see `ProbabilityTransformer`.
    random_state : int, RandomState instance or None, default=None
        Random seed of the steps.

    Returns
    -------
    Pipeline
        Steps "predictors" and "classifier"; with "logistic" "impute" and "scale" between them.

    Raises
    ------
    ValueError
        For unknown names, and when there are neither extractors nor covariates.
    TypeError
        For an extractor without ``predict_proba`` and ``transform``.

    Warns
    -----
    UserWarning
        When a part of ``classifier`` has folds that ignore patients.

    Notes
    -----
    Patients: ``pipeline.fit(X, y, classifier__groups=patients)`` keeps a patient's records
    together in the EBM's bags, and ``predictors__groups=patients`` in the folds of an extractor
    that is fitted, with ``predictors__diagnoses``. With
    ``sklearn.set_config(enable_metadata_routing=True)`` the steps already request what they take:
    ``pipeline.fit(X, y, groups=patients)`` and
    ``cross_validate(pipeline, X, y, cv=GroupKFold(), params={"groups": patients})``. If no step
    takes groups, as with "logistic" and a frozen extractor, ``fit`` then raises. A classifier that
    splits, such as a calibration or a search, gets patients only with metadata routing and
    ``cv=GroupKFold()``.

    The published framework (arXiv:2603.28532) uses the extractor ST-MEM, whose license is
    non-commercial; its settings are not published.

    References
    ----------
    Y. Zhou et al., arXiv:2603.28532, 2026 (ECGPD-LEF).

    Examples
    --------
    >>> from ecgsk import make_lef_classifier
    >>> lef = make_lef_classifier("mtecg", classifier="logistic", covariates=["age", "sex"])
    >>> list(lef.named_steps)
    ['predictors', 'impute', 'scale', 'classifier']
    """
    if isinstance(covariates, str):
        covariates = [covariates]
    parts = [
        (name, _as_step(name, part, sampling_rate, scale, cv, device, random_state, memory))
        for name, part in _named_extractors(extractor)
    ]
    if covariates:
        parts.append(("patient", TableColumns(list(covariates))))
    if not parts:
        raise ValueError(
            "extractor is empty and there are no covariates, so there are no predictors. Use "
            "extractor='mtecg'."
        )
    if len(parts) == 1:
        predictors = parts[0][1]
    else:
        several = len(parts) - bool(covariates) > 1
        _check_names([name for name, _ in parts])
        predictors = RowAlignedFeatureUnion(parts, verbose_feature_names_out=several)
        predictors.set_output(transform="pandas")
    steps = [("predictors", predictors), *_steps_of(classifier, n_jobs, random_state)]
    for split in splits_without_groups(steps[-1][1]):
        warnings.warn(
            f"classifier: {split}, which puts records of a patient on both sides where patients "
            "have several. Use cv=GroupKFold() and metadata routing, see the notes.",
            stacklevel=2,
        )
    return _request_metadata(Pipeline(steps))


def _named_extractors(extractor) -> list[tuple[str, object]]:
    if extractor is None:
        return []
    if isinstance(extractor, Mapping):
        return [(str(name), part) for name, part in extractor.items()]
    if not isinstance(extractor, (list, tuple)):
        extractor = [extractor]
    names = [part if isinstance(part, str) else _kind_of(part) for part in extractor]
    return [
        (name if names.count(name) == 1 else f"{name}{i + 1}", part)
        for i, (name, part) in enumerate(zip(names, extractor, strict=True))
    ]


def _check_names(names: list[str]) -> None:
    """Refuse names that FeatureUnion would refuse in fit, with the parameter that they are from."""
    bad = [name for name in names if "__" in name or names.count(name) > 1]
    if bad:
        raise ValueError(
            f"extractor={bad[0]!r} cannot be the name of a step: names must not contain '__' or "
            "occur twice, and 'patient' is for the covariates. Use another key."
        )


def _kind_of(part) -> str:
    return type(last_step(part)).__name__.lower().removesuffix("classifier")


def _as_step(name, part, sampling_rate, scale, cv, device, random_state, memory):
    if isinstance(part, str):
        if part not in _EXTRACTORS:
            raise ValueError(
                f"extractor={part!r} is not known; use {' or '.join(map(repr, _EXTRACTORS))}, or "
                "give an estimator."
            )
        if not isinstance(sampling_rate, Real) or not 0 < sampling_rate < inf:
            raise ValueError(f"sampling_rate={sampling_rate!r} must be a positive number, Hz.")
        # Here, because only networks need torch.
        from ecgsk.estimators import ECGFounderClassifier, MTECGClassifier

        kind, weights = {
            "mtecg": (MTECGClassifier, "ptbxl"),
            "ecgfounder": (ECGFounderClassifier, "12-lead"),
        }[part]
        part = kind(weights=weights, sampling_rate=sampling_rate, device=device)
    if hasattr(part, "predict_proba"):
        return ProbabilityTransformer(
            part, cv=cv, scale=scale, random_state=random_state, memory=memory
        )
    if hasattr(part, "transform"):
        return part
    raise TypeError(
        f"extractor {name!r} is a {type(part).__name__} without predict_proba and transform. Give "
        "a classifier of recordings."
    )


def _steps_of(classifier, n_jobs, random_state) -> list[tuple[str, object]]:
    if isinstance(classifier, str):
        if classifier == "ebm":
            # Here, because it imports interpret, which other classifiers do not need.
            from ecgsk.tabular._ebm import GroupedEBMClassifier

            # interpret accepts only integers.
            seed = random_state
            if not (seed is None or isinstance(seed, Integral)):
                seed = int(check_random_state(seed).randint(2**31 - 1))
            # On as many records as in EchoNext, interpret's defaults take ten times as long for the
            # same accuracy: benchmarks/ebm_settings.py.
            model = GroupedEBMClassifier(
                interactions=0, max_bins=256, outer_bags=8, n_jobs=n_jobs, random_state=seed
            )
            return [("classifier", model)]
        if classifier == "logistic":
            return [
                ("impute", SimpleImputer(strategy="median").set_output(transform="pandas")),
                ("scale", StandardScaler().set_output(transform="pandas")),
                ("classifier", LogisticRegression(max_iter=1000)),
            ]
        if classifier == "gradient_boosting":
            model = HistGradientBoostingClassifier(
                max_iter=200,
                learning_rate=0.05,
                max_leaf_nodes=15,
                early_stopping=False,
                random_state=random_state,
            )
            return [("classifier", model)]
    elif hasattr(classifier, "fit") and is_classifier(classifier):
        return [("classifier", classifier)]
    raise ValueError(
        f"classifier={classifier!r} is not known; use {', '.join(map(repr, _CLASSIFIERS))}, or "
        "give a scikit-learn classifier."
    )


def _request_metadata(pipeline: Pipeline) -> Pipeline:
    """Set the metadata requests of the steps, for users of metadata routing."""
    with config_context(enable_metadata_routing=True):
        predictors = pipeline["predictors"]
        union = isinstance(predictors, FeatureUnion)
        for part in [p for _, p in predictors.transformer_list] if union else [predictors]:
            if isinstance(part, ProbabilityTransformer):
                fitted = get_tags(part).requires_fit
                part.set_fit_request(groups=fitted, diagnoses=fitted, sample_weight=False)
            elif isinstance(part, TableColumns):
                part.set_fit_request(groups=False, diagnoses=False)
        _request_groups(pipeline[-1])
    return pipeline


def _request_groups(classifier) -> None:
    """Request groups for all parts of a classifier that take them and have not decided."""
    if has_fit_parameter(classifier, "groups") and hasattr(classifier, "set_fit_request"):
        if classifier.get_metadata_routing().fit.requests.get("groups") is None:
            classifier.set_fit_request(groups=True)
    for _, part in named_parts(classifier):
        _request_groups(part)
