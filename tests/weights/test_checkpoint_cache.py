"""The cache of converted checkpoints, and own files."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from ecgsk._core.files import file_sha256
from ecgsk.weights import _ecgfounder_checkpoint as module
from ecgsk.weights import read_ecgfounder, write_weights
from ecgsk.weights._published import cache_folder
from tests._ecgfounder_files import (
    assert_holds,
    contents,
    converted,
    nano_state,
    published_checkpoint,
    refused,
)


def test_a_file_of_save_weights_is_read_as_it_is(path, tmp_path, cache, monkeypatch):
    weights = converted(path)
    write_weights(tmp_path / "own", weights)
    with monkeypatch.context() as patch:
        patch.setattr(module, "convert_checkpoint", None)
        assert_holds(read_ecgfounder(tmp_path / "own"), nano_state(3, 2))
    content = (tmp_path / "own").read_bytes()
    size = len(content)
    for n_bytes in [*range(0, 40, 3), *range(40, size, size // 20), size - 1]:
        (tmp_path / "bad").write_bytes(content[:n_bytes])
        refused(tmp_path / "bad")
    write_weights(tmp_path / "other", replace(weights, kind="mtecg-classifier"))
    assert "mtecg-classifier" in refused(tmp_path / "other")
    assert not cache.exists()


def test_the_second_read_comes_from_the_cache(path, tmp_path, cache, monkeypatch):
    first = read_ecgfounder(path)
    (kept,) = contents(cache)
    assert file_sha256(path)[:16] in kept.name
    monkeypatch.setattr(module, "convert_checkpoint", None)
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(path, tmp_path / "elsewhere" / "renamed.bin")
    for source in (path, str(path), copy):
        again = read_ecgfounder(source)
        assert_holds(again, nano_state(3, 2))
        for name, value in vars(first).items():
            if name != "tensors":  # JSON knows no tuples
                assert json.dumps(vars(again)[name]) == json.dumps(value)
    assert list(contents(cache)) == [kept]


def test_a_file_that_changes_is_read_anew(path, cache):
    read_ecgfounder(path)
    state = nano_state(3, 2)
    state["dense.bias"] += 1
    torch.save(published_checkpoint(state), path)
    assert_holds(read_ecgfounder(path), state)
    assert len(contents(cache)) == 2


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "empty",
        "garbage",
        "text",
        "other kind",
        "no metadata",
        "no JSON",
        "JSON of another kind",
        "fields of another version",
        "field missing",
        "no tensors",
        "flipped bits",
    ],
)
def test_a_cache_that_cannot_be_read_is_made_anew(path, cache, kind):
    expected = read_ecgfounder(path)
    ((kept, good),) = contents(cache).items()
    with safe_open(kept, "numpy") as file:
        metadata = file.metadata()
    said = json.loads(metadata["ecgsk"])
    spoilt = {
        "truncated": [good[:n] for n in (1, 8, 9, 100, len(good) // 2, len(good) - 1)],
        "empty": [b""],
        "garbage": [os.urandom(len(good)), b"\xff" * 50],
        "text": [b"not what was here\n" * 20],
        "flipped bits": [
            good[:-n] + bytes([good[-n] ^ 1]) + good[len(good) - n + 1 :] for n in (5, 99)
        ],
    }
    metadata_of = {
        "other kind": {**metadata, "ecgsk": json.dumps({**said, "kind": "mtecg-classifier"})},
        "no metadata": {},
        "no JSON": {**metadata, "ecgsk": "{"},
        "JSON of another kind": {**metadata, "ecgsk": "[]"},
        "fields of another version": {**metadata, "ecgsk": json.dumps({**said, "new": 1})},
        "field missing": {
            **metadata,
            "ecgsk": json.dumps({k: v for k, v in said.items() if k != "network"}),
        },
    }
    for content in spoilt.get(kind, [None]):
        if content is not None:
            kept.write_bytes(content)
        elif kind == "no tensors":
            save_file({}, kept, metadata)
        else:
            save_file(expected.tensors, kept, metadata_of[kind])
        assert_holds(read_ecgfounder(path), nano_state(3, 2))
        assert list(contents(cache)) == [kept]
        convert, module.convert_checkpoint = module.convert_checkpoint, None
        try:
            assert_holds(read_ecgfounder(path), nano_state(3, 2))
        finally:
            module.convert_checkpoint = convert


def test_a_folder_in_the_place_of_the_conversion(path, cache):
    read_ecgfounder(path)
    (kept,) = contents(cache)
    kept.unlink()
    kept.mkdir()
    assert_holds(read_ecgfounder(path), nano_state(3, 2))
    assert list(cache.rglob("*")) == [kept]


@pytest.mark.parametrize(
    "kind",
    [
        "file",
        "under a file",
        "read-only",
        "long name",
        "no home",
        "full",
    ],
)
def test_a_cache_that_cannot_be_written_is_done_without(path, tmp_path, monkeypatch, kind):
    state = nano_state(3, 2)
    (tmp_path / "file").write_text("here")
    if kind == "file":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "file"))
    elif kind == "under a file":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "file" / "cache"))
    elif kind == "long name":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / ("x" * 300)))
    elif kind == "no home":

        def nowhere(cls):
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("ECGSK_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", classmethod(nowhere))
    elif kind == "read-only":
        (tmp_path / "cache").mkdir(mode=0o500)
        if os.access(tmp_path / "cache", os.W_OK):
            pytest.skip("this user may write everywhere")
    elif kind == "full":
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        weights = read_ecgfounder(path)
    finally:
        if kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_holds(weights, state)
    assert contents(tmp_path / "cache") == {}
    assert (tmp_path / "file").read_text() == "here"


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ECGSK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ecgsk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ecgsk"
    assert not any(tmp_path.iterdir())
