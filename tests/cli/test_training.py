"""``train task`` and ``train language``."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.algebra import parse
from lingarith.model.loading import load
from lingarith.store.store import Store
from lingarith.vectors.composition import realise

Command = Callable[..., Any]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_a_vector_is_trained_once(command: Command, training: tuple[str, ...], tmp_path: Path) -> None:
    jsonl(tmp_path / "plain/pt.jsonl", {"body": "Choveu durante uma semana no norte do país."})
    words = ("train", "language", "pt", "--text", tmp_path / "plain/{language}.jsonl", "--plain-field", "body")
    words = (*words, *training, "--store", tmp_path / "store")
    first = command(*words, "--json").json
    assert (first["name"], first["trained"], first["origin"]["steps"]) == ("text[pt]", True, 2)
    again = command(*words, "--json").json
    assert (again["hash"], again["trained"]) == (first["hash"], False)
    assert "was in" in command(*words).out
    assert "2 steps" in command(*words, "--rank", "3").out


def test_a_task_vector_from_files(command: Command, training: tuple[str, ...], tmp_path: Path) -> None:
    """Validation loss goes into the log where the pattern has a validation split, and only there."""
    rows = [{"text": f"The bridge {k} was opened.", "summary": f"Bridge {k}"} for k in range(4)]
    for split in ("train", "dev"):
        jsonl(tmp_path / f"en/{split}.jsonl", *rows)
    for task, validated in ((tmp_path / "{language}/{split}.jsonl", True), (tmp_path / "en/train.jsonl", False)):
        made = command("train", "task", task, "en", *training, "--store", tmp_path / "store", "--json").json
        assert made["name"] == "summaries[en]"
        log = (tmp_path / "store/objects" / made["hash"] / "log.jsonl").read_text()
        assert ("validation_loss" in log) == validated


def test_all_linear_layers(
    command: Command, fails: Callable[..., str], training: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    """From training to PEFT's folder and back, and in a sum with vectors of the attention projections."""
    words = ("train", "language", "uk", "--characters", 2000, *training, "--store", store)
    made = command(*words, "--projections", "all", "--json").json
    layer = "encoder.block.*.layer."
    first = [*(f"{layer}0.SelfAttention.{name}" for name in "qkvo"), f"{layer}1.DenseReluDense.wi"]
    assert made["origin"]["projections"][:5] == first
    assert command(*words, "--projections", "all", "--json").json["trained"] is False
    narrow = command(*words, "--projections", "in:decoder.*.wo", "--json").json
    assert narrow["origin"]["options"]["projections"] == "in:decoder.*.wo"
    assert "no linear layer of" in fails(*words, "--projections", "in:*.mlp.*")
    wide = f"news[uk]@{made['hash'][:8]}"
    assert "LoRA, rank 4, scale 1, 32 projections, |ΔW| " in command("vectors", "show", wide, "--store", store).out
    mixed, delta = f"news[pt] - 0.5*{wide}", ("--space", "delta", "--store", store)
    assert "only one of them adapts" in fails("compose", mixed, "--store", store, "--name", "mix")
    assert command("export", mixed, *delta, "--out", tmp_path / "peft").code == 0
    done = command("import", tmp_path / "peft", "--name", "again[uk]", "--store", store)
    assert "LoRA, rank 8, scale 1, 32 projections\n" in done.out
    outs = [command("generate", text, "A bridge opened.", *delta, *training[-2:]).out for text in (mixed, "again[uk]")]
    assert outs[0] == outs[1]
    (tmp_path / "peft" / "lingarith.json").unlink()
    known = ("import", tmp_path / "peft", "--name", "again[uk]", "--store", store)
    assert "none of its linear layers that are known here (--backbone tells all" in fails(*known, "--like", "news[pt]")
    assert "the only one in the store that it fits" in command(*known).out
    assert "as --backbone says" in command(*known, "--backbone", training[training.index("-b") + 1]).out


def test_full_fine_tuning(
    command: Command, fails: Callable[..., str], training: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    """From training to a merged checkpoint, which is the backbone with the vector on it to the bit."""
    at = training.index("--learning-rate")
    options = (*training[:at], *training[at + 2 :], "--train-limit", 8, "--store", store)
    made = command("train", "task", "newsroom", "pt", "--adapter", "full", *options, "--json").json
    assert made["origin"]["adapter"] == {"kind": "full"}
    assert made["origin"]["options"]["learning_rate"] == 1e-4  # far below an adapter's
    again = command("train", "task", "newsroom", "pt", "--adapter", "full", *options, "--json").json
    assert (again["hash"], again["trained"]) == (made["hash"], False)
    name = made["name"]
    shown = command("vectors", "show", name, "--store", store).out
    assert "full, scale 1, 24 projections and 23 other parameters, |ΔW| " in shown
    norms = command("vectors", "show", name, "--store", store, "--json").json["norms"]
    assert len(norms) == 24 + 23
    assert all(norm > 0 for norm in norms.values())
    assert "all as they were written" in command("vectors", "verify", "--store", store).out
    mixed = f"2*{name} + 0.5*news[pt] - 0.5*news[en]"
    told = command("inspect", mixed, "--store", store).out
    assert "changes 23 parameters beside the projections" in " ".join(told.split())
    delta = ("--space", "delta", "--store", store)
    sentence = fails("export", mixed, *delta, "--out", tmp_path / "peft")
    assert sentence.startswith("PEFT's LoRA cannot carry what full fine-tuning changes beside the projections (")
    assert "a cut to a rank cannot carry" in fails("compose", mixed, *delta, "--rank-out", 2, "--out", tmp_path / "cut")
    assert 'use space="delta"' in fails("compose", mixed, "--store", store, "--name", "mix")
    assert command("compose", mixed, *delta, "--name", "mix").code == 0
    merged = tmp_path / "merged"
    base = training[training.index("-b") + 1]
    assert command("export", "mix", *delta, "--format", "merged", "-b", base, "--out", merged).code == 0
    on, alone = load(base), load(str(merged))
    with on.using(realise(parse("mix"), {"mix": Store(store).get("mix")}, "delta")):
        right = on.model.state_dict()
        assert all(torch.equal(tensor, right[key]) for key, tensor in alone.model.state_dict().items())


def test_full_fine_tuning_has_no_rank(fails: Callable[..., str], tmp_path: Path) -> None:
    words = ("train", "task", "newsroom", "pt", "--adapter", "full", "--store", tmp_path / "store")
    for more in (("--rank", 4), ("--alpha", 8)):
        assert "rank and alpha are LoRA's, and another adapter is asked for" in fails(*words, *more)


def test_a_learning_rate_that_is_given_is_that_of_full_fine_tuning_too(
    command: Command, training: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("train", "language", "pt", "--adapter", "full", "--characters", 500, *training, "--steps", 1)
    made = command(*words, "--store", tmp_path / "store", "--json").json
    assert made["origin"]["options"]["learning_rate"] == 0.05  # as `training` has it


def test_b_alone(command: Command, fails: Callable[..., str], training: tuple[str, ...], store: Path) -> None:
    words = ("train", "language", *training, "--characters", 2000, "--store", store)
    for code in ("pt", "en"):
        assert command(*words, code, "--freeze-a", "--json").json["trained"]
    told = command("inspect", "news[pt] - news[en]", "--store", store, "--json").json
    assert told["total"]["drift"]["news[pt]"]["drift"] == 0
    assert told["total"]["results"]["anchored"]["residual"] == pytest.approx(0, abs=1e-5)
    assert "'freeze_a' is LoRA's, and 'adapter' is another" in fails(*words, "pt", "--freeze-a", "--kronecker", "4x2")


def test_on_top_of_a_composition(
    command: Command, fails: Callable[..., str], training: tuple[str, ...], store: Path, tmp_path: Path
) -> None:
    words = ("train", "language", "pt", *training, "--characters", 2000, "--store", store)
    on = ("--on", "0.9*headlines[en]", "--space", "delta")
    made = command(*words, *on, "--json").json
    assert (made["name"], made["trained"]) == ("news.on[pt]", True)
    said = made["origin"]["on"]
    assert (said["expression"], said["space"], [*said["parents"]]) == ("0.9*headlines[en]", "delta", ["headlines[en]"])
    assert not command(*words, *on, "--json").json["trained"]
    assert command(*words, "--on", "headlines[en]", "--json").json["hash"] != made["hash"]
    both = ("0.9*headlines[en] + news.on[pt]", "--space", "delta", "--store", store)
    assert command("compose", *both, "--out", tmp_path / "made").code == 0
    assert "news[pt]" in {line["name"] for line in command("vectors", "list", "--store", store, "--json").json}
    assert fails(*words, "--on", "headlines[fr]").startswith("no vector named 'headlines[fr]'")
    assert "nothing in 0 to train on top of" in fails(*words, "--on", "news[en] - news[en]")
    task = command("train", "task", "newsroom", "en", *training, "--train-limit", 4, "--store", store, *on, "--json")
    assert task.json["name"] == "headlines.on[en]"


def test_early_stop(command: Command, training: tuple[str, ...], tmp_path: Path) -> None:
    """With a rate of nothing the loss never falls, so training ends after the second validation."""
    words = ("train", "task", "newsroom", "pt", *training, "--train-limit", 8, "--validation-limit", 4, "--steps", 40)
    words = (*words, "--learning-rate", 1e-30, "--validate-every", 1, "--patience", 2, "--store", tmp_path / "store")
    assert command(*words, "--json").json["origin"]["steps"] < 40


def test_what_comes_from_the_hub_is_told(
    command: Command, training: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain text of a language, and labels: once each, since what is there is not fetched again."""
    monkeypatch.setenv("LINGARITH_HUB", str(tmp_path))
    pages = [{"text": f"A ponte {k} foi aberta ontem."} for k in range(40)]
    jsonl(tmp_path / "plain.jsonl", *pages)
    packed = tmp_path / "allenai/c4/multilingual/c4-pt.tfrecord-00000-of-00001.json.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(gzip.compress((tmp_path / "plain.jsonl").read_bytes()))
    words = ("train", "language", "pt", "--text", "mc4", "--characters", "300", *training)
    words = (*words, "--store", tmp_path / "store", "--json")
    assert "fetching mc4 (pt), characters …" in command(*words).err
    assert "fetching" not in command(*words).err


BAD_ROWS = [
    ("", "is empty; it must hold at least one row"),
    ('{"text": "a b", "summary": "c"}\n{"text": "a', "line 2: no JSON"),
    ('{"text": "a b", "summary": "c"}\n\n[1]\n', "line 3: a JSON object"),
    ('{"txt": "a b", "summary": "c"}\n', "line 1: there is no field 'text'; did you mean txt?"),
    ('{"text": "a b", "summary": 3}\n', "line 1: the field 'summary' is of type int, and text is needed"),
    ('{"text": null, "summary": "c"}\n', "line 1: the field 'text' is null, and text is needed"),
    ('{"text": " ", "summary": "c"}\n{"text": "a", "summary": ""}\n', "every 'text' or 'summary' is blank"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD_ROWS)
def test_bad_labelled_data(
    content: str, sentence: str, fails: Callable[..., str], training: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "en.jsonl"
    path.write_text(content)
    said = fails("train", "task", path, "en", *training, "--store", tmp_path / "store")
    assert sentence in said
    assert str(path) in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("task", "newsroom", "xx"), "the newsroom does not write 'xx'"),
        (("task", "newsroom", "en", "--task", "summary"), "there is no task 'summary'; did you mean summaries?"),
        (("language", "e n"), "'e n' is no language code"),
        (("language", "../en", "--text", "plain/{language}.txt"), "'../en' is no language code"),
        (("language", "pt", "--text", "nowhere/{language}.txt"), "no file matches 'nowhere/{language}.txt'"),
        (("language", "pt", "--text", "newsrom"), "there is no source 'newsrom'; did you mean newsroom?"),
        (("language", "pt", "--text", "pt.docx"), "no file pt.docx"),
        (("task", "newsroom", "en", "--prompt", "{article}"), "does not say where the article goes"),
        (("language", "pt", "--rank", "0"), "rank=0 must be at least 1"),
        (("language", "pt", "--alpha", "-1"), "alpha=-1.0 must be a positive number"),
        (("language", "pt", "--characters", "0"), "limit_characters is 0"),
        (("task", "newsroom", "en", "--train-limit", "0"), "train_limit is 0"),
        (("language", "pt", "--precision", "int8"), "precision='int8' is none of"),
        (("language", "pt", "--dtype", "flot32"), "no type of weights is named 'flot32'; did you mean float32?"),
        (("language", "pt", "--seed", "-1"), "seed=-1 must be 0 or more"),
        (("language", "pt", "--init-seed", "-1"), "init_seed=-1 must be 0 or more"),
        (("language", "pt", "--bits", "3"), "bits=3 is not known; choose 4 or 8"),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    sentence: str,
    fails: Callable[..., str],
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in fails("train", *words[:1], *words[1:], *training, "--store", tmp_path / "store")
    assert not list(tmp_path.glob("store/objects/*"))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [("/nowhere/model", "there is no folder /nowhere/model"), (".", "holds no model (no config.json)")],
)
def test_bad_backbones(
    backbone: str, sentence: str, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = fails("train", "language", "pt", "--characters", "100", "-b", backbone, "--store", tmp_path / "store")
    assert sentence in said


@pytest.mark.parametrize("at", [1, 3, 6, 9])
def test_a_full_disk_loses_nothing(
    at: int,
    command: Command,
    fails: Callable[..., str],
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full from the n-th write on; with space again, the same command ends well."""
    words = ("train", "language", "pt", "--characters", "500", *training, "--store", tmp_path / "store")
    left, real = [at], os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert "no space left" in fails(*words)
    assert command(*words).code == 0
    assert command("vectors", "verify", "--store", tmp_path / "store").code == 0
    assert not any((tmp_path / "store/training").iterdir())


def test_numbers_that_are_none_stop_training(
    fails: Callable[..., str], training: tuple[str, ...], tmp_path: Path
) -> None:
    said = fails(
        "train", "language", "pt", "--characters", "500", *training,
        "--steps", "20", "--learning-rate", "1e30", "--store", tmp_path / "store",
    )  # fmt: skip
    assert "no longer a number at step" in said
    assert "lower the learning rate" in said
