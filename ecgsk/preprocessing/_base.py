"""What the transformers share: validation, chunks of records, cores and scikit-learn's grammar."""

from collections.abc import Callable
from functools import partial
from numbers import Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from ecgsk._core.carried import SET_RATE, carried_leads, carried_rate, check_rate
from ecgsk._core.number_values import check_values
from ecgsk._core.records import RecordArray, batches, is_lazy
from ecgsk._core.signal import checked_ecg
from ecgsk._core.signal_doubts import warn_of_length
from ecgsk._core.sklearn_compat import (
    Interval,
    available_if,
    fit_context,
    set_output_container,
    validate_data,
)
from ecgsk._core.steps import keep_preprocessing, with_step

# A chunk's float64 temporaries then stay in the processor's cache: larger ones are slower.
_CHUNK_MEGABYTES = 4
_BLOCK_MEGABYTES = 256

RATE = Interval(Real, 0, None, closed="neither")


def _was_fitted_in_two_dimensions(transformer) -> bool:
    return getattr(transformer, "_ndim_in", None) == 2


class SignalTransformer(TransformerMixin, BaseEstimator):
    """Base of the transformers that map each record by itself to another record.

    A subclass gives `_plan`; what depends on nothing but parameters and shapes is worked out
    there once, and raises there if it does not fit.
    """

    def _plan(self, n_leads: int, n_samples: int) -> tuple[Callable, tuple[int, int]]:
        """Return a function from chunk to chunk, and a record's shape after it."""
        raise NotImplementedError

    def _check_carried(self, X: RecordArray) -> None:
        """Raise ValueError where the parameters contradict what recordings carry."""
        rate = getattr(self, "sampling_rate", None)
        stated = f"{type(self).__name__} has sampling_rate={rate}"
        check_rate(X, rate, stated, setting=SET_RATE)

    def _rate_out(self, rate: float | None) -> float | None:
        """Return the sampling rate of the result, Hz, from that of the recordings."""
        return rate

    def _leads_out(self, leads: list[str] | None) -> list[str] | None:
        """Return the leads of the result from those of the recordings; None where unknown."""
        return leads

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None) -> "SignalTransformer":
        """Validate the parameters and the recordings; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.
        y : None
            Ignored.

        Returns
        -------
        self
            The transformer, with ``n_features_in_`` and ``n_samples_in_``.
        """
        X, ndim = self._check_input(X, reset=True)
        keep_preprocessing(self, X)
        _, shape = self._plan(*X.shape[1:])
        self.n_samples_in_ = X.shape[2]
        self._ndim_in = ndim
        self._n_samples_out = shape[1]
        return self

    # Parameters are validated here as well, because transform works without fit.
    @fit_context(prefer_skip_nested_validation=True)
    def transform(self, X) -> np.ndarray | RecordArray:
        """Transform recordings; no fit is needed.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV. They are never changed.

        Returns
        -------
        ndarray of shape (n_records, n_leads_out, n_samples_out) or (n_records, n_samples_out)
            float32; as many dimensions as X. For recordings that are read from disk a batch at a
            time a `RecordArray` that transforms as it is read; ``np.asarray`` of it
            reads everything. It carries the sampling rate and the leads of the result.

        Raises
        ------
        ValueError
            When X carries another sampling rate, or other leads, than the parameters state.
        """
        X, ndim = self._check_input(X, reset=False)
        function, shape = self._plan(*X.shape[1:])
        function = partial(_apply, function, shape=shape, n_jobs=getattr(self, "n_jobs", 1))
        if isinstance(X, RecordArray):
            rate = carried_rate(X) or getattr(self, "sampling_rate", None)
            result = X.map(
                function,
                shape,
                sampling_rate=self._rate_out(rate),
                leads=self._leads_out(carried_leads(X)),
            )
            result.preprocessing = with_step(X.preprocessing, self)
            return result
        X = function(X)
        return X[:, 0] if ndim == 2 else X

    def _examine(self, X):
        """Return valid recordings before the transformation; warn of those that look wrong."""
        return self._check_input(X, reset=False)[0]

    def _check_input(self, X, *, reset):
        """Return X in three dimensions, and how many it had."""
        if not reset:
            self._check_layout(X)
        if is_lazy(X):
            X = validate_data(self, X, reset=reset, skip_check_array=True)
            X = self._examined(X, warn=not reset)
            self._check_carried(X)
            return X, 3
        X = check_values(X)
        X = validate_data(
            self, X, reset=reset, dtype=np.float32, allow_nd=True, ensure_all_finite=False
        )
        return self._examined(X, warn=not reset), X.ndim

    def _examined(self, X, *, warn: bool):
        """Return valid recordings; warn of those that look wrong, and of an unlikely rate."""
        leads = getattr(self, "input_leads", None)
        if leads is not None and len(leads) != X.shape[1]:
            leads = None  # raises later
        X = checked_ecg(X, None, warn=warn, leads=leads)
        if warn and getattr(X, "sampling_rate", None) is None:
            warn_of_length(X.shape[2], getattr(self, "sampling_rate", None), stacklevel=5)
        return X

    def _check_layout(self, X):
        """Name leads where scikit-learn's message would name features."""
        shape = getattr(X, "shape", ())
        ndim_in = getattr(self, "_ndim_in", None)
        if ndim_in is None or len(shape) not in (2, 3) or (len(shape) == ndim_in == 2):
            return
        given, expected = f"{len(shape)} dimensions", f"{ndim_in}"
        if len(shape) == ndim_in:
            given, expected = f"{shape[1]} leads", f"{self.n_features_in_}"
        if given.split()[0] != expected:
            raise ValueError(
                f"X has {given}, but {type(self).__name__} was fitted on {expected}. "
                "Transform recordings like those of fit, or fit again."
            )

    def set_output(self, *, transform=None) -> "SignalTransformer":
        """Choose the container of transform's output.

        Recordings in two dimensions come out in it; in three dimensions they stay an array, which
        no data frame could hold, so that a whole Pipeline can be set to pandas.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            None leaves it as it is.

        Returns
        -------
        self
            The transformer.
        """
        if transform is not None:
            set_output_container(self, transform)
        return self

    @available_if(_was_fitted_in_two_dimensions)
    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the output's columns; there are none in three dimensions.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; None takes those that fit saw.

        Returns
        -------
        ndarray of str objects
            The input's names where the number of samples stays, else numbered ones.
        """
        if self._n_samples_out == self.n_samples_in_:
            return OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_samples_out)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _apply(function, X, *, shape, n_jobs):
    """Apply a function to chunks of records on several cores, into one float32 array."""
    out = np.empty((len(X), *shape), dtype=np.float32)
    largest = max(X.shape[1:], shape, key=np.prod)
    with Parallel(n_jobs=n_jobs, prefer="threads") as parallel:
        for block in batches(len(X), largest, _BLOCK_MEGABYTES):
            part = X[block]
            chunks = list(batches(len(part), largest, _CHUNK_MEGABYTES))
            done = parallel(delayed(_run)(function, part[rows]) for rows in chunks)
            for rows, records in zip(chunks, done, strict=True):
                out[block.start + rows.start : block.start + rows.stop] = records
    return out


def _run(function, records):
    # The chunks of a block wait for each other: in float64 they would take twice the memory.
    return np.asarray(function(np.ascontiguousarray(records)), dtype=np.float32)
