"""States of estimators that earlier versions saved, in the parameters of this one."""

from ecgsk.estimators._mtecg_size import MTECGSize
from ecgsk.estimators._options import Distillation, EarlyStopping
from ecgsk.estimators._strategies import FullTraining, LinearProbe, PostTraining

_REGULARIZATION = {
    name: name
    for name in ("final_learning_rate", "stochastic_depth", "stochastic_depth_rule", "dropout")
}
_HEAD = {name: name for name in ("head_epochs", "head_learning_rate", "head_weight_decay")}
# By present parameter and its value: the class that it becomes, with old names of its arguments.
# Other values stay as they are.
_OBJECTS_OF_0_1 = {
    ("early_stopping", True): (
        EarlyStopping,
        {name: name for name in ("validation_fraction", "n_iter_no_change", "tol")},
    ),
    ("strategy", "full"): (FullTraining, _REGULARIZATION),
    ("strategy", "linear_probe"): (
        LinearProbe,
        {
            "head_epochs": "max_epochs",
            "head_learning_rate": "learning_rate",
            "head_weight_decay": "weight_decay",
        },
    ),
    ("strategy", "post_training"): (PostTraining, {**_HEAD, **_REGULARIZATION}),
}
_TEACHING = {"distillation_temperature": "temperature", "distillation_weight": "weight"}
_SIZE = ("patch_size", "width", "depth", "n_heads")
_GONE = {"teacher", *_TEACHING, *_SIZE, "_starts_from", "_n_samples_read"}
_GONE |= {old for _, arguments in _OBJECTS_OF_0_1.values() for old in arguments}


def with_present_names(state: dict) -> dict:
    """Return a state of this version or of 0.1.0, left as it is, with this version's parameters."""
    if not _GONE & state.keys():
        return state
    new = {name: value for name, value in state.items() if name not in _GONE}
    for (parameter, value), (cls, arguments) in _OBJECTS_OF_0_1.items():
        if parameter in state and state[parameter] == value:
            numbers = {now: state[old] for old, now in arguments.items()}
            meant = cls(**{now: number for now, number in numbers.items() if number != "auto"})
            if meant.get_params() != cls().get_params():
                new[parameter] = meant
    if "teacher" in state:
        numbers = {now: state[old] for old, now in _TEACHING.items()}
        teacher = state["teacher"]
        new["distillation"] = None if teacher is None else Distillation(teacher, **numbers)
    size = {name: state[name] for name in _SIZE if state.get(name) is not None}
    if size:
        new["preset"] = MTECGSize(state["preset"], **size)
    if "_from_weights" in state:
        key, attributes = state["_from_weights"]
        new["_from_weights"] = (key, {**attributes, **_shape_read(attributes, {})})
    return {**new, **_shape_read(state, state)}


def _shape_read(attributes: dict, state: dict) -> dict:
    if "net_" not in attributes:
        return {}
    network = attributes["net_"].get_params_for("module")
    known = network.get("n_samples") or state.get("_n_samples_read")
    n_samples = known or getattr(attributes.get("_source"), "n_samples", None)
    return {"_shape_read": (network["n_leads"], n_samples)}
