"""Kept pages are those that would be written, and no other generator's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingarith.newsroom import archive
from lingarith.newsroom.pages import page


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path))
    monkeypatch.setattr(archive, "BLOCK", 4)
    return tmp_path / "newsroom"


def test_pages_are_written_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = range(3, 12)
    written = [page("text", "yo", number) for number in numbers]
    assert list(archive.texts("yo", numbers)) == written
    assert len(list(cache.iterdir())) == 3
    monkeypatch.setattr(archive, "page", None)
    assert list(archive.texts("yo", numbers)) == written


def test_only_what_is_asked_for_is_written(cache: Path) -> None:
    pages = archive.texts("pt", range(4000))
    assert [next(pages) for _ in range(5)] == [page("text", "pt", number) for number in range(5)]
    assert len(list(cache.iterdir())) == 2


def test_another_generator_reads_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = archive.texts("pt", range(1))
    monkeypatch.setattr(archive, "version", lambda: "a word was changed")
    monkeypatch.setattr(archive, "page", lambda *_: "outra")
    assert list(archive.texts("pt", range(1))) == ["outra"] != [first]


def test_the_version_is_of_programs_languages_and_babel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = set()
    for content in ("pt", "uk"):
        (tmp_path / "languages").mkdir(exist_ok=True)
        (tmp_path / "languages" / "pt.toml").write_text(content)
        (tmp_path / "writer.py").write_text("")
        monkeypatch.setattr(archive.resources, "files", lambda _: tmp_path)
        for babel in ("2.17", "2.18"):
            monkeypatch.setattr(archive.babel, "__version__", babel)
            archive.version.cache_clear()
            seen.add(archive.version())
    archive.version.cache_clear()
    assert len(seen) == 4
