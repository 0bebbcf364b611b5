"""Exports of GE MUSE."""

import numpy as np
import pytest

from ecgsk._formats.muse import MuseXML
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import EIGHT_LEADS, write_muse

pytest.importorskip("ecgdatakit", reason="the extra formats is not installed")
OPTIONS = ReadOptions()


def make_signal(n_leads=8, n_samples=600):
    return np.random.default_rng(0).normal(0, 0.4, (n_leads, n_samples))


def test_counts_come_back(tmp_path):
    path = str(tmp_path / "a.xml")
    counts = write_muse(path, make_signal())
    assert isinstance(find_format(path), MuseXML)
    ecg, signal = MuseXML().decode_file(path, OPTIONS)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (EIGHT_LEADS, 500.0, 600)
    np.testing.assert_array_equal(np.rint(signal / 0.00488), counts)
