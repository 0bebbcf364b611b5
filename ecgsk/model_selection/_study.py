"""The trials of a search: kept by Optuna, shared by processes, taken over from the dead."""

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
from ecgsk.model_selection._owner import BEAT, Owner

_IDENTITY, _SEED = "ecgsk:search", "ecgsk:seed"
_OWNER, _BEAT, _FOLDS = "ecgsk:owner", "ecgsk:beat", "ecgsk:folds"
_POLL = 0.2


class Ledger:
    """Hands out trials, each to one process, until there are as many as were asked for.

    What Optuna's storages do as a whole is to number a new trial. A second study,
    ``<name>:queue``, is therefore a queue: who has drawn the lowest number of those that live may
    look for work and take it. A trial whose process has died is handed out again, with its
    parameters and the folds it has behind it; it stays one trial.

    Parameters
    ----------
    storage : str, optuna storage or None
        None keeps the study in memory, for this process alone.
    study_name : str or None
        None is a name made of ``identity``.
    identity : dict of str to str
        See `ecgsk.model_selection._identity.identity`.
    n_trials : int
        How many there shall be in all.
    sampler : callable
        ``sampler(seed, number)`` returns the sampler for a trial, or None to keep the one there is.
    pruner : optuna pruner or None
        None prunes nothing.
    seed : int
        Seeds the samplers; the first process of a study decides.
    deadline : float
        Of ``time.monotonic``: no trial begins after it.

    Raises
    ------
    ValueError
        When the study is of another search.
    """

    def __init__(
        self,
        storage: str | BaseStorage | None,
        study_name: str | None,
        *,
        identity: dict[str, str],
        n_trials: int,
        sampler: Callable,
        pruner,
        seed: int,
        deadline: float,
    ):
        self.n_trials = n_trials
        self.deadline = deadline
        self._sampler = sampler
        self._owner = Owner()
        self._storage = _open(storage)
        if study_name is None:
            study_name = f"ecgsk-{fingerprint(*identity.values())}"
        self._queue = None
        if self._storage is not None:
            self._queue = self._study(f"{study_name}:queue")
        with self._turn():
            pruner = pruner or optuna.pruners.NopPruner()
            self.study = self._study(study_name, pruner=pruner, direction="maximize")
            self._claim_study(identity, seed)
        self._seed = self.study.user_attrs[_SEED]

    def _study(self, name: str, **kwargs):
        return optuna.create_study(
            storage=self._storage, study_name=name, load_if_exists=True, **kwargs
        )

    def _claim_study(self, identity: dict[str, str], seed: int) -> None:
        known = self.study.user_attrs.get(_IDENTITY)
        name = self.study.study_name
        if known is None:
            if self.study.get_trials(deepcopy=False, states=_BEGUN):
                raise ValueError(
                    f"study_name={name!r} is a study that no OptunaSearchCV has begun; its trials "
                    "cannot be compared with ours. Use another study_name."
                )
            self.study.set_user_attr(_SEED, seed)
            self.study.set_user_attr(_IDENTITY, identity)
            return
        differ = [part for part, mark in identity.items() if known.get(part) != mark]
        if differ:
            raise ValueError(
                f"study_name={name!r} belongs to another search: {', '.join(differ)} differ. "
                "Scores of both cannot be compared. Use another study_name, or None, which names "
                "a study after all of these; folds repeat where cv has an integer random_state."
            )

    def next(self, distributions: dict) -> Trial | None:
        """Return a trial to work on, or None when all are done or time is up.

        It waits while other processes work on the last ones: they may die.

        Parameters
        ----------
        distributions : dict
            Of all parameters.
        """
        while time.monotonic() < self.deadline:
            if self._has_work():
                with self._turn():
                    # Someone may have been faster.
                    if self._has_work():
                        return self._take(distributions)
            elif not self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return None
            if self._storage is None:
                return None
            time.sleep(_POLL)
        return None

    def _has_work(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        return (
            len(trials) < self.n_trials
            or any(trial.state == TrialState.WAITING for trial in trials)
            or bool(self._orphans(trials))
        )

    def _orphans(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if trial.state == TrialState.RUNNING
                and not self._lives(trial)]  # fmt: skip

    def _lives(self, trial: FrozenTrial) -> bool:
        attrs = trial.user_attrs
        return self._owner.lives(attrs.get(_OWNER), trial._trial_id, attrs.get(_BEAT))

    def _take(self, distributions: dict) -> Trial:
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        orphans = self._orphans(trials)
        if orphans and not waiting:
            # `ask` hands out what waits, with the parameters it has.
            self.study._storage.set_trial_state_values(orphans[0]._trial_id, TrialState.WAITING)
            waiting = orphans[:1]
        number = waiting[0].number if waiting else len(trials)
        sampler = self._sampler(self._seed, number)
        if sampler is not None:
            self.study.sampler = sampler
        trial = self.study.ask(distributions)
        trial.set_user_attr(_OWNER, self._owner.token)
        return trial

    def tell(self, trial: Trial, state: TrialState, value: float | None) -> None:
        """Tell the study how a trial ended.

        Parameters
        ----------
        trial : optuna.trial.Trial
            From `next`.
        state : TrialState
            How.
        value : float or None
            Its score, where it has one.
        """
        try:
            self.study.tell(trial, value, state)
        except RuntimeError as error:
            # A grid that is through says so by stopping a loop that is Optuna's, not ours.
            if "stop" not in str(error):
                raise
            self.n_trials = 0

    @contextlib.contextmanager
    def working(self, trial: Trial) -> Iterator[None]:
        """Show others that the trial is worked on, and hand it back if the work is broken off.

        Parameters
        ----------
        trial : optuna.trial.Trial
            From `next`.
        """
        if self._storage is None:
            yield
            return
        stop = threading.Event()

        def beat():
            while not stop.wait(BEAT):
                # A beat that is lost does no harm, a thread that ends would.
                with contextlib.suppress(Exception):
                    trial.set_user_attr(_BEAT, time.time())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                trial.set_user_attr(_OWNER, None)
            raise
        finally:
            stop.set()
            thread.join()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other process that lives looks for work."""
        if self._queue is None:
            yield
            return
        mark = uuid.uuid4().hex
        attrs = {_OWNER: self._owner.token, "mark": mark}
        self._queue.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attrs))
        while True:
            line = self._queue.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            number = next(t.number for t in line if t.user_attrs["mark"] == mark)
            if not any(t.number < number and self._lives(t) for t in line):
                break
            time.sleep(_POLL / 4)
        try:
            yield
        finally:
            self._queue.tell(number, 0.0)

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that are done, in order, whoever has done them."""
        return self.study.get_trials(deepcopy=False, states=_FINISHED)


_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_BEGUN = (*_FINISHED, TrialState.RUNNING)


def folds_of(trial: Trial | FrozenTrial) -> list[dict]:
    """Return what is known of a trial's folds, in order."""
    return list(trial.user_attrs.get(_FOLDS, []))


def note_folds(trial: Trial, folds: list[dict]) -> None:
    """Keep what is known of a trial's folds, of which a taken-over trial needs none again."""
    trial.set_user_attr(_FOLDS, folds)


def in_memory(ledger: Ledger) -> optuna.Study:
    """Return a study of the finished trials that holds no connection, so that it can be pickled."""
    copy = optuna.create_study(study_name=ledger.study.study_name, direction="maximize")
    copy.add_trials(ledger.finished())
    return copy


def derived_seed(*numbers: int) -> int:
    """Return a seed that depends on all numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _open(storage: str | BaseStorage | None) -> BaseStorage | None:
    if storage is None or isinstance(storage, BaseStorage):
        return storage
    if "://" not in storage:
        raise ValueError(
            f"storage={storage!r} is no URL of a database; for a file give "
            f"'sqlite:///{storage}', or an object of optuna.storages."
        )
    # Several processes write: SQLite's five seconds of patience are short.
    kwargs = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
    for _ in range(20):
        try:
            return RDBStorage(storage, engine_kwargs=kwargs)
        except Exception as error:
            # Two processes that make the tables at once: one finds them half made.
            if "already exists" not in str(error) and "IntegrityError" not in repr(error):
                raise ValueError(
                    f"storage={storage!r} cannot be opened ({type(error).__name__}: {error})."
                ) from error
            time.sleep(_POLL)
    raise ValueError(f"storage={storage!r} cannot be opened: its tables are never complete.")
