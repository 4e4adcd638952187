"""Inputs that are too long: texts lose their ends, prompts nothing; what fits is as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.batches import task_items
from lingarith.model.generate import generate
from lingarith.model.inputs import cut_within, framed_inputs
from lingarith.model.loading import load
from lingarith.model.options import Decoding
from lingarith.text.labelled import Asked, Labelled, TaskExample, filled
from lingarith.text.tasks import TASKS

Make = Callable[..., Any]
ARTICLE = "Uma ponte nova foi aberta ontem no norte. O ministro falou. " * 30
CUES = ["{text}\nResumo:", "Leia: {text} Agora resuma.", "Leia isto.\n{text}\n\nResumo curto em português:\n"]


@pytest.fixture(scope="module")
def newsroom() -> Backbone:
    return load(device="cpu")


def words(*numbers: int) -> str:
    return " ".join(f"w{k}" for k in numbers)


def data(asked: Sequence[Asked]) -> Labelled:
    rows = tuple(TaskExample(str(k), one.text, "w1", one.text, (), one.slots) for k, one in enumerate(asked))
    return Labelled("t", "pt", "train", "here", rows, str(hash(tuple(asked))))


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_the_words_of_the_prompt_stay(family: str, backbone: Make) -> None:
    """By hand: the text of 20 words is cut to what is left of 12 tokens, wherever it stands."""
    on, text = backbone(family), words(*range(20))
    token = on.tokenizer.convert_tokens_to_ids
    for prompt, before, behind in (("w50 w51 {text}", 2, 0), ("{text} w50 w51", 0, 2), ("w50 {text} w51", 1, 1)):
        [ids] = framed_inputs(on, [filled(prompt, {"text": text})], 12)
        cues = [token("w50"), token("w51")]
        left = [token(f"w{k}") for k in range(12 - 1 - 2)]  # a token stands around it, two are the prompt's
        assert ids == on.framed([*cues[:before], *left, *(cues[-behind:] if behind else [])])


@pytest.mark.parametrize("prompt", CUES)
def test_a_cue_behind_the_article_is_read(prompt: str, newsroom: Backbone) -> None:
    first, last = prompt.split("{text}")
    [ids] = framed_inputs(newsroom, [filled(prompt, {"text": ARTICLE})], 64)
    said = str(newsroom.tokenizer.decode(ids, skip_special_tokens=True))
    assert len(ids) == 64
    assert said.startswith(first.strip())
    assert " ".join(said.split()).endswith(" ".join(last.split()))


@pytest.mark.parametrize("task", ["summaries", "topics", "entities", "translations"])
@pytest.mark.parametrize("length", [24, 64, 200, 512, 5000])
def test_an_article_that_stands_last_is_cut_as_by_its_end(task: str, length: int, newsroom: Backbone) -> None:
    for text in (
        ARTICLE,
        "Tiếng Việt rất đẹp. " * 90,
        "სტუდენტები სკოლაში წიგნებს კითხულობენ. " * 20,
        "短い文。" * 200,
    ):
        asked = TASKS[task].asked("pt", {"text": text.strip()})
        [ids] = newsroom.encode([asked.text])
        assert framed_inputs(newsroom, [asked], length) == [newsroom.framed(ids[: length - 1])]
        assert not cut_within(newsroom, data([asked]), length)


@pytest.mark.parametrize("task", ["summaries", "topics"])
def test_down_to_one_token_of_the_article(task: str, newsroom: Backbone) -> None:
    asked = TASKS[task].asked("pt", {"text": ARTICLE.strip()})
    [ids] = newsroom.encode([asked.text])
    prompt = len(newsroom.encode([TASKS[task].prompt.removesuffix(" {text}")])[0])
    for length in range(prompt + 2, prompt + 20):
        assert framed_inputs(newsroom, [asked], length) == [newsroom.framed(ids[: length - 1])]
    with pytest.raises(LingarithError, match="leave no room"):
        framed_inputs(newsroom, [asked], prompt + 1)


@given(st.lists(st.integers(0, 59), max_size=9), st.lists(st.integers(0, 59), max_size=9), st.integers(5, 24))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_longest_text_gives_way(backbone: Make, one: list[int], two: list[int], longest: int) -> None:
    on = backbone("llama")
    asked = filled("w57 {a} w58 {b} w59", {"a": words(*one), "b": words(*two)})
    room = longest - 1 - 3  # a token before it, three words of the prompt
    [ids] = framed_inputs(on, [asked], longest)
    excess = max(0, len(one) + len(two) - room)
    left = [len(one), len(two)]
    for which in (0, 1) if len(one) > len(two) else (1, 0):
        gone = min(excess, left[which])
        left[which], excess = left[which] - gone, excess - gone
    expected = words(57, *one[: left[0]], 58, *two[: left[1]], 59).split()
    assert ids == on.framed(list(map(on.tokenizer.convert_tokens_to_ids, expected)))


def test_a_question_is_kept_and_its_passage_cut(newsroom: Backbone) -> None:
    asked = TASKS["questions"].asked("pt", {"question": "Quem falou ontem?", "context": ARTICLE})
    [ids] = framed_inputs(newsroom, [asked], 48)
    assert ids == newsroom.framed(newsroom.encode([asked.text])[0][:47])
    turned = filled("{context}\n{question}", {"question": "Quem falou ontem?", "context": ARTICLE})
    [ids] = framed_inputs(newsroom, [turned], 48)
    said = str(newsroom.tokenizer.decode(ids, skip_special_tokens=True))
    assert said.endswith("Quem falou ontem?")
    assert said.startswith("Uma ponte nova")


def test_what_introduced_a_passage_goes_with_it(newsroom: Backbone) -> None:
    """Where not even the question fits, there is nothing behind ``context:``: the end is cut."""
    asked = TASKS["questions"].asked("pt", {"question": "Qual era a acusação contra Nádia?", "context": ARTICLE})
    [ids] = newsroom.encode([asked.text])
    for length in (16, 24, 32, 40):
        assert framed_inputs(newsroom, [asked], length) == [newsroom.framed(ids[: length - 1])]
        assert not cut_within(newsroom, data([asked]), length)


def test_what_fits_is_as_it_was(newsroom: Backbone) -> None:
    asked = [filled(prompt, {"text": "Uma ponte nova. Tiếng Việt."}) for prompt in CUES]
    encoded = [newsroom.framed(ids) for ids in newsroom.encode([one.text for one in asked])]
    for length in (max(map(len, encoded)), 512):
        assert framed_inputs(newsroom, asked, length) == encoded
        assert not cut_within(newsroom, data(asked), length)
    assert cut_within(newsroom, data(asked), min(map(len, encoded)) - 1)


def test_a_prompt_that_leaves_no_room_is_refused(backbone: Make) -> None:
    on = backbone("llama")
    asked = filled("w1 w2 {text} w3", {"text": words(*range(9))})
    assert len(framed_inputs(on, [asked], 5)[0]) == 5
    with pytest.raises(LingarithError, match=r"3 tokens of an input \(--max-input, .* leave no room for a text beside"):
        framed_inputs(on, [asked], 4)


def test_without_slots_the_end_is_cut(backbone: Make) -> None:
    on = backbone("t5")
    assert framed_inputs(on, ["w0 w1 w2", Asked("w0 w1 w2")], 3) == [[4, 5, 1]] * 2


def test_a_token_that_the_prompt_shares_is_the_prompts(backbone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As byte pairs have one for a stop and the line break behind it."""
    on = backbone("llama")
    asked = filled("{text}\n w9", {"text": "w1 w2 w3 w4."})
    places = {"input_ids": [5, 6, 7, 8, 13], "offset_mapping": [(0, 2), (3, 5), (6, 8), (9, 13), (14, 16)]}
    monkeypatch.setattr(type(on.tokenizer), "__call__", lambda *_, **__: places)
    monkeypatch.setattr(type(on), "encode", lambda *_: [places["input_ids"]])
    assert framed_inputs(on, [asked], 4) == [[3, 5, 8, 13]]


def test_a_tokenizer_that_tells_no_places(backbone: Make) -> None:
    """ByT5's: a byte is a token, and there are no offsets."""
    from transformers import ByT5Tokenizer

    on = replace(backbone("t5", vocab_size=400), tokenizer=ByT5Tokenizer())
    assert not on.tokenizer.is_fast
    for prompt in ("{text} fim", "ler: {text}", "ler: {text} fim"):
        asked = filled(prompt, {"text": "abcdefghij"})
        [ids] = framed_inputs(on, [asked], 15 - 1 - 1)
        rest = len(asked.text) - 10
        assert on.tokenizer.decode(ids, skip_special_tokens=True) == prompt.replace("{text}", "abcdefghij"[: 12 - rest])


def test_training_and_generation_cut_alike(backbone: Make) -> None:
    on = backbone("llama")
    asked = filled("{text} w50 w51", {"text": words(*range(20))})
    short = filled("{text} w50 w51", {"text": words(*range(9))})
    items = task_items(on, data([asked, short]), max_input=12, max_target=4)
    assert items.items[0] == items.items[1]
    decoding = Decoding(max_input=12, max_output=6)
    first, second = generate(on, [asked, short], decoding)
    assert first == second == generate(on, [short.text], Decoding(max_input=99, max_output=6))[0]
