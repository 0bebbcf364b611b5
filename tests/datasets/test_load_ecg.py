"""``load_ecg``: any mixture of formats into the one contract."""

import os
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

import ecgsk
from ecgsk import load_ecg, make_ecg
from ecgsk._formats.muse import MuseXML
from ecgsk.datasets import RecordsLeftOutWarning, convert_to_wfdb
from ecgsk.preprocessing import Resample
from tests._wfdb_files import LEADS, edit_header, random_counts, write_record
from tests._xml_files import EIGHT_LEADS, write_muse

pytest.importorskip("ecgdatakit")

RATE = 250
MV = make_ecg(3, duration=2, sampling_rate=RATE, random_state=0)
# Counts of 1 microvolt, in which II = I + III holds exactly for even sums.
COUNTS = [np.rint(record * 500).astype(int) * 2 for record in MV]
EIGHT = [LEADS.index(lead) for lead in EIGHT_LEADS]


def muse(path, counts, **options):
    write_muse(path, counts[EIGHT] / 1000, RATE, units_per_bit="1", **options)
    return path


@pytest.fixture
def folder(tmp_path):
    write_record(tmp_path / "wfdb", "a", COUNTS[0], rate=RATE, comments=["# Age: 60", "# Sex: F"])
    muse(tmp_path / "b.xml", COUNTS[1])
    muse(tmp_path / "deep.er", COUNTS[2])  # the content decides
    return tmp_path


def expected(counts):
    """Return mV with the limb leads that follow from I and II."""
    signal = counts / 1000
    first, second = signal[0], signal[1]
    signal[2:6] = second - first, -(first + second) / 2, first - second / 2, second - first / 2
    return signal


def test_formats_come_together_in_one_array(folder):
    ecgs = load_ecg(folder)
    table = ecgs.metadata.set_index("record")
    assert table["format"].to_dict() == {"a": "WFDB", "b": "MUSE XML", "deep": "MUSE XML"}
    assert ecgs.data.shape == (3, 12, 2 * RATE) and ecgs.data.dtype == np.float32
    assert ecgs.sampling_rate == RATE and ecgs.lead_names == LEADS
    for name, counts in zip("b deep".split(), COUNTS[1:], strict=True):
        found = ecgs.data[table.index.get_loc(name)]
        np.testing.assert_allclose(found, expected(counts), atol=1e-6)
        assert table["derived"][name] == ["III", "aVR", "aVL", "aVF"]
    np.testing.assert_allclose(ecgs.data[table.index.get_loc("a")], COUNTS[0] / 1000, atol=1e-6)
    assert table["derived"]["a"] == [] and table["age"]["a"] == 60 and table["sex"]["a"] == "female"
    assert ecgs.left_out == [] and ecgs.target is None
    ecgsk.check_ecg(ecgs.data)


def test_eager_lazy_and_parallel_results_are_equal(folder, monkeypatch):
    monkeypatch.setattr("ecgsk.datasets._many_files._FEW", 1)
    options = {"sampling_rate": 100, "n_samples": 190}
    eager = load_ecg(folder, **options)
    parallel = load_ecg(folder, n_jobs=2, **options)
    lazy = load_ecg(folder, lazy=True, **options)
    np.testing.assert_array_equal(eager.data, parallel.data)
    np.testing.assert_array_equal(eager.data, np.asarray(pickle.loads(pickle.dumps(lazy.data))))
    np.testing.assert_array_equal(eager.data[[2, 0]], lazy.data[[2, 0]][:].read([0, 1]))
    assert lazy.data.sampling_rate == 100 and lazy.data.leads == tuple(LEADS)
    assert lazy.data.table.equals(eager.covariates)
    assert lazy.metadata.drop(columns="n_missing").equals(eager.metadata.drop(columns="n_missing"))


def test_the_order_is_that_of_the_paths_and_each_file_is_read_once(folder):
    a, b, c = folder / "wfdb" / "a", folder / "b.xml", folder / "deep.er"
    for source in ([c, a, b], [c, f"{a}.hea", b, b, c], [c, f"{a}.dat", str(folder / "*.xml")]):
        assert load_ecg(source).metadata["record"].tolist() == ["deep", "a", "b"], source
    assert load_ecg(b).data.shape == (1, 12, 2 * RATE)
    (folder / "link").symlink_to(folder / "wfdb")
    assert len(load_ecg(folder).data) == 3


def test_resampling_is_that_of_the_transformer(folder):
    one = load_ecg([folder / "b.xml"]).data
    found = load_ecg([folder / "b.xml"], sampling_rate=100).data
    resample = Resample(sampling_rate=RATE, new_sampling_rate=100)
    np.testing.assert_array_equal(found, resample.transform(one))


def test_bad_files_cost_only_themselves_and_have_reasons(folder):
    (folder / "torn.xml").write_bytes((folder / "b.xml").read_bytes()[:-500])
    (folder / "note.xml").write_text("<note>no recording</note>")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.7")
    (folder / "labels.csv").write_text("record,label\na,1\n")
    write_muse(folder / "few.xml", MV[0][:2], RATE, leads=["I", "II"], units_per_bit="1")
    good = edit = write_record(folder, "noleads", random_counts(1), rate=RATE)
    edit_header(edit, "V6", "X6")
    with pytest.warns(RecordsLeftOutWarning, match="5 files or recordings in") as caught:
        ecgs = load_ecg(folder)
    assert caught[0].filename == __file__
    assert ecgs.metadata["record"].tolist() == ["b", "deep", "a"]
    reasons = {os.path.basename(path): reason for path, reason in ecgs.left_out}
    assert sorted(reasons) == ["few.xml", "noleads.hea", "note.xml", "scan.pdf", "torn.xml"]
    assert "leads V1, V2, V3, V4, V5, V6 are missing" in reasons["few.xml"]
    assert "PDF" in reasons["scan.pdf"] and "cannot be decoded" in reasons["torn.xml"]
    with pytest.raises(ValueError, match="note.xml: .xml is not read"):
        load_ecg(folder, on_error="raise")
    with pytest.raises(ValueError, match="few.xml: leads V"):
        load_ecg([folder / "few.xml", folder / "b.xml"], on_error="raise")
    assert load_ecg(good, leads=["II", "aVF", "I"]).data.shape == (1, 3, 50)


def test_named_files_of_no_known_format_are_left_out(folder):
    table = folder / "labels.csv"
    table.write_text("record,label\na,1\n")
    with pytest.warns(RecordsLeftOutWarning, match="no format that is read"):
        ecgs = load_ecg([folder / "b.xml", table])
    assert len(ecgs.data) == 1 and ecgs.left_out[0][0] == str(table)
    with pytest.raises(FileNotFoundError, match="no format that is read"):
        load_ecg([table])


def test_one_of_many_paths_that_leads_nowhere_is_left_out(folder):
    paths = [folder / "gone.xml", folder / "b.xml", folder / "*.nothing"]
    with pytest.warns(RecordsLeftOutWarning, match="2 files"):
        ecgs = load_ecg(paths)
    assert len(ecgs.data) == 1
    assert ecgs.left_out == [(str(paths[0]), "it does not exist"),
                             (str(paths[2]), "it does not exist")]  # fmt: skip
    with pytest.raises(FileNotFoundError, match="gone.xml"):
        load_ecg(paths, on_error="raise")


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ([], ValueError, "empty list"),
        ("nowhere", FileNotFoundError, "does not exist"),
        (["nowhere.xml"], FileNotFoundError, "does not exist"),
        ("*.nothing", FileNotFoundError, "contains no recording"),
        ([3], TypeError, "a recording is given by its path"),
        (3, TypeError, "source"),
    ],
)
def test_sources_that_lead_to_nothing_are_errors(tmp_path, monkeypatch, source, error, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=match):
        load_ecg(source)


def test_an_empty_folder_names_what_is_not_read(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(FileNotFoundError, match="no recording; not read: 1 .pdf .*a.pdf"):
        load_ecg(tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"leads": []}, "leads"),
        ({"leads": ["I", "i"]}, "more than once"),
        ({"file_unit": "pixels"}, "unit 'pixels'"),
        ({"file_leads": [1]}, "file_leads"),
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"on_error": "ignore"}, "on_error"),
    ],
)
def test_parameters_that_cannot_be_right_are_refused(folder, options, match):
    with pytest.raises(ValueError, match=match):
        load_ecg(folder, **options)


def test_recordings_that_differ_are_a_list_or_refused(folder):
    write_muse(folder / "long.xml", MV[0][EIGHT][:, :400], 500, units_per_bit="1")
    with pytest.warns(UserWarning, match="1 with 400 samples at 500 Hz"):
        ecgs = load_ecg(folder)
    assert isinstance(ecgs.data, list) and ecgs.sampling_rate is None
    assert {signal.shape for signal in ecgs.data} == {(12, 500), (12, 400)}
    with pytest.raises(ValueError, match="sampling_rate= and n_samples="):
        load_ecg(folder, lazy=True)


def test_the_same_recording_in_two_formats_is_named(folder):
    muse(folder / "again.xml", COUNTS[1])
    with pytest.warns(UserWarning, match=r"occur twice \(1\): .*b.xml and .*again.xml"):
        load_ecg(folder)
    exact = np.rint(expected(COUNTS[2]) * 1000)
    write_record(folder, "copy", exact, rate=RATE)
    os.remove(folder / "again.xml")
    with pytest.warns(UserWarning, match=r"occur twice \(1\): .*deep.er and .*copy.hea"):
        load_ecg(folder)


def test_patients_are_groups_where_all_files_identify_them(tmp_path):
    for name, counts in zip("abc", COUNTS, strict=True):
        muse(tmp_path / f"{name}.xml", counts, patient={"PatientID": f"00{name}"})
    assert load_ecg(tmp_path).groups.tolist() == ["00a", "00b", "00c"]
    write_record(tmp_path, "w", COUNTS[0] + 2, rate=RATE)
    ecgs = load_ecg(tmp_path)
    assert ecgs.groups is None and ecgs.metadata["patient"].tolist()[:3] == ["00a", "00b", "00c"]


@pytest.mark.filterwarnings("ignore:Recordings occur twice")
@pytest.mark.real_data
def test_wfdb_goes_the_way_of_load_wfdb(cinc_path):
    by_wfdb = ecgsk.load_wfdb(cinc_path, sampling_rate=500, n_samples=5000)
    ecgs = load_ecg(cinc_path, sampling_rate=500, n_samples=5000)
    np.testing.assert_array_equal(ecgs.data, by_wfdb.data)
    assert ecgs.covariates.equals(by_wfdb.covariates)
    shared = ["record", "sampling_rate", "n_samples", "age", "sex", "dx", "comments"]
    assert ecgs.metadata[shared].equals(by_wfdb.metadata[shared])


def test_paths_come_from_any_collection(folder):
    paths = [folder / "b.xml", folder / "deep.er"]
    for source in (iter(paths), np.array(list(map(str, paths))), pd.Series(map(str, paths))):
        assert load_ecg(source).metadata["record"].tolist() == ["b", "deep"]
    for source, text in [("", "''"), ([paths[0], ""], "''"), ([paths[0], np.nan], "nan"), (3, "3"),
                         (os.fsencode(paths[0]), "b'"), (None, "None")]:  # fmt: skip
        with pytest.raises(TypeError, match=f"source.*{text}"):
            load_ecg(source)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only names of UTF-8")
def test_names_that_are_not_text_are_kept(folder):
    for name in (b"b.xml", b"wfdb/a.hea"):
        old = os.path.join(os.fsencode(folder), name)
        os.rename(old, old.replace(b".", b"\xff."))
    ecgs = load_ecg(folder)
    assert sorted(map(os.fsencode, ecgs.metadata["record"])) == [b"a\xff", b"b\xff", b"deep"]
    assert len(ecgsk.datasets.load_wfdb(folder / "wfdb").data) == 1


def test_the_reason_is_why_a_file_cannot_be_read(folder):
    (folder / "empty.dcm").touch()
    (folder / "dead.xml").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.edf")
    with pytest.warns(RecordsLeftOutWarning):
        reasons = {os.path.basename(path): reason for path, reason in load_ecg(folder).left_out}
    assert reasons == {
        "empty.dcm": "it is empty",
        "dead.xml": "it is a link to what does not exist",
        "pipe.edf": "it is not a regular file",
    }


def test_what_a_decoder_does_not_expect_costs_only_its_file(folder, monkeypatch):
    np.save(folder / "infinite.npy", np.full((12, 500), np.inf))
    (folder / "page.csv").write_text("I,II\n1.5,2.5\n\x0c\n", encoding="utf-8")
    muse(folder / "broken.xml", COUNTS[0])
    monkeypatch.setattr(
        "ecgsk._formats.muse.MuseXML.decode_file",
        lambda self, path, options, read=MuseXML.decode_file: (
            [][0] if "broken" in path else read(self, path, options)
        ),
    )
    with pytest.warns(RecordsLeftOutWarning):
        ecgs = load_ecg(folder, file_sampling_rate=RATE)
    reasons = {os.path.basename(path): reason for path, reason in ecgs.left_out}
    assert sorted(ecgs.metadata["record"]) == ["a", "b", "deep"]
    assert reasons["infinite.npy"] == "it contains infinite samples"
    assert reasons["broken.xml"].startswith("it cannot be decoded (IndexError")


def test_a_file_that_changes_after_it_was_listed_is_an_error(folder):
    lazy = load_ecg(folder / "b.xml", lazy=True).data
    assert lazy[[0]].read([0]).shape == (1, 12, 2 * RATE)
    muse(folder / "b.xml", COUNTS[2])
    with pytest.raises(ValueError, match="b.xml: it was replaced after it had been listed"):
        lazy.read([0])


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_an_unlikely_amplitude_is_named_where_files_state_no_unit(tmp_path, factor):
    np.save(tmp_path / "a.npy", MV[0])
    np.save(tmp_path / "b.npy", MV[1] * factor)
    with pytest.warns(UserWarning, match="1, such as .*b.npy: its amplitude is unlikely for mV"):
        ecgs = load_ecg(tmp_path, file_sampling_rate=RATE)
    assert ecgs.metadata["doubts"].map(len).tolist() == [0, 1]


@pytest.mark.parametrize("lazy", [False, True])
def test_recordings_that_are_padded_are_named(folder, lazy):
    write_muse(folder / "short.xml", MV[0][EIGHT][:, :400], RATE, units_per_bit="1")
    with pytest.warns(UserWarning, match="1, such as .*short.xml: it is shorter than n_samples"):
        ecgs = load_ecg(folder, n_samples=500, lazy=lazy)
    doubtful = ecgs.metadata.set_index("record")["doubts"].map(len)
    assert doubtful[doubtful > 0].index.tolist() == ["short"]
    load_ecg(folder / "b.xml", n_samples=505, lazy=lazy)  # a rounding


def test_padded_wfdb_records_are_named(tmp_path):
    write_record(tmp_path, "a", random_counts(1, n_samples=500))
    write_record(tmp_path, "b", random_counts(2, n_samples=400))
    with pytest.warns(
        UserWarning, match="1 of 2 recordings are shorter than n_samples=500 .*b.hea"
    ):
        ecgsk.load_wfdb(tmp_path, n_samples=500)


@pytest.mark.parametrize(
    ("line", "comment", "date"),
    [
        ("10:11:12 14/03/2013", "", "2013-03-14 10:11:12"),
        ("10:11:12.250 14/03/2013", "", "2013-03-14 10:11:12.250"),
        ("10:11 14/03/2013", "", "2013-03-14 00:10:11"),
        ("10:11:12", "# Date: 2013-03-14T09:00:00", "2013-03-14 09:00:00"),
        ("", "# Date: 2013-03-14", "2013-03-14"),
        ("10:11:12", "", None),
        ("99:11:12 14/13/2013", "# Date: yesterday", None),
    ],
)
def test_dates_of_wfdb_records(tmp_path, line, comment, date):
    first = f"a 12 500 50 {line}".strip()
    write_record(tmp_path, "a", random_counts(1), first_line=first, comments=[comment])
    for load in (load_ecg, ecgsk.load_wfdb):
        (found,) = load(tmp_path).metadata["date"]
        assert pd.isna(found) if date is None else found == pd.Timestamp(date)


def test_what_files_state_survives_a_conversion(folder, tmp_path_factory):
    converted = tmp_path_factory.mktemp("converted")
    convert_to_wfdb(folder, converted)
    before = load_ecg([folder / "b.xml", folder / "deep.er"]).metadata
    after = load_ecg(converted).metadata
    after = after[after["record"] != "a"].reset_index(drop=True)
    for column in (
        "date",
        "device",
        "statements",
        "measurements",
        "age",
        "sex",
        "patient",
    ):
        assert after[column].equals(before[column]), column
    assert before["date"].notna().all() and before["measurements"].map(len).all()


def test_wfdb_copies_are_named_in_a_lazy_folder_of_several_formats(folder):
    write_record(folder, "again", COUNTS[0], rate=RATE)
    for name in ("again", "wfdb/a"):
        for lead, counts in zip(LEADS, COUNTS[0], strict=True):
            edit_header(folder / name, f" 0 0 {lead}\n", f" {counts.sum() % 65536} 0 {lead}\n")
    with pytest.warns(UserWarning, match=r"occur twice \(1\): .*a.hea and .*again.hea"):
        load_ecg(folder, lazy=True)


def test_many_doubts_are_cut_and_cannot_move_the_cursor(tmp_path):
    for number in range(25):
        comment = f"# Doubts: doubt {number:02d}\x1b[2J"
        write_record(tmp_path, f"r{number:02d}", random_counts(number), comments=[comment])
    with pytest.warns(UserWarning, match="Recordings are uncertain") as caught:
        load_ecg(tmp_path)
    (text,) = [str(w.message) for w in caught if "uncertain" in str(w.message)]
    assert "\x1b" not in text and "... and 5 more" in text
