"""Where the MTECG estimators' weights come from, and what recordings they then take."""

from ecgsk._core.signal import STANDARD_LEADS
from ecgsk.estimators._from_weights import FromWeights, rate_of, set_output_plain
from ecgsk.estimators._mtecg_network import check_size

# Rates at which ten-second recordings are told apart by their length alone.
_TOLD_BY_LENGTH = (100, 500)


class MTECGFromWeights(FromWeights):
    """Adds ``weights`` to an estimator around MTECG."""

    _told_by_weights = (*FromWeights._told_by_weights, "scale_")

    @classmethod
    def from_pretrained(cls, name="ptbxl", *, sampling_rate=None, **params):
        """Return an estimator that answers without a fit.

        Parameters
        ----------
        name : str or path-like, default="ptbxl"
            Weights that come with ecgsk, or a file that ``save_weights`` wrote.
        sampling_rate : float or None, default=None
            Of the recordings to come, Hz. None: their number of samples tells 100 Hz from 500 Hz,
            because the weights take recordings of a known length.
        **params
            Other parameters of the estimator.

        Returns
        -------
        estimator
            With ``weights=name``. The preprocessing that the weights were trained with is part of
            it: give recordings in mV as they come from the file.

        Raises
        ------
        FileNotFoundError
            When there are no such weights.
        ValueError
            When the file does not hold what the estimator needs.
        """
        estimator = cls(weights=name, sampling_rate=sampling_rate, **params)
        estimator._loaded()
        return estimator

    def _check_network(self, network, source) -> None:
        check_size(self, network, source)

    def _samples_of(self, source) -> int | None:
        rate = self.sampling_rate
        return None if rate is None else round(source.seconds * rate)

    def _tell(self, source) -> dict:
        return super()._tell(source) | {"scale_": source.network["input_scale"]}

    def _prepare(self, X):
        source = self._source
        if source is None:
            return X
        name = "the network"
        n_leads = source.network["n_leads"]
        rearranged = self.leads is not None and n_leads == len(STANDARD_LEADS)
        if not rearranged and X.shape[1] != n_leads:
            raise ValueError(
                f"X has {X.shape[1]} leads; {name} takes {n_leads}. Where those are the twelve, "
                "name the leads of X with leads=[...]: missing limb leads are computed from I and "
                "II."
            )
        rate = rate_of(self.sampling_rate, X.shape[2], source, name, rates=_TOLD_BY_LENGTH)
        for step in source.steps(rate, self.leads):
            X = set_output_plain(step).transform(X)
        return X
