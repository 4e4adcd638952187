"""The units that ROUGE counts: pieces of a tokenizer, but nothing less than a letter.

A tokenizer that does not know a script cuts its letters into bytes, or makes "unknown" of its words. Bytes are shared
by any two texts of a script: unrelated sentences of Georgian score 70 by them, and by letters, of which an alphabet has
thirty, some 20. So a word in which a piece is less than a letter counts whole; in scripts that write no spaces between
words its characters count, each with its marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from .rouge import Tokenizer

UNSPACED = {
    "\u0e00-\u0e7f": "การที่เป็นใน", "\u0e80-\u0eff": "ການທີ່ເປັນໃນ", "\u1000-\u109f\uaa60-\uaa7f": "သည်များနှင့်",
    "\u1780-\u17ff": "ការនៅក្នុងនិង", "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff": "的一在人中大上日",
    "\u3040-\u312f": "のにはをたがでと",
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf": "ᥑᦂᨠꪀ", "\u1b00-\u1b7f\ua980-\ua9df": "ᬓꦏ",
}  # fmt: skip
"""Scripts without spaces between words, each with some of its commonest letters: Thai, Lao, Burmese, Khmer, Han, kana,
Tai Le to Tai Viet, Balinese and Javanese."""
ALONE = re.compile(f"[{''.join(UNSPACED)}]")
BETWEEN = re.compile(r"[\s\u0f0b\u0f0c\u1361]+")
"""What stands between words: white space, the dot between Tibetan syllables, Ethiopic's colon."""
BYTE = re.compile("<0x[0-9A-F]{2}>")
UNKNOWN = re.compile(r"<unk>|\[UNK\]")
"""Pieces that are a byte, and those that stand for anything."""
_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = dict(zip(map(chr, _PRINTED), _PRINTED, strict=True)) | {
    chr(256 + n): byte for n, byte in enumerate(sorted({*range(256)} - {*_PRINTED}))
}
"""Letters in which byte-level tokenizers write bytes, GPT-2's and all since."""
PROBE, COMMON = "\u1780", "the of and in"
"""A letter of Khmer, and words that every vocabulary has."""


@dataclass(frozen=True)
class Units:
    """A tokenizer of which no piece is less than a letter."""

    tokenizer: Tokenizer

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text; words in which one is less than a letter as they are, or their characters."""
        pieces = self.tokenizer.tokenize(text)
        if not any(map(self._is_less, pieces)) and not self._unknown.search(text):
            return pieces
        words = filter(None, BETWEEN.split(text))
        return [unit for number, word in enumerate(words) for unit in self._word(word, first=not number)]

    def _word(self, word: str, *, first: bool) -> list[str]:
        pieces = self.tokenizer.tokenize(word if first else f" {word}")
        if self._unknown.search(word):
            return _whole(word)
        if not any(map(self._is_less, pieces)):
            return pieces
        if not ALONE.search(word) or any(UNKNOWN.fullmatch(piece) for piece in pieces):
            return _whole(word)
        # A rare character in a line of Chinese: a word is the whole line here, so its other pieces stay.
        units: list[str] = []
        for less, some in groupby(pieces, self._is_less):
            run = list(some)
            units += _whole(b"".join(map(self._bytes, run)).decode(errors="replace")) if less else run
        return units

    def share(self, texts: Iterable[str]) -> float:
        """The share of the tokenizer's own pieces of some texts that are less than a letter, 0 to 1."""
        less = [self._is_less(piece) for text in texts for piece in self.tokenizer.tokenize(text)]
        return sum(less) / max(1, len(less))

    def _is_less(self, piece: str) -> bool:
        if UNKNOWN.fullmatch(piece) or self._bytes_alone:
            return True
        try:
            self._bytes(piece).decode()
        except UnicodeDecodeError:
            return True
        return False

    def _bytes(self, piece: str) -> bytes:
        """The bytes that a piece stands for."""
        if self._of_bytes:
            return bytes(BYTES.get(letter, ord(letter) % 256) for letter in piece)
        return bytes([int(piece[3:5], 16)]) if BYTE.fullmatch(piece) else piece.encode()

    @cached_property
    def _of_bytes(self) -> bool:
        """Whether pieces are written in the letters of bytes: then those of a letter are its bytes."""
        letters = "".join(self.tokenizer.tokenize(PROBE))
        return bytes(BYTES.get(letter, ord(letter) % 256) for letter in letters).strip() == PROBE.encode()

    @cached_property
    def _bytes_alone(self) -> bool:
        """Whether every piece is one byte, as ByT5 has it."""
        return self._of_bytes and all(len(piece) == 1 for piece in self.tokenizer.tokenize(COMMON))

    @cached_property
    def _unknown(self) -> re.Pattern[str]:
        """The letters of scripts without spaces that the tokenizer does not know: they are cut alike in every text."""
        unknown = "".join(letters for letters, common in UNSPACED.items() if self.share([common]))
        return re.compile(f"[{unknown}]" if unknown else "(?!)")


def _whole(word: str) -> list[str]:
    """A word and its punctuation; of scripts without spaces its characters, each with its marks.

    >>> _whole("\u10ee\u10d8\u10d3\u10d8."), _whole("\u0e17\u0e35\u0e48"), _whole("\u6a4b2\u3064")
    (['ხიდი', '.'], ['ที่'], ['橋', '2', 'つ'])
    """
    units: list[str] = []
    alone = True
    for letter in word:
        kind = unicodedata.category(letter)[0]
        single = ALONE.match(letter) is not None or kind not in "LMN"
        if units and (kind == "M" or not (single or alone)):
            units[-1] += letter
        else:
            units.append(letter)
            alone = single
    return units
