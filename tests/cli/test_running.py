"""``lingarith run`` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
SYNTHETIC = "no benchmark of any language"

STUDY = """
table = "table1"
targets = ["pt", "uk"]
learning_rate = 0.05
batch_size = 4
rank = 2
steps = 2
max_input = 24
max_target = 8
max_output = 3
characters = 2000
train_limit = 6
validation_limit = 2
test_limit = 2
weights = [0.5]
betas = [0.5]
controls = ["scaled"]
[newsroom]
[paper]
"""


@pytest.fixture
def study(tmp_path: Path, tiny_backbone: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(f'backbone = "{tiny_backbone}"{STUDY}')
    return path


def test_language_vectors_alone(command: Command, study: Path, tmp_path: Path) -> None:
    words = ("run", study, "--set", "table=vectors", "--labels", "none/{language}/{split}.jsonl")
    done = command(*words, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Language vectors" in done.out
    assert "| Portuguese | news\\[pt\\]@" in (tmp_path / "out/table.md").read_text()
    assert len(command("vectors", "list", "--store", tmp_path / "store", "--json").json) == 2
    assert SYNTHETIC in done.out


def test_what_is_said_of_the_newsroom_stands_where_it_was_read(command: Command, study: Path, tmp_path: Path) -> None:
    """Labels are the newsroom's by default, and language vectors need none; of Table 6 text is, and it needs none."""
    for code in ("en", "pt", "uk"):
        (tmp_path / f"{code}.txt").write_text(f"Um sismo abalou {code}.\n\n" * 200)
        rows = "".join(json.dumps({"text": f"Um sismo {k}.", "summary": "Sismo"}) + "\n" for k in range(6))
        for split in ("train", "validation", "test"):
            (tmp_path / f"{code}-{split}.jsonl").write_text(rows)
    text, labels = f"{tmp_path}/{{language}}.txt", f"{tmp_path}/{{language}}-{{split}}.jsonl"
    common = ("run", study, "--store", tmp_path / "store")
    done = command(*common, "--set", "table=vectors", "--text", text, "--out", tmp_path / "vectors")
    assert "Language vectors" in done.out
    assert SYNTHETIC not in done.out
    done = command(
        *common, "--set", "table=table6", "--labels", labels, "--full-learning-rate", 0, "--out", tmp_path / "six",
        "--controls", "scaled", "--kronecker", "2x2", "--adapter", "lora",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert SYNTHETIC not in done.out


def test_run(command: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run does nothing, the run leaves its files, and the next one repeats its words."""
    monkeypatch.chdir(tmp_path)
    words = ("run", study, "--store", "store")
    plan = command(*words, "--dry-run", "--json").json
    assert plan["left"] == sum(stage["all"] for stage in plan["stages"]) > 20
    assert plan["seconds"] > 0
    assert plan["bytes"] > 0
    assert {stage["what"]: stage["all"] for stage in plan["stages"]} == {
        "task vectors": 1, "language vectors": 3, "outputs for validation": 20, "outputs for test": 20,
    }  # fmt: skip
    told = command(*words, "--dry-run", "--json", "--runner", "processes", "--workers", 3).json
    assert told["workers"] == 3
    assert 0 < told["until_done"] < 1.01 * told["seconds"]
    assert "With 3 workers: " in command(*words, "--dry-run", "--runner", "processes", "--workers", 3).out
    assert not Path("runs").exists()
    assert not list(Path("store").glob("objects/*"))

    first = command(*words)
    assert first.code == 0, first.err
    assert "language vectors" in first.err
    assert "λ · task alone" in first.out
    assert "Add and Subtract: " in first.out
    assert SYNTHETIC in first.out
    out = Path("runs/tiny-newsroom")
    lines = {f"{name}.jsonl" for name in ("examples", "records", "choices", "vectors")}
    tables = {"table.md", "table.csv", "table.tex"}
    assert {path.name for path in out.iterdir()} == {"run.json", "report.html", *tables, *lines}
    assert json.loads((out / "run.json").read_text())["command"].startswith("lingarith run ")
    assert "| average |" in (out / "table.md").read_text()

    again = command(*words)
    assert again.out == first.out
    assert "About 0 s and 0 MB" in again.err
    told = command(*words, "--json").json
    assert [table["heads"][:2] for table in told["tables"]] == [
        ["", "Method"], ["", "Method"], ["", "Baseline"], ["Vector", "Hash"],
    ]  # fmt: skip
    assert command(*words, "--dry-run", "--json").json["left"] == 0
    for fewer in (("--set", "controls=[]"), ("--controls", "")):
        other = command(*words, *fewer, "--dry-run", "--json").json
        left = [(stage["all"] > 0, stage["left"]) for stage in other["stages"]]
        assert left == [(True, 0)] * 4  # what two studies share is done once


def test_another_study_in_the_folder(command: Command, fails: Callable[..., str], study: Path, tmp_path: Path) -> None:
    words = ("run", study, "--store", tmp_path / "store", "--out", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    assert "is not empty and holds no run" in fails(*words)
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


def test_a_table_without_training(command: Command, tmp_path: Path) -> None:
    done = command("run", "table5", "--out", tmp_path / "out", "--store", tmp_path / "store")
    assert done.code == 0
    assert "Related languages" in done.out
    assert "| pt | en ru ar tr | en ru ar | +tr |" in (tmp_path / "out/table.md").read_text()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tabel1",), "there is no study 'tabel1'; did you mean table1?"),
        (("table1", "--profile", "newsrom"), "table1.toml has no profile 'newsrom'; did you mean newsroom?"),
        (("table1", "--set", "sorces=en"), "--set: a study has no key 'sorces'; did you mean sources?"),
        (("table1", "--set", "targets=en"), "en is a target and a source"),
        (("table1", "--set", "weights=1.5"), "λ = 1.5 stands in 'weights'; it must lie in 0..1"),
        (("table1", "--set", "weights"), "--set takes key=value, and 'weights' has no '='"),
        (("table1", "--targets", "en"), "en is a target and a source"),
        (("table1", "--runner", "slurn"), "no runner is named 'slurn'; did you mean slurm?"),
        (("table1", "--workers", "2"), "--workers says nothing to the runner 'here'"),
        (("table1", "--set", "table=tabel1"), "no table is named 'tabel1'; did you mean table1?"),
    ],
)
def test_what_cannot_be_run(words: tuple[str, ...], sentence: str, fails: Callable[..., str], tmp_path: Path) -> None:
    said = fails("run", *words, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert said.startswith(sentence)
    assert not list(tmp_path.iterdir())
