"""K vectors in one pass: what is the same bits as alone, what is equal within rounding, and whom a failure stops.

Alone and together, a vector sees the same examples, rates and steps, so in exact arithmetic nothing
differs. On the processor, with one thread, the numbers are the same bits where rows are padded alike
and a model's attention sums in one order (Llama, Qwen); elsewhere gradients agree to 1e-5 of their norm.
AdamW divides by the gradient's size, so where that is about nothing, rounding decides a whole step;
therefore gradients are compared and not what many steps made of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.kinds import Adapter
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.disk.tensors import read_safetensors
from lingarith.errors import LingarithError
from lingarith.model import batches, together
from lingarith.model import train as module
from lingarith.model.backbone import Backbone
from lingarith.model.batches import TaskItems
from lingarith.model.losses import token_losses
from lingarith.model.members import CHECKPOINT, LOG, Training
from lingarith.model.options import TrainOptions
from lingarith.model.together import Trial, best, best_together, trials
from lingarith.model.train import groups, train
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

Make = Callable[..., Any]
OPTIONS = TrainOptions(steps=6, batch_size=4, learning_rate=1e-2, adapter=Lora(2), clip=0.5, checkpoint_every=2)
ADAPTERS = pytest.mark.parametrize("adapter", [Lora(2, 3.0), Kronecker(4, 8)])


def examples(on: Backbone, number: int, count: int = 24) -> TaskItems:
    """Other words and lengths for each number."""
    made = []
    for k in range(count):
        first = 4 + (k * (number + 1)) % 12
        source = [first, *range(20, 21 + k % (3 + number))]
        made.append((on.framed(source), [*[first] * (1 + (k + number) % 3), on.eos]))
    return TaskItems(made)


def several(on: Backbone, folder: Path, count: int = 5, **changed: Any) -> list[Training]:
    """Trainings that differ in all that may differ: data, steps, rate, decay, clipping, seeds, validation."""
    made = []
    for k in range(count):
        options = replace(
            OPTIONS, steps=4 + 2 * k, learning_rate=1e-2 / (k + 1), weight_decay=0.1 * k, clip=0.3 + k, seed=k,
            init_seed=k % 2, validate_every=k,
        )  # fmt: skip
        validation = examples(on, k, 3) if k % 2 else None
        made.append(Training(f"x{k}", examples(on, k), replace(options, **changed), folder / str(k), {}, validation))
    return made


def alone(on: Backbone, trainings: Sequence[Training], folder: Path) -> list[Vector]:
    return [next(train(on, [replace(t, folder=folder / str(k))]))[1] for k, t in enumerate(trainings)]


def digest(vector: Vector) -> str:
    return content_hash(FlatTensors.of(vector))


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.parametrize(("family", "frozen"), [("llama", False), ("qwen3", False), ("llama", True)])
def test_the_same_bits_as_alone(family: str, frozen: bool, backbone: Make, tmp_path: Path) -> None:
    on = backbone(family)
    trainings = several(on, tmp_path / "together", freeze_a=frozen)
    apart = alone(on, trainings, tmp_path / "alone")
    for count in (2, 3, 5):
        found = dict(train(on, several(on, tmp_path / str(count), freeze_a=frozen), together=count))
        assert sorted(found) == [0, 1, 2, 3, 4]
        for k, vector in enumerate(apart):
            assert (found[k].name, digest(found[k])) == (vector.name, digest(vector))
            same = {**found[k].origin, "cost": None} == {**vector.origin, "cost": None}
            assert same
            assert found[k].origin["cost"]["tokens"] == vector.origin["cost"]["tokens"]
            ours, theirs = log(tmp_path / str(count) / str(k)), log(tmp_path / "alone" / str(k))
            assert [set(line) for line in ours] == [set(line) for line in theirs]
            for line, other in zip(ours, theirs, strict=True):
                assert line == pytest.approx(other, rel=1e-5)


@ADAPTERS
@pytest.mark.parametrize("family", ["t5", "umt5", "llama", "gemma2", "bloom", "xglm"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_gradients_are_those_of_each_vector_alone(
    family: str, adapter: Adapter, accumulation: int, backbone: Make, tmp_path: Path
) -> None:
    """The optimiser's first moment after one step is a tenth of the gradient, clipped for each vector alone."""
    on = backbone(family)
    options = {"steps": 1, "adapter": adapter, "accumulation": accumulation, "init_seed": 3}
    trainings = several(on, tmp_path / "together", **options)
    dict(train(on, trainings, together=5))
    alone(on, trainings, tmp_path / "alone")
    for k in range(5):
        ours, theirs = (gradient(tmp_path / where / str(k)) for where in ("together", "alone"))
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()
        assert theirs.norm() > 1e-3
        assert log(tmp_path / "together" / str(k))[0] == pytest.approx(log(tmp_path / "alone" / str(k))[0], rel=1e-5)


def gradient(folder: Path) -> Tensor:
    saved = read_safetensors(folder / CHECKPOINT)
    return torch.cat([saved[name].flatten() for name in sorted(saved) if name.endswith("exp_avg")])


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_rows_of_unlike_lengths_go_in_passes_of_their_own(
    family: str, backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before, but for rounding, and less is padding."""
    on = backbone(family)
    options = {"steps": 1, "init_seed": 3, "validate_every": 1}
    sizes: list[int] = []
    whole = module.token_losses

    def counted(backbone: Backbone, batch: Any, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        sizes.append(batch.size)
        return whole(backbone, batch, weights)

    monkeypatch.setattr(module, "token_losses", counted)
    needed = {}
    for price in (1000, 4, 0):
        sizes.clear()
        monkeypatch.setattr(batches, "PASS", {"cpu": price})
        dict(train(on, several(on, tmp_path / str(price), **options), together=5))
        needed[price] = (len(sizes), sum(sizes))
    assert needed[1000][0] < needed[4][0] < needed[0][0]
    assert needed[1000][1] > needed[4][1] > needed[0][1]
    for k in range(5):
        ours, theirs = (gradient(tmp_path / price / str(k)) for price in ("4", "1000"))
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()
        assert log(tmp_path / "4" / str(k))[0] == pytest.approx(log(tmp_path / "1000" / str(k))[0], rel=1e-5)


def test_one_that_ends_early_leaves_the_others(backbone: Make, tmp_path: Path) -> None:
    """With a rate that makes everything worse, after its second validation."""
    on = backbone("llama")
    trainings = several(on, tmp_path / "together", 3)
    hasty = replace(trainings[1].options, learning_rate=3.0, clip=1e3, validate_every=1, patience=1, steps=8)
    trainings[1] = replace(trainings[1], options=hasty)
    apart = alone(on, trainings, tmp_path / "alone")
    assert apart[1].origin["steps"] < len(log(tmp_path / "alone" / "1")) // 2 < hasty.steps
    found = dict(train(on, trainings, together=3))
    assert [digest(found[k]) for k in range(3)] == [digest(vector) for vector in apart]


@ADAPTERS
def test_many_steps_of_copies_are_those_of_one(adapter: Adapter, backbone: Make, tmp_path: Path) -> None:
    """Three times the same training: a leading axis that leaked from one vector to another would show."""
    on = backbone("t5")
    one = Training("x", examples(on, 1), replace(OPTIONS, adapter=adapter), tmp_path / "alone")
    [(_, apart)] = train(on, [one])
    found = dict(train(on, [replace(one, folder=tmp_path / str(k)) for k in range(3)], together=3))
    assert len({digest(vector) for vector in found.values()}) == 1
    for name, tensor in FlatTensors.of(apart).items():
        torch.testing.assert_close(FlatTensors.of(found[0])[name], tensor, rtol=0, atol=1e-4)


def test_a_finished_vector_makes_room_for_the_next(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    heard: list[tuple[int, int]] = []
    came = []
    for position, _ in train(on, several(on, tmp_path), together=2, watch=lambda p, s, _: heard.append((p, s))):
        came.append(position)
        assert not any(module._forward_hooks for module in on.model.modules())  # one may use the backbone meanwhile
    assert came == [0, 1, 2, 3, 4]  # of 4, 6, 8, 10 and 12 steps
    passes = [heard[k : k + 2] for k in range(0, 8, 2)]
    assert passes == [[(0, s), (1, s)] for s in (1, 2, 3, 4)]
    assert heard[8:12] == [(1, 5), (2, 1), (1, 6), (2, 2)]
    assert heard[12:16] == [(2, 3), (3, 1), (2, 4), (3, 2)]


def test_options_that_cannot_share_a_pass() -> None:
    base = OPTIONS
    changed = {
        "adapter": Lora(3), "batch_size": 8, "accumulation": 2, "precision": "bfloat16",
        "activation_checkpointing": True, "bidirectional_prefix": True,
    }  # fmt: skip
    free = {"steps": 9, "learning_rate": 0.5, "seed": 3, "init_seed": 3, "clip": 2.0, "max_input": 7, "warmup": 0.5}
    assert groups([]) == []
    assert groups([base, *(replace(base, **{name: value}) for name, value in free.items())]) == [list(range(8))]
    for name, value in changed.items():
        other = replace(base, **{name: value})
        assert groups([base, other, base, other, other]) == [[0, 2], [1, 3, 4]]


def test_unlike_trainings_are_done_one_group_after_the_other(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    trainings = several(on, tmp_path, 4)
    trainings[1] = replace(trainings[1], options=replace(trainings[1].options, adapter=Kronecker(4, 8)))
    found = dict(train(on, trainings, together=4))
    for k, vector in enumerate(alone(on, trainings, tmp_path / "alone")):
        assert digest(found[k]) == digest(vector)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_what_is_no_number_stops_its_vector_alone(
    bad: int, backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = backbone("llama")
    trainings = several(on, tmp_path / "together")
    apart = alone(on, trainings, tmp_path / "alone")

    def spoilt(backbone: Backbone, batch: Any, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """In the third pass, one vector's first token weighs infinitely much, and so do its loss and gradient."""
        losses, total = token_losses(backbone, batch, weights)
        if weights is not None:
            calls[0] += 1
            if calls[0] == 3:
                at = sum(batch.counts[: bad * 4])
                heavy = weights.clone()
                heavy[at] = math.inf
                _, total = token_losses(backbone, batch, heavy)
                losses = losses.clone()
                losses[at] = math.inf
        return losses, total

    calls = [0]
    found: dict[int, Vector] = {}
    with monkeypatch.context() as patch:
        patch.setattr(module, "token_losses", spoilt)
        said = rf"training x{bad}: loss or gradient is no longer a number at step 3 \(.* keeps the last good state\)"
        with pytest.raises(LingarithError, match=said):
            found.update(train(on, trainings, together=3))
    assert sorted(found) == [k for k in range(5) if k != bad]
    assert all(digest(vector) == digest(apart[k]) for k, vector in found.items())
    again = dict(train(on, trainings, together=3))  # what is complete is only read
    assert [digest(again[k]) for k in range(5)] == [digest(vector) for vector in apart]


def test_one_that_cannot_begin_stops_no_other(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    trainings = several(on, tmp_path, 3)
    trainings[1].folder.mkdir(parents=True)
    (trainings[1].folder / CHECKPOINT).write_bytes(b"\x08")
    found: dict[int, Vector] = {}
    with pytest.raises(LingarithError, match=r"checkpoint\.safetensors is damaged"):
        found.update(train(on, trainings, together=3))
    assert sorted(found) == [0, 2]


class Stopped(Exception):
    """The user pressed control-C."""


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_stopped_group_goes_on_to_the_same_bits(family: str, backbone: Make, tmp_path: Path) -> None:
    """Also where bits depend on who is beside whom: the group comes back as it was."""
    on, whole = backbone(family), tmp_path / "whole"
    right = dict(train(on, several(on, whole), together=3))
    for stop in (1, 5, 8, 13, 17):
        parts = tmp_path / str(stop)
        with pytest.raises(Stopped):
            list(train(on, several(on, parts), together=3, watch=stopping_at(stop)))
        found = dict(train(on, several(on, parts), together=3))
        assert [digest(found[k]) for k in range(5)] == [digest(right[k]) for k in range(5)]
        for k in range(5):
            assert (parts / str(k) / LOG).read_bytes() == (whole / str(k) / LOG).read_bytes()


def stopping_at(stop: int) -> Callable[[int, int, float], None]:
    calls = iter(range(stop, -1, -1))

    def watch(position: int, step: int, loss: float) -> None:
        if next(calls) == 0:
            raise Stopped

    return watch


def test_a_vector_goes_on_with_other_companions_or_none(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    whole = alone(on, several(on, tmp_path / "whole"), tmp_path / "alone")
    trainings = several(on, tmp_path / "parts")
    for number, chosen in enumerate([[1, 3], [3, 4, 2], [4]]):

        def watch(position: int, step: int, loss: float, limit: int = 3 * number + 3) -> None:
            if step == limit:
                raise Stopped

        with pytest.raises(Stopped):
            list(train(on, [trainings[k] for k in chosen], together=3, watch=watch))
    found = dict(train(on, trainings, together=2))
    assert [digest(found[k]) for k in range(5)] == [digest(vector) for vector in whole]


def test_the_quickest_number_is_taken_when_it_is_clearly_so() -> None:
    assert best([Trial(1, 100.0, 0)]) == 1
    assert best([Trial(1, 100.0, 0), Trial(2, 109.0, 0), Trial(4, 90.0, 0)]) == 1
    assert best([Trial(1, 100.0, 0), Trial(2, 150.0, 0), Trial(4, 160.0, 0)]) == 2
    assert best([Trial(1, 100.0, 0), Trial(2, 150.0, 0), Trial(4, 300.0, 0)]) == 4


def test_numbers_are_tried_while_there_is_memory_and_gain(
    backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = backbone("llama")
    trainings = several(on, tmp_path, 5)
    eager = [
        replace(one, validation=one.data, options=replace(one.options, validate_every=1, patience=1))
        for one in trainings[:2]
    ]
    found = trials(on, eager, most=10)
    assert [trial.together for trial in found] == [1, 2]
    assert all(trial.tokens_per_second > 0 for trial in found)
    assert not tmp_path.exists() or not any(tmp_path.iterdir())  # nothing is left behind

    def tried(rates: dict[int, float], free: int = 1000, most: int = 100) -> list[int]:
        seen = iter(range(100))
        monkeypatch.setattr(together, "_tokens_per_second", lambda _, some: rates[len(some)])
        monkeypatch.setattr(together, "available", lambda _: free)
        monkeypatch.setattr(together, "used", lambda _: 100)
        monkeypatch.setattr(together, "peak", lambda _: 100 + 100 * min(5, 2 ** next(seen)))
        return [trial.together for trial in trials(on, trainings, most=most)]

    growing = {1: 1.0, 2: 2.0, 4: 3.0, 5: 4.0}
    assert tried(growing) == [1, 2, 4, 5]
    assert tried(growing, free=600) == [1, 2, 4]  # five would take 500 of which 480 may be taken
    assert tried(growing, free=240) == [1]
    assert tried({1: 1.0, 2: 0.9}) == [1, 2]
    assert tried(growing, most=7) == [1, 2, 4]

    def full(_: object, some: Sequence[Training]) -> float:
        if len(some) == 2:
            raise torch.OutOfMemoryError
        return 1.0

    monkeypatch.setattr(together, "_tokens_per_second", full)
    assert [trial.together for trial in trials(on, trainings, most=10)] == [1]


def test_little_work_is_not_tried(backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = backbone("llama")
    monkeypatch.setattr(together, "trials", lambda *_, **__: [Trial(1, 1.0, 0), Trial(2, 2.0, 0)])
    assert best_together(on, []) == 1
    assert best_together(on, several(on, tmp_path, 5)) == 1
    assert best_together(on, several(on, tmp_path, 1, steps=1000)) == 1
    assert best_together(on, several(on, tmp_path, 2, steps=1000)) == 2
