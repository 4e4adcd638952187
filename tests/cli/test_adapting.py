"""``adapt`` and ``demo`` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.cli import making

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("coarse")
LIMITS = (
    "--train-limit", "6", "--validation-limit", "2", "--test-limit", "2", "--max-target", "8", "--max-output", "6",
)  # fmt: skip


@pytest.fixture
def small(training: tuple[str, ...]) -> tuple[str, ...]:
    return (*training, *LIMITS, "--characters", "2000")


def test_adapt(command: Command, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run trains nothing, the run leaves all its files, and the next one repeats its words."""
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))  # what other tests have timed is not there
    store, out = tmp_path / "store", tmp_path / "out"
    words = ("adapt", "pt", *small, "--store", store, "--out", out)

    dry = command(*words, "--dry-run")
    assert "language vectors" in dry.out
    assert "λ is chosen by protocol 'oracle'." in dry.out
    assert "Nothing was trained or written." in dry.out
    assert [line for line in dry.err.splitlines() if line.startswith("timing")] == [
        "timing a step of headlines[en] …", "timing a step of news[en] …", "timing an output …",
    ]  # fmt: skip
    plan = command(*words, "--dry-run", "--json").json
    assert plan["protocol"] == "oracle"
    assert {stage["what"]: stage["left"] for stage in plan["stages"]} == {
        "task vectors": 1, "language vectors": 2, "outputs for validation": 8, "outputs for test": 8,
    }  # fmt: skip
    assert plan["seconds"] == pytest.approx(sum(stage["seconds"] for stage in plan["stages"]))
    guessed = command(*words, "--choose-by", "unlabelled", "--dry-run").out
    assert "pt: λ is chosen without any label" in guessed
    assert not out.exists()
    assert not list(store.glob("objects/*"))

    first = command(*words)
    assert first.code == 0, first.err
    assert "pt: " in first.out
    assert "ROUGE-2" in first.out
    assert str(out / "report.html") in first.out
    lines = {f"{name}.jsonl" for name in ("examples", "records", "choices", "vectors")}
    assert {path.name for path in out.iterdir()} == {
        "run.json", "report.html", "table.md", "table.csv", "table.tex", "pt", *lines,
    }  # fmt: skip
    assert json.loads((out / "run.json").read_text())["command"].startswith("lingarith adapt pt")
    facts = command(*words, "--json").json
    assert {cell["method"] for cell in facts["cells"]} == {"baseline", "add", "add_subtract", "uncoupled"}
    assert all(cell["target"] == "pt" and cell["n"] == 2 for cell in facts["cells"])
    assert list(facts["adapters"]) == ["pt"]
    assert command(*words).out == first.out
    assert command(*words, "--dry-run", "--json").json["left"] == 0


def test_a_task_and_controls(command: Command, small: tuple[str, ...], tmp_path: Path) -> None:
    """Tasks, controls and seeds are options of `adapt` as of any study."""
    (tmp_path / "moods.toml").write_text(
        'prompt = "mood: {text}"\ntarget = "category"\nmetric = "accuracy"\nwrites = ""\n', encoding="utf-8"
    )
    words = ("adapt", "pt", *small, "--task", tmp_path / "moods.toml", "--seeds", "0,1", "--controls", "scaled")
    facts = command(*words, "--store", tmp_path / "store", "--out", tmp_path / "out", "--json").json
    assert {(cell["task"], cell["seeds"]) for cell in facts["cells"]} == {("moods", 2)}
    assert "scaled" in {cell["method"] for cell in facts["cells"]}


def test_adapt_without_labels_of_the_target(command: Command, small: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "summ/en").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    rows = [{"text": f"The bridge {k} was opened in May.", "summary": f"Bridge {k}"} for k in range(4)]
    (tmp_path / "summ/en/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for language, line in (("en", "It rained for a week."), ("yo", "Òjò rọ̀ fún ọ̀sẹ̀ kan.")):
        (tmp_path / f"plain/{language}.txt").write_text(f"{line}\n" * 5)
    done = command(
        "adapt", "yo", *small, "--labels", tmp_path / "summ/{language}/{split}.jsonl",
        "--text", tmp_path / "plain/{language}.txt", "--store", tmp_path / "store", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "nothing to evaluate on" in done.out
    assert (tmp_path / "out/yo/adapter_model.safetensors").exists()
    assert (tmp_path / "out/report.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("en",), "en is a target and a source"),
        (("eng",), "eng is a target and en a source, and they are one language"),
        (("pt", "por"), "pt and por in 'targets' are one language; name it once"),
        (("pt", "pt"), "pt stands twice in 'targets'"),
        (("pd",), "the newsroom does not write 'pd'"),
        (("../pt",), "'../pt' is no language code"),
        (("pt", "--source", "e"), "the newsroom does not write 'e'"),
        (("pt", "--task", "summary"), "there is no task 'summary'; did you mean summaries?"),
        (("pt", "--controls", "randon"), "'controls' knows no 'randon'; did you mean random?"),
        (("pt", "--choose-by", "orakle"), "'choose_by' knows no 'orakle'; did you mean oracle?"),
        (("pt", "--space", "delta-space"), "no space named 'delta-space'; did you mean delta?"),
        (("pt", "--labels", "nowhere/{language}/{split}.jsonl"), "no file matches"),
        (("pt", "--labels", "summ/en.jsonl"), "'labels' is 'summ/en.jsonl', the same for every language"),
        (("pt", "--text", "plain.txt"), "'text' is 'plain.txt', the same for every language"),
        (("pt", "--validation-limit", "0"), "validation_limit is 0"),
        (("pt", "--kronecker", "32"), "'kronecker' is [32]; give m and n, such as 32x16"),
        (("pt", "--kronecker", "32xb"), "the command line: 'kronecker', item 2 is 'b'; it must be a whole number"),
        (("pt", "--language-steps", "0"), "steps=0 must be at least 1"),
        (("pt", "--language-learning-rate", "0"), "learning_rate=0.0 must be a positive number"),
        (("pt", "--score-model", "/nowhere.model"), "cannot read the SentencePiece model /nowhere.model"),
        (("pt", "--rank-out", "4"), "rank=4 needs space 'delta'"),
        (("pt", "--dtype", "float12"), "no type of weights is named 'float12'"),
        (("pt", "--runner", "slurn"), "no runner is named 'slurn'; did you mean slurm?"),
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
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert "holds another run" in fails(*words, "--seed", "1", "--out", out)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert after == before


def test_demo_is_adapt_on_the_newsroom(
    command: Command, small: tuple[str, ...], tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tiny backbone in place of the package's, the tables of both are the same."""
    keys = {
        "steps": 2, "batch_size": 4, "learning_rate": 0.05, "max_input": 24, "max_target": 8, "train_limit": 6,
        "validation_limit": 2, "test_limit": 2, "characters": 2000, "max_output": 6, "backbone": str(tiny_backbone),
    }  # fmt: skip
    targets = ["pt", "uk"]
    monkeypatch.setattr(making, "DEMO", keys | {"targets": targets})
    common = ("--store", tmp_path / "store", "--json")
    demo = command("demo", "--out", tmp_path / "demo", *common).json
    adapt = command("adapt", *targets, *small, "--out", tmp_path / "adapt", *common).json
    assert {**adapt, "report": ""} == {**demo, "report": ""}
    said = command("demo", "--out", tmp_path / "demo", *common[:-1])
    assert said.code == 0
    assert "four language vectors" in said.err
    assert "no benchmark of any language" in said.out
    for target in targets:
        assert f"\n{target}  test-" in said.out
    assert "Reference " in said.out
    assert str(tmp_path / "demo/report.html") in said.out


def test_progress_goes_to_stderr(command: Command, small: tuple[str, ...], tmp_path: Path) -> None:
    done = command("adapt", "pt", *small, "--store", tmp_path / "store", "--out", tmp_path / "out", "--json")
    assert isinstance(done.json, dict)
    assert "training 3 vectors" in done.err
    assert "Add, pt, 2 of 4" in done.err


def test_a_directory_for_a_server(
    command: Command, fails: Callable[..., str], small: tuple[str, ...], tmp_path: Path
) -> None:
    """One folder a language, each as a server reads it; what no server takes is refused before anything is trained."""
    words = ("adapt", "pt", *small, "--format", "serving", "--store", tmp_path / "store", "--out", tmp_path / "served")
    assert "servers take LoRA alone" in fails(*words, "--kronecker", "4x4")
    assert "rank 600, and servers take 512 at most" in fails(*words, "--space", "delta", "--rank", "200")
    assert "did you mean serving?" in fails(*words[:-6], "--format", "servin")
    assert not (tmp_path / "served").exists()
    done = command(*words)
    assert done.code == 0, done.err
    unserved, base = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert unserved.startswith("warning: vLLM and SGLang serve no LoRA on encoder-decoder models, such as this one; ")
    assert base.endswith("as its base; only this machine has that folder, so say where others can get it")
    config = json.loads((tmp_path / "served" / "pt" / "adapter_config.json").read_text())
    assert (config["r"], config["target_modules"]) == (8, ["k", "o", "q", "v"])
    assert "zero-shot" in (tmp_path / "served" / "pt" / "README.md").read_text().lower()
