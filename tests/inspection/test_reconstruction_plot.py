import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal

from ecgsk import STANDARD_LEADS
from ecgsk.inspection import ReconstructionDisplay

# At 100 Hz: from the start, in the midst, and to the end.
SPANS = [(0.0, 0.2), (3.0, 3.5), (9.8, 10.0)]
SEEN, HIDDEN, FILLED = (
    "recorded, seen by the network",
    "recorded, hidden from the network",
    "filled in by the network",
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    record = rng.normal(0, 0.2, size=(12, 1000))
    mask = np.zeros(1000, dtype=bool)
    for start, stop in SPANS:
        mask[round(100 * start) : round(100 * stop)] = True
    # Other values everywhere, so that a filling drawn where it should not be is seen.
    return {"record": record, "filled": record + 5, "mask": mask, "sampling_rate": 100}


def line(ax, label):
    (found,) = (line for line in ax.get_lines() if line.get_label() == label)
    return found


def shaded(ax):
    return [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]


def test_a_row_for_each_lead_shown(parts):
    axes = ReconstructionDisplay.from_result(**parts).axes_
    assert isinstance(axes, np.ndarray) and axes.shape == (3,)
    assert list(axes[0].figure.axes) == list(axes)
    assert [ax.get_ylabel() for ax in axes] == ["II, mV", "V2, mV", "V5, mV"]
    assert [ax.get_xlabel() for ax in axes] == ["", "", "Time, s"]
    tops = [ax.get_position().y1 for ax in axes]
    assert tops == sorted(tops, reverse=True)
    everything = ReconstructionDisplay.from_result(**parts, shown=None).axes_
    assert [ax.get_ylabel() for ax in everything] == [f"{lead}, mV" for lead in STANDARD_LEADS]


def test_filling_is_drawn_in_masked_spans_only(parts):
    for ax, row in zip(ReconstructionDisplay.from_result(**parts).axes_, [1, 7, 10], strict=True):
        x, y = line(ax, FILLED).get_data()
        assert_allclose(x, np.arange(1000) / 100)
        assert_array_equal(np.isfinite(y), parts["mask"])
        assert_array_equal(y[parts["mask"]], parts["filled"][row, parts["mask"]])


def test_recording_is_drawn_throughout_seen_and_hidden(parts):
    ax = ReconstructionDisplay.from_result(**parts, shown=["V2"]).axes_[0]
    seen, hidden = (line(ax, label).get_ydata() for label in (SEEN, HIDDEN))
    assert_array_equal(np.isfinite(seen), ~parts["mask"])
    assert_array_equal(seen[~parts["mask"]], parts["record"][7, ~parts["mask"]])
    # Hidden parts reach one sample into what was seen, so that no gap is left between them.
    expected = np.zeros(1000, dtype=bool)
    for edges in ((0, 21), (299, 351), (979, 1000)):
        expected[slice(*edges)] = True
    assert_array_equal(np.isfinite(hidden), expected)
    assert_array_equal(hidden[expected], parts["record"][7, expected])
    colors = {to_hex(line(ax, label).get_color()) for label in (SEEN, HIDDEN, FILLED)}
    assert len(colors) == 3


def test_shading_covers_the_masked_time(parts):
    for ax in ReconstructionDisplay.from_result(**parts).axes_:
        assert_allclose(shaded(ax), SPANS)
        # From the bottom to the top, on any scale.
        inside = ax.get_window_extent()
        for box in (patch.get_window_extent() for patch in ax.patches):
            assert_allclose([box.y0, box.y1], [inside.y0, inside.y1])
        assert ax.get_xlim() == (0, 10)


@pytest.mark.parametrize(("masked", "spans"), [(False, []), (True, [(0, 10)])])
def test_nothing_or_everything_masked(parts, masked, spans):
    parts["mask"][:] = masked
    ax = ReconstructionDisplay.from_result(**parts, shown=["I"]).axes_[0]
    assert_allclose(np.reshape(shaded(ax), (-1, 2)), np.reshape(spans, (-1, 2)))
    assert np.isfinite(line(ax, FILLED).get_ydata()).all() == masked
    ax.figure.canvas.draw()


def test_seconds_cut_the_recording_and_the_shading(parts):
    ax = ReconstructionDisplay.from_result(**parts, seconds=3.2).axes_[0]
    assert ax.get_xlim() == (0, 3.2)
    assert len(line(ax, SEEN).get_xdata()) == 320
    assert_allclose(shaded(ax), [(0, 0.2), (3, 3.2)])
    assert ReconstructionDisplay.from_result(**parts, seconds=99).axes_[0].get_xlim() == (0, 10)


def test_rate(parts):
    ax = ReconstructionDisplay.from_result(**{**parts, "sampling_rate": 500}).axes_[0]
    assert_allclose(shaded(ax), np.array(SPANS) / 5)
    assert ax.get_xlim() == (0, 2)


def test_leads_are_found_by_name(parts):
    turned = {name: parts[name][::-1] for name in ("record", "filled")}
    names = [lead.upper() for lead in STANDARD_LEADS[::-1]]
    axes = ReconstructionDisplay.from_result(
        **{**parts, **turned}, leads=names, shown=["avf", "V6"]
    ).axes_
    assert [ax.get_ylabel() for ax in axes] == ["aVF, mV", "V6, mV"]
    for ax, row in zip(axes, [5, 11], strict=True):
        assert_array_equal(line(ax, FILLED).get_ydata()[300], parts["filled"][row, 300])
    one = {name: parts[name][:1] for name in ("record", "filled")}
    axes = ReconstructionDisplay.from_result(**{**parts, **one}, leads=["MLII"], shown=None).axes_
    assert [ax.get_ylabel() for ax in axes] == ["MLII, mV"]
    # A name alone is a lead, not a sequence of letters.
    assert [
        ax.get_ylabel() for ax in ReconstructionDisplay.from_result(**parts, shown="II").axes_
    ] == ["II, mV"]


def test_legend_says_what_is_what(parts):
    axes = ReconstructionDisplay.from_result(**parts, title="Mr Y").axes_
    (legend,) = (ax.get_legend() for ax in axes if ax.get_legend() is not None)
    said = dict(zip([t.get_text() for t in legend.get_texts()], legend.legend_handles, strict=True))
    assert list(said) == [SEEN, "masked", HIDDEN, FILLED]
    assert said["masked"].get_facecolor() == axes[0].patches[0].get_facecolor()
    for label in (SEEN, HIDDEN, FILLED):
        assert said[label].get_color() == line(axes[0], label).get_color()
    assert axes[0].get_title(loc="left") == "Mr Y"


def test_legend_and_title_cover_no_wave_nor_each_other(parts):
    ax = ReconstructionDisplay.from_result(**parts, title="Mr Y").axes_[0]
    figure = ax.figure
    figure.canvas.draw()
    legend, axes = ax.get_legend().get_window_extent(), ax.get_window_extent()
    title = ax._left_title.get_window_extent()
    assert axes.y1 <= legend.y0 and legend.y1 <= title.y0 and title.y1 <= figure.bbox.y1
    assert legend.x1 <= figure.bbox.x1


def test_draws_on_given_axes_without_a_new_figure(parts):
    figure, grid = plt.subplots(2, 2)
    axes = ReconstructionDisplay.from_result(**parts, shown=["I", "V1"], ax=grid[:, 1]).axes_
    assert list(axes) == list(grid[:, 1]) and plt.get_fignums() == [figure.number]
    assert not grid[0, 0].get_lines() and len(grid[1, 1].get_lines()) == 3


def test_holes_are_gaps_and_the_input_stays(parts):
    parts["record"][1, 50:52] = [np.nan, np.inf]
    before = {name: np.copy(value) for name, value in parts.items()}
    seen = line(ReconstructionDisplay.from_result(**parts).axes_[0], SEEN).get_ydata()
    assert_array_equal(np.flatnonzero(np.isnan(seen[~parts["mask"]])), [30, 31])
    for name, value in before.items():
        assert_array_equal(parts[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": np.zeros((2, 12, 1000))}, r"record has shape \(2, 12, 1000\); expected \(n_le"),
        ({"record": np.zeros((12, 0))}, r"record has shape \(12, 0\)"),
        ({"record": np.full((12, 1000), "a")}, "record has dtype .*expected real numbers"),
        ({"filled": np.zeros((12, 500))}, r"filled has shape \(12, 500\); expected .*\(12, 1000\)"),
        ({"filled": np.zeros((12, 1000), complex)}, "filled has dtype complex128"),
        ({"mask": np.zeros(1000, int)}, r"mask has dtype int64; expected bool.*astype\(bool\)"),
        ({"mask": np.zeros(999, bool)}, r"mask has shape \(999,\); expected \(1000,\)"),
        ({"mask": np.zeros((1, 1000), bool)}, r"mask has shape \(1, 1000\).*mask\[0\]"),
        ({"leads": ["I", "II"]}, "record has 12 leads, but leads names 2"),
        ({"record": np.zeros((8, 1000)), "filled": np.zeros((8, 1000))}, "leads=None means twelve"),
        ({"leads": ["II", *STANDARD_LEADS[1:]]}, "II stand more than once"),
        ({"shown": ["II", "V7"]}, "names V7; the recording has I, II,.*shown=None"),
        ({"shown": []}, "names no lead"),
        ({"sampling_rate": 0}, "sampling_rate=0 must be a positive"),
        ({"seconds": -1}, "seconds=-1 must be a positive"),
    ],
)
def test_messages(change, message, parts):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_result(**{**parts, **change})
    assert plt.get_fignums() == []


def test_message_of_too_few_axes(parts):
    ax = plt.figure().subplots()
    with pytest.raises(ValueError, match=r"ax holds 1 axes, but 3 leads are shown \(II, V2, V5\)"):
        ReconstructionDisplay.from_result(**parts, ax=ax)
    assert not ax.get_lines()
