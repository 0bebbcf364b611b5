"""What all formats that are XML have in common: recognition, encodings, bounds."""

import base64
import sys
import tracemalloc

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._formats import xml_tree
from ecgsk._formats.aecg import HL7aECG
from ecgsk._formats.mortara import MortaraXML
from ecgsk._formats.muse import MuseXML
from ecgsk._formats.philips import PhilipsXML
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import EIGHT_LEADS, write_aecg, write_mortara, write_muse, write_philips

MV = np.random.default_rng(0).normal(0, 0.4, (8, 60))
FORMATS = {
    MuseXML: write_muse,
    PhilipsXML: write_philips,
    HL7aECG: write_aecg,
    MortaraXML: write_mortara,
}
ALL_FORMATS = pytest.mark.parametrize(
    ("format_class", "write"), FORMATS.items(), ids=[kind.__name__ for kind in FORMATS]
)


def decode(path):
    found = find_format(str(path))
    assert found is not None
    return found.decode_file(str(path), ReadOptions())


@ALL_FORMATS
@pytest.mark.parametrize(
    "before",
    [
        "<!-- exported by <RestingECG> and <ECG> -->\n",
        '<?xml-stylesheet type="text/xsl" href="ecg.xsl"?>\n',
        f"<!-- {'x' * 9000} -->\n\n",
        f"<!DOCTYPE any [<!-- {'y' * 5000} --> <!ELEMENT any ANY>]>\n",
        f'<!DOCTYPE any PUBLIC "-//a//b" "{"z" * 5000}.dtd" >',
    ],
    ids=["comment", "style sheet", "long comment", "long document type", "public document type"],
)
def test_the_root_element_decides(tmp_path, format_class, write, before):
    path = tmp_path / "a.bin"
    arguments = {"doctype": ""} if write is write_muse else {}
    write(path, MV, leads=EIGHT_LEADS, before=before, **arguments)
    assert type(find_format(str(path))) is format_class
    assert decode(path)[0].leads == EIGHT_LEADS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<",
        b"<?xml",
        b"<!-- <RestingECG> -->",
        b"<note><RestingECG></RestingECG></note>",
        b"text <RestingECG>",
        b"<RestingECGs>",
        b"\xff\xfe",
        b"\xff\xfe<\0",
        b"<!-- x" + b" " * 10_000,
    ],
)
def test_other_files_are_not_recognized(tmp_path, content):
    (tmp_path / "a.xml").write_bytes(content)
    assert find_format(str(tmp_path / "a.xml")) is None


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("ISO-8859-1", "iso-8859-1"),
        ("ISO-8859-1", "utf-8"),
        ("UTF-8", "cp1252"),
        ("UTF-16", "utf-8"),
        ("utf-8", "utf-16"),
        ("utf-16", "utf-16-le"),
        ("UTF-16", "utf-16-be"),
        ("US-ASCII", "utf-8-sig"),
        ("iso-8859-15", "iso-8859-15"),
        ("windows-1252", "cp1252"),
        ("idna", "cp1252"),
        ("no-such-codec", "utf-8"),
    ],
)
def test_declared_encodings_may_be_wrong(tmp_path, declared, encoding):
    statement = "Längenänderung, übergeleitet à 75/min"
    path = tmp_path / "a.xml"
    write_muse(path, MV, declared=declared, encoding=encoding, statements=[statement])
    assert decode(path)[0].states.statements == (statement,)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_may_be_filled_up_to_a_whole_block(tmp_path, encoding):
    edit = lambda text: text + "\r\n" + "\0" * 500  # noqa: E731
    write_muse(tmp_path / "a.xml", MV, declared=encoding, encoding=encoding, edit=edit)
    assert decode(tmp_path / "a.xml")[0].n_samples == 60


def test_a_document_type_names_a_file_that_is_not_opened(tmp_path):
    missing = '<!DOCTYPE RestingECG SYSTEM "file:///no/such/folder/restecg.dtd">'
    write_muse(tmp_path / "a.xml", MV, doctype=missing)
    assert decode(tmp_path / "a.xml")[0].n_samples == 60


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))


@ALL_FORMATS
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
@pytest.mark.parametrize(
    "declaration",
    [
        f'<!ENTITY l0 "lol">{LAUGHS}',
        '<!ENTITY file SYSTEM "file:///etc/hostname">',
        '<!ENTITY % all SYSTEM "http://127.0.0.1/x.dtd"> %all;',
    ],
    ids=["laughs", "file", "parameter"],
)
def test_entity_declarations_are_refused(tmp_path, format_class, write, declaration, encoding):
    write(tmp_path / "a.xml", MV, leads=EIGHT_LEADS)
    text = xml_tree._decode((tmp_path / "a.xml").read_bytes())
    text = text.replace('<!DOCTYPE RestingECG SYSTEM "restecg.dtd">', "").lstrip()
    text = f"<!DOCTYPE x [{declaration}]>\n{text}"
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    with pytest.raises(RecordError, match="declares entities"):
        decode(tmp_path / "a.xml")


@ALL_FORMATS
@pytest.mark.parametrize(
    ("added", "error"),
    [
        ("<a>" * 600 + "</a>" * 600, "nested too deeply"),
        ("<a>" * 1_000_001 + "</a>" * 1_000_001, "more than 1000000 elements"),
        ("<a/>" * 2_000_001, "more than 1000000 elements"),
        ("<a " + "".join(f' a{i}=""' for i in range(1_000_001)) + "/>", "more than 1000000"),
        ("\0", "not well-formed"),
        ("&nbsp;", "not well-formed"),
        ("<a></b>", "not well-formed"),
    ],
    ids=["deep", "very deep", "wide", "attributes", "NUL", "entity", "tags"],
)
def test_what_no_recording_contains_is_an_error(tmp_path, format_class, write, added, error):
    path = tmp_path / "a.xml"
    write(path, MV, leads=EIGHT_LEADS)
    text = xml_tree._decode(path.read_bytes())
    place = text.rindex("</")
    path.write_text(text[:place] + added + text[place:], encoding="utf-8")
    with pytest.raises(RecordError, match=error):
        decode(path)


@ALL_FORMATS
def test_cut_files_are_an_error(tmp_path, format_class, write):
    write(tmp_path / "a.xml", MV, leads=EIGHT_LEADS)
    content = (tmp_path / "a.xml").read_bytes().rstrip()
    for length in range(300, len(content), max(len(content) // 40, 1)):
        (tmp_path / "b.xml").write_bytes(content[:length])
        found = find_format(str(tmp_path / "b.xml"))
        if found is not None:
            with pytest.raises(RecordError, match="cannot be decoded|is cut"):
                found.decode_file(str(tmp_path / "b.xml"), ReadOptions())


@ALL_FORMATS
def test_no_package_is_needed(tmp_path, monkeypatch, format_class, write):
    arguments = {"form": "XLI"} if write is write_philips else {}
    write(tmp_path / "a.xml", MV, leads=EIGHT_LEADS, **arguments)
    for package in ("ecgdatakit", "defusedxml", "xmltodict"):
        monkeypatch.setitem(sys.modules, package, None)
    assert decode(tmp_path / "a.xml")[1].shape == MV.shape


@ALL_FORMATS
def test_listing_and_reading_agree(tmp_path, format_class, write):
    path = str(tmp_path / "a.xml")
    write(path, MV, leads=EIGHT_LEADS)
    reader, options = format_class(), ReadOptions()
    (listed,) = reader.scan(path, options)
    ecg, signal = reader.decode_file(path, options)
    assert listed == ecg
    wanted = ["V6", "I"]
    np.testing.assert_array_equal(reader.read(listed, wanted, options), signal[[7, 0]])
    write(path, MV[:, :50], leads=EIGHT_LEADS)
    with pytest.raises(RecordError, match="replaced after it had been listed"):
        reader.read(listed, wanted, options)


def test_large_files_are_an_error_before_they_are_read(tmp_path):
    path = tmp_path / "a.xml"
    write_muse(path, MV)
    with open(path, "ab") as stream:
        stream.truncate(33 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="at most 32 MB"):
            decode(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_compressed_samples_do_not_unfold_beyond_what_they_state(tmp_path):
    """LZW makes 700 bytes from each code of ten bits, here 70 MB from 125 kB."""
    codes = [0, *range(256, 1023), *[1022] * 100_000]
    bits = np.array(codes)[:, None] >> np.arange(10)[::-1] & 1
    packed = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
    chunk = len(packed).to_bytes(4, "little") + bytes(4) + packed

    def edit(text):
        head, _, tail = text.partition("</parsedwaveforms>")
        start = head.rindex(">") + 1
        return f"{head[:start]}{base64.b64encode(chunk).decode()}</parsedwaveforms>{tail}"

    write_philips(tmp_path / "a.xml", MV, leads=EIGHT_LEADS, form="XLI", edit=edit)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="more than it states"):
            decode(tmp_path / "a.xml")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.88", 4.88),
        ("4,88", 4.88),
        (" -7 ", -7.0),
        ("+1e3", 1000.0),
        (".5", 0.5),
        ("1_000", None),
        ("1.234,5", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("0x10", None),
        ("9" * 100_000, None),
        ("\u0663", None),
        ("", None),
        (None, None),
    ],
)
def test_numbers(text, value):
    assert xml_tree.number(text) == value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 -2\n3", [1, -2, 3]),
        ("  1.5\t2e3 ", [1.5, 2000]),
        ("9" * 25 + " -" + "9" * 25, [1e25, -1e25]),
        ("", []),
        ("nan 1", [np.nan, 1]),
    ],
)
def test_lists_of_numbers(text, values):
    np.testing.assert_allclose(xml_tree.listed_numbers(text, "lead I"), values)


def test_long_content_is_that_of_its_element(tmp_path):
    """It is set aside while the rest is parsed, which must not move or change it."""
    words = [letter * 1500 for letter in "abcd"]
    text = (
        f"<r><!-- <x>{words[0]} --><one> {words[1]} </one><![CDATA[<x>{words[0]}]]>"
        f"<two a='>'>{words[2]}&amp;</two><three>{words[3]}<four/>{words[0]}</three></r>"
    )
    root = xml_tree.parse_tree(text)
    found = [xml_tree.text_of(root, name) for name in ("one", "two", "three")]
    assert found == [words[1], words[2] + "&", words[3] + words[0]]
    root = xml_tree.parse_tree(f"<r><one>\ue0000</one><two>{words[1]}</two></r>")
    assert xml_tree.text_of(root, "one") == "\ue0000"
