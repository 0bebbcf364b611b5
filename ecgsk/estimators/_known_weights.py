"""What named weights are, known without their files: looking at an estimator reads nothing."""

from os import PathLike

from ecgsk.weights import ECGFOUNDER_KIND, PUBLISHED, WeightFile, published_header

_PTBXL_LABELS = (
    "1AVB 2AVB 3AVB ABQRS AFIB AFLT ALMI AMI ANEUR ASMI BIGU CLBBB CRBBB DIG EL HVOLT ILBBB ILMI "
    "IMI INJAL INJAS INJIL INJIN INJLA INVT IPLMI IPMI IRBBB ISCAL ISCAN ISCAS ISCIL ISCIN ISCLA "
    "ISC_ IVCD LAFB LAO/LAE LMI LNGQT LOWT LPFB LPR LVH LVOLT NDT NORM NST_ NT_ PAC PACE PMI "
    "PRC(S) PSVT PVC QWAVE RAO/RAE RVH SARRH SBRAD SEHYP SR STACH STD_ STE_ SVARR SVTAC TAB_ TRIGU "
    "VCLVH WPW"
).split()
_PTBXL_ENCODER = {
    "width": 192,
    "depth": 6,
    "n_heads": 3,
    "patch_size": 10,
    "n_leads": 12,
    "n_samples": 1000,
    "input_scale": 0.16161112037045677,
    "pooling": "mean",
}
_PTBXL_DECODER = {
    "mask_ratio": 0.5,
    "target": "fluctuation",
    "decoder_width": 128,
    "decoder_depth": 1,
    "decoder_heads": 4,
}
_PTBXL_FILTER = {"high": 40.0, "low": 0.5, "n_jobs": None, "order": 4, "sampling_rate": 100}


def known_weights(name: str | PathLike, kind: str | None) -> WeightFile | None:
    """Return named weights without their tensors, or None for weights that have to be read."""
    if kind == ECGFOUNDER_KIND:
        known = PUBLISHED.get(name) if isinstance(name, str) else None
        return known and published_header(known.n_leads)
    if name != "ptbxl":
        return None
    classifier = kind == "mtecg-classifier"
    return WeightFile(
        kind=str(kind),
        network={**_PTBXL_ENCODER, **({"n_outputs": 71} if classifier else _PTBXL_DECODER)},
        tensors={},
        sampling_rate=100,
        preprocessing=[("BandPass", dict(_PTBXL_FILTER))],
        label_names=list(_PTBXL_LABELS) if classifier else None,
    )
