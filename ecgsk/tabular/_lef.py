"""The framework for low ejection fraction: probabilities of findings, then a model to read."""

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Integral, Real

from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import has_fit_parameter

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
    """Make a Pipeline that tells low ejection fraction from ECG recordings.

    A network that was trained for other things says how likely each ECG finding is; a model that
    can be read, or a plain one, is trained on these numbers. Nothing but scikit-learn's Pipeline
    comes back: every step can be looked at, replaced, searched and cross-validated.

    Parameters
    ----------
    extractor : {"mtecg", "ecgfounder"}, estimator, or mapping or sequence of them, \
            default="mtecg"
        What turns recordings into predictors. "mtecg" is the shipped network, whose 71 columns are
        the statements of PTB-XL; "ecgfounder" the published one with 150, fetched once. Any
        classifier of recordings will do, a fitted one inside ``sklearn.frozen.FrozenEstimator``;
        one that is to be fitted takes ``diagnoses`` and gives out-of-fold probabilities. A
        transformer that has no ``predict_proba`` is used as it is. Several are put side by side,
        their columns named ``name__column`` by the mapping's keys or the kinds.
    classifier : {"ebm", "logistic", "gradient_boosting"} or classifier, default="ebm"
        "ebm" is a `GroupedEBMClassifier` without interactions, with 8 bags and 256 bins,
        "logistic" an L2-penalised logistic regression after imputing medians and standardising,
        "gradient_boosting" scikit-learn's ``HistGradientBoostingClassifier`` with a fixed number
        of trees (its early stopping would hold out records of patients it learns from).
    sampling_rate : float, default=250.0
        Of the recordings, Hz; EchoNext has 250. The named extractors resample to what their
        networks expect. It does not concern estimators that are given.
    covariates : sequence of str, default=()
        Columns of the recordings' table that become predictors beside the probabilities, for
        example ``["age", "sex"]``. Recordings then have to be a `RecordArray` with a ``table``,
        as `load_echonext` gives.
    scale : {"logit", "probability"}, default="logit"
        Of the probabilities: see `ProbabilityTransformer`.
    cv : int, splitter or iterable, default=5
        Folds of extractors that are to be fitted.
    device : str, default="auto"
        Of the named extractors.
    n_jobs : int or None, default=-1
        Cores that the EBM uses.
    memory : str, joblib.Memory or None, default=None
        Where the Pipeline keeps what the extractors said, so that a search downstream of them
        does not ask again.
    random_state : int, RandomState instance or None, default=None
        Seeds the steps.

    Returns
    -------
    Pipeline
        Steps "predictors" and "classifier"; with "logistic" "impute" and "scale" between them.

    Raises
    ------
    ValueError
        For names that are not known, and no extractor and no covariate.
    TypeError
        For what has neither ``predict_proba`` nor ``transform``.

    Notes
    -----
    Patients: ``pipeline.fit(X, y, classifier__groups=patients)`` keeps a patient's records
    together in the EBM's bags, and ``predictors__groups=patients`` in the folds of an extractor
    that is fitted, with ``predictors__diagnoses``. With
    ``sklearn.set_config(enable_metadata_routing=True)`` the steps have asked for what they take:
    ``pipeline.fit(X, y, groups=patients)`` and
    ``cross_validate(pipeline, X, y, cv=GroupKFold(), params={"groups": patients})``. Where no step
    takes groups, as with "logistic" and a frozen extractor, ``fit`` refuses them then.

    The published framework (arXiv:2603.28532) has ST-MEM as its extractor, whose licence is
    non-commercial; its settings are not known to us.

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
        (name, _as_step(name, part, sampling_rate, scale, cv, device, random_state))
        for name, part in _named(extractor)
    ]
    if covariates:
        parts.append(("patient", TableColumns(list(covariates))))
    if not parts:
        raise ValueError(
            "extractor is empty and there are no covariates: nothing to predict from. Use "
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
    return _asking(Pipeline(steps, memory=memory))


def _named(extractor) -> list[tuple[str, object]]:
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
    """Refuse now what FeatureUnion would refuse in fit, without saying where the name is from."""
    bad = [name for name in names if "__" in name or names.count(name) > 1]
    if bad:
        raise ValueError(
            f"extractor={bad[0]!r} is not a name that a step can have: names have no '__', occur "
            "once, and 'patient' is that of the covariates. Use another key."
        )


def _kind_of(part) -> str:
    part = part.estimator if isinstance(part, FrozenEstimator) else part
    part = part[-1] if isinstance(part, Pipeline) else part
    return type(part).__name__.lower().removesuffix("classifier")


def _as_step(name, part, sampling_rate, scale, cv, device, random_state):
    if isinstance(part, str):
        if part not in _EXTRACTORS:
            raise ValueError(
                f"extractor={part!r} is not known; use {' or '.join(map(repr, _EXTRACTORS))}, or "
                "give an estimator."
            )
        if not isinstance(sampling_rate, Real) or not 0 < sampling_rate < inf:
            raise ValueError(f"sampling_rate={sampling_rate!r} has to be a positive number, Hz.")
        # Networks need torch, which tables do not.
        from ecgsk.estimators import ECGFounderClassifier, MTECGClassifier

        kind, weights = {
            "mtecg": (MTECGClassifier, "ptbxl"),
            "ecgfounder": (ECGFounderClassifier, "12-lead"),
        }[part]
        part = kind(weights=weights, sampling_rate=sampling_rate, device=device)
    if hasattr(part, "predict_proba"):
        return ProbabilityTransformer(part, cv=cv, scale=scale, random_state=random_state)
    if hasattr(part, "transform"):
        return part
    raise TypeError(
        f"extractor {name!r} is a {type(part).__name__}, which has neither predict_proba nor "
        "transform. Give a classifier of recordings."
    )


def _steps_of(classifier, n_jobs, random_state) -> list[tuple[str, object]]:
    if isinstance(classifier, str):
        if classifier == "ebm":
            # It imports interpret, which not every classifier needs.
            from ecgsk.tabular._ebm import GroupedEBMClassifier

            # interpret takes integers alone.
            seed = random_state
            if not (seed is None or isinstance(seed, Integral)):
                seed = int(check_random_state(seed).randint(2**31 - 1))
            # On as many records as EchoNext has, the library's defaults take ten times as long and
            # answer alike: benchmarks/ebm_settings.py.
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


def _asking(pipeline: Pipeline) -> Pipeline:
    """Let the steps ask for the metadata they take, for those who have routing on."""
    with config_context(enable_metadata_routing=True):
        predictors = pipeline["predictors"]
        union = isinstance(predictors, FeatureUnion)
        for part in [p for _, p in predictors.transformer_list] if union else [predictors]:
            if isinstance(part, ProbabilityTransformer):
                fitted = get_tags(part).requires_fit
                part.set_fit_request(groups=fitted, diagnoses=fitted, sample_weight=False)
            elif isinstance(part, TableColumns):
                part.set_fit_request(groups=False, diagnoses=False)
        last = pipeline[-1]
        if has_fit_parameter(last, "groups") and hasattr(last, "set_fit_request"):
            last.set_fit_request(groups=True)
    return pipeline
