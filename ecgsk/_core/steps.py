"""Transformers of recordings by name and parameters, as files keep them."""

import warnings
from collections.abc import Sequence

# These change the rate, the length and the leads, which recordings carry themselves.
_SHAPES = ("Resample", "SelectLeads", "CropPad")


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


def with_step(steps: list[tuple[str, dict]] | None, transformer) -> list[tuple[str, dict]] | None:
    """Return steps followed by a transformer, if they are known and it changes the signal."""
    if steps is None or type(transformer).__name__ in _SHAPES:
        return steps
    return steps + as_named_steps([transformer])


def warn_of_preprocessing(
    estimator, X, *, stacklevel: int, expected: list[tuple[str, dict]] | None = None
) -> None:
    """Warn where recordings went through other steps than those of fit, if both are known.

    ``expected`` are those of an estimator that was not fitted here.
    """
    given = getattr(X, "preprocessing", None)
    of_fit = vars(estimator).get("preprocessed_by_")
    expected = expected if of_fit is None else of_fit
    if given is None or expected is None or _signal_steps(given) == _signal_steps(expected):
        return
    warnings.warn(
        f"X went through {_in_words(given)} before {type(estimator).__name__}, but the recordings "
        f"of fit through {_in_words(expected)}. Apply the same transformers, or replace what X "
        "carries if it is wrong: RecordArray.wrap(X, preprocessing=...).",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def _signal_steps(steps) -> list[tuple[str, dict]]:
    ignored = ("sampling_rate", "n_jobs")
    return [
        (name, {k: _plain(v) for k, v in params.items() if k not in ignored})
        for name, params in steps
    ]


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value


def _in_words(steps) -> str:
    return ", ".join(f"{name}({params})" for name, params in steps) or "no preprocessing"
