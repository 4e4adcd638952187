"""Bits per byte, against a model whose probabilities are known and against the sum of log-softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from lingarith.model.backbone import Backbone
from lingarith.model.batches import PrefixItems
from lingarith.model.likelihood import bits_per_byte, reference_bits
from lingarith.text.corpora import PlainText
from lingarith.text.labelled import Labelled, TaskExample

TEXT = PlainText("pt", "plain", "text", ("w1 w2 w3 w4 w5 w6 w7", "w8 w9", "w10"), "f" * 64)


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_a_uniform_model_takes_log_vocabulary_for_each_token(family: str, backbone: Callable[..., Backbone]) -> None:
    there = backbone(family)
    with torch.no_grad():
        there.model.get_output_embeddings().weight.zero_()  # all logits are alike
    tokens, size = int(PrefixItems(there, TEXT, 4).chunks.ends[-1]), 20 + 5 + 3
    assert tokens == 9  # a chunk of one token predicts nothing
    assert bits_per_byte(there, TEXT, 4) == pytest.approx(6 * tokens / size, rel=1e-5)  # of 64 words


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_references_are_predicted_behind_their_inputs(family: str, backbone: Callable[..., Backbone]) -> None:
    there = backbone(family)
    texts = [("w1 w2 w3", "w4"), ("w5 w6", "w7 w8 w9 w11")]
    examples = tuple(TaskExample(str(k), read, written, read) for k, (read, written) in enumerate(texts))
    seen: list[int] = []
    found = reference_bits(there, Labelled("t", "pt", "test", "x", examples, "e"), 24, seen.append)
    assert seen == [2]
    for (read, written), bits in zip(texts, found, strict=True):
        [source], [target] = there.encode([read]), there.encode([written])
        source = there.framed(source)
        with torch.no_grad():
            if there.encoder_decoder:
                decoder = torch.tensor([[0, *target[:-1]]])
                logits = there.model(input_ids=torch.tensor([source]), decoder_input_ids=decoder).logits[0]
            else:
                logits = there.model(input_ids=torch.tensor([source + target])).logits[0, len(source) - 1 : -1]
        nats = -logits.log_softmax(-1)[range(len(target)), target].sum().item()
        assert bits == pytest.approx(nats / math.log(2) / len(written.encode()), rel=1e-4)
