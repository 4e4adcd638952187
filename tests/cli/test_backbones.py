from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Command


def test_a_backbone_is_shown(tiny_backbone: Path, command: Command) -> None:
    facts = command("backbone", "show", tiny_backbone, "--lengths", "16,24", "--json").json
    assert facts["kind"] == "encoder-decoder"
    assert sum(facts["parts"].values()) == facts["parameters"]
    assert facts["bytes"] == 4 * facts["parameters"]
    assert [step["tokens"] for step in facts["steps"]] == [16, 24]
    assert all(step["seconds"] > 0 for step in facts["steps"])
    text = command("backbone", "show", tiny_backbone, "--lengths", "0").out
    assert f"fingerprint {facts['fingerprint'][:12]}" in text
    assert "no chat template" in text
    assert "Seconds" not in text


def test_a_backbone_is_trimmed_and_shown(tiny_backbone: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "pt.jsonl").write_text('{"id": "1", "body": {"text": "Uma ponte nova foi aberta no norte."}}\n')
    pattern, out = tmp_path / "{language}.jsonl", tmp_path / "out"
    facts = command("backbone", "trim", tiny_backbone, "--text", pattern, "--out", out, "--json").json
    assert facts["otherwise"] == 0
    assert facts["pieces"] < facts["of"]
    said = command("backbone", "show", out, "--lengths", "0").out
    assert f"trimmed to {facts['pieces']:,} pieces" in " ".join(said.split())
    assert json.loads((out / "backbone.json").read_text())["trimmed"]["whole"] == str(tiny_backbone)


def test_bad_input(tiny_backbone: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    assert fails("backbone", "show", tiny_backbone, "--lengths", "x").startswith("--lengths takes numbers of tokens")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear all")
    trim = ("backbone", "trim", tiny_backbone, "--text")
    assert fails(*trim, tmp_path / "none" / "*.txt", "--out", tmp_path / "out").startswith("no file matches ")
    said = fails(*trim, tmp_path / "mine" / "letter.txt", "--out", tmp_path / "mine")
    assert "which was not written here; name another folder" in said
