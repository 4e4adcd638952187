from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lingarith.errors import LingarithError
from lingarith.model.vocabulary import backend, cut, needed, parts, trimmed, used

TEXTS = [
    "the cat sat on the mat and the rat sat on the cat", "o gato e o rato", "a theatre at the station", "abababab aab",
    "nothing that matters", "os ratos e os gatos são gatunos", "é ẹ̀kọ́",
]  # fmt: skip


def bpe() -> Tokenizer:
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=["<pad>", "<unk>", "<s>", "<turn>", "<unused>"], show_progress=False,
        initial_alphabet=[],
    )  # fmt: skip
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    return made


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<pad>", "<unk>", "<s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(TEXTS * 3, trainer)
    return made


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=["<pad>", "<unk>", "<s>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    return made


KINDS = {"bpe": bpe(), "byte_level": byte_level(), "unigram": unigram()}


def fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        chat_template="{{ '<turn>' }}",
    )  # fmt: skip


def smaller(kind: str, texts: list[str]) -> tuple[PreTrainedTokenizerFast, Tokenizer, list[int]]:
    whole = fast(KINDS[kind])
    made = backend(whole, kind)
    keep = needed(made, whole, used(whole, texts, lambda read: None))
    return whole, Tokenizer.from_str(json.dumps(trimmed(made, keep))), keep


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(
    text=st.text(alphabet="aehnortsbcgmi ", max_size=40),
    taken=st.lists(st.sampled_from(TEXTS), max_size=3, unique=True),
)
def test_texts_that_were_counted_are_cut_as_before(kind: str, text: str, taken: list[str]) -> None:
    whole, less, keep = smaller(kind, [text, *taken])
    for one in (text, *taken):
        [before] = cut(whole, [one])
        assert [keep[token] for token in less.encode(one, add_special_tokens=False).ids] == before


def test_a_piece_that_may_be_built_in_several_ways() -> None:
    """The tree counts that the merges build, not any split into pieces."""
    ranks: dict[Any, int] = {("a", "b"): 0, ("b", "c"): 1, ("a", "bc"): 2, ("ab", "c"): 3}
    assert sorted(parts("abc", ranks)) == ["a", "ab", "abc", "b", "c"]
    assert list(parts("<s>", ranks)) == ["<", "s", ">"]


def test_bytes_special_tokens_and_turns_stay() -> None:
    whole, less, _ = smaller("bpe", ["cat"])
    assert {"<pad>", "<unk>", "<s>", "<turn>", "cat"} <= set(less.get_vocab())
    assert "<unused>" not in less.get_vocab()
    assert less.encode("cat").ids[0] == less.token_to_id("<s>")
    assert less.get_vocab_size() < whole.vocab_size
    _, spelt, _ = smaller("byte_level", ["cat"])
    assert spelt.decode(spelt.encode("ẹ̀kọ́ 🧉").ids) == "ẹ̀kọ́ 🧉"


def test_what_cannot_be_trimmed() -> None:
    words = fast(Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "<s>": 2}, unk_token="<unk>")))
    with pytest.raises(LingarithError, match="a vocabulary of the kind WordLevel cannot be trimmed; BPE and Unigram"):
        needed(backend(words, "words"), words, [])
