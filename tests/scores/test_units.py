"""No unit is less than a letter, whatever the tokenizer: unrelated texts score near 0 in every script."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lingarith.languages.codes import language
from lingarith.model.loading import load
from lingarith.scores.metrics import METRICS
from lingarith.scores.rouge import CallableTokenizer, rouge2
from lingarith.scores.units import Units
from lingarith.text import hub
from tests.scores.scripts import UNRELATED

NEAR_0, OF_LETTERS = 10, 25
"""The most by which unrelated texts may agree: where most pieces are less than a letter, and where a small vocabulary
knows letters and few words."""


@pytest.fixture(scope="module")
def tokenizers() -> Mapping[str, Units]:
    """One for each way not to know a script: bytes beside pieces, pieces of bytes, bytes alone, and "unknown"."""
    from tokenizers import Tokenizer as Rust
    from tokenizers import models, pre_tokenizers, trainers
    from transformers import ByT5Tokenizer

    gpt = Rust(models.BPE())
    gpt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    sentences = [sentence for pair in UNRELATED.values() for sentence in pair]
    trained = trainers.BpeTrainer(vocab_size=800, initial_alphabet=alphabet, show_progress=False)
    gpt.train_from_iterator(sentences, trained)
    bert = Rust(models.WordPiece({"[UNK]": 0, "o": 1, "##s": 2}, unk_token="[UNK]"))
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    unigram = Rust(models.Unigram([("<unk>", 0.0), ("▁", -2.0)], unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    functions = {
        "newsroom": load("newsroom", device="cpu").tokenizer.tokenize,
        "gpt": lambda text: gpt.encode(text).tokens,
        "byt5": ByT5Tokenizer().tokenize,
        "bert": lambda text: bert.encode(text).tokens,
        "unigram": lambda text: unigram.encode(text).tokens,
    }
    return {name: Units(CallableTokenizer(function)) for name, function in functions.items()}


@pytest.mark.parametrize("which", ["newsroom", "gpt", "byt5", "bert", "unigram"])
def test_unrelated_texts_score_near_0_and_equal_ones_100(which: str, tokenizers: Mapping[str, Units]) -> None:
    for script, (one, other) in UNRELATED.items():
        both = METRICS["rouge2"].score([one, other, one, other], [[other], [one], [one], [other]], tokenizers[which])
        less = tokenizers[which].share([one, other])
        assert max(both[:2]) <= (NEAR_0 if less > 0.5 else OF_LETTERS), (script, less, both)
        assert list(both[2:]) == [100, 100], script


def test_every_script_of_mc4_is_there() -> None:
    scripts = {language(code).script for code in hub.languages("mc4") if code != "und"}
    names = {"Armn": "Armenian", "Arab": "Arabic", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari, Hindi"}
    names |= {"Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi"}
    names |= {"Hans": "Han", "Hebr": "Hebrew", "Jpan": "Han and kana", "Khmr": "Khmer", "Knda": "Kannada"}
    names |= {"Kore": "Hangul", "Laoo": "Lao", "Latn": "Latin, Polish", "Mlym": "Malayalam", "Mymr": "Burmese"}
    names |= {"Sinh": "Sinhala", "Taml": "Tamil", "Telu": "Telugu", "Thai": "Thai"}
    assert scripts == names.keys()
    assert set(names.values()) <= UNRELATED.keys()


def test_bytes_alone_would_not_tell(tokenizers: Mapping[str, Units]) -> None:
    """What the scores were: the reason for all this."""
    units = tokenizers["newsroom"]
    one, other = UNRELATED["Georgian"]
    assert rouge2([one], [other], units.tokenizer)[0] > 60
    assert units.share([one, other]) > 0.9


def test_where_nothing_is_less_than_a_letter_all_is_as_it_was(tokenizers: Mapping[str, Units]) -> None:
    units = tokenizers["newsroom"]
    for text in ("O ministro abriu a ponte nova!", "การเปิดสะพาน", "橋は日本の", "మంత్రి సోమవారం", "  "):
        assert units.tokenize(text) == units.tokenizer.tokenize(text)
        assert units.share([text]) == 0
    assert units.share([]) == 0


def test_by_hand(tokenizers: Mapping[str, Units]) -> None:
    # a word of Georgian whole, its comma alone; pieces of the others, as they are in the whole text
    assert tokenizers["newsroom"].tokenize("a ponte ხიდი, nova") == ["▁a", "▁ponte", "ხიდი", ",", "▁nova"]
    # 龘 and 語 are no pieces: they count as characters, and 日本 stays a piece
    assert tokenizers["newsroom"].tokenize("日本龘語") == ["▁日本", "龘", "語"]
    # Khmer is not known: characters with their marks, also beside what is known
    assert tokenizers["newsroom"].tokenize("ស្ពាន ponte") == ["ស្", "ពា", "ន", "▁ponte"]
    assert tokenizers["byt5"].tokenize("uma ponte") == ["uma", "ponte"]
    assert tokenizers["bert"].tokenize("os ponte") == ["o", "##s", "ponte"]
    assert tokenizers["byt5"].tokenize("ཟམ་པ་གསར") == ["ཟམ", "པ", "གསར"]  # syllables of Tibetan
