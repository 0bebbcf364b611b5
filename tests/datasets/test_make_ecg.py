import numpy as np
import pytest
import wfdb
from numpy.testing import assert_allclose, assert_array_equal

from ecgsk import STANDARD_LEADS, check_ecg
from ecgsk.datasets import make_ecg

LEAD = {name: i for i, name in enumerate(STANDARD_LEADS)}
CLEAN = {"noise": 0.0, "baseline_wander": 0.0, "heart_rate_variability": 0.0}
FS = 1000


def beat(before=0.3, after=0.6, **physiology):
    """Return the mean beat, (12, n), and its times after the QRS onset."""
    ecg, truth = make_ecg(
        1,
        sampling_rate=FS,
        random_state=0,
        return_annotations=True,
        **(CLEAN | {"heart_rate": 60} | physiology),
    )
    onsets = truth.qrs_onsets[0]
    onsets = onsets[(onsets > before) & (onsets < 10 - after)]
    starts = np.round((onsets - before) * FS).astype(int)
    length = int((before + after) * FS)
    beats = np.mean([ecg[0, :, s : s + length] for s in starts], axis=0)
    return beats, np.arange(length) / FS - before


def area(time, signal, start, stop):
    return signal[(time >= start) & (time < stop)].sum() / FS


def extremes(signals, time, stop):
    inside = (time >= 0) & (time < stop)
    return {name: (signals[i, inside].min(), signals[i, inside].max()) for name, i in LEAD.items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_limb_leads_obey_einthoven_and_goldberger_noise_included(seed):
    x = make_ecg(
        4, noise=0.1, baseline_wander=0.3, powerline=0.1, body_variation=0.2, random_state=seed
    )
    i, ii, iii, avr, avl, avf = (x[:, k] for k in range(6))
    assert_allclose(iii, ii - i, atol=1e-6)
    assert_allclose(avr, -(i + ii) / 2, atol=1e-6)
    assert_allclose(avl, i - ii / 2, atol=1e-6)
    assert_allclose(avf, ii - i / 2, atol=1e-6)
    chest = x[:, 6:].reshape(4, 6, -1)
    assert np.abs(np.corrcoef(chest[0])[0, 1:]).max() < 0.999


@pytest.mark.parametrize(
    ("rate", "duration", "samples"), [(500, 10, 5000), (100, 7.5, 750), (257.3, 2, 515)]
)
def test_shape_dtype_and_unit_are_those_of_the_contract(rate, duration, samples):
    x = make_ecg(3, sampling_rate=rate, duration=duration, random_state=0)
    assert x.shape == (3, 12, samples)
    assert x.dtype == np.float32
    assert check_ecg(x) is x


def test_amplitudes_are_clinical():
    signals, time = beat()
    at = extremes(signals, time, 0.1)
    assert 0.9 < at["V5"][1] < 1.8
    assert -1.6 < at["V1"][0] < -0.5 and 0.1 < at["V1"][1] < 0.5
    p_wave = signals[LEAD["II"], (time > -0.17) & (time < -0.05)]
    t_wave = signals[:, (time > 0.2) & (time < 0.4)]
    assert 0.08 < p_wave.max() < 0.2
    assert 0.15 < t_wave[LEAD["II"]].max() < 0.45
    assert t_wave[LEAD["V3"]].max() < 0.8
    r_over_s = [at[f"V{k}"][1] / -at[f"V{k}"][0] for k in range(1, 7)]
    assert r_over_s[0] < 0.6 and r_over_s[4] > 2
    assert np.argmax(np.array(r_over_s) > 1) in (2, 3)
    deviation = make_ecg(20, body_variation=0.15, random_state=0).std(axis=2)
    assert 0.1 < np.median(deviation) < 0.3


@pytest.mark.parametrize("state", [3, np.random.RandomState(3), np.random.default_rng(3)])
def test_random_state_repeats_and_leaves_the_global_generator(state):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first, second = make_ecg(random_state=state), make_ecg(random_state=state)
    make_ecg(random_state=None)
    assert_array_equal(np.random.get_state()[1], before)
    assert np.array_equal(first, second) == isinstance(state, int)
    assert_array_equal(make_ecg(random_state=3), make_ecg(random_state=3))
    assert not np.array_equal(make_ecg(random_state=3), make_ecg(random_state=4))


@pytest.mark.parametrize("heart_rate", [45, 70, 150])
@pytest.mark.parametrize("variability", [0.0, 0.05])
def test_rr_intervals_have_the_mean_and_the_spread_asked_for(heart_rate, variability):
    _, truth = make_ecg(
        duration=900,
        sampling_rate=50,
        heart_rate=heart_rate,
        heart_rate_variability=variability,
        random_state=0,
        return_annotations=True,
    )
    rr = np.diff(truth.r_peaks[0])
    assert_allclose(rr.mean(), 60 / heart_rate, rtol=0.01)
    assert_allclose(rr.std() / rr.mean(), variability, rtol=0.1, atol=1e-9)


@pytest.mark.parametrize("block", [None, "left", "right"])
def test_r_peaks_are_where_the_signal_peaks(block):
    x, truth = make_ecg(bundle_branch_block=block, random_state=1, return_annotations=True, **CLEAN)
    size = np.sqrt((x[0, [0, 1, 6, 7, 8, 9, 10, 11]] ** 2).sum(axis=0))
    for r in truth.r_peaks[0]:
        near = np.arange(max(0, int((r - 0.15) * 500)), min(5000, int((r + 0.15) * 500)))
        if 0.2 < r < 9.8:
            assert abs(near[size[near].argmax()] / 500 - r) < 0.04
    assert all(np.diff(truth.r_peaks[0]) > 0)
    assert 11 <= len(truth.r_peaks[0]) <= 12


@pytest.mark.parametrize("block", [None, "left", "right"])
def test_measured_qrs_width_is_the_one_asked_for(block):
    widths = []
    asked = np.array([0.12, 0.15, 0.18] if block else [0.07, 0.09, 0.11, 0.14])
    for duration in asked:
        signals, time = beat(bundle_branch_block=block, qrs_duration=duration, qt_interval=0.45)
        speed = np.abs(np.gradient(signals, axis=1)).sum(axis=0)
        fast = time[(speed > 0.1 * speed.max()) & (time > -0.05) & (time < 0.25)]
        widths.append(fast.max() - fast.min())
    assert np.all(np.diff(widths) > 0)
    assert_allclose(widths, asked, rtol=0.15)


def test_pr_and_qt_are_where_they_were_asked_for():
    for pr in (0.14, 0.24):
        signals, time = beat(pr_interval=pr)
        p = signals[LEAD["II"], time < -0.03]
        rising = time[: len(p)][p > 0.05 * p.max()][0]
        assert abs(-rising - pr) < 0.025
    for qt in (0.36, 0.46):
        signals, time = beat(qt_interval=qt)
        v3 = signals[LEAD["V3"]]
        peak = np.flatnonzero(time > 0.18)[0] + v3[time > 0.18].argmax()
        slope = np.gradient(v3, 1 / FS)
        steepest = peak + slope[peak:].argmin()
        end = time[steepest] - v3[steepest] / slope[steepest]
        assert abs(end - qt) < 0.01


def test_default_qt_follows_fridericia():
    _, truth = make_ecg(3, heart_rate=[50, 60, 120], return_annotations=True, random_state=0)
    assert_allclose(truth.qt_interval, 0.41 * (60 / np.array([50, 60, 120])) ** (1 / 3))


@pytest.mark.parametrize("axis", [-150, -60, 0, 45, 100, 170])
@pytest.mark.parametrize("block", [None, "left"])
def test_frontal_axis_is_the_one_asked_for(axis, block):
    signals, time = beat(axis=axis, bundle_branch_block=block, st_level=0.0)
    width = 0.15 if block else 0.09
    i, avf = (area(time, signals[LEAD[k]], -0.01, width) for k in ("I", "aVF"))
    measured = np.rad2deg(np.arctan2(avf * 2 / np.sqrt(3), i))
    assert abs((measured - axis + 180) % 360 - 180) < (15 if block else 8)


def test_left_bundle_branch_block_is_recognisable():
    signals, time = beat(bundle_branch_block="left")
    at = extremes(signals, time, 0.13)
    assert at["V1"][0] < -0.8 and extremes(signals, time, 0.08)["V1"][1] < 0.1
    for lead in ("I", "V6"):
        assert at[lead][0] > -0.1 and at[lead][1] > 0.4
        qrs, t = (area(time, signals[LEAD[lead]], *w) for w in ((0, 0.15), (0.22, 0.42)))
        assert qrs > 0 > t
    v6 = signals[LEAD["V6"], (time > 0) & (time < 0.15)]
    peaks = (v6[1:-1] > v6[:-2]) & (v6[1:-1] > v6[2:]) & (v6[1:-1] > 0.5 * v6.max())
    assert peaks.sum() == 2
    assert area(time, signals[LEAD["V1"]], 0.22, 0.42) > 0


def test_right_bundle_branch_block_is_recognisable():
    signals, time = beat(bundle_branch_block="right")
    v1 = signals[LEAD["V1"]]
    early, middle, late = (
        v1[(time >= a) & (time < b)] for a, b in ((0, 0.03), (0.03, 0.08), (0.08, 0.14))
    )
    assert early.max() > 0.15 and middle.min() < -0.3 and late.max() > early.max()
    for lead in ("I", "V6"):
        assert signals[LEAD[lead], (time > 0.08) & (time < 0.14)].min() < -0.2
    assert area(time, v1, 0.22, 0.42) < 0
    normal = beat()[0][LEAD["V1"], (time > 0.07) & (time < 0.09)]
    assert normal.max() < 0.1


def test_infarcts_take_the_forces_of_their_wall():
    normal, time = beat()
    anterior = beat(infarct="anterior")[0]
    inferior = beat(infarct="inferior")[0]
    both = beat(infarct="both")[0]
    for lead in ("V2", "V3"):
        assert extremes(normal, time, 0.09)[lead][1] > 0.4
        assert extremes(anterior, time, 0.09)[lead][1] < 0.15
        assert area(time, anterior[LEAD[lead]], 0.25, 0.4) < 0
    early = (time > 0) & (time < 0.035)
    for lead in ("II", "III", "aVF"):
        assert inferior[LEAD[lead], early].min() < -0.15 < normal[LEAD[lead], early].min()
    assert both[LEAD["aVF"], early].min() < -0.15
    assert both[LEAD["V2"], (time > 0) & (time < 0.09)].max() < 0.15


def test_hypertrophy_meets_the_voltage_criterion_and_strains():
    normal, time = beat()
    thick = beat(hypertrophy=1.0, axis=10)[0]

    def sokolow(signals):
        at = extremes(signals, time, 0.1)
        return at["V5"][1] - at["V1"][0]

    assert sokolow(normal) < 3.5 < sokolow(thick)
    assert area(time, thick[LEAD["V6"]], 0.22, 0.4) < 0 < area(time, thick[LEAD["V1"]], 0.22, 0.4)


def test_atrial_fibrillation_is_irregular_and_has_no_p():
    x, truth = make_ecg(
        2,
        duration=120,
        atrial_fibrillation=[False, True],
        noise=0,
        baseline_wander=0,
        random_state=0,
        return_annotations=True,
    )
    spread = [np.diff(r).std() / np.diff(r).mean() for r in truth.r_peaks]
    assert spread[0] < 0.05 and 0.17 < spread[1] < 0.3
    averaged = []
    for i in range(2):
        starts = np.round(truth.qrs_onsets[i] * 500).astype(int)
        beats = [x[i, 1, s - 90 : s - 20] for s in starts if s > 100]
        averaged.append(np.ptp(np.mean(beats, axis=0)))
    assert averaged[0] > 0.1 > 3 * averaged[1]


def test_f_waves_are_4_to_9_hz_and_largest_in_v1_and_ii():
    x = make_ecg(20, duration=60, atrial_fibrillation=True, voltage=0, random_state=0, **CLEAN)
    spectrum = (np.abs(np.fft.rfft(x[:, LEAD["V1"]])) ** 2).mean(axis=0)
    frequency = np.fft.rfftfreq(x.shape[2], 1 / 500)
    assert spectrum[(frequency > 4) & (frequency < 9)].sum() > 0.8 * spectrum.sum()
    size = x.std(axis=2).mean(axis=0)
    assert 0.03 < size[LEAD["V1"]] < 0.1
    assert size[LEAD["V1"]] == size.max() and size[LEAD["II"]] > 1.5 * size[LEAD["I"]]


def test_voltage_scales_qrs_and_t_but_not_p():
    (full, time), (low, _) = beat(), beat(voltage=0.4)
    heart = (time > 0.0) & (time < 0.5)
    assert_allclose(low[:, heart], 0.4 * full[:, heart], atol=5e-3)
    before = time < -0.06
    assert_allclose(low[:, before], full[:, before], atol=1e-3)


def test_t_wave_scales_and_inverts():
    (up, time), (down, _), (flat, _) = beat(), beat(t_wave=-1), beat(t_wave=0)
    inside = (time > 0.2) & (time < 0.42)
    assert up[LEAD["V4"], inside].max() > 0.2
    assert_allclose(down[:, inside], -up[:, inside], atol=0.01)
    assert np.abs(flat[:, inside]).max() < 0.02


@pytest.mark.parametrize("level", [-0.2, 0.15])
@pytest.mark.parametrize(
    ("territory", "lead", "opposite"),
    [("lateral", "V5", "aVR"), ("inferior", "aVF", "aVL"), ("anterior", "V3", None)],
)
def test_st_level_is_measured_at_j_plus_60_ms(level, territory, lead, opposite):
    options = {"body_variation": 0.2}
    shifted, time = beat(st_level=level, st_territory=territory, **options)
    difference = shifted - beat(**options)[0]
    at = np.abs(time - 0.15).argmin()
    assert_allclose(difference[LEAD[lead], at], level, atol=1e-3)
    assert_allclose(difference[:, np.abs(time - 0.55).argmin()], 0, atol=1e-3)
    if opposite:
        assert difference[LEAD[opposite], at] * level < 0


def test_noise_wander_and_hum_have_the_size_asked_for():
    kw = {"duration": 60, "heart_rate_variability": 0.0, "random_state": 0}
    quiet = make_ecg(noise=0, baseline_wander=0, voltage=0, **kw)
    noisy = make_ecg(noise=0.08, baseline_wander=0, voltage=0, **kw)
    independent = [0, 1, *range(6, 12)]
    # What is left of the heart is slow: white noise grows by the root of six in second differences.
    high = np.diff(noisy[0, independent], n=2, axis=1).std(axis=1) / np.sqrt(6)
    assert_allclose(high, 0.08, rtol=0.05)
    assert np.diff(quiet[0], n=2, axis=1).std() < 0.002
    x = make_ecg(40, baseline_wander=0.2, noise=0, duration=60, random_state=0, sampling_rate=50)
    frequency = np.fft.rfftfreq(x.shape[2], 1 / 50)
    power = 2 * np.abs(np.fft.rfft(x[:, independent]) / x.shape[2]) ** 2
    slow = np.sqrt(power[..., (frequency > 0.02) & (frequency < 0.6)].sum(axis=-1).mean())
    assert_allclose(slow, 0.2, rtol=0.1)
    hum = make_ecg(powerline=0.1, powerline_frequency=60, **kw)[0, independent]
    at = np.abs(np.fft.rfftfreq(hum.shape[1], 1 / 500) - 60).argmin()
    amplitude = 2 * np.abs(np.fft.rfft(hum)[:, at]) / hum.shape[1]
    assert np.all((amplitude > 0.045) & (amplitude < 0.105))
    silent = make_ecg(sampling_rate=100, powerline=0.1, random_state=0)
    assert_array_equal(silent, make_ecg(sampling_rate=100, random_state=0))


def test_premature_beats_are_early_broad_and_followed_by_a_pause():
    x, truth = make_ecg(
        duration=600, pvc_rate=0.2, random_state=0, return_annotations=True, **CLEAN
    )
    pvc, onset = truth.pvc[0], truth.qrs_onsets[0]
    assert_allclose(pvc.mean(), 0.2, atol=0.04)
    assert not np.any(pvc[1:] & pvc[:-1])
    i = np.flatnonzero(pvc[1:-1]) + 1
    alone = i[~pvc[i + 1] & ~pvc[i - 1]]
    rr = 60 / 70
    assert_allclose(onset[alone + 1] - onset[alone - 1], 2 * rr, rtol=0.01)
    assert np.all(onset[alone] - onset[alone - 1] < 0.75 * rr)
    at = np.round(onset * 500).astype(int)
    areas = np.array([np.abs(x[0, 1, s : s + 80]).sum() for s in at[1:-1]])
    assert areas[pvc[1:-1]].min() > areas[~pvc[1:-1]].max()


def test_parameters_are_taken_record_by_record():
    blocks = [None, "left", "right", None]
    x, truth = make_ecg(
        4,
        heart_rate=[50, 60, 70, 120],
        bundle_branch_block=blocks,
        voltage=np.array([1, 1, 1, 0.3]),
        return_annotations=True,
        random_state=0,
        **CLEAN,
    )
    assert [len(r) for r in truth.r_peaks] == sorted(len(r) for r in truth.r_peaks)
    assert_allclose(truth.qrs_duration, [0.09, 0.15, 0.14, 0.09])
    assert np.ptp(x[3, 10]) < 0.5 * np.ptp(x[0, 10])
    assert x[1, 6].max() < x[2, 6].max()


def test_body_variation_makes_records_differ():
    alike = make_ecg(30, sampling_rate=100, random_state=0, **CLEAN)
    varied = make_ecg(30, sampling_rate=100, random_state=0, body_variation=0.15, **CLEAN)
    spread = [np.ptp(x[:, 8], axis=1).std() for x in (alike, varied)]
    assert spread[1] > 5 * spread[0]


@pytest.mark.real_data
def test_amplitudes_are_those_of_real_normal_records(ptbxl_path):
    files = sorted(ptbxl_path.glob("records100/00000/*.hea"))[:200]
    table = (ptbxl_path / "ptbxl_database.csv").read_text().splitlines()
    normal = {int(row.split(",", 1)[0]) for row in table[1:] if "'NORM': 100" in row}
    files = [file for file in files if int(file.name[:5]) in normal]
    real = np.stack([wfdb.rdrecord(str(file.with_suffix(""))).p_signal.T for file in files])
    axes = np.linspace(-15, 90, 200)
    made = make_ecg(200, sampling_rate=100, axis=axes, body_variation=0.15, random_state=0)

    def spread(x):
        return np.median(np.percentile(x, 99.5, axis=2) - np.percentile(x, 0.5, axis=2), axis=0)

    ratio = spread(made) / spread(real)
    assert np.all((ratio > 0.6) & (ratio < 1.6)), ratio


@pytest.mark.parametrize(("duration", "rate"), [(0.1, 70), (0.5, 30), (3, 250)])
def test_short_slow_and_fast_recordings_are_finite(duration, rate):
    x, truth = make_ecg(
        5,
        duration=duration,
        heart_rate=rate,
        pvc_rate=0.3,
        atrial_fibrillation=[True, False, True, False, True],
        random_state=0,
        return_annotations=True,
    )
    assert np.isfinite(x).all() and len(truth.r_peaks) == 5
    for peaks in truth.r_peaks:
        assert np.all((peaks >= 0) & (peaks < duration))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"heart_rate": -5}, ValueError, r"heart_rate=-5 .* use 20 to 300 beats"),
        ({"heart_rate": [60, 999]}, ValueError, r"heart_rate=999 \(record 1\)"),
        ({"heart_rate": np.nan}, ValueError, "heart_rate=nan"),
        ({"heart_rate": "fast"}, TypeError, "heart_rate='fast' is not a number"),
        ({"heart_rate": None}, TypeError, "heart_rate=None"),
        ({"heart_rate": [60, 70, 80]}, ValueError, r"shape \(3,\).*n_records=2"),
        ({"qrs_duration": 0.2, "qt_interval": 0.18}, ValueError, "T needs at least"),
        ({"qt_interval": 0.6, "heart_rate": 120}, ValueError, "before the next beat"),
        ({"bundle_branch_block": "left", "qrs_duration": 0.08}, ValueError, "Widen the QRS"),
        ({"bundle_branch_block": "both"}, ValueError, "use one of None, 'left', 'right'"),
        ({"infarct": [None, "lateral"]}, ValueError, r"infarct='lateral' \(record 1\)"),
        ({"atrial_fibrillation": "no"}, ValueError, "atrial_fibrillation='no'"),
        ({"st_territory": "septal"}, ValueError, "'lateral'"),
        ({"noise": -0.1}, ValueError, "noise=-0.1"),
        ({"pvc_rate": 0.8}, ValueError, "pvc_rate=0.8"),
        ({"sampling_rate": 10}, ValueError, "at least 50 Hz"),
        ({"duration": 0}, ValueError, "duration=0"),
        ({"n_records": 0}, ValueError, "n_records=0"),
        ({"n_records": 2.5}, ValueError, "n_records=2.5"),
    ],
)
def test_implausible_input_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        make_ecg(**({"n_records": 2} | wrong))
