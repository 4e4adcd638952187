import pytest

from lingarith.adapters.merging import Merging
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.model.generate import generate
from lingarith.model.loading import wrap
from lingarith.newsroom.rows import rows
from lingarith.play.desk import FILES, desk, export
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.vectors.composition import Space

SUM = "0.8*headlines[en] + 0.2*(news[pt] - news[en])"


def test_what_is_typed_is_heard_or_the_parser_says_why_not(on_desk):
    assert on_desk.heard(SUM) == parse(SUM)
    with pytest.raises(LingarithError, match=r"an operator such as \+ or \* is missing") as found:
        on_desk.heard("0.8 headlines[en]")
    assert str(found.value).splitlines()[-1].strip() == "^"
    with pytest.raises(LingarithError, match=r"no vector named 'news\[pl\]'; did you mean news\[p?"):
        on_desk.heard("news[pl]")
    assert on_desk.heard("0").names == ()


def test_what_one_begins_with_are_the_equations(on_desk):
    assert {name: str(sum) for name, sum in on_desk.sums("pt").items()} == {
        "Task vector alone": "headlines[en]",
        "Add (Eq. 1)": "0.8*headlines[en] + 0.2*news[pt]",
        "Add and Subtract (Eq. 2)": SUM,
        "Uncoupled": "headlines[en] + 0.4*(news[pt] - news[en])",
    }
    assert list(on_desk.sums("en")) == ["Task vector alone", "Add (Eq. 1)"]  # nothing is left of news[en] − news[en]
    assert list(on_desk.sums("yo")) == ["Task vector alone"]


def test_a_sum_is_held_against_its_own_task_vector(on_desk):
    assert str(on_desk.alone(parse("2*news[pt] + 0.1*headlines[en]"))) == "headlines[en]"
    assert str(on_desk.alone(parse("news[pt]"))) == "headlines[en]"


def test_targets_without_labels_come_first(on_desk):
    assert list(on_desk.targets().items())[:2] == [("Portuguese (pt)", "pt"), ("English (en)", "en")]
    assert "Yoruba (yo)" in on_desk.targets()
    assert on_desk.kin("pt").startswith("Related to Portuguese by URIEL: English (en), Russian (ru)")
    assert on_desk.kin("tlh").startswith("URIEL has no distances")


def test_articles_are_the_newsrooms(on_desk):
    pairs = [(row["text"], row["summary"]) for row in rows("pt", "test", 128)]
    assert on_desk.article("pt", 1) == pairs[1]
    assert on_desk.article("pt", 129) == pairs[1]  # after the last one comes the first
    english = next(iter(rows("en", "test", 1)))
    assert on_desk.article("pl", 0) == (english["text"], english["summary"])


@pytest.mark.parametrize(
    "space", [Space("factors"), Space("delta"), Space("delta", merging=Merging.of("tsv"))], ids=str
)
def test_outputs_are_those_of_the_composition(on_desk, space):
    article = on_desk.article("pt", 0)[0]
    backbone, study = on_desk.lab.backbone, on_desk.lab.study
    with backbone.using(on_desk.composed(parse(SUM), space).update()):
        [expected] = generate(backbone, [f"summarize: {article}"], study.writing)
    output = on_desk.written(parse(SUM), space, article, "pt")
    assert output.text == expected
    assert 0 <= output.copied <= 1
    assert on_desk.figures(parse(SUM), space).startswith(f"{SUM} in {space}: |ΔW| ")
    assert on_desk.figures(parse("0"), space) == "0: the bare backbone"


def test_no_article_and_no_vector_are_sentences(on_desk, tmp_path):
    with pytest.raises(LingarithError, match="there is no article"):
        on_desk.written(parse(SUM), Space("factors"), " ", "pt")
    empty = Lab(on_desk.lab.study, Store(tmp_path / "none"), trains=False, given=on_desk.lab.backbone)
    with pytest.raises(LingarithError, match=r"first train some: `lingarith train task newsroom en -b .*`"):
        desk(empty)


def test_a_space_holds_the_vectors_and_the_command(on_desk, tmp_path):
    folder, own = tmp_path / "space", on_desk.lab.backbone
    with pytest.raises(LingarithError, match="lies on this machine"):
        export(on_desk, folder, {}, "6.31.0")
    assert not folder.exists()
    elsewhere = wrap(own.model, own.tokenizer, name="user/model")
    there = desk(Lab(on_desk.lab.study, on_desk.lab.store, trains=False, given=elsewhere))
    export(there, folder, {"backbone": "user/model", "max_output": 9}, "6.31.0")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert "'--backbone=user/model', '--max-output=9'" in (folder / "app.py").read_text()
    assert "sdk_version: 6.31.0\n" in (folder / "README.md").read_text(encoding="utf-8")
    hashes = {entry.name: entry.hash for entry in Store(folder / "store").entries()}
    assert hashes == {name: entry.hash for name, entry in there.entries.items()}
    export(there, folder, {}, "6.31.0")  # what was written here is written again
    (folder / "mine.txt").touch()
    with pytest.raises(LingarithError, match=r"holds mine\.txt, which was not written here"):
        export(there, folder, {}, "6.31.0")
