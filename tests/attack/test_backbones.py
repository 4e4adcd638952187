"""Backbones of somebody else: nothing is read but their own safetensors, nothing is copied but what is theirs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.disk.tensors import TensorFile, read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.model.loading import load
from lingarith.store.objects import SCHEMA, _digest
from lingarith.store.store import Store
from lingarith.vectors.vector import content_hash
from tests.cli.conftest import Command

Fails = Callable[..., str]
SECRET = "a secret of the user's"


class Evil:
    """A pickle of it runs a command when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def base(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy of the backbone, to be changed."""
    (tmp_path / "secret.txt").write_text(SECRET)
    return Path(shutil.copytree(tiny_backbone, tmp_path / "base"))


def changed(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("name", ["weights.bin", "../model.safetensors", "/tmp/model.safetensors", "a pickle"])
def test_an_index_that_names_other_files(name: str, base: Path, fails: Fails, store: Path, tmp_path: Path) -> None:
    file = base / ("weights.bin" if name == "a pickle" else name)
    held = read_safetensors(base / "model.safetensors")
    (base / "model.safetensors").rename(tmp_path / "model.safetensors")
    (base / "decoy.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    if name == "a pickle":
        file.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    elif name == "weights.bin":
        torch.save(held, file)
    named = file.name if name == "a pickle" else name
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(held, named)}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LingarithError, match="not the files beside it"):
        load(str(base), device="cpu")
    words = ("export", "news[pt]", "--format", "merged", "-b", base, "--out", tmp_path / "merged", "--store", store)
    assert "not the files beside it" in fails(*words)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("what", ["config.json", "model.safetensors", "tokenizer.json", "notes.txt"])
def test_links_and_pipes_in_a_backbone(what: str, base: Path, fails: Fails, store: Path, tmp_path: Path) -> None:
    words = ("export", "news[pt]", "--format", "merged", "-b", base, "--out", tmp_path / "merged", "--store", store)
    (base / what).unlink(missing_ok=True)
    (base / what).symlink_to(tmp_path / "secret.txt")
    for said in (fails(*words), fails("generate", "news[pt]", "Uma ponte", "-b", base, "--store", store)):
        assert "leads out of" in said
        assert SECRET not in said
    (base / what).unlink()
    os.mkfifo(base / what)
    assert "pipe" in fails(*words)
    assert not (tmp_path / "merged").exists()


def test_an_adapter_beside_the_weights(base: Path, command: Command, fails: Fails, store: Path, tmp_path: Path) -> None:
    assert command("compose", "news[pt]", "--store", store, "--out", tmp_path / "adapter").code == 0
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "adapter" / name, base)
    assert "holds adapter_config.json too" in fails("generate", "news[pt]", "Uma ponte", "-b", base, "--store", store)


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_implementation": "org/kernel"},
        {"_attn_implementation_internal": "org/kernel"},
        {"attn_implementation": {"encoder": "org/kernel@main"}},
        {"text_config": {"experts_implementation": "org/kernel"}},
    ],
)
def test_code_on_the_hub_that_a_configuration_names(settings: dict[str, Any], base: Path) -> None:
    changed(base / "config.json", **settings)
    with pytest.raises(LingarithError, match=r"names code on the hub \(.*org/kernel.*\), which is never run"):
        load(str(base), device="cpu")


def test_merging_checks_the_numbers_and_copies_what_is_the_backbones(
    base: Path, command: Command, fails: Fails, store: Path, tmp_path: Path
) -> None:
    (base / "private.txt").write_text(SECRET)
    (base / "vocab.txt").write_text("a")
    words = ("export", "news[pt]", "--format", "merged", "--out", tmp_path / "merged", "--store", store)
    assert command(*words, "-b", base).code == 0
    assert (tmp_path / "merged/vocab.txt").exists()
    assert not (tmp_path / "merged/private.txt").exists()
    held = read_safetensors(base / "model.safetensors")
    held[next(iter(held))].view(-1)[1] += 1
    write_safetensors(base / "model.safetensors", held, {"format": "pt"})
    assert "is not the backbone of these vectors" in fails(*words, "-b", base)


def test_a_vector_that_names_a_folder_of_the_users(base: Path, fails: Fails, store: Path, tmp_path: Path) -> None:
    vectors = Store(store)
    folder = store / "objects" / vectors.resolve("news[pt]")
    manifest = json.loads((folder / "origin.json").read_text())
    manifest["origin"]["backbone"]["name"] = str(base)
    digest = _digest(content_hash(TensorFile(folder / "vector.safetensors")), manifest["scale"], manifest["origin"])
    (folder / "origin.json").write_text(json.dumps(manifest | {"hash": digest, "schema": SCHEMA}))
    folder.rename(folder.with_name(digest))
    assert vectors.get(digest).origin["backbone"]["name"] == str(base)
    said = fails(
        "export",
        digest[:0] + "news[pt]@" + digest[:12],
        "--format",
        "merged",
        "--out",
        tmp_path / "m",
        "--store",
        store,
    )
    assert f"say so by --backbone {base}" in said
    assert not (tmp_path / "m").exists()
