"""What every format of devices has to refuse."""

import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests.fuzz import _format_seeds as seeds

pytest.importorskip("ecgdatakit")


@pytest.mark.parametrize(
    ("origin", "old", "new", "reason"),
    [
        ("muse", "PerBit>5<", "PerBit>1e-308<", "gain of lead I is not possible"),
        ("mortara", 'UNITS_PER_MV="200"', 'UNITS_PER_MV="1e-20"', "gain of lead I is not possible"),
        ("aecg", f"<digits>{seeds.counts()[0, 0]} ", "<digits>inf ", "infinite samples"),
        ("philips", "</rest", "<a>" * 5000 + "</a>" * 5000 + "</rest", "nested too deeply"),
    ],
)
def test_what_no_device_writes_is_refused(tmp_path, origin, old, new, reason):
    text = seeds.originals()[origin].decode()
    assert old in text
    path = tmp_path / "x.xml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecordError, match=reason):
        find_format(str(path)).decode_file(str(path), ReadOptions())
