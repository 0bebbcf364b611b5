"""Second-order sections run forwards and backwards, as products of matrices.

A recursive filter is a recursion from sample to sample, which a processor does one number at a
time. In state-space form a block of its output is a product of matrices with the block of input and
the state in front of it. The states in front of the blocks are themselves the output of a recursive
filter, which is run in blocks the same way.
"""

from fractions import Fraction
from functools import lru_cache
from math import copysign, sqrt
from typing import NamedTuple

import numpy as np
from scipy import signal

# Samples to a block: more take more products, fewer more states.
_BLOCK = 32
# Numbers to a group of states.
_GROUP = 48
# Samples worked on at a time: float64 temporaries then stay in the processor's cache.
_CHUNK = 1 << 18
# Multiplications that OpenBLAS does in the calling thread. For more it starts threads of its own,
# which would wait for each other where joblib's threads filter chunks at the same time.
_ONE_THREAD = 1 << 18


class _Direction(NamedTuple):
    """Matrices for rows of samples in the order of time, whichever way the filter runs."""

    to_state: np.ndarray  # (_BLOCK, order): of samples on the state behind their block
    to_output: np.ndarray  # (_BLOCK + order, _BLOCK): of samples and the state in front of them


class _Filter(NamedTuple):
    forwards: _Direction
    backwards: _Direction
    step: np.ndarray  # (order, order): of a state on the one a block later
    initial: np.ndarray  # (order,): state that a constant 1 leaves as it is


def filter_both_ways(sos: np.ndarray, x: np.ndarray, padding: int) -> np.ndarray:
    """Return ``sosfiltfilt(sos, x, padlen=padding)`` of scipy but for smaller rounding errors.

    ``x`` is (n_leads, n_samples), float32 or float64 as the result; the computation is in float64.
    ``padding`` is the samples of odd reflection at each end, fewer than n_samples.
    """
    filter_ = _state_space(np.asarray(sos, dtype=np.float64).tobytes())
    out = np.empty_like(x)
    leads = max(1, _CHUNK // x.shape[1])
    for first in range(0, len(x), leads):
        _filter_chunk(filter_, x[first : first + leads], padding, out[first : first + leads])
    return out


def _filter_chunk(filter_, x, padding, out):
    n_leads, n = x.shape
    order = len(filter_.step)
    n_blocks = -(-(n + 2 * padding) // _BLOCK)
    start = n_blocks * _BLOCK - n - padding
    y = np.empty((n_leads, n_blocks * _BLOCK))
    inner = y[:, start : start + n]
    inner[...] = x
    y[:, start - padding : start] = 2 * inner[:, :1] - inner[:, padding:0:-1]
    y[:, start + n :] = 2 * inner[:, -1:] - inner[:, -2 : -padding - 2 : -1]
    # A constant in front, which the initial state goes with, fills the blocks up.
    y[:, : start - padding] = y[:, start - padding : start - padding + 1]
    # Samples and the state, in front of them in the direction of the filter.
    both = np.empty((n_leads, n_blocks, _BLOCK + order))
    both[:, :, :_BLOCK] = y.reshape(n_leads, n_blocks, _BLOCK)
    samples, states = both[:, :, :_BLOCK], both[:, :, _BLOCK:]
    rows = both.reshape(-1, _BLOCK + order)

    inputs = _product(samples, filter_.forwards.to_state)
    states[...] = _states(inputs, y[:, :1] * filter_.initial, filter_.step)
    _multiply(rows, filter_.forwards.to_output, y.reshape(-1, _BLOCK))

    samples[...] = y.reshape(n_leads, n_blocks, _BLOCK)
    inputs = _product(samples, filter_.backwards.to_state)[:, ::-1]
    states[:, ::-1] = _states(inputs, y[:, -1:] * filter_.initial, filter_.step)
    _multiply(rows, filter_.backwards.to_output, y.reshape(-1, _BLOCK))
    out[...] = inner


def _states(inputs, state, step):
    """Return the states s of s[k + 1] = s[k] @ step + inputs[k] in front of each input."""
    n_leads, n, order = inputs.shape
    size = max(2, _GROUP // order)
    if n <= 8:
        states = np.empty(inputs.shape)
        for k in range(n):
            states[:, k] = state
            state = state @ step + inputs[:, k]
        return states
    n_groups = -(-n // size)
    both = np.zeros((n_leads, n_groups * size, order))
    both[:, :n] = inputs
    both = both.reshape(n_leads, n_groups, size * order)
    to_state, to_output, group_step = _group(step.tobytes(), order, size)
    starts = _states(_product(both, to_state), state, group_step)
    states = _product(both, to_output[order:]) + _product(starts, to_output[:order])
    return states.reshape(n_leads, -1, order)[:, :n]


def _product(x, matrix):
    out = np.empty((*x.shape[:-1], matrix.shape[1]))
    _multiply(x.reshape(-1, len(matrix)), matrix, out.reshape(-1, matrix.shape[1]))
    return out


def _multiply(x, matrix, out):
    """Write x @ matrix into out, so many rows at a time that BLAS starts no threads."""
    rows = max(1, _ONE_THREAD // matrix.size)
    whole = len(x) // rows * rows
    stacks = [part[:whole].reshape(-1, rows, part.shape[1]) for part in (x, out)]
    np.matmul(stacks[0], matrix, out=stacks[1])
    np.matmul(x[whole:], matrix, out=out[whole:])


@lru_cache(maxsize=64)
def _group(step, order, size):
    """Return what inputs add to the state behind a group, the states inside, and the step."""
    step = np.frombuffer(step).reshape(order, order)
    powers = [np.eye(order)]
    for _ in range(size):
        powers.append(powers[-1] @ step)
    to_state = np.concatenate(powers[size - 1 :: -1])
    to_output = np.zeros((size + 1, order, size, order))
    for k in range(size):
        to_output[0, :, k] = powers[k]
        for earlier in range(k):
            to_output[1 + earlier, :, k] = powers[k - 1 - earlier]
    return to_state, to_output.reshape(-1, size * order), powers[size]


@lru_cache(maxsize=16)
def _state_space(sos):
    """Return the matrices of the sections one after the other."""
    sos = np.frombuffer(sos).reshape(-1, 6).copy()
    order = 2 * len(sos)
    step = np.zeros((order, order))
    entry = np.zeros(order)
    gain = np.zeros(order)
    through = 1.0
    initial = np.zeros(order)
    for k, (section, zi) in enumerate(zip(sos, signal.sosfilt_zi(sos), strict=True)):
        own = slice(2 * k, 2 * k + 2)
        step_k, gain_k, through_k, initial[own] = _section(section, zi)
        # The input of a section is the output of those before; it enters the first state.
        step[:, 2 * k] = gain
        entry[2 * k] = through
        step[own, own] = step_k
        gain *= through_k
        gain[own] = gain_k
        through *= through_k
    after = [np.eye(order)]
    for _ in range(_BLOCK):
        after.append(after[-1] @ step)
    to_state = np.array([entry @ power for power in after[_BLOCK - 1 :: -1]])
    response = np.concatenate([[through], to_state[::-1] @ gain])
    to_output = np.zeros((_BLOCK + order, _BLOCK))
    for k in range(_BLOCK):
        to_output[k, k:_BLOCK] = response[: _BLOCK - k]
        to_output[_BLOCK:, k] = after[k] @ gain
    backwards = np.concatenate([to_output[_BLOCK - 1 :: -1, ::-1], to_output[_BLOCK:, ::-1]])
    return _Filter(
        _Direction(to_state, to_output),
        _Direction(to_state[::-1].copy(), backwards),
        after[_BLOCK],
        initial,
    )


def _section(section, zi):
    """Return step, gain of the states, gain of the input and initial state of a section.

    The states of scipy's sections nearly cancel each other for poles close to 1, as those of a
    corner at 0.05 Hz are. Here they are the coordinates that a pair of poles rotates and shrinks,
    or two real poles one after the other. Differences of coefficients, which cancel too, are taken
    in fractions.
    """
    b0, b1, b2, _, a1, a2 = map(Fraction, section.tolist())
    # The section is b0 + (c1 z + c2) / (z^2 + a1 z + a2).
    c1, c2 = b1 - a1 * b0, b2 - a2 * b0
    z1, z2 = map(Fraction, zi.tolist())
    center = -a1 / 2
    square = a2 - center**2
    if square > 0:
        angular = sqrt(square)
        real = float(center)
        step = np.array([[real, angular], [-angular, real]])
        gain = np.array([float(c1), float(c2 + c1 * center) / angular])
        # Initial states are those that give scipy's first two samples of output.
        first, second = float(z1), float(center * z1 + z2) / angular
        norm = gain @ gain or 1.0
        initial = np.array([gain[0] * first + gain[1] * second, gain[1] * first - gain[0] * second])
        return step, gain, float(b0), initial / norm
    large = Fraction(float(center) + copysign(sqrt(-square), center))
    small = a2 / large if large else large
    step = np.array([[float(small), 1.0], [0.0, float(large)]])
    gain = np.array([float(c1), float(c2 + c1 * large)])
    seen = float(c2 + c1 * small)
    first = float(small * z1 + z2) / seen if seen else 0.0
    second = (float(z1) - gain[0] * first) / gain[1] if gain[1] else 0.0
    return step, gain, float(b0), np.array([first, second])
