"""Distances by one interface: URIEL's, and tables of users."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from lingarith.errors import LingarithError
from lingarith.languages import uriel
from lingarith.languages.codes import OF_THE_PAPER
from lingarith.languages.distances import Distances, Table, Uriel, read_table


@pytest.mark.parametrize("measure", uriel.MEASURES)
def test_every_pair_of_the_paper_comes_with_the_package(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uriel, "installed", lambda: False)
    for distances in (Uriel(measure), Uriel(measure, individual=True)):
        for one, other in combinations(OF_THE_PAPER, 2):
            found = distances.between(one, other)
            assert found == distances.between(other, one)
            if measure in ("syntactic", "geographic", "genetic"):
                assert found
            assert found is None or 0 <= found <= 1


def test_a_distance_of_nothing_is_known_where_all_known_features_agree() -> None:
    assert Uriel("phonological").between("ne", "si") == 0


@pytest.mark.parametrize(("column", "individual"), [("macro", False), ("specific", True)])
def test_the_table_is_as_was_found_elsewhere(column: str, individual: bool, real_data: Callable[[str], Path]) -> None:
    with real_data("uriel/uriel_11x11.csv").open() as file:
        for row in csv.DictReader(file):
            for measure, known in (("syntactic", f"syn_recomputed_{column}"), ("geographic", f"geo_uriel_{column}")):
                found = Uriel(measure, individual=individual).between(row["target"], row["source"])
                assert found == pytest.approx(float(row[known]), abs=1.01e-4)


def test_uriel_knows_what_it_does_not_know() -> None:
    assert Uriel("phonological").between("pt", "en") is None
    assert Uriel("inventory").between("ar", "en") == pytest.approx(0.4615)
    assert Uriel("inventory", individual=True).between("ar", "en") is None


def test_a_language_is_at_no_distance_from_itself() -> None:
    assert Uriel("phonological").between("pt", "pt-BR") == 0


def test_rounding_and_provenance() -> None:
    assert Uriel("geographic", decimals=1).between("pt", "ru") == 0.3
    assert Uriel("phonological", decimals=1).between("pt", "ru") is None
    assert str(Uriel("geographic", decimals=1)) == "geographic (URIEL, rounded to 0.1)"
    assert str(Uriel("genetic", individual=True)) == "genetic (URIEL of individual languages)"


def test_languages_beyond_the_table_need_the_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uriel, "installed", lambda: True)
    monkeypatch.setattr(uriel, "distance", lambda *asked: {("syntactic", "deu", "por"): 0.44}[asked])
    assert Uriel("syntactic").between("de", "pt") == 0.44
    monkeypatch.setattr(uriel, "installed", lambda: False)
    with pytest.raises(LingarithError, match=r"between de and pt does not come .* pip install 'lingarith\[uriel\]'"):
        Uriel("syntactic").between("de", "pt")


def test_no_such_measure() -> None:
    with pytest.raises(LingarithError, match="no measure 'syntax'; did you mean syntactic"):
        Uriel("syntax")


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "\ufeffsource, target,expert,syntactic\n"
        "pt,en,0.3,.5\nja,por,,0\nen,pt,0.30,0.5\n\nzh-Hant,pt,1.5,0.1\nen,en,0,0\n"
    )
    tables = read_table(path)
    expert, syntactic = tables.values()
    distances: Distances = expert
    assert list(tables) == ["expert", "syntactic"]
    assert str(distances) == f"expert ({path})"
    assert [distances.between(*pair.split()) for pair in ("pt en", "en pt", "pt ja", "pt zh-Hant", "ja ja")] == [
        0.3, 0.3, None, 1.5, 0.0,
    ]  # fmt: skip
    assert syntactic.between("pt", "ja") is None  # a 0 between two languages
    with pytest.raises(LingarithError, match=r"mine\.csv has no pair en and ja; add it"):
        distances.between("en", "ja")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "line 1: the columns are missing; they must be source, target and at least one measure"),
        ("pt,en,0.5\n", "line 1: the columns are pt, en, 0.5; they must be source, target"),
        ("source,target\npt,en\n", "line 1: the columns are source, target; they must be"),
        ("source,target,d,d\npt,en,1,1\n", "they must be source, target and at least one measure, each once"),
        ("source,target,d\npt,en,0.5\npt,ja,-0.1\n", "line 3: d is '-0.1', and a distance is a number of 0 or more"),
        ("source,target,d\npt,en,far\n", "line 2: d is 'far', and a distance is a number"),
        ("source,target,d\npt,en,nan\n", "line 2: d is 'nan', and a distance is a number"),
        ("source,target,d\npt,en,inf\n", "line 2: d is 'inf', and a distance is a number"),
        ("source,target,d\npt,en\n", "line 2 has 2 columns where line 1 has 3"),
        ("source,target,d\npt,en,0,5\n", "line 2 has 4 columns where line 1 has 3"),
        ("source,target,d\npt,Portugese,1\n", "line 2: no language is called 'Portugese'; did you mean pt"),
        ("source,target,d\npt,en,0.5\nen,pt,0.4\n", "line 3: d of en and pt is 0.4 here and 0.5 above; keep one"),
        ('source,target,d\npt,"en"x,1\n', "is no CSV file in UTF-8"),
        ("source,target,d\npt,en,1\n".encode("utf-16"), "is no CSV file in UTF-8"),
    ],
)
def test_tables_that_are_none(content: str | bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LingarithError) as problem:
        read_table(path)
    assert str(problem.value).startswith(str(path))
    assert sentence in str(problem.value)


def test_no_table(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(LingarithError, match="there is no file"):
            read_table(path)


def test_any_code_does(tmp_path: Path) -> None:
    table = Table("made", {frozenset(("he", "pt")): 0.5, frozenset(("no", "zh-Hant")): 0.25}, "a test")
    assert table.between("iw", "por_Latn") == table.between("pt-BR", "heb") == 0.5
    assert table.between("zh_TW", "nb") == 0.25
    assert table.between("nb", "no") == 0
    assert Uriel("syntactic").between("por_Latn", "en-US") == Uriel("syntactic").between("pt", "en")


def test_a_table_in_memory() -> None:
    table = Table("made", {frozenset(("a", "b")): 0.5, frozenset(("a", "c")): None}, "a test")
    assert (table.between("b", "a"), table.between("c", "a"), table.between("c", "c")) == (0.5, None, 0.0)
