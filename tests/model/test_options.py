"""Options are read by whoever makes flags and documents of them: each key has a type and a sentence."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from lingarith.model.options import Decoding, TrainOptions
from lingarith.study.study import GROUPS, keys_of


@pytest.mark.parametrize("group", GROUPS)
def test_each_key_has_a_sentence(group: str) -> None:
    for key, hint in keys_of(GROUPS[group]).items():
        _, sentence = get_args(hint)
        assert sentence.endswith("."), key
        assert "\n" not in sentence, key


def test_keys_of_both_mean_one_thing() -> None:
    both = {field.name for field in fields(TrainOptions)} & {field.name for field in fields(Decoding)}
    assert both == {"max_input"}
