"""Backbones of two layers in memory, one of each family, and tokenizers of 60 words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.model.backbone import Backbone
from lingarith.model.loading import wrap
from lingarith.vectors.vector import Update

PAD, EOS, BOS = 0, 1, 3
WORDS = 60
TOKENS = {"vocab_size": 4 + WORDS, "pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": BOS}
WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, **TOKENS}
GROUPED = {**WIDE, "num_key_value_heads": 2}
T5 = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": PAD, **TOKENS}
XGLM = {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4, "max_position_embeddings": 64, **TOKENS}
SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "t5": ("T5Config", "T5ForConditionalGeneration", T5),
    "mt5": ("MT5Config", "MT5ForConditionalGeneration", T5),
    "umt5": ("UMT5Config", "UMT5ForConditionalGeneration", T5),
    "llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", {**GROUPED, "head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", {**GROUPED, "head_dim": 8}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", GROUPED),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**GROUPED, "head_dim": 8}),
    "mistral": ("MistralConfig", "MistralForCausalLM", GROUPED),
    "bloom": ("BloomConfig", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4, **TOKENS}),
    "xglm": ("XGLMConfig", "XGLMForCausalLM", XGLM),
}


def a_model(family: str, **settings: Any) -> Any:
    """A model with weights large enough that attention is not uniform and outputs differ."""
    config, kind, usual = SETTINGS[family]
    made = getattr(transformers, kind)(getattr(transformers, config)(**{**usual, **settings}))
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3, generator=generator)
    return made


def a_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Words w0 … w59; ``<s> text`` for decoder-only families, ``text </s>`` for T5's."""
    names = ["<pad>", "</s>", "<unk>", "<s>", *(f"w{k}" for k in range(WORDS))]
    words = Tokenizer(models.WordLevel({name: k for k, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    frame = "$A </s>" if "t5" in family else "<s> $A"
    words.post_processor = processors.TemplateProcessing(single=frame, special_tokens=[("<s>", BOS), ("</s>", EOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small models are fastest so, and reproducible."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model() -> Callable[..., Any]:
    """``model("llama", num_hidden_layers=3)``: a transformers model of a family."""
    return a_model


@pytest.fixture
def tokenizer() -> Callable[[str], PreTrainedTokenizerFast]:
    """``tokenizer("llama")``."""
    return a_tokenizer


@pytest.fixture
def backbone() -> Callable[..., Backbone]:
    """``backbone("llama")``: model and tokenizer as a Backbone."""
    return lambda family, **settings: wrap(a_model(family, **settings), a_tokenizer(family), name=family)


@pytest.fixture
def factors() -> Callable[..., dict[str, LoraTerm]]:
    """``factors(backbone)``: random factors for every projection, neither of them 0."""

    def make(on: Backbone, rank: int = 2, seed: int = 0) -> dict[str, LoraTerm]:
        generator = torch.Generator().manual_seed(seed)
        start = Lora(rank).init(on.shapes, seed)
        return {path: LoraTerm(a, 0.3 * torch.randn(b.shape, generator=generator)) for path, (a, b) in start.items()}

    return make


@pytest.fixture
def update(factors: Callable[..., dict[str, LoraTerm]]) -> Callable[..., Update]:
    """``update(backbone)``: an update of two terms on every projection."""

    def make(on: Backbone) -> Update:
        one, two = factors(on, 2, 1), factors(on, 3, 2)
        return Update({path: (one[path], two[path]) for path in one}, "delta")

    return make
