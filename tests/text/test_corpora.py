import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError, MissingData
from lingarith.newsroom.pages import page
from lingarith.text import hub
from lingarith.text.corpora import HELD_OUT, NEWSROOM_PAGES, PlainText, held_out, plain_text
from lingarith.text.rows import fingerprint


def test_newsroom(tmp_path: Path) -> None:
    text = plain_text("newsroom", "pt", limit_characters=2000, folder=tmp_path)
    assert (text.language, text.source, text.name) == ("pt", "newsroom", "news")
    assert text.documents[0] == page("text", "pt", 0)
    assert sum(map(len, text.documents)) == 2000
    assert text.fingerprint == fingerprint(text.documents)
    assert text == plain_text("newsroom", "pt", limit_characters=2000, folder=tmp_path)


def test_the_newsroom_knows_a_language_by_any_of_its_codes(tmp_path: Path) -> None:
    for code in ("por_Latn", "pt-BR", "Portuguese"):
        assert plain_text("newsroom", code, limit_characters=2000, folder=tmp_path).documents[0] == page(
            "text", "pt", 0
        )
    assert plain_text("newsroom", "in", limit_characters=20, folder=tmp_path).language == "in"


def test_newsroom_ends_at_its_last_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingarith.text.corpora.NEWSROOM_PAGES", 3)
    assert len(plain_text("newsroom", "yo", folder=tmp_path).documents) == 3


def test_files(tmp_path: Path) -> None:
    (tmp_path / "pt-1.jsonl").write_text(json.dumps({"body": " Um. "}) + "\n" + json.dumps({"body": " "}) + "\n")
    (tmp_path / "pt-2.jsonl").write_text(json.dumps({"body": "Dois e três."}) + "\nnever read\n")
    source = f"{tmp_path}/{{language}}-*.jsonl"
    text = plain_text(source, "pt", field="body", limit_characters=7, folder=tmp_path)
    assert text == PlainText("pt", source, "text", ("Um.", "Dois"), fingerprint(["Um.", "Dois"]))
    with pytest.raises(LingarithError, match=r"pt-2\.jsonl, line 2: no JSON"):
        plain_text(source, "pt", field="body", folder=tmp_path)


def test_what_is_held_out_begins_where_training_ends(tmp_path: Path) -> None:
    lines = [f"Linha {number}." for number in range(100)]
    (tmp_path / "pt.txt").write_text("\n".join([*lines[:30], lines[3], "", *lines[30:]]))
    source = f"{tmp_path}/{{language}}.txt"
    text = plain_text(source, "pt", limit_characters=45, folder=tmp_path)
    left = held_out(source, "pt", limit_characters=45, folder=tmp_path)
    assert text.documents == (*lines[:5], "Linha")
    assert left.documents == tuple(lines[6 : 6 + HELD_OUT])  # line 5 was begun, line 3 is known
    assert left.fingerprint == fingerprint(left.documents)
    assert (left.language, left.source, left.name) == (text.language, text.source, text.name)


def test_the_last_tenth_is_held_out_where_nothing_is_left_over(tmp_path: Path) -> None:
    lines = [f"Linha {number:03}." for number in range(100)]
    path, source = tmp_path / "pt.txt", f"{tmp_path}/{{language}}.txt"
    path.write_text("\n".join([*lines, lines[0]]))
    for limit in (10 * 98, 10_000):  # what is left over, two lines or none, is held out as well
        text = plain_text(source, "pt", limit_characters=limit, folder=tmp_path)
        left = held_out(source, "pt", limit_characters=limit, folder=tmp_path)
        assert not {*text.documents} & {*left.documents}
        assert {*lines} == {*text.documents, *left.documents}
    path.write_text("\n".join(lines[:79]))  # seven would tell little: all of it is trained on, as it always was
    assert plain_text(source, "pt", folder=tmp_path).documents == tuple(lines[:79])
    with pytest.raises(MissingData, match="holds 0 documents of 'pt' beyond 2,000,000 characters"):
        held_out(source, "pt", folder=tmp_path)
    path.write_text("\n".join(lines[:1] * 100))  # none of the last tenth is new
    assert len(plain_text(source, "pt", folder=tmp_path).documents) == 100


def test_the_newsroom_holds_out_pages_of_their_own(tmp_path: Path) -> None:
    left = held_out("newsroom", "pt", folder=tmp_path)
    assert left.documents == tuple(page("text", "pt", NEWSROOM_PAGES + k) for k in range(HELD_OUT))
    assert not {*left.documents} & {*plain_text("newsroom", "pt", folder=tmp_path).documents}


def test_a_tenth_more_comes_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_mc4: Callable[[Path, str, list[str]], None]
) -> None:
    """Both are read from one shard."""
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    pages = [f"oju-iwe {number:03}" for number in range(300)]
    write_mc4(tmp_path, "yo", pages)
    folder = tmp_path / "shards"
    assert plain_text("mc4", "yo", limit_characters=1100, folder=folder).documents == tuple(pages[:100])
    monkeypatch.setenv(hub.ROOT, "gone")
    assert held_out("mc4", "yo", limit_characters=1100, folder=folder).documents == tuple(pages[100:110])


def test_hub_sources(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_mc4: Callable[[Path, str, list[str]], None],
    write_parquet: Callable[[Path, list[dict[str, Any]]], None],
) -> None:
    monkeypatch.setenv(hub.ROOT, str(tmp_path))
    write_mc4(tmp_path, "yo", ["ọkan", "meji"])
    write_parquet(tmp_path / "HuggingFaceFW/fineweb-2/data/yor_Latn/train/000.parquet", [{"text": "mẹta", "id": "1"}])
    write_parquet(tmp_path / "HuggingFaceFW/fineweb/sample/10BT/000.parquet", [{"text": "one", "id": "1"}])
    folder = tmp_path / "shards"
    assert plain_text("mc4", "yo", folder=folder).documents == ("ọkan", "meji")
    assert plain_text("fineweb2", "yo", folder=folder).documents == ("mẹta",)
    english = plain_text("fineweb2@a1b2", "en", folder=folder)
    assert (english.name, english.source, english.documents) == ("fineweb2", "fineweb2@a1b2", ("one",))
    assert len(list(folder.glob("*.jsonl"))) == 3


@pytest.mark.parametrize(
    ("source", "language", "said"),
    [
        ("newsrom", "pt", r"there is no source 'newsrom'; did you mean newsroom\?$"),
        ("crawl", "pt", r"there is no source 'crawl'; known are: .*; or give a path such as data/{language}"),
        ("newsroom", "xx", "the newsroom does not write 'xx'"),
        ("newsroom", "../pt", "the newsroom does not write"),
        ("mc4", "../pt", "mc4 has no language"),
        ("{folder}/{language}.txt", "../pt", "is no language code"),
        ("{folder}/{language}.txt", "pt", "no file"),
        ("{folder}/{language}_plain.txt", "pt", r"no file .*pt_plain\.txt; did you mean por_Latn\?$"),
        ("{folder}/blank.jsonl", "pt", "holds no text of 'pt': every 'text' is blank"),
        ("{folder}/wrong.jsonl", "pt", "wrong.jsonl, line 1: there is no field 'text'; did you mean txt"),
    ],
)
def test_errors(tmp_path: Path, source: str, language: str, said: str) -> None:
    (tmp_path / "por_Latn_plain.txt").write_text("Um.")
    (tmp_path / "blank.jsonl").write_text('{"text": " "}\n')
    (tmp_path / "wrong.jsonl").write_text('{"txt": "a"}\n')
    with pytest.raises(LingarithError, match=said):
        plain_text(source.replace("{folder}", str(tmp_path)), language, folder=tmp_path)


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match="limit_characters is 0"):
        plain_text("newsroom", "pt", limit_characters=0, folder=tmp_path)


def test_real_text(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    source = f"{real_data('data/unlabelled')}/{{language}}.jsonl.gz"
    text = plain_text(source, "si", limit_characters=50_000, folder=tmp_path)
    assert len(text.documents) > 10
    with pytest.raises(LingarithError, match="known are: ar, bn, en"):
        plain_text(source, "xx", folder=tmp_path)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, lingarith.text.corpora, lingarith.text.tasks, lingarith.text.prefix_lm;"
        "assert not {'torch', 'transformers', 'datasets', 'pyarrow', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
