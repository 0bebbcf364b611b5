import warnings

import numpy as np
import pytest

from ecgsk import STANDARD_LEADS, ECGQualityWarning, RecordArray, check_ecg
from ecgsk._core.signal import lead_indices, lead_name, millivolt_factor


@pytest.fixture
def ecg():
    X = np.random.default_rng(0).normal(scale=0.3, size=(3, 12, 50)).astype(np.float32)
    first, second = X[:, 0], X[:, 1]
    limb = [second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    X[:, 2:6] = np.stack(limb, axis=1)
    return X


def test_valid_input_comes_back_as_the_very_array(ecg):
    assert check_ecg(ecg) is ecg


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float64),
        lambda X: np.asfortranarray(X),
        lambda X: X.tolist(),
        lambda X: X.astype(np.float16),
    ],
)
def test_other_types_and_orders_become_float32(ecg, convert):
    checked = check_ecg(convert(ecg))
    assert checked.dtype == np.float32
    np.testing.assert_allclose(checked, ecg, atol=1e-3)


def test_integers_are_taken_as_they_are():
    counts = np.arange(12 * 40, dtype=np.int16).reshape(1, 12, 40)
    np.testing.assert_array_equal(check_ecg(counts, warn=False), counts)


def test_two_dimensions_read_as_one_lead():
    X = np.random.default_rng(0).normal(size=(4, 30))
    assert check_ecg(X, n_leads=1).shape == (4, 1, 30)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros(20), r"1 dimension.*X\[np\.newaxis\]"),
        (np.zeros((2, 3, 4, 5)), "4 dimension"),
        (np.zeros((0, 12, 10)), "empty: 0 records"),
        (np.zeros((1, 12, 0)), "empty: 1 records, 12 leads, 0 samples"),
        (np.zeros((2, 8, 10)), "8 leads; expected 12.*SelectLeads"),
        (np.zeros((2, 50, 12)), "exchanged"),
    ],
)
def test_what_is_no_ecg_is_refused(X, said):
    with pytest.raises(ValueError, match=said):
        check_ecg(X)


def test_wrong_length_names_the_mending_transformers(ecg):
    with pytest.raises(ValueError, match="50 samples a record; expected 100.*Resample.*CropPad"):
        check_ecg(ecg, n_samples=100)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_samples_are_counted_and_located(ecg, value):
    ecg[1, 3, 5:7] = ecg[2, 0, 0] = value
    with pytest.raises(ValueError, match="3 NaN or infinite .* in 2 of 3 records.*record 1"):
        check_ecg(ecg)


def test_infinities_that_cancel_are_found(ecg):
    ecg[0, 0, 0], ecg[2, 0, 0] = np.inf, -np.inf
    with pytest.raises(ValueError, match="2 NaN or infinite samples .* in 2 of 3"):
        check_ecg(ecg)


def test_samples_may_be_as_large_as_1e9_and_no_larger(ecg):
    ecg[1, 3, 5] = 1e9
    ecg[2, 3, 5] = -1e9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ECGQualityWarning)
        assert check_ecg(ecg) is ecg
        assert check_ecg(ecg, missing="zero") is ecg
    ecg[1, 3, 5], ecg[2, 3, 5] = 1.001e9, -1.001e9
    with pytest.raises(ValueError, match="2 NaN or infinite samples .or beyond 1e9. in 2 of 3"):
        check_ecg(ecg)
    filled = check_ecg(ecg, missing="zero")
    assert filled[1, 3, 5] == filled[2, 3, 5] == 0


def test_missing_zero_changes_a_copy(ecg):
    ecg[1, 3, 5] = np.nan
    checked = check_ecg(ecg, missing="zero")
    assert checked[1, 3, 5] == 0
    assert np.isnan(ecg[1, 3, 5])


def test_missing_has_two_values(ecg):
    with pytest.raises(ValueError, match="missing='drop'.*'error' or 'zero'"):
        check_ecg(ecg, missing="drop")


@pytest.mark.parametrize(("factor", "hint"), [(1000, "divide by 1000"), (1e-3, "multiply by 1000")])
def test_other_units_are_suspected(ecg, factor, hint):
    with pytest.warns(ECGQualityWarning, match=hint):
        check_ecg(ecg * factor)


def test_flat_leads_are_reported_with_their_place(ecg):
    ecg[2, 4] = 0.1
    with pytest.warns(ECGQualityWarning, match="1 of 3 records: record 2: constant lead is aVL"):
        check_ecg(ecg)


def test_good_ecgs_raise_no_warning(ecg):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_ecg(ecg)
        check_ecg((ecg - ecg.mean()) / ecg.std())


def test_lazy_arrays_are_checked_batch_by_batch(ecg):
    ecg[2, 0, 0] = np.nan
    lazy = check_ecg(RecordArray.wrap(ecg), missing="error", warn=False)
    np.testing.assert_array_equal(lazy.read([0, 1]), ecg[:2])
    with pytest.raises(ValueError, match="1 of the 2 records read together.*in record 2"):
        lazy.read([1, 2])


@pytest.mark.parametrize(
    ("spelling", "lead"),
    [("AVR", "aVR"), (" v6 ", "V6"), ("Lead II", "II"), ("MDC_ECG_LEAD_AVF", "aVF"), ("i", "I")],
)
def test_leads_are_known_in_any_spelling(spelling, lead):
    assert lead_name(spelling) == lead


def test_lead_order_goes_by_name():
    shuffled = [lead.upper() for lead in STANDARD_LEADS[::-1]]
    assert [shuffled[i] for i in lead_indices(shuffled)] == [x.upper() for x in STANDARD_LEADS]


@pytest.mark.parametrize(
    ("names", "said"), [(["I", "II"], "leads III.*missing.*has I, II"), (["I", "i"], "more than")]
)
def test_leads_that_cannot_be_told_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        lead_indices(names, ["I", "II", "III"] if "II" in names else ["I"])


def test_units():
    assert [millivolt_factor(u) for u in ("mV", "uV", "µV", "V")] == [1.0, 1e-3, 1e-3, 1e3]
    with pytest.raises(ValueError, match="'mmHg' is not allowed; give a voltage"):
        millivolt_factor("mmHg")
