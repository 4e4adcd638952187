import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import write
from lingarith.text import hub
from lingarith.text.tasks.labelled import Labelled, TaskExample
from lingarith.text.tasks.summarisation import summaries


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path.parent / "{split}.jsonl")


def test_newsroom_by_hand(tmp_path: Path) -> None:
    labelled = summaries("newsroom", "pt", "test", limit=8, prompt="Resuma: {text}", folder=tmp_path)
    assert (labelled.task, labelled.language, labelled.split, labelled.source) == (
        "headlines",
        "pt",
        "test",
        "newsroom",
    )
    article = write(story("test", 7), "pt")
    assert labelled.examples[7] == TaskExample("test-7", f"Resuma: {article.text}", article.summary, article.text)


def test_newsroom_is_parallel_and_has_its_sizes(tmp_path: Path) -> None:
    validation = [summaries("newsroom", code, "validation", folder=tmp_path) for code in ("en", "te")]
    assert [len(labelled.examples) for labelled in validation] == [64, 64]
    assert [one.id for one in validation[0].examples] == [one.id for one in validation[1].examples]
    assert validation[0].fingerprint != validation[1].fingerprint
    assert len(summaries("newsroom", "en", "test", limit=130, folder=tmp_path).examples) == 130


def test_newsroom_splits_share_nothing(tmp_path: Path) -> None:
    train, validation, test = (
        summaries("newsroom", "en", split, limit=300, folder=tmp_path).examples
        for split in ("train", "validation", "test")
    )
    for others in (train, validation):
        assert not {one.id for one in test} & {one.id for one in others}
        assert not {one.article for one in test} & {one.article for one in others}


def test_files_with_and_without_ids(tmp_path: Path) -> None:
    rows = [{"body": f" Artigo {k}. ", "title": f"T{k}"} | ({"id": 70} if k == 1 else {}) for k in range(3)]
    source = _write(tmp_path / "val.jsonl", [*rows, {"body": "x", "title": " "}])
    labelled = summaries(source, "pt", "validation", text_field="body", summary_field="title", folder=tmp_path)
    assert labelled.task == "summaries"
    assert [one.id for one in labelled.examples] == ["validation-0", "70", "validation-2"]
    assert labelled.examples[0] == TaskExample("validation-0", "summarize: Artigo 0.", "T0", "Artigo 0.")


def test_a_limit_samples_and_smaller_limits_nest(tmp_path: Path) -> None:
    source = _write(tmp_path / "train.jsonl", [{"text": f"a{k}", "summary": f"s{k}"} for k in range(50)])

    def ids(limit: int, seed: int = 0) -> list[str]:
        return [one.id for one in summaries(source, "pt", "train", limit=limit, seed=seed, folder=tmp_path).examples]

    assert ids(10) == ids(10) != ids(10, seed=1)
    assert set(ids(5)) < set(ids(10)) < set(ids(99))
    assert len(ids(99)) == 50
    assert ids(10) == sorted(ids(10), key=lambda id: int(id.split("-")[1]))


def test_the_fingerprint_is_of_inputs_and_targets(tmp_path: Path) -> None:
    rows = [{"text": "a", "summary": "b"}]
    source = _write(tmp_path / "train.jsonl", rows)
    _write(tmp_path / "test.jsonl", rows)

    def of(split: str, prompt: str = "{text}") -> Labelled:
        return summaries(source, "pt", split, prompt=prompt, folder=tmp_path)

    assert of("train").fingerprint == of("test").fingerprint != of("test", "summarize: {text}").fingerprint


def test_a_prompt_fills_only_the_text(tmp_path: Path) -> None:
    source = _write(tmp_path / "train.jsonl", [{"text": "{text} {0}", "summary": "s"}])
    [example] = summaries(source, "pt", "train", prompt='{"a": {text}}', folder=tmp_path).examples
    assert example.input == '{"a": {text} {0}}'


def test_xlsum_in_the_layout_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_parquet: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    path = tmp_path / "csebuetnlp/xlsum/yoruba/validation/0000.parquet"
    row = {"id": "y1", "url": "u", "title": "t", "summary": "Ní kúkúrú", "text": "Ìròyìn"}
    write_parquet(path, [row, row | {"id": "y2", "summary": ""}])
    for _ in range(2):  # from the hub, then from the shard
        labelled = summaries("xlsum", "yo", "validation", folder=tmp_path / "shards")
        assert labelled.task == "xlsum"
        assert labelled.examples == (TaskExample("y1", "summarize: Ìròyìn", "Ní kúkúrú", "Ìròyìn"),)
        path.unlink(missing_ok=True)
    with pytest.raises(LingarithError, match="xlsum has no language 'fi' here"):
        summaries("xlsum", "fi", "test", folder=tmp_path)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([{"text": "a", "sumary": "b"}], {}, "line 1: there is no field 'summary'; did you mean sumary"),
        ([{"text": "a", "summary": 3}], {}, "the field 'summary' is of type int"),
        ([{"text": "a", "summary": " "}], {}, "every 'text' or 'summary' is blank"),
        ([{"id": 1, "text": "a", "summary": "b"}] * 2, {}, "line 2: the id '1' stands twice"),
        ([], {}, "is empty"),
        ([{}], {"prompt": "summarize"}, "write {text} there"),
        ([{}], {"prompt": "{title} {text}"}, "holds {title}, and only {text}"),
        ([{}], {"split": "val"}, "there is no split 'val'"),
        ([{}], {"split": "test"}, "the splits of 'pt' there are: train"),
        ([{}], {"limit": 0}, "limit is 0"),
        ([{}], {"source": "xl-sum"}, "there is no source 'xl-sum'; did you mean xlsum"),
    ],
)
def test_errors(tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], said: str) -> None:
    source = _write(tmp_path / "train.jsonl", rows)
    options = {"source": source, "split": "train"} | options
    with pytest.raises(LingarithError, match=said):
        summaries(options.pop("source"), "pt", options.pop("split"), folder=tmp_path, **options)


def test_real_summaries(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    source = f"{real_data('data/summ')}/{{language}}/{{split}}.jsonl.gz"
    assert len(summaries(source, "si", "validation", folder=tmp_path).examples) == 155
    assert len(summaries(source, "en", "train", limit=100, folder=tmp_path).examples) == 100
    with pytest.raises(LingarithError, match="the splits of 'yo' there are: test, val; languages with train: ar, bn"):
        summaries(source, "yo", "train", folder=tmp_path)
