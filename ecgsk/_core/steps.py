"""Transformers of recordings by name and parameters, as files keep them."""

from collections.abc import Sequence


def as_named_steps(steps: Sequence) -> list[tuple[str, dict]]:
    """Return name and parameters of each transformer, or of those that are given in this form.

    Raises TypeError for other values.
    """
    named = []
    for step in steps:
        pair = (type(step).__name__, step.get_params()) if hasattr(step, "get_params") else step
        try:
            name, params = pair
            named.append((str(name), dict(params)))
        except (TypeError, ValueError):
            raise TypeError(
                f"preprocessing={steps!r:.200} is not allowed; give a list of transformers of "
                "ecgsk.preprocessing, such as [MedianBaseline((0.2, 0.6), sampling_rate=250)]."
            ) from None
    return named


def keep_preprocessing(estimator, X) -> None:
    """Store in an estimator, in fit, what recordings went through before; None where unknown."""
    estimator.preprocessed_by_ = getattr(X, "preprocessing", None)
