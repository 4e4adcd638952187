"""A backbone so small that the whole method runs on it in seconds, as a folder like a user's; and real data."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

BESIDE = Path(__file__).parents[2] / "shared"
"""Where real data lie unless LINGARITH_REAL_DATA names another folder."""


settings.register_profile("any machine", deadline=None)  # a busy one is slow, and not wrong
settings.load_profile("any machine")
gc.disable()  # while files are imported: almost all that they make stays


def pytest_collection_finish() -> None:
    """Libraries and tests are here, and stay: garbage is not looked for among them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests keep is not put beside the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINGARITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _unsynced() -> Iterator[None]:
    """Files of tests need not outlast a loss of power, and each sync waits; tests of syncing put their own here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """``real_data("data/qa")`` is that file or folder of the real data; the test is skipped where it is not there."""

    def find(name: str) -> Path:
        found = Path(os.environ.get("LINGARITH_REAL_DATA") or BESIDE) / name
        if not found.exists():
            pytest.skip(f"{found} is not here; LINGARITH_REAL_DATA may name the folder of real data")
        return found

    return find


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a T5-like model: two layers, width 16, random weights, a Unigram tokenizer."""
    import math
    from collections import Counter

    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from tokenizers.decoders import Metaspace
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    from lingarith.newsroom.pages import page

    torch.set_num_threads(1)
    # Whole words and letters by how often they occur: tokenizers' own trainer gives other pieces each time.
    text = " ".join(page("pretrain", language, number) for language in ("en", "pt", "uk") for number in range(30))
    words = Counter(f"\u2581{word}" for word in text.split())
    counts = Counter(text.replace(" ", "\u2581")) | Counter(dict(words.most_common(280)))
    scored = sorted(
        ((piece, math.log(n / len(text))) for piece, n in counts.items()), key=lambda one: (-one[1], one[0])
    )
    pieces = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *scored], unk_id=2))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.decoder = Metaspace()
    pieces.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_ff=16, d_kv=8, num_layers=2, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3, generator=generator)
    folder = tmp_path_factory.mktemp("backbone")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
