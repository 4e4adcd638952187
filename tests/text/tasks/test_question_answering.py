import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lingarith.errors import LingarithError, MissingData
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import LANGUAGES, write
from lingarith.scores.answers import exact_match, f1
from lingarith.text import hub
from lingarith.text.tasks.labelled import TaskExample
from lingarith.text.tasks.question_answering import VALIDATION_SHARE, questions

TYDIQA = "google-research-datasets/tydiqa/secondary_task"
COLUMNS = pyarrow.struct([("text", pyarrow.list_(pyarrow.string())), ("answer_start", pyarrow.list_(pyarrow.int32()))])


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path.parent / "{split}.jsonl")


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


def test_newsroom_by_hand(tmp_path: Path) -> None:
    data = questions("newsroom", "pt", "test", limit=8, prompt="{context} P: {question}", folder=tmp_path)
    assert (data.task, data.language, data.split, data.source) == ("questions", "pt", "test", "newsroom")
    article = write(story("test", 7), "pt")
    ask, answer = article.questions[1]
    assert data.examples[7] == TaskExample("test-7", f"{article.text} P: {ask}", answer, article.text)
    assert len(questions("newsroom", "pt", "validation", folder=tmp_path).examples) == 64


@pytest.mark.parametrize("language", LANGUAGES)
def test_newsroom_answers_stand_in_the_article(tmp_path: Path, language: str) -> None:
    for one in questions("newsroom", language, "train", limit=40, folder=tmp_path).examples:
        assert one.target.lower() in one.article.lower()


@pytest.mark.parametrize(
    ("answers", "references"),
    [
        ([{"text": " 1889 ", "answer_start": 3}, {"text": "in 1889", "answer_start": 0}], ("1889", "in 1889")),
        ({"text": ["1889", "1889", "in 1889"], "answer_start": [3, 3, 0]}, ("1889", "in 1889")),
        (["1889", ""], ("1889",)),
        ("1889", ("1889",)),
    ],
)
def test_the_forms_of_answers(tmp_path: Path, answers: Any, references: tuple[str, ...]) -> None:
    rows = [{"id": "x", "passage": "Built in 1889.", "ask": "When?", "right": answers}]
    rows.append({"id": "y", "passage": " ", "ask": "When?", "right": ["blank"]})
    source = _write(tmp_path / "val.jsonl", rows)
    fields = {"context_field": "passage", "question_field": "ask", "answers_field": "right"}
    data = questions(source, "en", "validation", folder=tmp_path, **fields)  # type: ignore[arg-type]
    assert data.task == "answers"
    [example] = data.examples
    assert example.input == "question: When? context: Built in 1889."
    assert (example.target, example.references, example.article) == ("1889", references, "Built in 1889.")


def test_answers_of_other_files(tmp_path: Path, write_parquet: Callable[[Path, list[dict[str, Any]]], None]) -> None:
    write_parquet(tmp_path / "test.parquet", [_row("english", 1, "one", "1")])
    (tmp_path / "test.csv").write_text("context,question,answers\nAbc.,Which?,abc\n")
    for ending, references in (("parquet", ("one", "1")), ("csv", ("abc",))):
        [example] = questions(f"{tmp_path}/{{split}}.{ending}", "en", "test", folder=tmp_path).examples
        assert example.references == references


def test_the_fingerprint_counts_every_answer(tmp_path: Path) -> None:
    row = {"context": "Abc.", "question": "Which?"}
    fingerprints = set()
    for split, answers in (("train", ["a"]), ("val", ["a", "b"]), ("test", ["b", "a"])):
        source = _write(tmp_path / f"{split}.jsonl", [row | {"answers": answers}])
    for split in ("train", "validation", "test"):
        fingerprints.add(questions(source, "en", split, folder=tmp_path).fingerprint)
    assert len(fingerprints) == 3


def test_tydiqa_in_the_layout_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    both = ("english", "bengali")
    _tydiqa(tmp_path, "train", [_row(language, number) for number in range(200) for language in both])
    _tydiqa(tmp_path, "validation", [_row("bengali", 900, "৯০০", "900"), _row("english", 901)])

    def read(split: str, language: str = "bn", **options: Any) -> tuple[TaskExample, ...]:
        return questions("tydiqa", language, split, folder=tmp_path / "shards", **options).examples

    test = TaskExample("bengali-900-0", "question: 900? context: bengali 450.", "৯০০", "bengali 450.", ("900",))
    assert read("test") == (test,)
    train, validation = read("train"), read("validation")
    for path in (tmp_path / TYDIQA).iterdir():  # the hub is gone, the shards are not
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


def test_tydiqa_without_the_language_names_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    _tydiqa(tmp_path, "validation", [_row("english", 1), _row("korean", 2), _row("klingon", 3)])
    with pytest.raises(MissingData, match="tydiqa has no language 'zz'; known are: ar, bn, en, fi, id, ko, ru, sw, te"):
        questions("tydiqa", "zz", "test", folder=tmp_path)
    with pytest.raises(MissingData, match=r"holds no 'te' in .*validation.jsonl; known are: en, ko$"):
        questions("tydiqa", "te", "test", folder=tmp_path)
    with pytest.raises(LingarithError, match=r"no file .*secondary_task/train-\*.parquet; .*validation"):
        questions("tydiqa", "en", "train", folder=tmp_path)
    _tydiqa(tmp_path, "train", [_row("english", 1)])
    with pytest.raises(LingarithError, match=r"tydiqa holds no example of 'en' \(validation\) with text in"):
        questions("tydiqa", "en", "validation", folder=tmp_path)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([{"context": "a", "question": "b"}], {}, "line 1: there is no field 'answers'"),
        ([{"context": "a", "question": "b", "answer": "c"}], {}, "no field 'answers'; did you mean answer"),
        ([{"context": "a", "answers": "c"}], {}, "line 1: there is no field 'question'"),
        ([{"context": "a", "question": "b", "answers": 3}], {}, "line 1: the field 'answers' is of type int"),
        ([{"context": "a", "question": "b", "answers": {}}], {}, "line 1: the field 'answers' is of type dict"),
        ([{"context": "a", "question": "b", "answers": []}], {}, "line 1: the field 'answers' holds no answer; leave"),
        ([{"context": "a", "question": "b", "answers": {"text": [" "]}}], {}, "holds no answer"),
        ([{"context": "a", "question": "b", "answers": [5]}], {}, "line 1, 'answers': the field 'text' is of type int"),
        ([{"context": "a", "question": "b", "answers": [{"txt": "c"}]}], {}, "'answers': there is no field 'text'"),
        ([{"context": " ", "question": "b", "answers": "c"}], {}, "with text in 'context' and 'question'"),
        ([{"id": 1, "context": "a", "question": "b", "answers": "c"}] * 2, {}, "line 2: the id '1' stands twice"),
        ([], {}, "is empty"),
        ([{}], {"prompt": "{context}"}, "write {question} there"),
        ([{}], {"split": "dev"}, "there is no split 'dev'"),
        ([{}], {"split": "test"}, "the splits of 'pt' there are: train"),
        ([{}], {"limit": 0}, "limit is 0"),
        ([{}], {"source": "tydi-qa"}, "there is no source 'tydi-qa'; did you mean tydiqa"),
        ([{}], {"source": "newsroom", "language": "zz"}, "the newsroom does not write 'zz'"),
    ],
)
def test_errors(tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], said: str) -> None:
    source = _write(tmp_path / "train.jsonl", rows)
    options = {"source": source, "language": "pt", "split": "train"} | options
    with pytest.raises(LingarithError, match=said):
        questions(folder=tmp_path, **options)


def test_real_questions(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    source = f"{real_data('data/qa')}/{{language}}/{{split}}.jsonl.gz"
    data = questions(source, "ja", "validation", folder=tmp_path)
    assert len(data.examples) == 303
    assert max(len(one.references) for one in data.examples) == 3
    last = [one.references[-1] for one in data.examples]
    references = [one.references for one in data.examples]
    assert exact_match(last, references).min() == 100
    assert f1([one.article for one in data.examples], references).mean() < 5
    with pytest.raises(LingarithError, match="languages with train: en, id, ja, tr"):
        questions(source, "yo", "train", folder=tmp_path)


def test_real_rows_of_tydiqa_through_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Callable[[str], Path]
) -> None:
    sample = real_data("data/qa/tydiqa_sample.jsonl.gz")
    with gzip.open(sample, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        _, code, number = row["id"].split(":")
        row["id"] = f"{hub.TYDIQA.get(code, 'thai')}-{number}-0"
        row["answers"] = {key: [answer[key] for answer in row["answers"]] for key in ("text", "answer_start")}
    names = ("id", "title", "context", "question", "answers")
    _tydiqa(tmp_path, "validation", [{name: row[name] for name in names} for row in rows])
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    [telugu] = questions("tydiqa", "te", "test", folder=tmp_path / "shards").examples
    assert telugu.id == "telugu-8963528963029450011-0"
    assert (telugu.input.split(" ")[0], telugu.target) == ("question:", "50")
    everything = questions(str(sample), "te", "test", folder=tmp_path).examples
    assert len(everything) == 6
    assert telugu.input in {one.input for one in everything}
