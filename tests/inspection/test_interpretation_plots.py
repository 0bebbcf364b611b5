"""Pictures of explanations, evaluations, subgroups and saliency."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from ecgsk.inspection import (
    EBMTermsDisplay,
    ECGDisplay,
    EvaluationDisplay,
    ExplanationDisplay,
    PredictorsDisplay,
    Saliency,
    SaliencyDisplay,
    SubgroupsDisplay,
    ebm_importances,
    explain_record,
)
from ecgsk.inspection._plots.style import AGAINST, FOR
from ecgsk.metrics import calibration_table, decision_curve, evaluate_subgroups
from ecgsk.tabular import screen_predictors


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def overlaps(texts, figure):
    """Return pairs of texts that are drawn over each other."""
    renderer = figure.canvas.get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text().strip()]
    return [
        (a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[:i] if one.overlaps(other)
    ]


def outside(figure):
    """Return texts that leave the figure."""
    renderer = figure.canvas.get_renderer()
    width, height = figure.bbox.size
    found = []
    for text in figure.findobj(plt.Text):
        if not (text.get_visible() and text.get_text().strip() and text.axes in figure.axes):
            continue
        box = text.get_window_extent(renderer)
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height:
            found.append(text.get_text())
    return found


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    names = ["LBBB", "AFIB", "NORM", "LVH", "IMI", "PVC", "SR", "INVT"]
    table = pd.DataFrame(rng.normal(size=(500, 8)), columns=names)
    table["age"] = rng.normal(60, 12, 500)
    table["sex"] = rng.choice(["F", "M"], 500)
    table.loc[:30, "age"] = np.nan
    return table


@pytest.fixture(scope="module")
def y(table):
    eta = 2 * table["LBBB"] - table["NORM"] + 0.5 * (table["sex"] == "M") - 1
    return (np.random.default_rng(1).random(500) < expit(eta)).to_numpy()


@pytest.fixture(scope="module")
def ebm(table, y):
    model = ExplainableBoostingClassifier(
        interactions=[("LBBB", "age")], outer_bags=3, max_rounds=80, n_jobs=1, random_state=0
    )
    with pytest.warns(UserWarning, match="Missing values detected"):
        return model.fit(table, np.where(y, "low EF", "a normal EF"))


def test_importances_have_whiskers(ebm):
    bars = EBMTermsDisplay.from_estimator(ebm, n_terms=5).figure_.axes[0]
    (whiskers,) = bars.collections
    found = ebm_importances(ebm).iloc[:5]
    ends = np.array([segment[:, 0] for segment in whiskers.get_segments()])
    assert_allclose(ends, found[["low", "high"]])


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("number", [0, 100, 101, 102])
def test_explanation_is_a_way_to_the_probability(ebm, table, number):
    found = explain_record(ebm, table.iloc[[number]])
    ax = ExplanationDisplay.from_result(found, n_terms=4, title="Ms X").ax_
    bars = ax.patches
    assert len(bars) == 5
    steps = [bar.get_width() for bar in bars]
    assert_allclose(steps[:4], found.table["contribution"].iloc[:4])
    assert steps[4] == pytest.approx(found.table["contribution"].iloc[4:].sum())
    starts = [bar.get_x() for bar in bars]
    assert starts[0] == pytest.approx(found.intercept)
    # Each starts where the one above ended, and the last ends at the model's decision.
    assert_allclose(np.add(starts, steps)[:-1], starts[1:])
    assert starts[-1] + steps[-1] == pytest.approx(found.log_odds)
    for bar, step in zip(bars, steps, strict=True):
        assert plt.matplotlib.colors.to_hex(bar.get_facecolor()) == (FOR if step > 0 else AGAINST)
    shown = labels(ax)
    assert (shown[0], shown[-2], shown[-1]) == ("average", "7 other terms", "this patient")
    assert shown[1].startswith(f"{found.table.index[0]} = ")
    texts = [text.get_text() for text in ax.texts]
    assert f"{100 * found.probability:.1f} %" in texts
    assert ax.get_xlabel() == "log-odds of low EF"


def test_whiskers_of_an_explanation(ebm, table):
    found = explain_record(ebm, table.iloc[[100]])
    ax = ExplanationDisplay.from_result(found, n_terms=2).ax_
    start = found.intercept
    ends = [list(line.get_xdata()) for line in ax.get_lines()]
    for _, row in found.table.iloc[:2].iterrows():
        expected = [start + row["low"], start + row["high"]]
        assert any(np.allclose(end, expected) for end in ends if len(end) == 2)
        start += row["contribution"]


def test_values_of_an_explanation(ebm, table):
    found = explain_record(ebm, table.iloc[[0]])
    shown = labels(ExplanationDisplay.from_result(found, n_terms=99).ax_)
    assert len(shown) == len(found.table) + 2 and not any("other terms" in name for name in shown)
    assert {"age = missing", f"sex = {table['sex'].iloc[0]}"} <= set(shown)
    # A single rest is named, which takes no more room.
    assert (
        len(labels(ExplanationDisplay.from_result(found, n_terms=len(found.table) - 1).ax_))
        == len(found.table) + 2
    )
    ours = labels(
        ExplanationDisplay.from_result(
            found, n_terms=2, value_format=lambda term, value: f"<{term}>"
        ).ax_
    )
    assert ours[1] == f"{found.table.index[0]} = <{found.table.index[0]}>"


def test_probabilities_stand_at_their_log_odds(ebm, table):
    ax = ExplanationDisplay.from_result(explain_record(ebm, table.iloc[[100]])).ax_
    ax.figure.canvas.draw()
    (upper,) = ax.child_axes
    ticks = upper.get_xticks()
    assert len(ticks) >= 3
    for place, text in zip(ticks, upper.get_xticklabels(), strict=True):
        assert logit(float(text.get_text().removesuffix(" %")) / 100) == pytest.approx(place)
    assert not overlaps(upper.get_xticklabels(), ax.figure)
    assert not overlaps(ax.texts, ax.figure) and not outside(ax.figure)


def test_messages_of_explanations(ebm, table):
    found = explain_record(ebm, table.iloc[[0]])
    with pytest.raises(ValueError, match="n_terms=0 must be at least 1"):
        ExplanationDisplay.from_result(found, n_terms=0)
    with pytest.raises(TypeError, match="explanation is a DataFrame; expected a RecordExpl"):
        ExplanationDisplay.from_result(found.table)
    assert plt.get_fignums() == []


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    eta = rng.normal(-1.5, 1.5, 600)
    y = rng.random(600) < expit(eta)
    return y, {
        name: expit(eta + rng.normal(0, s, 600))
        for name, s in (("EBM", 0.1), ("logistic regression", 1), ("LBBB alone", 2), ("SR", 3))
    }


def entries(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_evaluation_of_one_model(answers):
    y, models = answers
    p = models["EBM"]
    figure = EvaluationDisplay.from_predictions(
        y.astype(int), p, threshold=0.3, n_bins=5, title="Low EF"
    ).figure_
    roc, ranking, calibration, histogram, decision = figure.axes
    curve = roc.get_lines()[0]
    assert auc(curve.get_xdata(), curve.get_ydata()) == pytest.approx(roc_auc_score(y, p))
    called = p >= 0.3
    sensitivity, specificity = called[y].mean(), 1 - called[~y].mean()
    assert entries(roc) == [
        f"AUROC {roc_auc_score(y, p):.3f}",
        f"from 0.3: sensitivity {sensitivity:.2f}, specificity {specificity:.2f}",
    ]
    mark = roc.get_lines()[1]
    assert_allclose(mark.get_xydata(), [[1 - specificity, sensitivity]])
    assert entries(ranking) == [
        f"average precision {average_precision_score(y, p):.3f}",
        f"from 0.3: precision {y[called].mean():.2f}",
        f"prevalence {y.mean():.2g}",
    ]
    table = calibration_table(y, p, n_bins=5)
    assert_allclose(calibration.get_lines()[0].get_xydata(), table[["predicted", "observed"]])
    segments = calibration.collections[0].get_segments()
    assert_allclose([s[:, 1] for s in segments], table[["low", "high"]])
    assert sum(bar.get_height() for bar in histogram.patches) == 600
    benefit = decision_curve(y, p)
    lines = {line.get_label(): line for line in decision.get_lines()}
    assert_allclose(lines["model"].get_ydata(), benefit["net_benefit"])
    assert_allclose(lines["treat all"].get_ydata(), benefit["treat_all"])
    assert_allclose(lines["treat none"].get_ydata(), 0)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b", "c", "", "d"]


def test_evaluation_of_several_models(answers):
    y, models = answers
    figure = EvaluationDisplay.from_predictions(
        y, models, threshold={"EBM": 0.3, "SR": 0.5}
    ).figure_
    roc, ranking, calibration, _, decision = figure.axes
    assert entries(roc)[:4] == [
        f"{name}, AUROC {roc_auc_score(y, p):.3f}" for name, p in models.items()
    ]
    assert entries(roc)[4:] == ["at the thresholds"]
    assert entries(decision) == [*models, "treat all", "treat none"]
    styles = {(line.get_color(), str(line.get_linestyle())) for line in decision.get_lines()[:4]}
    assert len(styles) >= 3 and not calibration.collections
    assert "from 0.3" in entries(
        EvaluationDisplay.from_predictions(y, models, threshold=0.3).figure_.axes[0]
    )
    plain = EvaluationDisplay.from_predictions(y, models).figure_
    assert not any("from" in entry for entry in entries(plain.axes[0]))


@pytest.mark.parametrize("n_models", [1, 4])
def test_legends_cover_no_curve_and_stay_on_the_page(answers, n_models):
    y, models = answers
    models = dict(list(models.items())[:n_models])
    display = EvaluationDisplay(y, models)
    for ax, title in ((None, "Low EF"), (plt.subplots(figsize=(9, 9))[1], None)):
        display.plot(ax, threshold=0.3, title=title)
        figure = display.figure_
        figure.canvas.draw()
        legends = [ax.get_legend() for ax in display.axes_ if ax.get_legend()]
        assert len(legends) == 3
        for legend in legends:
            box = legend.get_window_extent()
            assert not any(box.overlaps(ax.get_window_extent()) for ax in display.axes_)
            assert not any(
                box.overlaps(text.get_window_extent())
                for ax in display.axes_
                for text in (ax.xaxis.label, *ax.get_xticklabels(), ax.title)
                if text.get_text()
            )
        assert not outside(figure)


def test_displays_of_estimators_are_those_of_their_results(ebm, table, y):
    evaluated = EvaluationDisplay.from_estimator(ebm, table, y)
    assert_allclose(evaluated.y_prob, ebm.predict_proba(table)[:, 1])
    assert entries(evaluated.axes_[0]) == [f"AUROC {roc_auc_score(y, evaluated.y_prob):.3f}"]
    row = table.iloc[[100]]
    explained = ExplanationDisplay.from_estimator(ebm, row, n_terms=4)
    expected = ExplanationDisplay.from_result(explain_record(ebm, row), n_terms=4)
    assert labels(explained.ax_) == labels(expected.ax_)


def test_evaluation_draws_in_the_place_of_given_axes(answers):
    y, models = answers
    figure, (_, right) = plt.subplots(1, 2, figsize=(15, 8))
    display = EvaluationDisplay.from_predictions(y, models["EBM"], ax=right)
    assert display.figure_ is figure and plt.get_fignums() == [figure.number]
    assert len(display.axes_) == 5
    assert all(ax.get_window_extent().x0 > figure.bbox.width / 2 for ax in display.axes_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [0, 1, 2]}, "y_true holds the values"),
        ({"y_true": [1, 1, 1]}, "y_true holds one class only"),
        ({"y_prob": [0.1, 0.2]}, "y_prob has 2 records and y_true has 3"),
        ({"y_prob": {"EBM": [0.1, 0.2, 1.5]}}, r"y_prob\['EBM'\] lies outside \[0, 1\]"),
        ({"y_prob": dict.fromkeys("abcde", [0.1, 0.2, 0.3])}, "y_prob holds 5 models"),
        ({"y_prob": {}}, "y_prob holds 0 models"),
        ({"threshold": 2}, "threshold=2 is not allowed; expected a probability"),
        ({"threshold": {"SR": 0.2}}, "is not allowed"),
    ],
)
def test_messages_of_evaluations(change, message):
    arguments = {"y_true": [0, 1, 1], "y_prob": [0.1, 0.2, 0.3], **change}
    with pytest.raises(ValueError, match=message):
        EvaluationDisplay.from_predictions(**arguments)
    assert plt.get_fignums() == []


@pytest.fixture(scope="module")
def subgroups(answers):
    y, models = answers
    site = np.where(np.arange(600) < 570, "Lisbon", "A university hospital of some size")
    site[:5] = "small"
    site[5:30] = "healthy"
    y = y & (site != "healthy")
    by = {"sex": np.tile(["female", "male"], 300), "site": site}
    return evaluate_subgroups(y, models["EBM"], by, n_resamples=50, random_state=0).table


def test_subgroups(subgroups):
    ax = SubgroupsDisplay(subgroups).plot(title="Low EF").ax_
    rows = labels(ax)
    assert rows[:3] == ["sex", "female", "male"] and rows[3] == "site"
    assert set(rows[4:]) == set(subgroups.loc["site"].index)
    weights = [label.get_fontweight() for label in ax.get_yticklabels()]
    assert [row for row, weight in zip(rows, weights, strict=True) if weight == "bold"] == [
        "sex", "site"
    ]  # fmt: skip
    known = subgroups[subgroups["AUROC"].notna()]
    points = {
        rows[int(line.get_ydata()[0])]: line.get_xdata()[0]
        for line in ax.get_lines()
        if line.get_marker() == "o"
    }
    assert points == {name: row["AUROC"] for (_, name), row in known.iterrows()}
    spans = {
        rows[int(line.get_ydata()[0])]: tuple(line.get_xdata())
        for line in ax.get_lines()[1:]
        if len(line.get_xdata()) == 2
    }
    assert spans["female"] == tuple(subgroups.loc[("sex", "female"), ["AUROC low", "AUROC high"]])
    notes = {rows[int(text.get_position()[1])]: text.get_text() for text in ax.texts
             if text.get_text() in ("one class", "too few")}  # fmt: skip
    assert notes == {"healthy": "one class", "small": "too few"}
    assert f"{subgroups['n_positive'].iloc[0]} / 300" in [text.get_text() for text in ax.texts]
    ax.figure.canvas.draw()
    assert not overlaps([*ax.texts, *ax.get_yticklabels()], ax.figure)
    assert not outside(ax.figure)


def test_predictors(table, y):
    screened = screen_predictors(table.drop(columns="sex"), y, n_resamples=50, random_state=0).table
    ax = PredictorsDisplay(screened).plot(n_predictors=4, title="By themselves").ax_
    assert labels(ax) == list(screened.index[:4])
    colors = {"o": FOR, "s": AGAINST}
    points = [line for line in ax.get_lines() if line.get_marker() in colors]
    assert_allclose([point.get_xdata()[0] for point in points], screened["AUROC"].iloc[:4])
    assert [point.get_marker() for point in points] == [
        {"higher": "o", "lower": "s"}[d] for d in screened["direction"].iloc[:4]
    ]
    assert all(point.get_color() == colors[point.get_marker()] for point in points)
    assert {point.get_marker() for point in points} == {"o", "s"}
    assert any("(" in text.get_text() for text in ax.texts)
    ax.figure.canvas.draw()
    assert not outside(ax.figure) and not overlaps(ax.texts, ax.figure)
    figure, given = plt.subplots()
    assert PredictorsDisplay(screened).plot(ax=given).ax_ is given and len(labels(given)) == 9


def test_long_names_have_room():
    names = ["non-specific intraventricular conduction", "I"]
    found = pd.DataFrame(
        {"AUROC": 0.7, "low": 0.6, "high": 0.8, "direction": "higher"}, index=names
    )
    ax = PredictorsDisplay(found).plot().ax_
    ax.figure.canvas.draw()
    assert not outside(ax.figure)


def test_predictors_without_intervals(table, y):
    screened = screen_predictors(table[["LBBB", "NORM"]], y, n_resamples=0).table
    ax = PredictorsDisplay(screened).plot().ax_
    assert f"{screened['AUROC'].iloc[0]:.2f}" in [text.get_text() for text in ax.texts]


def test_messages_of_forests(subgroups):
    with pytest.raises(ValueError, match="lacks n_positive; expected what .*evaluate_subgroups"):
        SubgroupsDisplay(subgroups.drop(columns="n_positive")).plot()
    with pytest.raises(ValueError, match="index of 1 level"):
        SubgroupsDisplay(subgroups.loc["sex"]).plot()
    with pytest.raises(ValueError, match="of 0 rows that lacks rows"):
        SubgroupsDisplay(subgroups.iloc[:0]).plot()
    with pytest.raises(ValueError, match="lacks low, high, direction"):
        PredictorsDisplay(subgroups).plot()
    good = pd.DataFrame({"AUROC": [0.7], "low": [0.6], "high": [0.8], "direction": ["higher"]})
    with pytest.raises(ValueError, match="n_predictors=0 must be at least 1"):
        PredictorsDisplay(good).plot(n_predictors=0)


@pytest.fixture
def record():
    return np.random.default_rng(0).normal(0, 0.2, size=(12, 1000))


def shades(ax):
    """Return (left, right, bottom, top) in mm and the values of each image but the scale."""
    *images, scale = ax.get_images()
    return [(image.get_extent(), np.ravel(image.get_array())) for image in images], scale


@pytest.mark.parametrize("layout", ["3x4+1", "12x1"])
def test_saliency_lies_beneath_its_samples(record, layout):
    values = np.zeros((12, 1000))
    values[7, 500:750] = np.arange(250)  # V2's column of the clinical print
    values[0] = -100.0
    found = Saliency(values, np.arange(1000) / 100, 0.0)
    ax = SaliencyDisplay.from_result(
        record[np.newaxis], found, sampling_rate=100, layout=layout
    ).ax_
    spans, scale = shades(ax)
    assert len(spans) == (13 if layout == "3x4+1" else 12)
    assert scale.get_clim() == (-249, 249)
    traces = [line for line in ax.get_lines() if line.get_label() in ("V2", "I")]
    for trace in traces:
        x = trace.get_xdata()
        (extent, shade), = [s for s in spans if np.isclose(s[0][0], x[0])
                            and s[0][2] < np.median(trace.get_ydata()) < s[0][3]]  # fmt: skip
        assert extent[1] - extent[0] == pytest.approx(len(shade) / 100 * 25)
        lead = 7 if trace.get_label() == "V2" else 0
        shown = slice(None) if layout == "12x1" else slice(500, 750) if lead else slice(0, 250)
        assert_allclose(shade, values[lead, shown])
    words = [text.get_text() for text in ax.texts]
    assert words[-2:] == ["against, \N{MINUS SIGN}2.5e+02", "for, +2.5e+02 log-odds"]


def test_shading_of_all_leads_and_colors(record):
    values = np.where(np.arange(1000) < 125, 0.5, -0.25)
    ax = SaliencyDisplay.from_result(record, values, sampling_rate=100).ax_
    spans, scale = shades(ax)
    assert_allclose(spans[0][1], values[:250])
    assert_allclose(spans[-1][1], values)
    (red, _, blue, deep), (_, _, _, none), (other_red, _, other_blue, light) = (
        np.ravel(ax.get_images()[0].cmap(scale.norm(value))) for value in (0.5, 0, -0.25)
    )
    assert red > blue and other_blue > other_red
    assert deep == pytest.approx(2 * light, abs=0.01) and none < 0.01


def test_shading_changes_nothing_else(record):
    plain, shaded = (
        ECGDisplay.from_record(record, sampling_rate=100).ax_,
        SaliencyDisplay.from_result(record, np.zeros(1000), sampling_rate=100).ax_,
    )
    assert shaded.get_xlim() == plain.get_xlim() and shaded.get_aspect() == plain.get_aspect()
    # The scale has a line of its own at the lower edge: five mm.
    assert shaded.get_ylim()[1] == plain.get_ylim()[1] + 5
    for one, other in zip(plain.get_lines(), shaded.get_lines(), strict=False):
        assert_allclose(one.get_xdata(), other.get_xdata())
        assert_allclose(one.get_ydata() + 5, other.get_ydata())
    shaded.figure.canvas.draw()
    assert not overlaps(shaded.texts, shaded.figure)


def test_messages_of_saliency_plots(record):
    with pytest.raises(ValueError, match=r"saliency has shape \(999,\); expected \(1000,\) for"):
        SaliencyDisplay.from_result(record, np.zeros(999), sampling_rate=100)
    with pytest.raises(ValueError, match="saliency holds NaN"):
        SaliencyDisplay.from_result(record, np.full(1000, np.nan), sampling_rate=100)
    with pytest.raises(ValueError, match="8 leads, but leads names 12"):
        SaliencyDisplay.from_result(record[:8], np.zeros(1000), sampling_rate=100)
    assert plt.get_fignums() == []
