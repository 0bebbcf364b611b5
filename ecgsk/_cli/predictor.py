"""A model's predictions, where a recording that it cannot take does not stop the others."""

import warnings
from collections.abc import Generator
from contextlib import closing

import numpy as np
from sklearn.pipeline import Pipeline

from ecgsk._cli.reader import Recording
from ecgsk._cli.recordings import Recordings
from ecgsk._core.columns import UnknownColumnsError, columns_of
from ecgsk._core.decision import decision_rule
from ecgsk._core.fitted import decides_by_probability, unwrap
from ecgsk._core.signal_doubts import ECGQualityWarning
from ecgsk.tabular import CovariateWarning

_NOT_FINITE = "the model's probabilities of it are not finite."


class Predictor:
    """Probabilities and decisions of a fitted classifier, as text.

    ``threshold`` is the probability from which on a binary model decides for its second class; None
    leaves decisions to the model, with the threshold that was saved in it.
    """

    def __init__(self, model, threshold: float | None = None):
        try:
            self._columns = columns_of(model)
        except UnknownColumnsError as error:
            raise ValueError(
                f"MODEL contains a {type(model).__name__} that is not fitted: {error}"
            ) from error
        self._rule = decision_rule(model)
        self._model = model = unwrap(model)
        self._threshold = threshold
        self._multilabel = self._columns.multilabel
        self._classes = np.asarray([] if self._multilabel else self._columns.classes)
        self._binary = not self._multilabel and len(self._classes) == 2
        self._names = self._columns.names
        if threshold is not None and not self._binary:
            raise ValueError(
                f"--threshold {threshold:g} is for binary models; MODEL has {len(self._names)} "
                f"{'labels' if self._multilabel else 'classes'}. Leave it out."
            )

    @property
    def decides(self) -> str:
        """How the decisions are made, in words."""
        own = "" if self._rule is None else f"{self._rule.in_words} (threshold of MODEL)"
        if self._threshold is not None:
            given = f"{self._classes[1]} from a probability of {self._threshold:g} on (--threshold)"
            return f"{given}, instead of {own}" if own else given
        if own:
            return own
        if self._multilabel:
            return "the labels that the model's predict returns (MODEL contains no threshold)"
        if self._binary:
            return f"{self._classes[1]} where it is more probable (MODEL contains no threshold)"
        return "the most probable class"

    @property
    def columns(self) -> list[str]:
        """Names of the columns of probabilities."""
        return ["probability"] if self._binary else [f"probability_{name}" for name in self._names]

    def predict(self, X) -> list[tuple[str, ...]]:
        """Return the probabilities of each recording, in the fewest digits, and the decision.

        Empty tuples stand for recordings whose probabilities are not finite.
        """
        with warnings.catch_warnings():
            # `ModelInput.check` has found them, one recording at a time.
            warnings.simplefilter("ignore", ECGQualityWarning)
            warnings.simplefilter("ignore", CovariateWarning)
            probabilities, decisions = self._predict(X)
        shown = probabilities[:, 1:] if self._binary else probabilities
        finite = np.isfinite(probabilities).all(axis=1)
        return [
            (*(repr(float(p)) for p in row), decision) if good else ()
            for row, decision, good in zip(shown, decisions, finite, strict=True)
        ]

    def _predict(self, X) -> tuple[np.ndarray, list[str]]:
        model = self._model
        while isinstance(model, Pipeline) and len(model) > 1:
            # Networks in front compute once for both probabilities and decisions.
            X, model = model[:-1].transform(X), unwrap(model[-1])
        probabilities = self._columns.table(model.predict_proba(X))
        if self._threshold is not None:
            second = probabilities[:, 1] >= self._threshold
            decided = self._classes[second.astype(int)]
        elif self._rule is not None:
            by_probability = self._rule.is_probability
            scores = probabilities if by_probability else model.decision_function(X)
            decided = self._classes[self._rule.is_second_class(scores).astype(int)]
        elif not decides_by_probability(model):
            decided = model.predict(X)
        elif self._multilabel:  # as the networks' own predict decides
            decided = probabilities > 0.5
        else:
            decided = self._classes[probabilities.argmax(axis=1)]
        if not self._multilabel:
            return probabilities, [str(value) for value in decided]
        names = np.array(self._names, dtype=object)
        return probabilities, [";".join(names[row]) for row in np.asarray(decided).astype(bool)]

    def batches(
        self, recordings: Recordings, batch_size: int, *, start: int = 0
    ) -> Generator[list[Recording], None, None]:
        """Predict for recordings in their order, from ``start`` on, and yield them without signals.

        The model gets full batches of recordings that it can take, so that predictions do not
        depend on the others, bit for bit. After each list, another process can continue.
        """
        waiting: list[Recording] = []
        pending: list[Recording] = []
        with closing(recordings.read(start)) as reading:
            for recording in reading:
                waiting.append(recording)
                if recording.signal is not None:
                    pending.append(recording)
                if len(pending) == batch_size:
                    pending = self._fill(recordings, pending)
                if not pending and (recording.prediction or len(waiting) >= batch_size):
                    yield waiting
                    waiting = []
        while pending:
            pending = self._fill(recordings, pending)
        if waiting:
            yield waiting

    def _fill(self, recordings: Recordings, pending: list[Recording]) -> list[Recording]:
        """Predict for all of them, or remove those that the model refuses and return the others."""
        try:
            predictions = self.predict(recordings.stack(pending))
            refused = {i: _NOT_FINITE for i, prediction in enumerate(predictions) if not prediction}
        except MemoryError:
            raise
        except Exception as error:  # any step of a model may fail in any way
            _raise_if_of_device(error)
            refused = self._refused(recordings, pending, error)
            if not refused:
                raise ValueError(
                    f"MODEL fails on {len(pending)} recordings together, but not on each of them "
                    f"({type(error).__name__}: {error}). Try a smaller --batch-size."
                ) from error
        for i, recording in enumerate(pending):
            if i in refused:
                recording.signal, recording.error = None, refused[i]
            elif not refused:
                recording.signal, recording.prediction = None, predictions[i]
        return [recording for recording in pending if recording.signal is not None]

    def _refused(self, recordings: Recordings, pending: list[Recording], error) -> dict[int, str]:
        """Return which recordings the model refuses, and why, by halving the batch."""
        if len(pending) == 1:
            return {0: str(error) or type(error).__name__}
        middle = len(pending) // 2
        found: dict[int, str] = {}
        for start, half in ((0, pending[:middle]), (middle, pending[middle:])):
            try:
                self.predict(recordings.stack(half))
            except MemoryError:
                raise
            except Exception as error_of_half:
                _raise_if_of_device(error_of_half)
                refused = self._refused(recordings, half, error_of_half)
                found |= {start + i: reason for i, reason in refused.items()}
        return found


def _raise_if_of_device(error: Exception) -> None:
    """Raise OSError for an error of a GPU, such as no memory, which no recording has caused."""
    cls = type(error)
    if cls.__module__ == "torch" and cls.__name__ in ("OutOfMemoryError", "AcceleratorError"):
        raise OSError(str(error)) from error
