"""GE MUSE XML, Philips XML, HL7 aECG and Mortara XML."""

import re

from ecgsk._formats.with_ecgdatakit import ParsedFormat


def _text(beginning: bytes) -> str:
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        return beginning.decode("utf-16", errors="ignore")
    return beginning.decode("utf-8", errors="ignore")


class MuseXML(ParsedFormat):
    """Exports of GE MUSE (root element RestingECG)."""

    name = "MUSE XML"
    endings = (".xml",)
    module, parser = "ge_muse_xml", "GEMuseXMLParser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return re.search(r"<RestingECG[\s>]", _text(beginning), re.IGNORECASE) is not None


class PhilipsXML(ParsedFormat):
    """Philips Sierra XML, versions 1.03 and 1.04 (root element restingecgdata)."""

    name = "Philips XML"
    endings = (".xml",)
    module, parser = "sierra_xml", "SierraXMLParser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return "<restingecgdata" in _text(beginning)


class HL7aECG(ParsedFormat):
    """HL7 annotated ECG (root element AnnotatedECG)."""

    name = "HL7 aECG"
    endings = (".xml", ".aecg")
    module, parser = "hl7_aecg", "HL7aECGParser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return re.search(r"<([A-Za-z_][\w.-]*:)?AnnotatedECG\b", _text(beginning)) is not None


class MortaraXML(ParsedFormat):
    """Mortara ELI XML (root element ECG)."""

    name = "Mortara XML"
    endings = (".xml",)
    module, parser = "mortara_el250", "MortaraEL250Parser"

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return re.search(r"<ECG[\s>]", _text(beginning)) is not None
