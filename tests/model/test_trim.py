from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.loading import load, wrap
from lingarith.model.trim import Trimmed, trim
from lingarith.vectors.vector import Update
from tests.model.test_vocabulary import KINDS, fast


@pytest.fixture
def spelt(model: Callable[..., Any]) -> Callable[..., Backbone]:
    """``spelt("llama", "bpe")``: a backbone with a vocabulary of that kind."""

    def make(family: str, kind: str = "bpe", **settings: Any) -> Backbone:
        tokenizer = fast(KINDS[kind])
        sizes = {"vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 0}
        tokenizer.eos_token = "<s>"
        return wrap(model(family, **sizes, **settings), tokenizer, name=family, made={"base": "some/base"})

    return make


def logits(backbone: Backbone, text: str) -> torch.Tensor:
    ids = torch.tensor([backbone.encode([text])[0]])
    decoder = {"decoder_input_ids": ids} if backbone.encoder_decoder else {}
    return backbone.model(input_ids=ids, **decoder).logits[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("family", "kind", "tied"),
    [("llama", "bpe", False), ("gemma3", "bpe", True), ("qwen3", "byte_level", True), ("mt5", "unigram", False)],
)
def test_a_text_of_kept_pieces_has_the_same_numbers(
    family: str,
    kind: str,
    tied: bool,
    spelt: Callable[..., Backbone],
    update: Callable[[Backbone], Update],
    tmp_path: Path,
) -> None:
    """With a vector on it, as without."""
    whole = spelt(family, kind, tie_word_embeddings=tied)
    change = update(whole)
    with whole.using(change):
        before = {text: logits(whole, text) for text in ("the cat sat", "the mat")}
    tokens = {text: whole.tokenizer.convert_ids_to_tokens(whole.encode([text])[0]) for text in before}
    vocabulary = whole.tokenizer.get_vocab()
    result = trim(whole, lambda: before, tmp_path / "out")
    less = load(str(tmp_path / "out"), device="cpu")
    assert (result.otherwise, result.texts) == (0, 2)
    assert result.pieces == len(less.tokenizer) < result.of == len(vocabulary)
    assert sum(part.numel() for part in less.model.parameters()) == result.parameters < result.before
    for text, wanted in before.items():
        assert less.tokenizer.convert_ids_to_tokens(less.encode([text])[0]) == tokens[text]
        kept = [vocabulary[piece] for piece in sorted(less.tokenizer.get_vocab(), key=less.tokenizer.get_vocab().get)]
        with less.using(change):
            assert torch.equal(logits(less, text), wanted[:, kept])
    assert less.made["base"] == "some/base"
    assert less.made["trimmed"]["whole"] == family
    assert less.fingerprint != whole.fingerprint
    assert less.eos == less.tokenizer.get_vocab()["<s>"] == less.model.config.eos_token_id


def test_what_it_cannot_spell_is_refused(spelt: Callable[..., Backbone], tmp_path: Path) -> None:
    trim(spelt("llama", "unigram"), lambda: ["the cat"], tmp_path / "out")
    less = load(str(tmp_path / "out"), device="cpu")
    assert less.encode(["a teach"])
    with pytest.raises(
        LingarithError, match="cannot spell 'gatunos'…; trim the backbone again with such texts, or use"
    ):
        less.encode(["the cat", "gatunos"])


def test_bad_input(spelt: Callable[..., Backbone], tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match="the texts hold nothing, so no piece would be left; give texts"):
        trim(spelt("llama"), lambda: [""], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(
        LingarithError, match=r"holds mine\.txt, which was not written here; name another folder or move"
    ):
        trim(spelt("llama"), lambda: ["the cat"], tmp_path / "out")


def test_a_table_beside_the_embeddings(spelt: Callable[..., Backbone], tmp_path: Path) -> None:
    backbone = spelt("llama")
    size = backbone.model.config.vocab_size
    backbone.model.register_parameter("bias_by_token", torch.nn.Parameter(torch.zeros(size)))
    with pytest.raises(LingarithError, match="has another table by token, bias_by_token, so it cannot be trimmed; use"):
        trim(backbone, lambda: ["the cat"], tmp_path / "out")


def test_again_into_its_own_folder(spelt: Callable[..., Backbone], tmp_path: Path) -> None:
    """The same is not written twice, and another one does not take its place: vectors may have been trained on it."""
    out, texts = tmp_path / "out", ["the cat", "o gato"]
    first = trim(spelt("llama"), lambda: texts, out)
    stamp = (out / "model.safetensors").stat().st_mtime_ns
    assert trim(spelt("llama"), lambda: texts, out) == first
    other = "was trimmed to other texts, or from another one, and vectors may have been trained on it; give another"
    for backbone in (spelt("llama"), load(str(out), device="cpu")):
        with pytest.raises(LingarithError, match=other):
            trim(backbone, lambda: ["the cat"], out)
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    for name, content in (("tokenizer.json", b"\xff"), ("backbone.json", b'{"trimmed": 3}')):
        kept = (out / name).read_bytes()
        (out / name).write_bytes(content)
        with pytest.raises(LingarithError, match=other):
            trim(spelt("llama"), lambda: texts, out)
        (out / name).write_bytes(kept)
    second = trim(load(str(out), device="cpu"), lambda: ["the cat"], tmp_path / "less")
    assert second.of == first.pieces > second.pieces
    facts = json.loads((tmp_path / "less" / "backbone.json").read_text())["trimmed"]
    assert Trimmed(*(facts[key] for key in Trimmed.__annotations__)) == second
