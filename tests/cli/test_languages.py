"""``related`` and ``languages``; and that docs/related.md counts what they print."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.languages.codes import OF_THE_PAPER, SEEN, UNSEEN
from lingarith.languages.related import preset, related
from tests.snippets.pages import SNIPPETS

PAGE = Path(__file__).parents[2] / "docs" / "related.md"
Command = Callable[..., Any]
Fails = Callable[..., str]


def test_related(command: Command) -> None:
    found = command("related", "pt", "--among", "ar, bn,English,te", "--json").json
    assert list(found) == ["pt"]
    assert found["pt"]["chosen"] == list(related("pt", ["ar", "bn", "en", "te"]).chosen) == ["en", "ar"]
    assert found["pt"]["rule"] == "syntactic < 0.7 and geographic < 0.3"
    assert found["pt"]["measures"] == ["syntactic (URIEL)", "geographic (URIEL)"]
    assert found["pt"]["candidates"][-1] == {
        "language": "te",
        "distances": {"syntactic": 0.7684, "geographic": 0.4101},
        "chosen": False,
        "why": "syntactic ≥ 0.7, geographic ≥ 0.3",
    }
    assert found["pt"]["paper"] is None  # the sources are not the paper's
    shown = command("related", "pt", "--among", "ar,bn,en,te").out
    assert re.search(r"^in +ar Arabic +0\.5399 +0\.1707 +syntactic < 0\.7, geographic < 0\.3 *$", shown, re.MULTILINE)
    assert "Table 5" not in shown


def test_several_targets_beside_the_paper(command: Command) -> None:
    found = command("related", *UNSEEN, "--preset", "paper-table5", "--json").json
    sets = preset("paper-table5").sets
    assert {target: sorted(one["chosen"]) for target, one in found.items()} == {
        target: sorted(sources) for target, sources in sets.items()
    }
    assert all(one["paper"] == sets[target] for target, one in found.items())


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["--either"], ["en", "ru", "ar", "tr", "id", "sw", "th"]),
        (["--syntactic", "0.5", "--geographic", "0.1"], ["en"]),
        (["--geographic-decimals", "1"], ["en", "ar", "tr"]),
        (["--individual"], ["en", "ru", "ar", "tr"]),
        (["--top", "2"], ["en", "id"]),
        (["--top", "2", "--measure", "geographic"], ["en", "tr"]),
    ],
)
def test_rules(words: list[str], chosen: list[str], command: Command) -> None:
    assert sorted(command("related", "pt", *words, "--json").json["pt"]["chosen"]) == sorted(chosen)


def test_nothing_near_and_what_is_missing(command: Command) -> None:
    shown = command("related", "pt", "--among", "th,te").out
    assert "Note: no source meets the rule; th is taken, the nearest by syntactic (0.6127)" in shown
    several = command("related", "pt", "uk", "--among", "th,te").out
    assert "pt: no source meets the rule; th is taken" in several
    missing = command("related", "si", "--among", "te,mr", "--top", "1", "--measure", "phonological").out
    assert re.search(r"^out +mr Marathi +– +phonological not known", missing, re.MULTILINE)


def test_a_table(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("source,target,syntactic,expert\npt,en,0.9,0.1\npt,tr,0.1,\n")
    among = ("related", "pt", "--among", "en,tr", "--table", path, "--json")
    by_limits = command(*among).json["pt"]
    assert by_limits["chosen"] == ["tr"]
    assert by_limits["measures"] == [f"syntactic ({path})", "geographic (URIEL)"]
    assert command(*among, "--top", "1").json["pt"]["chosen"] == ["tr"]
    by_expert = command(*among, "--top", "2", "--measure", "expert").json["pt"]
    assert [each["why"] for each in by_expert["candidates"]] == ["number 1", "expert not known"]


def test_vectors(command: Command, fails: Fails, trained: Path) -> None:
    words = ("related", "pt", "--top", "1", "--measure", "vectors", "--store", trained)
    found = command(*words, "--among", "en", "--json").json["pt"]
    assert found["measures"] == ["vectors (news[pt], news[en])"]
    assert 0 < found["candidates"][0]["distances"]["vectors"] < 2
    assert fails(*words, "--among", "en,ja").startswith("no vector named 'news[ja]'")


@pytest.mark.parametrize("measure", ["hidden-states", "subwords"])
def test_text(measure: str, command: Command, tiny_backbone: Path, tmp_path: Path) -> None:
    words = ("--top", "1", "--measure", measure, "-b", tiny_backbone, "--characters", "800", "--store", tmp_path / "s")
    found = command("related", "pt", "--among", "en,uk", *words, "--json").json["pt"]
    assert found["measures"] == [f"{measure} ({tiny_backbone} on newsroom)"]
    assert all(each["distances"][measure] > 0 for each in found["candidates"])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Portugese"], "no language is called 'Portugese'; did you mean pt (Portuguese)"),
        (["pt", "--among", "en,xyzzy"], "no language is called 'xyzzy'"),
        (["pt", "--among", ""], "no language is called ''"),
        (["pt", "--among", "en,pt"], "pt is the target and no source of its own"),
        (["pt", "--syntactic", "nan"], "the limit nan on 'syntactic' must be a positive number"),
        (["pt", "--geographic", "-1"], "the limit -1 on 'geographic' must be a positive number"),
        (["pt", "--top", "0"], "the nearest 0 languages are none"),
        (["pt", "--top", "2", "--preset", "paper-table5"], "limits, --top and --preset are different rules"),
        (["pt", "--top", "2", "--either"], "limits, --top and --preset are different rules"),
        (["pt", "--preset", "table5"], "there is no preset 'table5'; did you mean paper-table5?"),
        (["en", "--among", "ru", "--preset", "paper-table5"], "paper-table5 has no target 'en'"),
        (["pt", "--top", "2", "--measure", "syntax"], "there is no measure 'syntax'; did you mean syntactic?"),
        (["pt", "--measure", "genetic"], "there is no limit on genetic, only on syntactic and geographic"),
        (["pt", "--table", "none.csv"], "there is no file none.csv"),
    ],
)
def test_mistakes(words: list[str], sentence: str, fails: Fails) -> None:
    assert fails("related", *words).startswith(sentence)


def test_tables_that_do_not_serve(fails: Fails, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("source,target,expert\npt,en,0.1\n")
    assert fails("related", "pt", "--table", path).startswith("there is no limit on expert, only on")
    missing = fails("related", "pt", "--among", "en,ja", "--table", path, "--top", "1")
    assert missing.startswith(f"{path} has no pair pt and ja; add it")
    path.write_text("source,target,expert\npt,en,-1\n")
    assert fails("related", "pt", "--table", path, "--top", "1").startswith(f"{path}, line 2: expert is '-1'")


def test_languages(command: Command, fails: Fails) -> None:
    rows = command("languages", "--json").json
    assert [row["code"] for row in rows] == list(OF_THE_PAPER)
    assert rows[0] == {
        "code": "ar", "iso639_3": "ara", "script": "Arab", "name": "Arabic", "individual": "arb", "paper": "seen",
    }  # fmt: skip
    assert [row["paper"] for row in rows] == ["seen"] * len(SEEN) + ["unseen"] * len(UNSEEN) + [None]
    shown = command("languages", "no", "Yoruba").out
    assert re.search(r"^no +nor +several +Latn +Norwegian", shown, re.MULTILINE)
    assert re.search(r"^yo +yor +Latn +Yoruba +unseen", shown, re.MULTILINE)
    assert fails("languages", "xyzzy").startswith("no language is called 'xyzzy'")


def test_the_page_counts_the_sets_that_agree() -> None:
    page = PAGE.read_text(encoding="utf-8")
    stated, closest = (
        printed.count("  none\n")
        for snippet in SNIPPETS[PAGE.name]
        for command, printed in snippet.typed
        if "mr gu zh" in command
    )
    assert (stated, closest) == (1, 5)
    assert "One of the 11 sets is the printed one" in page
    assert "Five of the 11 sets are the printed ones" in page
