"""SCP-ECG, EN 1064."""

from ecgsk._formats.with_ecgdatakit import ParsedFormat


class SCPECG(ParsedFormat):
    """SCP-ECG, EN 1064."""

    name = "SCP-ECG"
    endings = (".scp", ".ecg")
    module, parser = "scp_ecg", "SCPECGParser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        # Section 0 points to itself, at byte 7.
        return beginning[8:10] == bytes(2) and beginning[28:32] == b"\x07\0\0\0"
