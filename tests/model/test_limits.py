"""Backbones whose parts do not go together are refused in a sentence, or handled as transformers does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MBartConfig,
    MBartForConditionalGeneration,
    OPTConfig,
    OPTForCausalLM,
)

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.batches import PrefixItems, collate, task_items
from lingarith.model.generate import generate
from lingarith.model.loading import load, wrap
from lingarith.model.losses import token_losses
from lingarith.model.options import Decoding
from lingarith.text.corpora import PlainText
from lingarith.text.labelled import Labelled, TaskExample

Make = Callable[..., Any]
INPUTS = [" ".join(f"w{(7 * k + j) % 60}" for j in range(1 + (3 * k) % 8)) for k in range(11)]
LONG = " ".join(f"w{k % 60}" for k in range(200))
PAD, EOS, BOS, FORCED = 0, 1, 3, 9
TOKENS: dict[str, Any] = {"vocab_size": 64, "pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": BOS}
BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64, "decoder_start_token_id": EOS,
    "forced_eos_token_id": None, **TOKENS,
}  # fmt: skip


def positioned(family: str) -> Any:
    """A model with a table of 64 positions."""
    torch.manual_seed(0)
    made: Any
    if family == "opt":
        opt: dict[str, Any] = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48, "num_hidden_layers": 2}
        made = OPTForCausalLM(OPTConfig(**opt, num_attention_heads=4, max_position_embeddings=64, **TOKENS))
    elif family == "mbart":
        made = MBartForConditionalGeneration(MBartConfig(**BART))
    else:
        made = BartForConditionalGeneration(BartConfig(**BART))
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3)
    return made


@pytest.fixture
def on(tokenizer: Make) -> Callable[[str], Backbone]:
    """``on("bart")``: such a model as a backbone."""
    return lambda family: wrap(positioned(family), tokenizer("opt" if family == "opt" else "t5"), name=family)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_a_tokenizer_with_more_words_than_rows(family: str, model: Make, tokenizer: Make, tmp_path: Any) -> None:
    words = tokenizer(family)
    words.add_tokens(["ponte"])
    said = r"has a token 'ponte' with the number 64, and the model 64 rows; take the tokenizer that belongs to it"
    with pytest.raises(LingarithError, match=said):
        wrap(model(family), words, name="odd")
    model(family).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(LingarithError, match=said):
        load(str(tmp_path), device="cpu")


def test_special_tokens_that_no_text_is_made_of_need_no_row(model: Make, tokenizer: Make) -> None:
    """Gemma 3 of 1 billion parameters has none for <image_soft_token>; mT5's extra ones may have none."""
    words = tokenizer("llama")
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    made = wrap(model("llama"), words, name="gemma")
    assert generate(made, ["w1 w2"], Decoding(max_input=8, max_output=2))
    with pytest.raises(LingarithError, match="gemma knows no '<image>', which a text holds; take it out"):
        made.encode(["w1", "w1 <image> w2"])
    words.pad_token = "<image>"
    with pytest.raises(LingarithError, match="'<image>' with the number 64"):
        wrap(model("llama"), words, name="gemma")


# ---------------------------------------------------------------- positions


@pytest.mark.parametrize(
    ("family", "decoding", "said"),
    [
        (
            "bart",
            Decoding(max_input=65, max_output=8),
            r"inputs of 65 tokens; choose --max-input ≤ 64",
        ),
        ("mbart", Decoding(max_input=99, max_output=8), r"inputs of 99 tokens; choose --max-input ≤ 64"),
        (
            "bart",
            Decoding(max_input=8, max_output=65),
            r"64 tokens of an output; choose --max-output ≤ 64",
        ),
        ("opt", Decoding(max_input=60, max_output=8), r"no positions for inputs of 60 tokens; choose --max-input ≤ 56"),
        ("opt", Decoding(max_input=8, max_output=64), r"no positions .*; choose another backbone, or shorter outputs"),
    ],
)
def test_more_tokens_than_positions(family: str, decoding: Decoding, said: str, on: Make) -> None:
    with pytest.raises(LingarithError, match=rf"^{family} has .*{said}"):
        generate(on(family), [LONG], decoding)


@pytest.mark.parametrize(
    ("family", "decoding"),
    [("bart", Decoding(max_input=64, max_output=64)), ("opt", Decoding(max_input=56, max_output=8))],
)
@pytest.mark.parametrize("beams", [1, 2])
def test_as_many_tokens_as_positions(family: str, decoding: Decoding, beams: int, on: Make) -> None:
    made = on(family)
    made.model.get_output_embeddings().weight.data[EOS] = 0
    assert generate(made, [LONG], replace(decoding, beams=beams))


@pytest.mark.parametrize("family", ["t5", "llama", "bloom", "xglm"])
def test_without_a_table_any_length_will_do(family: str, backbone: Make) -> None:
    assert generate(backbone(family), [LONG], Decoding(max_input=300, max_output=2))


def test_training_needs_positions_too(on: Make) -> None:
    rows = Labelled("t", "pt", "train", "here", (TaskExample("a", LONG, LONG, LONG),), "f")
    for family, limits in (("bart", (64, 64)), ("opt", (40, 24))):
        items = task_items(on(family), rows, max_input=limits[0], max_target=limits[1])
        token_losses(on(family), collate(on(family), [items.items[0]]))
    with pytest.raises(LingarithError, match="choose --max-target ≤ 64"):
        task_items(on("bart"), rows, max_input=64, max_target=65)
    with pytest.raises(LingarithError, match="choose --max-input ≤ 40"):
        task_items(on("opt"), rows, max_input=41, max_target=24)


@pytest.mark.parametrize(("family", "room"), [("bart", 64), ("opt", 62)])
def test_chunks_of_plain_text_need_positions_too(family: str, room: int, on: Make) -> None:
    made, text = on(family), PlainText("pt", "here", "text", (LONG,), "f")
    items = PrefixItems(made, text, room)
    seen = [items.item(0, 0, draw) for draw in range(200)]
    longest = max(seen, key=lambda item: len(item[0])), max(seen, key=lambda item: len(item[1]))
    for item in longest:
        token_losses(made, collate(made, [item]))
    with pytest.raises(LingarithError, match=rf"choose --max-input ≤ {room}"):
        len(PrefixItems(made, text, room + 1))


# ---------------------------------------------------------------- forced first tokens


@pytest.mark.parametrize("family", ["bart", "mbart"])
@pytest.mark.parametrize("beams", [1, 2])
def test_outputs_begin_as_transformers_has_them_begin(family: str, beams: int, tokenizer: Make) -> None:
    model = positioned(family)
    model.generation_config.update(forced_bos_token_id=FORCED, num_beams=beams, forced_eos_token_id=None)
    words = tokenizer("t5")
    expected = []
    for text in INPUTS:
        ids = torch.tensor([words(text)["input_ids"]])
        made = model.eval().generate(ids, do_sample=False, max_new_tokens=6, pad_token_id=PAD, eos_token_id=EOS)[0]
        expected.append(words.decode(made, skip_special_tokens=True).strip())
    made = wrap(model, words, name=family)
    assert generate(made, INPUTS, Decoding(beams=beams, max_input=16, max_output=6, generate_batch=4)) == expected
    assert all(output.startswith(f"w{FORCED - 4}") for output in expected)


def test_it_is_taught_and_counts_as_another_backbone(tokenizer: Make) -> None:
    model = positioned("bart")
    plain = wrap(model, tokenizer("t5"), name="bart")
    model.generation_config.forced_bos_token_id = FORCED
    forced = wrap(model, tokenizer("t5"), name="bart")
    assert (list(plain.beginning), list(forced.beginning)) == ([], [FORCED])
    assert plain.fingerprint != forced.fingerprint
    rows = Labelled("t", "pt", "train", "here", (TaskExample("a", "w1 w2", "w3 w4 w5 w6", "w1"),), "f")
    assert task_items(forced, rows, max_input=9, max_target=4).items[0][1] == [FORCED, 7, 8, EOS]
    chunk = PrefixItems(forced, PlainText("pt", "here", "text", ("w1 w2",), "f"), 9)
    assert chunk.item(0, 0, 0) == ([5, EOS], [FORCED, 6, EOS])


def test_a_decoder_only_model_is_forced_to_nothing(model: Make, tokenizer: Make) -> None:
    made = model("llama")
    made.generation_config.forced_bos_token_id = BOS
    assert list(wrap(made, tokenizer("llama"), name="llama").beginning) == []
