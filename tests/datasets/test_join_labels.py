"""Tables of labels meet recordings."""

import warnings
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from ecgsk import RecordArray, join_labels
from ecgsk.datasets import RecordsLeftOutWarning, load_ecg, load_wfdb, make_ecg
from tests._wfdb_files import random_counts, write_record
from tests._xml_files import write_muse


def ecgs(*paths, lazy=False, **columns):
    """Return a Bunch of recordings whose first sample is their number."""
    data = np.zeros((len(paths), 12, 50), np.float32)
    data[:, :, 0] = np.arange(len(paths))[:, None]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    metadata = pd.DataFrame(
        {
            "record": [name.removesuffix(".xml").removesuffix(".dcm") for name in names],
            "path": [f"/data/export/{path}" for path in paths],
            **columns,
        }
    )
    covariates = pd.DataFrame({"age": 60.0, "sex": 0.0}, index=range(len(paths)))
    return Bunch(
        data=RecordArray.wrap(data, table=covariates, sampling_rate=100) if lazy else data,
        target=None,
        groups=None,
        metadata=metadata,
        covariates=covariates,
        age_over_89=np.zeros(len(paths), bool),
        lead_names=["I", "II"],
        left_out=[("/data/export/bad.xml", "it is empty")],
        DESCR="made by hand.",
    )


def numbers(joined):
    return np.asarray([record[0, 0] for record in joined.data], int).tolist()


def frame(**columns):
    return pd.DataFrame(columns)


def silent(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return join_labels(*args, **kwargs)


def left(*args, **kwargs):
    """Join with a warning, and return the result and the summary."""
    with pytest.warns(RecordsLeftOutWarning) as caught:
        joined = join_labels(*args, **kwargs)
    (summary,) = [w for w in caught if w.category is RecordsLeftOutWarning]
    assert str(summary.message) == joined.matches.summary and summary.filename == __file__
    return joined, joined.matches.summary


THREE = ["a/r1.xml", "a/r2.xml", "b/r3.xml"]


@pytest.mark.parametrize(
    "given",
    [
        ["r1", "r2", "r3"],
        ["r1.xml", "r2.XML", "r3.dcm"],
        ["a/r1.xml", "a\\r2.xml", "./b/r3"],
        ["export/a/r1", "/data/export/a/r2.xml", " r3 "],
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_names_match_with_and_without_folder_and_ending(given, lazy):
    joined = silent(
        ecgs(*THREE, lazy=lazy), frame(file=given[::-1], y=[0, 1, 0]), on="file", target="y"
    )
    assert numbers(joined) == [0, 1, 2]
    assert joined.target.tolist() == [0, 1, 0] and joined.target_names == ["y"]
    assert joined.matches.n_matched == 3 and joined.matches.rows.tolist() == [2, 1, 0]


def test_what_is_ignored_is_chosen():
    def count(names, *ignore):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = frame(file=names, y=1)
                return join_labels(ecgs(*THREE), table, on="file", ignore=ignore).matches.n_matched
        except ValueError as error:
            assert "no recording has a row" in str(error)
            return 0

    assert count(["r1", "r2.xml", "r3.dcm"]) == 2  # the name, and the name of the file
    assert count(["r1", "r2.xml", "r3.dcm"], "suffix") == 3
    other = [r"D:\muse\r1.xml", "/mnt/a/r2.xml", "c/r3.xml"]
    assert count(other, "suffix") == 0 and count(other, "folder") == 3
    assert count(["R1", "R2", "r3"]) == 1 and count(["R1", "R2", "r3"], "case") == 3


def test_the_error_without_a_match_shows_both_sides_and_the_remedy():
    both = r"have 'r1' and 'r2', the rows 'C:.*ignore=\['suffix', 'folder'\]"
    with pytest.raises(ValueError, match=both):
        join_labels(ecgs(*THREE), frame(file=[r"C:\x\r1.xml", r"C:\x\r2.xml"]), on="file")
    bunch = ecgs(*THREE, patient=["P1", "P2", "P3"])
    with pytest.raises(ValueError, match=r"give on=\{'patient': 'who'\}"):
        join_labels(bunch, frame(who=["P3", "P1"], y=[0, 1]), on="who")
    with pytest.raises(ValueError, match=r"the files' folders.*: give on=\{'folder': 'ward'\}"):
        join_labels(bunch, frame(ward=["a", "b"]), on="ward")
    with pytest.raises(ValueError, match=r"give on=\{'record': 'file'\}"):
        join_labels(bunch, frame(n=["1", "2", "3"], file=["r1", "r2", "r3"]), on="n")


def test_leading_zeros_count():
    bunch = ecgs("00123.xml", "123.xml", "0045.xml")
    joined, summary = left(bunch, frame(id=["123", "00123"], y=["yes", "no"]), on="id", target="y")
    assert numbers(joined) == [0, 1] and joined.target.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"ignore=\['suffix', 'zeros'\]"):
        join_labels(ecgs("0045.xml"), frame(id=[45]), on="id")
    assert numbers(silent(ecgs("0045.xml"), frame(id=[45]), on="id", ignore="zeros")) == [0]
    with pytest.raises(ValueError, match="fits 2 recordings"):
        join_labels(bunch, frame(id=[123]), on="id", ignore=["suffix", "zeros"])


@pytest.mark.parametrize("text", ["1.23E+05", "1,23E+11", "1E+12"])
@pytest.mark.parametrize("parameter", ["on", "patient"])
def test_identifiers_that_a_spreadsheet_rounded_are_refused(tmp_path, text, parameter):
    other = {"on": "name", "patient": "id"}[parameter]
    (tmp_path / "t.csv").write_text(f"id;name\nr1;r1\n{text if parameter else ''};r2\n")
    columns = (
        {"on": "id"} if parameter == "on" else {"on": other.replace("id", "name"), "patient": "id"}
    )
    with pytest.raises(ValueError, match=f"rounded numbers.*{text.replace('+', '.')}' in row 3"):
        join_labels(ecgs(*THREE), tmp_path / "t.csv", **columns)
    with pytest.raises(ValueError, match="rounded numbers"):
        join_labels(ecgs("r1"), frame(id=[1.5e17, 2.0]), on="id")


def test_identifiers_of_other_programs(tmp_path):
    # A formula keeps zeros in a spreadsheet; pandas writes integers next to empty cells with ".0".
    (tmp_path / "t.csv").write_text('file,mrn\n="007",11.0\n="008",12.0\n="009",\n')
    bunch = ecgs("007.xml", "008.xml", "009.xml")
    joined, summary = left(bunch, tmp_path / "t.csv", on="file", patient="mrn")
    assert joined.groups.tolist() == ["11", "12"] and "row 4 has no patient" in summary


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_text_files_of_spreadsheets(tmp_path, separator, encoding):
    decimal = "." if separator == "," else ","
    rows = [["Datei", "LVEF", "Größe"], ["007.xml", f"35{decimal}5", "NA"], ["NA", "60", "x"]]
    text = "\r\n".join(separator.join(row) for row in [*rows, ["", "", ""]])
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    bunch = ecgs("007.xml", "NA.xml")
    joined = silent(
        bunch, tmp_path / "t.csv", on="Datei", target="LVEF<=40", covariates=["Größe"][:0]
    )
    assert joined.target.tolist() == [1, 0] and joined.metadata["Größe"].tolist() == ["NA", "x"]
    assert joined.metadata["Datei"].tolist() == ["007.xml", "NA"]


def test_parquet_and_workbooks(tmp_path):
    table = frame(
        file=["r1", "r2", "r3"], when=pd.to_datetime(["2024-01-02"] * 3), ef=[35.5, 60, 50]
    )
    bunch = ecgs(*THREE)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "t.parquet")
    assert silent(bunch, tmp_path / "t.parquet", on="file", target="ef<=40").target.tolist() == [
        1,
        0,
        0,
    ]
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        join_labels(bunch, tmp_path / "t.parquet", on="file")
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        table.assign(id=["001", "002", "003"]).to_excel(book, index=False)
        frame(x=[1]).to_excel(book, sheet_name="other")
    joined = silent(bunch, tmp_path / "t.xlsx", on="file", target="ef<=40", patient="id")
    assert joined.target.tolist() == [1, 0, 0] and joined.groups.tolist() == ["001", "002", "003"]
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="Save it as CSV"):
        join_labels(bunch, tmp_path / "t.xlsx", on="file")


def test_a_workbook_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")

    def missing(path, **options):
        raise ImportError("Missing optional dependency 'openpyxl'.")

    monkeypatch.setattr(pd, "read_excel", missing)
    with pytest.raises(ImportError, match="openpyxl.*Save it as CSV"):
        join_labels(ecgs("r1"), tmp_path / "t.xlsx", on="file")


def test_files_that_are_not_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        join_labels(ecgs("r1"), tmp_path / "no.csv", on="file")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        join_labels(ecgs("r1"), tmp_path, on="file")
    with pytest.raises(TypeError, match="table is a list"):
        join_labels(ecgs("r1"), ["r1"], on="file")
    (tmp_path / "empty.csv").write_text("file,y\n")
    with pytest.raises(ValueError, match="has no rows"):
        join_labels(ecgs("r1"), tmp_path / "empty.csv", on="file")
    with pytest.raises(ValueError, match="table has no rows"):
        join_labels(ecgs("r1"), frame(file=[]), on="file")
    (tmp_path / "title.csv").write_text("Echo laboratory;;\nfile;y;z\nr1;0;1\n")
    with pytest.raises(ValueError, match="The first row has to be the header"):
        join_labels(ecgs("r1"), tmp_path / "title.csv", on="file")
    (tmp_path / "twice.csv").write_text("file,y,y\nr1,0,1\n")
    with pytest.raises(ValueError, match="has 2 columns of this name"):
        join_labels(ecgs("r1"), tmp_path / "twice.csv", on="file", target="y")


def test_what_is_left_over_on_either_side_is_counted_and_named():
    table = frame(file=["r1", "r3", "x7", "x8"], y=[1, 0, 1, 0])
    joined, summary = left(ecgs(*THREE), table, on="file", target="y")
    assert numbers(joined) == [0, 2]
    assert "2 of 3 recordings were joined to rows of table, which has 4" in summary
    assert "Recordings left out because the table has no row for them: 1 ('r2')." in summary
    assert "Rows without a recording: 2 ('x7', 'x8')." in summary
    assert joined.matches.rows_left == ["x7", "x8"]
    assert joined.left_out == [
        ("/data/export/bad.xml", "it is empty"),
        ("/data/export/a/r2.xml", "the table has no row for it"),
    ]
    assert summary in joined.DESCR and joined.lead_names == ["I", "II"]


def test_rows_that_repeat_others_count_once_and_contradictions_are_left_out():
    table = frame(
        file=["r1", "r1.xml", "r2", "r2", "r3", "r3"],
        ef=["35", "35.0", "35", "60", "", "50"],
        comment=list("abcdef"),
    )
    joined, summary = left(ecgs(*THREE), table, on="file", target="ef<=40")
    assert numbers(joined) == [0, 2] and joined.target.tolist() == [1, 0]
    assert joined.metadata["comment"].tolist() == ["a", "f"]
    assert "row 2 (counted from 0) and row 3 (counted from 0) of the table contradict" in summary
    assert "Rows that repeat another one: 2." in summary and joined.matches.n_repeated_rows == 2
    assert "ef is '35' and '60'" in summary and joined.left_out[-1][0].endswith("r2.xml")
    with pytest.raises(ValueError, match="contradict each other"):
        join_labels(ecgs(*THREE), table, on="file", target="ef<=40", on_error="raise")
    with pytest.raises(ValueError, match="No recording is left: 1 because their rows contra"):
        join_labels(ecgs("r2"), table[2:4], on="file", target="ef<=40")


def test_rows_of_one_recording_with_equal_answers_count_once():
    table = frame(
        file=["r1", "r1", "r2", "r2", "r3", "r3"],
        ef=["60,7", "61,1", "30", "20-35", "50", "40"],
        grade=["a", "b", "severe", "Severe", "mild", ""],
        age=["60", "60", "70", "", "80", "80"],
    )
    joined, summary = left(ecgs(*THREE), table, on="file", target="ef<=45", covariates=["age"])
    assert numbers(joined) == [0, 1] and joined.target.tolist() == [0, 1]
    assert "ef is '50' and '40'" in summary and joined.matches.n_repeated_rows == 2
    joined = silent(ecgs(*THREE), table, on="file", target="grade==severe")
    assert joined.target.tolist() == [0, 1, 0]  # "" is unknown and contradicts nothing
    table["age"] = ["60", "61", "70", "", "80", "80"]
    joined, summary = left(ecgs(*THREE), table, on="file", target="ef<=45", covariates=["age"])
    assert numbers(joined) == [1] and "age is '60' and '61'" in summary
    with pytest.raises(ValueError, match="ef is '60,7' and '61,1'"):
        join_labels(ecgs(*THREE), table, on="file", target="ef", on_error="raise")


def test_a_row_that_fits_several_recordings_is_not_used():
    bunch = ecgs("a/r1.xml", "b/r1.xml", "c/r2.xml", "c/r2.dcm")
    table = frame(file=["r1", "r2.xml"], y=[1, 0])
    joined, summary = left(bunch, table, on="file", target="y")
    assert numbers(joined) == [2]  # the row names this file, not the one with another ending
    assert "'r1', fits 2 recordings, among them '/data/export/a/r1.xml'" in summary
    table = frame(file=["a/r1.xml", "r1.mwf"], y=[1, 0])
    assert numbers(left(bunch, table, on="file", target="y")[0]) == [0]
    full = frame(file=["a/r1", "b/r1", "r2.xml", "r2.dcm"], y=[1, 0, 1, 0])
    assert silent(bunch, full, on="file", target="y").target.tolist() == [1, 0, 1, 0]


def test_files_of_one_name_in_many_folders():
    bunch = ecgs(*(f"P{n}/ecg.xml" for n in range(2000)))
    ids = [f"P{n}/ecg.xml" for n in range(2000)][::-1]
    joined = silent(bunch, frame(file=ids, y=[n % 2 for n in range(2000)]), on="file", target="y")
    assert joined.matches.rows.tolist() == list(range(2000))[::-1]
    with pytest.raises(ValueError, match="'ecg.xml', fits 2000 recordings"):
        join_labels(bunch, frame(file=["ecg.xml"] * 2000, y=1), on="file")


def test_the_last_number_of_a_name_is_not_an_ending(tmp_path):
    for number in range(2):
        with open(tmp_path / f"1.2.840.{number}", "wb") as file:
            np.save(file, make_ecg(1, sampling_rate=100, random_state=number)[0])
    bunch = load_ecg(tmp_path, file_sampling_rate=100)
    assert bunch.metadata["record"].tolist() == ["1.2.840.0", "1.2.840.1"]
    table = frame(uid=["1.2.840.1.dcm", "1.2.840.0"], y=[1, 0])
    assert silent(bunch, table, on="uid", target="y").target.tolist() == [0, 1]


def test_names_with_dots_and_numbers_of_recordings():
    bunch = ecgs("1.2.840.1", "1.2.840.2", "exams.npy", "exams.npy")
    bunch.metadata["record"] = ["1.2.840.1", "1.2.840.2", "exams[0]", "exams[1]"]
    table = frame(file=["1.2.840.2", "1.2.840.1.dcm", "exams.npy[1]", "exams[0]"], y=[0, 1, 2, 3])
    assert silent(bunch, table, on="file", target="y").target.tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match="no recording has a row"):
        join_labels(bunch, frame(file=["exams.npy", "1.2.840"]), on="file")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["yes", "No", "TRUE"], [1, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        ([1.0, 0.0, 1.0], [1, 0, 1]),
        (["WAHR", "FALSCH", "1"], [1, 0, 1]),
        ([2, 0, 1], [2, 0, 1]),
        (["35,5", "60 %", "1,234"], [35.5, 60, 1.234]),
        (["none", "mild", "severe"], ["none", "mild", "severe"]),
        (["N", "A", "O"], ["N", "A", "O"]),
    ],
)
def test_what_a_column_means_as_target(values, expected):
    table = frame(file=["r1", "r2", "r3"], y=values)
    joined = silent(ecgs(*THREE), table, on="file", target="y")
    assert joined.target.tolist() == expected
    classes = isinstance(expected[0], str)
    assert joined.target_names == (sorted(expected) if classes else ["y"])
    assert classes or joined.target.dtype.kind == ("f" if 35.5 in expected else "i")


@pytest.mark.parametrize(
    ("target", "expected", "name"),
    [
        ("EF<=45", [1, 1, 0], "ef<=45"),
        ("ef < 45", [1, 0, 0], "ef<45"),
        ("ef≥45", [0, 1, 1], "ef>=45"),
        ("ef==45", [0, 1, 0], "ef==45"),
        ("rhythm==af", [1, 0, 1], "rhythm==af"),
        ("rhythm!='SR'", [1, 0, 1], "rhythm!=SR"),
        (["ef<=45", "rhythm==AF"], [[1, 1], [1, 0], [0, 1]], None),
        (["flag"], [[1], [0], [1]], None),
    ],
)
def test_comparisons(target, expected, name):
    table = frame(
        file=["r1", "r2", "r3"], ef=[30, 45, 60], rhythm=["AF", "SR", "AF"], flag=["y", "n", "y"]
    )
    joined = silent(ecgs(*THREE), table, on="file", target=target)
    assert joined.target.tolist() == expected and joined.target.dtype == np.int64
    assert joined.target_names == ([name] if name else target)


@pytest.mark.parametrize(
    ("text", "target", "answer"),
    [
        ("35 %", "ef<=40", 1),
        ("35-40", "ef<=40", 1),
        ("35 – 40 %", "ef<40", None),
        ("40-45", "ef<=40", None),
        ("<20", "ef<=40", 1),
        ("<40", "ef<40", 1),
        ("<=40", "ef<40", None),
        (">55", "ef<=40", 0),
        (">=40", "ef<=40", None),
        ("35,5", "ef<=40", 1),
        ("1,234", "ef<=40", None),
        ("1e400", "ef", None),
        ("normal", "ef<=40", None),
        ("#DIV/0!", "ef<=40", None),
        ("35-40", "ef", None),
        ("~35", "ef", None),
        ("40-30", "ef<=45", None),
    ],
)
def test_numbers_as_people_write_them(text, target, answer):
    table = frame(file=["r1", "r2", "r3"], ef=["60", text, "30"])
    if answer is None:
        with pytest.raises(
            ValueError, match=r"1 cells of the column 'ef'.*row 1 \(counted"
        ) as caught:
            join_labels(ecgs(*THREE), table, on="file", target=target, on_error="raise")
        assert repr(text) in str(caught.value)
        joined, summary = left(ecgs(*THREE), table, on="file", target=target)
        assert numbers(joined) == [0, 2] and f"no clear answer: 1 ('r2'). The first: {text!r}" in (
            summary
        )
        assert joined.left_out[-1][1].startswith(f"{text!r} in row 1 (counted from 0)")
    else:
        assert silent(ecgs(*THREE), table, on="file", target=target).target[1] == answer


def test_mixed_answers_are_refused():
    table = frame(file=["r1", "r2", "r3"], y=["yes", "no", "maybe"], ef=["0.35", "40 %", "60 %"])
    with pytest.raises(ValueError, match="neither yes nor no: 'maybe' in row 2"):
        join_labels(ecgs(*THREE), table, on="file", target="y", on_error="raise")
    with pytest.raises(ValueError, match="'0.35' in row 0"):
        join_labels(ecgs(*THREE), table, on="file", target="ef<=45", on_error="raise")
    joined, _ = left(ecgs(*THREE), table, on="file", target=["y==no", "ef<=45"])
    assert numbers(joined) == [1, 2] and joined.target.tolist() == [[1, 1], [0, 0]]
    joined, summary = left(ecgs(*THREE), table, on="file", target="y")
    assert joined.target.tolist() == [1, 0] and "'maybe' in row 2" in summary
    for column, target in [(["normal", "40-50", "60"], "y<=45"), (["1", "II", "III"], "y")]:
        wrong = frame(file=["r1", "r2", "r3"], y=column)
        with pytest.raises(ValueError, match="2 cells .* more than half, so check that this is"):
            join_labels(ecgs(*THREE), wrong, on="file", target=target)
    with pytest.raises(ValueError, match="each of several labels has to be yes or no"):
        join_labels(ecgs(*THREE), frame(file=["r1"], ef=[35], y=[1]), on="file", target=["ef", "y"])
    with pytest.raises(ValueError, match="which is not a number"):
        join_labels(ecgs(*THREE), table, on="file", target="ef<=low")
    with pytest.raises(ValueError, match="no matched row has 'never'.*'maybe', 'no', 'yes'"):
        join_labels(ecgs(*THREE), table, on="file", target="y==never")
    shares = frame(file=["r1", "r2", "r3"], ef=[0.3, 0.5, 0.6])
    with pytest.warns(UserWarning, match="1 for all 3 recordings.*0.3 to 0.6.*in its unit"):
        join_labels(ecgs(*THREE), shares, on="file", target="ef<=40")


def test_numbers_that_may_be_codes_of_unknown_values():
    for code in (-1, -99, 999):
        table = frame(file=["r1", "r2", "r3"], ef=[30, 60, code])
        for options in ({"target": "ef<=40"}, {"target": "ef"}, {"covariates": "ef"}):
            with pytest.warns(UserWarning, match=f"1 cells .* have {code}, the others 30 to 60"):
                join_labels(ecgs(*THREE), table, on="file", **options)
    silent(
        ecgs(*THREE), frame(file=["r1", "r2", "r3"], axis=[-1, -20, 60]), on="file", target="axis"
    )


def test_codes_of_unknown_values_next_to_yes_and_no():
    table = frame(file=["r1", "r2", "r3"], y=[0, 1, 9])
    with pytest.warns(UserWarning, match="1 cells .* have 9, the others 0 to 1"):
        join_labels(ecgs(*THREE), table, on="file", target="y")
    silent(ecgs(*THREE), frame(file=["r1", "r2", "r3"], stage=[1, 2, 9]), on="file", target="stage")


@pytest.mark.parametrize("values", [(35, 0.6, 60), (35, 55, 0.4)])
def test_a_fraction_among_percentages(values):
    table = frame(file=["r1", "r2", "r3"], ef=list(values))
    with pytest.warns(UserWarning, match="1 cells .* such as 0.[46], the others 35 to"):
        join_labels(ecgs(*THREE), table, on="file", target="ef<=40")
    silent(
        ecgs(*THREE), frame(file=["r1", "r2", "r3"], bnp=[0.4, 2.5, 30]), on="file", target="bnp<=3"
    )


def test_texts_that_are_not_classes():
    many = [f"r{number}.xml" for number in range(10)]
    with pytest.raises(ValueError, match="'sr' in row 1 .*'y==SR', which ignores capitals"):
        join_labels(ecgs(*many), frame(file=many, y=["SR", "sr"] * 5), on="file", target="y")
    with pytest.raises(ValueError, match="6 different texts for 10 recordings"):
        join_labels(ecgs(*many), frame(file=many, y=[*"abcdeffffff"[:10]]), on="file", target="y")
    with pytest.warns(UserWarning, match="is x for all 2 recordings. If empty cells"):
        join_labels(ecgs(*THREE), frame(file=["r1", "r2"], y=["x", "x"]), on="file", target="y")


def test_recordings_without_a_label_are_left_out_and_counted():
    table = frame(file=["r1", "r2", "r3"], ef=["30", "unknown", None], y=[1, 1, 1])
    joined, summary = left(ecgs(*THREE), table, on="file", target=["ef<=40", "y"])
    assert numbers(joined) == [0]
    assert "Recordings left out because their rows have no target: 2 ('r2', 'r3')." in summary


def test_covariates_of_files_and_table():
    bunch = ecgs(*THREE, lazy=True)
    bunch.covariates["age"] = [60.0, 70.0, 80.0]
    table = frame(
        file=["r1", "r2", "r3"],
        Age=["60Y", "", ">89"],
        gender=["m", "F", ""],
        bnp=["12,5", "", "100"],
        diabetes=["yes", "no", None],
    )
    columns = {"age": "Age", "sex": "gender", "bnp": "bnp", "dm": "diabetes"}
    joined, summary = left(bunch, table, on="file", covariates=columns)
    expected = frame(
        age=[60.0, 70, 90], sex=[0.0, 1, 0], bnp=[12.5, np.nan, 100], dm=[1, 0, np.nan]
    )
    pd.testing.assert_frame_equal(joined.covariates, expected)
    pd.testing.assert_frame_equal(joined.data.table, expected)
    assert joined.data.sampling_rate == 100 and joined.age_over_89.tolist() == [False, False, True]
    assert "another age in the file than in the table, which was taken: 1 (the first: 80" in summary
    assert "another sex in the file than in the table, which was taken: 1" in summary
    assert bunch.data.table["age"].tolist() == [60, 60, 60]  # that of the caller is as before
    assert joined.target is None


def test_numbers_of_sex_need_their_meaning():
    table = frame(file=["r1", "r2", "r3"], Sex=[1, 0, 1])
    with pytest.raises(ValueError, match="Give sex_one_is='female' or sex_one_is='male'"):
        join_labels(ecgs(*THREE), table, on="file", covariates="Sex")
    with pytest.raises(ValueError, match="'1' in row 0.*Write male and female") as caught:
        join_labels(ecgs(*THREE), table.assign(Sex=[1, 2, 1]), on="file", covariates="Sex")
    assert "sex_one_is" not in str(caught.value)
    for one_is, expected in (("female", [1, 0, 1]), ("male", [0, 1, 0])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            joined = join_labels(
                ecgs(*THREE), table, on="file", covariates="Sex", sex_one_is=one_is
            )
        assert joined.covariates["sex"].tolist() == expected
    with pytest.raises(ValueError, match="'2' in row 1 .*neither 0 nor 1|neither 0 nor 1: '2'"):
        join_labels(
            ecgs(*THREE),
            table.assign(Sex=[1, 2, 1]),
            on="file",
            covariates="Sex",
            sex_one_is="male",
        )


def test_covariates_that_are_not_numbers_or_are_the_target():
    table = frame(file=["r1", "r2"], ef=[30, 50], bnp=["<20", "high"], age=[50, -1], sex=["x", "m"])
    with pytest.raises(ValueError, match="'age' are not ages from 0 to 120 years: '-1' in row 1"):
        join_labels(ecgs(*THREE), table, on="file", covariates=["age"])
    with pytest.raises(
        ValueError, match="'sex' are neither male nor female: 'x' in row 0.*or M and F"
    ):
        join_labels(ecgs(*THREE), table, on="file", covariates=["sex"])
    with pytest.raises(
        ValueError, match="2 cells of the column 'bnp' are not numbers: '<20' in row 0"
    ):
        join_labels(ecgs(*THREE), table, on="file", covariates=["bnp"])
    unnamed = frame(file=["r1", "r2"], Geschlecht=["w", "m"])
    with pytest.raises(ValueError, match="are not numbers.*name it: covariates={'sex': 'Geschl"):
        join_labels(ecgs(*THREE), unnamed, on="file", covariates=["Geschlecht"])
    with pytest.raises(ValueError, match="would see the answer"):
        join_labels(ecgs(*THREE), table, on="file", target="ef<=40", covariates=["ef"])


def test_patients_of_the_table_become_groups_and_contradictions_are_reported():
    bunch = ecgs(*THREE)
    bunch.groups = np.array(["p1", "p1", "p2"], dtype=object)
    same = frame(file=["r1", "r2", "r3"], mrn=["007", "007", "8"])
    assert silent(bunch, same, on="file", patient="mrn").groups.tolist() == ["007", "007", "8"]
    other = frame(file=["r1", "r2", "r3"], mrn=["A", "B", "B"])
    joined, summary = left(bunch, other, on="file", patient="mrn")
    assert joined.groups.tolist() == ["A", "B", "B"]
    assert "Patients of the files that are several patients in the table: 1" in summary
    assert "Patients of the table that are several patients in the files: 1" in summary
    assert silent(bunch, same, on="file").groups.tolist() == ["p1", "p1", "p2"]


def test_columns_of_the_table_come_into_metadata():
    table = frame(
        file=["r3", "r2", "r1"], record=["x", "y", "z"], n=["1", "", "3"], id=["01", "02", "03"]
    )
    metadata = silent(ecgs(*THREE), table, on="file").metadata
    assert metadata["record"].tolist() == ["r1", "r2", "r3"]
    assert metadata["record_table"].tolist() == ["z", "y", "x"]
    assert metadata["n"].tolist()[::2] == [3, 1] and np.isnan(metadata["n"][1])
    assert metadata["id"].tolist() == ["03", "02", "01"]


DAYS = ["2024-03-01", "2024-06-01", "2024-03-01"]


def dated(**more):
    days = [datetime.fromisoformat(f"{day} 10:30") for day in DAYS]
    return ecgs(*THREE, patient=["P1", "P1", "P2"], date=days, **more)


@pytest.mark.parametrize(
    ("direction", "within", "expected"),
    [
        ("nearest", "14 days", {0: 30}),
        ("before", "14 days", {0: 40}),
        ("after", "14 days", {0: 30}),
        ("nearest", "100 days", {0: 30, 1: 60, 2: 20}),
        ("after", "100 days", {0: 30}),
        ("nearest", "2 days", {}),
        ("nearest", None, {}),
    ],
)
def test_the_nearest_row_of_the_same_patient_within_a_window(direction, within, expected):
    table = frame(
        mrn=["P1", "P1", "P1", "P2", "P1", "P3"],
        echo=["20.02.2024", "04.03.2024", "01.05.2024", "01.01.2024", "02.03.2024", "01.03.2024"],
        ef=["40", "30", "60", "20", "", "50"],  # the nearest has no value, so it does not count
    )
    keys = {"patient": "mrn", "date": "echo"}
    arguments = {"on": keys, "target": "ef", "within": within, "direction": direction}
    if not expected:
        with pytest.raises(ValueError, match="none of the rows of 'P1' is (within|of its day)"):
            join_labels(dated(), table, **arguments)
        return
    joined, summary = left(dated(), table, **arguments)
    assert dict(zip(numbers(joined), joined.target.tolist(), strict=True)) == expected
    assert joined.groups.tolist() == [dated().metadata["patient"][n] for n in expected]


def test_rows_on_both_sides_and_rows_of_one_day():
    keys = {"patient": "mrn", "date": "echo"}
    table = frame(mrn=["P1"] * 2, echo=["2024-03-03", "2024-02-28"], ef=[30, 60])
    joined, summary = left(dated(), table, on=keys, target="ef", within="7 days")
    assert joined.target.tolist() == [60] and joined.matches.n_ties == 1
    assert "rows before and after them that are equally near: 1." in summary
    table["echo"] = "2024-03-01"
    with pytest.raises(ValueError, match="contradict each other: ef is '30' and '60'"):
        join_labels(dated(), table, on=keys, target="ef")
    joined, _ = left(dated(), table.assign(ef=[30, 30]), on=keys, target="ef")
    assert numbers(joined) == [0] and joined.matches.n_repeated_rows == 1


def test_a_second_table_adds_covariates_to_a_target():
    names = ["r1", "r2", "r3"]
    study = silent(ecgs(*THREE, lazy=True), frame(file=names, y=[1, 0, 1]), on="file", target="y")
    vendor = pd.DataFrame({"File\nname": names[1:], "P(AF)  [%]": ["12,5", "50"], 7: [1, 2]})
    both, summary = left(study, vendor, on="file name", covariates={"vendor_af": "p(af) [%]"})
    assert both.target.tolist() == [0, 1] and both.target_names == ["y"]
    assert both.data.table["vendor_af"].tolist() == [12.5, 50.0]
    assert both.metadata.columns[-4:].tolist() == ["y", "File name", "P(AF) [%]", "7"]
    assert len(both.left_out) == 2 and study.matches.n_matched == 3


def test_hints_for_patients():
    table = frame(mrn=["p1", "P2"], y=[1, 0])
    joined, summary = left(dated(), table, on={"patient": "mrn"}, target="y")
    assert numbers(joined) == [2] and "ignore=['suffix', 'case'], if that is right: 2" in summary


def test_dates_whose_year_has_two_digits():
    table = frame(mrn="P1", echo=["13.10.21", "3/1/24", "2024-03-01"], y=1)
    with pytest.raises(
        ValueError, match="2 cells .*year has two digits: '13.10.21' in row 0.*four"
    ):
        join_labels(dated(), table, on={"patient": "mrn", "date": "echo"}, target="y")


def test_recordings_without_values_to_compare_are_counted_by_kind():
    bunch = ecgs(
        *(f"r{number}.xml" for number in range(6)),
        patient=[None, None, "P1", "P1", "P2", None],
        date=[datetime(2024, 3, 1), datetime(2024, 3, 1), pd.NaT, datetime(2024, 3, 1)]
        + [datetime(2024, 3, 9), pd.NaT],
    )
    table = frame(mrn=["P1", "P2"], echo=["2024-03-01", "2024-03-09"], ef=[30, 60])
    on = {"patient": "mrn", "date": "echo"}
    joined, summary = left(bunch, table, on=on, target="ef<=40")
    assert numbers(joined) == [3, 4]
    assert "because their metadata has no patient: 2 ('r0', 'r1').\n" in summary
    assert "because their metadata has no date: 1 ('r2').\n" in summary
    assert "because their metadata has no patient and no date: 1 ('r5')." in summary
    with pytest.raises(ValueError) as caught:
        join_labels(bunch, table.assign(echo="2024-03-04"), on=on, target="ef<=40")
    text = str(caught.value)
    assert "recordings have 'P1 2024-03-01 00:00:00' and 'P2 2024-03-09 00:00:00'" in text
    assert "without a value: 2, because their metadata has no patient." in text
    assert "For 2 recordings the table has rows with other dates" in text
    assert text.endswith("give within=, such as within='14 days'.")
    with pytest.raises(ValueError, match="give a wider within="):
        join_labels(bunch, table.assign(echo="2024-03-04"), on=on, within="1 day", target="ef")
    with pytest.raises(ValueError, match="The recordings have no values to compare"):
        join_labels(ecgs("r1", patient=[None]), table, on={"patient": "mrn"}, target="ef")


def test_a_row_of_a_patient_belongs_to_all_its_recordings():
    table = frame(mrn=["P1", "P2"], ef=[30, 60])
    joined = silent(dated(), table, on={"patient": "mrn"}, target="ef<=40")
    assert joined.target.tolist() == [1, 1, 0] and joined.groups.tolist() == ["P1", "P1", "P2"]
    assert "Rows of more than one recording: 1." in joined.matches.summary
    unnamed = dated()
    unnamed.metadata.loc[2, "patient"] = None
    joined, summary = left(unnamed, table, on={"patient": "mrn"}, target="ef")
    assert joined.left_out[-1][1] == "its metadata has no patient"


@pytest.mark.parametrize(
    ("dates", "day"),
    [
        (["2024-03-01", "2024-03-01T10:00:00"], "2024-03-01"),
        (["20240301", "1 Mar 2024"], "2024-03-01"),
        (["1.3.2024", "1.3.2024 9:00"], "2024-03-01"),
        (["03/01/2024", "12/31/2023"], "2024-03-01"),
        (["01/03/2024", "31/12/2023 11:30:00 PM"], "2024-03-01"),
        (["03/01/2024", "03/02/2024"], None),
        (["13/01/2024", "01/13/2024"], None),
        (["45352", "2024-03-01"], None),
        (["2024-02-30", "2024-03-01"], None),
        (["2024-03-01T10:00:00Z", "2024-03-01"], None),
    ],
)
def test_dates(dates, day):
    table = frame(mrn="P1", echo=dates, y=[1, 1])
    keys = {"patient": "mrn", "date": "echo"}
    if day is None:
        with pytest.raises(ValueError, match="not dates with a clear order.*Write dates as 2024"):
            join_labels(dated(), table, on=keys, target="y")
    else:
        assert numbers(left(dated(), table, on=keys, target="y", within="1 day")[0]) == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on": "fil"}, "on='fil' is not a column.*'file', 'y'. The closest is 'file'"),
        ({"on": {}}, "on={} is not allowed"),
        ({"on": {"mrn": "file"}}, "metadata has no column 'mrn'; keys are columns of metadata"),
        ({"target": "x<=3"}, "target='x' is not a column"),
        ({"target": []}, r"target=\[\] is not allowed"),
        ({"target": ["y", "y"]}, "has a label twice"),
        ({"patient": "p"}, "patient='p' is not a column"),
        ({"covariates": ["age"]}, "covariates='age' is not a column"),
        ({"ignore": "ending"}, "ignore='ending' is not allowed; give some of 'suffix'"),
        ({"within": "3 days"}, "need a date in on="),
        ({"direction": "before"}, "need a date in on="),
        ({"within": "14"}, "within='14' is not allowed; give a time such as '14 days'"),
        ({"within": "soon"}, "within='soon' is not allowed"),
        ({"direction": "later"}, "direction"),
        ({"bunch": Bunch(data=np.zeros((1, 12, 9)))}, "bunch has no metadata"),
    ],
)
def test_parameters_that_are_not_allowed(arguments, message):
    given = {"bunch": ecgs("r1"), "table": frame(file=["r1"], y=[1]), "on": "file", **arguments}
    with pytest.raises(ValueError, match=message):
        join_labels(**given)


def test_other_loaders_and_lists(tmp_path):
    for number in range(3):
        write_record(
            tmp_path / "export", f"{number:03d}", random_counts(number, n_samples=60 + number)
        )
    with pytest.warns(UserWarning, match="differ"):
        bunch = load_wfdb(tmp_path / "export")
    joined, _ = left(bunch, frame(f=["export/002.xml", "000"], y=[1, 0]), on="f", target="y")
    assert [record.shape[1] for record in joined.data] == [60, 62]
    assert joined.target.tolist() == [0, 1] and len(bunch.data) == 3
    # The index of PTB-XL's metadata has the names; left_out counts reasons there.
    metadata = pd.DataFrame({"filename_hr": ["a", "b"]}, index=pd.Index([11, 12], name="ecg_id"))
    ptbxl = Bunch(data=make_ecg(2, random_state=0), metadata=metadata, left_out=Bunch(no_file=3))
    joined, _ = left(ptbxl, frame(id=["12"], y=["yes"]), on={"ecg_id": "id"}, target="y")
    assert joined.metadata.index.tolist() == [12] and joined.left_out == {"no_file": 3}
    with pytest.raises(
        ValueError, match="metadata has neither 'record' nor 'path'.*'ecg_id': 'id'"
    ):
        join_labels(ptbxl, frame(id=["12"]), on="id")


def test_exports_of_muse_by_patient_and_date(tmp_path):
    pytest.importorskip("ecgdatakit")
    ecg = make_ecg(1, sampling_rate=500, random_state=0)[0][[0, 1, *range(6, 12)]]
    for number, day in enumerate(["03-14-2013", "06-01-2013"]):
        test = {"AcquisitionDate": day}
        write_muse(tmp_path / f"{number}.xml", ecg, patient={"PatientID": "00042"}, test=test)
    (tmp_path / "echo.csv").write_text("MRN;Echo;LVEF\n00042;20.03.2013;35 %\n42;01.06.2013;60\n")
    with pytest.warns(UserWarning):  # the recordings have the same samples
        bunch = load_ecg(tmp_path, lazy=True)
    keys = {"patient": "MRN", "date": "Echo"}
    joined, summary = left(
        bunch, tmp_path / "echo.csv", on=keys, target="LVEF<=40", within="14 days"
    )
    assert joined.metadata["record"].tolist() == ["0"] and joined.target.tolist() == [1]
    assert joined.data.shape == (1, 12, 5000) and joined.groups.tolist() == ["00042"]
    assert "none of the rows of '00042' is within 14 days of it" in summary


@pytest.mark.real_data
def test_the_table_of_ptbxl_meets_its_files(ptbxl_path):
    table = pd.read_csv(ptbxl_path / "ptbxl_database.csv").iloc[:60]
    files = [ptbxl_path / f"{name}.hea" for name in table["filename_lr"]]
    joined, summary = left(
        load_ecg(files, lazy=True),
        ptbxl_path / "ptbxl_database.csv",
        on="filename_lr",
        patient="patient_id",
        covariates=["age", "sex"],
        sex_one_is="female",
    )
    assert joined.matches.n_matched == 60 and "another" not in summary
    assert joined.groups.astype(int).tolist() == table["patient_id"].astype(int).tolist()
    assert joined.metadata["ecg_id"].tolist() == table["ecg_id"].tolist()
    assert joined.data.table["sex"].tolist() == table["sex"].tolist()
