"""Files and pickles name public packages only, so that private modules can move."""

import ast
import copy
import os
import pickle
import pickletools
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from optuna.distributions import FloatDistribution
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import ecgsk
from ecgsk import (
    ECGAugmentation,
    MTECGClassifier,
    MTECGPretrainer,
    NetworkClassifier,
    ONNXClassifier,
    OptunaSearchCV,
    RecordArray,
    SinglePredictorClassifier,
    make_lef_classifier,
    save,
)
from ecgsk.estimators import (
    Distillation,
    EarlyStopping,
    FullTraining,
    LinearProbe,
    MTECGSize,
    PostTraining,
)
from ecgsk.metrics import macro_roc_auc
from ecgsk.model_selection import MultilabelStratifiedGroupKFold, PTBXLFolds
from ecgsk.persistence import describe
from ecgsk.persistence._types import ECGSK, RENAMED
from ecgsk.preprocessing import (
    BandPass,
    CropPad,
    ECGFounderPreprocessor,
    MedianBaseline,
    Notch,
    Resample,
    SelectLeads,
    Standardize,
)
from ecgsk.tabular import GroupedEBMClassifier
from tests._models import RATE, recordings, small_models
from tests._networks import SmallCNN

ROOT = Path(__file__).parents[2]
PACKAGE = Path(ecgsk.__file__).parent
X, Y = recordings(24)
LABELS = pd.DataFrame({"AF": Y, "LBBB": np.arange(24) // 2 % 2})
AGES = pd.DataFrame({"age": np.linspace(40, 80, 24)})
TABLE = np.random.default_rng(0).normal(size=(24, 3))


def quick(name="mtecg", **params):
    return small_models()[name].set_params(max_epochs=1, **params)


def other_network(path: Path) -> ONNXClassifier:
    """Return a classifier of an ONNX file, which is not there when it is used."""
    from tests._onnx_files import write_onnx

    write_onnx(path, (None, 3, X.shape[2]), np.eye(3))
    model = ONNXClassifier(
        path, ["AF", "LBBB", "MI"], leads=["I", "II", "V1"], sampling_rate=RATE,
        preprocessing=[Standardize()], activation="sigmoid",
    ).fit(X)  # fmt: skip
    path.unlink()
    return model


def fitted(folder: Path) -> dict:
    """Return models with the method and the data that the tests compare."""
    teacher = quick(augmentation=ECGAugmentation()).fit(X, Y)
    pretrainer = MTECGPretrainer(
        "nano", sampling_rate=RATE, max_epochs=1, decoder_width=16, random_state=0
    ).fit(X)
    student = MTECGClassifier(
        MTECGSize("nano", depth=1),
        distillation=Distillation(teacher),
        early_stopping=EarlyStopping(),
        sampling_rate=RATE,
        max_epochs=1,
        random_state=0,
        precision="float32",
    )
    trained = [
        quick(pretrained=pretrainer, strategy=strategy).fit(X, Y)
        for strategy in (FullTraining(dropout=0.1), LinearProbe(), PostTraining())
    ]
    extractors = {
        "labels": FrozenEstimator(quick().fit(X, LABELS)),
        "other": FrozenEstimator(quick(random_state=1).fit(X, LABELS)),
    }
    glass_box = GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=5, n_jobs=1)
    lef = make_lef_classifier(extractors, covariates=["age"], classifier=glass_box)
    filters = make_pipeline(
        SelectLeads(["I", "II"], input_leads=["I", "II", "V1"]),
        CropPad(150),
        BandPass(0.67, 40, sampling_rate=RATE),
        Notch(40, sampling_rate=RATE),
        MedianBaseline(0.4, sampling_rate=RATE),
        Resample(RATE, 50),
        Standardize(),
    )
    search = OptunaSearchCV(
        LogisticRegression(),
        {"C": FloatDistribution(0.1, 10, log=True)},
        n_trials=2,
        cv=2,
        random_state=0,
    )
    own = NetworkClassifier(SmallCNN, sampling_rate=RATE, max_epochs=1, random_state=0)
    folds, ptbxl = (
        GridSearchCV(LogisticRegression(), {}, cv=cv, scoring=make_scorer(macro_roc_auc))
        for cv in (MultilabelStratifiedGroupKFold(2), PTBXLFolds(np.arange(24) % 2))
    )
    return {
        **{f"trained-{i}": (model, "transform", X) for i, model in enumerate(trained)},
        "student": (student.fit(X, Y), "predict_proba", X),
        "founder": (quick("ecgfounder").fit(X, LABELS), "predict_proba", X),
        "own": (own.fit(X, Y), "predict_proba", X),
        "onnx": (other_network(folder / "network.onnx"), "predict_proba", X),
        "pretrainer": (pretrainer, "transform", X),
        "lef": (lef.fit(RecordArray.wrap(X, table=AGES), Y), "predict_proba", (X, AGES)),
        "filters": (filters.fit(X), "transform", X),
        "founder-input": (ECGFounderPreprocessor(sampling_rate=RATE).fit(X), "transform", X),
        "single": (SinglePredictorClassifier(0).fit(TABLE, Y), "predict_proba", TABLE),
        "search": (search.fit(TABLE, Y), "predict_proba", TABLE),
        "folds": (folds, "get_params", False),
        "ptbxl": (ptbxl, "get_params", False),
    }


def recorded(given):
    """Return data for a model; a pair is recordings and their table."""
    return RecordArray.wrap(given[0], table=given[1]) if isinstance(given, tuple) else given


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("models")
    answers = {}
    for name, (model, method, given) in fitted(folder).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the network of "own" is not known
            save(model, folder / f"{name}.ecgsk")
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))
        (folder / f"{name}.given").write_bytes(pickle.dumps((method, given)))
        if method != "get_params":
            answers[name] = np.asarray(getattr(model, method)(recorded(given)))
    np.savez(folder / "answers.npz", **answers)
    return folder


def names(folder: Path, kind: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*.{kind}"))


def is_private(module: str) -> bool:
    first, *others = module.split(".")
    return first == "ecgsk" and any(part.startswith("_") for part in others)


def modules_in(content: bytes) -> set[str]:
    """Return all text in a pickle, and in pickles inside it, that may name a module."""
    found = set()
    for _, argument, _ in pickletools.genops(content):
        if isinstance(argument, str):
            found |= set(argument.split(" "))  # GLOBAL has the module and the name in one
        elif isinstance(argument, bytes) and argument.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(argument)) as archive:
                for name in archive.namelist():
                    if name.endswith(".pkl"):
                        found |= modules_in(archive.read(name))
    return found


def test_files_name_public_types_of_ecgsk_and_together_all_of_them(folder):
    named = set()
    for name in names(folder, "ecgsk"):
        named |= set(describe(folder / f"{name}.ecgsk")["types"])
    own = {name for name in named if name.partition(".")[0] == "ecgsk"}
    assert not {name for name in own if is_private(name)}
    assert own == {".".join(pair) for pair in ECGSK} | {"ecgsk.metrics.macro_roc_auc"}


def test_pickles_name_no_private_module(folder):
    for name in names(folder, "pickle"):
        modules = modules_in((folder / f"{name}.pickle").read_bytes())
        assert "ecgsk" in {module.partition(".")[0] for module in modules}, name
        assert not {module for module in modules if is_private(module)}, name


@pytest.mark.slow
def test_workers_of_joblib_receive_models(folder):
    answers = np.load(folder / "answers.npz")
    models = {name: pickle.loads((folder / f"{name}.pickle").read_bytes()) for name in answers}
    given = {name: pickle.loads((folder / f"{name}.given").read_bytes()) for name in answers}
    jobs = [
        delayed(getattr(models[name], given[name][0]))(recorded(given[name][1])) for name in answers
    ]
    for name, answer in zip(answers, Parallel(n_jobs=2)(jobs), strict=True):
        # Workers have another number of threads.
        np.testing.assert_allclose(np.asarray(answer), answers[name], atol=1e-6, err_msg=name)
    things = [getattr(import_module(module), name) for module, name in ECGSK]
    found = Parallel(n_jobs=2)(delayed(copy.copy)(thing) for thing in things)
    assert all(one is other for one, other in zip(found, things, strict=True))


def test_old_names_lead_to_public_ones():
    for module, name in RENAMED.values():
        assert getattr(import_module(module), name).__module__ == module


def moved(folder: Path) -> Path:
    """Copy the package with another name for each private module."""
    target = folder / "moved"
    shutil.copytree(PACKAGE, target / "ecgsk", ignore=shutil.ignore_patterns("__pycache__"))
    paths = sorted((target / "ecgsk").rglob("_*"), key=lambda path: -len(path.parts))
    for path in paths:
        if not path.name.startswith("__"):
            path.rename(path.with_name(f"_moved{path.name}"))
    for path in (target / "ecgsk").rglob("*.py"):
        text = path.read_text()
        # The table of old names stays as it is.
        keep_strings = path.name == "_moved_types.py"
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if isinstance(node, (ast.Import, ast.ImportFrom)) or (is_text and not keep_strings):
                for number in range(node.lineno - 1, node.end_lineno):
                    lines[number] = re.sub(
                        r"\becgsk(\.\w+)+",
                        lambda path: re.sub(r"\._(?!_|moved_)", "._moved_", path[0]),
                        lines[number],
                    )
                if isinstance(node, ast.ImportFrom):  # from ecgsk.persistence import _types
                    for alias in node.names:
                        if re.match("_[a-z]", alias.name) and is_module(node.module, alias.name):
                            line = node.lineno - 1
                            new = f"_moved{alias.name} as {alias.name}"
                            lines[line] = re.sub(rf"\b{alias.name}\b", new, lines[line])
        path.write_text("".join(lines))
    return target


def is_module(package: str, name: str) -> bool:
    folder = PACKAGE.parent.joinpath(*package.split("."))
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


_ELSEWHERE = """
import copy, pickle, sys
from pathlib import Path
import numpy as np
folder = Path(sys.argv[1])
answers = np.load(folder / "answers.npz")
for path in folder.glob("*.given"):
    method, given = pickle.loads(path.read_bytes())
    pickled = pickle.loads(path.with_suffix(".pickle").read_bytes())
    import ecgsk, ecgsk.persistence  # after the first pickle was read
    assert Path(ecgsk.__file__).is_relative_to(folder), ecgsk.__file__
    if isinstance(given, tuple):
        given = ecgsk.RecordArray.wrap(given[0], table=given[1])
    saved = path.with_suffix(".ecgsk")
    loaded = ecgsk.load(saved, trusted=ecgsk.persistence.describe(saved)["to_trust"])
    for model in (pickled, copy.deepcopy(pickled), loaded):
        answer = getattr(model, method)(given)
        if method != "get_params":
            np.testing.assert_array_equal(np.asarray(answer), answers[path.stem], path.stem)
from tests._fixtures import RELEASES, compare_with_release
for expected in RELEASES:
    compare_with_release(expected)
left = {name for name in sys.modules if name.startswith("ecgsk.") and "._" in name
        and "_moved" not in name}
assert not left, left
"""


@pytest.mark.slow
def test_files_and_pickles_outlive_a_move_of_every_private_module(folder):
    path = os.pathsep.join([str(moved(folder)), str(ROOT)])
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ELSEWHERE, str(folder)],
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )
