import numpy as np
import pytest

from ecgsk import MTECGClassifier, make_ecg


@pytest.mark.parametrize("n_records", [1, 2, 3, 5, 33])
def test_a_recording_has_the_same_logits_in_every_batch(n_records):
    X = make_ecg(40, sampling_rate=100, random_state=0)
    model = MTECGClassifier.from_pretrained(sampling_rate=100)
    # Where the processor's library rounds the features of a batch differently, logits have to
    # differ, too.
    alike = (model.transform(X)[:n_records] == model.transform(X[:n_records])).all(axis=1)
    together, apart = model.predict_proba(X)[:n_records], model.predict_proba(X[:n_records])
    np.testing.assert_array_equal(apart[alike], together[alike])
    np.testing.assert_allclose(apart, together, atol=1e-6)
