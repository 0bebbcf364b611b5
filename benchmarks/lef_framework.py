"""The low-EF framework on a data set of EchoNext's layout, beside the best answer there can be.

    python benchmarks/lef_framework.py --out lef.json                 # synthetic, half an hour
    python benchmarks/lef_framework.py --path /data/echonext --out lef.json
    python benchmarks/lef_framework.py --out lef.json --docs docs     # tables of what is there

Without --path a synthetic data set is written first (20,000 records take 5 GB of disk), with a
planted ejection fraction: what is measured then is whether the framework finds what was planted,
not how well it does on people. Two extractors are compared there: the shipped MTECG, which has
never seen such records, and a small MTECG that was trained to tell the planted findings on records
of its own. Thresholds are chosen on val; the intervals are of test. Records are streamed from the
float64 files.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from ecgsk import MTECGClassifier, load_echonext, make_echonext, make_lef_classifier
from ecgsk.metrics import choose_threshold, compare_models, evaluate_binary
from ecgsk.preprocessing import Resample
from ecgsk.tabular import ProbabilityTransformer, SinglePredictorClassifier, screen_predictors

FINDINGS = slice("CLBBB", "1AVB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", help="folder of EchoNext (default: make a synthetic one)")
    parser.add_argument("--records", type=int, default=20_000, help="of the synthetic data set")
    parser.add_argument("--network-records", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--target", default="lvef<=45")
    parser.add_argument("--work", help="folder for synthetic data (default: a temporary one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="where the results go, as JSON")
    parser.add_argument(
        "--docs", metavar="DIR", help="write the tables of --out into the documents"
    )
    options = parser.parse_args()
    if options.docs and options.out and Path(options.out).exists():
        write_documents(json.loads(Path(options.out).read_text()), Path(options.docs))
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(options.work or folder))


def measure(options, work):
    made_up = options.path is None
    path = Path(options.path or work / "echonext")
    if made_up and not path.exists():
        make_echonext(path, options.records, random_state=options.seed, n_jobs=2)
    parts = {
        split: load_echonext(path, split=split, target=options.target, tabular=False)
        for split in ("train", "val", "test")
    }
    extractors = {"shipped MTECG": "mtecg"}
    if made_up:
        extractors["MTECG of the planted findings"] = train_network(options, work)
    results = {
        "data": "synthetic, in EchoNext's layout" if made_up else "EchoNext",
        "records": {split: len(part.target) for split, part in parts.items()},
        "prevalence": {split: float(part.target.mean()) for split, part in parts.items()},
        "target": options.target,
        "seed": options.seed,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {n: version(n) for n in ("ecgsk", "torch", "scikit-learn", "interpret-core")},
        "extractors": {},
    }
    print(json.dumps(results), flush=True)
    for name, extractor in extractors.items():
        results["extractors"][name] = one_extractor(name, extractor, parts, path, made_up)
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=2) + "\n")


def train_network(options, work):
    """Return a network that tells the planted findings, trained on records of its own."""
    path = work / "network"
    if not path.exists():
        make_echonext(path, options.network_records, random_state=options.seed + 1, n_jobs=2)
    part = load_echonext(path, split="train", missing_ef="infer", tabular=False)
    truth = pd.read_csv(path / "synthetic_truth.csv").set_index("ecg_key")
    findings = truth.loc[part.metadata["ecg_key"], FINDINGS]
    network = MTECGClassifier(
        "small", sampling_rate=100, max_epochs=options.epochs, learning_rate=2e-3, random_state=0,
        precision="float32",
    )  # fmt: skip
    start = time.perf_counter()
    network = make_pipeline(Resample(250, 100, n_jobs=2), network)
    network.fit(np.asarray(part.data), findings)
    print(f"network trained on {len(findings)}: {time.perf_counter() - start:.0f} s", flush=True)
    return FrozenEstimator(network)


def one_extractor(name, extractor, parts, path, made_up):
    step = make_lef_classifier(extractor, sampling_rate=250)["predictors"]
    assert isinstance(step, ProbabilityTransformer)
    start = time.perf_counter()
    tables = {split: step.fit(part.data).transform(part.data) for split, part in parts.items()}
    seconds = time.perf_counter() - start
    n_records = sum(map(len, tables.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = {"ms_per_record": 1e3 * seconds / n_records, "peak_gb": peak, "answers": {}}
    print(f"{name}: {1e3 * seconds / n_records:.1f} ms a record, peak {peak:.2f} GB", flush=True)
    truth = {split: part.target for split, part in parts.items()}
    groups = {split: part.groups for split, part in parts.items()}
    screened = screen_predictors(
        tables["train"], truth["train"], groups=groups["train"], n_resamples=0
    ).table
    result["best predictors on train"] = screened.index[:5].tolist()
    models = {kind: make_lef_classifier(extractor, classifier=kind, random_state=0)[1:]
              for kind in ("ebm", "logistic", "gradient_boosting")}  # fmt: skip
    models["best single predictor"] = make_pipeline(
        SinglePredictorClassifier(screened.index[0], direction=screened["direction"].iloc[0])
    )
    scores = {}
    for kind, model in models.items():
        start = time.perf_counter()
        params = {"classifier__groups": groups["train"]} if kind == "ebm" else {}
        model.fit(tables["train"], truth["train"], **params)
        took = time.perf_counter() - start
        scores[kind] = model.predict_proba(tables["test"])[:, 1]
        limit = choose_threshold(truth["val"], model.predict_proba(tables["val"])[:, 1])
        metrics = evaluate_binary(
            truth["test"], scores[kind], threshold=limit, groups=groups["test"], random_state=0
        ).table
        result["answers"][kind] = {"fit_seconds": took, "threshold": limit} | {
            metric: row.tolist() for metric, row in metrics.iterrows()
        }
        print(f"  {kind}: fit {took:.0f} s, AUROC {show(metrics.loc['AUROC'])}, F1 "
              f"{show(metrics.loc['F1'])}", flush=True)  # fmt: skip
    rivals = {kind: scores[kind] for kind in ("logistic", "gradient_boosting")}
    if made_up:
        oracle = pd.read_csv(path / "synthetic_truth.csv").set_index("ecg_key")["oracle"]
        rivals["best possible"] = oracle.loc[parts["test"].metadata["ecg_key"]].to_numpy()
        metrics = evaluate_binary(
            truth["test"], rivals["best possible"], groups=groups["test"], random_state=0
        ).table
        result["answers"]["best possible"] = {"AUROC": metrics.loc["AUROC"].tolist()}
        print(f"  best possible: AUROC {show(metrics.loc['AUROC'])}", flush=True)
    for rival, score in rivals.items():
        paired = compare_models(
            truth["test"], scores["ebm"], score, groups=groups["test"], random_state=0
        )
        difference = list(paired.difference)
        result["answers"]["ebm"][f"AUROC less {rival}"] = difference
        print(f"  ebm less {rival}: {show(difference)}", flush=True)
    return result


def show(interval):
    value, low, high = interval
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def write_documents(results, docs):
    """Write the results next to the documents, and their table into results.md."""
    (docs / "lef_framework.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        f"Data: {results['data']}; {results['records']['train']:,} records to learn from, "
        f"{results['records']['test']:,} tested, {results['prevalence']['test']:.1%} of them with "
        f"{results['target']}.",
        "",
        "| extractor | answer by | AUROC | average precision | F1 | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|",
    ]
    metrics = ("AUROC", "average precision", "F1", "sensitivity", "specificity")
    differences = []
    for extractor, found in results["extractors"].items():
        for kind, answer in found["answers"].items():
            cells = [show(answer[f]) if f in answer else "" for f in metrics]
            name = f"{kind} ({found['best predictors on train'][0]})" if "single" in kind else kind
            lines.append(f"| {extractor} | {name} | {' | '.join(cells)} |")
        differences += [
            f"| {extractor} | {name.removeprefix('AUROC less ')} | {show(value)} |"
            for name, value in found["answers"]["ebm"].items()
            if name.startswith("AUROC less")
        ]
    lines += [
        "",
        "AUROC of the EBM less that of others, on the same resamples of patients:",
        "",
        "| extractor | rival | difference |",
        "|---|---|---|",
        *differences,
        "",
    ]
    path = docs / "results.md"
    before, mark, rest = path.read_text().partition("<!-- lef_framework -->\n")
    _, end, after = rest.partition("<!-- end of lef_framework -->")
    assert mark and end, f"{path} has no place for the tables"
    path.write_text(before + mark + "\n" + "\n".join(lines) + "\n" + end + after)


if __name__ == "__main__":
    main()
