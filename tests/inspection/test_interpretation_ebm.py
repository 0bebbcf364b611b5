"""Explanations of an explainable boosting machine: importances, one patient, groups."""

import copy

import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ecgsk.inspection import (
    ebm_importances,
    explain_record,
    group_correlated,
    group_explanation,
    group_importances,
)

QUICK = {"outer_bags": 4, "max_rounds": 120, "n_jobs": 1, "random_state": 0}


def machine(**changes):
    return ExplainableBoostingClassifier(**{"interactions": 0, **QUICK, **changes})


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "LBBB": rng.normal(size=800),
            "age": rng.normal(60, 12, 800),
            "NORM": rng.normal(size=800),
            "SR": rng.normal(size=800),
            "sex": rng.choice(["F", "M"], 800),
        }
    )
    table.loc[:40, "age"] = np.nan
    return table


@pytest.fixture(scope="module")
def y(table):
    # High LBBB and men speak for it, high NORM against it, and the age at both ends.
    eta = 2 * table["LBBB"] - 1.5 * table["NORM"] + 1.2 * (table["sex"] == "M")
    eta += 0.005 * (table["age"].fillna(60) - 60) ** 2 - 1.5
    return np.where(np.random.default_rng(1).random(800) < expit(eta), "low", "normal")


@pytest.fixture(scope="module")
def ebm(table, y):
    # "low" comes before "normal": the second class is what is spoken for.
    with pytest.warns(UserWarning, match="Missing values detected"):
        return machine(interactions=[("LBBB", "age"), ("age", "sex")]).fit(table, y == "low")


def test_importances_are_the_models(ebm):
    found = ebm_importances(ebm)
    assert_allclose(found["importance"][list(ebm.term_names_)], ebm.term_importances())
    assert found["importance"].is_monotonic_decreasing
    assert list(found.columns) == ["importance", "low", "high", "direction"]
    assert found.index.name == "term"


def test_intervals_are_those_of_the_bags(ebm):
    found = ebm_importances(ebm)
    for term, name in enumerate(ebm.term_names_):
        records = ebm.bin_weights_[term]
        each = [np.average(abs(bag), weights=records) for bag in ebm.bagged_scores_[term]]
        row = found.loc[name]
        assert row["high"] - row["importance"] == pytest.approx(1.96 * np.std(each))
        assert row["low"] == pytest.approx(max(row["importance"] - 1.96 * np.std(each), 0))
    assert (found["high"] > found["low"]).all()


def test_direction(ebm):
    direction = ebm_importances(ebm)["direction"]
    assert direction["LBBB"] == "higher" and direction["NORM"] == "lower"
    assert direction["age"] == "mixed"
    assert direction[["sex", "LBBB & age", "age & sex"]].isna().all()


def test_direction_of_a_flat_curve_and_of_the_other_class(table, y):
    X = table[["LBBB", "NORM"]].assign(constant=1.0)
    assert ebm_importances(machine().fit(X, y))["direction"].to_dict() == {
        "LBBB": "lower", "NORM": "higher", "constant": "mixed"
    }  # fmt: skip


def test_direction_is_that_of_values_that_are_known(table, y):
    # Half have none, and for them all speaks against it: which is no place on the scale.
    X = table[["LBBB"]].where(np.arange(800)[:, np.newaxis] % 2 == 0)
    with pytest.warns(UserWarning, match="Missing values detected"):
        model = machine().fit(X, y == "low")
    model.term_scores_[0][0] = 5.0
    assert ebm_importances(model)["direction"].tolist() == ["higher"]


def test_an_importance_is_not_below_0(table, y):
    # One copy alone makes something of it.
    model = machine().fit(table[["SR", "LBBB"]], y)
    model.bagged_scores_[0] *= np.array([10, 0, 0, 0])[:, np.newaxis]
    assert ebm_importances(model).loc["SR", "low"] == 0


def test_no_spread_without_bags(table, y, ebm):
    alone = machine(outer_bags=1).fit(table[["LBBB", "SR"]], y)
    edited = copy.deepcopy(ebm)
    edited.bagged_scores_ = None
    for model in (alone, edited):
        found = ebm_importances(model)
        assert found[["low", "high"]].isna().all(axis=None) and found["importance"].notna().all()
    assert explain_record(alone, [1.0, 0.0]).table[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("number", [0, 41, 500])  # the first has no age
def test_an_explanation_is_the_model(ebm, table, number):
    row = table.iloc[[number]]
    explanation = explain_record(ebm, row)
    found = explanation.table
    decision = float(ebm.decision_function(row)[0])
    total = found["contribution"].sum() + explanation.intercept
    assert total == pytest.approx(decision, abs=1e-9)
    assert explanation.log_odds == pytest.approx(decision, abs=1e-9)
    assert explanation.probability == pytest.approx(ebm.predict_proba(row)[0, 1], abs=1e-9)
    assert explanation.positive_class is True
    assert set(found.index) == set(ebm.term_names_)
    assert (np.diff(found["contribution"].abs()) <= 0).all()
    assert found.loc["sex", "value"] == row["sex"].iloc[0]
    assert_allclose(found.loc["LBBB", "value"], row["LBBB"].iloc[0])
    shown = found.loc["age & sex", "value"]
    age = "missing" if number == 0 else f"{row['age'].iloc[0]:.3g}"
    assert shown == f"{age} & {row['sex'].iloc[0]}"


def test_spread_of_contributions_is_that_of_the_bags(ebm, table):
    row = table.iloc[[123]]
    found = explain_record(ebm, row).table
    # Each copy of the model, asked by itself.
    each = []
    for bag in range(4):
        model = copy.copy(ebm)
        model.term_scores_ = [scores[bag] for scores in ebm.bagged_scores_]
        each.append(model.eval_terms(row)[0])
    deviation = pd.Series(np.std(each, axis=0), index=list(ebm.term_names_))[found.index]
    assert_allclose(found["high"] - found["contribution"], 1.96 * deviation)
    assert_allclose(found["contribution"] - found["low"], 1.96 * deviation)
    assert deviation.max() > 0


def test_rows_of_any_kind(ebm, table):
    frame = table.iloc[[77]]
    expected = explain_record(ebm, frame).table
    for row in (
        frame.iloc[:, ::-1],
        frame.assign(site="A"),
        frame.iloc[0],
        frame.iloc[0][::-1],
        frame.to_numpy(),
        frame.to_numpy()[0],
        list(frame.iloc[0]),
        pd.Series(frame.to_numpy()[0]),
    ):
        pd.testing.assert_frame_equal(explain_record(ebm, row).table, expected)


def test_in_a_pipeline(table, y):
    pipeline = make_pipeline(FunctionTransformer(lambda X: X[["LBBB", "NORM"]]), machine())
    pipeline.fit(table, y)
    found = explain_record(pipeline[-1], pipeline[:-1].transform(table[:1]))
    assert found.positive_class == "normal"
    assert found.probability == pytest.approx(pipeline.predict_proba(table[:1])[0, 1])


def test_messages_of_explanations(ebm, table):
    with pytest.raises(ValueError, match="row has 2 records; expected one"):
        explain_record(ebm, table.iloc[:2])
    with pytest.raises(ValueError, match="lacks 1 of the model's predictors: NORM"):
        explain_record(ebm, table.iloc[[0]].drop(columns="NORM"))
    with pytest.raises(ValueError, match=r"row has shape \(3,\); expected \(5,\)"):
        explain_record(ebm, [1, 2, 3])
    for function in (ebm_importances, lambda m: explain_record(m, [1]), group_importances_of):
        with pytest.raises(TypeError, match="is a LogisticRegression; expected interpret's"):
            function(LogisticRegression())
    three = machine(outer_bags=1, max_rounds=5)
    three.fit(np.arange(90.0)[:, np.newaxis], np.arange(90) // 30)
    with pytest.raises(ValueError, match="ebm has 3 classes"):
        ebm_importances(three)


def group_importances_of(ebm):
    return group_importances(ebm, pd.DataFrame({"a": [1.0]}))


def test_correlated_predictors_are_grouped():
    rng = np.random.default_rng(0)
    base = rng.normal(size=300)
    table = pd.DataFrame(
        {
            "a": base,
            "alone": rng.normal(size=300),
            "minus a": -np.exp(base),
            "constant": 1.0,
            "half of a": base + 2 * rng.normal(size=300),
            "text": np.where(base > 0, "F", "M"),
            "site": rng.choice(["x", "y", "z"], 300),
            "empty": np.nan,
        }
    )
    groups = group_correlated(table)
    assert groups == [["a", "minus a", "text"], ["alone"], ["constant"], ["half of a"], ["site"],
                      ["empty"]]  # fmt: skip
    assert ["a", "minus a"] in group_correlated(table, min_correlation=1)
    # Exponentials are far from a line.
    assert ["a", "minus a"] not in group_correlated(table, min_correlation=0.9, method="pearson")
    everything = group_correlated(
        table.drop(columns=["constant", "empty", "site"]), min_correlation=1e-9
    )
    assert len(everything) == 1
    assert group_correlated(table[["a"]]) == [["a"]]


def test_the_threshold_is_met_exactly():
    """Rounding does not part copies, and what is just below the threshold is not joined."""
    for seed in range(50):
        a = np.random.default_rng(seed).normal(size=37)
        table = pd.DataFrame({"a": a, "b": 0.1 * a + 3, "c": -7 * a})
        assert group_correlated(table, min_correlation=1, method="pearson") == [["a", "b", "c"]]
        rho = np.corrcoef(a, a**3)[0, 1]
        table = pd.DataFrame({"a": a, "b": a**3})
        assert group_correlated(table, min_correlation=rho, method="pearson") == [["a", "b"]]
        above = rho + 1e-7
        assert group_correlated(table, min_correlation=above, method="pearson") == [["a"], ["b"]]


def test_no_chains():
    # Neighbors are correlated at 0.75, the ends at 0.75 ** 3.
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=5000)]
    for _ in range(3):
        columns.append(0.75 * columns[-1] + np.sqrt(1 - 0.75**2) * rng.normal(size=5000))
    table = pd.DataFrame(np.transpose(columns), columns=list("abcd"))
    rho = table.corr("spearman").abs()
    groups = group_correlated(table, min_correlation=0.65)
    assert max(map(len, groups)) == 2
    for group in groups:
        assert rho.loc[group, group].min(axis=None) >= 0.65


def test_holes_are_left_out_pair_by_pair():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=200)})
    table["b"] = table["a"].where(np.arange(200) > 20)
    table["c"] = table["a"].where(np.arange(200) < 2)  # two records are no correlation
    assert group_correlated(table) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"min_correlation": 0}, ValueError, "min_correlation=0 has to be above 0"),
        (
            {"min_correlation": 1.5},
            ValueError,
            "min_correlation=1.5 has to be above 0 and at most 1",
        ),
        ({"method": "phi"}, ValueError, "method='phi' is not allowed; use one of spearman"),
        ({"table": np.zeros((3, 2))}, TypeError, "table is a ndarray; expected a DataFrame"),
        ({"table": pd.DataFrame([[1, 2]], columns=["a", "a"])}, ValueError, "table has a twice"),
    ],
)
def test_messages_of_groups(change, error, message):
    arguments = {"table": pd.DataFrame({"a": [1, 2], "b": [2, 1]}), **change}
    with pytest.raises(error, match=message):
        group_correlated(arguments.pop("table"), **arguments)


def test_copies_of_a_predictor_weigh_together_what_it_weighs_alone(table, y):
    single = table[["LBBB", "SR"]]
    # Grown until they stop: three copies learn three times as much in each round.
    until = {"max_rounds": 2000, "learning_rate": 0.05}
    alone = group_importances(machine(**until).fit(single, y), single)
    assert_allclose(alone["joint"], alone["separate"])
    # Three that differ by a hair share the credit.
    noise = np.random.default_rng(2).normal(0, 0.05, size=(800, 2))
    copies = single.assign(IVCD=single["LBBB"] + noise[:, 0], QRS=single["LBBB"] + noise[:, 1])
    ebm = machine(**until).fit(copies, y)
    found = group_importances(ebm, copies)
    assert list(found["members"])[0] == "LBBB, IVCD, QRS" and found.index[0].endswith("(+2)")
    separate = ebm_importances(ebm)["importance"]
    assert separate[["LBBB", "IVCD", "QRS"]].max() < 0.75 * alone.loc["LBBB", "joint"]
    assert found["joint"].iloc[0] == pytest.approx(alone.loc["LBBB", "joint"], rel=0.1)
    assert found["separate"].iloc[0] == pytest.approx(separate[["LBBB", "IVCD", "QRS"]].sum())


def test_terms_that_undo_each_other(ebm, table):
    undone = copy.deepcopy(ebm)
    terms = [list(ebm.term_names_).index(name) for name in ("LBBB", "SR")]
    same = table.assign(SR=table["LBBB"])
    asked = ebm.bins_[ebm.feature_names_in_.index("LBBB")]
    undone.bins_[ebm.feature_names_in_.index("SR")] = asked
    undone.term_scores_[terms[1]] = -0.5 * undone.term_scores_[terms[0]]
    found = group_importances(undone, same, {"blocks": ["LBBB", "SR"]}).loc["blocks"]
    assert found["cancelling"] == pytest.approx(1 - 0.5 / 1.5)
    assert found["joint"] == pytest.approx(np.abs(0.5 * ebm.eval_terms(same)[:, terms[0]]).mean())


def test_pairs_go_with_their_group_or_alone(ebm, table):
    found = group_importances(ebm, table, [["LBBB", "age"], ["NORM", "SR"]])
    members = set(found["members"])
    assert members == {"LBBB, age, LBBB & age", "NORM, SR", "sex", "age & sex"}
    assert "age & sex" in found.index and found["joint"].is_monotonic_decreasing
    terms = [list(ebm.term_names_).index(name) for name in ("LBBB", "age", "LBBB & age")]
    joint = np.abs(ebm.eval_terms(table)[:, terms].sum(axis=1)).mean()
    assert found.loc[found["members"] == "LBBB, age, LBBB & age", "joint"].item() == pytest.approx(
        joint
    )
    named = group_importances(ebm, table[list(table)[::-1]], {"rhythm": ["SR"], "sex": "sex"})
    assert {"rhythm", "sex"} <= set(named.index)


def test_messages_of_group_importances(ebm, table):
    with pytest.raises(ValueError, match="names PVC, which the model has not"):
        group_importances(ebm, table, [["PVC"]])
    with pytest.raises(ValueError, match="groups names 'SR' twice"):
        group_importances(ebm, table, [["SR"], ["LBBB", "SR"]])
    with pytest.raises(ValueError, match=r"lacks 1 of the model's predictors \(SR\)"):
        group_importances(ebm, table.drop(columns="SR"))
    with pytest.raises(TypeError, match="table is a list"):
        group_importances(ebm, [[1]])


def test_groups_of_predictors_explain_the_same_answer():
    rng = np.random.default_rng(0)
    block = rng.normal(size=400)
    table = pd.DataFrame(
        {
            "LBBB": block,
            "IVCD": block + rng.normal(0, 0.1, 400),
            "SR": rng.normal(size=400),
            "AFIB": rng.normal(size=400),
        }
    )
    y = table["LBBB"] + table["SR"] > 0.5
    ebm = machine(interactions=[("LBBB", "SR")]).fit(table, y)
    explanation = explain_record(ebm, table.iloc[[7]])
    together = group_correlated(table)
    summed = group_explanation(explanation, together)
    grouped = summed.table
    total = explanation.log_odds - explanation.intercept
    assert grouped["contribution"].sum() == pytest.approx(total, abs=1e-9)
    assert (summed.intercept, summed.probability) == (
        explanation.intercept,
        explanation.probability,
    )
    assert summed.positive_class == explanation.positive_class
    pair = next(members for members in grouped["members"] if "," in members)
    assert set(pair.split(", ")) == {"LBBB", "IVCD"}
    row = grouped[grouped["members"] == pair].iloc[0]
    both = explanation.table.loc[["LBBB", "IVCD"], "contribution"]
    assert row["contribution"] == pytest.approx(both.sum(), abs=1e-12)
    assert np.isnan(row["low"]) and "LBBB & SR" in grouped.index
    assert np.isfinite(grouped.loc["SR", "low"])
    named = group_explanation(explanation, {"conduction": ["LBBB", "IVCD"]}).table
    assert "conduction" in named.index and len(named) == len(explanation.table) - 1
    assert named["contribution"].abs().is_monotonic_decreasing
    with pytest.raises(ValueError, match="names 'SR' twice"):
        group_explanation(explanation, [["SR"], ["SR", "AFIB"]])
    with pytest.raises(TypeError, match="DataFrame; expected a RecordExplanation"):
        group_explanation(table, together)
