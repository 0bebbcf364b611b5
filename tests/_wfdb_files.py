"""Writes small WFDB records and PTB-XL folders, byte by byte, for the readers to be tested on."""

from pathlib import Path

import numpy as np
import pandas as pd

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def random_counts(seed, n_leads=12, n_samples=50):
    return np.random.default_rng(seed).integers(-2000, 2000, (n_leads, n_samples)).astype("<i2")


def each(value, n):
    return list(value) if isinstance(value, (list, tuple)) else [value] * n


def write_record(
    folder,
    name,
    counts,
    *,
    leads=LEADS,
    rate=500,
    gain="1000.0(0)",
    unit="/mV",
    comments=(),
    mat=False,
    first_line=None,
    data=None,
):
    """Write NAME.hea over NAME.dat (or .mat) and return the record's path without a suffix."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    n_leads, n_samples = counts.shape
    payload = counts.T.astype("<i2").tobytes()
    if mat:
        payload = np.array([30, n_leads, n_samples, 0, 4], "<i4").tobytes() + b"val\0" + payload
    file, layout = (f"{name}.mat", "16x1+24") if mat else (f"{name}.dat", "16")
    (folder / file).write_bytes(payload if data is None else data)
    lines = [first_line or f"{name} {n_leads} {rate} {n_samples}"]
    gains, units = each(gain, n_leads), each(unit, n_leads)
    for lead, lead_gain, lead_unit in zip(leads, gains, units, strict=True):
        lines.append(f"{file} {layout} {lead_gain}{lead_unit} 16 0 0 0 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join([*lines, *comments]) + "\n", encoding="utf-8")
    return folder / name


def edit_header(record, old, new):
    header = Path(f"{record}.hea")
    text = header.read_text(encoding="utf-8")
    assert old in text
    header.write_text(text.replace(old, new), encoding="utf-8")


def ptbxl_counts(ecg_id, rate):
    return random_counts([ecg_id, rate], n_samples=10 * rate)


def write_ptbxl(folder, rows, *, rates=(100,)):
    """Write a PTB-XL folder; a row is a dict of columns, of which scp_codes is needed."""
    folder = Path(folder)
    table = []
    for ecg_id, row in enumerate(rows, start=1):
        names = {100: f"records100/00000/{ecg_id:05d}_lr", 500: f"records500/00000/{ecg_id:05d}_hr"}
        for rate in rates:
            path = folder / names[rate]
            write_record(path.parent, path.name, ptbxl_counts(ecg_id, rate), rate=rate)
        table.append(
            {
                "ecg_id": ecg_id,
                "patient_id": float(1000 + ecg_id),
                "age": 60.0,
                "strat_fold": 1 + (ecg_id - 1) % 10,
                "filename_lr": names[100] if 100 in rates else None,
                "filename_hr": names[500] if 500 in rates else None,
                **row,
                "scp_codes": str(row["scp_codes"]),
            }
        )
    pd.DataFrame(table).to_csv(folder / "ptbxl_database.csv", index=False)
    return folder
