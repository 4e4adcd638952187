"""Which examples a step sees, how they become tensors, and that no position sees what it must write."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lingarith.errors import LingarithError
from lingarith.model import batches
from lingarith.model.batches import POOL, Item, PrefixItems, Stream, TaskItems, alike, collate, prefix_mask
from lingarith.model.loading import load
from lingarith.model.losses import token_losses
from lingarith.text.corpora import PlainText, plain_text
from lingarith.text.labelled import Labelled, TaskExample
from lingarith.text.tasks import TASKS, examples

Make = Callable[..., Any]
LONG: Item = ([3, 10, 11, 12, 13], [20, 21, 22, 23, 1])
SHORT: Item = ([3, 30], [31, 1])


@dataclass(frozen=True, eq=False)
class Numbers:
    """Example k is ([k], [draw]); lengths differ so that sorting has something to do."""

    count: int
    drawn: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def item(self, index: int, seed: int, draw: int) -> Item:
        self.drawn.append(draw)
        return [index] * (1 + index % 5), [draw] * (1 + index % 3)


def indices(data: Numbers, steps: Sequence[int], size: int, seed: int = 0) -> list[list[int]]:
    stream = Stream(data, seed, size)
    return [[source[0] for source, _ in stream.at(step)] for step in steps]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    steps = list(range(3 * POOL))
    in_order = indices(Numbers(50), steps, 4)
    shuffled = np.random.default_rng(0).permutation(steps).tolist()
    again = Numbers(50)
    assert [indices(again, [step], 4)[0] for step in shuffled] == [in_order[step] for step in shuffled]
    assert indices(Numbers(50), steps, 4, seed=1) != in_order
    assert all(len(batch) == 4 for batch in in_order)


@pytest.mark.parametrize(("count", "size"), [(10, 3), (7, 2), (200, 4), (1, 2)])
def test_every_example_once_in_an_epoch(count: int, size: int) -> None:
    stream = Stream(Numbers(count), 0, size)
    seen = [(target[0], source[0]) for step in range(3 * POOL) for source, target in stream.at(step)]
    assert sorted(draw for draw, _ in seen) == list(range(3 * POOL * size))
    order = [index for _, index in sorted(seen)]
    for start in range(0, len(order) - count + 1, count):
        assert sorted(order[start : start + count]) == list(range(count))


def test_epochs_differ() -> None:
    stream = Stream(Numbers(32), 0, 4)
    seen = sorted((target[0], source[0]) for step in range(POOL) for source, target in stream.at(step))
    order = [index for _, index in seen]
    assert order[:32] != order[32:64]


def test_examples_are_made_once_for_steps_that_follow_each_other() -> None:
    data = Numbers(9)
    stream = Stream(data, 0, 2)
    for step in range(2 * POOL):
        stream.at(step)
    assert Counter(data.drawn) == dict.fromkeys(range(2 * POOL * 2), 1)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6),
    st.integers(0, 60),
    st.integers(1, 500),
)
def test_groups_of_like_lengths_share_a_pass(widths: list[tuple[int, int]], price: int, full: int) -> None:
    """For decoder-only models the cheapest of all ways to share them out, tried one by one."""
    groups = [[([1] * source, [2] * target)] for source, target in widths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "PASS", {"cpu": price})
        patch.setattr(batches, "FULL", {"cpu": full})
        one, both = (alike(Shape(encoder_decoder), groups) for encoder_decoder in (False, True))  # type: ignore[arg-type]
    for found in (one, both):
        assert sorted(k for some in found for k in some) == list(range(len(groups)))
        assert found == sorted(sorted(some) for some in found)

    def cost(passes: list[list[int]]) -> float:
        sizes = [len(some) * max(sum(widths[k]) for k in some) for some in passes]
        fitting = all(size <= full or len(some) == 1 for size, some in zip(sizes, passes, strict=True))
        return price * len(passes) + sum(sizes) if fitting else math.inf

    assert cost(one) == min(map(cost, partitions(list(range(len(groups))))))


@dataclass(frozen=True)
class Shape:
    """What there is of a backbone to count positions by."""

    encoder_decoder: bool
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def partitions(some: list[int]) -> Iterator[list[list[int]]]:
    """Every way to share them out."""
    if not some:
        yield []
        return
    first, *rest = some
    for made in partitions(rest):
        yield [[first], *made]
        for at in range(len(made)):
            yield [*made[:at], [first, *made[at]], *made[at + 1 :]]


def labelled(pairs: Sequence[tuple[str, str]]) -> Labelled:
    examples = tuple(TaskExample(str(k), source, target, source) for k, (source, target) in enumerate(pairs))
    return Labelled("t", "en", "train", "x", examples, "f")


def test_task_items_are_framed_cut_and_ended(backbone: Make) -> None:
    data = labelled([("w0 w1 w2", "w3 w4"), ("w5", "w6")])
    t5 = batches.task_items(backbone("t5"), data, max_input=3, max_target=2)
    assert [t5.item(k, 0, 0) for k in range(len(t5))] == [([4, 5, 1], [7, 1]), ([9, 1], [10, 1])]
    llama = batches.task_items(backbone("llama"), data, max_input=3, max_target=9)
    assert list(llama.items) == [([3, 4, 5], [7, 8, 1]), ([3, 9], [10, 1])]


def text(*documents: str) -> PlainText:
    return PlainText("pt", "here", "text", documents, "f")


def test_prefix_items(backbone: Make) -> None:
    on = backbone("t5")
    data = PrefixItems(on, text("w0 w1 w2 w3 w4", "w9"), length=4)
    assert list(data.chunks) == [[4, 5, 6, 7]]  # what is left of one token cannot be cut in two
    seen = [data.item(0, 0, draw) for draw in range(60)]
    assert all(prefix[:-1] + target[:-1] == [4, 5, 6, 7] for prefix, target in seen)
    assert all(prefix[-1] == target[-1] == on.eos for prefix, target in seen)
    assert {len(prefix) - 1 for prefix, _ in seen} == {1, 2, 3}
    assert seen == [data.item(0, 0, draw) for draw in range(60)]
    assert seen != [data.item(0, 1, draw) for draw in range(60)]
    llama = PrefixItems(backbone("llama"), text("w0 w1"), length=4)
    assert llama.item(0, 0, 0) == ([3, 4], [5, 1])
    with pytest.raises(LingarithError, match=r"the plain text of pt \(here\) has no document of two tokens or more"):
        len(PrefixItems(on, text("w0"), length=4))


@pytest.mark.parametrize("kind", ["articles", "text"])
def test_little_is_padding(kind: str, backbone: Make, tmp_path: Path) -> None:
    newsroom = load(device="cpu")
    if kind == "articles":
        data = examples(TASKS["summaries"], "newsroom", "en", "train", limit=400, folder=tmp_path)
        items: TaskItems | PrefixItems = batches.task_items(newsroom, data, max_input=512, max_target=128)
    else:
        pages = plain_text("newsroom", "en", limit_characters=150_000, folder=tmp_path)
        items = PrefixItems(newsroom, pages, length=512)
    stream = Stream(items, 0, 16)
    for on in (newsroom, backbone("llama")):
        made = [collate(on, stream.at(step)) for step in range(POOL)]
        assert 1 - sum(b.tokens for b in made) / sum(b.size for b in made) < 0.10


def test_collate_for_an_encoder_decoder_by_hand(backbone: Make) -> None:
    batch = collate(backbone("t5"), [([10, 11, 1], [20, 1]), ([12, 1], [21, 22, 1])])
    assert batch.inputs["input_ids"].tolist() == [[10, 11, 1], [12, 1, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.inputs["decoder_input_ids"].tolist() == [[0, 20, 1], [0, 21, 22]]
    assert batch.labels.tolist() == [[20, 1, -100], [21, 22, 1]]
    assert (batch.tokens, batch.size) == (10, 12)


def test_collate_for_a_decoder_by_hand(backbone: Make) -> None:
    batch = collate(backbone("llama"), [([3, 10], [20, 1]), ([3], [21, 1])])
    assert batch.inputs["input_ids"].tolist() == [[3, 10, 20, 1], [3, 21, 1, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.labels.tolist() == [[-100, 20, 1, -100], [21, 1, -100, -100]]
    assert (batch.tokens, batch.size) == (7, 8)


def test_tokens_that_look_like_padding_are_taught(backbone: Make) -> None:
    """Where padding and EOS are one token, the EOS of an output still counts."""
    on = backbone("llama")
    on.tokenizer.pad_token = on.tokenizer.eos_token
    batch = collate(on, [LONG, SHORT])
    assert (batch.labels == 1).sum() == 2
    assert batch.inputs["attention_mask"].sum() == batch.tokens


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5", "llama", "gemma3", "bloom", "xglm"])
def test_the_loss_is_that_of_transformers(family: str, backbone: Make) -> None:
    on = backbone(family)
    batch = collate(on, [LONG, SHORT])
    losses, _ = token_losses(on, batch)
    labels = batch.labels
    if not on.encoder_decoder:  # transformers shifts by itself
        labels = torch.cat([torch.full_like(labels[:, :1], -100), labels[:, :-1]], dim=1)
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        theirs = on.model(**inputs, labels=labels).loss
    assert len(losses) == sum(batch.counts) == 7
    torch.testing.assert_close(losses.mean(), theirs)


def test_prefix_mask_by_hand() -> None:
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    mask = prefix_mask(real, [2, 1], torch.float32)
    assert mask.shape == (2, 1, 4, 4)
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}
    seen = (mask[:, 0] == 0).int().tolist()
    assert seen[0] == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert seen[1] == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]  # padding sees itself, nobody sees it
    assert prefix_mask(real, [2, 1], torch.bfloat16).dtype == torch.bfloat16


KINDS = [(family, kind) for family in ("llama", "qwen3", "gemma3") for kind in ("eager", "sdpa")]


@pytest.mark.parametrize(("family", "kind"), [*KINDS, ("gemma2", "eager"), ("xglm", "eager")])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_position_sees_what_it_must_write(family: str, kind: str, bidirectional: bool, backbone: Make) -> None:
    on = backbone(family, attn_implementation=kind)
    batch = collate(on, [LONG, SHORT], bidirectional_prefix=bidirectional)

    def logits(ids: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = on.model(**{**batch.inputs, "input_ids": ids}, use_cache=False).logits
        return result

    def changed_at(position: int) -> Tensor:
        ids = batch.inputs["input_ids"].clone()
        ids[0, position] = 40
        return (logits(ids) - plain).abs().amax(-1)

    plain = logits(batch.inputs["input_ids"])
    for suffix in range(5, 10):
        change = changed_at(suffix)
        assert not change[0, :suffix].any()
        assert change[0, suffix] > 0.1
        assert not change[1].any()
    assert bool(changed_at(4)[0, 1] > 0.1) is bidirectional  # the input sees itself whole, or not
    assert not plain.isnan().any()


@pytest.mark.parametrize(("family", "kind"), KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(family: str, kind: str, bidirectional: bool, backbone: Make) -> None:
    on = backbone(family, attn_implementation=kind)
    losses = [
        token_losses(on, collate(on, items, bidirectional_prefix=bidirectional))[0].sum().item()
        for items in ([LONG, SHORT], [LONG], [SHORT])
    ]
    assert losses[0] == pytest.approx(losses[1] + losses[2], rel=1e-5)


def test_the_prefix_mask_holds_under_autocast(backbone: Make) -> None:
    on = backbone("llama")
    batch = collate(on, [LONG, SHORT], bidirectional_prefix=True)
    exact = token_losses(on, batch)[0].sum().item()
    with torch.autocast("cpu", torch.bfloat16):
        assert token_losses(on, batch)[0].sum().item() == pytest.approx(exact, rel=0.05)


def test_bloom_has_no_bidirectional_prefix(backbone: Make) -> None:
    with pytest.raises(LingarithError, match="bloom takes positions from its mask"):
        collate(backbone("bloom"), [LONG], bidirectional_prefix=True)
