import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.scores.answers import exact_match, f1, normalised

WORDS = [*"the a an cat Cat, sat. an-the 1775 'a' हाथी ที่ 。 é".split(), "\u00a0"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


def straightforward(output: str, answers: list[str]) -> tuple[float, float]:
    """The definition in other words: cross out each word of the answer once."""

    def words(text: str) -> list[str]:
        text = re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower())
        return [word for word in text.split() if word not in ("a", "an", "the")]

    best, same = 0.0, 0.0
    for answer in answers:
        ours, left = words(output), words(answer)
        size, hits = len(left), 0
        for word in ours:
            if word in left:
                left.remove(word)
                hits += 1
        if hits:
            precision, recall = hits / len(ours), hits / size
            best = max(best, 2 * precision * recall / (precision + recall))
        same = max(same, float(ours == words(answer)))
    return 100 * best, 100 * same


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_against_the_definition_in_other_words(rows):
    outputs, references = zip(*rows, strict=True)
    expected = np.array([straightforward(*row) for row in rows])
    np.testing.assert_allclose(f1(outputs, references), expected[:, 0])
    np.testing.assert_array_equal(exact_match(outputs, references), expected[:, 1])


@pytest.mark.parametrize(
    ("output", "answers", "overlap", "same"),
    [
        ("The Eiffel Tower!", ["Eiffel tower"], 100, 100),
        # precision 2/3, recall 2/2
        ("in Paris France", ["Paris, France"], 80, 0),
        # "go" is in the answer once: precision 1/2, recall 1/1
        ("go go", ["go"], 200 / 3, 0),
        # precision 1/2, recall 1/4; the other answer is better
        ("two words", ["two of four here", "two"], 200 / 3, 0),
        ("1,775", ["1775"], 100, 100),
        ("rock'n'roll", ["rocknroll"], 100, 100),
        ("thean", ["an"], 0, 0),  # articles only as whole words
        ("", ["1775"], 0, 0),
        ("A", ["a"], 0, 100),  # nothing is left, and the script counts no word
    ],
)
def test_by_hand(output, answers, overlap, same):
    np.testing.assert_allclose(f1([output], [answers]), [overlap])
    np.testing.assert_allclose(exact_match([output], [answers]), [same])


def test_languages_without_spaces_are_right_or_wrong_as_a_whole():
    outputs, answers = ["東京都", "กรุงเทพ มหานคร", "東京。"], [["東京"], ["กรุงเทพ"], ["東京"]]
    np.testing.assert_allclose(f1(outputs, answers), [0, 200 / 3, 0])
    assert exact_match(outputs, [[output] for output in outputs]).tolist() == [100] * 3


def test_normalised():
    assert normalised(" A\tcat,\u00a0the CAT -- an “ox” ") == "cat cat “ox”"
    assert normalised("a b a") == "b"
    assert normalised("canal") == "canal"


def test_shape_and_type():
    scores = f1(["a b", "c", "d"], [["b"], ("c", "d"), ["c", "d"]])
    assert scores.shape == (3,)
    assert scores.dtype == exact_match(["a"], [["b"]]).dtype == np.float64


@pytest.mark.parametrize("score", [f1, exact_match])
def test_bad_input(score):
    with pytest.raises(LingarithError, match="2 outputs and references for 1"):
        score(["a", "b"], [["a"]])
    with pytest.raises(LingarithError, match="at least one"):
        score([], [])
    with pytest.raises(LingarithError, match=r"output 1 are \[\]"):
        score(["a", "b"], [["a"], []])
    with pytest.raises(LingarithError, match="output 0 are 'word'; give a list"):
        score(["word"], ["word"])
