"""The report: every figure is what its call gives, and it can be read in a browser and on paper."""

import re
from html.parser import HTMLParser
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgsk import RecordArray, inspection, make_lef_classifier, make_lef_cohort, metrics, tabular
from ecgsk._cli.main import main
from ecgsk.datasets import load_echonext, make_echonext
from ecgsk.inspection import describe_cohort, make_report
from ecgsk.persistence import save
from tests._browser import open_browser

# Together they take longer than all else that `make test-fast` runs.
pytestmark = pytest.mark.slow

NASTY = 'Dr. <script>alert("x")</script> & "Co"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    make_echonext(folder / "echonext", 300, random_state=0)
    return folder


@pytest.fixture(scope="module")
def cohort(folder):
    """Return train and no_split, of which the latter is large enough here for an evaluation."""
    train = load_echonext(folder / "echonext", split="train")
    other = load_echonext(folder / "echonext", split="no_split", allow_no_split=True)
    return train, other


@pytest.fixture(scope="module")
def model(folder, cohort):
    train, _ = cohort
    model = make_lef_classifier(covariates=["age", "sex"], n_jobs=1, random_state=0)
    model.set_params(classifier__outer_bags=3, classifier__max_rounds=300)
    model.fit(train.data, train.target, classifier__groups=train.groups)
    save(model, folder / "model.ecgsk")
    joblib.dump(model, folder / "model.joblib")
    return model


@pytest.fixture(scope="module")
def report(folder, cohort, model):
    train, other = cohort
    return make_report(
        folder / "report.html",
        model,
        other.data,
        other.target,
        data="made-up records in EchoNext's layout",
        groups=other.groups,
        validation=(train.data[:120], train.target[:120]),
        records=[0, 3],
        record_names=[NASTY] + [f"ECG {i}" for i in range(1, len(other.target))],
        about={"Trained on": "other made-up records"},
        synthetic=True,
        n_resamples=50,
        n_lead_records=4,
    )


# Attributes that hold an address.
_FETCHING = {
    "action",
    "background",
    "cite",
    "data",
    "href",
    "poster",
    "src",
    "srcset",
    "xlink:href",
}


class Reader(HTMLParser):
    """Collects tags, texts and what is outside the file."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts, self.calls = [], [], [], []
        self.attributes, self.relations = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in _FETCHING]
        self.relations += [value for name, value in attrs if name == "rel"]

    def handle_data(self, data):
        self.texts.append(data)
        if self.tags and self.tags[-1] == "code":
            self.calls.append(data)
            self.tags.append("")


@pytest.fixture(scope="module")
def page(report):
    return Reader(Path(report.path).read_text())


@pytest.mark.slow
def test_every_call_that_is_shown_can_be_made_again(report, page):
    """With the names that the report explains, and the public functions."""
    public = {
        name: getattr(room, name)
        for room in (metrics, tabular, inspection)
        for name in room.__all__
    }
    calls = [text for text in page.calls if "(" in text]
    assert set(calls) == set(report.results)
    assert len(calls) > 25
    for text in calls:
        if "Display." in text:
            continue
        again, was = eval(text, public, dict(report.variables)), report.results[text]
        if hasattr(was, "table"):
            again, was = again.table, was.table
        if isinstance(was, pd.DataFrame):
            pd.testing.assert_frame_equal(again, was, check_exact=False)
        elif isinstance(was, tuple):
            np.testing.assert_allclose(again.values, was.values)
        else:
            assert again == was


@pytest.mark.slow
def test_the_metrics_are_those_of_the_model(report, cohort, model, page):
    _, other = cohort
    p = model.predict_proba(other.data)[:, 1]
    np.testing.assert_allclose(report.probability, p, atol=1e-6)
    area = roc_auc_score(other.target, p)
    result = next(v for k, v in report.results.items() if k.startswith("evaluate_binary"))
    assert result.table.loc["AUROC", "value"] == pytest.approx(area, abs=1e-6)
    assert f"{area:.3f}" in page.texts
    assert f"{len(p):,}" in page.texts
    assert f"Probability of low ejection fraction: {p[0]:.3f}" in " ".join(page.texts)


@pytest.mark.slow
def test_it_names_its_purpose_and_its_data(page):
    text = " ".join(page.texts)
    assert "not a medical device" in text
    assert "Synthetic data: no patients" in text
    assert "Measured on: made-up records in EchoNext's layout." in text
    assert "normal ECG" in page.texts  # what NORM means
    for part in ("Cohort", "Thresholds", "Subgroups", "Leads", "Model card"):
        assert part in text


@pytest.mark.slow
def test_nothing_is_fetched_and_nothing_runs(page, report):
    running = {"script", "iframe", "frame", "object", "embed", "applet", "base", "form"}
    text = Path(report.path).read_text()
    assert not running & set(page.tags)
    # Nor may a browser, should an attack get past the escaping.
    assert "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in text
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.links and all(link.startswith(("data:", "#")) for link in page.links)
    # The only link is an empty icon, which keeps browsers from fetching one.
    assert page.tags.count("link") == 1 and page.relations == ["icon"]
    assert "@import" not in text and not re.search(r"url\((?!['\"]?(data:|#))", text)
    assert NASTY in page.texts[page.texts.index(f"Patient: {NASTY}")]
    assert "<script>" not in text


@pytest.mark.slow
def test_in_a_browser(report, tmp_path):
    """No message on the console, no sideways scrolling on a phone, some A4 pages on paper."""
    with open_browser() as browser:
        browser("POST", "/url", url=Path(report.path).resolve().as_uri())
        assert browser.messages() == []
        broken = browser.run(
            "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        )
        assert broken == 0
        for width in (390, 820, 1280):
            browser.resize(width, 844)
            wide = browser.run("return document.documentElement.scrollWidth")
            assert wide <= width
            small = browser.run(
                "return [...document.querySelectorAll('p, td, th, figcaption')].filter("
                "e => parseFloat(getComputedStyle(e).fontSize) < 12.5).length"
            )
            assert small == 0
            # A figure that was shrunk below what it was drawn for could not be read.
            images = browser.run("return [...document.images].map(i => i.clientWidth)")
            assert min(images) >= min(640, width - 40)
            shot = browser.screenshot()
            assert shot.startswith(b"\x89PNG") and len(shot) > 20_000
        paper = browser.print(21.0, 29.7)
        assert paper.startswith(b"%PDF")
        assert 5 < len(re.findall(rb"/Type\s*/Page\b", paper)) < 25


def test_on_single_patients(folder, cohort, model):
    _, other = cohort
    out = make_report(folder / "one.html", model, other.data[:1], data="one record")
    text = " ".join(Reader(Path(out.path).read_text()).texts)
    assert "The condition of these records is not known" in text
    assert "Patient: record 0" in text and "AUROC" not in text
    assert out.threshold == 0.5


def test_models_without_curves_are_reported_on_as_well(folder):
    cohort = make_lef_cohort(80, sampling_rate=250, random_state=0)
    model = make_lef_classifier(classifier=LogisticRegression(C=0.01, max_iter=300))
    model.fit(cohort.data, cohort.target)
    out = make_report(
        folder / "plain.html", model, cohort.data, cohort.target, data="x", n_resamples=20
    )
    text = Path(out.path).read_text()
    assert "LogisticRegression, not an explainable boosting machine" in text
    assert any(call.startswith("screen_predictors") for call in out.results)
    assert "Fixed beforehand" in text


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": np.ones(40, dtype=int)}, "y holds one class only .1."),
        ({"y": np.full(40, 2)}, "y holds .2.; expected 0 and 1"),
        ({"y": [0, 1]}, "y has shape .2,. for 40 records"),
        ({"data": " "}, "data is empty"),
        ({"records": [40]}, "records holds 40; use places in X, from 0 to 39"),
        ({"records": range(30)}, "30 records would get a part .* at most 20"),
        ({"validation": (np.zeros((3, 12, 1000)), [0, 0, 0])}, "validation holds one class"),
    ],
)
def test_messages_of_invalid_arguments(folder, change, match):
    cohort = make_lef_cohort(40, random_state=0)
    model = make_lef_classifier(sampling_rate=100, classifier="logistic")
    model.fit(cohort.data, cohort.target)
    params = {"y": cohort.target, "data": "x", "sampling_rate": 100} | change
    path = folder / "never.html"
    with pytest.raises(ValueError, match=match):
        make_report(path, model, cohort.data, params.pop("y"), **params)
    assert not path.exists()


def test_a_cohort_is_described():
    by = pd.DataFrame({"age": np.arange(40.0), "sex": ["F", "M"] * 20, "site": [1, None] * 20})
    y = np.arange(40) >= 30
    table = describe_cohort(y, by, groups=np.arange(40) // 2)
    assert table.loc["records"].tolist() == ["40", "30", "10"]
    assert table.loc["patients"].tolist() == ["20", "15", "5"]
    assert table.loc["age, median (quartiles)", "yes"] == "34.5 (32.25 to 36.75)"
    assert table.loc["sex: F", "yes"] == "5 (50.0%)"
    assert table.loc["site missing", "all"] == "20 (50.0%)"
    with pytest.raises(ValueError, match="nothing to describe"):
        describe_cohort()


def test_the_command_on_a_cohort(folder, model, capsys):
    keys = load_echonext(folder / "echonext", split="test").metadata["ecg_key"]
    status = main(
        ["report", str(folder / "model.ecgsk"), "--echonext", str(folder / "echonext")]
        + ["--out", str(folder / "command.html"), "--resamples", "20"]
        + ["--patients", str(keys.iloc[0])]
    )
    assert status == 0, capsys.readouterr().err
    text = (folder / "command.html").read_text()
    assert "Synthetic data" in text and f"Patient: ECG {keys.iloc[0]}" in text
    assert "ejection fraction of at most 45 %" in text


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["MODEL", "--echonext", "nowhere"], "nowhere"),
        (["nothing.ecgsk", "--echonext", "DATA"], "nothing.ecgsk"),
        (["NOT", "--echonext", "DATA", "--allow-pickle"], "not a file of joblib or pickle"),
        (["PICKLE", "--echonext", "DATA"], "--allow-pickle loads it"),
        (["MODEL", "--echonext", "DATA", "--validation", "test"], "is also --split"),
        (["MODEL", "--echonext", "DATA", "--split", "no_split"], "no_split"),
        (["MODEL", "--echonext", "DATA", "--patients", "7"], "7 is not an ecg_key of the split"),
        (["MODEL", "--echonext", "DATA", "--target", "ef"], "ef"),
    ],
)
def test_messages_of_the_command(folder, model, words, match, capsys):
    (folder / "not.joblib").write_text("something else")
    names = {
        "MODEL": str(folder / "model.ecgsk"),
        "PICKLE": str(folder / "model.joblib"),
        "DATA": str(folder / "echonext"),
        "NOT": str(folder / "not.joblib"),
    }
    out = folder / "wrong.html"
    assert main(["report", *(names.get(word, word) for word in words), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ecgsk report: ") and re.search(match, said)
    assert "Traceback" not in said and not out.exists()


@pytest.mark.real_data
def test_the_command_on_files_of_patients(folder, model, cinc_path, capsys):
    files = sorted(str(path) for path in cinc_path.glob("*.hea"))[:2]
    out = folder / "files.html"
    status = main(
        ["report", str(folder / "model.joblib"), "--allow-pickle"]
        + ["--out", str(out), "--ecg", *files]
    )
    assert status == 0, capsys.readouterr().err
    text = out.read_text()
    assert text.count("Patient: ") >= 2 and "preprocessing: MedianBaseline" in text


def test_records_need_their_table(folder, cohort, model):
    _, other = cohort
    bare = RecordArray(other.data.read, other.data.shape)
    with pytest.raises(ValueError, match="only recordings, but age, sex is needed"):
        make_report(folder / "bare.html", model, bare, other.target, data="x")
