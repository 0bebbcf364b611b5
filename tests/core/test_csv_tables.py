"""Tables as spreadsheets save them."""

import numpy as np
import pandas as pd
import pytest

from ecgsk._core.csv_tables import read_csv

COLUMNS = ["id", "name", "codes", "age"]
TABLE = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["Müller; A, B", "Ødegård", None],
        "codes": ["{'NORM': 100.0, 'SR': 0.0}", "{}", "{'PVC': 1.0}"],
        "age": [56.0, 19.5, np.nan],
    }
)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"],
)
def test_separators_and_encodings(tmp_path, separator, encoding):
    text = TABLE.to_csv(index=False, sep=separator)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", COLUMNS), TABLE)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["", "sep=;"])
def test_decimal_commas_line_ends_and_hints(tmp_path, end, first):
    text = TABLE.to_csv(index=False, sep=";", decimal=",", lineterminator=end)
    if first and end == "\r":
        return
    text = f"{first}{end}{text}" if first else text
    (tmp_path / "t.csv").write_bytes(text.encode("cp1252"))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", COLUMNS), TABLE)


def test_text_with_commas_stays_text(tmp_path):
    table = pd.DataFrame({"id": ["1,2", "a"], "name": ["1, 2", "3"]})
    table.to_csv(tmp_path / "t.csv", sep=";", index=False)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", COLUMNS), table)
    whole = pd.DataFrame({"id": ["1,2", "3,4"], "name": ["a", "b"]})
    whole.to_csv(tmp_path / "t.csv", index=False)  # with commas between columns, none is decimal
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", COLUMNS), whole)


def test_empty_rows_are_no_records(tmp_path):
    text = TABLE.to_csv(index=False, sep=";").replace("2;", ";;;\r\n2;") + ";;;\r\n;;;\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))
    found = read_csv(tmp_path / "t.csv", COLUMNS)
    pd.testing.assert_frame_equal(found, TABLE, check_dtype=False)


def test_blanks_around_names_are_not_part_of_them(tmp_path):
    (tmp_path / "t.csv").write_text("id ; name\n1;a\n")
    assert read_csv(tmp_path / "t.csv", COLUMNS).columns.tolist() == ["id", "name"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "none of the columns id, name"),
        (b"x,y\n1,2\n", "none of the columns id, name, codes, age; it begins 'x,y'"),
        (b"id,name\n1,2,3\n1,2,3,4\n", "cannot be read as CSV: Error tokenizing"),
        (b"id,name\n1,{'A': 1, 'B': 2}\n2,{'A': 1, 'B': 2}\n", "Length of header"),
        (b"\xff\xfei\x00d", "cannot be read as CSV"),
        (b"PK\x03\x04 and so on", "is a workbook of a spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook of a spreadsheet"),
        (b"id\x00\x00\x00,\x00name", "cannot be read as CSV"),
    ],
)
def test_what_is_no_table_is_named_with_the_remedy(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_csv(tmp_path / "t.csv", COLUMNS)
    assert "t.csv" in str(caught.value) and "Save it as CSV with commas" in str(caught.value)
