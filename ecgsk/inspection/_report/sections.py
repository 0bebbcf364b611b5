"""The parts of a report. Each names its data and the call that made it."""

from typing import Any

import pandas as pd

from ecgsk._core.records import RecordArray
from ecgsk.datasets import PTBXL_STATEMENTS
from ecgsk.inspection._cohort_table import describe_cohort
from ecgsk.inspection._ebm.group_explanation import group_explanation
from ecgsk.inspection._ebm.groups import group_correlated, group_importances
from ecgsk.inspection._ebm.local import explain_record
from ecgsk.inspection._ebm.terms import ebm_importances
from ecgsk.inspection._lead_importance import lead_importance
from ecgsk.inspection._plots.ebm_terms import EBMTermsDisplay
from ecgsk.inspection._plots.evaluation import EvaluationDisplay
from ecgsk.inspection._plots.explanation import ExplanationDisplay
from ecgsk.inspection._plots.predictors import PredictorsDisplay
from ecgsk.inspection._plots.saliency import SaliencyDisplay
from ecgsk.inspection._plots.subgroups import SubgroupsDisplay
from ecgsk.inspection._report.calls import Name, as_number
from ecgsk.inspection._saliency import saliency
from ecgsk.metrics import calibration_metrics, choose_threshold, evaluate_binary, evaluate_subgroups
from ecgsk.tabular import screen_predictors

_RULES: dict[str, dict[str, Any]] = {
    "greatest F1": {"rule": "f1"},
    "greatest Youden index": {"rule": "youden"},
    "sensitivity at least 0.9": {"rule": "sensitivity", "sensitivity": 0.9},
    "specificity at least 0.9": {"rule": "specificity", "specificity": 0.9},
}
# With fewer, correlations are chance.
_FEWEST_FOR_GROUPS = 30
_FIXED = (0.05, 0.1, 0.2, 0.3, 0.5)
_DECISIONS = ("sensitivity", "specificity", "PPV", "NPV", "F1", "flagged")
Y, P, GROUPS, THRESHOLD = map(Name, ("y", "p", "groups", "threshold"))


def write_cohort(page, calls, settings) -> None:
    """Describe the cohort."""
    page.section("Cohort")
    page.text(f"{sentence(settings.data)} The condition is {settings.condition}.")
    table, call = calls(describe_cohort, Y, Name("by"), groups=GROUPS)
    page.table(table.rename_axis("").reset_index())
    page.call(call)
    page.text(
        "In the calls of this report y is 1 where a record has the condition, p is "
        "model.predict_proba(X)[:, 1], groups are patients, by holds the covariates, and threshold "
        "is that of the model."
    )


def write_accuracy(page, calls, settings) -> None:
    """Show metrics, curves and thresholds."""
    resampling = {"n_resamples": settings.n_resamples, "random_state": settings.random_state}
    units = "records" if calls.variables["groups"] is None else "patients"
    page.section("Performance")
    page.text(
        f"A record counts as positive from a probability of {calls.variables['threshold']:.3f} on "
        f"({settings.chosen}). Intervals are of 95 %, from {settings.n_resamples} resamples of "
        f"{units}. Precision and average precision rise and fall with the prevalence."
    )
    result, call = calls(evaluate_binary, Y, P, threshold=THRESHOLD, groups=GROUPS, **resampling)
    page.table(result.table.rename_axis("metric"))
    page.call(call)
    calibration, call = calls(calibration_metrics, Y, P, groups=GROUPS, **resampling)
    page.heading("Calibration")
    page.text(
        "A calibration slope of 1 and a calibration-in-the-large of 0 are ideal; a slope below 1 "
        "means probabilities that are too extreme."
    )
    page.table(calibration.table.rename_axis("metric"))
    page.call(call)
    page.heading("Curves")
    display, call = calls(EvaluationDisplay.from_predictions, Y, P, threshold=THRESHOLD)
    page.figure(
        display,
        alt="ROC, precision-recall, calibration and decision curves",
        caption=f"a ROC, b precision-recall, c calibration with the spread of predictions beneath, "
        f"d net benefit. {sentence(settings.data)}",
    )
    page.call(call)
    page.heading("Thresholds")
    _write_thresholds(page, calls, resampling)


def _write_thresholds(page, calls, resampling) -> None:
    rows, made = [], []
    if calls.variables["p_val"] is not None:
        page.text(
            "Chosen on other records (y_val, p_val) and applied to these: a sensitivity reached "
            "there need not hold here."
        )
        for name, rule in _RULES.items():
            value, call = calls(choose_threshold, Name("y_val"), Name("p_val"), **rule)
            rows.append((name, as_number(value)))
            made.append(call)
    else:
        page.text("Fixed beforehand: no other records were given to choose thresholds on.")
        rows = [(f"{value:g}", value) for value in _FIXED]
    table = []
    for name, value in rows:
        result, call = calls(evaluate_binary, Y, P, threshold=value, groups=GROUPS, **resampling)
        made.append(call)
        shown = {key: _interval(result.table.loc[key]) for key in _DECISIONS}
        table.append({"rule": name, "threshold": value} | shown)
    page.table(pd.DataFrame(table))
    page.call(*made)


def write_subgroups(page, calls, settings) -> None:
    """Show metrics by subgroup."""
    page.section("Subgroups")
    page.text(
        "Differences between subgroups of few records are mostly chance; compare the intervals. "
        "Where all records of a subgroup are of one class nothing can be ranked, and the AUROC "
        "is left out."
    )
    result, call = calls(
        evaluate_subgroups, Y, P, Name("by"), threshold=THRESHOLD, bins=Name("bins"),
        groups=GROUPS, n_resamples=settings.n_resamples, random_state=settings.random_state,
    )  # fmt: skip
    calls.variables["subgroups"] = result
    display, drawn = calls(SubgroupsDisplay.from_result, Name("subgroups"))
    page.figure(display, alt="AUROC of each subgroup", caption=sentence(settings.data), most=110)
    page.call(drawn)
    page.table(result.table)
    page.call(call)


def write_predictors(page, calls, settings) -> None:
    """Show the predictors, together and alone."""
    if calls.variables["predictors"] is None:
        return
    page.section("Predictors")
    if hasattr(calls.variables["ebm"], "term_importances"):
        page.heading("Together: the terms of the glass box")
        page.text(
            "The model's log-odds are the sum of these curves. Bars are the mean size of a "
            "contribution, whiskers and bands the spread between the model's bagged copies. A "
            "curve shows what the model does, not what causes the condition."
        )
        display, call = calls(EBMTermsDisplay.from_estimator, Name("ebm"), n_terms=settings.n_terms)
        page.figure(
            display, alt="Importances and curves of the most important terms", least=760,
            caption="Curves of the model, learned from its training records.",
        )  # fmt: skip
        page.call(call)
        table, call = calls(ebm_importances, Name("ebm"))
        page.table(table.head(settings.n_terms).rename_axis("predictor"))
        page.call(call)
        settings.shown |= set(map(str, table.index[: settings.n_terms]))
        page.heading("Correlated predictors")
        page.text(
            "Among correlated predictors the credit is divided arbitrarily: a group's joint "
            "importance is to be read before those of its members. Cancelling near 1 means that "
            "members undo each other, and their single curves mean little."
        )
        table, call = calls(group_importances, Name("ebm"), Name("predictors"))
        page.table(table.head(settings.n_terms).rename_axis("group"))
        page.call(call)
        settings.shown |= _members(table.head(settings.n_terms))
    else:
        page.text(
            f"The last step is a {type(calls.variables['ebm']).__name__}, not an explainable "
            "boosting machine: it has no curves that could be shown."
        )
    page.heading("Alone: each predictor by itself")
    page.text(
        "No training: the predictor itself ranks the records, high or low values supporting the "
        "condition. The direction is chosen on these records, and the best of many is best partly "
        "by luck."
    )
    ranked = "predictors"
    numbers = calls.variables[ranked].select_dtypes(["number", "bool"])
    if numbers.shape[1] < calls.variables[ranked].shape[1]:
        # A glass box reads text as well, which cannot rank records.
        ranked = "numbers"
        calls.variables[ranked] = numbers
    if not numbers.shape[1]:
        page.text("None of the predictors is a number that could rank records.")
        return
    result, call = calls(
        screen_predictors, Name(ranked), Y, groups=GROUPS,
        n_resamples=settings.n_resamples, random_state=settings.random_state,
    )  # fmt: skip
    calls.variables["screened"] = result
    display, drawn = calls(PredictorsDisplay.from_result, Name("screened"), n_predictors=15)
    page.figure(
        display, alt="AUROC of the 15 best predictors", caption=sentence(settings.data), most=110
    )
    page.call(drawn, call)
    settings.shown |= set(map(str, result.table.index[:15]))


def write_leads(page, calls, settings) -> None:
    """Show the importance of the leads."""
    page.section("Leads")
    rows = calls.variables["shown"]
    page.text(
        f"How much the AUROC falls when a lead is exchanged between records, on {len(rows)} "
        "records. Leads repeat each other: one that does not matter alone may matter together with "
        "others, and exchanged leads make ECGs that do not occur in patients."
    )
    calls.variables["X_shown"] = calls.variables["X"][rows]
    calls.variables["y_shown"] = calls.variables["y"][rows]
    groups = calls.variables["groups"]
    calls.variables["groups_shown"] = None if groups is None else groups[rows]
    result, call = calls(
        lead_importance, Name("model"), Name("X_shown"), Name("y_shown"), leads=Name("leads"),
        groups=Name("groups_shown"), random_state=settings.random_state,
    )  # fmt: skip
    page.table(result.table.sort_values("importance", ascending=False).rename_axis("lead"))
    page.call(call)


def write_patient(page, calls, settings, record: int) -> None:
    """Show one recording, its probability, and what contributes to it."""
    name = settings.names[record]
    p, threshold = calls.variables["p"][record], calls.variables["threshold"]
    page.section(f"Patient: {name}", new_page=True)
    side = "at or above" if p >= threshold else "below"
    page.text(
        f"Probability of {settings.condition}: {p:.3f}, {side} the threshold of {threshold:.3f}.",
        kind="answer",
    )
    by = calls.variables["by"]
    if by is not None:
        known = "; ".join(f"{key}: {_cell(value)}" for key, value in by.iloc[record].items())
        page.text(f"Covariates: {known}.")
    if calls.variables["y"] is not None:
        has = "has" if calls.variables["y"][record] else "does not have"
        page.text(f"According to the data this patient {has} the condition.")
    X = calls.variables["X"]
    one = X[record : record + 1]
    calls.variables[f"X_{record}"] = one
    found, call = calls(
        saliency, Name("model"), Name(f"X_{record}"), sampling_rate=settings.sampling_rate,
        leads=Name("leads"),
    )  # fmt: skip
    calls.variables[f"found_{record}"] = found
    signal = one.read([0])[0] if isinstance(one, RecordArray) else one[0]
    calls.variables[f"signal_{record}"] = signal
    display, drawn = calls(
        SaliencyDisplay.from_result, Name(f"signal_{record}"), Name(f"found_{record}"),
        sampling_rate=settings.sampling_rate, leads=Name("leads"),
        layout="3x4+1" if len(calls.variables["leads"]) == 12 else "12x1",
    )  # fmt: skip
    page.heading("ECG and saliency")
    page.figure(
        display,
        alt=f"ECG of {name} with shading where it changes the probability",
        least=960,
        caption="Shaded where the probability "
        "changes when a window of 0.2 s is replaced by a straight line: warm supports the "
        "condition, blue speaks against it. A part that repeats may matter without any shading.",
    )
    page.call(call, drawn)
    has_terms = hasattr(calls.variables["ebm"], "term_importances")
    if calls.variables["predictors"] is not None and has_terms:
        _write_explanation(page, calls, settings, record)


def _write_explanation(page, calls, settings, record: int) -> None:
    row = f"row_{record}"
    calls.variables[row] = calls.variables["predictors"].iloc[[record]]
    explanation, call = calls(explain_record, Name("ebm"), Name(row))
    calls.variables[f"explanation_{record}"] = explanation
    page.heading("Contributions to the probability")
    shown = f"explanation_{record}"
    if len(calls.variables["predictors"]) >= _FEWEST_FOR_GROUPS:
        correlated = None
        if "together" not in calls.variables:
            together, correlated = calls(group_correlated, Name("predictors"))
            calls.variables["together"] = together
        grouped, summed = calls(group_explanation, Name(shown), Name("together"))
        shown = f"grouped_{record}"
        calls.variables[shown] = grouped
        page.text(
            "Predictors that are correlated on these records (0.7 or more) are summed: the model "
            "divides the credit among them arbitrarily. The value of a group is that of its first "
            "member. In the calls these groups are together."
        )
        if correlated is not None:
            page.call(correlated)
    display, drawn = calls(ExplanationDisplay.from_result, Name(shown), n_terms=settings.n_terms)
    page.figure(
        display,
        alt="Contributions of predictors to the log-odds of this patient",
        caption="From the model's average to this patient, in log-odds; the contributions add up.",
        most=105,
    )
    page.call(drawn)
    if shown.startswith("grouped"):
        table = grouped.table[["contribution", "members"]].head(settings.n_terms)
        page.table(table.rename_axis("group"))
        page.call(summed)
        settings.shown |= _members(table)
    settings.shown |= set(map(str, explanation.table.index[: settings.n_terms]))
    page.heading("One by one")
    page.table(explanation.table.head(settings.n_terms).rename_axis("predictor"))
    page.call(call)


def write_model(page, calls, settings, about, versions) -> None:
    """Describe the model, its training and its limits."""
    page.section("Model card", new_page=True)
    if isinstance(about, str):
        page.text(about)
    elif about is not None:
        page.table(pd.DataFrame({"": list(about), " ": list(map(str, about.values()))}))
    else:
        page.text("Not stated: what the model was trained on.")
    page.text(
        "Intended for research on recordings like those it was trained on. It has not been "
        "validated for use in care. It reads the ECG and the covariates of this report, and no "
        "other finding; where recordings, patients or the prevalence differ, its calibration has "
        "to be checked again (ecgsk.metrics.calibration_metrics) and its probabilities may need a "
        "shift (ecgsk.metrics.shift_prevalence)."
    )
    page.heading("Steps")
    page.code(str(calls.variables["model"]))
    page.heading("Versions")
    page.text(", ".join(f"{name} {value}" for name, value in versions.items()) + ".")


def write_glossary(page, settings) -> None:
    """Explain the predictors that were shown."""
    if not settings.shown:
        return
    page.section("Glossary")
    page.text(
        "Predictors are the outputs of a network for the recording, in log-odds unless the steps "
        "differ: how likely it holds a finding, not that a cardiologist found it."
    )
    # Several extractors put their name before that of the column.
    meanings = {name: PTBXL_STATEMENTS.get(name.rpartition("__")[2]) for name in settings.shown}
    known = {name: text for name, text in sorted(meanings.items()) if text}
    if known:
        page.text("These are statements of PTB-XL (Wagner et al., Scientific Data 7, 154, 2020):")
        page.table(pd.DataFrame({"predictor": list(known), "meaning": list(known.values())}))


def _members(table) -> set[str]:
    return {name for members in table["members"] for name in str(members).split(", ")}


def sentence(text: str) -> str:
    """Return words as a sentence."""
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _interval(row) -> str:
    if pd.isna(row["value"]):
        return "\N{EN DASH}"
    ends = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f"{row['value']:.2f}{ends}"


def _cell(value) -> str:
    if pd.isna(value):
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
