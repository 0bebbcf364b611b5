"""Estimators and what recordings carry: a contradiction is refused, an open rate is filled in."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from ecgsk import (
    STANDARD_LEADS,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    RecordArray,
    make_ecg,
)
from ecgsk._core.model_input import known_input
from ecgsk.estimators import ECGAugmentation
from ecgsk.inspection import lead_importance, saliency
from ecgsk.preprocessing import Resample, SelectLeads

MIMIC = (*STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:])
TO_MIMIC = [STANDARD_LEADS.index(lead) for lead in MIMIC]
Y = np.arange(16) % 2
KINDS = [MTECGClassifier, MTECGPretrainer, ECGFounderClassifier]


@pytest.fixture(scope="module")
def signals():
    return make_ecg(16, sampling_rate=100, random_state=0)


@pytest.fixture(scope="module")
def records(signals):
    return RecordArray.wrap(signals, sampling_rate=100, leads=STANDARD_LEADS)


def small(kind, **params):
    return kind("nano", max_epochs=1, random_state=0, **params)


@pytest.mark.parametrize("kind", KINDS)
def test_another_rate_is_refused_with_both_values_and_the_remedy(records, kind):
    found = r"carries sampling_rate=100 Hz, but \w+ has sampling_rate=500. Give set_params\(sampl"
    with pytest.raises(ValueError, match=found + r".*=100\), or .*Resample\(100, 500\)"):
        small(kind).fit(records, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_rate_is_that_of_the_recordings(signals, records, kind):
    stated = small(kind, sampling_rate=100, augmentation=ECGAugmentation()).fit(signals, Y)
    opened = clone(stated).set_params(sampling_rate=None).fit(records, Y)
    assert_array_equal(opened.transform(records), stated.transform(signals))
    # The fit has settled it: arrays are taken to be like those of the fit.
    assert_array_equal(opened.transform(signals), stated.transform(signals))
    loaded = pickle.loads(pickle.dumps(opened))
    assert loaded.to_weights().sampling_rate == stated.to_weights().sampling_rate
    assert known_input(loaded).sampling_rate == 100
    assert opened.get_params()["sampling_rate"] is None
    with pytest.raises(ValueError, match="sampling_rate=None is for weights"):
        clone(opened).fit(signals, Y)


def test_a_fitted_network_names_the_remedy_that_helps(signals, records):
    model = small(MTECGClassifier, sampling_rate=100).fit(records, Y)
    faster = RecordArray.wrap(signals, sampling_rate=500)
    for same in (model, model.set_params(sampling_rate=500)):
        with pytest.raises(ValueError, match="was fitted on recordings at 100 Hz. Resample") as e:
            same.predict(faster)
        assert "set_params" not in str(e.value)


def test_weights_take_the_rate_and_refuse_another(signals, records):
    expected = MTECGClassifier(weights="ptbxl", sampling_rate=100).predict_proba(signals)
    model = MTECGClassifier(weights="ptbxl", sampling_rate=None)
    assert_array_equal(model.predict_proba(records), expected)
    # 250 Hz is not among the rates that a length can mean.
    resampled = Resample(100, 250).transform(records)
    assert_allclose(model.predict_proba(resampled), expected, atol=0.02)
    with pytest.raises(ValueError, match="Set sampling_rate"):
        model.predict_proba(np.asarray(resampled))
    with pytest.raises(ValueError, match=r"carries .*=250 Hz.*=500. Give set_params\(sampling_ra"):
        MTECGClassifier(weights="ptbxl").predict_proba(resampled)
    stretched = RecordArray.wrap(signals, sampling_rate=200)
    with pytest.raises(ValueError, match="5 s at sampling_rate=200 Hz; the network takes 10 s"):
        model.predict_proba(stretched)


@pytest.mark.parametrize("kind", KINDS)
def test_twelve_leads_in_another_order_are_refused(signals, kind):
    X = RecordArray.wrap(signals[:, TO_MIMIC], sampling_rate=100, leads=MIMIC)
    with pytest.raises(ValueError, match="carries the leads.*leads=None, which means the standard"):
        small(kind, sampling_rate=100).fit(X, Y)
    with pytest.raises(ValueError, match=r"set_params\(leads=\[.*SelectLeads\(\[.*input_leads="):
        small(kind, sampling_rate=100, leads=STANDARD_LEADS[::-1]).fit(X, Y)
    assert small(kind, sampling_rate=100, leads=MIMIC).fit(X, Y).lead_names_ == list(MIMIC)


def test_weights_rearrange_named_leads(signals, records):
    X = RecordArray.wrap(signals[:, TO_MIMIC], sampling_rate=100, leads=MIMIC)
    model = MTECGClassifier(weights="ptbxl", sampling_rate=None)
    with pytest.raises(ValueError, match="carries the leads.*which means the standard twelve"):
        model.predict_proba(X)
    expected = model.predict_proba(records)
    assert_array_equal(model.set_params(leads=MIMIC).predict_proba(X), expected)
    with pytest.raises(ValueError, match="carries the leads I, II, III, aVR, aVL, aVF"):
        model.predict_proba(records)


def test_weights_of_other_leads_take_those(tmp_path, signals, records):
    """A file whose preprocessing begins with leads in another order takes that order."""
    before = SelectLeads(input_leads=MIMIC)
    fitted = small(MTECGClassifier, sampling_rate=100).fit(records, Y)
    fitted.save_weights(tmp_path / "w", preprocessing=[before])
    expected = fitted.predict_proba(records)
    X = RecordArray.wrap(signals[:, TO_MIMIC], sampling_rate=100, leads=MIMIC)
    model = MTECGClassifier(weights=tmp_path / "w", sampling_rate=None)
    assert_array_equal(model.predict_proba(X), expected)
    with pytest.raises(ValueError, match="carries the leads I, II, III, aVR, aVL"):
        model.predict_proba(records)
    assert_array_equal(model.set_params(leads=STANDARD_LEADS).predict_proba(records), expected)


def test_other_leads_than_those_of_the_fit_are_refused(records):
    three = SelectLeads(["I", "II", "V1"]).transform(records)
    model = small(MTECGClassifier, sampling_rate=100).fit(three, Y)
    assert model.lead_names_ == ["I", "II", "V1"]
    assert known_input(model).leads == ("I", "II", "V1")
    for leads in (["I", "II", "V2"], ["II", "I", "V1"]):
        with pytest.raises(ValueError, match=r"was fitted on I, II, V1. Choose and rearrange"):
            model.predict(SelectLeads(leads).transform(records))
    assert_array_equal(model.predict(three), model.predict(np.asarray(three)))


def test_a_one_lead_network_takes_lead_one(records):
    model = small(ECGFounderClassifier, sampling_rate=None).set_params(preset="1-lead")
    for leads in (["II"], STANDARD_LEADS[::-1]):
        with pytest.raises(ValueError, match="carries the leads"):
            model.fit(SelectLeads(leads).transform(records), Y)


def test_a_pipeline_hands_the_new_rate_on(records):
    model = make_pipeline(Resample(100, 250), small(MTECGClassifier, sampling_rate=250))
    assert model.fit(records, Y).predict(records).shape == (16,)
    with pytest.raises(ValueError, match="carries sampling_rate=250 Hz, but MTECGClassifier has"):
        model.set_params(mtecgclassifier__sampling_rate=100).fit(records, Y)


def test_explanations_refuse_another_rate_and_other_leads(records):
    model = small(MTECGClassifier, sampling_rate=100).fit(records, Y)
    with pytest.raises(ValueError, match="=100 Hz, but sampling_rate=500 was given"):
        saliency(model, records[:1], sampling_rate=500)
    with pytest.raises(ValueError, match="carries the leads.* was given. Give leads="):
        lead_importance(model, records, Y, leads=MIMIC)
