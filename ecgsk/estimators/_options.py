"""Parts of a training that are switched on as a whole and have numbers of their own."""

from collections.abc import Callable
from numbers import Integral, Real

from sklearn.base import BaseEstimator

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import HasMethods, Interval, check_own_params, clone_keeping


@public("ecgsk.estimators")
class EarlyStopping(BaseEstimator):
    """End a training stage when the loss of records that were set aside no longer falls.

    The weights of the best epoch are kept. For the ``early_stopping`` parameter of the network
    classifiers, where True means ``EarlyStopping()``; a search reaches its numbers as
    ``early_stopping__tol`` and so on.

    Parameters
    ----------
    validation_fraction : float, default=0.1
        Share of the records (of the patients, where ``groups`` are given to ``fit``) that is set
        aside.
    n_iter_no_change : int, default=10
        Epochs without a better validation loss after which a stage ends.
    tol : float, default=1e-4
        Smallest fall of the validation loss that counts as better.

    Examples
    --------
    >>> from ecgsk import MTECGClassifier
    >>> from ecgsk.estimators import EarlyStopping
    >>> model = MTECGClassifier(early_stopping=EarlyStopping(n_iter_no_change=5))
    >>> model.get_params()["early_stopping__n_iter_no_change"]
    5
    """

    _parameter_constraints: dict = {
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, validation_fraction=0.1, n_iter_no_change=10, tol=1e-4):
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol


def early_stopping_of(value):
    """Return the `EarlyStopping` that a parameter means, or the value itself."""
    return EarlyStopping() if value is True else value


@public("ecgsk.estimators")
class Distillation(BaseEstimator):
    """Learn from the probabilities of a fitted classifier besides the labels.

    For the ``distillation`` parameter of the network classifiers; a search reaches its numbers as
    ``distillation__weight`` and so on. The teacher predicts the training records once, before the
    training. A clone keeps the teacher as it is.

    Parameters
    ----------
    teacher : estimator
        A fitted classifier of the same task, with ``predict_proba``.
    temperature : float, default=2.0
        Softens the probabilities of teacher and network before they are compared.
    weight : float, default=0.7
        Share of the teacher in the loss, between 0 and 1; the labels have the rest.

    References
    ----------
    Hinton G, Vinyals O, Dean J. Distilling the knowledge in a neural network. arXiv:1503.02531.
    Temperature 2 and weight 0.7: the GitHub repository fwaiaccount/MTECG-SPEED-TR.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk import MTECGClassifier, make_ecg
    >>> from ecgsk.estimators import Distillation
    >>> X = make_ecg(20, sampling_rate=100, random_state=0)
    >>> y = np.arange(20) % 2
    >>> quick = {"sampling_rate": 100, "max_epochs": 1, "random_state": 0}
    >>> teacher = MTECGClassifier("small", **quick).fit(X, y)
    >>> student = MTECGClassifier("nano", distillation=Distillation(teacher), **quick)
    >>> student.fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _parameter_constraints: dict = {
        "teacher": [HasMethods("predict_proba")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "weight": [Interval(Real, 0, 1, closed="both")],
    }
    _kept_by_clones = ("teacher",)

    def __init__(self, teacher, *, temperature=2.0, weight=0.7):
        self.teacher = teacher
        self.temperature = temperature
        self.weight = weight

    def __sklearn_clone__(self):
        return clone_keeping(self, self._kept_by_clones)


def check_option(value) -> None:
    """Raise for wrong numbers in an object that is the value of a parameter."""
    # Fitted models among the parameters have checked their own.
    if hasattr(value, "_parameter_constraints") and not hasattr(value, "fit"):
        check_own_params(value)


def numbers_of_short_forms(params: dict, short_forms: dict[str, Callable]) -> dict:
    """Return the numbers of the objects that short forms mean, such as ``strategy__dropout``."""
    numbers: dict = {}
    for name, object_of in short_forms.items():
        meant = object_of(params[name])
        if meant is not params[name] and hasattr(meant, "get_params"):
            numbers |= {f"{name}__{key}": value for key, value in meant.get_params().items()}
    return numbers


def objects_to_set(estimator, params: dict, short_forms: dict[str, Callable]) -> dict:
    """Return the objects whose numbers are to be set; ValueError where a parameter has none."""
    objects = {}
    for name in {key.partition("__")[0] for key in params if "__" in key} & set(short_forms):
        meant = short_forms[name](params.get(name, getattr(estimator, name)))
        if not hasattr(meant, "set_params"):
            raise ValueError(
                f"{name}={meant!r} has no parameters of its own: set {name} to an object first."
            )
        objects[name] = meant
    return objects
