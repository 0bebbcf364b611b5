"""Weights that others published: where they are, and where they are kept."""

import os
from pathlib import Path
from typing import NamedTuple

from ecgsk._core.files import file_sha256
from ecgsk._core.optional import import_optional

_REPOSITORY = "PKUDigitalHealth/ECGFounder"


class Published(NamedTuple):
    """A file of a model's hub repository."""

    filename: str
    revision: str  # commit of the repository
    sha256: str | None  # None where nobody has published it
    n_leads: int


_REVISION = "d9b1793951b2342f5f7e84f1ac03cd37f8a08724"
# The checksum is that of users of the file: the authors name none, and for one lead nobody does.
PUBLISHED = {
    "12-lead": Published(
        "12_lead_ECGFounder.pth",
        _REVISION,
        "ee199f3781f4ae1f732973267f003da0a759ea12bddb0dd28a77faa60aca7997",
        12,
    ),
    "1-lead": Published("1_lead_ECGFounder.pth", _REVISION, None, 1),
}


def cache_folder() -> Path:
    """Return the folder of downloaded weights: ``ECGSK_CACHE``, or one of the user's cache.

    Raises FileNotFoundError when neither exists, as in containers whose users have no home.
    """
    given = os.environ.get("ECGSK_CACHE")
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecgsk"
    except RuntimeError as error:
        raise FileNotFoundError(
            "The user has no home folder: set the environment variable ECGSK_CACHE to a folder."
        ) from error


def find_published(name: str) -> Path:
    """Return the verified file of published weights, "12-lead" or "1-lead", from cache or hub.

    Raises FileNotFoundError, with the place for it, when it cannot be fetched, and ValueError when
    it is not the published one.
    """
    published = PUBLISHED[name]
    path = cache_folder() / published.filename
    if not path.is_file():
        path = _fetch(name, published, path)
    found = file_sha256(path) if published.sha256 else None
    if found != published.sha256:
        raise ValueError(
            f"weights={name!r}: {path} is not the published file (SHA-256 {found}, expected "
            f"{published.sha256}). Delete it to fetch it again; if it is the file you mean, give "
            "its path as weights."
        )
    return path


def _fetch(name: str, published: Published, wanted: Path) -> Path:
    remedy = (
        f"Put the file {published.filename} of {_REPOSITORY} (Hugging Face, revision "
        f"{published.revision}) into {wanted.parent}, or give its path as weights."
    )
    try:
        hub = import_optional("huggingface_hub", extra="hub", purpose="Fetching weights")
    except ImportError as error:
        raise FileNotFoundError(
            f"weights={name!r} is not in {wanted.parent}. {error} {remedy}"
        ) from error
    try:
        path = hub.hf_hub_download(
            _REPOSITORY,
            published.filename,
            revision=published.revision,
            cache_dir=wanted.parent / "hub",
        )
    except Exception as error:  # the hub's client raises what its transport raises
        reason = str(error).partition("\n")[0].strip().rstrip(".")
        raise FileNotFoundError(
            f"weights={name!r} is not in {wanted.parent} and cannot be fetched "
            f"({type(error).__name__}: {reason}). {remedy}"
        ) from error
    return Path(path)
