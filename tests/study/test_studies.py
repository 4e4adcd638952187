"""Study files: keys, profiles, changes, and what is wrong with them in one sentence."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from lingarith.adapters.dense import Full
from lingarith.adapters.kronecker import Kronecker
from lingarith.errors import LingarithError
from lingarith.languages.codes import SEEN, UNSEEN
from lingarith.study.plan import full_learning_rate
from lingarith.study.recipes import TABLES
from lingarith.study.recipes.listings import LISTINGS
from lingarith.study.studies import Study, read_study

SHIPPED = sorted(file.name for file in (resources.files("lingarith") / "studies").iterdir())
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def test_every_table_has_a_file() -> None:
    assert sorted(f"{table}.toml" for table in (*TABLES, *LISTINGS)) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("profile", ["newsroom", "paper"])
def test_shipped_studies(name: str, profile: str) -> None:
    text = (resources.files("lingarith") / "studies" / name).read_text()
    assert len(text.splitlines()) <= 25
    study = read_study(name.removesuffix(".toml"), profile)
    assert study.table in (*TABLES, *LISTINGS)
    assert study.table == study.name
    if profile == "paper" and study.table in TABLES and TABLES[study.table].reference:
        training = study.training(0, labels=True)
        assert (training.steps, training.learning_rate, study.rank, study.task) == (5000, 2e-4, 4, "xlsum")
        assert study.training(0, labels=False).steps == 5000


def test_a_profile_overrides_and_changes_override_it(file: Path) -> None:
    study = read_study(str(file))
    assert (study.name, study.steps, study.targets, study.learning_rate) == ("mine", 7, UNSEEN, 1.0)
    assert study.backbone == "newsroom"
    assert read_study(str(file), "paper").steps == 5000
    changed = read_study(
        str(file), "paper",
        ["steps=9", "targets=pt,uk", "weights=0.5,1", "seeds=1", "sources=seen", "space = delta", "score_model=a=b"],
    )  # fmt: skip
    assert (changed.steps, changed.targets, changed.weights, changed.seeds) == (9, ("pt", "uk"), (0.5, 1.0), (1,))
    assert (changed.sources, changed.space, changed.score_model) == (SEEN, "delta", "a=b")


def test_training_options() -> None:
    study = Study("x", "table1", steps=5, language_learning_rate=0.1, adapter="kronecker", kronecker=(4, 2))
    task, text = study.training(3, labels=True), study.training(3, labels=False)
    assert (task.steps, text.steps, text.learning_rate) == (5, 5, 0.1)
    assert task.learning_rate == study.base.task_training.learning_rate  # the newsroom's own
    assert (task.seed, task.init_seed, task.adapter) == (3, 3, Kronecker(4, 2))
    assert study.training(0, labels=True, rate=0.7, kind="lora").learning_rate == 0.7
    assert Study("x", learning_rate=0.2, learning_rates=(0.4, 0.2)).rates() == (0.2, 0.4)


def test_full_fine_tuning_has_a_learning_rate_of_its_own() -> None:
    study = Study("x", learning_rate=0.1)
    assert study.training(0, labels=True, kind="full").adapter == Full()
    assert study.training(0, labels=True, kind="full").learning_rate == full_learning_rate("newsroom")
    assert study.training(0, labels=True, kind="lora").learning_rate == 0.1
    own = Study("x", backbone="a/b", full_learning_rate=0.3)
    assert own.training(0, labels=True, kind="full").learning_rate == own.full_rate == 0.3
    assert own.training(0, labels=True, rate=0.2, kind="full").learning_rate == 0.2
    assert Study("x", full_learning_rate=0.0).full_rate == 0
    assert Study("x", adapter="full", space="delta").training(0, labels=False).adapter == Full()


def test_weights() -> None:
    study = Study("x", weights=(0.5, 0.0), betas=(0.3,))
    assert study.weights_of("add") == (0.0, 0.5, 1.0)  # the task vector alone is always among them
    assert study.weights_of("uncoupled") == (0.0, 0.3)
    assert 0.98 in Study("x").weights_of("add_subtract_related")
    assert Study("x", space="delta").weights_of("scaled")[-2:] == (0.9, 1.0)


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
        ("weights=pt", r"'weights' is \['pt'\]; it must be a list of numbers"),
        ("weights=0.5,1.2", r"λ = 1.2 stands in 'weights'; it must lie in 0..1"),
        ("betas=-1", "β = -1 stands in 'betas'"),
        ("targets=pt,pt", "pt stands twice in 'targets'"),
        ("sources=[]", "'sources' is empty"),
        ("adapter=lorra", r"no adapter is named 'lorra'; did you mean lora\?"),
        ("space=factor", r"no space named 'factor'; did you mean factors\?"),
        ("rank_out=2", "rank=2 needs space 'delta'"),
        ("protocol=orakle", r"no protocol is named 'orakle'; did you mean oracle\?"),
        ("controls=wrongg", r"no control is named 'wrongg'; did you mean wrong\?"),
        ("related=table5", r"no related is named 'table5'; did you mean paper-table5\?"),
        ("kronecker=4", r"'kronecker' is \[4\]; give m and n"),
        ("full_learning_rate=-1", "learning_rate=-1.0 must be a positive number"),
        ("rank=0", "rank=0 must be at least 1"),
        ("task=a/b.jsonl", r"'task' is 'a/b.jsonl', the same for every language; put \{language\} into the path"),
        ("text=a.txt", "'text' is 'a.txt', the same for every language"),
    ],
)
def test_what_cannot_be(change: str, sentence: str, file: Path) -> None:
    with pytest.raises(LingarithError, match=sentence):
        read_study(str(file), changes=[change])


@pytest.mark.parametrize(
    ("text", "profile", "sentence"),
    [
        ("table = ", "newsroom", r"mine\.toml is no TOML"),
        ("x = 1\n[newsroom]", "newsroom", r"mine\.toml: a study has no key 'x'"),
        ("[newsroom]\n[paper]\nstep = 1", "newsroom", r"a study has no key 'step'; did you mean steps\?"),
        ("[newsroom]", "papre", r"has no profile 'papre'; known are: newsroom"),
    ],
)
def test_files_that_are_wrong(text: str, profile: str, sentence: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(LingarithError, match=sentence):
        read_study(str(file), profile)


def test_a_study_that_is_not_there() -> None:
    with pytest.raises(LingarithError, match=r"there is no study 'tabel1'; did you mean table1\?"):
        read_study("tabel1")
