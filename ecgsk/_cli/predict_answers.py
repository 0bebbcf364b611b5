"""What a model says of recordings, where one that it cannot answer costs nothing but itself."""

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.pipeline import Pipeline

from ecgsk._cli.predict_records import Record, Records
from ecgsk._core.fitted import column_names, is_multilabel, stack_labels, unwrap
from ecgsk._core.signal import ECGQualityWarning

_NOT_FINITE = "the model's probabilities of it are not finite."


class Answers:
    """Asks a fitted classifier for probabilities and decisions.

    Parameters
    ----------
    model : estimator
        With ``predict_proba`` and ``classes_``.
    threshold : float or None, default=None
        Probability from which on a binary model decides for its second class; None leaves
        decisions to the model's ``predict``.

    Raises
    ------
    ValueError
        When the model is not fitted, or a threshold is given for one that is not binary.

    Examples
    --------
    >>> from ecgsk._cli.predict_answers import Answers
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier(strategy="prior").fit(np.zeros((4, 1)), ["AF", "SR", "SR", "SR"])
    >>> answers = Answers(model)
    >>> answers.columns, answers.of(np.zeros((1, 1)))
    (['probability'], [('0.75', 'SR')])
    """

    def __init__(self, model, threshold: float | None = None):
        if not hasattr(model, "classes_"):
            raise ValueError(f"MODEL holds a {type(model).__name__} that is not fitted.")
        self._model = unwrap(model)
        self._threshold = threshold
        self._classes = model.classes_
        self._multilabel = is_multilabel(model)
        self._binary = not self._multilabel and len(self._classes) == 2
        self._labels = column_names(model)
        if threshold is not None and not self._binary:
            raise ValueError(
                f"--threshold {threshold:g} is for binary models; MODEL has "
                f"{len(self._labels)} {'labels' if self._multilabel else 'classes'}. Leave it out."
            )

    @property
    def columns(self) -> list[str]:
        """Names of the columns of probabilities."""
        if self._binary:
            return ["probability"]
        return [f"probability_{label}" for label in self._labels]

    def of(self, X) -> list[tuple[str, ...]]:
        """Return probabilities and the decision for each recording, as they are written.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples)
            mV.

        Returns
        -------
        list of tuple of str
            The fewest digits that tell each number from all others; then the decision. Empty
            tuples stand for recordings whose probabilities are not finite.
        """
        with warnings.catch_warnings():
            # It was said of each recording, under its own name.
            warnings.simplefilter("ignore", ECGQualityWarning)
            probabilities, decisions = self._ask(X)
        shown = probabilities[:, 1:] if self._binary else probabilities
        finite = np.isfinite(probabilities).all(axis=1)
        return [
            (*(repr(float(p)) for p in row), decision) if good else ()
            for row, decision, good in zip(shown, decisions, finite, strict=True)
        ]

    def _ask(self, X) -> tuple[np.ndarray, list[str]]:
        model = self._model
        if isinstance(model, Pipeline) and len(model) > 1:
            # Networks in front are asked once for both.
            X, model = model[:-1].transform(X), model[-1]
        probabilities = stack_labels(model.predict_proba(X), self._classes)
        if self._threshold is not None:
            decided = self._classes[(probabilities[:, 1] >= self._threshold).astype(int)]
        elif hasattr(model, "net_"):
            # What the networks' own predict does with them.
            if self._multilabel:
                decided = probabilities > 0.5
            else:
                decided = self._classes[probabilities.argmax(axis=1)]
        else:
            decided = model.predict(X)
        if self._multilabel:
            rows = np.asarray(decided).astype(bool)
            return probabilities, [
                ";".join(
                    label for label, is_there in zip(self._labels, row, strict=True) if is_there
                )
                for row in rows
            ]
        return probabilities, [str(value) for value in decided]

    def batches(
        self, records: Records, batch_size: int, *, start: int = 0
    ) -> Iterator[list[Record]]:
        """Answer recordings in their order.

        A batch is made of recordings that are answered: those that are not leave no gap, so that
        the others are answered as if they had not been there, bit for bit.

        Parameters
        ----------
        records : Records
            What is asked.
        batch_size : int
            Recordings that are answered together.
        start : int, default=0
            Recordings that are passed over: as many as earlier lists, together, have held.

        Yields
        ------
        list of Record
            With an answer or an error, and without their signal. At the end of a list no recording
            is waiting, so that another process can go on from there.
        """
        waiting: list[Record] = []
        pending: list[Record] = []
        for record in records.read(start):
            waiting.append(record)
            if record.signal is not None:
                pending.append(record)
            if len(pending) == batch_size:
                pending = self._answer(records, pending)
            if not pending and (record.answer or len(waiting) >= batch_size):
                yield waiting
                waiting = []
        while pending:
            pending = self._answer(records, pending)
        if waiting:
            yield waiting

    def _answer(self, records: Records, pending: list[Record]) -> list[Record]:
        """Answer all of them, or take out those that cannot be and return the others."""
        try:
            answers = self.of(records.together(pending))
            refused = {i: _NOT_FINITE for i, answer in enumerate(answers) if not answer}
        except MemoryError:
            raise
        except Exception as error:  # whatever a step makes of a recording that it cannot read
            refused = self._refused(records, pending, error)
            if not refused:
                raise ValueError(
                    f"MODEL does not answer {len(pending)} recordings together, although it "
                    f"answers them apart ({type(error).__name__}: {error}). Try a smaller "
                    "--batch-size."
                ) from error
        for i, record in enumerate(pending):
            if i in refused:
                record.signal, record.error = None, refused[i]
            elif not refused:
                record.signal, record.answer = None, answers[i]
        return [record for record in pending if record.signal is not None]

    def _refused(self, records: Records, pending: list[Record], error) -> dict[int, str]:
        """Return which of recordings that are refused together are to blame, and why."""
        if len(pending) == 1:
            return {0: str(error) or type(error).__name__}
        middle = len(pending) // 2
        found = {}
        for start, half in ((0, pending[:middle]), (middle, pending[middle:])):
            try:
                self.of(records.together(half))
            except MemoryError:
                raise
            except Exception as said:
                refused = self._refused(records, half, said)
                found |= {start + i: reason for i, reason in refused.items()}
        return found
