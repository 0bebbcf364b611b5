import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import find_peaks
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk import STANDARD_LEADS, check_ecg
from ecgsk.datasets import make_lef_cohort
from ecgsk.datasets._synthetic.lef_cohort import draw_cohort

STATED = {
    name: (float(a), float(b), unit)
    for name, a, b, unit in re.findall(
        r"^ +`*(\w+)`* +(-\d\.\d) +(\d\.\d) .* (patient|record)$",
        make_lef_cohort.__doc__,
        re.MULTILINE,
    )
}

RELATED = [b > 0 for _, b, _ in STATED.values()]


@pytest.fixture(scope="module")
def many():
    return draw_cohort(200_000, 150_000, 0.2, 45.0, np.random.default_rng(0))


@pytest.fixture(scope="module")
def cohort():
    return make_lef_cohort(1200, random_state=0)


def test_the_docstring_states_every_finding(many):
    assert list(STATED) == many.diagnosis_names


def test_findings_follow_the_stated_model(many):
    intercept, slope, _ = (np.array(column) for column in zip(*STATED.values(), strict=True))
    intercept, slope = intercept.astype(float), slope.astype(float)
    for ef in (25, 34, 45, 55, 61, 68):
        rows = many.ejection_fraction == ef
        stated = expit(intercept + slope * (55 - ef) / 10)
        error = 4.5 * np.sqrt(stated * (1 - stated) / rows.sum())
        # A finding that is drawn for the patient counts once, however many records show it.
        assert np.all(np.abs(many.diagnoses[rows].mean(axis=0) - stated) < 1.4 * error)


def test_findings_are_independent_given_the_ejection_fraction(many):
    rows = many.ejection_fraction == 61
    correlation = np.corrcoef(many.diagnoses[rows].T) - np.eye(len(STATED))
    assert np.abs(correlation).max() < 5 * 1.4 / np.sqrt(rows.sum())
    everyone = np.corrcoef(many.diagnoses.T)
    assert everyone[0, 1] > 0.05


def test_ejection_fractions_are_the_stated_mixture(many):
    _, first = np.unique(many.groups, return_index=True)
    ef = many.ejection_fraction[first]
    assert ef.min() >= 10 and ef.max() <= 80
    assert_array_equal(ef, ef.round())
    failing, healthy = norm(34, 8), norm(61, 6)
    share = (0.2 - healthy.cdf(45.5)) / (failing.cdf(45.5) - healthy.cdf(45.5))
    for value in (30, 45, 55, 65):
        stated = share * failing.cdf(value + 0.5) + (1 - share) * healthy.cdf(value + 0.5)
        assert_allclose((ef <= value).mean(), stated, atol=0.006)


@pytest.mark.parametrize(("prevalence", "threshold"), [(0.2, 45.0), (0.1, 35.0), (0.4, 50.0)])
def test_prevalence_is_that_of_the_threshold(prevalence, threshold):
    drawn = draw_cohort(50_000, 50_000, prevalence, threshold, np.random.default_rng(1))
    assert_allclose(drawn.target.mean(), prevalence, atol=0.01)
    assert_array_equal(drawn.target, drawn.ejection_fraction <= threshold)


def test_the_oracle_is_calibrated(many):
    bins = np.clip((many.oracle * 20).astype(int), 0, 19)
    for b in np.unique(bins):
        rows = bins == b
        error = 4.5 * np.sqrt(0.25 / rows.sum())
        assert abs(many.target[rows].mean() - many.oracle[rows].mean()) < error


def test_the_oracle_is_the_share_of_low_among_records_with_the_same_findings(many):
    patterns, index, count = np.unique(
        many.diagnoses, axis=0, return_inverse=True, return_counts=True
    )
    for k in np.argsort(-count)[:12]:
        rows = index.ravel() == k
        p = many.oracle[rows][0]
        assert_array_equal(many.oracle[rows], p)
        assert abs(many.target[rows].mean() - p) < 5 * np.sqrt(p * (1 - p) / rows.sum())


def test_no_other_reader_of_the_findings_beats_the_oracle(many):
    best = roc_auc_score(many.target, many.oracle)
    assert 0.91 < best < 0.94
    alone = [roc_auc_score(many.target, finding) for finding in many.diagnoses.T]
    assert max(alone) < best - 0.1
    unrelated = [many.diagnosis_names.index(name) for name in ("CRBBB", "LAFB", "1AVB")]
    assert_allclose(np.array(alone)[unrelated], 0.5, atol=0.01)
    half = len(many.target) // 2
    learned = LogisticRegression(C=1e6).fit(many.diagnoses[:half], many.target[:half])
    score = learned.decision_function(many.diagnoses[half:])
    rest = roc_auc_score(many.target[half:], many.oracle[half:])
    # What the luck of a hundred thousand records can add to either.
    assert rest - 0.01 < roc_auc_score(many.target[half:], score) < rest + 1e-3


def test_the_records_of_a_patient_belong_together(many):
    order = np.argsort(many.groups, kind="stable")
    groups = many.groups[order]
    same = np.flatnonzero(groups[1:] == groups[:-1])
    assert len(np.unique(groups)) == 150_000
    for name in ("ejection_fraction", "age", "sex", "target"):
        values = many[name][order]
        assert_array_equal(values[same], values[same + 1])
    findings = many.diagnoses[order]
    for k, (_, _, unit) in enumerate(STATED.values()):
        changes = (findings[same, k] != findings[same + 1, k]).any()
        assert changes == (unit == "record")


def test_age_and_sex_say_nothing_of_the_ejection_fraction(many):
    _, first = np.unique(many.groups, return_index=True)
    for name in ("age", "sex"):
        assert abs(roc_auc_score(many.target[first], many[name][first]) - 0.5) < 0.02
    assert set(many.sex) == {0, 1} and many.age.min() >= 18


def features(x, sampling_rate=100):
    """Return the median beat and the rhythm of each record."""
    rows = []
    for record in x:
        speed = np.convolve(np.abs(np.diff(record, axis=1)).sum(axis=0), np.ones(9) / 9, "same")
        peaks, _ = find_peaks(speed, height=0.45 * speed.max(), distance=30)
        inside = peaks[(peaks > 32) & (peaks < record.shape[1] - 48)]
        beats = np.stack([record[:, p - 30 : p + 45] for p in inside])
        beat, rr = np.median(beats, axis=0), np.diff(peaks) / sampling_rate
        odd = np.sort(np.abs(beats - beat)[:, :, 18:50].max(axis=(1, 2)))[::-1][:2]
        slope = np.abs(np.diff(beat, axis=1)).mean(axis=0) / beat.std()
        rhythm = [rr.mean(), rr.std() / rr.mean(), np.log(beat.std()), *odd]
        rows.append(np.concatenate([beat.ravel(), slope, slope * rr.mean(), rhythm]))
    return np.array(rows)


def test_findings_can_be_read_from_the_waveform(cohort):
    x = features(cohort.data)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=100, tol=1e-2))
    folds = list(GroupKFold(2).split(x, groups=cohort.groups))

    def score(y):
        p = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        return roc_auc_score(y, p)

    found = dict(zip(cohort.diagnosis_names, (score(y) for y in cohort.diagnoses.T), strict=True))
    assert min(found.values()) > 0.75, found
    assert found["CLBBB"] > 0.95 and found["ASMI"] > 0.9
    assert np.median(list(found.values())) > 0.9
    direct = score(cohort.target)
    assert 0.75 < direct < roc_auc_score(cohort.target, cohort.oracle)


def test_a_cohort_is_complete_and_valid(cohort):
    n = 1200
    assert cohort.data.shape == (n, 12, 1000) and cohort.data.dtype == np.float32
    assert check_ecg(cohort.data) is cohort.data
    for name in ("target", "ejection_fraction", "diagnoses", "groups", "age", "sex", "oracle"):
        assert len(cohort[name]) == n
    assert np.issubdtype(cohort.target.dtype, np.integer)
    assert cohort.diagnoses.shape == (n, len(STATED)) and set(cohort.diagnoses.ravel()) == {0, 1}
    assert len(np.unique(cohort.groups)) == 800
    assert cohort.lead_names == list(STANDARD_LEADS) and cohort.sampling_rate == 100
    assert cohort.DESCR.startswith("Make a cohort") and "CLBBB" in cohort.DESCR
    assert_allclose(cohort.data[:, 2], cohort.data[:, 1] - cohort.data[:, 0], atol=1e-6)


def test_the_waveform_shows_the_findings_in_their_stated_ranges():
    cohort = make_lef_cohort(400, sampling_rate=250, noise=0.0, random_state=2)
    shown = dict(zip(cohort.diagnosis_names, cohort.diagnoses.T.astype(bool), strict=True))
    size = np.ptp(cohort.data[:, 10], axis=1)
    plain = ~cohort.diagnoses[:, RELATED].any(axis=1)
    assert np.median(size[shown["LVOLT"]]) < 0.6 * np.median(size[plain])
    assert np.median(size[shown["LVH"] & ~shown["LVOLT"]]) > 1.3 * np.median(size[plain])
    v1 = cohort.data[:, 6] - np.median(cohort.data[:, 6], axis=1, keepdims=True)
    up, down = v1.max(axis=1), -v1.min(axis=1)
    alone = plain | (shown["CRBBB"] & ~shown["CLBBB"] & ~shown["PVC"])
    assert roc_auc_score(shown["CRBBB"][alone], (up / down)[alone]) > 0.8


def test_records_of_a_patient_look_alike():
    cohort = make_lef_cohort(160, n_patients=80, random_state=0)
    median = features(cohort.data)[:, : 12 * 75]
    plain = np.flatnonzero(~cohort.diagnoses[:, RELATED].any(axis=1))
    median, groups = median[plain], cohort.groups[plain]
    distance = np.linalg.norm(median[:, None] - median, axis=2)
    same = groups[:, None] == groups
    np.fill_diagonal(same, False)
    assert same.sum() > 20
    assert np.median(distance[same]) < 0.6 * np.median(distance[groups[:, None] != groups])


def test_random_state_repeats_and_leaves_the_global_generator():
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first, second, other = (make_lef_cohort(20, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(np.random.get_state()[1], before)
    for name in ("data", "target", "diagnoses", "oracle", "groups"):
        assert_array_equal(first[name], second[name])
    assert not np.array_equal(first.data, other.data)


@pytest.mark.parametrize("n_patients", [1, 5])
def test_the_number_of_patients_can_be_chosen(n_patients):
    cohort = make_lef_cohort(5, n_patients=n_patients, duration=2, random_state=0)
    assert len(np.unique(cohort.groups)) == n_patients
    assert cohort.data.shape == (5, 12, 200)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_records": 0}, "n_records=0"),
        ({"n_patients": 11}, "n_patients=11 .* from 1 to n_records=10"),
        ({"n_patients": 0}, "n_patients=0"),
        ({"prevalence": 1.2}, "prevalence=1.2 .* it can be"),
        ({"prevalence": 0.2, "ef_threshold": 5}, "prevalence=0.2 .* ef_threshold=5"),
        ({"noise": -1}, "noise"),
        ({"sampling_rate": 0}, "sampling_rate=0"),
    ],
)
def test_impossible_cohorts_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        make_lef_cohort(**({"n_records": 10} | wrong))


@pytest.mark.parametrize(
    ("params", "error", "said"),
    [
        ({"noise": -1}, ValueError, "noise=-1 is not allowed"),
        ({"noise": "x"}, TypeError, "noise='x'"),
        ({"prevalence": "a"}, TypeError, "prevalence='a'"),
        ({"sampling_rate": "500"}, TypeError, "sampling_rate='500'"),
        ({"n_records": True}, ValueError, "n_records=True"),
    ],
)
def test_what_is_no_number_is_named(params, error, said):
    with pytest.raises(error, match=said):
        make_lef_cohort(**{"n_records": 4, **params})
