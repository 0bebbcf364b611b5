"""The published checkpoint of ECGFounder, read without running what is in it."""

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgsk._core.file_formats import is_safetensors
from ecgsk._core.files import expanded, file_sha256
from ecgsk.weights._ecgfounder_tasks import ECGFOUNDER_TASKS
from ecgsk.weights._file import WeightFile, read_weights, write_weights
from ecgsk.weights._published import PUBLISHED, Published, cache_folder, find_published
from ecgsk.weights._torch_file import read_torch_file

ECGFOUNDER_KIND = "ecgfounder-classifier"
ECGFOUNDER_RATE = 500
# Raise it when the content of a conversion changes: caches outlive versions.
_CONVERSION = 1
# Parts of our names, and of the published ones.
_PARTS = {"squeeze": "se_fc1", "excite": "se_fc2"}


def read_ecgfounder(source: str | os.PathLike, *, header_only: bool = False) -> WeightFile:
    """Return weights of an ECGFounder classifier: published ("12-lead", "1-lead") or of a file.

    Published weights are fetched once, and a published checkpoint (``.pth``) is converted once and
    cached. ``header_only`` may leave the tensors of a file of ``save_weights`` unread. Raises
    FileNotFoundError, also when it cannot be fetched, or ValueError for damaged or other files.
    """
    if isinstance(source, str) and source in PUBLISHED:
        published = PUBLISHED[source]
        # What has been converted needs the published file no more.
        weights = _kept(published.sha256) if published.sha256 else None
        return weights or _converted(find_published(source), published)
    path = expanded(source)
    if not os.path.isfile(path):  # unlike Path's own, False for names that are too long
        raise FileNotFoundError(
            f"weights={os.fspath(source)!r} is neither a file nor a name of published weights "
            f"({', '.join(PUBLISHED)})."
        )
    if is_safetensors(path):
        return read_weights(path, kind=ECGFOUNDER_KIND, header_only=header_only)
    return _converted(path)


def _converted(path: Path, published: Published | None = None) -> WeightFile:
    """Return a checkpoint's conversion from the cache, where it is put if it is not there."""
    digest = (published and published.sha256) or file_sha256(path)
    weights = kept = _kept(digest)
    if weights is None:
        about = {"source": path.name, "source_sha256": digest}
        weights, _ = convert_checkpoint(path, about)
    n_leads = weights.network["n_leads"]
    if published is not None and n_leads != published.n_leads:
        raise ValueError(
            f"{path} holds a network of {n_leads} lead(s), expected {published.n_leads}. Give its "
            "path as weights if you mean it."
        )
    if kept is None:
        weights.about["tensors_sha256"] = _tensors_sha256(weights)
        with suppress(OSError):  # homes of clusters may be read-only
            place = _place_of(digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_weights(place, weights)
    return weights


def _kept(digest: str) -> WeightFile | None:
    """Return the conversion of the file with this hash, if the cache has one that is whole."""
    with suppress(Exception):  # a damaged one is converted again
        weights = read_weights(_place_of(digest), kind=ECGFOUNDER_KIND)
        own = dict(_published_shapes(weights.network)[0].values())
        whole = own == {name: value.shape for name, value in weights.tensors.items()}
        # The format of the cache has no checksum of its own.
        if whole and weights.about["tensors_sha256"] == _tensors_sha256(weights):
            return weights
    return None


def _tensors_sha256(weights: WeightFile) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights.tensors[name]).data)
    return digest.hexdigest()


def _place_of(digest: str) -> Path:
    return cache_folder() / f"ecgfounder-{digest[:16]}-v{_CONVERSION}.safetensors"


def convert_checkpoint(
    path: str | os.PathLike, about: dict | None = None
) -> tuple[WeightFile, list[str]]:
    """Read a published checkpoint: a dict with ``state_dict``, or the state itself.

    Returns weights under the names of `ecgsk.networks.Net1D` and the names of what is not used:
    optimizer, scheduler, and batch normalization that the network was trained without. Raises
    ValueError when the file is cut off, changed, or of another network.
    """
    saved = read_torch_file(path)
    state = _state_of(saved, path)
    n_leads, n_outputs = _ends_of(state, path)
    header = published_header(n_leads, n_outputs)
    shapes, unused = _published_shapes(header.network)
    missing = sorted(set(shapes) - set(state))
    unexpected = sorted(map(str, set(state) - set(shapes) - unused))
    wrong = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, (_, shape) in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if missing or unexpected or wrong:
        raise ValueError(
            f"{path} does not match the network of ECGFounder. Missing: {_some(missing)}; "
            f"unexpected: {_some(unexpected)}; of another shape: {_some(wrong)}."
        )
    tensors = {own: state[name].detach().float().numpy() for name, (own, _) in shapes.items()}
    broken = [name for name, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(f"{path} holds values that are not finite, in {_some(broken)}.")
    around = [] if state is saved else [str(name) for name in saved if name != "state_dict"]
    dropped = around + sorted(map(str, set(state) - set(shapes)))
    return replace(header, tensors=tensors, about=about or {}), dropped


def published_header(n_leads: int, n_outputs: int = len(ECGFOUNDER_TASKS)) -> WeightFile:
    """Return what is known of a published checkpoint before its tensors are read."""
    from ecgsk.networks import NET1D_PRESETS

    labels = list(ECGFOUNDER_TASKS)
    if n_outputs != len(labels):
        labels = [f"label_{i}" for i in range(n_outputs)]
    return WeightFile(
        kind=ECGFOUNDER_KIND,
        network={"n_leads": n_leads, "n_outputs": n_outputs, **NET1D_PRESETS["12-lead"]},
        tensors={},
        sampling_rate=ECGFOUNDER_RATE,
        # Fine-tuning as published filters; the pre-training is not documented.
        preprocessing=[("ECGFounderPreprocessor", {"variant": "filtered"})],
        n_samples=10 * ECGFOUNDER_RATE,
        classes=[0, 1] if n_outputs == 1 else None,
        label_names=None if n_outputs == 1 else labels,
    )


def _published_shapes(network: dict) -> tuple[dict, set]:
    """Return own names and shapes by published names, and the published names without use."""
    import torch

    from ecgsk.networks import Net1D

    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in Net1D(**network).state_dict().items()}
    shapes = {published_name(name): (name, shape) for name, shape in own.items()}
    blocks = {name.rpartition(".conv1.conv")[0] for name in shapes if ".conv1." in name}
    normalizations = ["first_bn", *(f"{block}.bn{i}" for block in blocks for i in (1, 2, 3))]
    values = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return shapes, {f"{norm}.{value}" for norm in normalizations for value in values}


def published_name(own: str) -> str:
    first, *rest = own.split(".")
    if first == "stem":
        return ".".join(["first_conv.conv", *rest])
    if first == "head":
        return ".".join(["dense", *rest])
    stage, block, part, value = rest
    part = _PARTS.get(part, f"{part}.conv")
    return f"stage_list.{stage}.block_list.{block}.{part}.{value}"


def _state_of(saved, path) -> dict:
    import torch

    state = saved.get("state_dict", saved) if isinstance(saved, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no state_dict of tensors: it is not a checkpoint.")
    return state


def _ends_of(state: dict, path) -> tuple[int, int]:
    """Return the numbers of leads and of outputs."""
    first, last = state.get("first_conv.conv.weight"), state.get("dense.weight")
    shapes = [() if value is None else tuple(value.shape) for value in (first, last)]
    if list(map(len, shapes)) != [3, 2] or 0 in shapes[0] + shapes[1]:
        raise ValueError(
            f"{path} does not match the network of ECGFounder: first_conv.conv.weight or "
            "dense.weight is missing or of another shape. It holds "
            f"{_some(sorted(map(str, state)))}."
        )
    return shapes[0][1], shapes[1][0]


def _some(names: list, most: int = 6) -> str:
    """Return names for a message, without hundreds of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(str(name) for name in names[:most]) or "none") + more
