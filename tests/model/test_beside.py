"""Updates side by side: each row gets its own, and outputs are those of one update after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import torch

from lingarith.adapters.dense import DenseTerm
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import LoraTerm
from lingarith.errors import LingarithError
from lingarith.model import beside
from lingarith.model.backbone import Backbone
from lingarith.model.beside import groups
from lingarith.model.generate import generate, generate_each
from lingarith.model.options import Decoding
from lingarith.vectors.vector import Update

Make = Callable[..., Any]
DECODING = Decoding(max_input=16, max_output=6, generate_batch=4)
INPUTS = [" ".join(f"w{(7 * k + j) % 60}" for j in range(1 + (3 * k) % 8)) for k in range(7)]


def one_after_another(on: Backbone, updates: list[Update | None], decoding: Decoding) -> list[list[str]]:
    outputs = []
    for update in updates:
        with on.using(update):
            outputs.append(generate(on, INPUTS, decoding))
    return outputs


@pytest.fixture
def updates(factors: Make, update: Make) -> Callable[[Backbone], list[Update | None]]:
    """LoRA of several ranks, a sum of two, none at all, and Kronecker products."""

    def make(on: Backbone) -> list[Update | None]:
        low = [
            Update({p: (t.scaled(4),) for p, t in factors(on, rank, seed=rank).items()}, "delta") for rank in (1, 2, 4)
        ]
        generator = torch.Generator().manual_seed(0)
        products = {
            path: (term._replace(b=torch.randn(term.b.shape, generator=generator) / 3),)
            for path, term in Kronecker(4, 4).init(on.shapes, 0).items()
        }
        return [low[0], update(on), None, low[1], low[2], Update(products, "delta"), low[0]]

    return make


@pytest.mark.parametrize("family", ["t5", "umt5", "llama", "gemma2", "qwen3", "mistral", "bloom", "xglm"])
@pytest.mark.parametrize("beams", [1, 2])
def test_outputs_are_those_of_one_after_another(family: str, beams: int, backbone: Make, updates: Make) -> None:
    on, decoding = backbone(family), replace(DECODING, beams=beams)
    made = updates(on)
    expected = one_after_another(on, made, decoding)
    assert list(generate_each(on, made, INPUTS, decoding)) == expected
    assert expected[0] == expected[-1]
    assert len(set(map(tuple, expected))) >= 5
    assert generate(on, INPUTS, decoding) == expected[2]  # the backbone is as before


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_rows_that_end_leave_their_neighbours_what_is_theirs(family: str, backbone: Make, updates: Make) -> None:
    on, longer = backbone(family), replace(DECODING, max_output=12, generate_batch=64)
    made = [one for one in updates(on) if one is not None]
    words = [word for some in one_after_another(on, made, longer) for output in some for word in output.split()[2:3]]
    usual = on.tokenizer.convert_tokens_to_ids(max(words, key=words.count))
    head: Any = on.model.get_output_embeddings()  # type: ignore[operator]
    head.weight.data[on.eos] = 1.1 * head.weight.data[usual]
    expected = one_after_another(on, made, longer)
    assert len({len(output.split()) for some in expected for output in some}) > 2
    assert list(generate_each(on, made, INPUTS, longer)) == expected


def test_who_stands_beside_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "AT_ONCE", 3)
    low = [Update({"q": (LoraTerm(torch.ones(1, 2), torch.ones(2, 1)),)}, "delta") for _ in range(5)]
    dense = Update({"q": (*low[0].terms["q"], DenseTerm(torch.eye(2)))}, "delta")
    more = Update(low[0].terms, "delta", rest={"norm": torch.ones(2)})

    def sizes(*some: Update | None) -> list[int]:
        made = list(groups(some))
        assert list(map(id, chain(*made))) == list(map(id, some))
        return list(map(len, made))

    assert sizes(*low) == [3, 2]
    assert sizes(low[0], dense, low[1], low[2], None, more, low[3]) == [1, 1, 2, 1, 1, 1]
    assert sizes() == []


def test_each_group_is_there_before_the_next_is_asked_for(backbone: Make) -> None:
    """So a dense update need not be held beside another one."""
    on = backbone("llama")
    asked: list[int] = []
    heard: list[int] = []

    def several() -> Iterator[None]:
        for k in range(3):
            asked.append(k)
            yield None

    outputs = generate_each(on, several(), INPUTS, DECODING, watch=heard.append)
    next(outputs)
    assert asked == [0]
    assert len(list(outputs)) == 2
    assert heard[-1] == 3 * len(INPUTS)
    assert heard == sorted(heard)


def test_an_update_of_another_backbone_is_refused(backbone: Make, update: Make) -> None:
    wide = backbone("llama", hidden_size=48)
    with pytest.raises(LingarithError, match="does not fit"):
        list(generate_each(backbone("llama"), [update(backbone("llama")), update(wide)], INPUTS, DECODING))
