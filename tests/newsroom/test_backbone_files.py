"""The backbone that ships: its tokenizer is the SentencePiece model beside it."""

from __future__ import annotations

import unicodedata
from importlib import resources
from pathlib import Path

import pytest

from lingarith.newsroom.pages import page
from lingarith.newsroom.writer import LANGUAGES

FOLDER = Path(str(resources.files("lingarith.newsroom") / "backbone"))
pytestmark = pytest.mark.skipif(not (FOLDER / "spiece.model").exists(), reason="the backbone is not made yet")
ODD = ("", " ", "a  b", " a ", "12 345,6 %", "7-1|x", "Ünknown 🙂 ẞ", "पाठ\nनया", "tab\there", "\u200d", "﷽", "e\u0301")


@pytest.fixture(scope="module")
def tokenizers() -> tuple[object, object]:
    from sentencepiece import SentencePieceProcessor
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER), SentencePieceProcessor(model_file=str(FOLDER / "spiece.model"))


@pytest.mark.parametrize("code", [*LANGUAGES, "odd"])
def test_the_tokenizer_is_sentencepiece(code: str, tokenizers: tuple[object, object]) -> None:
    ours, theirs = tokenizers
    texts = ODD if code == "odd" else [page("text", code, number) for number in range(40)]
    for text in texts:
        ids = ours(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        assert ids == theirs.encode(text), text  # type: ignore[attr-defined]
        assert ours(text)["input_ids"] == [*ids, 1]  # type: ignore[operator]


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_is_lost(code: str, tokenizers: tuple[object, object]) -> None:
    """But for what SentencePiece writes otherwise: NFKC, and a space for a zero-width non-joiner."""
    ours, theirs = tokenizers
    for number in range(40):
        text = page("text", code, number)
        again = ours.decode(ours(text)["input_ids"], skip_special_tokens=True)  # type: ignore[attr-defined,operator]
        assert again.strip() == theirs.decode(theirs.encode(text))  # type: ignore[attr-defined]
        assert "⁇" not in again
        assert again.split() == unicodedata.normalize("NFKC", text).replace("\u200c", " ").split()


def test_its_size_and_form() -> None:
    """At most 20 MB, half precision, safetensors alone."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 20e6
    assert not [path for path in FOLDER.iterdir() if path.suffix in (".bin", ".pt", ".pkl", ".py")]
    from safetensors.torch import load_file

    tensors = load_file(FOLDER / "model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.float16"}
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert 3e6 <= sum(tensor.numel() for tensor in tensors.values()) <= 10e6
