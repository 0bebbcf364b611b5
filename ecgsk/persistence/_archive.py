"""Zip archives without compression, whose sizes are checked before anything is read."""

import io
import struct
import zipfile

# A member's name, its header and its entry in the directory take more than this.
_SMALLEST_MEMBER = 76
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(parts: dict[str, bytes]) -> bytes:
    """Return an archive of these parts; equal parts give equal archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return buffer.getvalue()


def open_plain(content: bytes) -> zipfile.ZipFile:
    """Check the directory of an archive, and open it.

    ValueError unless its members are not compressed, have different names, and their total size is
    not larger than the file.
    """
    if content[:4] != b"PK\x03\x04":
        raise ValueError("it does not start like a zip archive")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise ValueError(f"the archive cannot be opened: {error}") from error
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("the archive has a part twice")
    if len(members) * _SMALLEST_MEMBER > len(content):
        raise ValueError("the archive declares more parts than fit in")
    if sum(member.file_size for member in members) > len(content):
        raise ValueError("the parts of the archive declare a size larger than the file")
    if members and min(m.header_offset for m in members) > 0:
        raise ValueError("the archive has other content in front of it")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x800:
            raise ValueError(f"part {member.filename!r} is compressed or encrypted")
        if member.file_size != member.compress_size:
            raise ValueError(f"part {member.filename!r} has two different sizes")
        if member.is_dir() or "/" in member.filename or "\\" in member.filename:
            raise ValueError(f"part {member.filename!r} is a path")
    return archive


def read(archive: zipfile.ZipFile, name: str, n_bytes: int = -1) -> bytes:
    """Return a member, or its first bytes. The checksum of a complete member is checked.

    ValueError if the member is missing or damaged.
    """
    try:
        with archive.open(name) as member:
            return member.read(n_bytes)
    except KeyError as error:
        raise ValueError(f"part {name!r} is missing") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(f"part {name!r} is damaged: {error}") from error
