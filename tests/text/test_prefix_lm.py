import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.prefix_lm import NO_LOSS, chunks, decoder_only, encoder_decoder, prefix_lm, split_position

TOKENS = st.lists(st.integers(2, 99), min_size=2, max_size=30)


@given(TOKENS, st.randoms(use_true_random=False))
def test_nothing_is_lost_and_both_kinds_of_backbone_learn_the_same_target(ids: list[int], rng: random.Random) -> None:
    prefix, target = prefix_lm(ids, split_position(len(ids), rng), eos=1)
    assert prefix
    assert len(target) > 1
    assert prefix + target == [*ids, 1]
    assert encoder_decoder(prefix, target) == (prefix, target)
    sequence, labels = decoder_only(prefix, target)
    assert sequence == [*ids, 1]
    assert [token for token in labels if token != NO_LOSS] == target
    assert labels[: len(prefix)] == [NO_LOSS] * len(prefix)


@pytest.mark.parametrize("split", [-1, 0, 3, 4])
def test_a_split_leaves_something_on_both_sides(split: int) -> None:
    with pytest.raises(ValueError, match=r"outside \[1, 2\]"):
        prefix_lm([5, 6, 7], split, eos=1)


@pytest.mark.parametrize("rng", [random.Random(0), np.random.default_rng(0)])
def test_split_is_uniform(rng: random.Random | np.random.Generator) -> None:
    counts = Counter(split_position(5, rng) for _ in range(4000))
    assert set(counts) == {1, 2, 3, 4}
    # Chi-squared with 3 degrees of freedom exceeds 16.3 once in a thousand.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 16.3
    assert split_position(2, rng) == 1
    with pytest.raises(ValueError, match="no place"):
        split_position(1, rng)


@given(st.lists(st.lists(st.integers(0, 9), max_size=20)), st.integers(2, 7))
def test_chunks_keep_documents_apart(documents: list[list[int]], length: int) -> None:
    cut = chunks(documents, length)
    assert all(2 <= len(chunk) <= length for chunk in cut)
    lost = sum(len(document) % length == 1 for document in documents)
    assert sum(map(len, cut)) == sum(map(len, documents)) - lost
    assert cut == [chunk for document in documents for chunk in chunks([document], length)]


def test_chunks_by_hand() -> None:
    assert chunks([[1, 2, 3, 4], [5], [], [6, 7, 8]], 3) == [[1, 2, 3], [6, 7, 8]]
    with pytest.raises(LingarithError, match="length of 2 or more"):
        chunks([[1, 2]], 1)
