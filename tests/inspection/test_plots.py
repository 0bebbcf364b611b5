import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from ecgsk import STANDARD_LEADS
from ecgsk.inspection import EBMTermsDisplay, ECGDisplay
from ecgsk.preprocessing import SelectLeads


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def signal():
    return np.random.default_rng(0).normal(0, 0.2, size=(12, 5000))


def traces(ax, lead):
    """Return (x, y) of a lead's traces in mm, with y from the first sample's."""
    lines = [line for line in ax.get_lines() if line.get_label() == lead]
    return [line.get_data() for line in lines]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_clinical_layout(signal):
    ax = ECGDisplay.from_record(signal, title="Ms X").ax_
    rows = [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"]]
    assert words(ax) == [*(lead for row in rows for lead in row), "II", "Ms X",
                         "25 mm/s   10 mm/mV   500 Hz"]  # fmt: skip
    assert sum(line.get_label() == "1 mV" for line in ax.get_lines()) == 4
    baselines = []
    for row in rows:
        for column, lead in enumerate(row):
            x, y = traces(ax, lead)[0]
            # 2.5 s a column; a sample more joins it to the next.
            shown = np.arange(1250 * column, min(1250 * (column + 1) + 1, 5000))
            assert_allclose(x - traces(ax, "I")[0][0][0], shown / 500 * 25)
            recorded = signal[STANDARD_LEADS.index(lead), shown]
            assert_allclose(y - y[0], 10 * (recorded - recorded[0]), atol=1e-9)
            baselines.append(y[0] - 10 * recorded[0])
    assert_allclose(np.diff(np.reshape(baselines, (3, 4)), axis=1), 0, atol=1e-9)
    assert_allclose(np.diff(baselines[::4]), -30)
    rhythm = traces(ax, "II")[1]
    assert len(rhythm[0]) == 5000 and np.ptp(rhythm[0]) == pytest.approx(4999 / 500 * 25)
    assert_allclose(rhythm[1], baselines[8] - 30 + 10 * signal[1])


def test_leads_in_another_order_are_drawn_in_their_places(signal):
    turned = ECGDisplay.from_record(
        signal[::-1], leads=[lead.upper() for lead in STANDARD_LEADS[::-1]]
    ).ax_
    for lead in STANDARD_LEADS:
        assert_array_equal(
            traces(turned, lead)[0], traces(ECGDisplay.from_record(signal).ax_, lead)[0]
        )


def test_a_row_for_each_lead(signal):
    chosen = SelectLeads(["V1", "II"]).transform(signal[np.newaxis])[0]
    ax = ECGDisplay.from_record(chosen, leads=["V1", "II"], layout="12x1").ax_
    assert words(ax)[:2] == ["V1", "II"]
    for row, lead in enumerate(["V1", "II"]):
        ((x, y),) = traces(ax, lead)
        assert_allclose(x - x[0], np.arange(5000) / 20)
        assert_allclose(y - traces(ax, "V1")[0][1][0], 10 * (chosen[row] - chosen[0, 0]) - 20 * row,
                        atol=1e-5)  # fmt: skip


def test_speed_gain_and_rate(signal):
    ax = ECGDisplay.from_record(
        signal[:, :2000], sampling_rate=200, speed=50, gain=5, layout="12x1"
    ).ax_
    x, y = traces(ax, "V3")[0]
    assert np.ptp(x) == pytest.approx(1999 / 200 * 50)
    assert_allclose(np.diff(y), 5 * np.diff(signal[8, :2000]))
    assert words(ax)[-1] == "50 mm/s   5 mm/mV   200 Hz"


@pytest.mark.parametrize("layout", ["3x4+1", "12x1"])
def test_paper(signal, layout):
    ax = ECGDisplay.from_record(signal, layout=layout).ax_
    figure = ax.figure
    figure.canvas.draw()
    # True size: a mm of the drawing is a mm of the figure, in both directions.
    corner, unit = ax.transData.transform([(0, 0), (25.4, 25.4)])
    assert_allclose(unit - corner, figure.dpi, rtol=1e-6)
    thin, thick = (c for c in ax.collections if isinstance(c, LineCollection))
    for lines, spacing in ((thin, 1), (thick, 5)):
        upright = [s[0, 0] for s in lines.get_segments() if s[0, 0] == s[1, 0]]
        level = [s[0, 1] for s in lines.get_segments() if s[0, 1] == s[1, 1]]
        assert_allclose(np.diff(upright), spacing)
        assert_allclose(np.diff(level), spacing)
        assert (upright[0], upright[-1], level[-1]) == (0, ax.get_xlim()[1], ax.get_ylim()[1])
    for pulse in (line for line in ax.get_lines() if line.get_label() == "1 mV"):
        x, y = pulse.get_data()
        assert np.ptp(y) == 10 and np.ptp(x[y == y.max()]) == 5
        # Zero mV and 1 mV lie on thick lines.
        assert_allclose(np.unique(y) % 5, 0)


def test_nothing_leaves_the_page(signal):
    ax = ECGDisplay.from_record(1000 * signal).ax_
    assert all(line.get_clip_on() for line in ax.get_lines())
    width, height = ax.get_xlim()[1], ax.get_ylim()[1]
    assert height == ECGDisplay.from_record(0 * signal).ax_.get_ylim()[1] == 145
    for x, _ in (line.get_data() for line in ax.get_lines()):
        assert 0 <= np.min(x) and np.max(x) <= width


def test_long_recording_is_reduced_in_proportion():
    ax = ECGDisplay.from_record(np.zeros((1, 60000)), leads=["II"], layout="12x1").ax_
    width, height = ax.figure.get_size_inches()
    assert width == pytest.approx(400 / 25.4)
    assert width / height == pytest.approx(ax.get_xlim()[1] / ax.get_ylim()[1])
    assert len([c for c in ax.collections if isinstance(c, LineCollection)]) == 1


def test_draws_on_given_axes_without_a_new_figure(signal):
    figure, (left, right) = plt.subplots(1, 2)
    assert ECGDisplay.from_record(signal, ax=right).ax_ is right
    assert plt.get_fignums() == [figure.number] and not left.get_lines()
    assert right.get_aspect() == 1


def test_holes_are_gaps_and_the_input_stays(signal):
    signal[2, 5:8] = [np.nan, np.inf, -np.inf]
    before = signal.copy()
    y = traces(ECGDisplay.from_record(signal).ax_, "III")[0][1]
    assert_array_equal(np.flatnonzero(np.isnan(y)), [5, 6, 7])
    assert_array_equal(signal, before)


def shaded(ax):
    patches = [p for p in ax.patches if isinstance(p, Rectangle)]
    return [(p.get_x(), p.get_width(), p.get_y(), p.get_height()) for p in patches]


def test_highlight(signal):
    start = traces(ECGDisplay.from_record(signal).ax_, "I")[0][0][0]
    # All leads that are on paper from 1 to 2 s: the first column and the rhythm strip.
    everywhere = shaded(ECGDisplay.from_record(signal, highlight=[(1, 2)]).ax_)
    assert len(everywhere) == 4
    assert_allclose([box[:2] for box in everywhere], [(start + 25, 25)] * 4)
    # A span across columns is cut; V1 is on paper from 5 to 7.5 s.
    ((x, width, y, height),) = shaded(ECGDisplay.from_record(signal, highlight=[(7, 9, "v1")]).ax_)
    assert (x, width, height) == (start + 175, 12.5, 30)
    assert shaded(ECGDisplay.from_record(signal, highlight=[(1, 2, "V1")]).ax_) == []
    assert len(shaded(ECGDisplay.from_record(signal, highlight=[(0, 99)], layout="12x1").ax_)) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": np.zeros((2, 12, 100))}, r"shape \(2, 12, 100\); expected \(n_leads"),
        ({"record": np.zeros((12, 0))}, r"shape \(12, 0\)"),
        ({"record": np.zeros((8, 100))}, "8 leads, but leads names 12"),
        ({"record": np.full((12, 9), "a")}, "expected real numbers"),
        ({"layout": "4x3"}, "layout='4x3' is not allowed"),
        ({"leads": ["MLII", *STANDARD_LEADS[1:]]}, "needs the twelve standard leads"),
        ({"sampling_rate": 0}, "sampling_rate=0 must be a positive"),
        ({"speed": np.inf}, "speed=inf must be a positive"),
        ({"gain": -1}, "gain=-1 must be a positive"),
        ({"highlight": [(1,)]}, "highlight holds"),
        ({"highlight": [(2, 1)]}, "highlight holds"),
        ({"highlight": [(11, 12)]}, "within the recording's 10 s"),
        ({"highlight": [(1, 2, "V7")]}, "highlight holds"),
        ({"highlight": [3]}, "highlight holds"),
    ],
)
def test_ecg_messages(change, message, signal):
    with pytest.raises(ValueError, match=message):
        ECGDisplay.from_record(**{"record": signal, **change})
    assert plt.get_fignums() == []


@pytest.mark.real_data
def test_real_recording(ptbxl_path):
    wfdb = pytest.importorskip("wfdb")
    header = sorted(ptbxl_path.glob("records100/*/*_lr.hea"))[0]
    record = wfdb.rdrecord(str(header.with_suffix("")))
    ax = ECGDisplay.from_record(
        record.p_signal.T, sampling_rate=record.fs, leads=record.sig_name
    ).ax_
    ax.figure.canvas.draw()
    x, y = traces(ax, "aVF")[0]
    assert_allclose(np.diff(y), 10 * np.diff(record.p_signal[250:501, 5]), atol=1e-9)


@pytest.fixture(scope="module")
def ebm():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "LBBB": rng.random(600),
            "age": rng.normal(60, 10, 600),
            "sex": rng.choice(["female", "male"], 600),
        }
    )
    y = 6 * (X["LBBB"] > 0.5) + 0.05 * (X["age"] - 60) + (X["sex"] == "male") > 3.5
    X.loc[:20, "age"] = np.nan
    model = ExplainableBoostingClassifier(
        interactions=[("LBBB", "age"), ("age", "sex")], outer_bags=3, max_rounds=100, n_jobs=1,
        random_state=0,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="Missing values detected"):
        return model.fit(X, np.where(y, "low", "normal"))


def panel(figure, name):
    """Return the axes of a term's curve and of the density beneath it."""
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]
    position = labels.index((name, ""))
    return figure.axes[position - 1], figure.axes[position]


def test_importances_fall_from_the_top(ebm):
    figure = EBMTermsDisplay.from_estimator(ebm).figure_
    bars = figure.axes[0]
    widths = [bar.get_width() for bar in bars.patches]
    assert_allclose(widths, sorted(ebm.term_importances(), reverse=True))
    shown = [label.get_text() for label in bars.get_yticklabels()]
    assert sorted(shown) == sorted(ebm.term_names_) and shown[0] == "LBBB"
    tops = [bar.get_y() for bar in bars.patches]
    assert tops == sorted(tops) and bars.yaxis_inverted()
    assert len(EBMTermsDisplay.from_estimator(ebm, n_terms=2).figure_.axes[0].patches) == 2


@pytest.mark.parametrize("name", ["LBBB", "age"])
def test_curve_is_the_models(ebm, name):
    curve, density = panel(EBMTermsDisplay.from_estimator(ebm, share_y=False).figure_, name)
    term = ebm.term_names_.index(name)
    scores, deviations = ebm.term_scores_[term], ebm.standard_deviations_[term]
    line = next(line for line in curve.get_lines() if line.get_drawstyle() == "steps-post")
    x, y = line.get_data()
    # The first bin is for missing values, the last for unknown categories.
    assert_allclose(y[:-1], scores[1:-1])
    assert_allclose(x[1:-1], ebm.bins_[term][0])
    outline = curve.collections[0].get_paths()[0].vertices[:, 1]
    assert outline.max() == pytest.approx((scores + deviations)[1:-1].max())
    assert outline.min() == pytest.approx((scores - deviations)[1:-1].min())
    n_missing = 21 if name == "age" else 0
    assert sum(bar.get_height() for bar in density.patches) == 600 - n_missing
    assert curve.get_xlim() == density.get_xlim()


def test_missing_is_noted_where_there_was_any(ebm):
    figure = EBMTermsDisplay.from_estimator(ebm).figure_
    assert not panel(figure, "LBBB")[0].texts
    (note,) = panel(figure, "age")[0].texts
    value = float(note.get_text().removeprefix("missing: ").replace("\N{MINUS SIGN}", "-"))
    assert value == pytest.approx(ebm.term_scores_[ebm.term_names_.index("age")][0], abs=0.005)


def test_categories_are_points(ebm):
    curve, density = panel(EBMTermsDisplay.from_estimator(ebm).figure_, "sex")
    points = next(line for line in curve.get_lines() if line.get_marker() == "o")
    assert_allclose(points.get_ydata(), ebm.term_scores_[ebm.term_names_.index("sex")][1:-1])
    assert [label.get_text() for label in density.get_xticklabels()] == ["female", "male"]


def test_pairs_are_maps(ebm):
    figure = EBMTermsDisplay.from_estimator(ebm).figure_
    maps = {
        (ax.get_xlabel(), ax.get_ylabel()): ax
        for ax in figure.axes
        if ax.get_ylabel() in ("age", "sex")
    }
    for (left, right), ax in maps.items():
        scores = ebm.term_scores_[ebm.term_names_.index(f"{left} & {right}")][1:-1, 1:-1]
        mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
        assert_allclose(np.asarray(mesh.get_array()).ravel(), scores.T.ravel())
        low, high = mesh.get_clim()
        assert low == -high == -abs(scores).max()
    assert set(maps) == {("LBBB", "age"), ("age", "sex")}
    labels = maps["age", "sex"].get_yticklabels()
    assert [label.get_text() for label in labels] == ["female", "male"]


def test_shared_scale(ebm):
    shared = EBMTermsDisplay.from_estimator(ebm).figure_
    limits = {panel(shared, name)[0].get_ylim() for name in ("LBBB", "age", "sex")}
    assert len(limits) == 1
    own = EBMTermsDisplay.from_estimator(ebm, share_y=False).figure_
    assert panel(own, "sex")[0].get_ylim() != panel(own, "LBBB")[0].get_ylim()


def test_panels_are_of_one_size_and_do_not_overlap(ebm):
    figure = EBMTermsDisplay.from_estimator(ebm).figure_
    curves = [panel(figure, name)[0].get_position() for name in ("LBBB", "age", "sex")]
    assert_allclose(np.diff([box.size for box in curves], axis=0), 0, atol=1e-9)
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes[1:]]
    assert not any(figure.axes[0].get_tightbbox().overlaps(box) for box in boxes)


def test_draws_in_the_place_of_given_axes(ebm):
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6))
    display = EBMTermsDisplay.from_estimator(ebm, n_terms=2, ax=right)
    assert display.figure_ is figure and plt.get_fignums() == [figure.number]
    assert left.axison and not right.axison
    assert all(ax.get_window_extent().x0 >= figure.bbox.width / 2 for ax in display.axes_)
    with pytest.raises(ValueError, match="ax is not part of a grid"):
        EBMTermsDisplay.from_estimator(ebm, ax=figure.add_axes((0, 0, 1, 1)))


def test_a_display_is_drawn_again_on_other_axes(signal):
    display = ECGDisplay.from_record(signal, title="Ms X")
    first = display.ax_
    assert display.plot(title="Mr Y") is display and display.ax_ is not first
    assert display.figure_ is display.ax_.figure
    one, other = ([line.get_ydata() for line in ax.get_lines()] for ax in (first, display.ax_))
    for line, again in zip(one, other, strict=True):
        assert_array_equal(line, again)


def test_ebm_messages(ebm):
    with pytest.raises(ValueError, match="n_terms=0 must be at least 1"):
        EBMTermsDisplay.from_estimator(ebm, n_terms=0)
    with pytest.raises(NotFittedError):
        EBMTermsDisplay.from_estimator(ExplainableBoostingClassifier())
    with pytest.raises(TypeError, match="ebm is a Figure; expected interpret's"):
        EBMTermsDisplay.from_estimator(plt.figure())
    X = np.arange(90.0)[:, np.newaxis]
    three = ExplainableBoostingClassifier(interactions=0, outer_bags=1, max_rounds=5, n_jobs=1)
    with pytest.raises(ValueError, match="ebm has 3 classes; expected a classifier of two"):
        EBMTermsDisplay.from_estimator(three.fit(X, np.arange(90) // 30))
