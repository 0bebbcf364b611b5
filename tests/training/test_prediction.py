import warnings
from unittest import mock

import numpy as np
import pytest
import torch

from ecgsk import MTECGClassifier, make_ecg
from ecgsk._training import prediction
from ecgsk._training.prediction import in_batches
from tests._models import RATE, recordings


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


class Memory:
    """A function for `in_batches` on a device that has room for so many records."""

    def __init__(self, room, error=torch.OutOfMemoryError):
        self.room = room
        self.error = error
        self.sizes = []

    def __call__(self, x, places):
        self.sizes.append(len(x))
        if len(x) > self.room:
            raise self.error("MPS backend out of memory (MPS allocated: 17.9 GB)")
        return x.sum(dim=(1, 2)) + torch.arange(places.start, places.stop)


@pytest.fixture
def net():
    X, y = recordings(8)
    model = MTECGClassifier("nano", sampling_rate=RATE, max_epochs=1, random_state=0, device="cpu")
    return model.fit(X, y).net_


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_a_batch_that_is_too_large_is_halved_with_a_message(net, error):
    X, memory = recordings(40)[0], Memory(room=5, error=error)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = list(in_batches(net, memory, X, np.arange(40), 32))
    assert memory.sizes == [32, 16, 8, *[4] * 10]
    assert [place for places, _, _ in parts for place in range(40)[places]] == list(range(40))
    found = torch.cat([result for _, _, result in parts])
    wanted = torch.from_numpy(X).sum(dim=(1, 2)) + torch.arange(40)
    torch.testing.assert_close(found, wanted)
    assert [str(warning.message)[:66] for warning in caught][0] == (
        "The memory of cpu does not suffice for 32 records at once: the pre"
    )
    assert len(caught) == 3 and "goes on with 4" in str(caught[-1].message)
    # The next prediction starts with what sufficed; another device starts as it likes.
    memory.sizes.clear()
    list(in_batches(net, memory, X[:8], np.arange(8), 32))
    assert memory.sizes == [4, 4]
    net.move_to("cpu")
    assert net.records_at_once is None


def test_one_record_that_is_too_large_is_an_error_with_a_remedy(net):
    X = recordings(3)[0]
    with pytest.warns(UserWarning), pytest.raises(torch.OutOfMemoryError, match="one record") as e:
        list(in_batches(net, Memory(room=0), X, np.arange(3), 32))
    assert "device='cpu'" in str(e.value) and "17.9 GB" in str(e.value)


def test_other_errors_pass(net):
    with pytest.raises(RuntimeError, match="shape"):
        list(in_batches(net, mock.Mock(side_effect=RuntimeError("shape")), X := recordings(3)[0],
                        np.arange(len(X)), 32))  # fmt: skip


@pytest.mark.parametrize(
    ("free", "n_samples", "wanted"),
    [(None, 5000, 279), (None, 1000, 1024), (1 << 30, 5000, 69), (1, 5000, 16), (None, 10**7, 16)],
)
def test_accelerators_compute_as_many_records_as_memory_allows(net, free, n_samples, wanted):
    X, sizes = np.zeros((1, 12, n_samples), np.float32), []
    X = np.broadcast_to(X, (3000, 12, n_samples))

    def function(x, places):
        sizes.append(len(x))
        raise ZeroDivisionError

    net.device = "meta"
    with (
        mock.patch.object(prediction, "free_memory", lambda device: free),
        mock.patch.object(prediction, "read_batch", lambda X, rows: torch.empty(len(rows), 1, 1)),
        pytest.raises(ZeroDivisionError),
    ):
        list(in_batches(net, function, X, np.arange(3000), 16))
    assert sizes == [wanted]
