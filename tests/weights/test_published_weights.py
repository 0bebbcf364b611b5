"""Published files by their names."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ecgsk import ECGFounderClassifier
from ecgsk._core.files import file_sha256
from ecgsk._core.optional import import_optional
from ecgsk.weights import _published, read_ecgfounder
from ecgsk.weights._published import PUBLISHED, find_published
from tests._ecgfounder_files import (
    assert_holds,
    contents,
    nano_state,
    published_checkpoint,
)


def publish(monkeypatch, name, sha256):
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(sha256=sha256))


def put(cache, name, n_leads, n_outputs=150) -> Path:
    cache.mkdir(exist_ok=True)
    path = cache / PUBLISHED[name].filename
    torch.save(published_checkpoint(nano_state(n_leads, n_outputs)), path)
    return path


def no_hub(*args, **kwargs):
    raise ImportError('Fetching weights needs huggingface_hub: pip install "ecgsk[hub]".')


def test_what_is_known_of_the_published_files():
    assert {name: p.n_leads for name, p in PUBLISHED.items()} == {"12-lead": 12, "1-lead": 1}
    for published in PUBLISHED.values():
        assert len(published.revision) == 40  # a commit, not a branch that moves
        assert published.sha256 is None or len(published.sha256) == 64
    assert PUBLISHED["12-lead"].sha256


def test_a_file_of_another_checksum_is_not_the_published_one(nano, cache, monkeypatch):
    monkeypatch.setattr(_published, "import_optional", no_hub)
    path = put(cache, "12-lead", 12)
    for function in (find_published, read_ecgfounder):
        before = contents(cache)
        with pytest.raises(ValueError, match="is not the published file.*Delete it") as caught:
            function("12-lead")
        for said in (str(path), file_sha256(path), PUBLISHED["12-lead"].sha256, "'12-lead'"):
            assert said in str(caught.value)
        assert contents(cache) == before
    # As the message says, its path is another matter.
    assert_holds(read_ecgfounder(path), nano_state(12, 150))


def test_a_file_in_the_cache_needs_no_hub(nano, cache, monkeypatch):
    monkeypatch.setattr(_published, "import_optional", no_hub)
    for name, n_leads in (("12-lead", 12), ("1-lead", 1)):
        path = put(cache, name, n_leads)
        if PUBLISHED[name].sha256:
            publish(monkeypatch, name, file_sha256(path))
        assert find_published(name) == path
        assert_holds(read_ecgfounder(name), nano_state(n_leads, 150))
        assert_holds(read_ecgfounder(name), nano_state(n_leads, 150))
    assert len(contents(cache)) == 4
    (cache / PUBLISHED["12-lead"].filename).unlink()
    assert_holds(read_ecgfounder("12-lead"), nano_state(12, 150))


def test_a_file_of_other_leads_under_the_name_of_one_lead(nano, cache):
    put(cache, "1-lead", 12)
    before = contents(cache)
    with pytest.raises(ValueError, match="12 lead.*expected 1"):
        read_ecgfounder("1-lead")
    assert contents(cache) == before


@pytest.mark.parametrize("name", ["12-lead", "1-lead"])
def test_without_a_hub_it_is_said_where_to_put_the_file(cache, monkeypatch, name):
    def no_module(*args):
        raise ModuleNotFoundError("No module named 'huggingface_hub'")

    monkeypatch.setattr("ecgsk._core.optional.import_module", no_module)
    for function in (find_published, read_ecgfounder, ECGFounderClassifier.from_pretrained):
        with pytest.raises(FileNotFoundError) as caught:
            function(name)
        said = str(caught.value)
        assert str(cache) in said and PUBLISHED[name].filename in said
        assert PUBLISHED[name].revision in said and 'pip install "ecgsk[hub]"' in said
    assert not cache.exists()


def hub_that(download, monkeypatch):
    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setattr(_published, "import_optional", lambda *args, **kwargs: hub)


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), RuntimeError("two\nlines"), KeyError("x"), OSError()]
)
def test_a_hub_that_fails(cache, monkeypatch, error):
    def download(*args, **kwargs):
        raise error

    hub_that(download, monkeypatch)
    with pytest.raises(FileNotFoundError) as caught:
        read_ecgfounder("12-lead")
    said = str(caught.value)
    assert type(error).__name__ in said and str(error).partition("\n")[0] in said
    assert str(cache) in said and PUBLISHED["12-lead"].filename in said and said.isprintable()
    assert caught.value.__cause__ is error
    assert not cache.exists()


def test_an_interruption_is_no_failure_of_the_hub(monkeypatch):
    def download(*args, **kwargs):
        raise KeyboardInterrupt

    hub_that(download, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        find_published("1-lead")


def test_the_hub_is_asked_for_the_known_revision(path, cache, monkeypatch):
    asked = []

    def download(*args, **kwargs):
        asked.append((args, kwargs))
        return str(path)

    hub_that(download, monkeypatch)
    publish(monkeypatch, "12-lead", file_sha256(path))
    assert find_published("12-lead") == path
    ((repository, filename), options) = asked[0]
    assert repository == "PKUDigitalHealth/ECGFounder"
    assert filename == "12_lead_ECGFounder.pth"
    assert options["revision"] == PUBLISHED["12-lead"].revision
    assert cache in Path(options["cache_dir"]).parents
    publish(monkeypatch, "12-lead", "0" * 64)
    with pytest.raises(ValueError, match="is not the published file"):
        find_published("12-lead")


def test_a_package_that_is_not_there_can_be_installed():
    assert import_optional("json", extra="hub", purpose="This") is json
    with pytest.raises(ImportError, match=r"This needs .*no_such.*pip install \"ecgsk\[hub\]\""):
        import_optional("no_such_package_of_ecgsk", extra="hub", purpose="This")
