"""Logistic regression of few coefficients on many resamples at once."""

import numpy as np
from scipy.special import expit


def fit_logistic(design, y, weights, offset) -> np.ndarray:
    """Return the coefficients of greatest likelihood for each row of ``weights``, (rows, records).

    Newton's method, the rows at once. A step that makes a row worse is halved, with which it
    converges wherever there is a maximum, as the caller must ensure; NaN after 100 steps.
    """
    n_rows, n_coefficients = len(weights), design.shape[1]
    products = (design[:, :, np.newaxis] * design[:, np.newaxis, :]).reshape(len(design), -1)
    total = weights.sum(axis=1)

    def loss(coefficients):
        linear = coefficients @ design.T + offset
        # log(1 + exp(x)) without overflow, quicker than logaddexp.
        softplus = np.maximum(linear, 0) + np.log1p(np.exp(-np.abs(linear)))
        return linear, np.einsum("ij,ij->i", weights, softplus - y * linear) / total

    current = np.zeros((n_rows, n_coefficients))
    linear, value = loss(current)
    converged, failed = np.zeros((2, n_rows), dtype=bool)
    for _ in range(100):
        probability = expit(linear)
        gradient = (weights * (y - probability)) @ design
        curvature = (weights * probability * (1 - probability)) @ products
        curvature = curvature.reshape(n_rows, n_coefficients, n_coefficients)
        # So little that only a curvature of 0 feels it.
        curvature += 1e-12 * total[:, np.newaxis, np.newaxis] * np.eye(n_coefficients)
        step = np.linalg.solve(curvature, gradient[..., np.newaxis])[..., 0]
        # Where probabilities are all but 0 or 1 there is no curvature and Newton leaps too far.
        longest = 5 + np.abs(current).max(axis=1, keepdims=True)
        step /= np.maximum(1, np.abs(step).max(axis=1, keepdims=True) / longest)
        step[converged | failed] = 0
        for _ in range(30):
            linear, new_value = loss(current + step)
            worse = new_value > value + 1e-12 * (1 + np.abs(value))
            if not worse.any():
                break
            step[worse] /= 2
        else:
            failed |= worse
            step[worse] = 0
            linear, new_value = loss(current + step)
        current, value = current + step, new_value
        converged |= np.abs(step).max(axis=1) <= 1e-9 * (1 + np.abs(current).max(axis=1))
        if (converged | failed).all():
            break
    current[failed | ~converged] = np.nan
    return current
