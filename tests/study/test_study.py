"""Study files: keys, profiles, changes, and what is wrong with them in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from lingarith.adapters.dense import Full
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.errors import LingarithError
from lingarith.languages.codes import SEEN, UNSEEN
from lingarith.model.options import Decoding
from lingarith.study.listings import LISTINGS
from lingarith.study.recipes import ADAPT, TABLES
from lingarith.study.study import Study, read_study, study_of
from lingarith.text.tasks import TASKS

REAL = "real.toml"
"""No table of the paper: a study on a real backbone, by the protocol of docs/real.md, which names its numbers."""
SHIPPED = sorted(file.name for file in (resources.files("lingarith") / "studies").iterdir() if file.name != REAL)
TEXT = """
table = "table1"
targets = "unseen"
learning_rate = 1
[newsroom]
steps = 7
[paper]
backbone = "google/mt5-base"
steps = 5000
"""
MOODS = """
prompt = "{language_name}: {text} Mood?"
target = "mood"
metric = "accuracy"
writes = ""
labels = ["glad", "sad"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def test_every_table_has_a_file() -> None:
    assert sorted(f"{table}.toml" for table in (*TABLES, *LISTINGS) if table != ADAPT) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("profile", ["newsroom", "paper"])
def test_shipped_studies(name: str, profile: str) -> None:
    text = (resources.files("lingarith") / "studies" / name).read_text()
    assert len(text.splitlines()) <= 26
    study = read_study(name.removesuffix(".toml"), profile)
    assert study.table in (*TABLES, *LISTINGS)
    assert study.table == study.name
    if profile == "paper" and study.table in TABLES and TABLES[study.table].reference:
        training = study.training(0, labels=True)
        assert (training.steps, training.learning_rate) == (5000, 2e-4)
        assert (study.vectors.of("lora"), study.tasks["summaries"].source) == (Lora(4), "xlsum")
        assert study.training(0, labels=False).steps == 5000


def test_a_profile_overrides_and_changes_override_it(file: Path) -> None:
    study = read_study(str(file))
    assert (study.name, study.table, study.languages.targets) == ("mine", "table1", UNSEEN)
    assert (study.task_training.steps, study.task_training.learning_rate) == (7, 1.0)
    assert study.backbone.backbone == "newsroom"
    assert read_study(str(file), "paper").task_training.steps == 5000
    texts = [
        "steps=9", "targets=pt,uk", "weights=0.5,1", "seeds=1", "sources=seen", "space = delta", "score_model=a=b",
        "kronecker_out=3×2", "rank_out=2", "controls=", "table=table2",
    ]  # fmt: skip
    changed = read_study(str(file), "paper", {"steps": 10}, texts)
    assert (changed.task_training.steps, changed.languages.targets) == (10, ("pt", "uk"))
    assert (changed.choice.weights, changed.vectors.seeds) == ((0.5, 1.0), (1,))
    assert (changed.languages.sources, changed.sums.space, changed.choice.score_model) == (SEEN, "delta", "a=b")
    assert (changed.sums.kronecker_out, changed.choice.controls, changed.table) == ((3, 2), (), "table2")


# ---------------------------------------------------------------- what keys mean


def of(**keys: Any) -> Study:
    return study_of("x", "table1", keys)


def test_what_the_newsroom_begins_with_is_no_other_backbone_s() -> None:
    mine, papers = of(), of(backbone="a/b")
    assert (mine.task_training.steps, mine.task_training.learning_rate) == (200, 3e-3)
    assert (mine.language_training.steps, mine.language_training.learning_rate) == (100, 1e-3)
    assert (mine.data.validation_limit, mine.writing) == (64, Decoding(max_output=40))
    assert (papers.task_training.steps, papers.task_training.learning_rate) == (5000, 2e-4)
    assert papers.language_training == papers.task_training
    assert (papers.data.validation_limit, papers.writing) == (128, Decoding())


def test_training_options() -> None:
    study = of(steps=5, language_learning_rate=0.1, adapter="kronecker", kronecker=(4, 2))
    task, text = study.training(3, labels=True), study.training(3, labels=False)
    assert (task.steps, text.steps, text.learning_rate) == (5, 5, 0.1)
    assert task.learning_rate == of().task_training.learning_rate  # the newsroom's own
    assert (task.seed, task.init_seed, task.adapter) == (3, 3, Kronecker(4, 2))
    assert of(init_seed=7).training(3, labels=True).init_seed == 7
    assert of(language_steps=9, steps=5).training(0, labels=False).steps == 9
    assert study.training(0, labels=True, rate=0.7, kind="lora").learning_rate == 0.7
    assert of(learning_rate=0.2, learning_rates=(0.4, 0.2)).rates == (0.2, 0.4)


def test_adapters() -> None:
    assert of().training(0, labels=True).adapter == Lora(4)
    assert of(rank=2, alpha=8.0).training(0, labels=True).adapter == Lora(2, 8.0)
    assert of(kronecker="4x2").training(0, labels=True).adapter == Kronecker(4, 2)  # named by its size alone
    assert of(adapter="lora", rank=2, kronecker="4x2").vectors.kind == "lora"


def test_where_adapters_sit() -> None:
    usual, wide = of(), of(projections="all", language_steps=2, full_learning_rate=0.1)
    assert "projections" not in usual.settings()
    assert wide.settings() == {
        **of(language_steps=2, full_learning_rate=0.1).settings(), "projections": "all"
    }  # fmt: skip
    assert {wide.training(0, labels=labels).projections for labels in (True, False)} == {"all"}
    assert wide.training(0, labels=True, kind="full").projections == "attention"  # it has no adapter


def test_full_fine_tuning_has_a_learning_rate_of_its_own() -> None:
    study = of(learning_rate=0.1)
    assert study.training(0, labels=True, kind="full").adapter == Full()
    assert study.training(0, labels=True, kind="full").learning_rate == 1e-3
    assert study.training(0, labels=True, kind="lora").learning_rate == 0.1
    own = of(backbone="a/b", full_learning_rate=0.3)
    assert own.training(0, labels=True, kind="full").learning_rate == own.full_rate == 0.3
    assert own.training(0, labels=True, rate=0.2, kind="full").learning_rate == 0.2
    assert of(full_learning_rate=0.0).full_rate == 0
    assert of(adapter="full", space="delta").training(0, labels=False).adapter == Full()


def test_weights() -> None:
    study = of(weights=(0.5, 0.0), betas=(0.3,))
    assert study.weights_of("add") == (0.0, 0.5, 1.0)  # the task vector alone is always among them
    assert study.weights_of("uncoupled") == (0.0, 0.3)
    assert 0.98 in of().weights_of("add_subtract_related")
    assert of(space="delta").weights_of("scaled")[-2:] == (0.9, 1.0)


def test_tasks_have_data_and_targets_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "moods.toml").write_text(MOODS)
    tasks = ["summaries", {"task": "questions", "source": "tydiqa", "targets": ["fi"]}, str(tmp_path / "moods.toml"),
             {"task": "summaries", "name": "titles", "prompt": "title: {text}"},
             {"name": "authors", "prompt": "author: {text}", "target": "author"}]  # fmt: skip
    made = of(tasks=tasks, targets="pt,uk").tasks
    assert [*made] == ["summaries", "questions", "moods", "titles", "authors"]
    assert made["summaries"].task == TASKS["summaries"]
    assert {name: labels.targets for name, labels in made.items()} == dict.fromkeys(made, ("pt", "uk")) | {
        "questions": ("fi",)
    }
    assert {name: labels.source for name, labels in made.items()} == dict.fromkeys(made, "newsroom") | {
        "questions": "tydiqa"
    }
    assert (made["moods"].task.labels, made["moods"].task.writes) == (("glad", "sad"), None)
    assert made["titles"].task == replace(TASKS["summaries"], name="titles", prompt="title: {text}", decoder_prompt="")
    assert of(prompt="tl;dr: {text}").tasks["summaries"].task.prompt == "tl;dr: {text}"


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("profile", ["newsroom", "paper"])
def test_a_study_is_the_same_anywhere(name: str, profile: str) -> None:
    """Its keys, through JSON, make it again; so do its settings, and those are JSON."""
    study = read_study(name.removesuffix(".toml"), profile)
    assert study_of(study.name, study.table, study.keys) == study
    keys, settings = (json.loads(json.dumps(values)) for values in (dict(study.keys), study.settings()))
    assert replace(study_of(study.name, study.table, keys), keys=study.keys) == study
    told = study_of(study.name, study.table, settings)
    assert json.loads(json.dumps(told.settings())) == settings
    assert told.tasks == study.tasks
    assert all(
        told.training(1, labels=labels, kind=kind) == study.training(1, labels=labels, kind=kind)
        for labels in (True, False)
        for kind in ("lora", "full")
    )


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("stepz=3", r"--set: a study has no key 'stepz'; did you mean steps\?"),
        ("name=x", "a study has no key 'name'"),
        ("steps", "--set takes key=value, and 'steps' has no '='"),
        ("steps=many", "'steps' is 'many'; it must be a whole number"),
        ("steps=1.5", "'steps' is 1.5; it must be a whole number"),
        ("steps=true", "'steps' is True; it must be a whole number"),
        ("steps=0", "steps=0 must be at least 1"),
        ("weights=pt", r"'weights', item 1 is 'pt'; it must be a number"),
        ("weights=0.5,1.2", r"λ = 1.2 stands in 'weights'; it must lie in 0..1"),
        ("weights=nan", r"λ = nan stands in 'weights'; it must lie in 0..1"),
        ("betas=-1", "β = -1 stands in 'betas'"),
        ("targets=pt,pt", "pt stands twice in 'targets'"),
        ("sources=[]", "'sources' is empty; name at least one language"),
        ("targets=", "'targets' is empty; name at least one language"),
        ("seeds=[]", "'seeds' is empty"),
        ("seeds=-1", "seed=-1 must be 0 or more"),
        ("adapter=lorra", r"no adapter is named 'lorra'; did you mean lora\?"),
        ("space=factor", r"no space named 'factor'; did you mean factors\?"),
        ("rank_out=2", "rank=2 needs space 'delta'"),
        ("choose_by=orakle", r"'choose_by' knows no 'orakle'; did you mean oracle\?"),
        ("search=halfing", r"'search' knows no 'halfing'; did you mean halving\?"),
        ("controls=wrongg", r"'controls' knows no 'wrongg'; did you mean wrong\?"),
        ("related=table5", r"no rule for 'related' is named 'table5'; did you mean paper-table5\?"),
        ("kronecker=4", r"'kronecker' is \[4\]; give m and n"),
        ("kronecker=4x2y", r"'kronecker', item 2 is '2y'; it must be a whole number"),
        ("full_learning_rate=-1", "learning_rate=-1.0 must be a positive number"),
        ("learning_rates=0.1,0", "learning_rate=0.0 must be a positive number"),
        ("language_learning_rate=0", "learning_rate=0.0 must be a positive number"),
        ("rank=0", "rank=0 must be at least 1"),
        ("alpha=inf", "alpha=inf must be"),
        ("fields=text", "'fields' holds 'text'; say which field is called how, such as text=article"),
        ("validation_limit=0", "validation_limit is 0; it must be at least 1"),
        ("prompt=summarize", "the prompt 'summarize' does not say where the article goes"),
        ("tasks=[]", "'tasks' is empty; name at least one, such as summaries"),
        ("tasks=sumaries", r"there is no task 'sumaries'; did you mean summaries\?"),
        ("tasks=topics,topics", "the task 'topics' stands twice in 'tasks'; name it once"),
        ("tasks=3", "'tasks' holds 3; write the name of a task, a TOML file, or a table of keys"),
        ("tasks={task = 3}", "'task' is 3; it must be a text"),
        ("tasks={task = 'topics', sauce = 'x'}", r"'tasks': a task has no key 'sauce'; did you mean source\?"),
        ("tasks={task = 'topics', source = 1}", "'source' is 1; it must be a text"),
        ("tasks={task = 'topics', targets = []}", "'targets' is empty; name at least one language"),
        ("tasks={task = 'topics', targets = ['pt', 'pt']}", "pt stands twice in 'targets'"),
        ("tasks={name = 'x', prompt = '{text}'}", "'target' is missing"),
    ],
)
def test_what_cannot_be(change: str, sentence: str, file: Path) -> None:
    with pytest.raises(LingarithError, match=sentence) as said:
        read_study(str(file), texts=[change])
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"adapter": "full", "rank": 4}, "rank and alpha are LoRA's, and another adapter is asked for"),
        ({"kronecker": (4, 2), "alpha": 1.0}, "rank and alpha are LoRA's, and another adapter is asked for"),
        ({"space": "delta", "kronecker_out": (4, 2)}, "a sum of Kronecker products needs their number"),
        ({"space": "delta", "rank_out": 1, "kronecker_out": (4,)}, r"'kronecker_out' is \[4\]; give m and n"),
        ({"adapter": "full", "projections": "all"}, "'projections' says where an adapter sits, and 'adapter' is full"),
        ({"projections": "mlp"}, "projections='mlp' is no place for an adapter; choose attention, all, or in:PATTERN"),
        ({"projections": "in:"}, "projections='in:' is no place for an adapter"),
        ({"table": "table1"}, "a study: a study has no key 'table'"),
        ({"targets": {"pt": 1}}, "'targets', item 1 is {'pt': 1}; it must be a text"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LingarithError, match=sentence):
        of(**keys)


@pytest.mark.parametrize(
    ("text", "profile", "sentence"),
    [
        ("table = ", "newsroom", r"mine\.toml is no TOML"),
        ("x = 1\n[newsroom]", "newsroom", r"mine\.toml: a study has no key 'x'"),
        ("[newsroom]\n[paper]\nstep = 1", "newsroom", r"a study has no key 'step'; did you mean steps\?"),
        ("[newsroom]", "papre", r"has no profile 'papre'; known are: newsroom"),
        ("[newsroom]", "newsroom", r"mine\.toml: 'table' must name what is made, such as table1"),
        ("table = 1\n[newsroom]", "newsroom", r"mine\.toml: 'table' must name what is made, such as table1"),
    ],
)
def test_files_that_are_wrong(text: str, profile: str, sentence: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(LingarithError, match=sentence):
        read_study(str(file), profile)


def test_a_file_in_another_encoding(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(LingarithError, match=r"mine\.toml is no text in UTF-8; name a TOML file"):
        read_study(str(file))


@pytest.mark.parametrize("name", ["tabel1", "folder/tabel1"])
def test_a_study_that_is_not_there(name: str) -> None:
    with pytest.raises(LingarithError, match=rf"there is no study '{name}'; did you mean table1\?"):
        read_study(name)


def test_words_of_languages_are_no_numbers(file: Path) -> None:
    """nan is Min Nan, and inf would be a number of TOML too."""
    assert read_study(str(file), texts=["targets=nan"]).languages.targets == ("nan",)


@pytest.mark.parametrize("profile", ["look", "headlines", "topics"])
def test_the_study_of_a_real_backbone_is_one(profile: str) -> None:
    study = read_study("real", profile)
    assert (study.vectors.seeds, study.vectors.init_seed, str(study.sums.value)) == ((0, 1, 2), 0, "delta")
    assert study.rates == (1e-4, 3e-4, 1e-3, 1e-2)
    assert {"rates", "scaled", "wrong", "random", "joint", "named"} <= {*(study.choice.controls or ())}
    assert study.choice.choose_by == "oracle"
    [labels] = study.tasks.values()
    expected = {"look": ("likelihood", 6), "headlines": ("chrf", 6), "topics": ("accuracy", 21)}
    assert (labels.task.metric, len(labels.targets)) == expected[profile]
    assert study.choice.retention == (profile != "look")
