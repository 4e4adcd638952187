from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.entities import read, tagged, written

WORDS = st.sampled_from("Ana são Rio; ; : 10:30 PER: none , (Rússia) 東京 é".split())
SPANS = st.tuples(st.sampled_from(["PER", "LOC", "WORK_OF_ART"]), st.lists(WORDS, min_size=1, max_size=3).map(" ".join))


@given(st.lists(SPANS, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_again_or_refused(spans: list[tuple[str, str]]) -> None:
    if any("; PER:" in f" {text} " for _, text in spans):  # a kind within an entity's own text
        with pytest.raises(LingarithError, match="cannot be told apart"):
            written(spans, "line 1")
    else:
        assert read(written(spans, "line 1")) == spans


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("PER: Ana Silva; LOC: Lisboa", [("PER", "Ana Silva"), ("LOC", "Lisboa")]),
        ("LOC: Rio; LOC: Rio", [("LOC", "Rio"), ("LOC", "Rio")]),
        (" PER:Ana ;LOC:  Rio  de\nJaneiro;", [("PER", "Ana"), ("LOC", "Rio de Janeiro;")]),
        ("DATE: 10:30", [("DATE", "10:30")]),
        ("PER: cafe\u0301", [("PER", "caf\u00e9")]),
        ("Ana, PER: Rui", [("", "Ana, PER: Rui")]),
        ("PER: ; LOC: Rio", [("LOC", "Rio")]),
        ("NONE", []),
        (" ", []),
    ],
)
def test_lines_by_hand(line: str, spans: list[tuple[str, str]]) -> None:
    assert read(line) == spans


def test_tags_as_conlleval_reads_them() -> None:
    tags = "B-LOC I-LOC I-PER I-PER B-PER O I-ORG B-ORG".split()
    assert tagged(list("abcdefgh"), tags, "") == [
        ("LOC", "a b"), ("PER", "c d"), ("PER", "e"), ("ORG", "g"), ("ORG", "h"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "tags", "said"),
    [
        (["a", "b"], ["O"], "line 1: there are 2 tokens and 1 tags"),
        (["a"], ["X-PER"], "line 1: the tag 'X-PER' is none of IOB2; write O, B-KIND or I-KIND"),
        (["a"], ["B-"], "the tag 'B-' is none"),
        (["a"], [3], "line 1: the tags are no list of text; write their names, such as B-PER, for class ids"),
        ("a", ["O"], "line 1: the tokens are no list of text$"),
        (["a", 2], ["O", "O"], "the tokens are no list of text$"),
    ],
)
def test_tags_that_cannot_be_read(tokens: Any, tags: Any, said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        tagged(tokens, tags, "line 1")


@pytest.mark.parametrize("spans", [[("PER", " ")], [("", "Ana")], [("PER", "Ana; LOC: Rio")], [("2", "Ana")]])
def test_entities_that_cannot_be_written(spans: list[tuple[str, str]]) -> None:
    with pytest.raises(LingarithError, match=r"line 1: the entities .* cannot be told apart"):
        written(spans, "line 1")
