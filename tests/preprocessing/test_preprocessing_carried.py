"""Transformers and what recordings carry: a contradiction is refused, and results carry on."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from ecgsk import STANDARD_LEADS, RecordArray, make_ecg
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

# The order of MIMIC-IV-ECG.
MIMIC = (*STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:])
WITH_A_RATE = (BandPass(), Notch(), MedianBaseline(), ECGFounderPreprocessor(), Resample(500, 250))


@pytest.fixture(scope="module")
def signals():
    return make_ecg(3, sampling_rate=200, random_state=0)


def named(transformers):
    return [pytest.param(step, id=type(step).__name__) for step in transformers]


@pytest.mark.parametrize("step", named(WITH_A_RATE))
@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_another_rate_is_refused_with_both_values_and_the_remedy(signals, step, method):
    X = RecordArray.wrap(signals, sampling_rate=200)
    found = r"carries sampling_rate=200 Hz, but \w+ has sampling_rate=500. Give set_params\("
    with pytest.raises(ValueError, match=found) as caught:
        getattr(clone(step), method)(X)
    assert ("Resample(200, 500)" in str(caught.value)) == (not isinstance(step, Resample))
    repaired = clone(step).set_params(sampling_rate=200)
    np.testing.assert_array_equal(
        np.asarray(repaired.fit(X).transform(X)), repaired.transform(signals)
    )


@pytest.mark.parametrize("step", named(WITH_A_RATE))
def test_rates_that_differ_by_rounding_are_the_same(signals, step):
    clone(step).transform(RecordArray.wrap(signals, sampling_rate=499.998))


@pytest.mark.parametrize(
    ("step", "rate", "leads"),
    [
        (BandPass(sampling_rate=200), 200, MIMIC),
        (Notch(sampling_rate=200), 200, MIMIC),
        (MedianBaseline(sampling_rate=200), 200, MIMIC),
        (Standardize(), 200, MIMIC),
        (CropPad(100), 200, MIMIC),
        (Resample(200, 100), 100, MIMIC),
        (ECGFounderPreprocessor(sampling_rate=200), 500, MIMIC),
        (SelectLeads(), 200, MIMIC),
        (SelectLeads(input_leads=MIMIC), 200, STANDARD_LEADS),
        (SelectLeads(["Lead V2", "ii"], input_leads=MIMIC), 200, ("V2", "II")),
        (make_pipeline(Resample(200, 500), BandPass(), CropPad(9)), 500, MIMIC),
    ],
    ids=lambda value: type(value).__name__,
)
def test_results_carry_their_rate_and_leads(signals, step, rate, leads):
    X = RecordArray.wrap(signals, sampling_rate=200, leads=MIMIC)
    out = step.fit_transform(X)
    assert (out.sampling_rate, out.leads) == (rate, tuple(leads))
    assert (out[1:].sampling_rate, out[1:].leads) == (rate, tuple(leads))


def test_what_a_transformer_states_is_carried_on(signals):
    X = RecordArray.wrap(signals)
    assert CropPad(100).transform(X).sampling_rate is None
    assert Resample(200, 100).transform(X).sampling_rate == 100
    with pytest.raises(ValueError, match="carries sampling_rate=200 Hz, but BandPass has .*=500"):
        make_pipeline(Notch(sampling_rate=200), BandPass()).fit_transform(X)


def test_leads_in_another_order_are_refused_and_named(signals):
    order = [STANDARD_LEADS.index(lead) for lead in MIMIC]
    X = RecordArray.wrap(signals[:, order], leads=MIMIC)
    with pytest.raises(ValueError, match="aVF, aVL.*input_leads=None, which means the standard"):
        SelectLeads(["I"]).transform(X)
    with pytest.raises(ValueError, match="carries the leads I, II.*but SelectLeads has input_l"):
        SelectLeads(["I"], input_leads=STANDARD_LEADS[::-1]).fit(X)
    chosen = SelectLeads(["aVL"], input_leads=MIMIC).transform(X)
    np.testing.assert_array_equal(np.asarray(chosen)[:, 0], signals[:, STANDARD_LEADS.index("aVL")])


def test_fewer_leads_are_named(signals):
    X = RecordArray.wrap(signals[:, [1, 0]], leads=["II", "I"])
    with pytest.raises(ValueError, match=r"set_params\(input_leads=\['II', 'I'\]\)"):
        SelectLeads(STANDARD_LEADS[:6]).transform(X)
    limbs = SelectLeads(STANDARD_LEADS[:6], input_leads=["II", "I"]).transform(X)
    assert limbs.leads == STANDARD_LEADS[:6]


def test_names_in_another_spelling_are_the_same(signals):
    X = RecordArray.wrap(signals, leads=[f"Lead {lead.upper()}" for lead in STANDARD_LEADS])
    assert SelectLeads(["V6", "aVR"]).transform(X).leads == ("V6", "aVR")
