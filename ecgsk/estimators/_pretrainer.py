"""Masked pre-training as a scikit-learn transformer."""

import os
from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np
import torch

from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import Interval, StrOptions, fit_context
from ecgsk._training import (
    ECGDataset,
    MaskedNet,
    SharedDataset,
    Trainer,
    TrainingStage,
    fill_masked,
    masked_losses,
    on_device,
    resolve_device,
    seeded,
    signal_scale,
    together,
)
from ecgsk.estimators._estimator import ECGEstimator
from ecgsk.estimators._fit_context import FitContext, StartingWeights
from ecgsk.estimators._mtecg_size import MTECGSize, as_mtecg_reads, check_mtecg_size, mtecg_size_of
from ecgsk.estimators._recordings import rate_of_recordings
from ecgsk.estimators._weights_source import load_tensors
from ecgsk.networks import MTECG_PRESETS, RECONSTRUCTION_TARGETS, MaskedMTECG


@public("ecgsk")
class MTECGPretrainer(ECGEstimator):
    """Learn to fill masked parts of ECGs, and with that what an ECG is, without any labels.

    Segments of all leads are masked at random; MTECG's encoder reads those that are left and a
    one-layer decoder predicts the masked ones. `transform` computes the encoder's embeddings,
    ``MTECGClassifier(pretrained=...)`` fine-tunes it.

    Parameters
    ----------
    preset : {"ti_12_25", "compact", "small", "nano"}, MTECGSize or dict, default=None
        Size of the encoder, see `MTECGClassifier`. None is that of ``weights``, else
        ``"ti_12_25"``.
    weights : path-like, "ptbxl" or None, default=None
        A file of ``save_weights``, or the encoder that comes with ecgsk: it transforms and
        reconstructs without `fit`; `fit` goes on from it.
    decoder_width, decoder_depth, decoder_heads : int, default=128, 1, 4
        Size of the decoder.
    mask_ratio : float, default=0.5
        Share of the segments that are masked, between 0 and 1. At least one segment is masked
        and one is seen.
    target : {"fluctuation", "raw", "normalized"}, default="fluctuation"
        What is predicted of each lead of a masked segment. ``"fluctuation"``: its deflections
        about its own mean, so that wandering baselines do not count; ``"raw"``: its values;
        ``"normalized"``: its deflections divided by their own deviation, so that the noise of
        flat segments counts as much as a QRS complex.
    pooling : {"cls", "mean"}, default="mean"
        Whether embeddings are the class token or the mean of the segments' tokens.
    sampling_rate : float or None, default=500
        Of the recordings, Hz; see `MTECGClassifier` for None.
    leads : list of str, default=None
        Names of the recordings' leads, in their order; see `MTECGClassifier`.
    missing : {"error", "zero"}, default="error"
        Whether NaN and infinite samples are refused or read as 0 mV.
    max_epochs : int, default=100
        Passes over the recordings. The masked loss first stays where predicting zero puts it,
        for 800 steps or more: steps count, not epochs. A fit that ends there has learned nothing.
    batch_size : int, default=32
        Records of a step. Small batches, and so many steps, leave the plateau sooner.
    learning_rate : float, default=1e-3
        Peak rate of AdamW (betas 0.9 and 0.95).
    warmup : float, default=0.05
        Share of the steps over which the rate grows from 0; half a cosine follows.
    weight_decay : float, default=0.05
        Of matrices.
    augmentation : ECGAugmentation or None, default=None
        Random changes of the recordings before they are masked.
    distributed : bool, default=False
        Whether the processes of ``torchrun --nproc-per-node 2 script.py`` fit one network
        together, each on a GPU of its own (or on the CPU). Every process calls `fit` with all
        recordings, reads its share of each batch, and ends with the same fitted estimator; the
        result is that of one process up to rounding. ``batch_size`` stays that of a step, which
        the processes share. The first process writes checkpoints and shows progress; a fit goes
        on with another number of processes as well. ``device`` is "auto", "cuda" or "cpu".
    device, precision, compile, checkpoint_dir, random_state, verbose
        As `MTECGClassifier` takes them.

    Attributes
    ----------
    n_features_in_ : int
        Leads of the recordings seen in `fit` (samples, where they had two dimensions).
    n_samples_in_ : int
        Samples of the recordings seen in `fit`.
    scale_ : float
        Median standard deviation of the recordings, by which the network divides.
    lead_names_ : list of str
        The leads in standard spelling, where ``leads`` is set or the recordings carry them.
    device_ : str
        The device in use.
    history_ : list of dict
        A row for each epoch: ``stage``, ``epoch``, ``train_loss``, ``dur`` (s).
    net_ : MaskedNet
        The fitted skorch net; ``net_.module_.encoder`` is the encoder.

    See Also
    --------
    MTECGClassifier : Fine-tunes the encoder.
    ecgsk.inspection.ReconstructionDisplay : Draws what the network makes of masked parts.

    Notes
    -----
    The published description names a "fluctuated reconstruction target" without saying what it
    is. ``target="fluctuation"`` is this project's reading of it. The loss is the mean squared
    error over masked segments, in units of ``scale_`` (of a segment's own deviation for
    ``"normalized"``).

    With ``distributed=True`` the number of a process's GPU is LOCAL_RANK, which torchrun sets, or
    the local rank of Slurm or mpirun; a process that sees one GPU takes that one. Slurm and mpirun
    do not set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, by which processes find each other:
    set them before the fit, or start a process group of your own.

    What happens when one of the processes ends depends on the backend. On CPUs (gloo) the others
    raise RuntimeError at once. On GPUs (nccl) they wait in a computation that Python cannot
    interrupt, so that there is no Python error: torchrun ends all processes of a machine as soon as
    one of them fails (srun does so with ``--kill-on-bad-exit=1``), and without a launcher that
    does, nccl ends the process itself (SIGABRT) after it has noticed a broken connection, at the
    latest after 30 minutes. Only errors that nccl reports to Python become the RuntimeError. Either
    way the fit goes on after its last epoch with ``checkpoint_dir``. After a failed fit on GPUs the
    process has to be started again for another one. torch's documentation and source code state
    this for nccl; ecgsk's tests have no GPUs.

    References
    ----------
    Zhou Y, Diao X, Huo Y, Liu Y, Fan X, Zhao W. Masked transformer for electrocardiogram
    classification. arXiv:2309.07136. He K, Chen X, Xie S, Li Y, Dollar P, Girshick R. Masked
    autoencoders are scalable vision learners. CVPR 2022.

    Examples
    --------
    >>> from ecgsk import MTECGClassifier, MTECGPretrainer, make_ecg
    >>> X = make_ecg(32, sampling_rate=100, random_state=0)
    >>> pretrainer = MTECGPretrainer("nano", sampling_rate=100, max_epochs=2, random_state=0)
    >>> pretrainer.fit(X).transform(X).shape
    (32, 32)
    >>> pretrainer.reconstruct(X[:2]).shape
    (2, 12, 1000)
    >>> model = MTECGClassifier(pretrained=pretrainer, sampling_rate=100, max_epochs=1)
    """

    _parameter_constraints: dict = {
        **ECGEstimator._parameter_constraints,
        "preset": [StrOptions(set(MTECG_PRESETS)), MTECGSize, dict, None],
        "weights": [str, os.PathLike, None],
        "decoder_width": [Interval(Integral, 1, None, closed="left")],
        "decoder_depth": [Interval(Integral, 1, None, closed="left")],
        "decoder_heads": [Interval(Integral, 1, None, closed="left")],
        "mask_ratio": [Interval(Real, 0, 1, closed="neither")],
        "target": [StrOptions(set(RECONSTRUCTION_TARGETS))],
        "pooling": [StrOptions({"cls", "mean"})],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "warmup": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "distributed": ["boolean"],
    }
    _short_forms = {"preset": mtecg_size_of}
    _weights_kind = "mtecg-pretrainer"
    _default_weights = "ptbxl"
    _module_class = MaskedMTECG
    _net_class = MaskedNet
    _from_weights_names = (*ECGEstimator._from_weights_names, "_mask_seed", "scale_")
    _learned = (*ECGEstimator._learned, "_mask_seed")

    def __init__(
        self,
        preset=None,
        *,
        weights=None,
        decoder_width=128,
        decoder_depth=1,
        decoder_heads=4,
        mask_ratio=0.5,
        target="fluctuation",
        pooling="mean",
        sampling_rate=500,
        leads=None,
        missing="error",
        max_epochs=100,
        batch_size=32,
        learning_rate=1e-3,
        warmup=0.05,
        weight_decay=0.05,
        augmentation=None,
        distributed=False,
        device="auto",
        precision="auto",
        compile=False,
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.preset = preset
        self.weights = weights
        self.decoder_width = decoder_width
        self.decoder_depth = decoder_depth
        self.decoder_heads = decoder_heads
        self.mask_ratio = mask_ratio
        self.target = target
        self.pooling = pooling
        self.sampling_rate = sampling_rate
        self.leads = leads
        self.missing = missing
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.augmentation = augmentation
        self.distributed = distributed
        self.device = device
        self.precision = precision
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None) -> "MTECGPretrainer":
        """Pre-train on recordings.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV, leads in standard order; two dimensions read as one lead. What is
            larger than memory (memory maps, h5py, zarr, `ecgsk.RecordArray`) is checked once and
            then read a batch at a time. Where filters or resampling prepare recordings as they
            are read, the results are kept until the fit ends: in memory up to scikit-learn's
            ``working_memory``, otherwise in a temporary file (in the folder TMPDIR) that takes
            at most half of the free disk.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted pre-trainer.

        Raises
        ------
        ValueError
            For recordings that are no ECG (see `ecgsk.check_ecg`) or shorter than two segments,
            and devices that are not there. With ``distributed=True`` outside torchrun, where
            processes have different recordings, and where two have the same GPU.
        RuntimeError
            With ``distributed=True`` when another process has ended; see Notes for GPUs.
        """
        with self._new_fit() as start:
            if self.distributed:
                with together(self.device) as ranks:
                    self._fit(X, start, ranks)
            else:
                self._fit(X, start)
        return self

    def _fit(self, X, start: StartingWeights | None, ranks=None) -> None:
        X = self._check_X(X, reset=True, part=ranks and (ranks.number, ranks.count))
        self.device_ = resolve_device(self.device) if ranks is None else ranks.device
        seed = self._seed() if ranks is None else ranks.of_first(self._seed())
        rows, ones = np.arange(len(X)), np.ones(len(X))
        # Processes that wait for one another in every step would wait for ever in turns.
        held = on_device(self.device_, self.batch_size, in_turn=ranks is None)
        with held, seeded(seed, self.device_):
            net = self._new_net(FitContext(X, rows, ones, start))
            if start is not None:
                load_tensors(net.module_, start.file.tensors, source=start.parameter)
            begin = [value.numpy() for value in net.module_.state_dict().values()]
            checkpoint = self._checkpoint(X, *begin)
            net.move_to(self.device_)
            data = (X, np.zeros(len(X), np.float32), ones, rows)
            if ranks is None:
                train, shared = ECGDataset(*data), nullcontext()
            else:
                ranks.check_same(fingerprint(X, *begin))
                checkpoint = ranks.checkpoint(checkpoint)
                train, shared = SharedDataset(ranks, *data), ranks.train(net)
            stage = TrainingStage(
                "pre-training",
                epochs=self.max_epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                warmup=self.warmup,
                betas=(0.9, 0.95),
            )
            trainer = Trainer(
                net,
                [stage],
                train,
                generator=torch.Generator().manual_seed(seed),
                checkpoint=checkpoint,
                verbose=int(self.verbose) if ranks is None or ranks.number == 0 else 0,
            )
            with shared:
                self.history_ = trainer.execute()
        net.trim_for_prediction()
        self._mask_seed = seed
        self.net_ = net

    def _network(self, fit: FitContext) -> tuple[type, dict]:
        n_leads, n_samples = fit.X.shape[1:]
        network = {
            "mask_ratio": self.mask_ratio,
            "target": self.target,
            "decoder_width": self.decoder_width,
            "decoder_depth": self.decoder_depth,
            "decoder_heads": self.decoder_heads,
            "pooling": self.pooling,
        }
        if fit.start is None:
            size = self._option("preset").arguments(self._network_rate(), longest=n_samples // 2)
            scale = signal_scale(fit.X, fit.rows, fit.weights)
            network |= size | {"n_leads": n_leads, "n_samples": n_samples, "input_scale": scale}
        else:
            network = fit.start.file.network | {k: network[k] for k in ("mask_ratio", "target")}
        if -(-n_samples // network["patch_size"]) < 2:
            raise ValueError(
                f"X has {n_samples} sample(s) a record (with two dimensions: {n_samples} "
                f"feature(s)), one segment of patch_size={network['patch_size']}: masking needs "
                "two. Pass longer recordings or set a smaller patch_size."
            )
        self.scale_ = network["input_scale"]
        return MaskedMTECG, network

    def _check_options(self) -> None:
        check_mtecg_size(self._option("preset"))
        super()._check_options()

    def _check_network(self, network, source) -> None:
        self._option("preset").check(network, source)

    def _prepare(self, X):
        return as_mtecg_reads(X, self._source, rate_of_recordings(self, X), self.leads)

    def _attributes_of(self, weights) -> dict:
        own = {"scale_": weights.network["input_scale"], "_mask_seed": 0}
        return super()._attributes_of(weights) | own

    def reconstruct(self, X, *, return_mask: bool = False):
        """Mask recordings at random and fill the masked parts.

        The same parts of the k-th recording are masked in each call.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.
        return_mask : bool, default=False
            Whether to return which samples were masked as well.

        Returns
        -------
        ndarray of shape (n_records, n_leads, n_samples)
            float32, mV; what was seen is as it was. With ``weights`` this is about the
            recordings after their preprocessing, which `prepare` does. What the target leaves
            open comes from the segments that were seen: levels are chosen such that the curve
            joins, and for ``"normalized"`` deviations are interpolated.
        mask : ndarray of bool of shape (n_records, n_samples)
            With ``return_mask=True``: True where all leads were masked.
        """
        net, X = self._ready(X)
        filled, mask = fill_masked(net, X, self.batch_size, self._mask_seed)
        return (filled, mask) if return_mask else filled

    def score(self, X, y=None) -> float:
        """Return the negative masked loss: higher is better, so that a search can use it.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Recordings, mV.
        y : None
            Ignored.

        Returns
        -------
        float
            Of the same masks in each call, in units of ``scale_`` squared.
        """
        net, X = self._ready(X)
        return -float(masked_losses(net, X, self.batch_size, self._mask_seed).mean())

    def _search_space(self) -> dict:
        """Return what is worth searching, by the masked loss on recordings kept apart."""
        from optuna.distributions import FloatDistribution

        low, high = self.learning_rate / 10, self.learning_rate * 10
        return {
            "learning_rate": FloatDistribution(low, high, log=True),
            "mask_ratio": FloatDistribution(0.25, 0.75),
        }

    def _embedding_width(self) -> int:
        return self.net_.module_.encoder.patch_embed.out_features
