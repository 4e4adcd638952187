"""``vectors list``, ``show`` and ``verify``, on good stores and on broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

Command = Callable[..., Any]
NAMES = ["headlines[en]", "news[en]", "news[pt]"]


@pytest.fixture
def vector_folder(store: Path) -> Path:
    """The folder of news[pt] in a store that may be damaged."""
    [reference] = store.glob("names/*/news%5Bpt%5D.json")
    return store / "objects" / json.loads(reference.read_text())["is"]["hash"]


def test_list(command: Command, trained: Path) -> None:
    entries = command("vectors", "list", "--store", trained, "--json").json
    assert [entry["name"] for entry in entries] == NAMES
    assert {(entry["kind"], entry["steps"]) for entry in entries} == {("task", 2), ("language", 2)}
    shown = command("vectors", "list", "--store", trained).out
    assert all(name in shown for name in NAMES)


def test_show(command: Command, trained: Path) -> None:
    facts = command("vectors", "show", "news[pt]", "--store", trained, "--json").json
    assert facts["name"] == "news[pt]"
    assert facts["origin"]["language"] == "pt"
    assert len(facts["norms"]) == 2 * 4 + 2 * 8  # layers times projections of encoder and decoder
    assert all(norm > 0 for norm in facts["norms"].values())
    for other in (facts["hash"], f"news[pt]@{facts['hash'][:6]}"):
        assert command("vectors", "show", other, "--store", trained, "--json").json["hash"] == facts["hash"]
    shown = command("vectors", "show", "news[pt]", "--store", trained).out
    assert f"news[pt]  {facts['hash']}" in shown
    dose = facts["origin"]["dose"]
    assert f"{dose['before']:.3f} → {dose['after']:.3f} bits per byte of held-out text of its language" in shown
    assert "bits per byte" not in command("vectors", "show", "headlines[en]", "--store", trained).out


def test_verify(command: Command, trained: Path) -> None:
    assert command("vectors", "verify", "--store", trained).out == "3 vectors, all as they were written\n"
    assert command("vectors", "verify", "--store", trained, "--json").json == {"vectors": 3, "problems": []}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("news[pd]", "no vector named 'news[pd]' in {store}; did you mean news[pt]?"),
        ("../news[pt]", "'../news[pt]' cannot name a vector"),
        ("a/b", "'a/b' cannot name a vector"),
        ("..", "'..' cannot name a vector"),
        ("news[pt]@0000000", "no vector matches 'news[pt]@0000000'"),
        ("0" * 64, "no object 000000000000…"),
    ],
)
def test_names_that_mean_nothing(name: str, sentence: str, fails: Callable[..., str], trained: Path) -> None:
    assert fails("vectors", "show", name, "--store", trained).startswith(sentence.format(store=trained))


@pytest.mark.parametrize("words", [("list",), ("verify",), ("show", "news[pt]")])
def test_no_store(words: tuple[str, ...], fails: Callable[..., str], tmp_path: Path) -> None:
    assert fails("vectors", *words, "--store", tmp_path / "none").startswith("there is no store at")
    assert not (tmp_path / "none").exists()


def damage_nan(folder: Path) -> None:
    tensors = load_file(folder / "vector.safetensors")
    first = next(iter(tensors))
    tensors[first] = torch.full_like(tensors[first], float("nan"))
    save_file(tensors, folder / "vector.safetensors")


def damage_truncated(folder: Path) -> None:
    path = folder / "vector.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_bit(folder: Path) -> None:
    path = folder / "vector.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def damage_half_written(folder: Path) -> None:
    (folder / "origin.json").unlink()


def damage_manifest(folder: Path) -> None:
    (folder / "origin.json").write_text('{"schema": 1,')


DAMAGES = [
    (damage_nan, "holds NaN or Inf"),
    (damage_truncated, "is damaged"),
    (damage_bit, "was changed: its hash is not"),
    (damage_half_written, "is half-written: it has no origin.json"),
    (damage_manifest, "is damaged: not JSON"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_damaged_vector_is_named_and_can_be_trained_again(
    damage: Callable[[Path], None],
    sentence: str,
    command: Command,
    fails: Callable[..., str],
    store: Path,
    vector_folder: Path,
    training: tuple[str, ...],
) -> None:
    damage(vector_folder)
    for words in (("vectors", "show", "news[pt]"), ("compose", "news[pt]")):
        said = fails(*words, "--store", store)
        assert sentence in said
        assert "train the vector again" in said
    verified = command("vectors", "verify", "--store", store)
    assert (verified.code, verified.out.count("\n")) == (2, 1)
    assert sentence in verified.out
    assert command("vectors", "show", "news[en]", "--store", store).code == 0
    for path in vector_folder.iterdir():
        path.unlink()
    vector_folder.rmdir()
    again = command("train", "language", "pt", "--characters", "2000", *training, "--store", store, "--json").json
    assert (again["hash"], again["trained"]) == (vector_folder.name, True)
    assert command("vectors", "verify", "--store", store).code == 0


def test_a_store_that_lies_elsewhere(
    command: Command,
    fails: Callable[..., str],
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "one"))
    where = ("--store", f"memory:/{tmp_path}/store")
    first = command("train", "language", "pt", "--characters", "2000", *training, *where, "--json").json
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "other"))
    again = command("train", "language", "pt", "--characters", "2000", *training, *where, "--json").json
    assert (first["trained"], again["trained"], again["hash"]) == (True, False, first["hash"])
    assert [entry["name"] for entry in command("vectors", "list", *where, "--json").json] == ["news[pt]"]
    assert command("vectors", "verify", *where, "--json").json == {"vectors": 1, "problems": []}
    assert command("compose", "2*news[pt]", "--name", "twice", *where).code == 0
    assert command("vectors", "show", "twice", *where).code == 0
    assert "there is no store at memory://x/y; train" in fails("vectors", "list", "--store", "memory://x/y")
    assert "Protocol not known: foo" in fails("vectors", "list", "--store", "foo://x/y")


# ---------------------------------------------------------------- the inputs that regmean asks about

SUM = "0.6*headlines[en] + 0.4*(news[pt] - news[en])"
BY = ("--space", "delta", "--method", "regmean")
DEFAULT = "regmean:alpha=0.9,ridge=0.01"


@pytest.fixture
def on(tiny_backbone: Path, store: Path) -> tuple[str, ...]:
    return ("-b", str(tiny_backbone), "--store", str(store))


def test_gram(command: Command, fails: Callable[..., str], on: tuple[str, ...], store: Path, tmp_path: Path) -> None:
    where = ("--store", store)
    none = "'regmean' needs the Gram matrix of each vector's inputs, and headlines[en] has none; make it by `lingarith"
    for words in (
        ("compose", SUM, *BY, *where),
        ("generate", SUM, "Olá.", *BY, *on),
        ("evaluate", SUM, "pt", *BY, *on),
    ):
        assert fails(*words).startswith(none)
    lacks = command("inspect", SUM, "--methods", *where, "--json").json["refused"]
    assert lacks == {f"delta, {DEFAULT}": none.partition(";")[0]}
    facts = command("vectors", "gram", "headlines[en]", "--train-limit", "6", *on, "--json").json
    assert (facts["name"], facts["projections"]) == ("headlines[en]", 2 * 4 + 2 * 8)
    origin = command("vectors", "show", "headlines[en]", *where, "--json").json["origin"]
    assert facts["data"] == origin["data"]["fingerprint"]
    for name in ("news[pt]", "news[en]"):
        said = command("vectors", "gram", name, "--characters", "2000", *on).out
        assert said.startswith(f"{name}: the inputs of 24 projections over ")
    made = command("compose", SUM, *BY, *where, "--json").json
    assert made["space"] == f"delta, {DEFAULT}"
    assert made["norm"] != command("compose", SUM, "--space", "delta", *where, "--json").json["norm"]
    assert not command("inspect", SUM, "--methods", *where, "--json").json["refused"]
    words = ("export", SUM, *BY, *where, "--out", tmp_path / "adapter")
    assert command(*words).code == 0
    assert command("generate", SUM, "Olá.", *BY, "--max-output", "3", *on).code == 0
    assert command("evaluate", SUM, "pt", *BY, "--test-limit", "1", "--max-output", "3", *on).code == 0
    assert command("vectors", "verify", *where).out == "3 vectors, all as they were written\n"


def test_the_data_of_a_vector_from_elsewhere_are_said(
    command: Command, fails: Callable[..., str], on: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    assert command("compose", "news[pt]", "--store", store, "--out", tmp_path / "adapter").code == 0
    assert command("import", tmp_path / "adapter", "--name", "mine", *on).code == 0
    assert fails("vectors", "gram", "mine", *on).startswith("mine does not say on what it was trained; give --text or")
    (tmp_path / "pt.txt").write_text("Uma ponte nova foi aberta.\n" * 40, encoding="utf-8")
    text = ("--text", tmp_path / "{language}.txt")
    assert fails("vectors", "gram", "mine", *text, *on).startswith("mine does not say on what it was trained")
    assert command("vectors", "gram", "mine", *text, "--lang", "pt", *on).code == 0
    both = ("--text", "newsroom", "--labels", "newsroom")
    assert fails("vectors", "gram", "mine", *both, *on).startswith("a vector was trained on labels or on plain text")
    assert fails("vectors", "gram", "news[pd]", *on).startswith("no vector named 'news[pd]'")
