"""The training loop: its arithmetic, its oracle (PEFT and AdamW), its stops and starts."""

from __future__ import annotations

import copy
import json
import math
import re
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
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors
from lingarith.errors import LingarithError
from lingarith.model import train as training
from lingarith.model.backbone import Backbone
from lingarith.model.batches import Stream, TaskItems, collate
from lingarith.model.loading import wrap
from lingarith.model.losses import token_losses
from lingarith.model.members import CHECKPOINT, LOG, Training
from lingarith.model.options import TrainOptions
from lingarith.model.train import mean_loss, train
from lingarith.vectors.composition import realise
from lingarith.vectors.outline import FlatTensors, starting_point
from lingarith.vectors.vector import Vector, content_hash

Make = Callable[..., Any]
OPTIONS = TrainOptions(steps=4, batch_size=4, learning_rate=1e-2, adapter=Lora(2), checkpoint_every=2)
BOTH = pytest.mark.parametrize("family", ["t5", "llama"])


def examples(on: Backbone, count: int = 24) -> TaskItems:
    """Say the first word again, once or several times; lengths differ on both sides."""
    made = []
    for k in range(count):
        first = 4 + k % 12
        source = [first, *range(20, 21 + k % 5)]
        made.append((on.framed(source), [*[first] * (1 + k % 3), on.eos]))
    return TaskItems(made)


def run(on: Backbone, options: TrainOptions, folder: Path, **more: Any) -> Vector:
    """One vector alone."""
    watch: Callable[[int, int, float], None] | None = more.pop("watch", None)
    one = Training("x[en]", examples(on), options, folder, {"kind": "task"}, **more)

    def heard(position: int, step: int, loss: float) -> None:
        assert position == 0
        if watch:
            watch(step, options.steps, loss)

    [(_, made)] = train(on, [one], watch=heard)
    return made


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def same(one: Vector, other: Vector) -> bool:
    return content_hash(FlatTensors.of(one)) == content_hash(FlatTensors.of(other))


def close(one: Vector, other: Vector, within: float) -> None:
    theirs = FlatTensors.of(other)
    for name, tensor in FlatTensors.of(one).items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=within)


def test_the_rate_by_hand() -> None:
    options = TrainOptions(steps=10, warmup=0.2, learning_rate=8.0)
    assert [options.rate(step) for step in range(10)] == [4, 8, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [TrainOptions(steps=2, warmup=0.0, learning_rate=1.0).rate(step) for step in range(2)] == [1, 1]
    assert [TrainOptions(steps=2, warmup=1.0, learning_rate=1.0).rate(step) for step in range(2)] == [0.5, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"init_seed": -1}, "init_seed=-1 must be 0 or more"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0 must be a positive number"),
        ({"learning_rate": math.nan}, "learning_rate=nan must be a positive number"),
        ({"clip": 0.0}, "clip=0.0 must be a positive number"),
        ({"warmup": 1.5}, r"warmup=1.5 is a share of the steps, so it must lie in 0\.\.1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be 0 or a positive number"),
        ({"batch_size": 6, "accumulation": 4}, "batch_size=6 cannot be shared out over accumulation=4"),
        ({"validate_every": -1}, "validate_every=-1 must be 0 or more"),
        ({"patience": 2}, "patience=2 counts validations, which there are none of; set validate_every"),
        ({"precision": "int8"}, "precision='int8' is none of auto, float32, bfloat16"),
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LingarithError, match=message):
        TrainOptions(**wrong)


@BOTH
@pytest.mark.parametrize("adapter", [Lora(4), Kronecker(4, 8)])
def test_training_learns_and_leaves_the_backbone_alone(
    family: str, adapter: Adapter, backbone: Make, tmp_path: Path
) -> None:
    on = backbone(family)
    before = copy.deepcopy(on.model.state_dict())
    options = replace(OPTIONS, steps=60, learning_rate=3e-2, adapter=adapter)
    made = run(on, options, tmp_path, validation=examples(on))
    losses = [line["loss"] for line in log(tmp_path) if "loss" in line]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
    assert all(torch.equal(tensor, before[name]) for name, tensor in on.model.state_dict().items())
    assert not any(module._forward_hooks for module in on.model.modules())
    with on.using(realise_one(made)):
        learnt = mean_loss(on, examples(on), options)
    assert learnt == pytest.approx(log(tmp_path)[-1]["validation_loss"], rel=1e-4)
    assert learnt < 0.95 * mean_loss(on, examples(on), options)


def realise_one(made: Vector) -> Any:
    from lingarith.algebra import vector

    return realise(vector(made.name), {made.name: made}, "delta")


@pytest.mark.parametrize("family", ["t5", "umt5", "llama", "qwen3", "gemma3", "bloom", "xglm"])
def test_kronecker_steps_are_those_of_dense_products(family: str, backbone: Make, tmp_path: Path) -> None:
    """Against autograd through torch.kron, on every family: fused and grouped projections too."""
    on, adapter = backbone(family), Kronecker(4, 8)
    options = replace(OPTIONS, steps=3, adapter=adapter, clip=0.5)
    made = run(on, options, tmp_path)
    assert (made.adapter, made.origin["adapter"]) == ("Kronecker 4 × 8", {"kind": "kronecker", "m": 4, "n": 8})
    start = adapter.init(on.shapes, options.init_seed)
    pairs = {path: [factor[0].clone().requires_grad_() for factor in term] for path, term in start.items()}
    parameters = [factor for pair in pairs.values() for factor in pair]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
    stream = Stream(examples(on), options.seed, options.batch_size)
    hooks = {path: lambda x, a=a, b=b: x @ torch.kron(a, b).T for path, (a, b) in pairs.items()}
    for step in range(options.steps):
        batch = collate(on, stream.at(step))
        with on.adding(hooks):
            losses, total = token_losses(on, batch)
        (total / len(losses)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        optimizer.param_groups[0]["lr"] = options.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        for path, (a, b) in pairs.items():
            torch.testing.assert_close(made.terms[path][0].delta(), torch.kron(a, b), rtol=0, atol=2e-4)


def test_a_kronecker_size_that_does_not_divide(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    with pytest.raises(LingarithError, match=r"n=6 does not divide the 32 outputs of .*: 1, 2, 4, 8$"):
        run(on, replace(OPTIONS, adapter=Kronecker(4, 6)), tmp_path)


def test_what_comes_back(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    heard: list[tuple[int, int, float]] = []
    options = replace(OPTIONS, validate_every=3, adapter=Lora(2, 1.0), init_seed=7)
    made = run(on, options, tmp_path, validation=examples(on, 3), watch=lambda *now: heard.append(now))
    assert (made.name, made.adapter, made.scale) == ("x[en]", "LoRA, rank 2", 0.5)
    assert {path: term.size for path, (term,) in made.terms.items()} == on.shapes
    assert all(t.dtype == torch.float32 and not t.requires_grad for t in FlatTensors.of(made).values())
    origin = made.origin
    assert origin["kind"] == "task"
    assert origin["backbone"] == on.facts
    assert origin["adapter"] == {"kind": "lora", "rank": 2, "alpha": 1.0}
    assert (origin["init_seed"], origin["steps"], origin["cost"]["examples"]) == (7, 4, 16)
    assert content_hash(FlatTensors(starting_point(made))) == origin["init_hash"]
    assert set(origin["versions"]) == {"lingarith", "torch", "transformers"}
    json.dumps(origin)  # plain
    lines = log(tmp_path)
    assert [(step, steps) for step, steps, _ in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert [line["step"] for line in lines if "validation_loss" in line] == [3, 4]
    assert [line["rate"] for line in lines if "loss" in line] == [options.rate(step) for step in range(4)]
    assert sum(line["tokens"] for line in lines if "loss" in line) == origin["cost"]["tokens"]
    assert [loss for _, _, loss in heard] == [line["loss"] for line in lines if "loss" in line]


def test_seeds(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    first = run(on, OPTIONS, tmp_path / "a")
    assert same(first, run(on, OPTIONS, tmp_path / "b"))
    assert not same(first, run(on, replace(OPTIONS, seed=1), tmp_path / "c"))
    assert first.origin["init_hash"] != run(on, replace(OPTIONS, init_seed=1), tmp_path / "d").origin["init_hash"]


def peft_model(on: Backbone, options: TrainOptions) -> Any:
    """The same model under PEFT, its factors where ours start."""
    from peft import LoraConfig, get_peft_model

    adapter = options.adapter
    assert isinstance(adapter, Lora)
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha or adapter.rank, target_modules=list(on.projections))
    model = get_peft_model(copy.deepcopy(on.model), config)
    for path, (a, b) in adapter.init(on.shapes, options.init_seed).items():
        layer = model.base_model.model.get_submodule(path)
        layer.lora_A["default"].weight.data.copy_(a)
        layer.lora_B["default"].weight.data.copy_(b)
    return model.eval()


def trained_by_torch(theirs: Any, on: Backbone, options: TrainOptions, data: TaskItems) -> None:
    """PEFT's model, trained as a loop of a few lines has it: the oracle."""
    stream = Stream(data, options.seed, options.batch_size)
    parameters = [p for p in theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.1, foreach=False)
    for step in range(options.steps):
        batch = collate(on, stream.at(step))
        logits = theirs(**batch.inputs).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        optimizer.param_groups[0]["lr"] = options.rate(step)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # asked for by PEFT
@pytest.mark.parametrize(("family", "frozen"), [("t5", False), ("llama", False), ("bloom", False), ("t5", True)])
def test_steps_are_those_of_peft_and_adamw(family: str, frozen: bool, backbone: Make, tmp_path: Path) -> None:
    on = backbone(family)
    options = replace(OPTIONS, steps=3, adapter=Lora(2, 1.0), weight_decay=0.1, clip=0.5, warmup=0.5, freeze_a=frozen)
    theirs = peft_model(on, options)
    for name, parameter in theirs.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and not (frozen and "lora_A" in name))
    trained_by_torch(theirs, on, options, examples(on))
    ours = realise_one(run(on, options, tmp_path))
    for path in on.projections:
        right = theirs.base_model.model.get_submodule(path).get_delta_weight("default")
        assert right.abs().max() > 1e-4
        torch.testing.assert_close(ours.delta(path), right, rtol=0, atol=1e-6)


@BOTH
def test_accumulated_gradients_are_those_of_the_whole_batch(family: str, backbone: Make, tmp_path: Path) -> None:
    """Micro-batches differ in length and in how much they teach, so a mean of means would be wrong."""
    on = backbone(family)
    moments = []
    for parts in (1, 2, 4):
        run(on, replace(OPTIONS, steps=1, accumulation=parts), tmp_path / str(parts))
        moments.append(read_safetensors(tmp_path / str(parts) / CHECKPOINT))
        assert log(tmp_path / str(parts))[0]["loss"] == pytest.approx(log(tmp_path / "1")[0]["loss"], rel=1e-5)
    for other in moments[1:]:
        for name in (name for name in other if name.endswith("exp_avg")):
            torch.testing.assert_close(other[name], moments[0][name], rtol=1e-4, atol=1e-6)


def test_the_gradient_is_clipped_over_the_whole_vector(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")

    def gradient(clip: float) -> Tensor:
        """What the optimiser saw in its first step: its first moment is a tenth of that."""
        run(on, replace(OPTIONS, steps=1, clip=clip), tmp_path / str(clip))
        saved = read_safetensors(tmp_path / str(clip) / CHECKPOINT)
        return torch.cat([saved[name].flatten() * 10 for name in sorted(saved) if name.endswith("exp_avg")])

    free, cut = gradient(1e6), gradient(0.25)
    assert free.norm() > 0.3
    assert cut.norm().item() == pytest.approx(0.25, rel=1e-4)
    torch.testing.assert_close(cut, free * (0.25 / free.norm()), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("family", "dropout"), [("t5", "dropout_rate"), ("llama", "attention_dropout"), ("xglm", "dropout")]
)
def test_activation_checkpointing_changes_nothing(family: str, dropout: str, backbone: Make, tmp_path: Path) -> None:
    on = backbone(family, **{dropout: 0.5})
    plain = run(on, OPTIONS, tmp_path / "plain")
    calls = [0]
    norm = next(m for name, m in on.model.named_modules() if "norm" in name.lower() and ".0." in name)
    handle = norm.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    checkpointed = run(on, replace(OPTIONS, activation_checkpointing=True), tmp_path / "less memory")
    handle.remove()
    assert same(plain, checkpointed)
    assert calls[0] == 2 * OPTIONS.steps  # once forward, once more on the way back
    assert not any("forward" in vars(module) for module in on.model.modules())
    assert not on.model.training
    half = replace(OPTIONS, precision="bfloat16", steps=2)
    again = run(on, replace(half, activation_checkpointing=True), tmp_path / "half, less memory")
    assert same(run(on, half, tmp_path / "half"), again)


def test_precision(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    exact, automatic, half = (
        run(on, replace(OPTIONS, precision=precision), tmp_path / precision)
        for precision in ("float32", "auto", "bfloat16")
    )
    assert same(exact, automatic)  # whatever the processor has, so that results do not depend on its kind
    assert not same(exact, half)
    assert log(tmp_path / "bfloat16")[0]["loss"] == pytest.approx(log(tmp_path / "float32")[0]["loss"], rel=0.05)
    assert all(t.dtype == torch.float32 for t in FlatTensors.of(half).values())


def test_a_half_precision_backbone_trains_float32_factors(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    on.model.to(torch.bfloat16)
    made = run(on, OPTIONS, tmp_path)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in FlatTensors.of(made).values())


def test_bidirectional_prefix_is_another_objective(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    causal = run(on, OPTIONS, tmp_path / "causal")
    assert not same(causal, run(on, replace(OPTIONS, bidirectional_prefix=True), tmp_path / "whole"))


class Stopped(Exception):
    """The user pressed control-C."""


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6])
def test_a_stopped_run_goes_on_to_the_same_bits(stop: int, backbone: Make, tmp_path: Path) -> None:
    on, options = backbone("llama"), replace(OPTIONS, steps=6, validate_every=2)
    validation = examples(on, 5)
    whole = run(on, options, tmp_path / "whole", validation=validation)
    heard: list[int] = []

    def watch(step: int, steps: int, loss: float) -> None:
        heard.append(step)
        if step == stop:
            raise Stopped

    with pytest.raises(Stopped):
        run(on, options, tmp_path / "parts", validation=validation, watch=watch)
    heard.clear()
    resumed = run(on, options, tmp_path / "parts", validation=validation, watch=lambda s, *_: heard.append(s))
    assert heard == list(range(stop // 2 * 2 + 1, 7))
    assert same(whole, resumed)
    assert (tmp_path / "parts" / LOG).read_bytes() == (tmp_path / "whole" / LOG).read_bytes()
    assert resumed.origin["cost"]["tokens"] == whole.origin["cost"]["tokens"]
    assert not any(module._forward_hooks for module in on.model.modules())


def test_an_interrupt_loses_no_step(backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on, options = backbone("llama"), replace(OPTIONS, checkpoint_every=100)
    whole, backward, steps = run(on, options, tmp_path / "whole"), training._backward, [1, 2, 3]

    def interrupted(*given: Any) -> Tensor:
        if not steps:
            raise KeyboardInterrupt
        steps.pop()
        return backward(*given)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_backward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(on, options, tmp_path / "parts")
    heard: list[int] = []
    assert same(whole, run(on, options, tmp_path / "parts", watch=lambda step, *_: heard.append(step)))
    assert heard == [4]


@pytest.mark.parametrize("stop", [1, 4])
def test_where_a_is_frozen_only_b_is_trained(stop: int, backbone: Make, tmp_path: Path) -> None:
    on, options = backbone("llama"), replace(OPTIONS, steps=6, freeze_a=True)
    made = run(on, options, tmp_path / "whole")
    start = starting_point(made)
    assert all(torch.equal(made.terms[path][0].a, start[path][0].a) for path in made.terms)
    assert all(made.terms[path][0].b.any() for path in made.terms)
    assert made.origin["options"]["freeze_a"]
    assert "freeze_a" not in OPTIONS.facts

    def watch(step: int, steps: int, loss: float) -> None:
        if step == stop:
            raise Stopped

    with pytest.raises(Stopped):
        run(on, options, tmp_path / "parts", watch=watch)
    assert same(made, run(on, options, tmp_path / "parts"))


def test_sums_of_vectors_with_one_frozen_a_keep_their_rank(backbone: Make, tmp_path: Path) -> None:
    on, options = backbone("t5"), replace(OPTIONS, freeze_a=True, adapter=Lora(2, 1.0))
    vectors = {name: run(on, replace(options, seed=k), tmp_path / name) for k, name in enumerate("xyz")}
    sums = {space: realise(parse("0.6*x + y - 0.4*z"), vectors, space) for space in ("anchored", "delta")}
    for path, (term,) in sums["anchored"].terms.items():  # type: ignore[union-attr]
        assert len(term.a) == 2
        torch.testing.assert_close(sums["anchored"].delta(path), sums["delta"].delta(path))  # type: ignore[union-attr]


def test_a_vector_on_top_of_another(backbone: Make, tmp_path: Path) -> None:
    """Trained with an update in place it is what would be trained on the backbone with that update added for good."""
    on = backbone("llama")
    first = realise_one(run(on, OPTIONS, tmp_path / "first"))
    with on.using(first):
        above = run(on, replace(OPTIONS, seed=1), tmp_path / "above")
    model = copy.deepcopy(on.model)
    for path in on.projections:
        model.get_submodule(path).weight.data += first.delta(path)
    apart = run(wrap(model, on.tokenizer, name="apart"), replace(OPTIONS, seed=1), tmp_path / "apart")
    assert same(above, apart)
    assert not same(above, run(on, replace(OPTIONS, seed=1), tmp_path / "alone"))


EARLY = replace(OPTIONS, steps=20, validate_every=2, patience=2, checkpoint_every=1)


def scripted(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> None:
    """Validation losses as given, by the number of validations before."""
    given = iter(losses)
    monkeypatch.setattr(training, "mean_loss", lambda *_, **__: next(given))


def test_training_ends_after_some_validations_without_a_lower_loss(
    backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At steps 2, 4, 6 …; not a number is not lower; an equal loss is none that is lower."""
    on, validation = backbone("llama"), examples(on=backbone("llama"), count=5)
    at: list[int] = []

    def watch(step: int, steps: int, loss: float) -> None:
        at.append(step)

    scripted(monkeypatch, [5.0, 4.0, 4.5, 3.0, math.nan, 3.0])
    ended = run(on, EARLY, tmp_path / "early", validation=validation, watch=watch)
    assert at == list(range(1, 13))
    assert ended.origin["steps"] == 8
    assert ended.origin["cost"]["examples"] == 12 * 4
    scripted(monkeypatch, [4.0, 3.0, 2.0, 1.0])

    def stop(step: int, *_: object) -> None:
        if step == 8:
            raise Stopped

    with pytest.raises(Stopped):
        run(on, EARLY, tmp_path / "stopped", validation=validation, watch=stop)
    factors = read_safetensors(tmp_path / "stopped" / CHECKPOINT)
    for path, (term,) in ended.terms.items():
        assert torch.equal(term.a, factors[f"{path}.a"][0])
        assert torch.equal(term.b, factors[f"{path}.b"][0])
    scripted(monkeypatch, [])
    assert same(ended, run(on, EARLY, tmp_path / "early", validation=validation))  # nothing is left to do


@pytest.mark.parametrize("stop", [5, 8, 9, 12])
def test_an_early_end_comes_where_it_would_have_come(
    stop: int, backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not training was stopped on the way."""
    on, validation, losses = backbone("llama"), examples(backbone("llama"), 5), [5.0, 3.0, 4.0, 2.0, 3.0, 3.0]
    scripted(monkeypatch, losses)
    whole = run(on, EARLY, tmp_path / "whole", validation=validation)

    def watch(step: int, *_: object) -> None:
        if step == stop:
            raise Stopped

    scripted(monkeypatch, losses)
    with pytest.raises(Stopped):
        run(on, EARLY, tmp_path / "parts", validation=validation, watch=watch)
    scripted(monkeypatch, losses[stop // 2 :])
    assert same(whole, run(on, EARLY, tmp_path / "parts", validation=validation))
    assert (tmp_path / "parts" / LOG).read_bytes() == (tmp_path / "whole" / LOG).read_bytes()


def test_the_lowest_is_kept_when_all_steps_are_done(
    backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, options = backbone("llama"), replace(OPTIONS, validate_every=1, patience=9)
    scripted(monkeypatch, [4.0, 2.0, 3.0, 2.5])
    assert run(on, options, tmp_path, validation=examples(on, 5)).origin["steps"] == 2


def test_an_early_end_needs_something_to_validate_on(backbone: Make, tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"training x\[en\]: patience=2 needs validation data and there are none"):
        run(backbone("llama"), EARLY, tmp_path)


def test_log_lines_beyond_the_checkpoint_are_dropped(backbone: Make, tmp_path: Path) -> None:
    """A crash may fall between the log and the checkpoint that it belongs to."""
    on, options = backbone("llama"), replace(OPTIONS, steps=6)
    run(on, options, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(on, options, tmp_path / "parts", watch=lambda s, *_: (_ for _ in ()).throw(Stopped) if s == 3 else None)
    with open(tmp_path / "parts" / LOG, "a") as file:
        file.write('{"step": 3, "loss": 0.0}\n{"step": 4, "loss": 0.0}\n')
    run(on, options, tmp_path / "parts")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")


def _step(content: bytes) -> bytes:
    return re.sub(rb'"step": .', b'"step": 9', content)


def _number(content: bytes) -> bytes:
    return content[:-4] + bytes([content[-4] ^ 1]) + content[-3:]


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (CHECKPOINT, _number),
        (CHECKPOINT, _step),
        (CHECKPOINT, lambda content: content.replace(b"sha256", b"sha255")),
        (LOG, lambda content: content.replace(b'"loss": ', b'"loss": 1', 1)),
        (LOG, lambda content: content[content.index(b"\n") + 1 :]),
        (LOG, lambda content: b"[" * 100_000 + content),
        (LOG, lambda content: b""),
        (LOG, lambda content: b"\xf3" + content),
    ],
)
def test_a_state_that_was_changed_is_refused(
    backbone: Make, tmp_path: Path, file: str, change: Callable[[bytes], bytes]
) -> None:
    on = backbone("llama")
    stopping = replace(OPTIONS, checkpoint_every=3)
    with pytest.raises(Stopped):
        run(on, stopping, tmp_path, watch=lambda s, *_: (_ for _ in ()).throw(Stopped) if s == 4 else None)
    content = (tmp_path / file).read_bytes()
    assert change(content) != content
    (tmp_path / file).write_bytes(change(content))
    with pytest.raises(LingarithError, match="there to train from the start"):
        run(on, stopping, tmp_path)


def test_the_state_of_another_training_is_refused(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    run(on, OPTIONS, tmp_path)
    with pytest.raises(LingarithError, match="is another training's"):
        run(on, replace(OPTIONS, seed=7), tmp_path)


def test_a_damaged_checkpoint_is_told(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    run(on, OPTIONS, tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"\x08")
    with pytest.raises(
        LingarithError, match=r"checkpoint.safetensors is damaged: .* delete checkpoint.safetensors there to train"
    ):
        run(on, OPTIONS, tmp_path)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    wild = replace(OPTIONS, steps=50, learning_rate=1e30, checkpoint_every=1)
    message = (
        r"training x\[en\]: loss or gradient is no longer a number at step \d+ "
        rf"\({tmp_path} keeps the last good state\); "
        r"lower the learning rate \(1e\+30\) or train in float32"
    )
    with pytest.raises(LingarithError, match=message):
        run(on, wild, tmp_path)
    kept = read_safetensors(tmp_path / CHECKPOINT)
    assert all(t.isfinite().all() for t in kept.values())
    assert log(tmp_path)[-1]["step"] == json.loads(bytes(kept["counts"].tolist()))["step"]
    assert not any(module._forward_hooks for module in on.model.modules())


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_it_goes_on_where_the_numbers_were_good(
    where: str, backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, options = backbone("llama"), replace(OPTIONS, steps=6)
    whole = run(on, options, tmp_path / "whole")
    calls = [0]

    def spoilt(*args: Any) -> tuple[Tensor, Tensor]:
        losses, total = token_losses(*args)
        calls[0] += 1
        if calls[0] == 4 and where == "loss":
            losses = losses * math.inf
        if calls[0] == 4 and where == "gradient":
            total.register_hook(lambda gradient: gradient * math.nan)
        return losses, total

    with monkeypatch.context() as patch:
        patch.setattr(training, "token_losses", spoilt)
        with pytest.raises(LingarithError, match="no longer a number at step 4 "):
            run(on, options, tmp_path / "parts")
    assert log(tmp_path / "parts")[-1]["step"] == 2
    assert same(whole, run(on, options, tmp_path / "parts"))


def test_mean_loss_is_over_tokens(backbone: Make) -> None:
    on = backbone("llama")
    data = examples(on, 7)
    total, count = 0.0, 0
    for item in data.items:
        losses, _ = token_losses(on, collate(on, [item]))
        total, count = total + losses.sum().item(), count + len(losses)
    options = replace(OPTIONS, batch_size=3)
    assert mean_loss(on, data, options) == pytest.approx(total / count, rel=1e-5)
    two = TaskItems(data.items[:2])
    assert mean_loss(on, data, options, limit=2) == pytest.approx(mean_loss(on, two, options))
