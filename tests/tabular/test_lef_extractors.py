"""Extractors of the framework other than the shipped one."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin

from ecgsk import ECGFounderClassifier, MTECGClassifier, RecordArray, make_lef_classifier
from ecgsk.datasets import load_echonext, make_echonext
from ecgsk.networks import Net1D
from ecgsk.weights._ecgfounder_checkpoint import published_name


@pytest.fixture(scope="module")
def echonext(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echonext")
    make_echonext(folder, 120, random_state=0)
    return load_echonext(folder, split="train")


@pytest.mark.slow
def test_ecgfounder_with_weights_from_a_file(echonext, tmp_path, monkeypatch):
    """150 named columns of recordings at 250 Hz, from a file laid out like the published one."""
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "12_lead.pth"
    state = {published_name(k): v for k, v in Net1D(12, 150).state_dict().items()}
    torch.save({"state_dict": state}, path)
    founder = ECGFounderClassifier(weights=str(path), sampling_rate=250)
    pipeline = make_lef_classifier(
        {"founder": founder, "mtecg": "mtecg"}, classifier="logistic", covariates=["age"]
    )
    pipeline.fit(echonext.data, echonext.target)
    names = list(pipeline[-1].feature_names_in_)
    assert len(names) == 150 + 71 + 1
    assert sum(name.startswith("founder__") for name in names) == 150
    alone = founder.predict_proba(np.asarray(echonext.data[:3]))
    table = pipeline["predictors"].transform(echonext.data[:3])
    found = 1 / (1 + np.exp(-table.filter(like="founder__").to_numpy()))
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_the_named_one_says_where_its_weights_come_from(monkeypatch, tmp_path, echonext):
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipeline = make_lef_classifier("ecgfounder", classifier="logistic")
    with pytest.raises((ImportError, OSError, ValueError), match="12-lead|huggingface_hub"):
        pipeline.fit(echonext.data, echonext.target)


class Embedding(TransformerMixin, BaseEstimator):
    """Gives what the shipped network makes of a recording before its head."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        network = MTECGClassifier(weights="ptbxl", sampling_rate=250)
        return pd.DataFrame(network.transform(X)).add_prefix("e")


def test_embeddings_are_predictors_as_well(echonext):
    """A transformer without probabilities is used as it is."""
    pipeline = make_lef_classifier(Embedding(), classifier="logistic")
    pipeline.fit(echonext.data, echonext.target)
    assert pipeline[-1].n_features_in_ > 100 and pipeline[-1].feature_names_in_[0] == "e0"


@pytest.mark.slow
def test_records_keep_their_rows_while_they_stream(echonext):
    """Each answer is that of its own recording and its own age, in whatever order."""
    pipeline = make_lef_classifier(classifier="logistic", covariates=["age", "sex"])
    pipeline.fit(echonext.data, echonext.target)
    everyone = pipeline.predict_proba(echonext.data)[:, 1]
    order = np.random.default_rng(0).permutation(len(everyone))
    np.testing.assert_allclose(
        pipeline.predict_proba(echonext.data[order])[:, 1], everyone[order], atol=1e-5
    )
    in_memory = RecordArray.wrap(np.asarray(echonext.data), table=echonext.covariates)
    np.testing.assert_allclose(pipeline.predict_proba(in_memory)[:, 1], everyone, atol=1e-5)
