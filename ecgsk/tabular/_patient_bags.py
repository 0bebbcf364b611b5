"""Bags of an explainable boosting machine that do not separate the records of a patient."""

import math
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from ecgsk._core.checks import check_groups
from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public


@public("ecgsk.tabular")
def patient_bags(
    y, groups, *, n_bags: int = 14, validation_size: float = 0.15, random_state=None
) -> np.ndarray:
    """Draw the bags of an explainable boosting machine by patient.

    Each bag holds out a share of the patients of each class, with all of their records.

    Parameters
    ----------
    y : array-like of shape (n_records,)
        Classes. A patient with several counts for the one that the fewest patients have.
    groups : array-like of shape (n_records,)
        Patients.
    n_bags : int, default=14
        Number of bags, the ``outer_bags`` of the machine.
    validation_size : float, default=0.15
        Share of the patients that is held out, or their number where it is 1 or more.
    random_state : int, RandomState instance or None, default=None
        Random seed.

    Returns
    -------
    ndarray of int8 of shape (n_records, n_bags)
        1 for training records and -1 for those held out, for ``GroupedEBMClassifier.fit`` and
        ``ExplainableBoostingClassifier.fit``.

    Raises
    ------
    ValueError
        When all records of a class belong to one patient, and for numbers that are not allowed.

    Examples
    --------
    >>> from ecgsk.tabular import patient_bags
    >>> bags = patient_bags([0, 0, 1, 1, 0, 1], list("aabbcd"), n_bags=2, random_state=0)
    >>> bags.shape, bool((bags[0] == bags[1]).all())
    ((6, 2), True)
    """
    if not isinstance(validation_size, Real) or not 0 <= validation_size < np.inf:
        raise ValueError(
            f"validation_size={validation_size!r} is not allowed; give a share of the patients "
            "below 1, for example 0.15, or their number."
        )
    if not isinstance(n_bags, Integral) or n_bags < 1:
        raise ValueError(f"n_bags={n_bags!r} must be an integer of at least 1.")
    y = np.unique(np.asarray(on_host(y, "y")), return_inverse=True)[1]
    if not len(y):
        raise ValueError("y contains no records; give at least two patients.")
    groups = check_groups(groups, len(y))
    patients, patient = np.unique(groups, return_inverse=True)
    # By the rarest class, so that no bag has all patients of a class in one part.
    of_class = np.array([len(np.unique(patient[y == k])) for k in range(y.max() + 1)])
    rarity = np.argsort(np.argsort(-of_class, kind="stable"))
    kind = np.zeros(len(patients), dtype=int)
    np.maximum.at(kind, patient, rarity[y])
    if not validation_size:
        return np.ones((len(y), n_bags), dtype=np.int8)
    share = validation_size if validation_size < 1 else validation_size / len(patients)
    random = check_random_state(random_state)
    bags = np.ones((len(y), n_bags), dtype=np.int8)
    few = int(of_class.min())
    if few < 2 or share >= 1:
        raise ValueError(
            f"groups has {len(patients)} patients, of whom {few} have a record of one class; "
            f"validation_size={validation_size!r} needs some for training and some to hold out. "
            "Give more patients, or validation_size=0 and outer_bags=1 to hold none out."
        )
    for bag in range(n_bags):
        for of_kind in (np.flatnonzero(kind == k) for k in range(y.max() + 1)):
            size = min(math.ceil(share * len(of_kind)), len(of_kind) - 1)
            if size > 0:
                held = random.choice(of_kind, size, replace=False)
                bags[np.isin(patient, held), bag] = -1
    return bags
