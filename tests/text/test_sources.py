"""Rows of the hub's datasets, in the hub's layout as local files; what sources hold."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lingarith.errors import LingarithError, MissingData
from lingarith.text import hub
from lingarith.text.labelled import Labelled, TaskExample
from lingarith.text.sources import SOURCES, VALIDATION_SHARE
from lingarith.text.tasks import TASKS, Task, examples

WriteRows = Callable[[Path, list[dict[str, Any]]], None]

TYDIQA = "google-research-datasets/tydiqa/secondary_task"
COLUMNS = pyarrow.struct([("text", pyarrow.list_(pyarrow.string())), ("answer_start", pyarrow.list_(pyarrow.int32()))])


def _tydiqa(root: Path, part: str, rows: list[dict[str, Any]]) -> None:
    """Rows as the hub's Parquet holds them: the answers column by column, its own features in the schema."""
    folder = root / TYDIQA
    folder.mkdir(parents=True, exist_ok=True)
    text, start = ({"dtype": kind, "_type": "Value"} for kind in ("string", "int32"))
    features = dict.fromkeys(("id", "title", "context", "question"), text)
    answers = {"feature": {"text": text, "answer_start": start}, "_type": "Sequence"}
    schema = pyarrow.schema(
        [*((name, pyarrow.string()) for name in features), ("answers", COLUMNS)],
        metadata={"huggingface": json.dumps({"info": {"features": {**features, "answers": answers}}})},
    )
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    pyarrow.parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")


def _row(language: str, number: int, *answers: str) -> dict[str, Any]:
    return {
        "id": f"{language}-{number}-0",
        "title": "T",
        "context": f"{language} {number // 2}.",  # two questions to each passage
        "question": f"{number}?",
        "answers": {"text": list(answers or (str(number),)), "answer_start": [0] * max(1, len(answers))},
    }


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local copy of the hub."""
    monkeypatch.setenv(hub.ROOT, str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_every_task_can_be_had_from_a_source() -> None:
    for name, task in TASKS.items():
        data = {source for source, about in SOURCES.items() if set(task.columns) <= set(about.fields)}
        assert "newsroom" in data
        assert set(task.vectors) - {"files"} <= data, name


def test_xlsum(tmp_path: Path, root: Path, write_parquet: WriteRows) -> None:
    path = root / "csebuetnlp/xlsum/yoruba/validation/0000.parquet"
    row = {"id": "y1", "url": "u", "title": "t", "summary": "Ní kúkúrú", "text": "Ìròyìn"}
    write_parquet(path, [row, row | {"id": "y2", "summary": ""}])
    for _ in range(2):  # from the hub, then from the shard
        data = examples(TASKS["summaries"], "xlsum", "yo", "validation", folder=tmp_path)
        assert data.task == "xlsum"
        assert data.examples == (TaskExample("y1", "summarize: Ìròyìn", "Ní kúkúrú", "Ìròyìn"),)
        path.unlink(missing_ok=True)
    with pytest.raises(MissingData, match="xlsum has no language 'fi' here"):
        examples(TASKS["summaries"], "xlsum", "fi", "test", folder=tmp_path)


def _classes(path: Path, rows: list[dict[str, Any]], **features: Any) -> None:
    """Rows as the hub's Parquet holds them: numbers of classes, whose names stand in the schema."""
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    text = datasets.Value("string")
    known = {"id": text, "text": text, "tokens": datasets.List(text), "index_id": datasets.Value("int64")} | features
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_list(rows, features=datasets.Features({name: known[name] for name in rows[0]}))
    data.to_parquet(path)


@pytest.mark.parametrize("numbers", [False, True])
def test_sib200(tmp_path: Path, root: Path, numbers: bool) -> None:
    import datasets

    topics = ["travel", "science/technology"]
    kind = datasets.ClassLabel(names=topics) if numbers else datasets.Value("string")
    for name, text in (("yor_Latn", "Ọ̀rọ̀"), ("eng_Latn", "Word")):
        rows = [{"index_id": id, "category": topics[id % 2], "text": f"{text} {id}"} for id in (7, 4)]
        _classes(root / f"Davlan/sib200/{name}/validation/0000.parquet", rows, category=kind)
    data = examples(TASKS["topics"], "sib200", "yo", "validation", folder=tmp_path)
    assert data.task == "sib200"
    assert data.examples == (
        TaskExample("7", "topic: Ọ̀rọ̀ 7", "science/technology", "Ọ̀rọ̀ 7"),
        TaskExample("4", "topic: Ọ̀rọ̀ 4", "travel", "Ọ̀rọ̀ 4"),
    )
    task = Task("translations", "translate: {text}", "text", "chrf", other="en")  # FLORES: the sentences are parallel
    assert examples(task, "sib200", "yo", "validation", folder=tmp_path).examples[1].target == "Word 4"
    with pytest.raises(
        LingarithError, match=r"sib200 holds no field 'summary', but id, .*; take files or newsroom, xl"
    ):
        examples(TASKS["summaries"], "sib200", "yo", "validation", folder=tmp_path)


def test_masakhaner(tmp_path: Path, root: Path) -> None:
    import datasets

    tags = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-DATE", "I-DATE"]
    rows = [
        {"id": "0", "tokens": ["Ana", "Silva", "ni", "Lagos"], "ner_tags": [1, 2, 0, 5]},
        {"id": "1", "tokens": ["Rárá"], "ner_tags": [0]},
    ]
    kind = datasets.List(datasets.ClassLabel(names=tags))
    _classes(root / "masakhane/masakhaner2/yor/train/0000.parquet", rows, ner_tags=kind)
    data = examples(TASKS["entities"], "masakhaner", "yo", "train", folder=tmp_path)
    assert data.task == "masakhaner"
    assert [(one.id, one.input, one.target) for one in data.examples] == [
        ("0", "entities: Ana Silva ni Lagos", "PER: Ana Silva; LOC: Lagos"),
        ("1", "entities: Rárá", "none"),
    ]


def test_numbers_of_classes_without_names(tmp_path: Path, root: Path, write_parquet: WriteRows) -> None:
    path = root / "masakhane/masakhaner2/yor/train/0000.parquet"
    write_parquet(path, [{"id": "0", "tokens": ["Ana"], "ner_tags": [1]}])
    with pytest.raises(LingarithError, match=r"line 1: the tags are no list of text; write their names, such as B-PER"):
        examples(TASKS["entities"], "masakhaner", "yo", "train", folder=tmp_path)


def questions(language: str, split: str, folder: Path, **options: Any) -> Labelled:
    return examples(TASKS["questions"], "tydiqa", language, split, folder=folder, **options)


def test_tydiqa(tmp_path: Path, root: Path) -> None:
    both = ("english", "bengali")
    _tydiqa(root, "train", [_row(language, number) for number in range(200) for language in both])
    _tydiqa(root, "validation", [_row("bengali", 900, "৯০০", "900"), _row("english", 901)])

    def read(split: str, language: str = "bn", **options: Any) -> tuple[TaskExample, ...]:
        return questions(language, split, tmp_path / "shards", **options).examples

    test = TaskExample("bengali-900-0", "question: 900? context: bengali 450.", "৯০০", "bengali 450.", ("900",))
    assert read("test") == (test,)
    train, validation = read("train"), read("validation")
    for path in (root / TYDIQA).iterdir():  # the hub is gone, the shards are not
        path.unlink()
    assert read("train") == train
    assert len(train) + len(validation) == 200
    assert {one.id.split("-")[0] for one in (*train, *validation)} == {"bengali"}
    assert not {one.article for one in train} & {one.article for one in validation}
    assert 0 < len(validation) < 2 * VALIDATION_SHARE * 200
    assert len(validation) % 2 == 0  # by passages
    assert [one.id for one in read("validation", seed=1)] != [one.id for one in validation]
    assert set(read("train", limit=5)) < set(train)

    manifest = json.loads(next((tmp_path / "shards").glob("*-train.json")).read_text())
    assert (manifest["dataset"], manifest["configuration"]) == ("google-research-datasets/tydiqa", "secondary_task")
    assert manifest["files"] == "secondary_task/train-*.parquet"
    assert manifest["fields"] == ["id", "context", "question", "answers"]
    assert manifest["revision"] == "local"


def test_tydiqa_without_the_language_names_those_that_exist(tmp_path: Path, root: Path) -> None:
    _tydiqa(root, "validation", [_row("english", 1), _row("korean", 2), _row("klingon", 3)])
    with pytest.raises(
        MissingData, match="tydiqa has no language 'zz' here; known are: ar, bn, en, fi, id, ko, ru, sw, te"
    ):
        questions("zz", "test", tmp_path)
    with pytest.raises(MissingData, match=r"holds no 'te' in .*validation.jsonl; known are: en, ko$"):
        questions("te", "test", tmp_path)
    with pytest.raises(LingarithError, match=r"no file .*secondary_task/train-\*.parquet; .*validation"):
        questions("en", "train", tmp_path)
    _tydiqa(root, "train", [_row("english", 1)])
    with pytest.raises(LingarithError, match=r"tydiqa holds no example of 'en' \(validation\)$"):
        questions("en", "validation", tmp_path)


def test_real_rows_of_tydiqa_through_the_hub(tmp_path: Path, root: Path, real_data: Callable[[str], Path]) -> None:
    sample = real_data("data/qa/tydiqa_sample.jsonl.gz")
    with gzip.open(sample, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        _, code, number = row["id"].split(":")
        row["id"] = f"{hub.languages('tydiqa').get(code, 'thai')}-{number}-0"
        row["answers"] = {key: [answer[key] for answer in row["answers"]] for key in ("text", "answer_start")}
    names = ("id", "title", "context", "question", "answers")
    _tydiqa(root, "validation", [{name: row[name] for name in names} for row in rows])
    [telugu] = questions("te", "test", tmp_path / "shards").examples
    assert telugu.id == "telugu-8963528963029450011-0"
    assert (telugu.input.split(" ")[0], telugu.target) == ("question:", "50")
    everything = examples(TASKS["questions"], str(sample), "te", "test", folder=tmp_path).examples
    assert len(everything) == 6
    assert telugu.input in {one.input for one in everything}
