import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.scores.spans import micro_f1, span_f1
from lingarith.text.entities import written

SPANS = st.lists(st.sampled_from([("PER", "Ana"), ("LOC", "Ana"), ("LOC", "Rio")]), max_size=4)


@pytest.mark.parametrize(
    ("output", "references", "score"),
    [
        ("PER: Ana; LOC: Rio", ["LOC: Rio; PER: Ana"], 100),  # order is none
        ("PER: Ana", ["PER: Ana; LOC: Rio"], 200 / 3),  # precision 1, recall 1/2
        ("PER: Ana Silva", ["PER: Ana"], 0),  # exactly or not at all
        ("LOC: Ana", ["PER: Ana"], 0),
        ("LOC: Rio; LOC: Rio", ["LOC: Rio"], 200 / 3),  # precision 1/2, recall 1
        ("none", ["none"], 100),
        ("", ["none"], 100),
        ("there is no entity", ["none"], 0),  # what has no kind is a wrong entity
        ("PER: Ana", ["none"], 0),
        ("none", ["PER: Ana"], 0),
        ("PER: Ana", ["LOC: Rio", "PER: Ana"], 100),
        ("per: Ana", ["PER: Ana"], 0),
    ],
)
def test_by_hand(output, references, score):
    assert span_f1([output], [references])[0] == pytest.approx(score)
    assert micro_f1([output], [references]) == pytest.approx(score)


@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_against_the_definition_in_other_words(rows):
    """Cross out each entity of the reference once, as conlleval counts correct phrases."""
    correct = guessed = there = 0
    for ours, theirs in rows:
        left = list(theirs)
        for span in ours:
            if span in left:
                left.remove(span)
                correct += 1
        guessed, there = guessed + len(ours), there + len(theirs)
    expected = 200 * correct / (guessed + there) if guessed + there else 100
    outputs, references = ([written(side, "") for side in sides] for sides in zip(*rows, strict=True))
    assert micro_f1(outputs, [[one] for one in references]) == pytest.approx(expected)


def test_bad_input():
    for score in (span_f1, micro_f1):
        with pytest.raises(LingarithError, match="at least one"):
            score([], [])
