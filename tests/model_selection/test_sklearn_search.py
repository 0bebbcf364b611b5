"""scikit-learn's own tests of GridSearchCV, run on OptunaSearchCV."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEIRS = "sklearn.model_selection.tests.test_search"

# What differs in kind, by test.
DIFFERENT = {
    "test_grid_search_cv_results": "cv_results_ has trial_number and trial_state as well",
    "test_custom_run_search": "candidates come from a study, not from _run_search",
    "test_grid_search_no_score": "a missing y is an error of its own",
    "test_unsupported_sample_weight_scorer": "a search without any finite score ends in an error",
    "test_search_cv_results_none_param": "a search without any finite score ends in an error",
    "test_predict_proba_disabled": "a space without parameters is refused",
    "test_search_cv_using_minimal_compatible_estimator": "unknown parameters are refused first",
    "test_search_callbacks_no_propagation": "callbacks are refused",
    "test_search_callbacks_propagation": "callbacks are refused",
    "test_search_callbacks_receive_sample_weight": "callbacks are refused",
    "test_search_callbacks_receive_search_instance": "callbacks are refused",
    "test_search_callbacks_with_partial_fit_failures": "callbacks are refused",
}


@pytest.mark.slow
def test_their_tests_of_a_grid_search_pass():
    if importlib.util.find_spec("sklearn.model_selection.tests") is None:
        pytest.skip("this scikit-learn comes without its tests")
    options = [
        "-q",
        "--tb=no",
        "-rf",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.model_selection._grid_adapter",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--pyargs", THEIRS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE))
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 100, done.stdout + done.stderr
    assert failed <= set(DIFFERENT), done.stdout
