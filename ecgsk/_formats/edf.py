"""European Data Format, EDF and EDF+."""

from ecgsk._formats.with_ecgdatakit import ParsedFormat


class EDF(ParsedFormat):
    """European Data Format, EDF and EDF+."""

    name = "EDF"
    endings = (".edf",)
    module, parser = "edf", "EDFParser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return beginning[:8] == b"0       " and beginning[252:256].strip().isdigit()
