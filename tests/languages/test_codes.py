"""Languages by their code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.languages.codes import SEEN, UNSEEN, language_name, right_to_left


def test_the_paper_s_languages() -> None:
    assert (len(SEEN), len(UNSEEN)) == (11, 11)
    assert not set(SEEN) & set(UNSEEN)
    assert {"en", "th", "tr"} <= set(SEEN)
    assert {"pt", "yo", "fa"} <= set(UNSEEN)
    assert all(language_name(code) != code for code in (*SEEN, *UNSEEN))


@pytest.mark.parametrize(
    ("code", "name"),
    [("uk", "Ukrainian"), ("yo", "Yoruba"), ("pt-BR", "Portuguese (Brazil)"), ("zh-Hant", "Chinese (Traditional)")],
)
def test_names(code: str, name: str) -> None:
    assert language_name(code) == name


def test_who_writes_from_right_to_left() -> None:
    assert {code for code in (*SEEN, *UNSEEN) if right_to_left(code)} == {"ar", "fa"}
    assert right_to_left("he")
    assert not right_to_left("az-Latn")


@given(st.text(max_size=12))
def test_anything_has_a_name(code: str) -> None:
    """What is no language is called by its code, and is no error."""
    assert isinstance(language_name(code), str)
    assert right_to_left(code) in (True, False)


@pytest.mark.parametrize("code", ["", "qaa", "x", "not a code", "zz-ZZ-zz", "../pt"])
def test_what_is_no_language_keeps_its_code(code: str) -> None:
    assert language_name(code) == code
