"""Outputs: in order, as transformers makes them one by one, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.generate import generate, generate_each
from lingarith.model.options import Decoding
from lingarith.vectors.vector import Update

Make = Callable[..., Any]
DECODING = Decoding(max_input=16, max_output=6, generate_batch=4)
INPUTS = [" ".join(f"w{(7 * k + j) % 60}" for j in range(1 + (3 * k) % 8)) for k in range(11)]
FAMILIES = pytest.mark.parametrize("family", ["t5", "umt5", "llama", "qwen3", "gemma3", "bloom", "xglm"])


def one_by_one(on: Backbone, inputs: list[str], beams: int) -> list[str]:
    outputs = []
    for text in inputs:
        ids = torch.tensor([on.tokenizer(text)["input_ids"]])
        made = on.model.generate(  # type: ignore[operator]
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            num_beams=beams,
            max_new_tokens=DECODING.max_output,
            eos_token_id=on.tokenizer.eos_token_id,
            pad_token_id=on.tokenizer.pad_token_id,
        )[0]
        new = made if on.encoder_decoder else made[ids.shape[1] :]
        outputs.append(on.tokenizer.decode(new, skip_special_tokens=True).strip())
    return outputs


@FAMILIES
@pytest.mark.parametrize("beams", [1, 2])
def test_outputs_are_those_of_transformers_in_order(family: str, beams: int, backbone: Make) -> None:
    on = backbone(family)
    outputs = generate(on, INPUTS, replace(DECODING, beams=beams))
    assert outputs == one_by_one(on, INPUTS, beams)
    assert len(set(outputs)) > 5


@pytest.mark.parametrize("family", ["t5", "llama"])
@pytest.mark.parametrize("beams", [1, 2])
def test_neither_batch_nor_repetition_changes_outputs(family: str, beams: int, backbone: Make) -> None:
    on = backbone(family)
    decoding = replace(DECODING, beams=beams)
    first = generate(on, INPUTS, decoding)
    assert generate(on, INPUTS, decoding) == first
    for size in (1, 3, 64):
        assert generate(on, INPUTS, replace(decoding, generate_batch=size)) == first
    assert generate(on, INPUTS[::-1], decoding) == first[::-1]


def test_an_update_changes_outputs_and_goes_away(backbone: Make, update: Make) -> None:
    on = backbone("llama")
    before = generate(on, INPUTS, DECODING)
    with on.using(update(on)):
        assert generate(on, INPUTS, DECODING) != before
    assert generate(on, INPUTS, DECODING) == before


def test_a_checkpoints_sampling_and_penalties_have_no_part(model: Make, tokenizer: Make, backbone: Make) -> None:
    from lingarith.model.loading import wrap

    made = model("llama")
    made.generation_config.update(do_sample=True, temperature=2.0, repetition_penalty=5.0, eos_token_id=[1, 20, 21, 22])
    on = wrap(made, tokenizer("llama"), name="llama")
    assert generate(on, INPUTS, DECODING) == generate(backbone("llama"), INPUTS, DECODING)


def test_outputs_end_at_eos_and_at_the_maximum(backbone: Make) -> None:
    on = backbone("llama")
    outputs = generate(on, INPUTS, replace(DECODING, max_output=3))
    assert max(len(output.split()) for output in outputs) == 3
    on.model.lm_head.weight.data[on.eos] = 0.0
    on.model.model.norm.weight.data.zero_()  # all logits alike: argmax is the first token, padding
    on.model.lm_head.register_forward_hook(lambda _, __, out: out.index_fill(-1, torch.tensor(on.eos), 9.0))
    assert generate(on, INPUTS[:3], DECODING) == ["", "", ""]


def test_long_inputs_are_cut(backbone: Make) -> None:
    on = backbone("llama")
    decoding = replace(DECODING, max_input=4)
    assert generate(on, ["w1 w2 w3 w4 w5"], decoding) == generate(on, ["w1 w2 w3"], DECODING)


def test_progress_and_nothing_to_do(backbone: Make) -> None:
    on = backbone("t5")
    done: list[int] = []
    generate(on, INPUTS, DECODING, watch=done.append)
    assert done == [7, 11]  # of the shorter ones more
    assert generate(on, [], DECODING) == []


def test_an_empty_input_needs_a_frame(backbone: Make) -> None:
    assert len(generate(backbone("llama"), [""], DECODING)) == 1
    bare = replace(backbone("llama"), opening=[])
    with pytest.raises(LingarithError, match="input 2 is empty, so there is nothing to go on from"):
        generate(bare, ["w1", ""], DECODING)


@pytest.mark.parametrize("name", ["beams", "max_input", "max_output", "generate_batch"])
def test_decoding_that_makes_no_sense(name: str) -> None:
    with pytest.raises(LingarithError, match=f"{name}=0 must be at least 1"):
        Decoding(**{name: 0})


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_rows_that_have_ended_leave_the_batch(family: str, backbone: Make) -> None:
    """Where EOS takes the place of a word that comes now and then: fewer rows are computed, outputs stay the same."""
    on = backbone(family)
    longer = replace(DECODING, max_output=12)
    words = [output.split()[2] for output in generate(on, INPUTS, longer)]
    usual = on.tokenizer.convert_tokens_to_ids(max(words, key=words.count))
    head: Any = on.model.get_output_embeddings()  # type: ignore[operator]
    head.weight.data[on.eos] = 1.1 * head.weight.data[usual]
    rows: list[int] = []
    handle = head.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    outputs = generate(on, INPUTS, replace(longer, generate_batch=64))
    handle.remove()
    assert rows[0] == len(INPUTS) > rows[-1]
    assert outputs == [generate(on, [text], longer)[0] for text in INPUTS]


@pytest.mark.parametrize("family", ["t5", "llama"])
@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_update_that_overflows_is_a_sentence_and_no_empty_output(
    backbone: Make, factors: Make, family: str, beams: int, dtype: torch.dtype
) -> None:
    on = backbone(family)
    on.model.to(dtype)
    terms = {path: (term.scaled(1e25),) for path, term in factors(on).items()}
    decoding = Decoding(max_input=8, max_output=4, beams=beams)
    with pytest.raises(LingarithError, match="smaller coefficients"), on.using(Update(terms, "delta")):
        generate(on, ["w1 w2"], decoding)
    if beams == 1:
        with pytest.raises(LingarithError, match="smaller coefficients"):
            list(generate_each(on, [Update(terms, "delta")] * 2, ["w1 w2"], decoding))
    assert generate(on, ["w1 w2"], decoding)  # and the backbone is as it was
