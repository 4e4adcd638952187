"""Tasks as data: what they read and write, on the newsroom and on files; their errors."""

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError, MissingData
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import write
from lingarith.scores.metrics import METRICS, metric_of
from lingarith.text.labelled import Labelled, TaskExample
from lingarith.text.tasks import TASKS, Task, examples, task_of

SUMMARIES, QUESTIONS = TASKS["summaries"], TASKS["questions"]
MOODS = """
prompt = "{language_name} ({language}): {text} Mood?"
target = "mood"
metric = "accuracy"
writes = ""
labels = ["glad", "sad"]
"""


PARALLEL = Task("parallel", "{text}", "text", other="en")


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path.parent / "{split}.jsonl")


# ---------------------------------------------------------------- the newsroom


@pytest.mark.parametrize(
    ("task", "language", "split", "limit", "name", "fingerprint"),
    [
        ("summaries", "pt", "test", None, "headlines", "ed5027816f48da63"),
        ("summaries", "ja", "validation", None, "headlines", "1efee4d8a8bad261"),
        ("summaries", "fa", "train", 30, "headlines", "045b1565fdcadf58"),
        ("questions", "pt", "test", None, "questions", "421ca5e2d8654b59"),
        ("questions", "ja", "validation", None, "questions", "b6f6070b36cec9d7"),
        ("questions", "fa", "train", 30, "questions", "0ba3d30a7e30f202"),
    ],
)
def test_known_fingerprints(
    tmp_path: Path, task: str, language: str, split: str, limit: int | None, name: str, fingerprint: str
) -> None:
    """Vectors are found again by them, so they must never change."""
    data = examples(TASKS[task], "newsroom", language, split, limit=limit, folder=tmp_path)
    assert (data.task, data.language, data.split, data.source) == (name, language, split, "newsroom")
    assert data.fingerprint[:16] == fingerprint


def test_the_five_tasks_by_hand(tmp_path: Path) -> None:
    article, english = write(story("test", 7), "pt"), write(story("test", 7), "en")
    ask, answer = article.questions[1]
    spans = [f"{one.kind}: {article.text[one.start : one.end]}" for one in article.entities]
    expected = {
        "summaries": (f"summarize: {article.text}", article.summary),
        "questions": (f"question: {ask} context: {article.text}", answer),
        "topics": (f"topic: {article.text}", english.category),
        "entities": (f"entities: {article.text}", "; ".join(spans)),
        "translations": (f"translate to English: {article.text}", english.text),
    }
    assert TASKS.keys() == expected.keys()
    for name, (asked, target) in expected.items():
        made = examples(TASKS[name], "newsroom", "pt", "test", limit=8, folder=tmp_path).examples[7]
        assert made == TaskExample("test-7", asked, target, article.text)
        assert TASKS[name].metric in METRICS


def test_a_translation_into_its_own_language_is_none(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"newsroom: in 'en' \(test\) every target is the text itself"):
        examples(TASKS["translations"], "newsroom", "en", "test", limit=2, folder=tmp_path)


def test_the_newsroom_is_parallel_and_its_splits_share_nothing(tmp_path: Path) -> None:
    english, telugu = (examples(SUMMARIES, "newsroom", code, "validation", folder=tmp_path) for code in ("en", "te"))
    assert [one.id for one in english.examples] == [one.id for one in telugu.examples]
    assert english.fingerprint != telugu.fingerprint
    articles = [
        {one.article for one in examples(SUMMARIES, "newsroom", "en", split, limit=300, folder=tmp_path).examples}
        for split in ("train", "validation", "test")
    ]
    assert not (articles[0] | articles[1]) & articles[2]


# ---------------------------------------------------------------- files


def test_files_with_and_without_ids(tmp_path: Path) -> None:
    rows = [{"body": f" Artigo {k}. ", "title": f"T{k}"} | ({"id": 70} if k == 1 else {}) for k in range(3)]
    source = _write(tmp_path / "val.jsonl", [*rows, {"body": "x", "title": " "}])
    columns = {"text": "body", "summary": "title", "other": "unused"}
    data = examples(SUMMARIES, source, "pt", "validation", columns=columns, folder=tmp_path)
    assert data.task == "summaries"
    assert [one.id for one in data.examples] == ["validation-0", "70", "validation-2"]
    assert data.examples[0] == TaskExample("validation-0", "summarize: Artigo 0.", "T0", "Artigo 0.")


def test_several_right_texts_are_references(
    tmp_path: Path, write_parquet: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    answers = {"text": ["one", "1"], "answer_start": [0, 4]}
    write_parquet(tmp_path / "test.parquet", [{"context": "Abc.", "question": "Which?", "answers": answers}])
    (tmp_path / "test.csv").write_text("context,question,answers\nAbc.,Which?,abc\n")
    for ending, references in (("parquet", ("one", "1")), ("csv", ("abc",))):
        data = examples(QUESTIONS, f"{tmp_path}/{{split}}.{ending}", "en", "test", folder=tmp_path)
        assert (data.task, data.examples[0].references) == ("answers", references)


def test_a_limit_samples_and_smaller_limits_nest(tmp_path: Path) -> None:
    source = _write(tmp_path / "train.jsonl", [{"text": f"a{k}", "summary": f"s{k}"} for k in range(50)])

    def ids(limit: int, seed: int = 0) -> list[str]:
        data = examples(SUMMARIES, source, "pt", "train", limit=limit, seed=seed, folder=tmp_path)
        return [one.id for one in data.examples]

    assert ids(10) == ids(10) != ids(10, seed=1)
    assert set(ids(5)) < set(ids(10)) < set(ids(99))
    assert len(ids(99)) == 50
    assert ids(10) == sorted(ids(10), key=lambda id: int(id.split("-")[1]))


def test_the_fingerprint_is_of_inputs_and_references(tmp_path: Path) -> None:
    source = _write(tmp_path / "train.jsonl", [{"text": "a", "summary": "b"}])
    _write(tmp_path / "test.jsonl", [{"text": "a", "summary": "b"}])
    _write(tmp_path / "val.jsonl", [{"text": "a", "summary": ["b", "c"]}])

    def of(split: str, prompt: str = "{text}") -> str:
        return examples(replace(SUMMARIES, prompt=prompt), source, "pt", split, folder=tmp_path).fingerprint

    assert of("train") == of("test") != of("test", "summarize: {text}")
    assert of("validation") != of("test")


def test_tagged_tokens_become_text_and_entities(tmp_path: Path) -> None:
    rows = [
        {"words": ["Ana", "em", "Rio"], "ner_tags": ["B-PER", "O", "B-LOC"]},
        {"words": ["Chove", "."], "ner_tags": ["O", "O"]},
    ]
    source = _write(tmp_path / "test.jsonl", rows)
    data = examples(TASKS["entities"], source, "pt", "test", columns={"tokens": "words"}, folder=tmp_path)
    assert [(one.input, one.target) for one in data.examples] == [
        ("entities: Ana em Rio", "PER: Ana; LOC: Rio"),
        ("entities: Chove .", "none"),
    ]
    assert data.task == "entities"


TWINS = Task("translations", "translate: {text}", "text", "chrf", other="en", only={"kind": "news"})


def test_a_target_in_another_language_s_file(tmp_path: Path) -> None:
    rows = {
        "pt": [{"id": "set:pt:1-en", "text": "Um", "kind": "news"}, {"id": "x", "text": "Não", "kind": "tale"}],
        "en": [{"id": "set:en:1-en", "text": "One", "kind": "news"}, {"text": "no id"}],
        "so": [{"id": "set:en:1-en", "text": "Kow", "kind": "news"}],
        "yo": [{"id": "set:yo:2", "text": "Èjì", "kind": "news"}],
    }
    for language, some in rows.items():
        _write(tmp_path / language / "test.jsonl", some)

    def read(language: str) -> Labelled:
        return examples(TWINS, f"{tmp_path}/{{language}}/{{split}}.jsonl", language, "test", folder=tmp_path)

    assert read("pt").examples == (TaskExample("set:pt:1-en", "translate: Um", "One", "Um"),)
    assert read("so").examples[0].target == "One"  # the very same id
    with pytest.raises(
        LingarithError, match=r"yo/test.jsonl, line 1: the target of 'set:yo:2' is not there; no row of"
    ):
        read("yo")
    with pytest.raises(MissingData, match="no file"):
        read("ja")
    _write(tmp_path / "fi" / "test.jsonl", [{"id": "x", "text": "Ei", "kind": "tale"}])
    with pytest.raises(LingarithError, match=r"holds no example of 'fi' \(test\) with 'news' in 'kind'$"):
        read("fi")


# ---------------------------------------------------------------- tasks of one's own


def test_a_task_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "moods.toml"
    path.write_text(MOODS)
    task = task_of(str(path))
    assert (task.name, task.writes, task.labels) == ("moods", None, ("glad", "sad"))
    assert task_of("summaries") is SUMMARIES
    source = _write(tmp_path / "test.jsonl", [{"text": "{text}", "mood": "glad"}])
    [example] = examples(task, source, "zh-Hans", "test", folder=tmp_path).examples
    assert example.input == "Chinese (Simplified) (zh-Hans): {text} Mood?"
    _write(tmp_path / "test.jsonl", [{"text": "a", "mood": "glad"}, {"text": "b", "mood": "sat"}])
    with pytest.raises(LingarithError, match=r"test.jsonl, line 2: 'sat' is no label of moods; did you mean sad\?"):
        examples(task, source, "pt", "test", folder=tmp_path)
    with pytest.raises(LingarithError, match="xlsum holds no field 'mood', but id, text, summary; take files for"):
        examples(task, "xlsum", "pt", "test", folder=tmp_path)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("labells = []", r"moods.toml: it has no key 'labells'; did you mean labels\?"),
        ('labels = ["a", 1]', r"moods.toml: 'labels' is \['a', 1\], and a list of texts is needed"),
        ('fields = "text"', "'fields' is 'text', and a table of texts is needed"),
        ("metric = 3", "'metric' is 3, and a text is needed"),
        ('prompt = "{text} {title}"', r"holds \{title\}, and only \{text\}, \{language\}, \{language_name\} can be"),
        ('prompt = "Mood?"', r"does not say where the article goes; write \{text\} there"),
        (
            'fields = {body = "text"}\nprompt = "{body}"',
            "the article is no slot of the prompt: 'text'; known are: body",
        ),
        ('fields = {language = "text"}\nprompt = "{language}"', "filled with the language, not a field"),
        ('name = "my task"', "'my task' cannot name a task"),
        ("metric", "moods.toml is no TOML"),
    ],
)
def test_tasks_that_cannot_be(tmp_path: Path, added: str, said: str) -> None:
    key = added.partition(" ")[0]
    kept = [line for line in MOODS.splitlines() if not line.startswith((key, "prompt" if "prompt" in added else key))]
    path = tmp_path / "moods.toml"
    path.write_text("\n".join([*kept, added]))
    with pytest.raises(LingarithError, match=said):
        task_of(str(path))


def test_tasks_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"there is no task 'summary'; did you mean summaries\?$"):
        task_of("summary")
    with pytest.raises(LingarithError, match=r"there is no task 'x'; known are: entities, .*; or give a TOML file$"):
        task_of("x")
    with pytest.raises(LingarithError, match=r"gone.toml cannot be read: No such file"):
        task_of(str(tmp_path / "gone.toml"))
    (tmp_path / "bare.toml").write_text('prompt = "{text}"')
    with pytest.raises(LingarithError, match=r"bare.toml: the key 'target' is missing"):
        task_of(str(tmp_path / "bare.toml"))


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([{"text": "a", "sumary": "b"}], {}, "line 1: there is no field 'summary'; did you mean sumary"),
        ([{"text": "a", "summary": 3}], {}, "the field 'summary' is of type int"),
        ([{"text": "a", "summary": " "}], {}, "'pt' .train.: every 'text' or 'summary' is blank"),
        ([{"id": 1, "text": "a", "summary": "b"}] * 2, {"task": PARALLEL}, "line 2: the id '1' stands twice"),
        ([], {}, "is empty"),
        ([{}], {"split": "val"}, "there is no split 'val'"),
        ([{}], {"split": "test"}, "the splits of 'pt' there are: train"),
        ([{}], {"limit": 0}, "limit is 0"),
        ([{}], {"source": "xl-sum"}, "there is no source 'xl-sum'; did you mean xlsum"),
        ([{}], {"source": "newsroom", "language": "zz"}, "the newsroom does not write 'zz'"),
        ([{"text": "a", "summary": "b"}], {"task": QUESTIONS}, "line 1: there is no field 'question'"),
        ([{"text": "a"}], {"task": TASKS["translations"]}, "line 1: there is no field 'english'"),
        ([{"tokens": ["a"], "ner_tags": ["B"]}], {"task": TASKS["entities"]}, "line 1: the tag 'B' is none of IOB2"),
    ],
)
def test_errors(tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], said: str) -> None:
    source = _write(tmp_path / "train.jsonl", rows)
    given = {"task": SUMMARIES, "source": source, "language": "pt", "split": "train"} | options
    with pytest.raises(LingarithError, match=said):
        examples(folder=tmp_path, **given)


# ---------------------------------------------------------------- real data


@pytest.mark.parametrize(
    ("task", "data", "language", "columns", "count"),
    [
        ("summaries", "summ", "si", {}, 155),
        ("questions", "qa", "ja", {}, 303),
        ("topics", "cls_sib200", "yo", {"category": "label"}, 99),
        ("entities", "ner_masakhaner2_nc", "yo", {}, 300),
    ],
)
def test_real_data(
    tmp_path: Path,
    real_data: Callable[[str], Path],
    task: str,
    data: str,
    language: str,
    columns: dict[str, str],
    count: int,
) -> None:
    source = f"{real_data(f'data/{data}')}/{{language}}/{{split}}.jsonl.gz"
    made = examples(TASKS[task], source, language, "validation", columns=columns, folder=tmp_path).examples
    assert len(made) == count
    given, right = [one.references[-1] for one in made], [one.references for one in made]
    metric = metric_of(TASKS[task].metric)
    tokenizer = type("Letters", (), {"tokenize": staticmethod(list)})()
    scores = metric.score(given, right, tokenizer)
    assert sum(score < 99.9 for score in scores) <= 1  # one answer is "A", of which SQuAD's rules leave nothing
    for beside in metric.beside.values():
        assert beside(given, right) == pytest.approx(100)
    assert max(metric.score(["" for _ in made], [["x y"] for _ in made], tokenizer)) == 0


def test_real_translations(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    source = f"{real_data('data/summ')}/{{language}}/{{split}}.jsonl.gz"
    task = replace(TWINS, only={"source": "ntrex-128"})
    made = {code: examples(task, source, code, "test", folder=tmp_path).examples for code in ("pt", "zh")}
    assert [one.target for one in made["pt"]] == [one.target for one in made["zh"]]
    assert len(made["pt"]) == 12
    with pytest.raises(LingarithError, match="line 1: the target of 'bosque-folha-publico:pt:CP0645' is not there"):
        examples(replace(task, only={}), source, "pt", "test", folder=tmp_path)
    with pytest.raises(LingarithError, match="languages with train: ar, bn"):
        examples(task, source, "yo", "train", folder=tmp_path)


def test_the_tasks_of_the_documents_can_be_read(tmp_path: Path) -> None:
    told = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    section = told.partition("## Tasks\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"task{number}.toml").write_text(block)
        assert metric_of(task_of(str(tmp_path / f"task{number}.toml")).metric)
    assert len(blocks) == 2
    assert {key.name for key in fields(Task)} - {"name"} == set(
        re.findall(r"^\| `(\w+)` \|", section.partition("| Key |")[2], re.MULTILINE)
    )
    for name, task in TASKS.items():
        assert f"| `{name}` |" in section
        assert f"| `{task.prompt}` |" in section


def test_prompts_of_decoders_end_with_a_line_of_their_own() -> None:
    for task in TASKS.values():
        assert task.decoder_prompt.endswith(":\n")
        assert not task.decoder_prompt.startswith(task.prompt[:4])
        assert task.for_decoders().prompt == task.decoder_prompt
    with pytest.raises(LingarithError, match="does not say where the article goes"):
        Task("x", "{text}", "y", decoder_prompt="Summary:")
