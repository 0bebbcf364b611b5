"""Zip archives that are plain: what is in them is as large as it says, and nothing else."""

import io
import struct
import zipfile

# A member's name, its header and its entry in the directory take more than this.
_SMALLEST_MEMBER = 76
_WHEN = (1980, 1, 1, 0, 0, 0)


def pack(parts: dict[str, bytes]) -> bytes:
    """Return an archive of parts, the same for the same parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), content)
    return buffer.getvalue()


def open_plain(content: bytes) -> zipfile.ZipFile:
    """Open an archive after its directory was checked.

    Parameters
    ----------
    content : bytes
        Of the file.

    Returns
    -------
    ZipFile
        To read: its members are stored as they are, each once, and fit the file together.

    Raises
    ------
    ValueError
        Saying what is wrong with the archive.
    """
    if content[:4] != b"PK\x03\x04":
        raise ValueError("it does not begin as a zip archive")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise ValueError(f"the archive cannot be opened: {error}") from error
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("the archive names a part twice")
    if len(members) * _SMALLEST_MEMBER > len(content):
        raise ValueError("the archive says it has more parts than fit in")
    if sum(member.file_size for member in members) > len(content):
        raise ValueError("the archive's parts say they are larger than the file")
    if members and min(member.header_offset for member in members):
        raise ValueError("the archive has something in front of it")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x800:
            raise ValueError(f"part {member.filename!r} is compressed or encrypted")
        if member.file_size != member.compress_size:
            raise ValueError(f"part {member.filename!r} has two sizes")
        if member.is_dir() or "/" in member.filename or "\\" in member.filename:
            raise ValueError(f"part {member.filename!r} is a path")
    return archive


def read(archive: zipfile.ZipFile, name: str, n_bytes: int = -1) -> bytes:
    """Return a member, or its first bytes; a whole one is compared with its checksum.

    Raises
    ------
    ValueError
        When it is not there, or damaged.
    """
    try:
        with archive.open(name) as member:
            return member.read(n_bytes)
    except KeyError as error:
        raise ValueError(f"part {name!r} is missing") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(f"part {name!r} is damaged: {error}") from error
