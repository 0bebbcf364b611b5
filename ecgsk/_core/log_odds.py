"""Log-odds of probabilities, held away from 0 and 1."""

import numpy as np

# Closer to 0 or 1 than this, a float32 probability carries no information on the odds.
FLOAT32_SATURATION = float(np.finfo(np.float32).eps)


def log_odds(probability, saturation: float = FLOAT32_SATURATION) -> np.ndarray:
    """Return log(p / (1 - p)), in float64.

    Probabilities closer to 0 or 1 than ``saturation`` are moved to it, so that their log-odds stay
    finite. The default, 1.2e-7, keeps them within -16 and 16.
    """
    p = np.clip(np.asarray(probability, dtype=np.float64), saturation, 1 - saturation)
    return np.log(p) - np.log1p(-p)
