import pickle
import warnings

import joblib
import numpy as np
import pytest
import wfdb
from sklearn.metrics import roc_auc_score
from sklearn.utils.multiclass import type_of_target

from ecgsk._core.sampling_rate import Unify
from ecgsk.datasets import RecordsLeftOutWarning, load_wfdb
from tests._wfdb_files import LEADS, edit_header, random_counts, write_record


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def load_one(path, **kwargs):
    return load_wfdb([path], **kwargs).data[0]


def test_reads_counts_over_gain_as_millivolt(tmp_path):
    counts = random_counts(0)
    record = write_record(tmp_path, "a", counts)
    ecgs = load_wfdb(tmp_path)
    assert ecgs.data.dtype == np.float32 and ecgs.data.flags.c_contiguous
    np.testing.assert_array_equal(ecgs.data[0], (counts / 1000).astype(np.float32))
    assert ecgs.lead_names == LEADS and ecgs.sampling_rate == 500
    assert ecgs.target is None and ecgs.target_names == [] and ecgs.left_out == []
    np.testing.assert_array_equal(load_one(str(record)), ecgs.data[0])
    np.testing.assert_array_equal(load_one(f"{record}.hea"), ecgs.data[0])
    np.testing.assert_array_equal(load_wfdb(record).data, ecgs.data)


def test_leads_come_by_name_whatever_their_order_and_spelling(tmp_path):
    counts = random_counts(1)
    swapped = [0, 1, 2, 3, 5, 4, *range(6, 12)]
    names = ["i", "ii", "iii", "AVR", "AVF", "AVL", "v1", "v2", "v3", "v4", "v5", "v6"]
    write_record(tmp_path, "mimic", counts[swapped], leads=names)
    expected = (counts / 1000).astype(np.float32)
    np.testing.assert_array_equal(load_wfdb(tmp_path).data[0], expected)
    chosen = load_wfdb(tmp_path, leads=["V2", "avl"])
    np.testing.assert_array_equal(chosen.data[0], expected[[7, 4]])
    assert chosen.lead_names == ["V2", "aVL"]


def test_signals_that_are_not_wanted_may_be_anything(tmp_path):
    counts = random_counts(2, n_leads=14)
    write_record(
        tmp_path,
        "a",
        counts,
        leads=["Resp", *LEADS, "Resp"],
        gain=["0", *["1000"] * 12, "5(3)"],
        unit=["/ohm", *["/mV"] * 12, "/l"],
    )
    np.testing.assert_array_equal(
        load_wfdb(tmp_path).data[0], (counts[1:13] / 1000).astype(np.float32)
    )


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("/mV", 1), ("/uV", 1e-3), ("/µV", 1e-3), ("/V", 1e3), ("/nV", 1e-6), ("", 1)],
)
def test_units_become_millivolt(tmp_path, unit, factor):
    counts = random_counts(3)
    write_record(tmp_path, "a", counts, gain="4.88(0)", unit=unit)
    np.testing.assert_allclose(
        load_wfdb(tmp_path).data[0], counts / 4.88 * factor, rtol=1e-6, atol=0
    )


def test_a_unit_in_latin_1_is_not_read_as_volt(tmp_path):
    counts = random_counts(3)
    record = write_record(tmp_path, "a", counts, unit="/uV")
    header = record.with_suffix(".hea")
    header.write_bytes(header.read_bytes().replace(b"/uV", b"/\xb5V"))
    np.testing.assert_allclose(load_wfdb(tmp_path).data[0], counts / 1e6, rtol=1e-6, atol=0)


def test_gain_and_baseline_of_each_lead_count(tmp_path):
    counts = random_counts(4)
    gains = np.linspace(150.3, 2000, 12)
    baselines = np.arange(12) * 1000 - 4000
    write_record(
        tmp_path,
        "a",
        counts,
        gain=[f"{g!r}({b})" for g, b in zip(gains.tolist(), baselines, strict=True)],
    )
    expected = (counts - baselines[:, None]) / gains[:, None]
    np.testing.assert_array_equal(load_wfdb(tmp_path).data[0], expected.astype(np.float32))


@pytest.mark.parametrize("baseline", [-300, 2**23 + 1, -(2**30)])
def test_large_baselines_do_not_cost_precision(tmp_path, baseline):
    counts = random_counts(5)
    write_record(tmp_path, "a", counts, gain=f"1000({baseline})")
    expected = (counts.astype(float) - baseline) / 1000
    np.testing.assert_array_equal(load_wfdb(tmp_path).data[0], expected.astype(np.float32))


def test_without_baseline_the_converters_zero_is_taken(tmp_path):
    counts = random_counts(6)
    record = write_record(tmp_path, "a", counts, gain="1000")
    edit_header(record, " 16 0 0 0 0 ", " 12 1024 0 0 0 ")
    np.testing.assert_array_equal(
        load_wfdb(tmp_path).data[0], ((counts - 1024.0) / 1000).astype(np.float32)
    )


def test_samples_not_recorded_become_nan_and_are_counted(tmp_path):
    counts = random_counts(7)
    counts[3, 10:15] = -32768
    write_record(tmp_path, "a", counts)
    write_record(tmp_path, "b", random_counts(8))
    ecgs = load_wfdb(tmp_path)
    np.testing.assert_array_equal(np.isnan(ecgs.data[0]), counts == -32768)
    assert ecgs.metadata["n_missing"].tolist() == [5, 0]


def test_matlab_files_of_the_challenges(tmp_path):
    comments = ["#Age: 57", "#Sex: Female", "#Dx: 426783006,164889003", "#Rx: Unknown"]
    counts = [random_counts(seed) for seed in range(4)]
    write_record(tmp_path / "x", "JS1", counts[0], mat=True, comments=comments)
    comments = ["# Age: NaN", "# Sex: M", "# Dx: 426783006, 10370003,", "# Hx: Unknown"]
    write_record(tmp_path / "x" / "y", "A1", counts[1], mat=True, comments=comments, gain="1000")
    write_record(
        tmp_path, "E00001", counts[2], mat=True, first_line="E00001.mat 12 500 50 05-May-2020 1:2:3"
    )
    write_record(tmp_path / "z", "Q1", counts[3], comments=["#Dx: Unknown", "#Age: 300x"])
    with pytest.warns(UserWarning, match="1 records have an age that is not.*300x.*Q1"):
        ecgs = load_wfdb(tmp_path)
    order = ["E00001", "JS1", "A1", "Q1"]
    assert ecgs.metadata["record"].tolist() == order
    for place, seed in enumerate([2, 0, 1, 3]):
        np.testing.assert_array_equal(ecgs.data[place], (counts[seed] / 1000).astype(np.float32))
    assert ecgs.target_names == ["10370003", "164889003", "426783006"]
    assert ecgs.target.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert ecgs.metadata["dx"].tolist()[1] == ["426783006", "164889003"]
    np.testing.assert_array_equal(ecgs.metadata["age"], [np.nan, 57, np.nan, np.nan])
    assert [s if isinstance(s, str) else None for s in ecgs.metadata["sex"]] == [
        None,
        "female",
        "male",
        None,
    ]


def test_length_left_open_comes_from_the_file(tmp_path):
    counts = random_counts(9, n_samples=37)
    write_record(tmp_path, "a", counts, first_line="a 12 500")
    write_record(tmp_path, "b", counts, first_line="b 12 500/250(0) 0", mat=True)
    ecgs = load_wfdb(tmp_path)
    assert ecgs.data.shape == (2, 12, 37)
    np.testing.assert_array_equal(ecgs.data[1], (counts / 1000).astype(np.float32))


def test_header_spacing_and_comments_do_not_matter(tmp_path):
    counts = random_counts(10)
    record = write_record(tmp_path, "a", counts)
    header = record.with_suffix(".hea")
    text = header.read_text().replace(" ", "\t ").replace("\n", "  \r\n\r\n")
    header.write_bytes(b"# made by hand\r\n" + text.encode())
    np.testing.assert_array_equal(load_wfdb(tmp_path).data[0], (counts / 1000).astype(np.float32))


def test_hidden_files_are_not_records(tmp_path):
    write_record(tmp_path, "a", random_counts(0))
    (tmp_path / "._a.hea").write_bytes(b"\x00\x05\x16\x07")
    assert len(load_wfdb(tmp_path).data) == 1


@pytest.mark.parametrize("fmt", ["212", "80", "24", "32"])
def test_other_formats_go_through_wfdb(tmp_path, fmt):
    counts = random_counts(11)
    if fmt == "80":
        counts = (counts // 20).astype("<i2")
    wfdb.wrsamp(
        "odd",
        fs=250,
        units=["uV"] * 12,
        sig_name=LEADS[::-1],
        d_signal=counts.T.astype(np.int64),
        fmt=[fmt] * 12,
        adc_gain=[0.2] * 12,
        baseline=[7] * 12,
        write_dir=str(tmp_path),
    )
    ecgs = load_wfdb(tmp_path)
    assert ecgs.sampling_rate == 250
    np.testing.assert_allclose(ecgs.data[0], (counts[::-1] - 7) / 0.2 / 1000, rtol=1e-6, atol=1e-9)


def test_signals_in_two_files_go_through_wfdb(tmp_path):
    counts = random_counts(12)
    record = write_record(tmp_path, "a", counts)
    (tmp_path / "a.dat").write_bytes(counts[:8].T.tobytes())
    (tmp_path / "b.dat").write_bytes(counts[8:].T.tobytes())
    lines = record.with_suffix(".hea").read_text().splitlines()
    lines[9:] = [line.replace("a.dat", "b.dat") for line in lines[9:]]
    record.with_suffix(".hea").write_text("\n".join(lines))
    np.testing.assert_allclose(load_wfdb(tmp_path).data[0], counts / 1000, atol=1e-7)


def multi_segment(folder, first, second, **kwargs):
    write_record(folder, "m_1", first)
    write_record(folder, "m_2", second, **kwargs)
    n = first.shape[1] + second.shape[1]
    (folder / "m.hea").write_text(
        f"m/2 12 500 {n}\nm_1 {first.shape[1]}\nm_2 {second.shape[1]}\n#Dx: 1\n"
    )


def test_segments_are_joined_and_not_returned_themselves(tmp_path):
    first, second = random_counts(13), random_counts(14, n_samples=30)
    multi_segment(tmp_path, first, second)
    ecgs = load_wfdb(tmp_path)
    assert ecgs.metadata["record"].tolist() == ["m"]
    assert ecgs.target_names == ["1"]
    np.testing.assert_allclose(ecgs.data[0], np.hstack([first, second]) / 1000, atol=1e-7)


def test_segments_with_a_layout_and_a_gap(tmp_path):
    first, second = random_counts(13), random_counts(14, n_samples=30)
    write_record(tmp_path, "m_1", first)
    write_record(tmp_path, "m_2", second[::-1], leads=LEADS[::-1])
    layout = [f"~ 0 1000(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    (tmp_path / "m_layout.hea").write_text("\n".join(["m_layout 12 500 0", *layout]))
    (tmp_path / "m.hea").write_text("m/4 12 500 100\nm_layout 0\nm_1 50\n~ 20\nm_2 30\n")
    ecgs = load_wfdb(tmp_path)
    assert ecgs.metadata["record"].tolist() == ["m"]
    expected = np.hstack([first, np.full((12, 20), np.nan), second]) / 1000
    np.testing.assert_allclose(ecgs.data[0], expected, atol=1e-7)
    assert ecgs.metadata["n_missing"].tolist() == [240]


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"unit": "/uV"}, "different units"),
        ({"leads": [LEADS[1], LEADS[0], *LEADS[2:]]}, "order"),
        ({"rate": 250}, "sampling rate"),
        ({"gain": "0"}, "no gain"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path, kwargs, reason):
    multi_segment(tmp_path, random_counts(15), random_counts(16), **kwargs)
    with pytest.raises(ValueError, match=reason):
        load_wfdb([tmp_path / "m"], on_error="raise")


def truncate(path, n_bytes):
    path.write_bytes(path.read_bytes()[:-n_bytes])


def truncated_dat(record):
    truncate(record.with_suffix(".dat"), 1)


def truncated_mat(record):
    write_record(record.parent, record.name, random_counts(1), mat=True)
    truncate(record.with_suffix(".mat"), 100)


def empty_dat(record):
    record.with_suffix(".dat").write_bytes(b"")


def no_dat(record):
    record.with_suffix(".dat").unlink()


def modern_mat(record):
    write_record(record.parent, record.name, random_counts(1), mat=True)
    record.with_suffix(".mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(5000, b" "))


def empty_header(record):
    record.with_suffix(".hea").write_text("\n# nothing\n")


def binary_header(record):
    record.with_suffix(".hea").write_bytes(bytes(range(256)) * 4)


def header_is_a_folder(record):
    record.with_suffix(".hea").unlink()
    record.with_suffix(".hea").mkdir()


def line_lost(record):
    edit_header(record, "bad.dat 16 1000.0(0)/mV 16 0 0 0 0 V6\n", "")


def lead_missing(record):
    edit_header(record, " V6", " V7")


def lead_twice(record):
    edit_header(record, " V6", " V5")


def names_missing(record):
    edit_header(record, " 0 V6", " 0")


def unit_unknown(record):
    edit_header(record, "(0)/mV 16 0 0 0 0 V3", "(0)/mmHg 16 0 0 0 0 V3")


def gain_zero(record):
    edit_header(record, "1000.0(0)/mV 16 0 0 0 0 aVR", "0(0)/mV 16 0 0 0 0 aVR")


def gain_infinite(record):
    edit_header(record, "1000.0(0)/mV 16 0 0 0 0 aVR", "1e999(0)/mV 16 0 0 0 0 aVR")


def gain_gibberish(record):
    edit_header(record, "1000.0(0)/mV 16 0 0 0 0 aVR", "1000,0(0)/mV 16 0 0 0 0 aVR")


def rate_missing(record):
    edit_header(record, "bad 12 500 50", "bad 12")


def rate_zero(record):
    edit_header(record, "bad 12 500 50", "bad 12 0 50")


def length_unknowable(record):
    edit_header(record, "bad 12 500 50", "bad 12 500")
    truncate(record.with_suffix(".dat"), 2)


def length_absurd(record):
    edit_header(record, "bad 12 500 50", "bad 12 500 50000000000000")


def mixed_offsets(record):
    edit_header(record, "16 1000.0(0)/mV 16 0 0 0 0 V6", "16+24 1000.0(0)/mV 16 0 0 0 0 V6")


def file_outside(record):
    edit_header(record, "bad.dat", "../bad.dat")


def unknown_format(record):
    edit_header(record, "bad.dat 16 ", "bad.dat 17 ")


def odd_format_truncated(record):
    edit_header(record, "bad.dat 16 ", "bad.dat 24 ")


def packed_format_truncated(record):
    edit_header(record, "bad.dat 16 ", "bad.dat 212 ")
    truncate(record.with_suffix(".dat"), 800)


def packed_format_a_little_short(record):
    # 50 samples of 12 leads fill 900 bytes.
    edit_header(record, "bad.dat 16 ", "bad.dat 212 ")
    truncate(record.with_suffix(".dat"), 400)


def packed_format_absurd(record):
    edit_header(record, "bad.dat 16 ", "bad.dat 212 ")
    edit_header(record, "bad 12 500 50", "bad 12 500 50000000000000")


def odd_format_missing(record):
    edit_header(record, "bad.dat 16 ", "bad.dat 212 ")
    no_dat(record)


def segment_missing(record):
    record.with_suffix(".hea").write_text("bad/2 12 500 100\nbad_1 50\nbad_2 50\n")


def segments_unlisted(record):
    record.with_suffix(".hea").write_text("bad/2 12 500 100\nbad_1 50\n")


MALFORMED = {
    truncated_dat: "truncated",
    truncated_mat: "truncated",
    empty_dat: "truncated",
    no_dat: "bad.dat is missing",
    modern_mat: "MATLAB version 4",
    empty_header: "empty",
    binary_header: "record line",
    header_is_a_folder: "not a regular file",
    line_lost: "announces 12 signals and describes 11",
    lead_missing: "V6 are missing",
    lead_twice: "V5 stand more than once|V6 are missing",
    names_missing: "V6 are missing",
    unit_unknown: "mmHg",
    gain_zero: "no gain for aVR",
    gain_infinite: "no usable gain",
    gain_gibberish: "signal line",
    rate_missing: "sampling rate",
    rate_zero: "sampling rate",
    length_unknowable: "no length",
    length_absurd: "truncated",
    mixed_offsets: "byte offsets",
    file_outside: "outside",
    unknown_format: "decoded",
    odd_format_truncated: "is truncated: 1200 bytes do not hold 50 samples of format 24",
    packed_format_truncated: "is truncated: 400 bytes do not hold 50 samples of format 212",
    packed_format_a_little_short: "is truncated: 800 bytes do not hold 50 samples of format 212",
    packed_format_absurd: "do not hold 50000000000000 samples of format 212",
    odd_format_missing: "missing",
    segment_missing: "bad_1.*no such header",
    segments_unlisted: "announces 2 segments",
}


@pytest.mark.parametrize("damage", MALFORMED, ids=lambda damage: damage.__name__)
def test_a_malformed_record_costs_nothing_but_itself(tmp_path, damage):
    good = [random_counts(seed) for seed in (20, 21)]
    write_record(tmp_path, "aa", good[0])
    write_record(tmp_path, "zz", good[1])
    record = write_record(tmp_path, "bad", random_counts(22))
    damage(record)
    with pytest.warns(RecordsLeftOutWarning, match=MALFORMED[damage]) as caught:
        ecgs = load_wfdb(tmp_path)
    assert len(caught) == 1 and "1 of 3 records" in str(caught[0].message)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(ecgs.data, (np.stack(good) / 1000).astype(np.float32))
    assert ecgs.metadata["record"].tolist() == ["aa", "zz"]
    [(file, reason)] = ecgs.left_out
    assert file == f"{record}.hea" and file in str(caught[0].message) and reason
    with pytest.raises(ValueError, match=MALFORMED[damage]):
        load_wfdb(tmp_path, on_error="raise")
    with pytest.raises(ValueError, match="none of the 1 records"):
        load_wfdb([record])


def test_all_malformed_records_are_named_in_one_warning(tmp_path):
    write_record(tmp_path, "good", random_counts(0))
    for name in "abc":
        truncated_dat(write_record(tmp_path, name, random_counts(1)))
    with pytest.warns(RecordsLeftOutWarning) as caught:
        ecgs = load_wfdb(tmp_path, n_jobs=2)
    assert len(caught) == 1
    assert [file for file, _ in ecgs.left_out] == [str(tmp_path / f"{name}.hea") for name in "abc"]
    assert all(file in str(caught[0].message) for file, _ in ecgs.left_out)


def test_a_file_that_shrinks_between_header_and_samples_is_left_out(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        write_record(tmp_path, name, random_counts(ord(name)))

    class ShrinkingFile(Unify):
        def n_samples_of(self, n_samples, sampling_rate):
            truncate(tmp_path / "b.dat", 50)
            return super().n_samples_of(n_samples, sampling_rate)

    monkeypatch.setattr("ecgsk.datasets._wfdb.Unify", ShrinkingFile)
    with pytest.warns(RecordsLeftOutWarning, match="b.hea"):
        ecgs = load_wfdb(tmp_path)
    expected = np.stack([random_counts(ord(name)) for name in "ac"]) / 1000
    np.testing.assert_array_equal(ecgs.data, expected.astype(np.float32))


def test_records_that_differ_come_as_a_list_with_a_warning(tmp_path):
    write_record(tmp_path, "a", random_counts(0, n_samples=50))
    write_record(tmp_path, "b", random_counts(1, n_samples=50))
    write_record(tmp_path, "c", random_counts(2, n_samples=80), rate=257)
    with pytest.warns(UserWarning, match="2 with 50 samples at 500 Hz, 1 with 80 samples at 257"):
        ecgs = load_wfdb(tmp_path)
    assert [signal.shape for signal in ecgs.data] == [(12, 50), (12, 50), (12, 80)]
    np.testing.assert_array_equal(
        ecgs.data[2], (random_counts(2, n_samples=80) / 1000).astype("f4")
    )
    assert ecgs.sampling_rate is None
    assert ecgs.metadata["sampling_rate"].tolist() == [500, 500, 257]
    assert ecgs.metadata["n_samples"].tolist() == [50, 50, 80]


def test_equal_lengths_at_different_rates_are_not_stacked(tmp_path):
    write_record(tmp_path, "a", random_counts(0))
    write_record(tmp_path, "b", random_counts(1), rate=1000)
    with pytest.warns(UserWarning, match="differ"):
        assert isinstance(load_wfdb(tmp_path).data, list)
    with pytest.warns(UserWarning, match="differ"):
        assert load_wfdb(tmp_path, n_samples=20).data[1].shape == (12, 20)


def test_length_is_cropped_from_the_start_and_padded_at_the_end(tmp_path):
    short, long = random_counts(0, n_samples=30), random_counts(1, n_samples=70)
    write_record(tmp_path, "a", short)
    write_record(tmp_path, "b", long)
    ecgs = load_wfdb(tmp_path, n_samples=50)
    assert ecgs.data.shape == (2, 12, 50) and ecgs.sampling_rate == 500
    np.testing.assert_array_equal(ecgs.data[0, :, :30], (short / 1000).astype(np.float32))
    assert not ecgs.data[0, :, 30:].any()
    np.testing.assert_array_equal(ecgs.data[1], (long[:, :50] / 1000).astype(np.float32))
    assert ecgs.metadata["n_samples"].tolist() == [30, 70]


def tone(frequency, rate, seconds=4, offset=0.0):
    wave = offset + np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)
    return np.tile(np.rint(10_000 * wave), (12, 1)).astype("<i2")


@pytest.mark.parametrize("rate", [100, 250, 257, 400, 500, 1000])
def test_resampling_keeps_a_tones_frequency_amplitude_and_phase(tmp_path, rate):
    write_record(tmp_path, "a", tone(8, rate, offset=2.0), rate=rate, gain="10000")
    ecgs = load_wfdb(tmp_path, sampling_rate=500)
    assert ecgs.data.shape == (1, 12, 2000) and ecgs.sampling_rate == 500
    expected = 2 + np.sin(2 * np.pi * 8 * np.arange(2000) / 500)
    np.testing.assert_allclose(ecgs.data[0, 5, 100:-100], expected[100:-100], atol=5e-3)
    # Padding with zeros would pull the ends down by the offset.
    np.testing.assert_allclose(ecgs.data[0, 5], expected, atol=0.5)


def test_resampling_removes_what_the_new_rate_cannot_hold(tmp_path):
    write_record(tmp_path, "a", tone(180, 1000), rate=1000, gain="10000")
    kept = load_wfdb(tmp_path, sampling_rate=500).data[0, 0, 50:-50]
    removed = load_wfdb(tmp_path, sampling_rate=250).data[0, 0, 50:-50]
    assert kept.std() == pytest.approx(np.sqrt(0.5), rel=0.01)
    assert removed.std() < 0.02


def test_resampling_unifies_and_lengths_round_up(tmp_path):
    write_record(tmp_path, "a", random_counts(0, n_samples=100), rate=500)
    write_record(tmp_path, "b", random_counts(1, n_samples=257), rate=257)
    write_record(tmp_path, "c", random_counts(2, n_samples=33), rate=100)
    with pytest.warns(UserWarning, match="differ"):
        assert [x.shape[1] for x in load_wfdb(tmp_path, sampling_rate=500).data] == [100, 500, 165]
    ecgs = load_wfdb(tmp_path, sampling_rate=500, n_samples=120)
    assert ecgs.data.shape == (3, 12, 120) and np.isfinite(ecgs.data).all()
    np.testing.assert_array_equal(
        ecgs.data[0, :, :100], (random_counts(0, n_samples=100) / 1000).astype(np.float32)
    )


def test_a_gap_stays_a_gap_of_its_length_when_resampled(tmp_path):
    counts = tone(4, 250)
    counts[2, 400:450] = -32768
    counts[3, -5:] = -32768
    counts[4] = -32768
    write_record(tmp_path, "a", counts, rate=250, gain="10000")
    signal = load_wfdb(tmp_path, sampling_rate=500).data[0]
    missing = np.isnan(signal).sum(axis=1)
    assert missing[4] == 2000 and not missing[5:].any() and not missing[:2].any()
    assert 99 <= missing[2] <= 102 and 9 <= missing[3] <= 12
    assert np.flatnonzero(np.isnan(signal[2]))[0] == pytest.approx(800, abs=1)
    expected = np.sin(2 * np.pi * 4 * np.arange(2000) / 500)
    np.testing.assert_allclose(signal[2, 100:700], expected[100:700], atol=5e-3)
    # What lies between a sample and a missing one is not known either.
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(signal[2])), np.arange(799, 900))
    signal = load_wfdb(tmp_path, sampling_rate=100).data[0]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(signal[2])), np.arange(160, 180))


def test_threads_change_nothing(tmp_path):
    for number in range(150):
        write_record(tmp_path, f"{number:03d}", random_counts(number))
    one, two = load_wfdb(tmp_path), load_wfdb(tmp_path, n_jobs=2)
    np.testing.assert_array_equal(one.data, two.data)
    # Worker processes would fill copies of the array.
    with joblib.parallel_config(backend="loky", n_jobs=2):
        np.testing.assert_array_equal(one.data, load_wfdb(tmp_path).data)
    assert one.metadata["record"].tolist() == two.metadata["record"].tolist()
    np.testing.assert_array_equal(one.data[123], (random_counts(123) / 1000).astype(np.float32))


def test_order_of_a_list_is_kept_and_the_bunch_pickles(tmp_path):
    paths = [write_record(tmp_path, name, random_counts(ord(name))) for name in "abc"]
    ecgs = pickle.loads(pickle.dumps(load_wfdb(paths[::-1])))
    assert ecgs.metadata["record"].tolist() == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sampling_rate": 9.9}, "sampling_rate"),
        ({"sampling_rate": 100_001}, "sampling_rate"),
        ({"sampling_rate": "500"}, "sampling_rate"),
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 10.5}, "n_samples"),
        ({"on_error": "ignore"}, "on_error"),
        ({"leads": "II"}, "leads"),
        ({"leads": []}, "leads"),
        ({"leads": [0, 1]}, "leads"),
    ],
)
def test_bad_parameters_are_refused_by_name(tmp_path, kwargs, message):
    write_record(tmp_path, "a", random_counts(0))
    with pytest.raises(ValueError, match=message):
        load_wfdb(tmp_path, **kwargs)


def test_sources_without_records_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no .hea file"):
        load_wfdb(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a WFDB record"):
        load_wfdb(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="empty list"):
        load_wfdb([])
    with pytest.raises(ValueError, match="none of the 1 records in the list could be read"):
        load_wfdb([tmp_path / "nowhere"])


@pytest.mark.real_data
def test_cinc_records_equal_wfdb(cinc_path):
    paths = sorted(cinc_path.rglob("*.hea"))[:40]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recordings occur twice")  # E07509 and E07510
        ecgs = load_wfdb(paths)
    for path, signal in zip(paths, ecgs.data, strict=True):
        expected, fields = wfdb.rdsamp(str(path.with_suffix("")))
        assert [name.lower() for name in fields["sig_name"]] == [lead.lower() for lead in LEADS]
        np.testing.assert_array_equal(signal, expected.T.astype(np.float32))
    said = [
        line.split(":")[1].strip().split(",")
        for path in paths
        for line in path.read_text().splitlines()
        if line.lower().replace(" ", "").startswith("#dx:")
    ]
    assert ecgs.target.sum(axis=1).tolist() == [len(set(codes)) for codes in said]
    assert set(ecgs.target_names) == {code.strip() for codes in said for code in codes}
    assert ecgs.metadata["age"].between(0, 120).all()
    assert type_of_target(ecgs.target) == "multilabel-indicator"
    assert roc_auc_score(ecgs.target, ecgs.target, average="macro") == 1.0


def test_a_record_may_be_named_by_its_signal_file(tmp_path):
    write_record(tmp_path, "a", random_counts(0))
    by_signal = load_wfdb([tmp_path / "a.dat"])
    np.testing.assert_array_equal(by_signal.data, load_wfdb(tmp_path / "a.hea").data)
    with pytest.raises(TypeError, match="holds 1; a record is given by its path"):
        load_wfdb([1])
