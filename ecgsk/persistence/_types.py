"""The types that a model file may contain. Loading a file imports no other types."""

from functools import lru_cache
from importlib import import_module

# Public estimators, transformers and splitters, by the package and name for imports.
ECGSK = frozenset(
    {
        ("ecgsk", "ECGAugmentation"),
        ("ecgsk", "ECGFounderClassifier"),
        ("ecgsk", "MTECGClassifier"),
        ("ecgsk", "MTECGPretrainer"),
        ("ecgsk", "NetworkClassifier"),
        ("ecgsk", "ONNXClassifier"),
        ("ecgsk", "OptunaSearchCV"),
        ("ecgsk", "ProbabilityTransformer"),
        ("ecgsk", "SinglePredictorClassifier"),
        ("ecgsk.estimators", "Distillation"),
        ("ecgsk.estimators", "EarlyStopping"),
        ("ecgsk.estimators", "FullTraining"),
        ("ecgsk.estimators", "LinearProbe"),
        ("ecgsk.estimators", "MTECGSize"),
        ("ecgsk.estimators", "PostTraining"),
        ("ecgsk.model_selection", "MultilabelStratifiedGroupKFold"),
        ("ecgsk.model_selection", "PTBXLFolds"),
        ("ecgsk.preprocessing", "BandPass"),
        ("ecgsk.preprocessing", "CropPad"),
        ("ecgsk.preprocessing", "ECGFounderPreprocessor"),
        ("ecgsk.preprocessing", "MedianBaseline"),
        ("ecgsk.preprocessing", "Notch"),
        ("ecgsk.preprocessing", "Resample"),
        ("ecgsk.preprocessing", "SelectLeads"),
        ("ecgsk.preprocessing", "Standardize"),
        ("ecgsk.tabular", "GroupedEBMClassifier"),
        ("ecgsk.tabular", "RowAlignedFeatureUnion"),
        ("ecgsk.tabular", "TableColumns"),
    }
)
# Old module, public package, and names. Files of 0.1.0 contain private modules. When you move or
# rename a public class or function, add its old module or name here.
_MOVED = (
    ("ecgsk.estimators._ecgfounder", "ecgsk", "ECGFounderClassifier"),
    ("ecgsk.estimators._mtecg", "ecgsk", "MTECGClassifier"),
    ("ecgsk.estimators._pretrainer", "ecgsk", "MTECGPretrainer"),
    ("ecgsk.metrics._ranking", "ecgsk.metrics", "label_average_precision", "label_roc_auc"),
    ("ecgsk.metrics._ranking", "ecgsk.metrics", "macro_average_precision", "macro_roc_auc"),
    ("ecgsk.model_selection._multilabel_split", "ecgsk.model_selection")
    + ("MultilabelStratifiedGroupKFold",),
    ("ecgsk.model_selection._ptbxl_folds", "ecgsk.model_selection", "PTBXLFolds"),
    ("ecgsk.model_selection._search", "ecgsk", "OptunaSearchCV"),
    ("ecgsk.preprocessing._ecgfounder", "ecgsk.preprocessing", "ECGFounderPreprocessor"),
    ("ecgsk.preprocessing._filters", "ecgsk.preprocessing", "BandPass", "MedianBaseline", "Notch"),
    ("ecgsk.preprocessing._resample", "ecgsk.preprocessing", "Resample"),
    ("ecgsk.preprocessing._shape", "ecgsk.preprocessing", "CropPad", "SelectLeads"),
    ("ecgsk.tabular._columns", "ecgsk.tabular", "TableColumns"),
    ("ecgsk.tabular._ebm", "ecgsk.tabular", "GroupedEBMClassifier"),
    ("ecgsk.tabular._probability", "ecgsk", "ProbabilityTransformer"),
    ("ecgsk.tabular._single", "ecgsk", "SinglePredictorClassifier"),
    ("ecgsk.training._augment", "ecgsk", "ECGAugmentation"),
)
RENAMED = {
    **{(old, name): (package, name) for old, package, *names in _MOVED for name in names},
    ("ecgsk._compat", "RowsByPlace"): ("ecgsk.tabular", "RowAlignedFeatureUnion"),
    ("ecgsk.preprocessing._scale", "Standardise"): ("ecgsk.preprocessing", "Standardize"),
}
INTERPRET = frozenset({("interpret.glassbox._ebm._ebm", "ExplainableBoostingClassifier")})
GLASS_BOXES = INTERPRET | {("ecgsk.tabular", "GroupedEBMClassifier")}
_HIST = "sklearn.ensemble._hist_gradient_boosting"
TREE_PREDICTOR = (f"{_HIST}.predictor", "TreePredictor")
BOOSTED = frozenset(
    (f"{_HIST}.gradient_boosting", f"HistGradientBoosting{kind}")
    for kind in ("Classifier", "Regressor")
)
# Public classes of these modules compute with NumPy, which checks its input.
_SKLEARN_MODULES = (
    "calibration",
    "compose",
    "discriminant_analysis",
    "dummy",
    "feature_selection",
    "frozen",
    "impute",
    "isotonic",
    "linear_model",
    "model_selection",
    "multiclass",
    "multioutput",
    "naive_bayes",
    "neural_network",
    "pipeline",
    "preprocessing",
)
_SKLEARN_OTHERS = {
    "decomposition": ("PCA", "TruncatedSVD"),
    "ensemble": (
        "BaggingClassifier",
        "BaggingRegressor",
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        "StackingClassifier",
        "StackingRegressor",
        "VotingClassifier",
        "VotingRegressor",
    ),
    "svm": ("LinearSVC", "LinearSVR"),
}
# These create sparse matrices from indices in the file, which compiled code does not check.
_UNCHECKED = frozenset(
    {"KBinsDiscretizer", "MultiLabelBinarizer", "OneHotEncoder", "SplineTransformer"}
)
# Parts of public estimators. Users have to trust other types by name, such as neighbors, support
# vectors and trees: their compiled code does not check indices from a file. The audit itself checks
# the trees of histogram boosting.
_SKLEARN_PARTS = frozenset(
    {
        ("sklearn._loss.link", "HalfLogitLink"),
        ("sklearn._loss.link", "Interval"),
        ("sklearn._loss.link", "LogitLink"),
        ("sklearn._loss.link", "MultinomialLogit"),
        ("sklearn._loss.loss", "HalfBinomialLoss"),
        ("sklearn._loss.loss", "HalfMultinomialLoss"),
        ("sklearn.calibration", "_CalibratedClassifier"),
        ("sklearn.calibration", "_SigmoidCalibration"),
        ("sklearn.calibration", "_TemperatureScaling"),
        (f"{_HIST}.binning", "_BinMapper"),
        TREE_PREDICTOR,
        ("sklearn.metrics._scorer", "_CurveScorer"),
        ("sklearn.metrics._scorer", "_MultimetricScorer"),
        ("sklearn.metrics._scorer", "_PassthroughScorer"),
        ("sklearn.metrics._scorer", "_Scorer"),
        ("sklearn.model_selection._split", "_CVIterableWrapper"),
        ("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer"),
        ("sklearn.neural_network._stochastic_optimizers", "SGDOptimizer"),
        ("sklearn.utils._metadata_requests", "MetadataRequest"),
        ("sklearn.utils._metadata_requests", "MethodMetadataRequest"),
    }
)
_SCALARS = (
    "bool_",
    "str_",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
SCALARS = frozenset(("numpy", name) for name in _SCALARS)
KEYS = frozenset({("builtins", "str"), ("builtins", "int"), ("builtins", "float"), *SCALARS})
TYPES = KEYS | {("builtins", "bool")}
LOSSES = frozenset(
    {
        ("sklearn._loss._loss", "CyHalfBinomialLoss"),
        ("sklearn._loss._loss", "CyHalfMultinomialLoss"),
    }
)
CONTAINERS = {
    "DictNode": frozenset(
        {("builtins", "dict"), ("collections", "OrderedDict"), ("sklearn.utils._bunch", "Bunch")}
    ),
    "ListNode": frozenset({("builtins", "list")}),
    "SetNode": frozenset({("builtins", "set")}),
    "TupleNode": frozenset({("builtins", "tuple")}),
}


@lru_cache
def objects() -> frozenset[tuple[str, str]]:
    """Return the types whose instances a file may contain, as (module, name)."""
    public = []
    for name in _SKLEARN_MODULES:
        public += [
            cls
            for listed, cls in vars(import_module(f"sklearn.{name}")).items()
            if isinstance(cls, type)
            and not listed.startswith("_")
            and (hasattr(cls, "get_params") or hasattr(cls, "split"))
            and cls.__module__.startswith(f"sklearn.{name}")
        ]
    for name, listed in _SKLEARN_OTHERS.items():
        module = import_module(f"sklearn.{name}")
        public += [getattr(module, wanted) for wanted in listed]
    known = {_pair(cls) for cls in public}
    known = {pair for pair in known if pair[1] not in _UNCHECKED}
    return frozenset(known) | _SKLEARN_PARTS | ECGSK | INTERPRET


@lru_cache
def functions() -> frozenset[tuple[str, str]]:
    """Return the functions that a file may contain, all of which compute numbers from arrays."""
    import numpy as np
    from scipy import special

    named = set()
    for module in ("sklearn.metrics", "ecgsk.metrics"):
        public = import_module(module)
        for name in public.__all__:
            if name.endswith(("_score", "_loss", "_error", "_corrcoef", "_auc", "_precision")):
                named.add(_pair(getattr(public, name)))
    selection = import_module("sklearn.feature_selection")
    named |= {_pair(getattr(selection, name)) for name in ("chi2", "f_classif", "f_regression")}
    for package in (np, special):
        named |= {
            (package.__name__, name)
            for name in dir(package)
            if isinstance(getattr(package, name, None), np.ufunc)
        }
    return frozenset(named)


def _pair(thing) -> tuple[str, str]:
    return thing.__module__, thing.__name__
