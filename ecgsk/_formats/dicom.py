"""DICOM waveforms."""

from ecgsk._formats.with_ecgdatakit import ParsedFormat


class DICOM(ParsedFormat):
    """12-lead and general ECG waveform objects of DICOM."""

    name = "DICOM"
    endings = (".dcm", ".dicom")
    module, parser = "dicom_waveform", "DICOMWaveformParser"
    packages = ("pydicom", "ecgdatakit")

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return beginning[128:132] == b"DICM"
