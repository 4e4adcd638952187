"""Inputs as token numbers: where one is too long, its texts are cut, and the words of the prompt never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from ..errors import LingarithError
from ..text.labelled import Asked, Labelled
from .backbone import Backbone

Span = tuple[int, int]
"""Where a text stands, from and to."""
_within: WeakKeyDictionary[nn.Module, dict[tuple[str, int], bool]] = WeakKeyDictionary()
"""What :func:`cut_within` found, by the fingerprint of the data and the length."""


def framed_inputs(backbone: Backbone, inputs: Sequence[str | Asked], longest: int) -> list[list[int]]:
    """The tokens of each input with what stands around it, cut to ``longest`` in all.

    The longest text loses its end, and the next one only when nothing is left of that; then the words between them
    that introduced a text at the very end go with it. An input without slots is a text itself. What fits is as it was.
    Raises :class:`LingarithError` where the prompt leaves no room for a text.
    """
    asked = [Asked(one) if isinstance(one, str) else one for one in inputs]
    room = _room(backbone, longest)
    encoded = backbone.encode([one.text for one in asked])
    return [
        backbone.framed(ids if len(ids) <= room else _cut(backbone, one, ids, room))
        for one, ids in zip(asked, encoded, strict=True)
    ]


def cut_within(backbone: Backbone, data: Labelled, longest: int) -> bool:
    """Whether an input loses tokens elsewhere than at its end, so that what was made before it was so is not the same.

    Most data can be told by their prompt; the others are tokenised, once for each backbone.
    """
    asked = [one.asked for one in data.examples if not one.asked.text_last]
    if not asked:
        return False
    known, key = _within.setdefault(backbone.model, {}), (data.fingerprint, longest)
    if key not in known:
        room, encoded = _room(backbone, longest), backbone.encode([one.text for one in asked])
        long = ((one, ids) for one, ids in zip(asked, encoded, strict=True) if len(ids) > room)
        known[key] = any(_cut(backbone, one, ids, room) != ids[:room] for one, ids in long)
    return known[key]


def _room(backbone: Backbone, longest: int) -> int:
    return max(1, longest - len(backbone.opening) - len(backbone.closing))


def _cut(backbone: Backbone, asked: Asked, ids: list[int], room: int) -> list[int]:
    """``room`` of the tokens of an input that has more."""
    if not asked.slots:
        return ids[:room]
    spans = _spans(backbone.tokenizer, asked, len(ids))
    longest_first = sorted(spans, key=lambda span: (span[0] - span[1], -span[0]))  # of two as long the later one
    excess, gone = len(ids) - room, set[int]()
    if longest_first[0][1] == len(ids):  # it is at the end that is cut, and when it is gone so is what introduced it
        gone.update(range(room, len(ids)))
    else:
        for start, end in longest_first:
            last = max(start, end - excess)
            gone.update(range(last, end))
            excess -= end - last
    kept = [place for place in range(len(ids)) if place not in gone]
    if len(kept) > room or not any(start <= place < end for start, end in spans for place in kept):
        raise LingarithError(
            f"{room} tokens of an input (--max-input, without what stands around it) leave no room for a text beside "
            f"the prompt's own words in {asked.text[:40]!r} …; choose more, or a shorter prompt"
        )
    return [ids[place] for place in kept]


def _spans(tokenizer: Any, asked: Asked, count: int) -> list[Span]:
    """Which of the ``count`` tokens of an input are its texts' alone, by slot."""
    text = asked.text
    if not tokenizer.is_fast:  # such tell no places, so the tokens before and behind are counted
        before, behind = (
            [len(ids) for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]]
            for some in ([text[:start] for start, _ in asked.slots], [text[end:] for _, end in asked.slots])
        )
        return [(start, max(start, count - rest)) for start, rest in zip(before, behind, strict=True)]
    offsets = tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)["offset_mapping"]
    spans = []
    for start, end in asked.slots:
        # A token that takes something of the prompt with it (a line break after the text's last stop) is the prompt's,
        # but a word with the space before it is the text's.
        inside = [
            k
            for k, (a, b) in enumerate(offsets)
            if (start <= a or (start < b and text[a:start].isspace())) and b <= end and (a < end or end == len(text))
        ]
        spans.append((inside[0], inside[-1] + 1) if inside else (0, 0))
    return spans
