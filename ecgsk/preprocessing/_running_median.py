"""Running median of many leads at once, by selection in arrays instead of a heap per lead.

The medians of a block of m neighboring windows are found together. The samples that all m windows
hold, the block's core, are sorted once. A window has m - 1 samples more, so that its median is one
of the m middle values of the core. Each half of the block has as its core the block's and m / 2
samples beyond one end of it: of the values kept and these samples again only the middle ones can
be medians. At blocks of one window the median is left. The halving is minima and maxima of whole
arrays with the blocks along the last axis, which NumPy does at the speed of the cache and without
Python's interpreter lock; values are sorted by Batcher's bitonic network.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

# Samples worked on at a time: the arrays of a step then stay in the processor's cache.
_CHUNK = 1 << 17


def running_median(x: np.ndarray, width: int) -> np.ndarray:
    """Return the median of ``width`` samples (odd) around each, zeros beyond the ends.

    Values, (n_leads, n_samples), float32, equal those of ``scipy.ndimage.median_filter`` of each
    lead with zeros. NaN counts as larger, or with its sign bit set as smaller, than any number.
    """
    n_leads, n = x.shape
    if width > 2 * n:
        # More than half of each window lies beyond the ends.
        return np.zeros_like(x)
    if width == 1:
        return x.copy()
    out = np.empty_like(x)
    # NumPy copies rows shorter than its buffer into it first, which takes longer than the minimum.
    buffer = np.setbufsize(16)
    try:
        _fill(out, x, width, _block_length(width))
    finally:
        np.setbufsize(buffer)
    return out


def _fill(out, x, width, m):
    """Write the running median of x into out, a chunk of the size of the cache at a time."""
    n_leads, n = x.shape
    span = min(-(-n // m), max(1, _CHUNK // m)) * m
    leads = max(1, _CHUNK // span)
    for first in range(0, n_leads, leads):
        keys = _padded_keys(x[first : first + leads], width, m)
        for start in range(0, n, span):
            part = out[first : first + leads, start : start + span]
            medians = _medians(keys[:, start:], -(-part.shape[1] // m), width, m)
            part[...] = medians[:, : part.shape[1]]


def _block_length(width):
    # The middle m values of a core exist for 2 m - 1 <= width. Longer blocks take more halvings,
    # shorter ones more sorting of cores, which NumPy does fastest up to some 256 samples.
    return 1 << max(1, ((width + 1) // (4 if width < 512 else 3)).bit_length() - 1)


def _padded_keys(x, width, m):
    """Return the numbers as integers of the same order, padded with zeros.

    The window of sample t starts at t + 1.
    """
    n_leads, n = x.shape
    keys = np.zeros((n_leads, 1 + -(-n // m) * m + width), dtype=np.int32)
    inner = keys[:, 1 + width // 2 : 1 + width // 2 + n]
    inner[...] = _swap_order(x.view(np.int32))
    return keys


def _swap_order(bits):
    # Integers compare faster than floats; the bits of negative numbers have the opposite order.
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _medians(keys, n_blocks, width, m):
    """Return the medians of n_blocks blocks of m windows, the first of them from keys[:, 1]."""

    def pieces(offset, length):
        lead, sample = keys.strides
        view = as_strided(
            keys[:, offset:],
            (len(keys), n_blocks, length),
            (lead, m * sample, sample),
            writeable=False,
        )
        return np.array(view, order="C").reshape(-1, length)

    columns = len(keys) * n_blocks
    kept, extra, spare, beyond = _arrays(m, columns)
    core = pieces(m, width - m + 1)
    core.sort(axis=1)
    lowest = width // 2 - (m - 1)
    kept[:, :columns] = core[:, lowest : lowest + m].T
    beyond[:m, :columns] = pieces(0, m).T
    beyond[m:, :columns] = pieces(width + 1, m).T
    # Arrays are (rank, part of a block, block). New halves come in front of the parts they are of,
    # so that the numbers to compare lie in long rows.
    parts = np.zeros(1, dtype=np.intp)
    c = m // 2
    while c > 0:
        shape = (c, 2, len(parts), -1)
        # New are the c samples in front of the second half's windows to the first half, and those
        # behind the first half's windows to the second.
        starts = 2 * c * parts + np.array([[c], [m]])
        rows = np.arange(c)[:, np.newaxis, np.newaxis] + starts
        np.take(beyond, rows.ravel(), axis=0, out=extra.reshape(m, -1), mode="clip")
        extra, spare = _sort(extra.reshape(c, -1), spare)
        low, high = kept.reshape(2, c, 1, len(parts), -1)
        # Without the c lowest of all 3 c values,
        np.maximum(low, extra.reshape(shape)[::-1], out=spare.reshape(shape))
        halves, extra = _merge(spare.reshape(c, -1), extra)
        # and without the c highest.
        np.minimum(high, halves.reshape(shape)[::-1], out=extra.reshape(shape))
        spare = kept
        kept, extra = _merge(extra.reshape(c, -1), halves)
        parts = np.concatenate([2 * parts, 2 * parts + 1])
        c //= 2
    medians = np.empty((columns, m), dtype=np.int32)
    medians[:, parts] = kept.reshape(m, -1)[:, :columns].T
    return _swap_order(medians).view(np.float32).reshape(len(keys), -1)


def _arrays(m, columns):
    """Return arrays of m, m, m and 2 m rows; a row starts where a line of the cache does."""
    columns = -(-columns // 16) * 16
    buffer = np.empty(5 * m * columns + 16, dtype=np.int32)
    first = -buffer.ctypes.data // 4 % 16
    rows = buffer[first : first + 5 * m * columns].reshape(5 * m, columns)
    return rows[:m], rows[m : 2 * m], rows[2 * m : 3 * m], rows[3 * m :]


def _sort(x, spare):
    """Sort along the first axis; return the result and the array that is free then."""
    c = 1
    while c < len(x):
        pairs = x.reshape(-1, 2, c, x.shape[1])
        free = spare.reshape(pairs.shape)
        np.minimum(pairs[:, 0], pairs[:, 1, ::-1], out=free[:, 0])
        np.maximum(pairs[:, 0], pairs[:, 1, ::-1], out=free[:, 1])
        x, spare = _merge(free.reshape(x.shape), x, c)
        c *= 2
    return x, spare


def _merge(x, spare, length=None):
    """Sort runs of ``length`` (None: all) on the first axis that rise and then fall, or reverse."""
    distance = (length or len(x)) // 2
    while distance > 0:
        pairs = x.reshape(-1, 2, distance, x.shape[1])
        free = spare.reshape(pairs.shape)
        np.minimum(pairs[:, 0], pairs[:, 1], out=free[:, 0])
        np.maximum(pairs[:, 0], pairs[:, 1], out=free[:, 1])
        x, spare = free.reshape(x.shape), x
        distance //= 2
    return x, spare
