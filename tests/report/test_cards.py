"""The card of an adapter says what its run found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard

from lingarith.formats.card import untouched
from lingarith.report.cards import write_cards
from lingarith.report.findings import findings
from lingarith.report.retention import retention
from lingarith.study.records import Run

CONFIG = {"base_model_name_or_path": "newsroom", "peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM"}


def written(run: Run, out: Path) -> dict[str, str]:
    for target in run.about.targets:
        (out / target).mkdir(parents=True)
        (out / target / "adapter_config.json").write_text(json.dumps(CONFIG))
        about = {"expression": "x", "language": target, "task": "summaries", "made_from": {}}
        (out / target / "lingarith.json").write_text(json.dumps(about))
    write_cards(findings(run, draws=200), out)
    return {target: (out / target / "README.md").read_text(encoding="utf-8") for target in run.about.targets}


def test_each_adapter_has_its_own_results(make_run: Callable[..., Run], tmp_path: Path) -> None:
    tasks = [{"name": "summaries", "source": "xlsum"}]
    cards = written(make_run(study={"tasks": tasks}), tmp_path)
    assert untouched(tmp_path / "pt")
    assert "Add and Subtract (λ = 0.9), from up to 12 weights of each method by `sources`: each labelled" in cards["pt"]
    assert "Zero-shot: yes." in cards["pt"]
    assert "| uk |" not in cards["pt"]
    assert "uk: " not in cards["pt"]
    assert "\n### " in cards["pt"]
    [result] = ModelCard(cards["pt"]).data.eval_results
    assert (result.dataset_type, result.dataset_config, result.metric_name) == ("csebuetnlp/xlsum", "pt", "ROUGE-2")
    assert "task_id: pt" in (tmp_path / "pt" / ".eval_results" / "lingarith.yaml").read_text()


def test_each_card_has_its_own_rows_of_retention(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run()
    tested = [r for r in run.records if r.split == "test"]
    kept = [replace(r, split="retention", source="en") for r in tested]
    [whole] = retention(replace(run, records=[*run.records, *kept]), "summaries")
    cards = written(replace(run, records=[*run.records, *kept]), tmp_path)
    for target, text in cards.items():
        [table] = re.findall(r"retention in the source language\n(.*?)\n\n\w", text, re.DOTALL)
        there = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
        mine = [[row[0] if n == 0 else "", *row[1:]] for n, row in enumerate(r for r in whole.rows if r[0] == target)]
        assert [row[:4] for row in there] == [row[:4] for row in mine]


def test_each_card_has_the_findings_of_its_own_task(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run(
        tasks={"summaries": "ROUGE-2", "titles": "ROUGE-2"}, targets=["pt"],
        handed_over={"summaries-pt": "add", "titles-pt": "baseline"},
    )  # fmt: skip
    for task in run.about.tasks:
        (tmp_path / f"{task}-pt").mkdir()
        (tmp_path / f"{task}-pt" / "adapter_config.json").write_text(json.dumps(CONFIG))
        (tmp_path / f"{task}-pt" / "lingarith.json").write_text(json.dumps({"language": "pt", "task": task}))
    write_cards(findings(run, draws=200), tmp_path)
    for task, other in (("summaries", "titles"), ("titles", "summaries")):
        text = (tmp_path / f"{task}-pt" / "README.md").read_text(encoding="utf-8")
        assert f"pt, {task}: " in text
        assert f"pt, {other}: " not in text


def test_labels_of_the_target_are_no_zero_shot(make_run: Callable[..., Run], tmp_path: Path) -> None:
    cards = written(make_run(protocol="oracle", study={"tasks": [{"name": "summaries", "source": "mine"}]}), tmp_path)
    assert "by `oracle`: the target's own labelled validation set" in cards["uk"]
    assert "Baseline, from up to" in cards["uk"]
    assert "Zero-shot: no." in cards["uk"]
    assert not (tmp_path / "uk" / ".eval_results").exists()
