"""The trials of a search: stored by Optuna and shared between processes."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ecgsk._core.fingerprint import fingerprint
from ecgsk.model_selection._worker import HEARTBEAT_INTERVAL, Worker

# Names of attributes of a study and of its trials.
_FINGERPRINT, _SEED = "ecgsk:search", "ecgsk:seed"
_WORKER, _HEARTBEAT, _FOLDS = "ecgsk:worker", "ecgsk:heartbeat", "ecgsk:folds"
_POLL_SECONDS = 0.2
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class SharedStudy:
    """Distributes the trials of a study over processes, until all trials are finished.

    The only operation that all of Optuna's storages perform atomically is to number a new trial. A
    second study, ``<name>:queue``, therefore serves as a lock: every process that wants a trial
    adds a number to it, and the running process with the lowest number may take one. The trial of a
    process that has died is given to another process, with its parameters and the results of its
    finished folds.

    Without a ``storage`` the study is in memory; its name comes from the fingerprints if it is
    None. ``sampler(seed, number)`` returns a trial's sampler, or None to keep the current one. The
    seed of the process that creates the study counts. No trial starts after the ``deadline``, in
    the time of ``time.monotonic``. ValueError when the study belongs to another search.
    """

    def __init__(
        self,
        storage: str | BaseStorage | None,
        study_name: str | None,
        *,
        fingerprints: dict[str, str],
        n_trials: int,
        sampler: Callable,
        pruner,
        seed: int,
        deadline: float,
    ):
        self.n_trials = n_trials
        self.deadline = deadline
        self._sampler = sampler
        self._worker = Worker()
        self._storage = _open_storage(storage)
        if study_name is None:
            study_name = f"ecgsk-{fingerprint(*fingerprints.values())}"
        self._queue = None
        if self._storage is not None:
            self._queue = self._create_study(f"{study_name}:queue")
        with self._lock():
            pruner = pruner or optuna.pruners.NopPruner()
            self.study = self._create_study(study_name, pruner=pruner, direction="maximize")
            self._check_study(fingerprints, seed)
        self._seed = self.study.user_attrs[_SEED]

    def _create_study(self, name: str, **kwargs) -> optuna.Study:
        return optuna.create_study(
            storage=self._storage, study_name=name, load_if_exists=True, **kwargs
        )

    def _check_study(self, fingerprints: dict[str, str], seed: int) -> None:
        """Mark a new study as this search's; raise for the study of another search."""
        stored = self.study.user_attrs.get(_FINGERPRINT)
        name = self.study.study_name
        if stored is None:
            started = (*_FINISHED, TrialState.RUNNING)
            if self.study.get_trials(deepcopy=False, states=started):
                raise ValueError(
                    f"study_name={name!r} has trials that OptunaSearchCV did not start, so their "
                    "scores cannot be compared. Use another study_name."
                )
            self.study.set_user_attr(_SEED, seed)
            self.study.set_user_attr(_FINGERPRINT, fingerprints)
            return
        different = [part for part, value in fingerprints.items() if stored.get(part) != value]
        if different:
            raise ValueError(
                f"study_name={name!r} belongs to another search: {', '.join(different)} differ, so "
                "the scores cannot be compared. Use another study_name, or None, which derives a "
                "name from all of these. If only folds differ, give cv an integer random_state."
            )

    def next_trial(self, distributions: dict) -> Trial | None:
        """Return a trial to work on, or None when all are finished or the time is up.

        While other processes work on the last trials, this waits, because they may die.
        """
        while time.monotonic() < self.deadline:
            if self._has_open_trials():
                with self._lock():
                    # Another process may have taken it.
                    if self._has_open_trials():
                        return self._take_trial(distributions)
            elif not self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return None
            if self._storage is None:
                return None
            time.sleep(_POLL_SECONDS)
        return None

    def _has_open_trials(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        return (
            len(trials) < self.n_trials
            or any(trial.state == TrialState.WAITING for trial in trials)
            or bool(self._abandoned(trials))
        )

    def _abandoned(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        running = (trial for trial in trials if trial.state == TrialState.RUNNING)
        return [trial for trial in running if not self._is_worked_on(trial)]

    def _is_worked_on(self, trial: FrozenTrial) -> bool:
        attrs = trial.user_attrs
        return self._worker.is_alive(attrs.get(_WORKER), trial._trial_id, attrs.get(_HEARTBEAT))

    def _take_trial(self, distributions: dict) -> Trial:
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        abandoned = self._abandoned(trials)
        if abandoned and not waiting:
            # `ask` returns a waiting trial with the parameters that it has.
            self.study._storage.set_trial_state_values(abandoned[0]._trial_id, TrialState.WAITING)
            waiting = abandoned[:1]
        number = waiting[0].number if waiting else len(trials)
        sampler = self._sampler(self._seed, number)
        if sampler is not None:
            self.study.sampler = sampler
        trial = self.study.ask(distributions)
        trial.set_user_attr(_WORKER, self._worker.token)
        return trial

    def finish(self, trial: Trial, state: TrialState, value: float | None) -> None:
        """Store the result of a trial; the score is None unless the trial is complete."""
        try:
            self.study.tell(trial, value, state)
        except RuntimeError as error:
            # A GridSampler without candidates left stops the loop of Study.optimize, which does
            # not run here.
            if "stop" not in str(error):
                raise
            self.n_trials = 0

    @contextlib.contextmanager
    def heartbeat(self, trial: Trial) -> Iterator[None]:
        """Send heartbeats for a trial, and release the trial when an exception interrupts it."""
        if self._storage is None:
            yield
            return
        stop = threading.Event()

        def send():
            while not stop.wait(HEARTBEAT_INTERVAL):
                # One lost heartbeat does no harm, but the thread must not end.
                with contextlib.suppress(Exception):
                    trial.set_user_attr(_HEARTBEAT, time.time())

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                trial.set_user_attr(_WORKER, None)
            raise
        finally:
            stop.set()
            thread.join()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Wait until no other running process is about to take a trial."""
        if self._queue is None:
            yield
            return
        mark = uuid.uuid4().hex
        attrs = {_WORKER: self._worker.token, "mark": mark}
        self._queue.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attrs))
        while True:
            queued = self._queue.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            number = next(t.number for t in queued if t.user_attrs["mark"] == mark)
            if not any(t.number < number and self._is_worked_on(t) for t in queued):
                break
            time.sleep(_POLL_SECONDS / 4)
        try:
            yield
        finally:
            self._queue.tell(number, 0.0)

    def finished(self) -> list[FrozenTrial]:
        """Return the finished trials of all processes, in order."""
        return self.study.get_trials(deepcopy=False, states=_FINISHED)

    def in_memory(self) -> optuna.Study:
        """Return a study of the finished trials without a connection, which can be pickled."""
        copy = optuna.create_study(study_name=self.study.study_name, direction="maximize")
        copy.add_trials(self.finished())
        return copy


def fold_results(trial: Trial | FrozenTrial) -> list[dict]:
    """Return the results of the finished folds of a trial, in order."""
    return list(trial.user_attrs.get(_FOLDS, []))


def store_fold_results(trial: Trial, folds: list[dict]) -> None:
    """Store the results of folds, so that a process that takes over the trial keeps them."""
    trial.set_user_attr(_FOLDS, folds)


def derived_seed(*numbers: int) -> int:
    """Return a seed that depends on all the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _open_storage(storage: str | BaseStorage | None) -> BaseStorage | None:
    if storage is None or isinstance(storage, BaseStorage):
        return storage
    if "://" not in storage:
        raise ValueError(
            f"storage={storage!r} is not the URL of a database. For a file, use "
            f"'sqlite:///{storage}'; otherwise give a URL or an object of optuna.storages."
        )
    # Several processes write, and SQLite waits only five seconds for them by default.
    kwargs = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
    for _ in range(20):
        try:
            return RDBStorage(storage, engine_kwargs=kwargs)
        except Exception as error:
            # Two processes may create the tables at once; one of them finds a part of the tables.
            if "already exists" not in str(error) and "IntegrityError" not in repr(error):
                raise ValueError(
                    f"storage={storage!r} cannot be opened ({type(error).__name__}: {error})."
                ) from error
            time.sleep(_POLL_SECONDS)
    raise ValueError(f"storage={storage!r} cannot be opened: its tables stay incomplete.")
