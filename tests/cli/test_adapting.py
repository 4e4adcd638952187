"""``adapt`` and ``demo`` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.cli import adapting
from lingarith.model.backbone import load
from lingarith.model.generate import Decoding
from lingarith.model.options import TrainOptions
from lingarith.study.plan import AdaptOptions

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("coarse")
LIMITS = ("--limit", "6", "--validation-limit", "2", "--test-limit", "2", "--max-target", "8", "--max-output", "6")


@pytest.fixture
def small(training: tuple[str, ...]) -> tuple[str, ...]:
    return (*training, *LIMITS, "--characters", "2000")


def test_adapt(command: Command, small: tuple[str, ...], trained: Path, tmp_path: Path) -> None:
    """A dry run trains nothing, the run leaves all its files, and the next one repeats its words."""
    store, out = tmp_path / "store", tmp_path / "out"
    words = ("adapt", "pt", *small, "--store", store, "--out", out)

    dry = command(*words, "--dry-run")
    assert "train news[pt]" in dry.out
    assert "nothing was trained" in dry.out
    assert [line for line in dry.err.splitlines() if line.startswith("timing")] == [
        "timing a step of headlines[en] …", "timing a step of news[en] …", "timing an output …",
    ]  # fmt: skip
    plan = command(*words, "--dry-run", "--json").json
    assert plan["protocol"] == "oracle"
    assert [stage["done"] for stage in plan["stages"]] == [False] * 5
    assert plan["seconds"] == pytest.approx(sum(stage["seconds"] for stage in plan["stages"]))
    guessed = command(*words, "--choose-by", "unlabelled", "--dry-run").out
    assert "pt: λ is chosen without any label" in guessed
    assert not out.exists()
    assert not list(store.glob("objects/*"))

    first = command(*words)
    assert first.code == 0
    assert "pt: " in first.out
    assert "ROUGE-2" in first.out
    assert str(out / "report.html") in first.out
    lines = {f"{name}.jsonl" for name in ("examples", "records", "choices", "vectors")}
    assert {path.name for path in out.iterdir()} == {
        "run.json", "report.html", "table.md", "table.csv", "table.tex", "pt", *lines,
    }  # fmt: skip
    assert json.loads((out / "run.json").read_text())["command"].startswith("lingarith adapt pt")
    rows = command(*words, "--json").json
    assert {row["equation"] for row in rows} == {"baseline", "add", "add_subtract", "uncoupled"}
    assert all(row["target"] == "pt" and row["n"] == 2 for row in rows)
    assert command(*words).out == first.out
    assert [stage["done"] for stage in command(*words, "--dry-run", "--json").json["stages"]][:3] == [True] * 3


def test_adapt_without_labels_of_the_target(command: Command, small: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "summ/en").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    rows = [{"text": f"The bridge {k} was opened in May.", "summary": f"Bridge {k}"} for k in range(4)]
    (tmp_path / "summ/en/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for language, line in (("en", "It rained for a week."), ("yo", "Òjò rọ̀ fún ọ̀sẹ̀ kan.")):
        (tmp_path / f"plain/{language}.txt").write_text(f"{line}\n" * 5)
    done = command(
        "adapt", "yo", *small, "--task", tmp_path / "summ/{language}/{split}.jsonl",
        "--text", tmp_path / "plain/{language}.txt", "--store", tmp_path / "store", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0
    assert "nothing to evaluate on" in done.out
    assert (tmp_path / "out/yo/adapter_model.safetensors").exists()
    assert (tmp_path / "out/report.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("en",), "en is a target and a source"),
        (("pt", "pt"), "target pt is named twice"),
        (("pd",), "the newsroom does not write 'pd'"),
        (("../pt",), "the newsroom does not write '../pt'"),
        (("pt", "--source", "e"), "the newsroom does not write 'e'"),
        (("pt", "--choose-by", "orakle"), "no protocol named 'orakle'; did you mean oracle?"),
        (("pt", "--space", "delta-space"), "no space named 'delta-space'; did you mean delta?"),
        (("pt", "--task", "nowhere/{language}/{split}.jsonl"), "no file matches"),
        (("pt", "--task", "summ/en.jsonl"), "the labelled data 'summ/en.jsonl' would be the same for all languages"),
        (("pt", "--text", "plain.txt"), "the plain text 'plain.txt' would be the same for all languages"),
        (("pt", "--validation-limit", "0"), "limit is 0"),
        (("pt", "--language-steps", "0"), "steps=0 must be at least 1"),
        (("pt", "--language-learning-rate", "0"), "learning_rate=0.0 must be a positive number"),
        (("pt", "--score-model", "/nowhere.model"), "cannot read the SentencePiece model /nowhere.model"),
        (("pt", "--rank-out", "4"), "rank=4 needs space 'delta'"),
        (("pt", "--dtype", "float12"), "no type of weights is named 'float12'"),
    ],
)
def test_what_cannot_be_adapted(
    words: tuple[str, ...],
    sentence: str,
    fails: Callable[..., str],
    small: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Said before anything is trained or written."""
    monkeypatch.chdir(tmp_path)
    said = fails("adapt", *small, *words, "--store", "store", "--out", "out")
    assert said.startswith(sentence)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("store/objects/*"))


def test_an_out_that_holds_something_else(
    command: Command, fails: Callable[..., str], small: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    words = ("adapt", "pt", *small, "--store", tmp_path / "store")
    assert "is not empty and holds no run; choose another --out" in fails(*words, "--out", tmp_path)
    assert "is a file; choose another --out" in fails(*words, "--out", tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    out = tmp_path / "out"
    assert command(*words, "--out", out).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "holds another run" in fails(*words, "--seed", "1", "--out", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_demo_is_adapt_on_the_newsroom(
    command: Command, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tiny backbone in place of the package's, the tables and examples of both are the same."""
    training = TrainOptions(steps=2, batch_size=4, learning_rate=0.05, max_input=24, max_target=8)
    small = AdaptOptions(
        task_training=training, language_training=training, decoding=Decoding(max_input=24, max_output=6),
        train_limit=6, validation_limit=2, test_limit=2, text_characters=2000,
    )  # fmt: skip
    monkeypatch.setattr("lingarith.study.plan.defaults", lambda backbone: small)
    monkeypatch.setattr(adapting, "DEMO_TARGETS", ["pt", "uk"])
    monkeypatch.setattr(adapting, "open_backbone", lambda *_: load(str(tiny_backbone)))
    common = ("--store", tmp_path / "store", "--json")
    demo = command("demo", "--out", tmp_path / "demo", *common).json
    words = (*adapting.DEMO_TARGETS, *LIMITS, "--characters", "2000", "--max-input", "24", "--out", tmp_path / "adapt")
    assert command("adapt", *words, *common).json == demo
    said = command("demo", "--out", tmp_path / "demo", *common[:-1])
    assert said.code == 0
    assert "no benchmark of any language" in said.err
    for target in adapting.DEMO_TARGETS:
        assert f"\n{target}  test-" in said.out
    assert "Reference " in said.out
    assert str(tmp_path / "demo/report.html") in said.out


def test_progress_goes_to_stderr(command: Command, small: tuple[str, ...], tmp_path: Path) -> None:
    done = command("adapt", "pt", *small, "--store", tmp_path / "store", "--out", tmp_path / "out", "--json")
    assert isinstance(done.json, list)
    assert "training 3 vectors …" in done.err
    assert "testing pt, baseline …" in done.err
