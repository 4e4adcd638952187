from pathlib import Path

import pytest

from lingarith.errors import LingarithError
from lingarith.text.patterns import existing, matching_files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("pt/train", "pt/val", "pt/test", "yo/dev", "yo/test"):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}\n")
    return tmp_path


def test_fills_language_and_split(data: Path) -> None:
    pattern = f"{data}/{{language}}/{{split}}.jsonl"
    assert matching_files(pattern, language="pt", split="train") == (data / "pt/train.jsonl",)
    assert matching_files(pattern, language="pt", split="validation") == (data / "pt/val.jsonl",)
    assert matching_files(pattern, language="yo", split="validation") == (data / "yo/dev.jsonl",)


def test_wildcards_are_sorted_and_a_name_with_brackets_is_literal(data: Path) -> None:
    assert matching_files(f"{data}/{{language}}/*.jsonl", language="yo") == (
        data / "yo/dev.jsonl",
        data / "yo/test.jsonl",
    )
    assert len(matching_files(f"{data}/**/*.jsonl", language="yo")) == 5
    (data / "a[1].txt").write_text("x")
    assert matching_files(f"{data}/a[1].txt", language="yo") == (data / "a[1].txt",)


def test_lists_what_exists(data: Path) -> None:
    assert existing(f"{data}/{{language}}/{{split}}.jsonl") == {
        ("pt", "train"),
        ("pt", "val"),
        ("pt", "test"),
        ("yo", "dev"),
        ("yo", "test"),
    }
    assert existing(f"{data}/*/{{split}}.jsonl") == {("", split) for split in ("train", "val", "dev", "test")}
    (data / "yo-yo.txt").write_text("x")
    (data / "yo-pt.txt").write_text("x")
    assert existing(f"{data}/{{language}}-{{language}}.txt") == {("yo", "")}


@pytest.mark.parametrize(
    ("pattern", "language", "split", "said"),
    [
        (
            "{language}/{split}.jsonl",
            "yo",
            "train",
            "the splits of 'yo' there are: dev, test; languages with train: pt",
        ),
        ("{language}/{split}.jsonl", "pto", "test", "no file .*pto/test.jsonl; did you mean pt?"),
        ("{language}/{split}.jsonl", "zz", "test", "known are: pt, yo"),
        ("{language}/test.jsonl", "zz", None, "known are: pt, yo"),
        ("{language}/none.jsonl", "pt", None, "no file matches .* for any language"),
        ("pt/tset.jsonl", "pt", None, "did you mean test.jsonl?"),
        ("nowhere/test.jsonl", "pt", None, "there is no folder"),
        ("{lang}/test.jsonl", "pt", None, r"holds \{lang\}, and only \{language\} and \{split\}"),
        ("{language}/{split}.jsonl", "pt", "tests", "there is no split 'tests'; did you mean test?"),
        ("{language}/{split}.jsonl", "pt", None, "plain text has no splits"),
        ("{language}/test.jsonl", "../pt", None, "'../pt' is no language code"),
        ("{language}/test.jsonl", "", None, "'' is no language code"),
    ],
)
def test_errors_say_what_exists(data: Path, pattern: str, language: str, split: str | None, said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        matching_files(f"{data}/{pattern}", language=language, split=split)
