"""The sampling rate that a column of times states."""

import re

import numpy as np

_SECONDS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3,
            "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6,
            "μs": 1e-6}  # fmt: skip
_ANY_UNIT = "|".join(_SECONDS)
_TIME = re.compile(
    r"(?:elapsed[\s_]?)?(?:time|times|timestamp|elapsed|t|zeit|temps|tiempo|tempo)"
    rf"(?:[\s_/]*[(\[]\s*({_ANY_UNIT})\s*[)\]]|[\s_/]+({_ANY_UNIT}))?",
    re.IGNORECASE,
)
_UNIT_ALONE = re.compile(r"[(\[]?(ms|msec|milliseconds|sec|seconds)[)\]]?", re.IGNORECASE)
_MOST_DIGITS = 12


def is_time(name: str) -> bool:
    """Return whether a column's name is that of times."""
    return _TIME.fullmatch(name.strip()) is not None or seconds_per_unit(name) is not None


def seconds_per_unit(name: str) -> float | None:
    """Return the unit of a column of times in s, or None where its name does not state it."""
    found = _UNIT_ALONE.fullmatch(name.strip()) or _TIME.fullmatch(name.strip())
    unit = None if found is None else next(filter(None, found.groups()), None)
    return None if unit is None else _SECONDS[unit.lower()]


def step_of_times(times: np.ndarray, name: str) -> tuple[float, float]:
    """Return the step of a column of times, and its largest relative error by rounding.

    Raises ValueError for steps that are not constant.
    """
    if len(times) < 2 or not np.isfinite(times).all():
        raise ValueError(f"its column {name!r} has missing times")
    length = float(times[-1] - times[0])
    step = length / (len(times) - 1)
    digits = range(_MOST_DIGITS)
    # The last digit to which the times are rounded.
    exact = (k for k in digits if np.allclose(np.round(times, k), times, rtol=0, atol=1e-3 / 10**k))
    rounding = 10.0 ** -next(exact, _MOST_DIGITS)
    # Each of two times is off by up to half of it.
    tolerance = 1.01 * rounding if rounding < step * 0.99 else 0.0
    differences = np.diff(times)
    constant = np.abs(differences - step).max() <= tolerance + 1e-6 * abs(step)
    if not step > 0 or not constant:
        raise ValueError(
            f"the steps of its column {name!r} are not constant: {differences.min():g} to "
            f"{differences.max():g}. Samples are missing, or it is rounded too much"
        )
    return step, (rounding if tolerance else 0.0) / length


def rate_of_step(step: float, relative_error: float) -> float:
    """Return the sampling rate of a step in s: the whole number among those that are possible."""
    rate = 1 / step
    whole = round(rate)
    return float(whole) if abs(rate - whole) <= rate * (relative_error + 1e-6) else rate
